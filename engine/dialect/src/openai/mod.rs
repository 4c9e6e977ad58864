//! OpenAI's API, and all that speak it.

pub(crate) mod collect;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod encoder;
pub(crate) mod error;
mod parts;
pub(crate) mod reply;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use weir_message::Operation;

/// What is asked for by which method on which path. A path that ends in `/` stands for one more segment or several.
pub(crate) const ROUTES: &[(&str, &str, Operation)] = &[
    ("POST", "/v1/chat/completions", Operation::Chat),
    ("POST", "/v1/completions", Operation::Completion),
    ("POST", "/v1/embeddings", Operation::Embedding),
    ("GET", "/v1/models", Operation::Model),
    ("GET", "/v1/models/", Operation::Model),
];

/// The path of an operation behind a provider's base URL (which ends in `/v1` or what the provider has instead).
pub(crate) fn upstream_path(operation: Operation) -> Option<&'static str> {
    Some(match operation {
        Operation::Chat => "/chat/completions",
        Operation::Completion => "/completions",
        Operation::Embedding => "/embeddings",
        Operation::Model => "/models",
        _ => return None,
    })
}
