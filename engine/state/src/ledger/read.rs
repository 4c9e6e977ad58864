//! Reading a ledger: sums by any dimension and window, and single rows.

use super::file::{NAMES, OPENING, ROWS, SUMS, first_id, hour};
use super::row::Kept;
use super::series::{Dimension, Series};
use super::{Amounts, Query};
use crate::StateError;
use crate::database::{self, words};
use ahash::AHashMap;
use redb::{Database, ReadOnlyDatabase, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_message::{Money, Usage};

/// A ledger that is read.
pub struct Books {
    database: Source,
    path: PathBuf,
}

enum Source {
    Shared(Arc<Database>),
    ReadOnly(ReadOnlyDatabase),
}

/// What was asked, summed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// One for each window and combination of names, the oldest window and then the dearest first.
    pub lines: Vec<Line>,
    /// All lines together.
    pub total: Amounts,
    /// Only single rows could answer, and those before this moment (seconds since 1970 UTC) are no longer kept.
    pub rows_since: Option<i64>,
}

/// What a window and a combination of names amount to.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The window, as people write it; empty if windows were not asked for.
    pub bucket: String,
    /// The names, in the order asked for; empty where there is none.
    pub by: Vec<String>,
    /// What it amounts to.
    pub amounts: Amounts,
}

/// A single row.
#[derive(Clone, Debug, PartialEq)]
pub struct Single {
    /// Its id: no other row has it.
    pub id: u128,
    /// When it was over, in nanoseconds since 1970 UTC.
    pub time: i64,
    /// The request's id.
    pub request: Arc<str>,
    /// The attempt's number, from 1; 0 where a cache answered.
    pub attempt: u32,
    /// The revision in force.
    pub revision: String,
    /// The price that it was reckoned with, as JSON.
    pub price: Option<String>,
    /// Names by their dimensions.
    pub names: Vec<(&'static str, String)>,
    /// Tags as JSON; empty if there are none.
    pub tags: String,
    /// What was spent.
    pub usage: Usage,
    /// What it cost, if priced.
    pub cost: Option<Money>,
    /// What an answer of a cache would have cost.
    pub saved: Option<Money>,
    /// From the request's arrival until it was sent, in microseconds.
    pub before: u64,
    /// From then until the head of the reply.
    pub first_byte: Option<u64>,
    /// From then until its end.
    pub took: u64,
    /// The provider's HTTP status.
    pub status: Option<u16>,
}

impl Books {
    pub(super) fn of(database: Arc<Database>, path: &Path) -> Self {
        Self { database: Source::Shared(database), path: path.to_owned() }
    }

    /// Opens a ledger's file, whether or not a gateway writes it now.
    ///
    /// # Errors
    /// There is none, or it is damaged or none of ours.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |reason| StateError::File { path: path.to_owned(), reason };
        let database = match database::read(path, OPENING).map_err(failed)? {
            Some(database) => Source::ReadOnly(database),
            // A process died that wrote it: opened as that would be, it is put in order.
            None => {
                let opening = database::Opening { may_create: false, ..OPENING };
                Source::Shared(Arc::new(database::open(path, opening, |_| Ok(())).map_err(failed)?))
            }
        };
        Ok(Self { database, path: path.to_owned() })
    }

    /// Sums what is asked.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn report(&self, query: &Query) -> Result<Report, StateError> {
        let report = self.begin().and_then(|reading| match query.needs_rows() {
            true => of_rows(&reading, query),
            false => of_sums(&reading, query),
        });
        report.map_err(|reason| StateError::File { path: self.path.clone(), reason })
    }

    /// Gives the single rows that are asked for, the oldest first, until told to stop (`false`).
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rows(&self, query: &Query, mut each: impl FnMut(Single) -> bool) -> Result<(), StateError> {
        let read = self.begin().and_then(|reading| {
            let mut names = Known::new(&reading, query)?;
            for_rows(&reading, query, |id, row| {
                if names.group(row.series)?.is_none() {
                    return Ok(true);
                }
                let revision = names.text(row.revision)?;
                if !query.takes_revision(&revision) {
                    return Ok(true);
                }
                let price = if row.price == 0 { None } else { Some(names.text(row.price)?) };
                let series = names.series(row.series)?;
                Ok(each(single(id, row, &series, revision, price)))
            })
        });
        read.map_err(|reason| StateError::File { path: self.path.clone(), reason })
    }

    fn begin(&self) -> Result<ReadTransaction, String> {
        match &self.database {
            Source::Shared(database) => database.begin_read(),
            Source::ReadOnly(database) => database.begin_read(),
        }
        .map_err(words)
    }
}

