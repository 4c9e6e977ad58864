//! Keys that are made and changed while a gateway serves: in a file of their own, hashed, each change on disk before it is
//! acknowledged and written down in a chain that shows what was taken out of it.
//!
//! The way of a request finds keys in memory alone. One process changes the file at a time; others that have it open see its changes
//! when they start.

mod audit;
mod row;
#[cfg(test)]
mod tests;

pub use audit::{AuditEntry, Chain};
pub use row::{KeySettings, StoredKey};

use super::{KeyRow, digest, lookup_in};
use crate::StateError;
use crate::database::{self, Opening, words};
use ahash::RandomState;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use row::Previous;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use weir_message::Caller;

/// The keys, by id.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// Their ids, by name.
const NAMES: TableDefinition<'_, &str, &str> = TableDefinition::new("names");
/// What was done, by number.
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
/// What requests with an idempotency key came to: digest of the request, id of the key, seconds since 1970 UTC.
const ONCE: TableDefinition<'_, &str, (&[u8], &str, i64)> = TableDefinition::new("once");

/// How long an idempotency key is remembered, in seconds.
const ONCE_FOR: i64 = 86_400;

const OPENING: Opening = Opening {
    kind: "keys",
    format: 1,
    may_create: true,
    checks_all: false,
    cache: 4 << 20,
    empty: "there is not a byte in it: move it aside to begin without keys",
};

/// Keys that are made and changed while a gateway serves.
#[derive(Default)]
pub struct KeyStore {
    rows: papaya::HashMap<[u8; 32], Arc<KeyRow>, RandomState>,
    file: OnceLock<(PathBuf, Database)>,
    /// One change at a time.
    changing: Mutex<()>,
}

/// Who changes something, when, and once for which request.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Who.
    pub actor: &'a str,
    /// When, in seconds since 1970 UTC.
    pub now: i64,
    /// The idempotency key of the request, and a digest of what it asks for.
    pub once: Option<(&'a str, [u8; 32])>,
}

/// What became of a wish for a new key.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there.
    New(StoredKey),
    /// The same request was made before: this key came of it.
    Before(StoredKey),
}

impl KeyStore {
    /// The path of the file that goes with a state file.
    pub fn beside(state: &Path) -> PathBuf {
        let mut name = state.as_os_str().to_owned();
        name.push(".keys");
        name.into()
    }

    /// Keeps keys in a file from now on; it is made if there is none.
    ///
    /// # Errors
    /// The file cannot be used. Nothing is done to it.
    pub fn open(&self, path: &Path) -> Result<(), StateError> {
        let failed = |reason: String| StateError::File { path: path.to_owned(), reason };
        let make = |writing: &WriteTransaction| -> Result<(), String> {
            writing.open_table(KEYS).map_err(words)?;
            writing.open_table(NAMES).map_err(words)?;
            writing.open_table(AUDIT).map_err(words)?;
            writing.open_table(ONCE).map(drop).map_err(words)
        };
        let database = database::open(path, OPENING, make).map_err(failed)?;
        let all: Result<Vec<StoredKey>, String> = (|| {
            let reading = database.begin_read().map_err(words)?;
            let table = reading.open_table(KEYS).map_err(words)?;
            let rows = table.iter().map_err(words)?;
            rows.map(|row| parse(row.map_err(words)?.1.value())).collect()
        })();
        for key in all.map_err(failed)? {
            self.remember(&key);
        }
        self.file
            .set((path.to_owned(), database))
            .map_err(|_| failed("the keys have a file already".to_owned()))
    }

    /// Whether keys can be made.
    pub fn is_kept(&self) -> bool {
        self.file.get().is_some()
    }

    /// Who shows this key, from that address, at that time (seconds since 1970 UTC).
    pub fn lookup(&self, presented: &str, from: Option<IpAddr>, now: i64) -> Option<Arc<Caller>> {
        if self.rows.is_empty() {
            return None;
        }
        let digest = digest(presented);
        lookup_in(self.rows.pin().get(&digest)?, &digest, from, now)
    }

