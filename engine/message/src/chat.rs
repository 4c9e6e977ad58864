//! A conversation, whatever dialect it came in.

use crate::{Text, TextRole, names};
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
    /// The turns, oldest first.
    pub messages: Vec<Message>,
    /// The tools offered.
    pub tools: Vec<Tool>,
    /// Just inside the brackets of the `messages` array in the original bytes: where an added turn goes.
    pub messages_at: Option<Range<u32>>,
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
    Reasoning(Text),
    /// A call of a tool.
    ToolCall(ToolCall),
    /// What a tool gave back.
    ToolResult(ToolResult),
    /// An image, sound, document, or a kind not known here; with the dialect's name for it.
    Other {
        /// The dialect's name of the kind (`image_url`).
        kind: ByteString,
    },
}

/// A call of a tool by the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The call's id.
    pub id: ByteString,
    /// The tool's name.
    pub name: ByteString,
    /// Its arguments: a JSON document as text, perhaps malformed.
    pub arguments: Text,
}

/// What a tool gave back for a call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub call: ByteString,
    /// What it said.
    pub parts: Vec<Part>,
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: ByteString,
    /// Its description, if given.
    pub description: Option<ByteString>,
    /// Its whole definition as it stands in the request (JSON).
    pub raw: ByteString,
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
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
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
                Part::Reasoning(_) | Part::ToolCall(_) | Part::Other { .. } => {}
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
            Part::Reasoning(text) => visit(TextRole::Reasoning, text),
            Part::ToolCall(call) => visit(TextRole::Arguments, &call.arguments),
            Part::ToolResult(result) => each_text(&result.parts, TextRole::Tool, visit),
            Part::Other { .. } => {}
        }
    }
}

/// Calls `visit` with each text of `parts` to be changed, in the order of [`each_text`].
pub(crate) fn each_text_mut(parts: &mut [Part], visit: &mut dyn FnMut(&mut Text)) {
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) | Part::Reasoning(text) => visit(text),
            Part::ToolCall(call) => visit(&mut call.arguments),
            Part::ToolResult(result) => each_text_mut(&mut result.parts, visit),
            Part::Other { .. } => {}
        }
    }
}