fn single(id: u128, row: Kept, series: &Series, revision: String, price: Option<String>) -> Single {
    let names = Dimension::names().filter(|name| *name != "revision");
    let named = names.filter_map(|name| Some((name, series.get(&Dimension::from_name(name)?))));
    Single {
        id,
        time: time_of(id),
        request: row.request,
        attempt: row.attempt,
        revision,
        price,
        names: named.collect(),
        tags: series.tags.clone(),
        usage: Usage { counted: series.counted == "yes", ..row.usage },
        cost: row.cost,
        saved: row.saved,
        before: row.before,
        first_byte: row.first_byte,
        took: row.took,
        status: row.status,
    }
}

fn time_of(id: u128) -> i64 {
    i64::try_from(id >> 64).unwrap_or(i64::MAX)
}

fn nanos(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000)
}

/// Calls with each row between the query's times, until that says `false`.
fn for_rows(
    reading: &ReadTransaction,
    query: &Query,
    mut each: impl FnMut(u128, Kept) -> Result<bool, String>,
) -> Result<(), String> {
    let table = reading.open_table(ROWS).map_err(words)?;
    let from = query.since.map_or(0, |since| first_id(nanos(since)));
    let to = query.until.map_or(u128::MAX, |until| first_id(nanos(until)));
    for entry in table.range(from..to.max(from)).map_err(words)? {
        let (id, row) = entry.map_err(words)?;
        let row = Kept::unpack(row.value()).ok_or("a row in it cannot be read")?;
        if !each(id.value(), row)? {
            break;
        }
    }
    Ok(())
}

fn of_rows(reading: &ReadTransaction, query: &Query) -> Result<Report, String> {
    let mut names = Known::new(reading, query)?;
    let mut sums = Sums::default();
    let by_revision = query.by.iter().position(|dimension| *dimension == Dimension::Revision);
    for_rows(reading, query, |id, row| {
        let Some(mut group) = names.group(row.series)? else { return Ok(true) };
        let revision = names.text(row.revision)?;
        if !query.takes_revision(&revision) {
            return Ok(true);
        }
        if let Some(place) = by_revision {
            group = names.with(group, place, revision);
        }
        sums.add(query, time_of(id) / 1_000_000_000, group, &Amounts::of(&row));
        Ok(true)
    })?;
    let table = reading.open_table(ROWS).map_err(words)?;
    let first_row = table.first().map_err(words)?.map(|(id, _)| time_of(id.value()) / 1_000_000_000);
    let sums_table = reading.open_table(SUMS).map_err(words)?;
    let first_sum = sums_table.first().map_err(words)?.map(|(key, _)| i64::from(key.value().0) * 3_600);
    let asked = query.since.unwrap_or(i64::MIN).max(first_sum.unwrap_or(i64::MIN));
    let rows_since = first_row.filter(|first| first - first.rem_euclid(3_600) > asked);
    Ok(Report { rows_since, ..sums.report(&names) })
}

fn of_sums(reading: &ReadTransaction, query: &Query) -> Result<Report, String> {
    let mut names = Known::new(reading, query)?;
    let mut sums = Sums::default();
    let table = reading.open_table(SUMS).map_err(words)?;
    let from = query.since.map_or(0, |since| hour(nanos(since)));
    let to = query.until.map_or(u32::MAX, |until| hour(nanos(until)));
    for entry in table.range((from, 0)..(to.max(from), 0)).map_err(words)? {
        let (key, amounts) = entry.map_err(words)?;
        let (hour, series) = key.value();
        let Some(group) = names.group(series)? else { continue };
        let amounts = Amounts::unpack(amounts.value()).ok_or("a sum in it cannot be read")?;
        sums.add(query, i64::from(hour) * 3_600, group, &amounts);
    }
    Ok(sums.report(&names))
}

