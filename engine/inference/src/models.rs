//! The folder of models, and which of them are in memory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::bare::BareEmbedder;
use crate::engine::{Engine, Head};
use crate::manifest::{self, ModelManifest};
use crate::reader::Reader;
use crate::session::Model;
use crate::{Classifier, Embedder, Error, Tagger, runtime};

/// How models run. The defaults suit a gateway that shares its machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sessions per model, each with a thread of its own: 1. More give more throughput for more memory.
    pub sessions: usize,
    /// Threads that work on one run together: 1.
    pub intra_threads: usize,
    /// The most texts that run together: 16.
    pub batch: usize,
    /// How long a batch waits for more texts, if the last one had company: 2 ms.
    pub linger: Duration,
    /// The most texts that wait for a model: 256. One more is [`Error::QueueFull`].
    pub queue: usize,
    /// Memory for the answers of one model, in bytes: 16 MiB.
    pub memo_bytes: u64,
    /// The longest text that is tagged or classified, in bytes: 4 MiB.
    pub max_text_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sessions: 1,
            intra_threads: 1,
            batch: 16,
            linger: Duration::from_millis(2),
            queue: 256,
            memo_bytes: 16 << 20,
            max_text_bytes: 4 << 20,
        }
    }
}

/// The models of a folder. A clone is another handle to the same.
///
/// One per process is meant: a model that two plans use is in memory once, for as long as one of them keeps its `Arc`.
#[derive(Clone)]
pub struct Models(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    options: Options,
    embedders: Shared<Embedder>,
    taggers: Shared<Tagger>,
    classifiers: Shared<Classifier>,
}

/// Models in memory, by the content of their files.
type Shared<M> = Mutex<HashMap<String, Weak<M>>>;

impl Models {
    /// The models of a folder that `make setup` filled. Nothing is read before a model is asked for, so a folder that is
    /// missing is no error yet.
    pub fn open(directory: &Path) -> Self {
        Models::with_options(directory, Options::default())
    }

    /// The same, run otherwise.
    pub fn with_options(directory: &Path, options: Options) -> Self {
        Models(Arc::new(Inner {
            directory: directory.to_owned(),
            options,
            embedders: Shared::default(),
            taggers: Shared::default(),
            classifiers: Shared::default(),
        }))
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// The names of the models in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        manifest::names(&self.0.directory)
    }

    /// An embedder by name. Blocks while it loads and warms up (about half a second); one in memory is there at once.
    pub fn embedder(&self, name: &str) -> Result<Arc<Embedder>, Error> {
        self.get(&self.0.embedders, name, "embedder", Embedder::load)
    }

    /// A tagger by name. Blocks like [`Models::embedder`].
    pub fn tagger(&self, name: &str) -> Result<Arc<Tagger>, Error> {
        self.get(&self.0.taggers, name, "tagger", Tagger::load)
    }

    /// A classifier by name. Blocks like [`Models::embedder`].
    pub fn classifier(&self, name: &str) -> Result<Arc<Classifier>, Error> {
        self.get(&self.0.classifiers, name, "classifier", Classifier::load)
    }

    /// An embedder without threads, batches and memo: what a bare call costs, for benchmarks to compare with.
    pub fn bare_embedder(&self, name: &str) -> Result<BareEmbedder, Error> {
        self.load(name, "embedder", BareEmbedder::load)
    }

