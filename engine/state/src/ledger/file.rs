//! The ledger on disk: one thread writes, many rows in one commit.

use super::row::Kept;
use super::series::Series;
use super::{Amounts, Books, Keeping, Row, Shared};
use crate::StateError;
use crate::database::{self, Opening, words};
use ahash::AHashMap;
use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Rows by their ids, which begin with the time (nanoseconds since 1970 UTC).
pub(super) const ROWS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("rows");
/// What the rows of an hour (counted from 1970 UTC) and a series amount to.
pub(super) const SUMS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("sums");
/// Series, revisions and prices by number, from 1.
pub(super) const NAMES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("names");
/// Their numbers by a hash.
const NUMBERS: TableDefinition<'_, u128, u32> = TableDefinition::new("numbers");

pub(super) const OPENING: Opening = Opening {
    kind: "ledger",
    format: 1,
    may_create: true,
    checks_all: false,
    cache: 64 << 20,
    empty: "it is empty, so what was booked is lost; remove it to begin anew",
};

const HOUR: i64 = 3_600;
/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;
/// Rows in one commit.
const MOST_ROWS: usize = 8_192;
/// What is taken out in one commit once it is too old.
const MOST_OLD: usize = 20_000;
/// How often it is looked for what is too old, in seconds of rows' time.
const PRUNE_EVERY: i64 = 10;
/// The numbers of names that are kept in memory.
const MOST_NAMES: usize = 200_000;
/// How long a failed commit waits before it is tried again.
const PATIENCE: Duration = Duration::from_millis(250);

/// The thread that writes.
pub(super) struct Writer {
    path: PathBuf,
    bell: Sender<Option<Row>>,
    database: Arc<Mutex<Option<Arc<Database>>>>,
    thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        keeping: Keeping,
        process: u32,
        shared: Arc<Shared>,
        (bell, rows): (Sender<Option<Row>>, Receiver<Option<Row>>),
    ) -> Result<Self, StateError> {
        let failed = |reason: String| StateError::File { path: path.to_owned(), reason };
        let opened = database::open(path, OPENING, make_tables).map_err(failed)?;
        let database = Arc::new(Mutex::new(Some(Arc::new(opened))));
        let hand = Hand {
            path: path.to_owned(),
            database: Arc::clone(&database),
            keeping,
            shared,
            names: Names::default(),
            process: u128::from(process) << 32,
            written: 0,
            pruned: 0,
        };
        let thread = std::thread::Builder::new()
            .name("weir-ledger".to_owned())
            .spawn(move || hand.run(&rows))
            .map_err(|error| failed(format!("no thread to write it: {error}")))?;
        Ok(Self { path: path.to_owned(), bell, database, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn books(&self) -> Option<Books> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        database.clone().map(|database| Books::of(database, &self.path))
    }

    pub(super) fn close(&self) -> Result<(), StateError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        // If nobody hears it, the thread is over already.
        let _ = self.bell.send(None);
        match thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(StateError::File { path: self.path.clone(), reason }),
            Err(_) => Err(StateError::File {
                path: self.path.clone(),
                reason: "the thread that writes it broke off".to_owned(),
            }),
        }
    }
}

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), String> {
    transaction.open_table(ROWS).map(drop).map_err(words)?;
    transaction.open_table(SUMS).map(drop).map_err(words)?;
    transaction.open_table(NAMES).map(drop).map_err(words)?;
    transaction.open_table(NUMBERS).map(drop).map_err(words)
}

/// Who writes.
struct Hand {
    path: PathBuf,
    /// None after a failure: then it is opened anew.
    database: Arc<Mutex<Option<Arc<Database>>>>,
    keeping: Keeping,
    shared: Arc<Shared>,
    names: Names,
    /// What tells this process's rows from another's, where it stands in an id.
    process: u128,
    /// How many ids were given.
    written: u32,
    /// When what is too old was last looked for, in seconds since 1970.
    pruned: i64,
}

/// A row with its id.
pub(super) type Numbered = (u128, Row);

