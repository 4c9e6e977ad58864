//! One reload: files read twice and equal, compiled, swapped in; or refused, saying why.

use super::current::{Current, LastError};
use super::unfinished::Unfinished;
use crate::listener::{Bound, ListenerSpec, moved};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_pipeline::{Clock, Plan};
use weir_policy::{Revision, Snapshot};

/// Between two readings that must be equal.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the files are read again while they differ from one reading to the next.
const PATIENCE: u32 = 50;

/// Makes a plan of the files. What is above hands it in, so that this room names no stage.
pub trait Loader: Send + Sync {
    /// Parses, compiles and warms. Called off the proxy's threads; may take its time.
    ///
    /// # Errors
    /// All that is wrong with the set.
    fn load(&self, snapshot: Snapshot) -> Result<Ready, Rejected>;

    /// The set in force, compiled anew, if a secret that lives in a file changed since. `None` if none did, or if the new ones
    /// cannot be taken, which the log says. Called about every two seconds.
    fn refreshed(&self) -> Option<Ready> {
        None
    }
}

/// A set that can take effect.
pub struct Ready {
    /// The set, compiled.
    pub plan: Arc<Plan>,
    /// Its listeners.
    pub listeners: Vec<ListenerSpec>,
}

/// Why a set does not take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// All diagnostics, rendered.
    pub diagnostics: String,
    /// How many errors.
    pub count: usize,
}

impl Rejected {
    /// One error.
    pub fn one(diagnostic: impl Into<String>) -> Self {
        Self { diagnostics: diagnostic.into(), count: 1 }
    }
}

/// Brings changes of the files into force.
pub(crate) struct Reloader {
    pub dir: PathBuf,
    pub loader: Arc<dyn Loader>,
    pub current: Arc<Current>,
    pub clock: Arc<dyn Clock>,
    /// The listeners that are bound; only another process can bind others.
    pub bound: Vec<Arc<Bound>>,
    /// What was last looked at, good or bad.
    pub seen: Option<Revision>,
    /// What is being written at the moment.
    pub unfinished: Arc<Unfinished>,
}

impl Reloader {
    /// Looks at the files and, if they changed since the last look (or `force`), brings them into force.
    pub(crate) fn look(&mut self, force: bool) {
        match self.settled(force) {
            Ok(None) => {}
            Ok(Some(snapshot)) => {
                let revision = snapshot.revision;
                self.seen = Some(revision);
                self.load(snapshot, revision);
            }
            Err(error) => {
                // The folder is gone, or for a moment: said once, not at every look.
                if self.seen.take().is_some() {
                    self.refuse("unreadable".to_owned(), Rejected::one(error));
                }
            }
        }
    }

    /// Takes up secrets that changed in their files: the same revision, with them.
    pub(crate) fn refresh(&self) {
        let refreshed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.loader.refreshed()));
        let Ok(Some(ready)) = refreshed else { return };
        self.adopt(&ready.listeners);
        self.current.renew(ready.plan);
        tracing::info!(revision = self.current.status().revision, "secrets changed and were taken up");
    }

    /// Takes over what of listeners can change in place.
    fn adopt(&self, specs: &[ListenerSpec]) {
        for spec in specs {
            if let Some(bound) = self.bound.iter().find(|bound| bound.name == spec.name) {
                bound.adopt(spec);
            }
        }
    }

    /// The files, if they changed, once two readings agree and nobody has begun to write in the meantime.
    fn settled(&self, force: bool) -> Result<Option<Snapshot>, String> {
        let read = || weir_policy::snapshot(&self.dir).map_err(|error| error.to_string());
        let mut last = read()?;
        if !force && self.seen == Some(last.revision) {
            return Ok(None);
        }
        for _ in 0..PATIENCE {
            std::thread::sleep(PAUSE);
            let next = read()?;
            if next.revision == last.revision && (force || !self.unfinished.is_writing()) {
                let changed = force || self.seen != Some(next.revision);
                return Ok(changed.then_some(next));
            }
            last = next;
        }
        // Still being written: the next event or look finds it.
        Ok(None)
    }

    fn load(&self, snapshot: Snapshot, revision: Revision) {
        let began = self.clock.now();
        let name = revision.to_string();
        let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.loader.load(snapshot)))
            .unwrap_or_else(|_| {
                Err(Rejected::one("the compiler of plans broke off; please report this set"))
            });
        let ready = loaded.and_then(|ready| match moved(&self.bound, &ready.listeners) {
            None => Ok(ready),
            Some(what) => Err(Rejected::one(format!(
                "needs-upgrade: {what}; sockets are bound at the start, so start a new process with --upgrade"
            ))),
        });
        match ready {
            Ok(ready) => {
                self.adopt(&ready.listeners);
                self.current.accept(ready.plan, self.clock.unix_nanos());
                let took = self.clock.now().saturating_sub(began);
                tracing::info!(
                    revision = name,
                    took_ms = took.as_millis() as u64,
                    "the policy set took effect"
                );
            }
            Err(rejected) => self.refuse(name, rejected),
        }
    }

    fn refuse(&self, revision: String, rejected: Rejected) {
        let in_force = self.current.status();
        tracing::error!(
            revision,
            in_force = in_force.revision,
            errors = rejected.count,
            "the policy set does not take effect\n{}",
            rejected.diagnostics
        );
        self.current.refuse(LastError {
            revision,
            at_unix_nanos: self.clock.unix_nanos(),
            count: rejected.count,
            diagnostics: rejected.diagnostics,
        });
    }
}