    /// Makes a key of these settings, known by the digest of `key`, whose first letters are kept to find it by.
    ///
    /// # Errors
    /// There is one of that name, or the file cannot be written.
    pub fn create(
        &self,
        id: &str,
        settings: KeySettings,
        key: &str,
        act: Act<'_>,
    ) -> Result<Created, StateError> {
        settings.check()?;
        let made = StoredKey::new(id, settings, key, act.now);
        let (created, _) = self.write(act, |tables| {
            if let Some((name, wanted)) = act.once {
                let before = tables.once.get(name).map_err(words)?.map(|row| {
                    let (wish, id, at) = row.value();
                    (wish == wanted, id.to_owned(), at)
                });
                match before {
                    Some((is_same, id, at)) if at > act.now - ONCE_FOR => {
                        if !is_same {
                            return Err(StateError::OtherRequest.into());
                        }
                        return Ok((Created::Before(tables.key(&id)?), None));
                    }
                    _ => {}
                }
                tables.once.insert(name, (&wanted[..], id, act.now)).map_err(words)?;
                tables.once.retain(|_, (_, _, at)| at > act.now - ONCE_FOR).map_err(words)?;
            }
            if tables.names.get(&*made.settings.name).map_err(words)?.is_some() {
                return Err(StateError::KeyNameTaken.into());
            }
            tables.names.insert(&*made.settings.name, id).map_err(words)?;
            tables.put(&made)?;
            Ok((Created::New(made.clone()), Some(("key.create", made.clone()))))
        })?;
        if let Created::New(key) = &created {
            self.remember(key);
        }
        Ok(created)
    }

    /// The key of this id.
    ///
    /// # Errors
    /// There is none, or the file cannot be read.
    pub fn get(&self, id: &str) -> Result<StoredKey, StateError> {
        self.read(|reading| {
            let table = reading.open_table(KEYS).map_err(words)?;
            let row = table.get(id).map_err(words)?.ok_or(StateError::NoSuchKey)?;
            Ok(parse(row.value())?)
        })
    }

    /// At most `limit` keys behind the one with the id `after`, in the order of their ids, that `wanted` wants.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(
        &self,
        after: &str,
        limit: usize,
        wanted: impl Fn(&StoredKey) -> bool,
    ) -> Result<Vec<StoredKey>, StateError> {
        self.read(|reading| {
            let table = reading.open_table(KEYS).map_err(words)?;
            let mut found = Vec::new();
            for row in table.range(after..).map_err(words)? {
                let (id, json) = row.map_err(words)?;
                if id.value() == after {
                    continue;
                }
                let key = parse(json.value())?;
                if wanted(&key) {
                    found.push(key);
                    if found.len() == limit {
                        break;
                    }
                }
            }
            Ok(found)
        })
    }

    /// Changes the settings of a key, if it is still at that version.
    ///
    /// # Errors
    /// There is no such key, it was changed meanwhile, its new name is taken, or the file cannot be written.
    pub fn change(
        &self,
        id: &str,
        version: Option<u64>,
        act: Act<'_>,
        change: impl FnOnce(&mut KeySettings),
    ) -> Result<StoredKey, StateError> {
        self.update(id, version, act, "key.change", |key| {
            change(&mut key.settings);
            key.settings.check()
        })
    }

    /// Puts another key in its place; the one that it had is good for so many seconds more.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn rotate(
        &self,
        id: &str,
        version: Option<u64>,
        key: &str,
        overlap: i64,
        act: Act<'_>,
    ) -> Result<StoredKey, StateError> {
        self.update(id, version, act, "key.rotate", |stored| {
            let old = std::mem::replace(&mut stored.hash, super::print_digest(&digest(key)));
            stored.previous =
                (overlap > 0).then(|| Previous { hash: old, until: act.now.saturating_add(overlap) });
            stored.prefix = StoredKey::prefix_of(key);
            Ok(())
        })
    }

    /// Takes a key away for good.
    ///
    /// # Errors
    /// There is none, it was changed meanwhile, or the file cannot be written.
    pub fn delete(&self, id: &str, version: Option<u64>, act: Act<'_>) -> Result<(), StateError> {
        let (gone, _) = self.write(act, |tables| {
            let key = tables.key(id)?;
            key.is_at(version)?;
            tables.keys.remove(id).map_err(words)?;
            tables.names.remove(&*key.settings.name).map_err(words)?;
            Ok((key.clone(), Some(("key.delete", key))))
        })?;
        self.forget(&gone);
        Ok(())
    }

    /// At most `limit` entries of what was done, behind the one numbered `after`, oldest first; and whether the chain holds from the
    /// one before to the last of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn audit(&self, after: u64, limit: usize) -> Result<(Vec<AuditEntry>, Chain), StateError> {
        self.read(|reading| {
            let table = reading.open_table(AUDIT).map_err(words)?;
            let mut entries: Vec<AuditEntry> = Vec::new();
            for row in table.range(after.max(1)..).map_err(words)?.take(limit + 1) {
                let entry = audit::parse(row.map_err(words)?.1.value())?;
                entries.push(entry);
            }
            let chain = audit::holds(&entries, after);
            entries.retain(|entry| entry.seq > after);
            entries.truncate(limit);
            Ok((entries, chain))
        })
    }

    fn update(
        &self,
        id: &str,
        version: Option<u64>,
        act: Act<'_>,
        action: &'static str,
        change: impl FnOnce(&mut StoredKey) -> Result<(), StateError>,
    ) -> Result<StoredKey, StateError> {
        let (before, after) = self.write(act, |tables| {
            let before = tables.key(id)?;
            before.is_at(version)?;
            let mut after = before.clone();
            change(&mut after)?;
            after.updated = act.now;
            after.version += 1;
            if before.settings.name != after.settings.name {
                if tables.names.get(&*after.settings.name).map_err(words)?.is_some() {
                    return Err(StateError::KeyNameTaken.into());
                }
                tables.names.remove(&*before.settings.name).map_err(words)?;
                tables.names.insert(&*after.settings.name, id).map_err(words)?;
            }
            tables.put(&after)?;
            Ok((before, Some((action, after))))
        })?;
        let after = after.ok_or(StateError::NoSuchKey)?;
        // The new one first: at no time is a key that is good refused.
        self.remember(&after);
        let stays: Vec<[u8; 32]> = after.rows().into_iter().map(|row| row.digest).collect();
        for row in before.rows().into_iter().filter(|row| !stays.contains(&row.digest)) {
            self.rows.pin().remove(&row.digest);
        }
        Ok(after)
    }

    fn remember(&self, key: &StoredKey) {
        for row in key.rows() {
            self.rows.pin().insert(row.digest, Arc::new(row));
        }
    }

    fn forget(&self, key: &StoredKey) {
        for row in key.rows() {
            self.rows.pin().remove(&row.digest);
        }
    }

    fn file(&self) -> Result<&(PathBuf, Database), StateError> {
        self.file.get().ok_or(StateError::KeysNotKept)
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, Broken>,
    ) -> Result<T, StateError> {
        let (path, database) = self.file()?;
        let read = || {
            let reading = database.begin_read().map_err(words)?;
            read(&reading)
        };
        read().map_err(|broken| broken.at(path))
    }

    /// One change with its entry in the chain: both are on disk when this returns, or neither is.
    #[allow(clippy::type_complexity, reason = "what came of it, and the key as it is now, if it changed")]
    fn write<T>(
        &self,
        act: Act<'_>,
        change: impl FnOnce(&mut Tables<'_>) -> Result<(T, Option<(&'static str, StoredKey)>), Broken>,
    ) -> Result<(T, Option<StoredKey>), StateError> {
        let (path, database) = self.file()?;
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || {
            let writing = database.begin_write().map_err(words)?;
            let (came, changed) = {
                let mut tables = Tables {
                    keys: writing.open_table(KEYS).map_err(words)?,
                    names: writing.open_table(NAMES).map_err(words)?,
                    once: writing.open_table(ONCE).map_err(words)?,
                };
                let (came, changed) = change(&mut tables)?;
                if let Some((action, key)) = &changed {
                    let mut table = writing.open_table(AUDIT).map_err(words)?;
                    let last = match table.last().map_err(words)? {
                        Some((_, json)) => Some(audit::parse(json.value())?),
                        None => None,
                    };
                    let entry = AuditEntry::after(last.as_ref(), action, key, act);
                    let json = serde_json::to_vec(&entry).map_err(words)?;
                    table.insert(entry.seq, &json[..]).map_err(words)?;
                }
                (came, changed)
            };
            writing.commit().map_err(words)?;
            Ok((came, changed.map(|(_, key)| key)))
        };
        write().map_err(|broken: Broken| broken.at(path))
    }
}

