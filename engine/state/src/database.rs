//! Files that keep state: opened with care, and never changed where they cannot be used.

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, StorageError,
    TableDefinition, TableHandle, WriteTransaction,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What the file says of itself: its form, under its kind.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// How a file is opened.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    /// What it keeps.
    pub kind: &'static str,
    /// The form of what is in it.
    pub format: u64,
    pub may_create: bool,
    /// Whether every page is checked.
    pub checks_all: bool,
    /// Pages kept in memory, in bytes.
    pub cache: usize,
    /// What is said of one without a byte.
    pub empty: &'static str,
}

fn builder(opening: Opening) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(opening.cache).set_concurrency_mode(ConcurrencyMode::MultiWriter);
    builder
}

/// Opens a file, or makes it with its tables. Several processes may have it open.
pub(crate) fn open(
    path: &Path,
    opening: Opening,
    make_tables: fn(&WriteTransaction) -> Result<(), String>,
) -> Result<Database, String> {
    looks_well(path, opening)?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = builder(opening);
        let database =
            builder.set_check_integrity_on_open(opening.checks_all).create(path).map_err(open_words)?;
        if !is_ours(&database, opening)? {
            let transaction = database.begin_write().map_err(words)?;
            let mut about = transaction.open_table(ABOUT).map_err(words)?;
            about.insert(opening.kind, opening.format).map(drop).map_err(words)?;
            drop(about);
            make_tables(&transaction)?;
            transaction.commit().map_err(words)?;
        }
        Ok(database)
    }));
    opened.unwrap_or_else(|_| Err(damaged("its structure cannot be read")))
}

/// Opens a file to read it, beside those who write it. `None`: nobody has it open, and it was not closed well.
pub(crate) fn read(path: &Path, opening: Opening) -> Result<Option<ReadOnlyDatabase>, String> {
    looks_well(path, Opening { may_create: false, ..opening })?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = match builder(opening).open_read_only(path) {
            Ok(database) => database,
            Err(DatabaseError::RepairAborted) => return Ok(None),
            Err(error) => return Err(open_words(error)),
        };
        match is_ours(&database, opening)? {
            true => Ok(Some(database)),
            false => Err("there is nothing in it".to_owned()),
        }
    }));
    opened.unwrap_or_else(|_| Err(damaged("its structure cannot be read")))
}

fn looks_well(path: &Path, opening: Opening) -> Result<(), String> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => Err("it is no file".to_owned()),
        Ok(metadata) if metadata.len() == 0 => Err(opening.empty.to_owned()),
        Err(error) if !opening.may_create || error.kind() != std::io::ErrorKind::NotFound => {
            Err(error.to_string())
        }
        _ => Ok(()),
    }
}

/// Checks that a file is ours; `false` if it is new.
fn is_ours(database: &impl ReadableDatabase, opening: Opening) -> Result<bool, String> {
    let foreign = || "it is a database of another program".to_owned();
    let reading = database.begin_read().map_err(words)?;
    let names: Vec<String> =
        reading.list_tables().map_err(words)?.map(|table| table.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(false);
    }
    if !names.iter().any(|name| name == ABOUT.name()) {
        return Err(foreign());
    }
    let table = reading.open_table(ABOUT).map_err(|_| foreign())?;
    match table.get(opening.kind).map_err(words)?.map(|format| format.value()) {
        Some(format) if format == opening.format => Ok(true),
        Some(other) => Err(format!("it was written by another version of Weir (form {other})")),
        None => Err("it keeps something else".to_owned()),
    }
}

fn damaged(what: &str) -> String {
    format!("it is damaged ({what}); put back a copy, or move it aside to begin with nothing spent")
}

fn open_words(error: DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            "another program has locked it".to_owned()
        }
        DatabaseError::Storage(StorageError::Corrupted(what)) => damaged(&what),
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == std::io::ErrorKind::InvalidData =>
        {
            damaged("it does not begin as a database")
        }
        other => other.to_string(),
    }
}

pub(crate) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
