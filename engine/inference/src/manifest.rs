//! The manifests that `make setup` writes: `runtime.json`, and `models/NAME/model.json` beside each model's files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::Error;

/// `runtime.json`: which ONNX Runtime the folder holds.
#[derive(Debug, Deserialize)]
pub(crate) struct RuntimeManifest {
    /// The shared library, relative to the folder.
    pub(crate) library: Pinned,
}

/// `model.json`: what a model is and which files it is made of.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelManifest {
    /// `embedder`, `tagger` or `classifier`.
    pub(crate) kind: String,
    /// The ONNX graph.
    pub(crate) model: Pinned,
    /// The tokenizer, in the format of the `tokenizers` library.
    pub(crate) tokenizer: Pinned,
    /// The most tokens that the model reads at once, its own marks included.
    pub(crate) max_tokens: usize,
    /// How many tokens a tagger is given at once (it finds best in texts as long as those it learned from).
    #[serde(default)]
    pub(crate) window: Option<usize>,
    /// The length of an embedder's vectors.
    #[serde(default)]
    pub(crate) dimensions: Option<usize>,
    /// The classes of a tagger (`O`, `B-…`, `I-…`) or a classifier, in the order of the model's output.
    #[serde(default)]
    pub(crate) classes: Vec<String>,
    /// A tagger's classes without their `B-` or `I-`, and what policies call them.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// A file and the sha256 of its content, in hex.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pinned {
    pub(crate) file: PathBuf,
    pub(crate) sha256: String,
}

impl Pinned {
    /// Where the file is below `folder`.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.file)
    }

    /// The file's content, if it is the content that was pinned.
    pub(crate) fn read(&self, folder: &Path) -> Result<Vec<u8>, Error> {
        let path = self.path(folder);
        if !self.file.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::Manifest { path, cause: "a file must be named below its folder".to_owned() });
        }
        let content = std::fs::read(&path).map_err(|cause| unreadable(&path, &cause))?;
        let found = hex(&Sha256::digest(&content));
        if found.eq_ignore_ascii_case(&self.sha256) {
            Ok(content)
        } else {
            Err(Error::Changed { path, wanted: self.sha256.clone(), found })
        }
    }
}

/// `runtime.json` of a folder of models.
pub(crate) fn runtime(directory: &Path) -> Result<RuntimeManifest, Error> {
    read(&directory.join("runtime.json"))
}

/// `model.json` of the model `name`, and the folder it stands in.
pub(crate) fn model(directory: &Path, name: &str) -> Result<(ModelManifest, PathBuf), Error> {
    let known = names(directory);
    if known.is_empty() {
        return Err(Error::NoModels { directory: directory.to_owned() });
    }
    if !known.iter().any(|one| one == name) {
        return Err(Error::Unknown { name: name.to_owned(), known });
    }
    let folder = directory.join("models").join(name);
    let manifest = read(&folder.join("model.json"))?;
    Ok((manifest, folder))
}

/// The models of a folder, sorted; empty where there is no such folder.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory.join("models")) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("model.json").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let content = std::fs::read(path).map_err(|cause| unreadable(path, &cause))?;
    serde_json::from_slice(&content)
        .map_err(|cause| Error::Manifest { path: path.to_owned(), cause: cause.to_string() })
}

fn unreadable(path: &Path, cause: &io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        _ => Error::Manifest { path: path.to_owned(), cause: cause.to_string() },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
