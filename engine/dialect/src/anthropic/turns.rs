//! Conversations of other dialects as Anthropic's turns.

use super::abilities::Abilities;
use crate::carry::Loss;
use crate::compose::{Array, Object};
use crate::gemini::signature;
use crate::scan::Scan;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytestring::ByteString;
use std::collections::HashSet;
use weir_message::{
    CachePoint, Chat, ErrorCode, Fault, Media, MediaKind, Part, Reasoning, Role, Source, Text, ToolCall,
};

/// The conversation as it is sent.
pub(crate) struct Turns<'a> {
    pub(crate) system: Vec<&'a Part>,
    pub(crate) turns: Vec<Turn<'a>>,
}

/// Consecutive turns of one role are one.
pub(crate) struct Turn<'a> {
    pub(crate) role: &'static str,
    pub(crate) blocks: Vec<Block<'a>>,
}

/// A part, with the id of the call that it makes or answers.
pub(crate) struct Block<'a> {
    pub(crate) part: &'a Part,
    pub(crate) id: String,
}

impl<'a> Turns<'a> {
    /// Lines the turns up.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for a result of a tool that nobody called.
    pub(crate) fn of(chat: &'a Chat, abilities: Abilities, loss: &mut Loss) -> Result<Self, Fault> {
        let mut out = Self { system: Vec::new(), turns: Vec::new() };
        let mut ids = Ids::default();
        let messages = &chat.messages;
        for (n, message) in messages.iter().enumerate() {
            if message.name.is_some() {
                loss.hint("name");
            }
            let is_system = matches!(message.role, Role::System | Role::Developer);
            if is_system && !out.turns.is_empty() {
                let next = messages.get(n + 1).map(|next| next.role);
                let fits = out.turns.last().is_some_and(|turn| turn.role == "user")
                    && next.is_none_or(|role| role == Role::Assistant);
                if !(abilities.later_system && fits) {
                    // It is heard all the same, but from the start.
                    loss.hint("place of system messages");
                    out.system.extend(&message.parts);
                    continue;
                }
            } else if is_system {
                out.system.extend(&message.parts);
                continue;
            }
            let role = match message.role {
                Role::Assistant => "assistant",
                Role::System | Role::Developer => "system",
                Role::User | Role::Tool => "user",
            };
            let mut blocks = Vec::with_capacity(message.parts.len());
            for part in in_order(&message.parts, message.role) {
                let id = match part {
                    Part::ToolCall(call) => ids.call(call),
                    Part::ToolResult(result) => ids.result(&result.call).ok_or_else(|| {
                        let field = format!("messages[{n}]");
                        let message =
                            format!("`{field}` answers a tool call that no turn in front of it makes");
                        Fault::new(ErrorCode::BadRequest, message).param(field)
                    })?,
                    _ => String::new(),
                };
                blocks.push(Block { part, id });
            }
            match out.turns.last_mut().filter(|turn| turn.role == role) {
                Some(turn) => turn.blocks.extend(blocks),
                None => out.turns.push(Turn { role, blocks }),
            }
        }
        for turn in &mut out.turns {
            // Results are wanted in front of all else.
            turn.blocks.sort_by_key(|block| turn.role == "user" && !is_result(block.part));
        }
        Ok(out)
    }

    /// Whether the conversation goes on behind a call whose reasoning lacks its proof: the API then refuses to think by a
    /// number of tokens.
    pub(crate) fn continues_unsigned(&self) -> bool {
        let [.., model, user] = self.turns.as_slice() else { return false };
        let is_call = |block: &Block<'_>| matches!(block.part, Part::ToolCall(_));
        let is_proven = |block: &Block<'_>| match block.part {
            Part::Reasoning(reasoning) => reasoning.signature.as_deref().is_some_and(may_be_own),
            Part::Sealed(data) => may_be_own(data),
            _ => false,
        };
        user.role == "user" && model.blocks.iter().any(is_call) && !model.blocks.iter().any(is_proven)
    }

    /// Writes `system` and `messages`.
    pub(crate) fn write(&self, o: &mut Object<'_>, loss: &mut Loss) {
        match self.system.as_slice() {
            [] => {}
            [Part::Text(text)] => {
                if !text.value.is_empty() {
                    o.string("system", text.as_str());
                }
            }
            parts => {
                let blocks: Vec<Block<'_>> =
                    parts.iter().map(|part| Block { part, id: String::new() }).collect();
                o.array("system", |a| write_blocks(a, &blocks, "system", loss));
            }
        }
        o.array("messages", |a| {
            for turn in self.turns.iter().filter(|turn| turn.says_something()) {
                a.object(|o| {
                    o.string("role", turn.role);
                    match turn.blocks.as_slice() {
                        [Block { part: Part::Text(text), .. }] => {
                            o.string("content", text.as_str());
                        }
                        blocks => {
                            o.array("content", |a| write_blocks(a, blocks, turn.role, loss));
                        }
                    }
                });
            }
        });
    }
}

