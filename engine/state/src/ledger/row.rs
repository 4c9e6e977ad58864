//! A row of the ledger, and its form on disk.

use super::pack::{Packer, Unpacker};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Caller, Money, Operation, Usage};

/// One attempt that was sent, or one answer of a cache: who asked for what, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When it was over, in nanoseconds since 1970 UTC.
    pub time: i64,
    /// The request's id.
    pub request: Arc<str>,
    /// The attempt's number within its request, from 1; 0 where a cache answered.
    pub attempt: u32,
    /// Who asked, if they were identified.
    pub caller: Option<Arc<Caller>>,
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The revision in force.
    pub revision: Arc<str>,
    /// What was asked for.
    pub operation: Operation,
    /// The model that the client asked for.
    pub model: Arc<str>,
    /// The provider's name in the set; empty where a cache answered.
    pub provider: Arc<str>,
    /// The upstream model; empty where a cache answered.
    pub target: Arc<str>,
    /// What was spent, if that is known or was counted.
    pub usage: Usage,
    /// The price that it was reckoned with, as JSON; `None`: there is none.
    pub price: Option<Arc<str>>,
    /// What it cost; `None`: there is no price.
    pub cost: Option<Money>,
    /// Of an answer of a cache: what the provider had cost.
    pub saved: Option<Money>,
    /// From the request's arrival until it was sent: stages, and earlier attempts.
    pub before: Duration,
    /// From then until the head of the reply.
    pub first_byte: Option<Duration>,
    /// From then until its end.
    pub took: Duration,
    /// How it ended.
    pub ending: Ending,
    /// The provider's HTTP status, once there was one.
    pub status: Option<u16>,
}

/// How a row's attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Done,
    /// A cache answered.
    Cached,
    /// It failed, or the client left.
    Failed(weir_message::Cause),
}

impl Ending {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cached => "cached",
            Self::Failed(cause) => cause.name(),
        }
    }
}

/// Usage by class, in the order in which it is kept.
fn classes(usage: &Usage) -> [u64; 14] {
    // Taken apart, so that a new class cannot be forgotten here.
    let Usage {
        input,
        cached_input,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        output,
        reasoning,
        audio_output,
        image_output,
        images,
        millis,
        characters,
        pages,
        counted: _,
    } = *usage;
    [
        input,
        cached_input,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        output,
        reasoning,
        audio_output,
        image_output,
        images,
        millis,
        characters,
        pages,
    ]
}

/// Usage by class, with the classes' names.
pub(super) fn classes_named(usage: &Usage) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    NAMES.into_iter().zip(classes(usage))
}

/// The names of the classes, in the order in which they are kept.
const NAMES: [&str; 14] = [
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
    "images",
    "millis",
    "characters",
    "pages",
];

/// What [`classes`] took apart.
fn usage(
    [
        input,
        cached_input,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        output,
        reasoning,
        audio_output,
        image_output,
        images,
        millis,
        characters,
        pages,
    ]: [u64; 14],
) -> Usage {
    Usage {
        input,
        cached_input,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        output,
        reasoning,
        audio_output,
        image_output,
        images,
        millis,
        characters,
        pages,
        counted: false,
    }
}

pub(super) fn pack_usage(to: &mut Packer<'_>, usage: &Usage) {
    let classes = classes(usage);
    let mask = (0..).zip(&classes).filter(|(_, n)| **n > 0).fold(0, |mask, (bit, _)| mask | 1u64 << bit);
    to.number(mask);
    classes.iter().filter(|n| **n > 0).for_each(|n| to.number(*n));
}

pub(super) fn unpack_usage(from: &mut Unpacker<'_>) -> Option<Usage> {
    let mask = from.number()?;
    let mut numbers = [0; 14];
    for (bit, n) in (0..).zip(&mut numbers) {
        if mask >> bit & 1 == 1 {
            *n = from.number()?;
        }
    }
    Some(usage(numbers))
}

/// A row as it lies on disk: what many rows share by number, the rest beside it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub series: u32,
    pub revision: u32,
    /// 0: there is none.
    pub price: u32,
    pub attempt: u32,
    pub usage: Usage,
    pub cost: Option<Money>,
    pub saved: Option<Money>,
    /// In microseconds.
    pub before: u64,
    pub first_byte: Option<u64>,
    pub took: u64,
    pub status: Option<u16>,
    pub request: Arc<str>,
}

impl Kept {
    pub(super) fn of(row: &Row, series: u32, revision: u32, price: u32) -> Self {
        Self {
            series,
            revision,
            price,
            attempt: row.attempt,
            usage: Usage { counted: false, ..row.usage },
            cost: row.cost,
            saved: row.saved,
            before: micros(row.before),
            first_byte: row.first_byte.map(micros),
            took: micros(row.took),
            status: row.status,
            request: Arc::clone(&row.request),
        }
    }

    pub(super) fn pack(&self, into: &mut Vec<u8>) {
        let mut to = Packer::over(into);
        let given =
            [self.cost.is_some(), self.saved.is_some(), self.first_byte.is_some(), self.status.is_some()];
        to.number((0..).zip(given).fold(0, |flags, (bit, is)| flags | u64::from(is) << bit));
        for number in [self.series, self.revision, self.price, self.attempt] {
            to.number(number.into());
        }
        [self.cost, self.saved].into_iter().flatten().for_each(|money| to.signed(money.nanos()));
        pack_usage(&mut to, &self.usage);
        to.number(self.before);
        to.number(self.took);
        self.first_byte.into_iter().for_each(|time| to.number(time));
        self.status.into_iter().for_each(|status| to.number(status.into()));
        to.id(&self.request);
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut from = Unpacker::of(bytes);
        let flags = from.number()?;
        let has = |bit: u32| flags >> bit & 1 == 1;
        let mut small = || from.number().and_then(|n| u32::try_from(n).ok());
        let (series, revision, price, attempt) = (small()?, small()?, small()?, small()?);
        let cost = if has(0) { Some(Money::from_nanos(from.signed()?)) } else { None };
        let saved = if has(1) { Some(Money::from_nanos(from.signed()?)) } else { None };
        let usage = unpack_usage(&mut from)?;
        let (before, took) = (from.number()?, from.number()?);
        let first_byte = if has(2) { Some(from.number()?) } else { None };
        let status = if has(3) { Some(u16::try_from(from.number()?).ok()?) } else { None };
        let request = from.id()?.into();
        Some(Self {
            series,
            revision,
            price,
            attempt,
            usage,
            cost,
            saved,
            before,
            first_byte,
            took,
            status,
            request,
        })
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