    fn get<M>(
        &self,
        shared: &Shared<M>,
        name: &str,
        kind: &'static str,
        load: impl FnOnce(&Loading<'_>) -> Result<M, Error>,
    ) -> Result<Arc<M>, Error> {
        self.load(name, kind, |loading| {
            // Held while loading, so that two plans that want the same model at once share it.
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let content = loading.content();
            if let Some(model) = shared.get(&content).and_then(Weak::upgrade) {
                return Ok(model);
            }
            let model = Arc::new(load(loading)?);
            shared.retain(|_, one| one.strong_count() > 0);
            shared.insert(content, Arc::downgrade(&model));
            Ok(model)
        })
    }

    fn load<T>(
        &self,
        name: &str,
        kind: &'static str,
        load: impl FnOnce(&Loading<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Inner { directory, options, .. } = &*self.0;
        let (manifest, folder) = manifest::model(directory, name)?;
        if manifest.kind != kind {
            return Err(Error::WrongKind { name: name.to_owned(), kind: manifest.kind, wanted: kind });
        }
        load(&Loading { name, directory, folder: &folder, manifest: &manifest, options })
    }
}

/// A model that is being loaded.
pub(crate) struct Loading<'a> {
    pub(crate) name: &'a str,
    directory: &'a Path,
    folder: &'a Path,
    pub(crate) manifest: &'a ModelManifest,
    pub(crate) options: &'a Options,
}

impl Loading<'_> {
    /// The model's tokenizer, its content checked.
    pub(crate) fn reader(&self) -> Result<Reader, Error> {
        Reader::new(&self.manifest.tokenizer.read(self.folder)?).map_err(|cause| self.fault(cause))
    }

    /// The model's sessions, its content checked.
    pub(crate) fn models(&self, reader: &Reader, count: usize) -> Result<Vec<Model>, Error> {
        let environment = runtime::environment(self.directory)?;
        let graph = self.manifest.model.read(self.folder)?;
        (0..count.max(1))
            .map(|_| Model::new(&environment, &graph, self.options.intra_threads, reader.pad()))
            .collect::<Result<_, String>>()
            .map_err(|cause| self.fault(cause))
    }

    /// The model at work and warm.
    pub(crate) fn engine<T: Send + 'static>(
        &self,
        reader: &Reader,
        head: Head<T>,
    ) -> Result<Engine<T>, Error> {
        let warm_up = reader.ids("A first sentence.").map_err(|cause| self.fault(cause))?;
        let models = self.models(reader, self.options.sessions)?;
        Engine::start(self.name, models, head, &warm_up, self.options)
    }

    /// The model cannot be started.
    pub(crate) fn fault(&self, cause: String) -> Error {
        Error::Load { name: self.name.to_owned(), cause }
    }

    /// What tells this model from others: its files, what the manifest makes of them, and its name (which errors show).
    fn content(&self) -> String {
        let ModelManifest { kind, model, tokenizer, max_tokens, window, dimensions, classes, labels } =
            self.manifest;
        format!(
            "{} {kind} {} {} {max_tokens} {window:?} {dimensions:?} {classes:?} {labels:?}",
            self.name, model.sha256, tokenizer.sha256
        )
    }
}

