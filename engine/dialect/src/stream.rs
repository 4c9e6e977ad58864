//! Streams of bytes to streams of events, reading only as much as the plan asks.

use crate::openai::stream::{Chunk, Want, read};
use crate::scan::Flaw;
use crate::sse::{Fields, Sse, SseError, fields};
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memmem::Finder;
use std::ops::Range;
use weir_message::{Dialect, ErrorCode, Event, EventKind, Fault};

/// How much of a stream's events is read. Each level reads what the one before does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Where events end, and what kind they are.
    #[default]
    Boundaries,
    /// Usage and finish reasons too.
    Usage,
    /// Texts too. An event that cannot be read is then a fault: nothing unread may pass.
    Text,
}

/// Bytes of a stream in, events out.
#[derive(Debug)]
pub struct StreamDecoder {
    sse: Sse,
    level: Level,
    is_done: bool,
    error: Finder<'static>,
    usage: Finder<'static>,
    finish: Finder<'static>,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// An event that was complete only with the stream's end.
    pub last: Option<Event>,
    /// Whether the dialect's own end (`[DONE]`) was seen and nothing was cut.
    pub is_clean: bool,
}

impl StreamDecoder {
    /// A decoder of a stream in this dialect, with the default limit of an event's size; `None` if the dialect is not
    /// spoken here.
    pub fn new(dialect: Dialect, level: Level) -> Option<Self> {
        Self::with_limit(dialect, level, Sse::LIMIT)
    }

    /// The same with a limit of an event's size in bytes.
    pub fn with_limit(dialect: Dialect, level: Level, limit: usize) -> Option<Self> {
        (dialect == Dialect::OpenAi).then(|| Self {
            sse: Sse::new(limit),
            level,
            is_done: false,
            error: Finder::new("\"error\""),
            usage: Finder::new("\"usage\""),
            finish: Finder::new("\"finish_reason\""),
        })
    }

    /// Adds what arrived. Take all events out before the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        self.sse.push(chunk);
    }

    /// The next event; none until more arrives.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if an event is larger than the limit, or cannot be read at [`Level::Text`].
    pub fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        match self.sse.next_event() {
            Ok(None) => Ok(None),
            Ok(Some(raw)) => self.event(raw).map(Some),
            Err(error) => Err(invalid(error)),
        }
    }

    /// Whether the dialect's own end was seen.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Ends the stream: what is left of it, and whether it ended as it should.
    ///
    /// # Errors
    /// As [`StreamDecoder::next_event`]. A stream that is merely cut is no error here but an unclean [`Ending`].
    pub fn finish(&mut self) -> Result<Ending, Fault> {
        match self.sse.finish() {
            Ok(raw) => {
                let last = raw.map(|raw| self.event(raw)).transpose()?;
                Ok(Ending { last, is_clean: self.is_done })
            }
            Err(SseError::Cut) => Ok(Ending { last: None, is_clean: false }),
            Err(error) => Err(invalid(error)),
        }
    }

    fn event(&mut self, raw: Bytes) -> Result<Event, Fault> {
        let said = fields(&raw);
        let Some(data) = said.data.clone() else {
            let kind = if said.is_error {
                EventKind::Error
            } else if said.has_other {
                EventKind::Other
            } else {
                EventKind::KeepAlive
            };
            return Ok(Event::new(raw, kind));
        };
        let bytes = raw.get(data.clone()).unwrap_or_default();
        if bytes.trim_ascii().is_empty() && said.more.is_empty() && !said.is_error {
            return Ok(Event::new(raw, EventKind::KeepAlive));
        }
        if bytes.trim_ascii() == b"[DONE]" && said.more.is_empty() {
            self.is_done = true;
            return Ok(Event::new(raw, EventKind::Done));
        }
        if self.level < Level::Text && said.more.is_empty() && !said.is_error && !self.needs_reading(bytes) {
            return Ok(Event::new(raw, EventKind::Content));
        }
        let want = if self.level == Level::Text { Want::Text } else { Want::Usage };
        match chunk(&raw, &said, want) {
            Ok(chunk) => {
                let kind = if said.is_error { EventKind::Error } else { chunk.kind() };
                let mut event = Event::new(raw, kind);
                event.deltas = chunk.deltas;
                event.finish = chunk.finish;
                event.usage = chunk.usage;
                Ok(event)
            }
            Err(_) if said.is_error => Ok(Event::new(raw, EventKind::Error)),
            Err(_) if self.level < Level::Text => Ok(Event::new(raw, EventKind::Other)),
            Err(flaw) => Err(flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream")),
        }
    }

    /// Whether an event may hold what this level reads. A quote inside a JSON string is escaped, so a quoted name that is
    /// found is a field's or a value, never a piece of what the model says.
    fn needs_reading(&self, data: &[u8]) -> bool {
        let says = |finder: &Finder<'_>| {
            finder.find_iter(data).any(|at| {
                let rest = data.get(at + finder.needle().len()..).unwrap_or_default().trim_ascii_start();
                rest.strip_prefix(b":").is_none_or(|value| !value.trim_ascii_start().starts_with(b"null"))
            })
        };
        says(&self.usage) || says(&self.error) || (self.level == Level::Usage && says(&self.finish))
    }
}

fn invalid(error: SseError) -> Fault {
    Fault::new(ErrorCode::UpstreamInvalid, "the provider's stream cannot be read").detail(error.to_string())
}

/// Reads an event's data; the places of its texts are places in `raw`.
pub(crate) fn chunk(raw: &Bytes, said: &Fields, want: Want) -> Result<Chunk, Flaw> {
    let not_utf8 = |_| Flaw::new(crate::scan::What::NotUtf8, 0);
    if said.more.is_empty() {
        let whole = ByteString::try_from(raw.clone()).map_err(not_utf8)?;
        return read(&whole, said.data.clone().unwrap_or_default(), want);
    }
    // Several data lines are joined by line feeds. No string holds one, so each text lies in one line.
    let mut joined = Vec::new();
    let mut lines: Vec<(usize, Range<usize>)> = Vec::new();
    for line in &said.more {
        lines.push((joined.len(), line.clone()));
        joined.extend_from_slice(raw.get(line.clone()).unwrap_or_default());
        joined.push(b'\n');
    }
    let whole = ByteString::try_from(Bytes::from(joined)).map_err(not_utf8)?;
    let mut chunk = read(&whole, 0..whole.len(), want)?;
    for delta in &mut chunk.deltas {
        if let Some(at) = &mut delta.text.at {
            let start = at.start as usize;
            let line = lines.iter().rev().find(|(joined, _)| *joined <= start);
            if let Some((joined, line)) = line {
                let start = line.start + (start - joined);
                *at = crate::scan::place(start..start + at.len());
            }
        }
    }
    Ok(chunk)
}
