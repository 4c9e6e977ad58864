//! A conversation, whatever dialect it came in.

use crate::{JsonOp, Text, TextRole, names};
use bytestring::ByteString;
use std::ops::Range;

names! {
    /// Who speaks.
    Role {
        /// The operator's standing instructions.
        System = "system",
        /// The same under OpenAI's newer name.
        Developer = "developer",
        /// The user.
        User = "user",
        /// The model.
        Assistant = "assistant",
        /// A tool.
        Tool = "tool",
    }
}

/// A chat request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chat {
    /// The turns, oldest first. Standing instructions that a dialect keeps in a field of their own are the first turn.
    pub messages: Vec<Message>,
    /// The tools offered.
    pub tools: Vec<Tool>,
    /// Just inside the brackets of the array of turns in the original bytes: where an added turn goes, if the dialect writes
    /// a turn as `{"role":…,"content":…}`.
    pub messages_at: Option<Range<u32>>,
    /// How the dialect writes an added turn otherwise.
    pub writer: Option<TurnWriter>,
}

/// How a dialect adds a turn to a request's body: the changes by pointer for this conversation (as it is before), role, words
/// and whether the turn goes in front.
#[derive(Clone, Copy, Debug)]
pub struct TurnWriter(pub fn(&Chat, Role, &str, bool) -> Vec<JsonOp>);

impl PartialEq for TurnWriter {
    /// There is one for each dialect.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
    /// The name of the speaker, if given.
    pub name: Option<ByteString>,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Words.
    Text(Text),
    /// Words with which the model declines.
    Refusal(Text),
    /// The model's reasoning.
    Reasoning(Reasoning),
    /// Reasoning that only its provider can read; handed back as it is in the next turn.
    Sealed(ByteString),
    /// A call of a tool.
    ToolCall(ToolCall),
    /// What a tool gave back.
    ToolResult(ToolResult),
    /// An image, sound, film or document.
    Media(Media),
    /// Where the words in front come from.
    Citation(Citation),
    /// All up to here may be kept in the provider's prompt cache.
    CachePoint(CachePoint),
    /// A kind that only one dialect has: a step of a provider's own tool, or what is not known here.
    Other {
        /// The dialect's name of the kind (`logprobs`).
        kind: ByteString,
        /// The words in it.
        texts: Vec<Text>,
        /// All of it as it stands in the original (JSON), to be written again in the same dialect; empty if that takes more.
        raw: ByteString,
    },
}

/// Words with which the model reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasoning {
    /// The words.
    pub text: Text,
    /// The provider's proof that it wrote them; wanted back with them in the next turn.
    pub signature: Option<ByteString>,
}

impl From<Text> for Reasoning {
    fn from(text: Text) -> Self {
        Self { text, signature: None }
    }
}

/// A call of a tool by the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The call's id; empty in dialects that have none.
    pub id: ByteString,
    /// The tool's name.
    pub name: ByteString,
    /// Its arguments: a JSON document as text, perhaps malformed; for a tool that takes words, the words.
    pub arguments: Text,
    /// The provider's proof of the reasoning that led to it; wanted back with it in the next turn.
    pub signature: Option<ByteString>,
}

/// What a tool gave back for a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// The id of the call it answers; in dialects without ids, the tool's name.
    pub call: ByteString,
    /// What it said.
    pub parts: Vec<Part>,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// An image, sound, film or document.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Which of them.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: Source,
    /// Its media type (`image/png`), or a format (`wav`) where the dialect says no more.
    pub media_type: Option<ByteString>,
    /// A name or title for it.
    pub name: Option<ByteString>,
    /// How closely to look at an image (`low`, `high`).
    pub detail: Option<ByteString>,
    /// Whether the answer shall say what it takes from a document.
    pub cite: bool,
}

names! {
    /// What a [`Media`] is.
    MediaKind {
        /// A picture.
        Image = "image",
        /// Sound.
        Audio = "audio",
        /// A film.
        Video = "video",
        /// A document.
        Document = "document",
    }
}

/// Where the bytes of a [`Media`] are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// At this address.
    Url(ByteString),
    /// Here, in Base64 (RFC 4648, 4).
    Base64(ByteString),
    /// At the provider, under this id.
    File(ByteString),
    /// They are words, here.
    Text(Text),
}

