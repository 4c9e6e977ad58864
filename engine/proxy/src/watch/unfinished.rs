//! What is still being written: a file that was changed and not closed, a checkout that git has not ended.

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a lock of git's is waited for. A git that was killed leaves it behind.
const LONGEST_CHECKOUT: Duration = Duration::from_secs(60);

/// Files of the set that somebody writes. A set is not read before they are closed: half a file may well be a valid one.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Mutex<BTreeSet<PathBuf>>);

impl Unfinished {
    /// Learns from an event of the file system.
    pub(crate) fn event(&self, event: &Event) {
        if event.need_rescan() {
            // Events were lost, and with them the ends of writing.
            self.forget();
        }
        for path in event.paths.iter().filter(|path| weir_policy::is_read(path)) {
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => drop(self.files().insert(path.clone())),
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => drop(self.files().remove(path)),
                _ => {}
            }
        }
    }

    /// Forgets all: what follows is another folder, or events of it were lost.
    pub(crate) fn forget(&self) {
        self.files().clear();
    }

    /// Whether a file of the set is open and changed.
    pub(crate) fn is_writing(&self) -> bool {
        !self.files().is_empty()
    }

    /// What the set below `dir` waits for, if it was so for `waited`.
    pub(crate) fn what(&self, dir: &Path, waited: Duration) -> Option<PathBuf> {
        let file = self.files().first().cloned();
        file.or_else(|| git_lock(dir).filter(|lock| waited < LONGEST_CHECKOUT && lock.exists()))
    }

    fn files(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file that git holds while it changes the files of the work tree that `dir` is in (gitrepository-layout(5)).
fn git_lock(dir: &Path) -> Option<PathBuf> {
    let real = dir.canonicalize().ok()?;
    let git = real.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    if git.is_dir() {
        return Some(git.join("index.lock"));
    }
    // A linked work tree or a submodule: the file says where its index is.
    let text = std::fs::read_to_string(&git).ok()?;
    let folder = text.strip_prefix("gitdir:")?.trim();
    Some(git.parent()?.join(folder).join("index.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, DataChange, RemoveKind};

    #[test]
    fn a_file_is_unfinished_from_its_first_change_until_it_is_closed() {
        let file = Path::new("/set/a.yaml");
        let changed = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let moved = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let outside = tempfile::tempdir().unwrap();
        for (name, events, want) in [
            ("a link or an empty file has no writer", vec![EventKind::Create(CreateKind::File)], false),
            ("changed", vec![changed], true),
            ("changed and closed", vec![changed, changed, closed], false),
            ("changed again", vec![changed, closed, changed], true),
            ("gone", vec![changed, EventKind::Remove(RemoveKind::File)], false),
            ("moved away", vec![changed, moved(RenameMode::From)], false),
            ("another is put in its place", vec![moved(RenameMode::To)], false),
        ] {
            let unfinished = Unfinished::default();
            for kind in events {
                unfinished.event(&Event::new(kind).add_path(file.to_owned()));
            }
            let what = unfinished.what(outside.path(), Duration::ZERO);
            assert_eq!(what.as_deref(), want.then_some(file), "{name}");
        }
    }

    #[test]
    fn what_no_set_reads_is_waited_for_by_none() {
        let unfinished = Unfinished::default();
        for path in ["/set/.a.yaml.swp", "/set/a.test.yaml", "/set/notes.md", "/set/.a.yaml"] {
            let event = Event::new(EventKind::Modify(ModifyKind::Data(DataChange::Any)));
            unfinished.event(&event.add_path(PathBuf::from(path)));
        }
        assert_eq!(unfinished.what(Path::new("/"), Duration::ZERO), None);
    }

    #[test]
    fn a_checkout_is_unfinished_while_git_holds_its_lock_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (tree, linked) = (root.join("tree"), root.join("linked"));
        std::fs::create_dir_all(tree.join(".git/worktrees/linked")).unwrap();
        std::fs::create_dir_all(tree.join("policy")).unwrap();
        std::fs::create_dir(&linked).unwrap();
        std::fs::write(linked.join(".git"), "gitdir: ../tree/.git/worktrees/linked\n").unwrap();
        let unfinished = Unfinished::default();
        for (set, lock) in [
            (tree.join("policy"), tree.join(".git/index.lock")),
            (linked.clone(), linked.join("../tree/.git/worktrees/linked/index.lock")),
        ] {
            assert_eq!(unfinished.what(&set, Duration::ZERO), None);
            std::fs::write(&lock, "").unwrap();
            assert_eq!(unfinished.what(&set, Duration::ZERO), Some(lock.clone()));
            assert_eq!(unfinished.what(&set, LONGEST_CHECKOUT), None);
            std::fs::remove_file(&lock).unwrap();
        }
    }
}