impl Hand {
    fn run(mut self, rows: &Receiver<Option<Row>>) -> Result<(), String> {
        // Half of the grace to come together, half to be written.
        let together = self.keeping.grace / 2;
        let mut batch: Vec<Numbered> = Vec::new();
        let mut failed = 0_u32;
        loop {
            if batch.is_empty() {
                match rows.recv() {
                    Ok(Some(row)) => self.take(row, &mut batch),
                    Ok(None) => {}
                    Err(_) => return Ok(()),
                }
                if !self.is_over() {
                    std::thread::sleep(together);
                }
            }
            while batch.len() < MOST_ROWS {
                match rows.try_recv() {
                    Ok(Some(row)) => self.take(row, &mut batch),
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
            let is_last = batch.len() < MOST_ROWS && self.is_over();
            let outcome = if batch.is_empty() { Ok(()) } else { self.write(&batch) };
            match &outcome {
                Ok(()) => {
                    self.shared.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    self.shared.taken.fetch_sub(batch.len(), Ordering::Relaxed);
                    batch.clear();
                    failed = 0;
                }
                Err(reason) => {
                    self.shared.failures.fetch_add(1, Ordering::Relaxed);
                    failed += 1;
                    // Said at once, and less and less often while it lasts.
                    if failed.is_power_of_two() {
                        let (file, waiting) = (self.path.display(), batch.len());
                        tracing::error!(%file, waiting, "the ledger cannot be written, and is tried again: {reason}");
                    }
                    if self.is_over() {
                        let left = batch.len() + rows.try_iter().flatten().count();
                        self.shared.lost.fetch_add(left as u64, Ordering::Relaxed);
                        return outcome;
                    }
                    std::thread::sleep(PATIENCE);
                }
            }
            if is_last {
                let late = rows.try_iter().flatten().count();
                self.shared.lost.fetch_add(late as u64, Ordering::Relaxed);
                *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Ok(());
            }
        }
    }

    fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Acquire)
    }

    /// Gives a row its id: in the order of time, and no other's.
    fn take(&mut self, row: Row, batch: &mut Vec<Numbered>) {
        self.written = self.written.wrapping_add(1);
        let id = first_id(row.time) | self.process | u128::from(self.written);
        batch.push((id, row));
    }