impl Turn<'_> {
    /// Whether anything of it is written: no text may be empty, and no turn.
    fn says_something(&self) -> bool {
        self.blocks.iter().any(|block| match block.part {
            Part::Text(text) | Part::Refusal(text) => !text.value.is_empty(),
            Part::Reasoning(reasoning) => reasoning.signature.as_deref().is_some_and(may_be_own),
            Part::Sealed(data) => may_be_own(data),
            Part::ToolCall(_) | Part::ToolResult(_) | Part::Media(_) => true,
            Part::Citation(_) | Part::CachePoint(_) | Part::Other { .. } => false,
        })
    }
}

/// Whether a proof may be Anthropic's: one of Gemini's says so, and would be refused.
fn may_be_own(proof: &str) -> bool {
    signature::own(proof).is_none()
}

fn is_result(part: &Part) -> bool {
    matches!(part, Part::ToolResult(_))
}

/// The parts of a turn as they must stand: a model reasons before it speaks.
fn in_order(parts: &[Part], role: Role) -> Vec<&Part> {
    let mut out: Vec<&Part> = parts.iter().collect();
    let reasons = |part: &&Part| matches!(part, Part::Reasoning(_) | Part::Sealed(_));
    if role == Role::Assistant && !out.first().is_some_and(reasons) {
        out.sort_by_key(|part| !reasons(part));
    }
    out
}

/// Ids of calls in the letters that the API takes. Calls of dialects without ids get some; their results name the tool.
#[derive(Default)]
struct Ids<'a> {
    known: HashSet<&'a str>,
    /// Name and id of calls without an id of their own that are not answered yet.
    open: Vec<(&'a str, String)>,
    minted: usize,
}

impl<'a> Ids<'a> {
    fn call(&mut self, call: &'a ToolCall) -> String {
        if call.id.is_empty() {
            self.minted += 1;
            let id = format!("toolu_{:04}", self.minted);
            self.open.push((&call.name, id.clone()));
            return id;
        }
        self.known.insert(&call.id);
        plain(&call.id)
    }

    fn result(&mut self, call: &str) -> Option<String> {
        if self.known.contains(call) {
            return Some(plain(call));
        }
        let at = self.open.iter().position(|(name, _)| *name == call)?;
        Some(self.open.remove(at).1)
    }
}

/// An id in letters, digits, `_` and `-`.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect()
}

/// Writes the mark behind a block.
pub(crate) fn cache_control(o: &mut Object<'_>, mark: Option<&CachePoint>) {
    if let Some(mark) = mark {
        o.object("cache_control", |o| {
            o.string("type", "ephemeral").string_if("ttl", mark.ttl.as_deref());
        });
    }
}

fn write_blocks(a: &mut Array<'_>, blocks: &[Block<'_>], role: &str, loss: &mut Loss) {
    for (n, block) in blocks.iter().enumerate() {
        // A mark stands behind what it marks, perhaps with citations in between.
        let behind = blocks.get(n + 1..).unwrap_or_default().iter();
        let mark = behind.map(|block| block.part).find(|part| !matches!(part, Part::Citation(_)));
        let mark = match mark {
            Some(Part::CachePoint(mark)) => Some(mark),
            _ => None,
        };
        write_part(a, block, role, mark, loss);
    }
}

