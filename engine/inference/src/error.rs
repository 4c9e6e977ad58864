//! What can go wrong with a model, each with what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

/// Why a model cannot be had, or cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The folder holds no models at all.
    #[error("no models in {}: run `make setup` to fetch them, or name their folder with WEIR_CACHE", directory.display())]
    NoModels {
        /// The folder that was searched.
        directory: PathBuf,
    },
    /// No model of this name in the folder.
    #[error("no model `{name}`; there is {}: run `make setup` to fetch what is missing", listed(known))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are, sorted.
        known: Vec<String>,
    },
    /// The model is there but does another job.
    #[error("model `{name}` is of the kind {kind}; one of the kind {wanted} is wanted")]
    WrongKind {
        /// The model's name.
        name: String,
        /// What it is.
        kind: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A file that a manifest names is not there.
    #[error("{} is missing: run `make setup` to fetch it", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is not the one its manifest names.
    #[error("{} is not the file that was pinned (sha256 {found}, wanted {wanted}): delete it and run `make setup`", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The sha256 it should have, in hex.
        wanted: String,
        /// The sha256 it has, in hex.
        found: String,
    },
    /// A manifest cannot be read.
    #[error("{}: {cause}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// ONNX Runtime cannot be loaded.
    #[error("cannot load ONNX Runtime from {}: {cause}", path.display())]
    Runtime {
        /// The library.
        path: PathBuf,
        /// The loader's words.
        cause: String,
    },
    /// A process holds one ONNX Runtime; another one was asked for.
    #[error("this process runs ONNX Runtime from {}; it cannot load {} as well: restart it to change", loaded.display(), asked.display())]
    OtherRuntime {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },
    /// The model's files are whole, but the model cannot be started from them.
    #[error("cannot load model `{name}`: {cause}")]
    Load {
        /// The model's name.
        name: String,
        /// The runtime's or the tokenizer's words.
        cause: String,
    },
    /// As many texts wait for this model as may.
    #[error("model `{name}` is busy: {waiting} texts wait")]
    QueueFull {
        /// The model's name, or `text` for the threads that read and count long texts.
        name: Arc<str>,
        /// How many wait.
        waiting: usize,
    },
    /// The text is longer than the model reads, or than may be read.
    #[error("the text is too long for model `{name}`: it reads at most {most} {unit}")]
    TooLong {
        /// The model's name.
        name: Arc<str>,
        /// The most it reads.
        most: usize,
        /// Of what: `tokens` or `bytes`.
        unit: &'static str,
    },
    /// The model was run and failed.
    #[error("model `{name}` failed: {cause}")]
    Run {
        /// The model's name.
        name: Arc<str>,
        /// The runtime's or the tokenizer's words.
        cause: Arc<str>,
    },
    /// The thread that had the text ended without an answer.
    #[error("model `{name}` stopped before it answered")]
    Stopped {
        /// The model's name, or `text` for the threads that read and count long texts.
        name: Arc<str>,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