    fn write(&mut self, batch: &[Numbered]) -> Result<(), String> {
        let database = self.database()?;
        // A defect of the file's is no reason to end.
        let done = catch_unwind(AssertUnwindSafe(|| {
            commit(&database, batch, &mut self.names)?;
            self.prune(&database, batch)
        }));
        let done = done.unwrap_or_else(|_| Err("writing it broke off".to_owned()));
        if done.is_err() {
            self.names = Names::default();
            *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    fn database(&self) -> Result<Arc<Database>, String> {
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*held {
            return Ok(Arc::clone(database));
        }
        let opening = Opening { may_create: false, ..OPENING };
        let database = Arc::new(database::open(&self.path, opening, make_tables)?);
        *held = Some(Arc::clone(&database));
        Ok(database)
    }

    /// Takes out what is older than it is kept, so much at a time.
    fn prune(&mut self, database: &Database, batch: &[Numbered]) -> Result<(), String> {
        let newest = batch.iter().map(|(_, row)| row.time).max().unwrap_or_default() / SECOND;
        if newest - self.pruned < PRUNE_EVERY {
            return Ok(());
        }
        let before = |age: Duration| newest.saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        let rows = self.keeping.rows.map(|age| first_id(before(age).saturating_mul(SECOND)));
        let sums = self.keeping.sums.map(|age| (hour(before(age).saturating_mul(SECOND)), 0));
        let transaction = database.begin_write().map_err(words)?;
        let mut left_some = false;
        if let Some(end) = rows {
            let mut table = transaction.open_table(ROWS).map_err(words)?;
            left_some |= drop_before(&mut table, end)?;
        }
        if let Some(end) = sums {
            let mut table = transaction.open_table(SUMS).map_err(words)?;
            left_some |= drop_before(&mut table, end)?;
        }
        transaction.commit().map_err(words)?;
        if !left_some {
            self.pruned = newest;
        }
        Ok(())
    }
}

/// Takes out entries in front of a key; whether some are left.
fn drop_before<K>(table: &mut Table<'_, K, &'static [u8]>, end: K) -> Result<bool, String>
where
    K: redb::Key + for<'k> redb::Value<SelfType<'k> = K> + Copy + std::borrow::Borrow<K> + 'static,
{
    let mut old = table.range::<K>(..end).map_err(words)?;
    let bound = match old.nth(MOST_OLD) {
        Some(first_left) => Some(first_left.map_err(words)?.0.value()),
        None => None,
    };
    drop(old);
    table.retain_in::<K, _>(..bound.unwrap_or(end), |_, _| false).map_err(words)?;
    Ok(bound.is_some())
}

/// The lowest id of a moment, in nanoseconds since 1970 UTC.
pub(super) fn first_id(time: i64) -> u128 {
    u128::from(time.max(0).unsigned_abs()) << 64
}

/// The hour of a moment, counted from 1970 UTC.
pub(super) fn hour(time: i64) -> u32 {
    u32::try_from(time.max(0) / SECOND / HOUR).unwrap_or(u32::MAX)
}

/// Writes rows, and adds to the sums those that were not there.
pub(super) fn commit(database: &Database, batch: &[Numbered], names: &mut Names) -> Result<(), String> {
    let transaction = database.begin_write().map_err(words)?;
    {
        let mut rows = transaction.open_table(ROWS).map_err(words)?;
        let mut sums = transaction.open_table(SUMS).map_err(words)?;
        let mut book = Book {
            names: transaction.open_table(NAMES).map_err(words)?,
            numbers: transaction.open_table(NUMBERS).map_err(words)?,
            known: names,
        };
        let mut more: AHashMap<(u32, u32), Amounts> = AHashMap::new();
        let (mut packed, mut name) = (Vec::new(), Vec::new());
        for (id, row) in batch {
            name.clear();
            Series::pack(row, &mut name);
            let series = book.number(&name)?;
            let revision = book.number(row.revision.as_bytes())?;
            let price = match &row.price {
                Some(price) => book.number(price.as_bytes())?,
                None => 0,
            };
            let kept = Kept::of(row, series, revision, price);
            packed.clear();
            kept.pack(&mut packed);
            let is_new = rows.insert(id, packed.as_slice()).map_err(words)?.is_none();
            if is_new {
                more.entry((hour(row.time), series)).or_default().add(&Amounts::of(&kept));
            }
        }
        let mut more: Vec<((u32, u32), Amounts)> = more.into_iter().collect();
        more.sort_unstable_by_key(|(key, _)| *key);
        for (key, mut amounts) in more {
            if let Some(known) = sums.get(key).map_err(words)? {
                amounts.add(&Amounts::unpack(known.value()).ok_or("a sum in it cannot be read")?);
            }
            packed.clear();
            amounts.pack(&mut packed);
            sums.insert(key, packed.as_slice()).map_err(words)?;
        }
    }
    transaction.commit().map_err(words)
}

/// The numbers of names, as far as they are remembered.
pub(super) type Names = AHashMap<Box<[u8]>, u32>;

/// The tables of names in a commit.
struct Book<'t, 'n> {
    names: Table<'t, u32, &'static [u8]>,
    numbers: Table<'t, u128, u32>,
    known: &'n mut Names,
}

impl Book<'_, '_> {
    /// The number of a name, which is given if it has none.
    fn number(&mut self, name: &[u8]) -> Result<u32, String> {
        if let Some(number) = self.known.get(name) {
            return Ok(*number);
        }
        let hash = blake3::hash(name);
        let hash = hash.as_bytes().first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        let known = self.numbers.get(hash).map_err(words)?.map(|number| number.value());
        let number = match known {
            Some(number) => number,
            None => {
                let last = self.names.last().map_err(words)?.map_or(0, |(number, _)| number.value());
                let number = last.checked_add(1).ok_or("it has no numbers left for names")?;
                self.names.insert(number, name).map_err(words)?;
                self.numbers.insert(hash, number).map_err(words)?;
                number
            }
        };
        if self.known.len() >= MOST_NAMES {
            self.known.clear();
        }
        self.known.insert(name.into(), number);
        Ok(number)
    }
}
