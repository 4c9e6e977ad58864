//! ONNX Runtime, loaded once for the process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::{Error, manifest};

struct Loaded {
    library: PathBuf,
    sha256: String,
    environment: Environment,
}

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// The process's runtime, loaded now from the folder's library if it is not yet.
///
/// A folder with the same library (by content) shares it; one with another library is refused.
pub(crate) fn environment(directory: &Path) -> Result<Environment, Error> {
    let pinned = manifest::runtime(directory)?.library;
    let library = pinned.path(directory);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some(one) if one.sha256 == pinned.sha256 => Ok(one.environment.clone()),
        Some(one) => Err(Error::OtherRuntime { loaded: one.library.clone(), asked: library }),
        None => {
            pinned.read(directory)?;
            let fault = |cause: String| Error::Runtime { path: library.clone(), cause };
            let environment = ort::init_from(&library)
                .map_err(|cause| fault(cause.to_string()))?
                .with_name("weir")
                .with_telemetry(false)
                .build()
                .map_err(|cause| fault(cause.to_string()))?;
            *loaded = Some(Loaded { library, sha256: pinned.sha256, environment: environment.clone() });
            Ok(environment)
        }
    }
}
