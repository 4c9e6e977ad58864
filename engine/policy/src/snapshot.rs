//! The files of a set at one moment, and their revision.

use crate::PolicyError;
use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file may hold at most this many bytes.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;
/// All files of a set together may hold at most this many bytes.
pub const MAX_SET: u64 = 64 * 1024 * 1024;
/// A set has at most this many files, and folders at most this deep.
const MAX_FILES: usize = 10_000;
const MAX_FOLDERS: usize = 32;

/// What identifies the content of a set: BLAKE3 over the sorted paths and contents of its files. Shown as 12 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub [u8; 32]);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The files of a set as they were when read: policies (`.yaml`, `.yml`, but not cases), scripts (`.rhai`), and what stages name
/// in their settings: lists (`.txt`) and JSON Schemas (`.schema.json`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The files, sorted by path.
    pub files: Vec<SnapshotFile>,
    /// What identifies them.
    pub revision: Revision,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its path below the set's root, with `/` between folders.
    pub path: String,
    /// Its text, or why it has none.
    pub content: Result<Arc<str>, String>,
}

impl Snapshot {
    /// A set that is in memory: pairs of path and text.
    pub fn from_files<P: Into<String>, T: Into<Arc<str>>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let limited = |text: Arc<str>| match text.len() as u64 > MAX_FILE {
            true => Err(too_large(text.len() as u64)),
            false => Ok(text),
        };
        let files = files
            .into_iter()
            .map(|(path, text)| SnapshotFile { path: path.into(), content: limited(text.into()) });
        Self::of(files.filter(|file| kind(&file.path).is_some()).collect())
    }

    fn of(mut files: Vec<SnapshotFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut hasher = blake3::Hasher::new();
        for file in &files {
            let (mark, text) = match &file.content {
                Ok(text) => (1u8, &**text),
                Err(why) => (0u8, why.as_str()),
            };
            hasher.update(&(file.path.len() as u64).to_le_bytes());
            hasher.update(file.path.as_bytes());
            hasher.update(&[mark]);
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Self { files, revision: Revision(*hasher.finalize().as_bytes()) }
    }
}

/// Whether a file belongs to a set, and as what.
pub(crate) enum FileKind {
    Policy,
    Script,
    /// What a stage may name in its settings.
    Text,
}

pub(crate) fn kind(path: &str) -> Option<FileKind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, "yaml" | "yml")) if !stem.ends_with(".test") => Some(FileKind::Policy),
        Some((_, "rhai")) => Some(FileKind::Script),
        Some((_, "txt")) => Some(FileKind::Text),
        Some((stem, "json")) if stem.ends_with(".schema") => Some(FileKind::Text),
        _ => None,
    }
}

/// Whether a file of this name is part of a set: policies, scripts, lists and schemas are, cases, hidden files and
/// all else are not.
pub fn is_read(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| !name.starts_with('.') && kind(&name).is_some())
}

fn too_large(len: u64) -> String {
    format!("the file has {len} bytes; at most {MAX_FILE} (4 MiB) are read")
}

/// Reads the files of the set below `dir` (or the one file that it is). Hidden files and folders are left out, so that a
/// mounted ConfigMap, whose files are links into a hidden folder, is read once.
///
/// # Errors
/// Where `dir` itself cannot be read. A file that cannot be read, or is too large, is part of the snapshot and says why.
pub fn snapshot(dir: &Path) -> Result<Snapshot, PolicyError> {
    let unreadable = |error: std::io::Error| PolicyError::Unreadable { path: dir.to_owned(), error };
    let root = dir.canonicalize().map_err(unreadable)?;
    let mut walk = Walk { root: root.clone(), files: Vec::new(), seen: HashSet::new(), bytes: 0 };
    if root.is_file() {
        let name = root.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        walk.root = root.parent().unwrap_or(&root).to_owned();
        walk.file(&root, name);
    } else {
        let entries = std::fs::read_dir(&root).map_err(unreadable)?;
        walk.seen.insert(root.clone());
        walk.folder(entries, "", 0);
    }
    Ok(Snapshot::of(walk.files))
}

struct Walk {
    root: PathBuf,
    files: Vec<SnapshotFile>,
    seen: HashSet<PathBuf>,
    bytes: u64,
}

impl Walk {
    fn folder(&mut self, entries: std::fs::ReadDir, prefix: &str, depth: usize) {
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
        paths.sort();
        for path in paths {
            let Some(name) = path.file_name().map(|n| n.to_string_lossy().into_owned()) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let relative = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            // A link that leads nowhere is a file that cannot be read; what it is named like tells whether it matters.
            let is_dir = path.is_dir();
            if !is_dir && kind(&name).is_none() {
                continue;
            }
            let Ok(real) = path.canonicalize() else {
                self.refuse(
                    relative,
                    "the file cannot be read: it is gone, or a link that leads nowhere".to_owned(),
                );
                continue;
            };
            if !real.starts_with(&self.root) {
                if !is_dir {
                    self.refuse(relative, "the link leads out of the set's folder".to_owned());
                }
                continue;
            }
            if !self.seen.insert(real) {
                continue;
            }
            if !is_dir {
                self.file(&path, relative);
            } else if depth < MAX_FOLDERS {
                match std::fs::read_dir(&path) {
                    Ok(entries) => self.folder(entries, &relative, depth + 1),
                    Err(error) => self.refuse(relative, format!("the folder cannot be read: {error}")),
                }
            }
        }
    }

    fn refuse(&mut self, path: String, why: String) {
        if self.files.len() < MAX_FILES {
            self.files.push(SnapshotFile { path, content: Err(why) });
        }
    }

    fn file(&mut self, path: &Path, relative: String) {
        if self.files.len() >= MAX_FILES {
            return;
        }
        let content = if self.files.len() + 1 == MAX_FILES {
            Err(format!("a set has fewer than {MAX_FILES} files"))
        } else {
            self.content(path)
        };
        self.files.push(SnapshotFile { path: relative, content });
    }

    fn content(&mut self, path: &Path) -> Result<Arc<str>, String> {
        let unreadable = |error: std::io::Error| format!("the file cannot be read: {error}");
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if !about.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        if about.len() > MAX_FILE {
            return Err(too_large(about.len()));
        }
        if self.bytes + about.len() > MAX_SET {
            return Err(format!("the files of a set have at most {MAX_SET} bytes (64 MiB) together"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(too_large(bytes.len() as u64));
        }
        self.bytes += bytes.len() as u64;
        let text = String::from_utf8(bytes).map_err(|e| {
            format!("the file is not UTF-8: byte {} is not part of a character", e.utf8_error().valid_up_to())
        })?;
        Ok(Arc::from(text))
    }
}
