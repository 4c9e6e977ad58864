//! What the tests of this crate share: the real models.

use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::{Models, default_directory, manifest};

/// The models that `make setup` fetched, shared by the tests of a process. None only where `WEIR_MODELS=none` says that
/// they are not wanted; a test without them fails.
pub(crate) fn models() -> Option<Models> {
    static MODELS: OnceLock<Models> = OnceLock::new();
    if std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none") {
        println!("skipped: WEIR_MODELS=none");
        return None;
    }
    let open = || {
        let directory =
            default_directory(|name| std::env::var_os(name)).expect("no HOME to look for models in");
        assert!(
            !manifest::names(&directory).is_empty(),
            "no models in {}: run `make setup`, or set WEIR_MODELS=none to leave these tests out",
            directory.display()
        );
        Models::open(&directory)
    };
    Some(MODELS.get_or_init(open).clone())
}

/// A folder of its own with the real runtime and one model: a copy of the folder `from`.
pub(crate) fn with_own_model(name: &str, from: &Path) -> (TempDir, Models) {
    let real = models().expect("the caller has asked whether models are wanted");
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models").join(name);
    std::fs::create_dir_all(&model).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    std::fs::copy(real.directory().join("runtime.json"), folder.path().join("runtime.json")).unwrap();
    std::os::unix::fs::symlink(real.directory().join("onnxruntime"), folder.path().join("onnxruntime"))
        .unwrap();
    let models = Models::open(folder.path());
    (folder, models)
}

/// Waits for a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
