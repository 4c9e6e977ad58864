//! What tells that files changed: events of the file system, a signal, and a slow look where neither comes.

use super::reload::Reloader;
use super::settle::Burst;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the files are looked at although nothing told of a change (network and overlay file systems tell nothing).
const SLOW_LOOK: Duration = Duration::from_secs(2);

/// What wakes the thread that reloads.
#[derive(Debug)]
pub(crate) enum Nudge {
    /// Something changed below the folder.
    Changed,
    /// Reload whether or not something changed.
    Force,
    /// The process ends.
    Stop,
}

/// Starts the thread that reloads. `tick` runs at every slow look (certificates live outside the set).
pub(crate) fn watch(
    mut reloader: Reloader,
    tick: impl Fn() + Send + 'static,
) -> std::io::Result<Sender<Nudge>> {
    let (sender, receiver) = channel();
    let events = sender.clone();
    std::thread::Builder::new().name("weir-reload".to_owned()).spawn(move || {
        let mut eyes = Eyes::new(reloader.dir.clone(), events);
        eyes.open();
        // What changed between loading and watching.
        reloader.look(false);
        while let Some(wake) = next(&receiver, &reloader) {
            match wake {
                Wake::Changed => {
                    eyes.open();
                    reloader.look(false);
                }
                Wake::Force => {
                    reloader.loader.refresh_secrets();
                    reloader.look(true);
                }
                Wake::Slow => {
                    eyes.open();
                    tick();
                    reloader.loader.refresh_secrets();
                    reloader.look(false);
                }
            }
        }
    })?;
    Ok(sender)
}

enum Wake {
    Changed,
    Force,
    Slow,
}

/// Waits for the next reason to look; a burst of changes is one reason. `None`: stop.
fn next(receiver: &Receiver<Nudge>, reloader: &Reloader) -> Option<Wake> {
    match receiver.recv_timeout(SLOW_LOOK) {
        Ok(Nudge::Changed) => {}
        Ok(Nudge::Force) => return Some(Wake::Force),
        Err(RecvTimeoutError::Timeout) => return Some(Wake::Slow),
        Ok(Nudge::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
    }
    let mut burst = Burst::begin(reloader.clock.now());
    while let Some(left) = burst.wait(reloader.clock.now()) {
        match receiver.recv_timeout(left) {
            Ok(Nudge::Changed) => burst.event(reloader.clock.now()),
            Ok(Nudge::Force) => return Some(Wake::Force),
            Ok(Nudge::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Some(Wake::Changed)
}

/// Watches the folder, and the one above it: where the folder itself is replaced or is a link that is swapped, only that one
/// tells.
struct Eyes {
    dir: PathBuf,
    /// What `dir` led to when last opened.
    real: Option<PathBuf>,
    /// Whether something happened to the folder itself: it may be another one now, of the same name.
    blind: Arc<AtomicBool>,
    sender: Sender<Nudge>,
    watcher: Option<RecommendedWatcher>,
}

impl Eyes {
    fn new(dir: PathBuf, sender: Sender<Nudge>) -> Self {
        Self { dir, real: None, blind: Arc::default(), sender, watcher: None }
    }

    /// Watches, unless what is watched is still the right folder.
    fn open(&mut self) {
        let real = self.dir.canonicalize().ok();
        let blind = self.blind.swap(false, Ordering::AcqRel);
        if self.watcher.is_some() && real == self.real && !blind {
            return;
        }
        self.real.clone_from(&real);
        self.watcher = None;
        let Some(real) = real else { return };
        let (sender, dir, inside) = (self.sender.clone(), self.dir.clone(), real.clone());
        let blind = Arc::clone(&self.blind);
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if matters(&event, &dir, &inside) {
                if event.paths.iter().any(|path| *path == inside || !path.starts_with(&inside)) {
                    blind.store(true, Ordering::Release);
                }
                let _ = sender.send(Nudge::Changed);
            }
        });
        let mut watcher = match made {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(%error, "file events are not available; changes are found within two seconds");
                return;
            }
        };
        let mode = if real.is_dir() { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        if let Err(error) = watcher.watch(&real, mode) {
            tracing::warn!(%error, "the policy folder cannot be watched; changes are found within two seconds");
        }
        let above = match self.dir.parent() {
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
            None => return,
        };
        // Not essential: the slow look finds what it would tell.
        let _ = watcher.watch(above, RecursiveMode::NonRecursive);
        self.watcher = Some(watcher);
    }
}

/// Whether an event can mean other content. Our own reading causes events, too.
fn matters(event: &Event, dir: &Path, real: &Path) -> bool {
    let kind = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    kind && (event.paths.is_empty()
        || event.paths.iter().any(|path| path.starts_with(real) || path.file_name() == dir.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, ModifyKind};

    #[test]
    fn only_events_that_can_mean_other_content_matter() {
        let event = |kind, path: &str| Event::new(kind).add_path(PathBuf::from(path));
        let (dir, real) = (Path::new("/etc/policy"), Path::new("/data/policy-1"));
        for (event, want) in [
            (event(EventKind::Modify(ModifyKind::Any), "/data/policy-1/a.yaml"), true),
            (event(EventKind::Create(CreateKind::Any), "/data/policy-1/..data"), true),
            (event(EventKind::Access(AccessKind::Open(AccessMode::Any)), "/data/policy-1/a.yaml"), false),
            (event(EventKind::Access(AccessKind::Close(AccessMode::Write)), "/data/policy-1/a.yaml"), true),
            (event(EventKind::Modify(ModifyKind::Any), "/etc/policy"), true),
            (event(EventKind::Modify(ModifyKind::Any), "/etc/passwd"), false),
        ] {
            assert_eq!(matters(&event, dir, real), want, "{event:?}");
        }
    }
}
