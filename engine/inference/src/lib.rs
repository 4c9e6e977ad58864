//! Models in the process: sentence embeddings, token tagging and text classification on ONNX Runtime, and token counts.
//!
//! [`Models`] opens the folder that `make setup` filled and hands out [`Embedder`], [`Tagger`] and [`Classifier`]. Each
//! model runs on threads of its own behind a bounded queue; what callers get is a future that holds no borrow. Texts seen
//! before are answered from a memo. [`TokenCounter`] counts tokens as the providers' models do; it needs no folder.
//!
//! This crate knows nothing of requests, policies or HTTP.

#![forbid(unsafe_code)]

mod bare;
mod classify;
mod embed;
mod engine;
mod error;
mod manifest;
mod memo;
mod models;
mod queue;
mod reader;
mod runtime;
mod session;
mod spans;
mod tag;
#[cfg(test)]
mod testing;
mod threads;
mod tokens;
mod windows;

pub use bare::BareEmbedder;
pub use classify::{Class, Classifier};
pub use embed::{Embedder, Reading};
pub use error::Error;
pub use models::{Models, Options, default_directory};
pub use tag::{Tag, Tagger};
pub use tokens::{LONG_TEXT, TokenCounter};

/// The embedder that `make setup` fetches: English sentences, 384 dimensions.
pub const DEFAULT_EMBEDDER: &str = "all-minilm-l6-v2";

/// The tagger that `make setup` fetches: names, places, addresses and personal numbers, Latin scripts.
pub const DEFAULT_TAGGER: &str = "rampart";