struct Tables<'t> {
    keys: redb::Table<'t, &'static str, &'static [u8]>,
    names: redb::Table<'t, &'static str, &'static str>,
    once: redb::Table<'t, &'static str, (&'static [u8], &'static str, i64)>,
}

impl Tables<'_> {
    fn key(&self, id: &str) -> Result<StoredKey, Broken> {
        let row = self.keys.get(id).map_err(words)?.ok_or(StateError::NoSuchKey)?;
        Ok(parse(row.value())?)
    }

    fn put(&mut self, key: &StoredKey) -> Result<(), Broken> {
        let json = serde_json::to_vec(key).map_err(words)?;
        self.keys.insert(&*key.id, &json[..]).map(drop).map_err(words)?;
        Ok(())
    }
}

fn parse(json: &[u8]) -> Result<StoredKey, String> {
    serde_json::from_slice(json).map_err(|error| format!("a key in it cannot be read: {error}"))
}

/// What keeps a change from being made: it is refused, or the file fails.
enum Broken {
    Refused(StateError),
    File(String),
}

impl Broken {
    fn at(self, path: &Path) -> StateError {
        match self {
            Self::Refused(error) => error,
            Self::File(reason) => StateError::File { path: path.to_owned(), reason },
        }
    }
}

impl From<StateError> for Broken {
    fn from(error: StateError) -> Self {
        Self::Refused(error)
    }
}

impl From<String> for Broken {
    fn from(reason: String) -> Self {
        Self::File(reason)
    }
}
