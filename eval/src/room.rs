//! What all suites share: where data and models lie, and how much is measured.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use weir_inference::{Models, default_directory};

/// What went wrong, for people.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The room that suites are measured in.
pub(crate) struct Room {
    /// Only what needs nothing but this repository.
    pub(crate) quick: bool,
    /// Whether misses and false alarms are told.
    pub(crate) show: bool,
    /// The models, unless `WEIR_MODELS=none`.
    pub(crate) models: Option<Models>,
    /// Where `eval/prepare.py` put what it fetched.
    cache: PathBuf,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Room {
    pub(crate) fn open(quick: bool, show: bool) -> Outcome<Self> {
        let cache = default_directory(|name| std::env::var_os(name)).ok_or("no HOME to look for data in")?;
        let none = std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none");
        let models = (!none).then(|| Models::open(&cache));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
        Ok(Self { quick, show, models, cache: cache.join("eval"), runtime })
    }

    /// The repository.
    pub(crate) fn repository() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    /// A file that is committed in `eval/data`.
    pub(crate) fn committed(name: &str) -> PathBuf {
        Self::repository().join("eval/data").join(name)
    }

    /// A file that `eval/prepare.py` made.
    pub(crate) fn fetched(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.cache.join(name);
        match path.exists() {
            true => Ok(path),
            false => Err(format!("{} is missing: run `make eval`", path.display()).into()),
        }
    }

    /// Tells on standard error, if that is wanted.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.show {
            eprintln!("{}", what());
        }
    }
}

/// The lines of a file of JSON values.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path) -> Outcome<Vec<T>> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    let each = |line: &str| serde_json::from_str(line).map_err(|error| told(&error).into());
    text.lines().filter(|line| !line.trim().is_empty()).map(each).collect()
}

/// A committed file of YAML.
pub(crate) fn yaml<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}