/// Names that were looked up, and what of them is asked for.
struct Known<'q> {
    query: &'q Query,
    table: ReadOnlyTable<u32, &'static [u8]>,
    texts: AHashMap<u32, String>,
    /// The group of each series; `None`: it is not asked for.
    groups: AHashMap<u32, Option<usize>>,
    /// The names of each group.
    names: Vec<Vec<String>>,
    numbers: AHashMap<Vec<String>, usize>,
}

impl<'q> Known<'q> {
    fn new(reading: &ReadTransaction, query: &'q Query) -> Result<Self, String> {
        let table = reading.open_table(NAMES).map_err(words)?;
        let (texts, groups) = (AHashMap::new(), AHashMap::new());
        Ok(Self { query, table, texts, groups, names: Vec::new(), numbers: AHashMap::new() })
    }

    fn series(&self, number: u32) -> Result<Series, String> {
        let bytes = self.table.get(number).map_err(words)?.ok_or("a name in it is missing")?;
        Series::unpack(bytes.value()).ok_or_else(|| "a name in it cannot be read".to_owned())
    }

    fn text(&mut self, number: u32) -> Result<String, String> {
        if let Some(text) = self.texts.get(&number) {
            return Ok(text.clone());
        }
        let bytes = self.table.get(number).map_err(words)?.ok_or("a name in it is missing")?;
        let text = String::from_utf8_lossy(bytes.value()).into_owned();
        self.texts.insert(number, text.clone());
        Ok(text)
    }

    /// The group of a series; `None`: it is not asked for.
    fn group(&mut self, number: u32) -> Result<Option<usize>, String> {
        if let Some(group) = self.groups.get(&number) {
            return Ok(*group);
        }
        let series = self.series(number)?;
        let group = self.query.takes(&series).then(|| {
            let names = self.query.by.iter().map(|dimension| series.get(dimension)).collect();
            self.number(names)
        });
        self.groups.insert(number, group);
        Ok(group)
    }

    /// The group that has one name more.
    fn with(&mut self, group: usize, place: usize, name: String) -> usize {
        let mut names = self.names.get(group).cloned().unwrap_or_default();
        if let Some(there) = names.get_mut(place) {
            *there = name;
        }
        self.number(names)
    }

    fn number(&mut self, names: Vec<String>) -> usize {
        let next = self.names.len();
        let number = *self.numbers.entry(names.clone()).or_insert(next);
        if number == next {
            self.names.push(names);
        }
        number
    }
}

/// Sums under way.
#[derive(Default)]
struct Sums {
    /// By window and group.
    groups: AHashMap<(usize, usize), Amounts>,
    windows: Vec<String>,
    numbers: AHashMap<String, usize>,
    /// The hour whose window was looked up last, and its number.
    last: Option<(i64, usize)>,
}

impl Sums {
    fn add(&mut self, query: &Query, moment: i64, group: usize, amounts: &Amounts) {
        let window = self.window(query, moment);
        self.groups.entry((window, group)).or_default().add(amounts);
    }

    /// The number of the window of a moment: moments come in order, so numbers do too.
    fn window(&mut self, query: &Query, moment: i64) -> usize {
        // No window begins or ends inside a quarter of an hour, wherever it is.
        let quarter = moment.div_euclid(900);
        if let Some((known, number)) = self.last
            && known == quarter
        {
            return number;
        }
        let label = query.label(moment);
        let next = self.windows.len();
        let number = *self.numbers.entry(label.clone()).or_insert(next);
        if number == next {
            self.windows.push(label);
        }
        self.last = Some((quarter, number));
        number
    }

    fn report(self, names: &Known<'_>) -> Report {
        let mut groups: Vec<((usize, usize), Amounts)> = self.groups.into_iter().collect();
        let name = |group: usize| names.names.get(group);
        groups.sort_unstable_by(|((a, group_a), one), ((b, group_b), other)| {
            let by_cost = other.cost.cmp(&one.cost).then(other.requests.cmp(&one.requests));
            a.cmp(b).then(by_cost).then_with(|| name(*group_a).cmp(&name(*group_b)))
        });
        let mut report = Report::default();
        for ((window, group), amounts) in groups {
            report.total.add(&amounts);
            let bucket = self.windows.get(window).cloned().unwrap_or_default();
            report.lines.push(Line { bucket, by: name(group).cloned().unwrap_or_default(), amounts });
        }
        report
    }
}