fn write_part(a: &mut Array<'_>, block: &Block<'_>, role: &str, mark: Option<&CachePoint>, loss: &mut Loss) {
    match block.part {
        Part::Text(text) | Part::Refusal(text) => write_text(a, text, mark),
        Part::Media(media) if role == "user" => write_media(a, media, mark, loss),
        Part::ToolResult(result) if role == "user" => a.object(|o| {
            o.string("type", "tool_result").string("tool_use_id", &block.id);
            match result.parts.as_slice() {
                [] => {}
                [Part::Text(text)] => {
                    o.string("content", text.as_str());
                }
                parts => {
                    let inner: Vec<Block<'_>> =
                        parts.iter().map(|part| Block { part, id: String::new() }).collect();
                    o.array("content", |a| write_blocks(a, &inner, "user", loss));
                }
            }
            if result.is_error {
                o.bool("is_error", true);
            }
            cache_control(o, mark);
        }),
        Part::ToolCall(call) if role == "assistant" => a.object(|o| {
            o.string("type", "tool_use").string("id", &block.id).string("name", &call.name);
            o.raw("input", &input(&call.arguments));
            cache_control(o, mark);
        }),
        Part::Reasoning(Reasoning { text, signature: Some(signature) })
            if role == "assistant" && may_be_own(signature) =>
        {
            a.object(|o| {
                o.string("type", "thinking").string("thinking", text.as_str()).string("signature", signature);
            });
        }
        // The API takes back only what it can prove to be its own.
        Part::Reasoning(_) => loss.hint("reasoning_content"),
        Part::Sealed(data) if role == "assistant" && may_be_own(data) => a.object(|o| {
            o.string("type", "redacted_thinking").string("data", data);
        }),
        Part::Sealed(_) if role == "assistant" => loss.hint("reasoning signatures"),
        Part::Citation(_) => loss.hint("annotations"),
        // Written with what it marks.
        Part::CachePoint(_) => {}
        Part::Other { .. } | Part::Media(_) | Part::ToolCall(_) | Part::ToolResult(_) | Part::Sealed(_) => {
            loss.matters("content");
        }
    }
}

fn write_text(a: &mut Array<'_>, text: &Text, mark: Option<&CachePoint>) {
    if text.value.is_empty() {
        return;
    }
    a.object(|o| {
        o.string("type", "text").string("text", text.as_str());
        cache_control(o, mark);
    });
}

/// A call's arguments as an object. What is none, words or broken JSON, stands in one.
pub(crate) fn input(arguments: &Text) -> ByteString {
    let text = &arguments.value;
    let is_object = || {
        let mut scan = Scan::all(text).ok()?;
        scan.object(&[], |scan, _, _| scan.skip().map(|_| ())).ok()?;
        scan.end().ok()
    };
    if text.trim().is_empty() {
        ByteString::from_static("{}")
    } else if is_object().is_some() {
        text.clone()
    } else {
        serde_json::json!({ "input": &**text }).to_string().into()
    }
}

fn write_media(a: &mut Array<'_>, media: &Media, mark: Option<&CachePoint>, loss: &mut Loss) {
    let media_type = media.media_type.as_deref();
    let feature = match media.kind {
        MediaKind::Image => "images",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Document => "documents",
    };
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        loss.hint("detail");
    }
    // Documents that are words are sent as words.
    let words = match (&media.source, media_type) {
        (Source::Text(text), _) => Some(text.value.clone()),
        (Source::Base64(data), Some(kind))
            if media.kind == MediaKind::Document && kind.starts_with("text/") =>
        {
            match STANDARD.decode(data.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                Some(words) => Some(words.into()),
                None => return loss.matters(feature),
            }
        }
        _ => None,
    };
    let is_pdf = media_type.is_none_or(|kind| kind.contains("pdf"));
    let block = match (media.kind, &media.source) {
        (_, Source::Text(_)) | (MediaKind::Document, Source::Url(_)) => "document",
        (MediaKind::Document, Source::Base64(_)) if is_pdf || words.is_some() => "document",
        (MediaKind::Image, Source::Base64(_) | Source::Url(_)) => "image",
        // The id of a file at one provider means nothing to another.
        _ => return loss.matters(feature),
    };
    a.object(|o| {
        o.string("type", block).object("source", |o| match (&media.source, words) {
            (_, Some(words)) => {
                o.string("type", "text").string("media_type", "text/plain").string("data", &words);
            }
            (Source::Base64(data), None) => {
                let unsaid = if block == "image" { image_type(data) } else { "application/pdf" };
                o.string("type", "base64").string("media_type", media_type.unwrap_or(unsaid));
                o.base64("data", "", data);
            }
            (Source::Url(url) | Source::File(url), None) => {
                o.string("type", "url").string("url", url);
            }
            (Source::Text(_), None) => {}
        });
        if block == "document" {
            o.string_if("title", media.name.as_deref());
            if media.cite {
                o.object("citations", |o| {
                    o.bool("enabled", true);
                });
            }
        }
        cache_control(o, mark);
    });
}

/// The media type of an image in Base64, by its first bytes.
fn image_type(data: &str) -> &'static str {
    match data.as_bytes() {
        [b'/', b'9', b'j', b'/', ..] => "image/jpeg",
        [b'R', b'0', b'l', b'G', ..] => "image/gif",
        [b'U', b'k', b'l', b'G', ..] => "image/webp",
        _ => "image/png",
    }
}
