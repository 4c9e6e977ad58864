//! The house stands as `CONTRIBUTING.md` draws it: a crate imports only from floors below its own.

use std::collections::BTreeMap;
use std::process::Command;

/// Each room and its floor. Rooms of one floor know nothing of each other.
const FLOORS: &[(&str, u8)] = &[
    ("weir-diagnostic", 1),
    ("weir-message", 1),
    ("weir-catalog", 2),
    ("weir-dialect", 2),
    ("weir-inference", 2),
    ("weir-policy", 2),
    ("weir-script", 2),
    ("weir-state", 2),
    ("weir-pipeline", 3),
    ("weir-stage", 4),
    ("weir-conformance", 5),
    ("weir-proxy", 5),
    ("weir", 6),
    ("weir-bench", 7),
    ("weir-eval", 7),
    ("weir-fuzz", 7),
];

#[test]
fn every_crate_imports_only_from_floors_below() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(floor) = floors.get(name) else {
            wrong.push(format!("{name} has no floor: add it to the house"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let is_test = dependency["kind"] == "dev";
            if let Some(other_floor) = floors.get(other)
                && other_floor >= floor
                && !(is_test && other_floor == floor)
            {
                wrong.push(format!("{name} (floor {floor}) imports {other} (floor {other_floor})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
