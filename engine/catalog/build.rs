//! Lists the files of `data/`, so that a provider is one YAML file and nothing else.

use std::fmt::Write;
use std::path::Path;
use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=data");
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let mut names = Vec::new();
    for entry in fs::read_dir(Path::new(&root).join("data"))? {
        let name =
            entry?.file_name().into_string().map_err(|name| format!("{name:?} is no name of a file"))?;
        names.extend(name.strip_suffix(".yaml").map(str::to_owned));
    }
    names.sort();
    let mut table = String::from("&[\n");
    for name in names {
        let path = Path::new(&root).join("data").join(format!("{name}.yaml"));
        writeln!(table, "    ({name:?}, include_str!({path:?})),")?;
    }
    table.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("files.rs"), table)?;
    Ok(())
}
