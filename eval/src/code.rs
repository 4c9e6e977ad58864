//! Ordinary code: the sources of the crates that `Cargo.lock` pins, and of the Python packages that were fetched for data.

use crate::room::{Outcome, Room};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files larger than this are tables or generated, not code that people send.
const LARGEST: u64 = 256 * 1024;

/// A file of code.
pub(crate) struct Code {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Code {
    /// Its lines.
    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

/// The folders of all crates of the workspace's lock file.
fn crates() -> Outcome<Vec<PathBuf>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(Room::repository())
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let manifests = packages.iter().filter_map(|package| package["manifest_path"].as_str());
    let mut folders: Vec<PathBuf> =
        manifests.filter_map(|path| Some(Path::new(path).parent()?.into())).collect();
    folders.sort();
    Ok(folders)
}

/// Files with one of these endings, in the order of their paths.
fn gather(folder: &Path, endings: &[&str], all: &mut Vec<PathBuf>) -> Outcome<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && entry.file_name() != "target" {
            gather(&path, endings, all)?;
        } else if kind.is_file()
            && path.extension().and_then(|end| end.to_str()).is_some_and(|end| endings.contains(&end))
            && entry.metadata()?.len() <= LARGEST
        {
            all.push(path);
        }
    }
    Ok(())
}

/// Code of at most about so many lines: every n-th file of all there is.
pub(crate) fn sources(room: &Room, lines: usize) -> Outcome<Vec<Code>> {
    let mut paths = Vec::new();
    for folder in crates()? {
        gather(&folder, &["rs", "toml", "c", "h", "py", "js", "sh"], &mut paths)?;
    }
    if !room.quick {
        gather(&room.fetched("code")?, &["py", "js", "ts"], &mut paths)?;
    }
    paths.dedup();
    // A prime stride over the sorted paths takes files of all crates alike.
    let stride = 7919 % paths.len().max(1);
    let (mut code, mut seen, mut at) = (Vec::new(), 0, 0);
    for _ in 0..paths.len() {
        at = (at + stride.max(1)) % paths.len();
        let Some(path) = paths.get(at) else { break };
        if let Ok(text) = std::fs::read_to_string(path) {
            let one = Code { path: path.clone(), text };
            seen += one.lines();
            code.push(one);
        }
        if seen >= lines {
            break;
        }
    }
    Ok(code)
}
