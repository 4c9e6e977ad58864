//! Totals in a file of this machine.

use super::KEPT;
use super::total::Key;
use super::writer::{Row, Store};
use crate::StateError;
use crate::database::{self, Opening, words};
use redb::{Database, ReadableTable, TableDefinition};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Meter, subject, what in which kind of window, which one of its kind: what is spent and leased, when the window ends (seconds
/// since 1970), the highest threshold that was told.
const TOTALS: TableDefinition<'_, RowKey<'_>, RowValue> = TableDefinition::new("totals");
type RowKey<'a> = (&'a str, &'a str, u8, i64);
type RowValue = (u64, i64, u64);
/// The end of a window that has none.
const NEVER: i64 = i64::MAX;

/// A file.
pub(super) struct FileStore {
    path: PathBuf,
    /// None after a failure: then it is opened anew.
    database: Option<Database>,
}

impl FileStore {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let mut file = Self { path: path.to_owned(), database: None };
        file.database = Some(database(path, true).map_err(|reason| file.error(&reason))?);
        Ok(file)
    }
}

impl Store for FileStore {
    fn commit(&mut self, rows: &mut [Row], now: i64, prunes: bool) -> Result<(), StateError> {
        let database = match self.database.take() {
            Some(database) => Ok(database),
            None => database(&self.path, false),
        };
        let committed = database.and_then(|database| {
            // A defect of the file's is no reason to take requests down with it.
            let committed = catch_unwind(AssertUnwindSafe(|| commit(&database, rows, prunes.then_some(now))));
            committed.unwrap_or_else(|_| Err("writing it broke off".to_owned()))?;
            self.database = Some(database);
            Ok(())
        });
        committed.map_err(|reason| self.error(&reason))
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn error(&self, reason: &str) -> StateError {
        StateError::File { path: self.path.clone(), reason: reason.to_owned() }
    }
}

fn commit(database: &Database, rows: &mut [Row], prune_before: Option<i64>) -> Result<(), String> {
    let transaction = database.begin_write().map_err(words)?;
    {
        let mut table = transaction.open_table(TOTALS).map_err(words)?;
        for row in rows {
            let Key { meter, subject, window, .. } = &row.total.key;
            let key = (&**meter, &**subject, row.total.key.kind(), window.number);
            let (stands, told) = match table.get(key).map_err(words)? {
                Some(found) => {
                    let (stands, _, told) = found.value();
                    (stands, told)
                }
                None => (0, 0),
            };
            row.others = stands.saturating_sub(row.written);
            row.told = row.told.max(told);
            let value = (row.others.saturating_add(row.goal), window.ends.unwrap_or(NEVER), row.told);
            table.insert(key, value).map_err(words)?;
        }
        if let Some(now) = prune_before {
            table.retain(|_, (_, ends, _)| ends.saturating_add(KEPT) >= now).map_err(words)?;
        }
    }
    transaction.commit().map_err(words)
}

/// Opens the file, every page of it checked.
fn database(path: &Path, may_create: bool) -> Result<Database, String> {
    let opening = Opening {
        kind: "format",
        format: 1,
        may_create,
        checks_all: true,
        cache: 32 << 20,
        empty: "it is empty, so what was spent is lost; remove it to begin anew",
    };
    database::open(path, opening, |transaction| transaction.open_table(TOTALS).map(drop).map_err(words))
}
