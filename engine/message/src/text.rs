//! A text inside a body, and where it stands.

use crate::{Role, names};
use bytestring::ByteString;
use std::ops::Range;

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextForm {
    /// Prose.
    Plain,
    /// A JSON document written into a string (a tool call's arguments): what an edit puts in is escaped for JSON once more.
    Json,
    /// A JSON document that stands in the body as itself, not in a string: an edit is escaped for JSON and written as it is.
    Document,
    /// Text that stands in the body as itself, in no quotes: a field of a form, or all of a body.
    Bare,
}

impl TextForm {
    /// Whether the text is a JSON document, so that what an edit puts in is escaped for JSON.
    pub fn is_json(self) -> bool {
        matches!(self, TextForm::Json | TextForm::Document)
    }
}

names! {
    /// What a text is for.
    TextRole {
        /// System or developer prompt.
        System = "system",
        /// What a user says.
        User = "user",
        /// What the model said.
        Assistant = "assistant",
        /// What a tool gave back.
        Tool = "tool",
        /// The arguments of a tool call.
        Arguments = "arguments",
        /// The model's reasoning.
        Reasoning = "reasoning",
        /// A refusal.
        Refusal = "refusal",
        /// An input to embed, rank or moderate, a prompt to complete, or what stands in a field that its dialect does not have.
        Input = "input",
        /// What a tool, or the form of the answer, is said to be: a description.
        Definition = "definition",
        /// Another string beside what is said: a name, a word of a schema, metadata.
        Field = "field",
    }
}

impl From<Role> for TextRole {
    fn from(role: Role) -> Self {
        match role {
            Role::System | Role::Developer => TextRole::System,
            Role::User => TextRole::User,
            Role::Assistant => TextRole::Assistant,
            Role::Tool => TextRole::Tool,
        }
    }
}

/// A text of a body. Cloning shares its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text, decoded from JSON.
    pub value: ByteString,
    /// Where its JSON string literal (quotes included) stands in the original bytes; `None` for a text that a stage added.
    pub at: Option<Range<u32>>,
    /// How it is to be read.
    pub form: TextForm,
}

impl Text {
    /// A text that stands in the original bytes.
    pub fn at(value: ByteString, at: Range<u32>, form: TextForm) -> Self {
        Self { value, at: Some(at), form }
    }

    /// A text that is not in the original bytes.
    pub fn added(value: impl Into<ByteString>) -> Self {
        Self { value: value.into(), at: None, form: TextForm::Plain }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

/// A text of a request or reply on a walk through all of them.
#[derive(Clone, Copy, Debug)]
pub struct TextAt<'a> {
    /// Its number on the walk, from 0; edits name it by this.
    pub index: usize,
    /// What it is for.
    pub role: TextRole,
    /// The message or choice it belongs to, from 0; [`TextAt::BESIDE`] for a text that stands beside them.
    pub message: usize,
    /// The text itself.
    pub text: &'a Text,
}

impl TextAt<'_> {
    /// The number of no message.
    pub const BESIDE: usize = usize::MAX;

    /// Whether it stands beside messages and inputs: in a definition, or in a field that has no form of its own.
    pub fn is_beside(&self) -> bool {
        self.message == Self::BESIDE
    }
}

/// A text of a request that stands beside messages and inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// What it is for.
    pub role: TextRole,
    /// The text.
    pub text: Text,
}
