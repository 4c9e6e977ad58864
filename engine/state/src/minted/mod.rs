//! Ids that providers mint (of files, batches, responses): sealed for the caller they were given to, with the account that they
//! belong to inside; whose each is; and which of them were booked.
//!
//! An id is opened without asking anybody: any process with the same secret can. Whose a thing is must be remembered where
//! providers list all that an account has: in the file, or without one in memory, for the last hundred thousand.

mod seal;
#[cfg(test)]
mod tests;

use crate::StateError;
use crate::database::{self, Opening, words};
use arc_swap::ArcSwap;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use seal::Sealer;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use weir_message::Caller;

/// The secret, under its one name.
const SECRET: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secret");
/// Whose each thing is: by its digest, the owner's, the kind, and since when (seconds since 1970 UTC).
const OWNERS: TableDefinition<'_, &[u8], (&[u8], u8, i64)> = TableDefinition::new("owners");
/// What was booked, and when.
const BOOKED: TableDefinition<'_, &[u8], i64> = TableDefinition::new("booked");

/// How many things are remembered without a file.
const MOST: u64 = 100_000;

const OPENING: Opening = Opening {
    kind: "minted",
    format: 1,
    may_create: true,
    checks_all: false,
    cache: 4 << 20,
    empty: "there is not a byte in it: move it aside, and ids given out so far are good no more",
};

/// What is to be known of a thing besides where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing.
    Plain = 0,
    /// A file whose lines were read as requests when it came.
    Requests = 1,
    /// A place in a list: good to go on from there, and for nothing else.
    Place = 2,
}

impl Kind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Requests,
            2 => Self::Place,
            _ => Self::Plain,
        }
    }
}

/// A thing that a provider keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The account, by its name in the set.
    pub provider: Arc<str>,
    /// The model that the client had asked for; empty where none was.
    pub model: Arc<str>,
    /// What else is to be known.
    pub kind: Kind,
    /// The provider's id of it.
    pub id: String,
}

/// Whose a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The digest of the owner ([`owner_of`]).
    pub owner: [u8; 32],
    /// What else is to be known.
    pub kind: Kind,
}

