//! The typed body of a request, by operation.

use crate::{Chat, Text};
use bytestring::ByteString;
use std::ops::Range;

/// What a request says, decoded only if the plan reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Body {
    /// Not decoded (yet).
    #[default]
    Unread,
    /// Of an operation that has no typed form here.
    Opaque,
    /// A conversation.
    Chat(Chat),
    /// Prompts to continue.
    Completion(Completion),
    /// Texts to embed.
    Embedding(Embedding),
    /// Texts to order by relevance.
    Rerank(Rerank),
    /// Words to make an image or sound of, or to judge.
    Words(Vec<Text>),
}

impl Body {
    /// Whether an input came as token ids, which no guard can read.
    pub fn has_token_ids(&self) -> bool {
        match self {
            Body::Completion(body) => body.has_token_ids,
            Body::Embedding(body) => body.has_token_ids,
            Body::Unread | Body::Opaque | Body::Chat(_) | Body::Rerank(_) | Body::Words(_) => false,
        }
    }
}

/// A completion request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// The prompts; token arrays do not appear (they are no text).
    pub prompts: Vec<Text>,
    /// Whether a prompt came as token ids, which no guard can read.
    pub has_token_ids: bool,
}

/// An embedding request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedding {
    /// The inputs.
    pub inputs: Vec<Text>,
    /// Whether an input came as token ids, which no guard can read.
    pub has_token_ids: bool,
    /// Whether an input is not one text: an image, or several texts together.
    pub has_media: bool,
}

/// A request to order documents by their relevance to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Rerank {
    /// What is looked for.
    pub query: Text,
    /// The documents, as they came; one that is an object of fields is a text in the form of a JSON document.
    pub documents: Vec<Text>,
}

/// One top-level field of a request other than its messages, inputs, tools, model and stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// The field's name.
    pub name: ByteString,
    /// Its value, JSON as spelt.
    pub json: ByteString,
    /// Where the value stands in the original bytes; `None` if a stage added it.
    pub at: Option<Range<u32>>,
}

/// The parameters of a request, in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(pub Vec<Param>);

impl Params {
    /// The JSON of the parameter with this name.
    pub fn get(&self, name: &str) -> Option<&ByteString> {
        self.0.iter().find(|param| param.name == name).map(|param| &param.json)
    }
}
