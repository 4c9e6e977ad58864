//! What tells that files changed: events of the file system, a signal, and a slow look where neither comes.

use super::reload::Reloader;
use super::settle::Burst;
use super::unfinished::Unfinished;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the files are looked at although nothing told of a change (network and overlay file systems tell nothing).
const SLOW_LOOK: Duration = Duration::from_secs(2);
/// How often it is asked whether what was being written is finished.
const STILL: Duration = Duration::from_millis(10);
/// How long something may be unfinished before the log tells.
const PATIENCE: Duration = Duration::from_secs(5);

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
        let mut eyes = Eyes::new(&reloader, events);
        eyes.open();
        // What changed between loading and watching.
        reloader.look(false);
        while let Some(wake) = next(&receiver, &reloader) {
            let Some(wake) = finished(wake, &receiver, &reloader) else { return };
            match wake {
                Wake::Changed => {
                    eyes.open();
                    reloader.look(false);
                }
                Wake::Force => {
                    reloader.refresh();
                    reloader.look(true);
                }
                Wake::Slow => {
                    eyes.open();
                    tick();
                    reloader.refresh();
                    reloader.look(false);
                }
            }
        }
    })?;
    Ok(sender)
}

/// Why the files are looked at.
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

/// Waits until nothing of the set is being written. `None`: stop.
fn finished(wake: Wake, receiver: &Receiver<Nudge>, reloader: &Reloader) -> Option<Wake> {
    let began = reloader.clock.now();
    let mut told = false;
    loop {
        let waited = reloader.clock.now().saturating_sub(began);
        let Some(what) = reloader.unfinished.what(&reloader.dir, waited) else { return Some(wake) };
        if waited > PATIENCE && !std::mem::replace(&mut told, true) {
            let what = what.display();
            tracing::warn!(%what, "a change of the policy set waits until this file is closed, or git's lock is gone");
        }
        match receiver.recv_timeout(STILL) {
            Ok(Nudge::Force) => return Some(Wake::Force),
            Ok(Nudge::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            Ok(Nudge::Changed) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Watches the folder, and the one above it: where the folder itself is replaced or is a link that is swapped, only that one
/// tells.
struct Eyes {
    dir: PathBuf,
    /// What `dir` led to when last opened.
    real: Option<PathBuf>,
    /// Whether something happened to the folder itself: it may be another one now, of the same name.
    blind: Arc<AtomicBool>,
    unfinished: Arc<Unfinished>,
    sender: Sender<Nudge>,
    watcher: Option<RecommendedWatcher>,
}

impl Eyes {
    fn new(reloader: &Reloader, sender: Sender<Nudge>) -> Self {
        let (dir, unfinished) = (reloader.dir.clone(), Arc::clone(&reloader.unfinished));
        Self { dir, real: None, blind: Arc::default(), unfinished, sender, watcher: None }
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
        self.unfinished.forget();
        let Some(real) = real else { return };
        let (sender, dir, inside) = (self.sender.clone(), self.dir.clone(), real.clone());
        let (blind, unfinished) = (Arc::clone(&self.blind), Arc::clone(&self.unfinished));
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            unfinished.event(&event);
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