/// Where `make setup` puts the models: `WEIR_CACHE`, else `weir` in `XDG_CACHE_HOME`, else `.cache/weir` in `HOME`.
/// `variable` gives the value of an environment variable.
pub fn default_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("WEIR_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("weir")))
        .or_else(|| Some(folder("HOME")?.join(".cache").join("weir")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, models, with_own_model};
    use crate::{DEFAULT_EMBEDDER, DEFAULT_TAGGER};

    #[test]
    fn plans_share_a_model_for_as_long_as_one_uses_it() {
        let Some(models) = models() else { return };
        let own = Models::open(models.directory());
        let first = own.embedder(DEFAULT_EMBEDDER).unwrap();
        let second = own.clone().embedder(DEFAULT_EMBEDDER).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(block_on(second.embed("still here")).is_ok());
        drop(second);
        assert!(gone.upgrade().is_none());
        assert!(block_on(own.embedder(DEFAULT_EMBEDDER).unwrap().embed("back again")).is_ok());
    }

    #[test]
    fn what_is_asked_of_a_model_before_it_goes_is_answered() {
        let Some(models) = models() else { return };
        let embedder = Models::open(models.directory()).embedder(DEFAULT_EMBEDDER).unwrap();
        let asked = embedder.embed("the last word");
        drop(embedder);
        assert!(block_on(asked).is_ok());
    }

    #[test]
    fn a_folder_without_models_says_how_to_get_them() {
        let folder = tempfile::tempdir().unwrap();
        let models = Models::open(&folder.path().join("nowhere"));
        assert!(models.names().is_empty());
        for error in
            [models.embedder(DEFAULT_EMBEDDER).err().unwrap(), models.tagger(DEFAULT_TAGGER).err().unwrap()]
        {
            assert!(matches!(error, Error::NoModels { .. }), "{error:?}");
            assert!(error.to_string().contains("run `make setup`"), "{error}");
        }
    }

    #[test]
    fn a_wrong_name_or_kind_is_refused_with_the_right_ones() {
        let Some(models) = models() else { return };
        let error = models.embedder("no-such-model").err().unwrap();
        assert!(error.to_string().contains(DEFAULT_EMBEDDER), "{error}");
        let error = models.embedder(DEFAULT_TAGGER).err().unwrap();
        assert_eq!(
            error.to_string(),
            "model `rampart` is of the kind tagger; one of the kind embedder is wanted"
        );
        assert!(matches!(models.embedder("../models/rampart").err().unwrap(), Error::Unknown { .. }));
    }

    #[test]
    fn files_that_are_missing_or_not_those_that_were_pinned_are_refused() {
        let Some(models) = models() else { return };
        let real = models.directory().join("models").join(DEFAULT_EMBEDDER);
        let (folder, own) = with_own_model(DEFAULT_EMBEDDER, &real);
        let model = folder.path().join("models").join(DEFAULT_EMBEDDER);

        std::fs::write(model.join("model.onnx"), b"something else").unwrap();
        let error = own.embedder(DEFAULT_EMBEDDER).err().unwrap();
        assert!(matches!(error, Error::Changed { .. }), "{error:?}");
        assert!(error.to_string().contains("make setup"), "{error}");

        std::fs::remove_file(model.join("tokenizer.json")).unwrap();
        let error = own.embedder(DEFAULT_EMBEDDER).err().unwrap();
        assert_eq!(error, Error::Missing { path: model.join("tokenizer.json") });

        std::fs::write(model.join("model.json"), b"{").unwrap();
        assert!(matches!(own.embedder(DEFAULT_EMBEDDER).err().unwrap(), Error::Manifest { .. }));
    }

    #[test]
    fn a_missing_runtime_says_how_to_get_it() {
        let Some(models) = models() else { return };
        let real = models.directory().join("models").join(DEFAULT_EMBEDDER);
        let (folder, own) = with_own_model(DEFAULT_EMBEDDER, &real);
        std::fs::remove_file(folder.path().join("runtime.json")).unwrap();
        let error = own.embedder(DEFAULT_EMBEDDER).err().unwrap();
        assert!(error.to_string().contains("run `make setup`"), "{error}");
    }

    #[test]
    fn a_second_runtime_in_one_process_is_refused() {
        let Some(models) = models() else { return };
        let _in_memory = models.embedder(DEFAULT_EMBEDDER).unwrap();
        let real = models.directory().join("models").join(DEFAULT_EMBEDDER);
        let (folder, own) = with_own_model(DEFAULT_EMBEDDER, &real);
        let other = r#"{"library": {"file": "other.so", "sha256": "00"}}"#;
        std::fs::write(folder.path().join("runtime.json"), other).unwrap();
        assert!(matches!(own.embedder(DEFAULT_EMBEDDER).err().unwrap(), Error::OtherRuntime { .. }));
    }

    #[test]
    fn the_folder_is_found_as_setup_finds_it() {
        for (set, want) in [
            (vec![("WEIR_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")], Some("/a")),
            (vec![("WEIR_CACHE", ""), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")], Some("/b/weir")),
            (vec![("HOME", "/c")], Some("/c/.cache/weir")),
            (vec![], None),
        ] {
            let variable =
                |name: &str| set.iter().find(|(one, _)| *one == name).map(|(_, value)| value.into());
            assert_eq!(default_directory(variable), want.map(PathBuf::from), "{set:?}");
        }
    }
}