/// Where words of the model come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Citation {
    /// The source's title.
    pub title: Option<ByteString>,
    /// Its address.
    pub url: Option<ByteString>,
    /// What it says there.
    pub quote: Option<ByteString>,
    /// Which of the words are backed: from and to, in characters of the text in front.
    pub span: Option<Range<u64>>,
    /// All of it as it stands in the original (JSON), to be written again in the same dialect.
    pub raw: Option<ByteString>,
}

/// A mark behind what a provider may keep in its prompt cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePoint {
    /// For how long (`5m`, `1h`), if said.
    pub ttl: Option<ByteString>,
}

names! {
    /// Who runs a tool, and what it takes.
    ToolKind {
        /// The client; JSON by a schema.
        Function = "function",
        /// The client; words.
        Custom = "custom",
        /// The provider itself (`web_search`).
        Provider = "provider",
    }
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Who runs it.
    pub kind: ToolKind,
    /// Its name; for a provider's tool without one, its kind.
    pub name: ByteString,
    /// Its description, if given.
    pub description: Option<ByteString>,
    /// The JSON Schema of its arguments, as spelt.
    pub schema: Option<ByteString>,
    /// Whether arguments must fit the schema exactly.
    pub strict: Option<bool>,
    /// Its whole definition as it stands in the request (JSON).
    pub raw: ByteString,
    /// A mark behind it for the provider's prompt cache.
    pub cache: Option<CachePoint>,
}

impl Chat {
    /// Notes a turn that a stage added.
    pub(crate) fn add(&mut self, role: Role, text: &str, front: bool) {
        let message = Message { role, parts: vec![Part::Text(Text::added(text))], name: None };
        self.messages.insert(if front { 0 } else { self.messages.len() }, message);
    }
}

impl Message {
    /// All words of the turn, one line each part.
    pub fn text(&self) -> String {
        let mut out = String::new();
        Self::gather(&self.parts, &mut out);
        out
    }

    /// Whether every part is words (no image, call or result).
    pub fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_) | Part::CachePoint(_)))
    }

    fn gather(parts: &[Part], out: &mut String) {
        for part in parts {
            match part {
                Part::Text(text) | Part::Refusal(text) => {
                    if !out.is_empty() {
                        out.push('\n');
                    }
                    out.push_str(text.as_str());
                }
                Part::ToolResult(result) => Self::gather(&result.parts, out),
                Part::Media(Media { source: Source::Text(text), .. }) => {
                    out.push('\n');
                    out.push_str(text.as_str());
                }
                Part::Other { texts, .. } => texts.iter().for_each(|text| {
                    out.push('\n');
                    out.push_str(text.as_str());
                }),
                Part::Reasoning(_)
                | Part::Sealed(_)
                | Part::ToolCall(_)
                | Part::Media(_)
                | Part::Citation(_)
                | Part::CachePoint(_) => {}
            }
        }
    }
}

/// Calls `visit` with each text of `parts`, in order, and what it is for.
pub(crate) fn each_text<'a>(parts: &'a [Part], role: TextRole, visit: &mut dyn FnMut(TextRole, &'a Text)) {
    for part in parts {
        match part {
            Part::Text(text) => visit(role, text),
            Part::Refusal(text) => visit(TextRole::Refusal, text),
            Part::Reasoning(reasoning) => visit(TextRole::Reasoning, &reasoning.text),
            Part::ToolCall(call) => visit(TextRole::Arguments, &call.arguments),
            Part::ToolResult(result) => each_text(&result.parts, TextRole::Tool, visit),
            Part::Media(Media { source: Source::Text(text), .. }) => visit(role, text),
            Part::Other { texts, .. } => texts.iter().for_each(|text| visit(role, text)),
            Part::Sealed(_) | Part::Media(_) | Part::Citation(_) | Part::CachePoint(_) => {}
        }
    }
}

/// Calls `visit` with each text of `parts` to be changed, in the order of [`each_text`].
pub(crate) fn each_text_mut(parts: &mut [Part], visit: &mut dyn FnMut(&mut Text)) {
    for part in parts {
        match part {
            Part::Text(text)
            | Part::Refusal(text)
            | Part::Reasoning(Reasoning { text, .. })
            | Part::Media(Media { source: Source::Text(text), .. }) => visit(text),
            Part::ToolCall(call) => visit(&mut call.arguments),
            Part::ToolResult(result) => each_text_mut(&mut result.parts, visit),
            Part::Other { texts, .. } => texts.iter_mut().for_each(&mut *visit),
            Part::Sealed(_) | Part::Media(_) | Part::Citation(_) | Part::CachePoint(_) => {}
        }
    }
}
