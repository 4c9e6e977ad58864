//! Sets in folders: what is read, what is left out, what is refused before it costs anything.

use crate::{loaded_from, shown};
use std::path::{Path, PathBuf};
use weir_policy::{MAX_FILE, Snapshot, snapshot};

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-policy-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn paths(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn policies_and_scripts_are_read_cases_and_hidden_files_are_not() {
    let folder = Folder::new("kinds");
    for path in [
        "a.yaml",
        "b.yml",
        "team/c.yaml",
        "s.rhai",
        "a.test.yaml",
        ".git/x.yaml",
        ".hidden.yaml",
        "README.md",
    ] {
        folder.write(path, "weir: v1\n");
    }
    let snapshot = snapshot(&folder.0).unwrap();
    assert_eq!(paths(&snapshot), ["a.yaml", "b.yml", "s.rhai", "team/c.yaml"]);
}

#[test]
fn the_revision_follows_content_and_path_only() {
    let one = Snapshot::from_files([("a.yaml", "weir: v1\n"), ("b.yaml", "")]);
    let again =
        Snapshot::from_files([("b.yaml", ""), ("a.yaml", "weir: v1\n"), ("a.test.yaml", "cases: []")]);
    assert_eq!(one.revision, again.revision);
    for other in [
        vec![("a.yaml", "weir: v1\n ")],
        vec![("c.yaml", "weir: v1\n"), ("b.yaml", "")],
        vec![("a.yaml", "weir: v1\n"), ("b.yaml", ""), ("x.rhai", "")],
    ] {
        assert_ne!(one.revision, Snapshot::from_files(other).revision);
    }
}

#[cfg(unix)]
#[test]
fn a_mounted_config_map_is_read_once() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new("configmap");
    folder.write("..2026_11_24/policy.yaml", "weir: v1\nparams: { a: 1 }\n");
    symlink("..2026_11_24", folder.0.join("..data")).unwrap();
    symlink("..data/policy.yaml", folder.0.join("policy.yaml")).unwrap();
    let snapshot = snapshot(&folder.0).unwrap();
    assert_eq!(paths(&snapshot), ["policy.yaml"]);
    assert!(loaded_from(&snapshot).set.is_some());
}

#[cfg(unix)]
#[test]
fn links_in_circles_out_of_the_set_and_to_nowhere_do_no_harm() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new("links");
    folder.write("set/a.yaml", "weir: v1\n");
    folder.write("outside.yaml", "params: { secret: 1 }\n");
    let set = folder.0.join("set");
    symlink(".", set.join("loop")).unwrap();
    symlink("a.yaml", set.join("same.yaml")).unwrap();
    symlink("../outside.yaml", set.join("out.yaml")).unwrap();
    symlink("missing.yaml", set.join("gone.yaml")).unwrap();
    let snapshot = snapshot(&set).unwrap();
    assert_eq!(paths(&snapshot), ["a.yaml", "gone.yaml", "out.yaml"]);
    insta::assert_snapshot!(shown(&loaded_from(&snapshot)));
}

#[test]
fn a_file_of_a_gibibyte_is_refused_unread() {
    let folder = Folder::new("gibibyte");
    folder.write("a.yaml", "weir: v1\n");
    let huge = std::fs::File::create(folder.0.join("huge.yaml")).unwrap();
    huge.set_len(1 << 30).unwrap();
    let snapshot = snapshot(&folder.0).unwrap();
    let held: usize = snapshot.files.iter().map(|f| f.content.as_ref().map_or(0, |text| text.len())).sum();
    assert!(held as u64 <= MAX_FILE);
    insta::assert_snapshot!(shown(&loaded_from(&snapshot)));
}

#[test]
fn what_is_not_text_is_refused_and_the_rest_is_still_judged() {
    let folder = Folder::new("bytes");
    folder.write("a.yaml", b"weir: v1\nparams: { a: \xff }\n");
    folder.write("b.yaml", "modles: {}\n");
    let loaded = loaded_from(&snapshot(&folder.0).unwrap());
    let found: Vec<&str> = loaded.diagnostics.iter().map(|d| d.code.id()).collect();
    assert_eq!(found, ["unreadable-file", "unknown-section"]);
}

#[test]
fn one_file_is_a_set_and_a_missing_folder_is_an_error() {
    let folder = Folder::new("one");
    folder.write("a.yaml", "weir: v1\n");
    assert_eq!(paths(&snapshot(&folder.0.join("a.yaml")).unwrap()), ["a.yaml"]);
    let error = snapshot(Path::new("/no/such/folder")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /no/such/folder: "), "{error}");
}

#[test]
fn two_hundred_pipelines_of_eight_stages_are_read_whole() {
    let mut text = String::from("weir: v1\npipelines:\n");
    for p in 0..200 {
        text.push_str(&format!("  - pipeline: p{p}\n    when: request.model == \"m{p}\"\n    stages:\n"));
        for s in 0..8 {
            text.push_str(&format!("      - guard: s{s}\n        cel: request.tokens < {s}\n"));
        }
    }
    let loaded = loaded_from(&Snapshot::from_files([("a.yaml", text)]));
    let set = loaded.set.unwrap();
    assert_eq!(set.pipelines.iter().map(|p| p.stages.len()).sum::<usize>(), 1600);
}