/// Whom ids are sealed for: key, user, team and project together. Those who are not known are one.
pub fn owner_of(caller: Option<&Caller>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let of = |caller: &Caller| {
        [caller.key.clone(), caller.user.clone(), caller.team.clone(), caller.project.clone()]
    };
    for name in caller.map(of).into_iter().flatten() {
        let name = name.as_deref();
        hasher.update(&[u8::from(name.is_some())]);
        hasher.update(&(name.map_or(0, str::len) as u64).to_le_bytes());
        hasher.update(name.unwrap_or_default().as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Ids that providers mint.
pub struct MintedIds {
    sealer: ArcSwap<Sealer>,
    /// Whether the secret is one that others have too.
    is_shared: AtomicBool,
    file: OnceLock<(PathBuf, Database)>,
    owners: moka::sync::Cache<[u8; 32], Owned>,
    booked: moka::sync::Cache<[u8; 32], ()>,
}

impl Default for MintedIds {
    fn default() -> Self {
        Self {
            sealer: ArcSwap::from_pointee(Sealer::new(&random())),
            is_shared: AtomicBool::new(false),
            file: OnceLock::new(),
            owners: moka::sync::Cache::new(MOST),
            booked: moka::sync::Cache::new(MOST),
        }
    }
}

fn random() -> [u8; 32] {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut random = [0; 32];
    // A system without chance seals with a secret that everybody knows: what is sealed is worth no more than that.
    match SystemRandom::new().fill(&mut random) {
        Ok(()) => random,
        Err(_) => {
            tracing::error!(
                "the system gives no random bytes; ids of providers are sealed by a known secret"
            );
            random
        }
    }
}

impl MintedIds {
    /// The path of the file that goes with a state file.
    pub fn beside(state: &Path) -> PathBuf {
        let mut name = state.as_os_str().to_owned();
        name.push(".minted");
        name.into()
    }

    /// Keeps the secret, whose each thing is, and what was booked in a file from now on; it is made if there is none.
    ///
    /// # Errors
    /// The file cannot be used. Nothing is done to it.
    pub fn open(&self, path: &Path) -> Result<(), StateError> {
        let failed = |reason: String| StateError::File { path: path.to_owned(), reason };
        let make = |writing: &WriteTransaction| -> Result<(), String> {
            let mut table = writing.open_table(SECRET).map_err(words)?;
            table.insert("v1", &random()[..]).map(drop).map_err(words)?;
            writing.open_table(OWNERS).map_err(words)?;
            writing.open_table(BOOKED).map(drop).map_err(words)
        };
        let database = database::open(path, OPENING, make).map_err(failed)?;
        let secret = || -> Result<Vec<u8>, String> {
            let reading = database.begin_read().map_err(words)?;
            let table = reading.open_table(SECRET).map_err(words)?;
            let row = table.get("v1").map_err(words)?.ok_or("there is no secret in it")?;
            Ok(row.value().to_vec())
        };
        let secret = secret().map_err(failed)?;
        if !self.is_shared.load(Ordering::Acquire) {
            self.sealer.store(Arc::new(Sealer::new(&secret)));
        }
        self.file
            .set((path.to_owned(), database))
            .map_err(|_| failed("ids of providers have a file already".to_owned()))
    }

    /// Seals by this secret from now on, as others do that have it, whatever the file says.
    pub fn share(&self, secret: &str) {
        self.is_shared.store(true, Ordering::Release);
        self.sealer.store(Arc::new(Sealer::new(secret.as_bytes())));
    }

    /// The id of a thing as its owner is shown it. `None` for what no seal holds: a name longer than 255 bytes.
    pub fn seal(&self, owner: &[u8; 32], thing: &Minted) -> Option<String> {
        self.sealer.load().seal(owner, thing)
    }

    /// What this owner was shown so. `None`: it was not given out here, or to another.
    pub fn unseal(&self, owner: &[u8; 32], shown: &str) -> Option<Minted> {
        self.sealer.load().open(owner, shown)
    }

    /// Remembers whose a thing is. Once told it stays so. Blocks until it is on disk. `now`: seconds since 1970 UTC.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, provider: &str, id: &str, owned: Owned, now: i64) -> Result<(), StateError> {
        let key = key(provider, id);
        if self.known(&key)?.is_some() {
            return Ok(());
        }
        self.write(|writing| {
            let mut table = writing.open_table(OWNERS).map_err(words)?;
            table.insert(&key[..], (&owned.owner[..], owned.kind as u8, now)).map(drop).map_err(words)
        })?;
        self.owners.insert(key, owned);
        Ok(())
    }

    /// Whose a thing is, if that is remembered.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn owner(&self, provider: &str, id: &str) -> Result<Option<Owned>, StateError> {
        self.known(&key(provider, id))
    }

    /// Forgets whose a thing was that is gone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&self, provider: &str, id: &str) -> Result<(), StateError> {
        let key = key(provider, id);
        self.owners.invalidate(&key);
        self.write(|writing| {
            let mut table = writing.open_table(OWNERS).map_err(words)?;
            table.remove(&key[..]).map(drop).map_err(words)
        })
    }

    /// Whether a thing is booked now for the first time. Blocks until that is on disk. `now`: seconds since 1970 UTC.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn first(&self, provider: &str, id: &str, now: i64) -> Result<bool, StateError> {
        let key = key(provider, id);
        if self.file.get().is_none() {
            return Ok(self.booked.entry(key).or_insert(()).is_fresh());
        }
        self.write(|writing| {
            let mut table = writing.open_table(BOOKED).map_err(words)?;
            let before = table.insert(&key[..], now).map_err(words)?;
            Ok(before.is_none())
        })
    }

    fn known(&self, key: &[u8; 32]) -> Result<Option<Owned>, StateError> {
        if let Some(known) = self.owners.get(key) {
            return Ok(Some(known));
        }
        let Some((path, database)) = self.file.get() else { return Ok(None) };
        let read = || -> Result<Option<Owned>, String> {
            let reading = database.begin_read().map_err(words)?;
            let table = reading.open_table(OWNERS).map_err(words)?;
            let Some(row) = table.get(&key[..]).map_err(words)? else { return Ok(None) };
            let (owner, kind, _) = row.value();
            let owner = owner.try_into().map_err(|_| "an owner in it cannot be read".to_owned())?;
            Ok(Some(Owned { owner, kind: Kind::from_byte(kind) }))
        };
        read().map_err(|reason| StateError::File { path: path.clone(), reason })
    }

    /// One change, on disk when this returns; where there is no file, nothing is to be done.
    fn write<T: Default>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, String>,
    ) -> Result<T, StateError> {
        let Some((path, database)) = self.file.get() else { return Ok(T::default()) };
        let write = || {
            let writing = database.begin_write().map_err(words)?;
            let came = change(&writing)?;
            writing.commit().map_err(words)?;
            Ok(came)
        };
        write().map_err(|reason| StateError::File { path: path.clone(), reason })
    }
}

/// A thing by its digest.
fn key(provider: &str, id: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(provider.len() as u64).to_le_bytes()).update(provider.as_bytes()).update(id.as_bytes());
    *hasher.finalize().as_bytes()
}
