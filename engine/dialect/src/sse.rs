//! Splits a stream of bytes into server-sent events (WHATWG HTML, section 9.2.5) without copying those that come whole.

use crate::scan::{Flaw, What, place};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr2;
use std::ops::Range;

/// Why a stream of events cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is larger than the limit, in bytes.
    #[error("an event of the stream is larger than {0} bytes")]
    TooLarge(usize),
    /// The stream ended inside an event.
    #[error("the stream ended inside an event")]
    Cut,
}

/// Bytes in, complete events out. Lines may end in LF, CRLF or CR; an event ends with a blank line, which is part of it.
///
/// An event that lies in one chunk is a slice of that chunk; one that does not is put together in a buffer.
#[derive(Debug)]
pub struct Sse {
    /// What has come of an event that is not complete.
    partial: BytesMut,
    /// What has come and was not looked at.
    chunk: Bytes,
    limit: usize,
    /// Whether the line under way is empty so far.
    is_blank: bool,
    /// Whether the last byte was a CR: an LF behind it belongs to it.
    is_cr: bool,
    is_broken: bool,
}

impl Sse {
    /// The largest event taken by default, in bytes.
    pub const LIMIT: usize = 1024 * 1024;

    /// The same of streams whose events hold whole replies and images, in bytes.
    pub const LARGE_LIMIT: usize = 32 * 1024 * 1024;

    /// Takes events up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            partial: BytesMut::new(),
            chunk: Bytes::new(),
            limit,
            is_blank: true,
            is_cr: false,
            is_broken: false,
        }
    }

    /// Adds what arrived. Take the events out with [`Sse::next_event`] before the next chunk: what is left is copied.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut both = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            both.extend_from_slice(&self.chunk);
            both.extend_from_slice(&chunk);
            self.chunk = both.freeze();
        }
    }

    /// The next complete event; none until more arrives.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, SseError> {
        if self.is_broken {
            return Err(SseError::TooLarge(self.limit));
        }
        if self.chunk.is_empty() {
            return Ok(None);
        }
        let end = self.find_end();
        let len = self.partial.len() + end.unwrap_or(self.chunk.len());
        if len > self.limit {
            self.is_broken = true;
            self.partial = BytesMut::new();
            self.chunk = Bytes::new();
            return Err(SseError::TooLarge(self.limit));
        }
        let Some(end) = end else {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return Ok(None);
        };
        let piece = self.chunk.split_to(end);
        if self.partial.is_empty() {
            return Ok(Some(piece));
        }
        self.partial.extend_from_slice(&piece);
        Ok(Some(self.partial.split().freeze()))
    }

    /// Ends the stream. An event that waited only to see whether its last CR is followed by an LF comes out now.
    pub fn finish(&mut self) -> Result<Option<Bytes>, SseError> {
        if let Some(event) = self.next_event()? {
            // Not drained by the caller: what is behind it is lost, which is a cut.
            return if self.chunk.is_empty() && self.partial.is_empty() {
                Ok(Some(event))
            } else {
                Err(SseError::Cut)
            };
        }
        if self.partial.is_empty() {
            return Ok(None);
        }
        let rest = self.partial.split().freeze();
        if self.is_cr && self.is_blank {
            return Ok(Some(rest));
        }
        // Blank lines alone are no event.
        if rest.iter().all(|b| matches!(b, b'\r' | b'\n')) { Ok(None) } else { Err(SseError::Cut) }
    }

    /// Where in the chunk the event under way ends. Remembers what it saw, so that no byte is looked at twice.
    fn find_end(&mut self) -> Option<usize> {
        let bytes = &self.chunk;
        let mut at = 0;
        loop {
            if self.is_cr {
                if *bytes.get(at)? == b'\n' {
                    at += 1;
                }
                self.is_cr = false;
                if self.is_blank {
                    return Some(at);
                }
                self.is_blank = true;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(len) = memchr2(b'\n', b'\r', rest) else {
                self.is_blank &= rest.is_empty();
                return None;
            };
            self.is_blank &= len == 0;
            self.is_cr = rest.get(len) == Some(&b'\r');
            at += len + 1;
            if !self.is_cr {
                if self.is_blank {
                    return Some(at);
                }
                self.is_blank = true;
            }
        }
    }
}

impl Default for Sse {
    fn default() -> Self {
        Self::new(Self::LIMIT)
    }
}

/// What an event says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Where its data stands if it has exactly one data line.
    pub(crate) data: Option<Range<usize>>,
    /// If it has several: each one's place.
    pub(crate) more: Vec<Range<usize>>,
    /// Whether its type is `error`.
    pub(crate) is_error: bool,
    /// Whether it has lines that are neither comments nor data.
    pub(crate) has_other: bool,
}

/// Reads the fields of one event.
pub(crate) fn fields(raw: &[u8]) -> Fields {
    let mut out = Fields::default();
    let mut at = if raw.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let len = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = rest.get(..len).unwrap_or_default();
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let range = at + len - value.len()..at + len;
            match (&out.data, out.more.is_empty()) {
                (None, _) => out.data = Some(range),
                (Some(first), true) => out.more = vec![first.clone(), range],
                (Some(_), false) => out.more.push(range),
            }
        } else if let Some(value) = line.strip_prefix(b"event:") {
            out.is_error = value.trim_ascii() == b"error";
            out.has_other = true;
        } else if !line.is_empty() && !line.starts_with(b":") {
            out.has_other = true;
        }
        at += len + 1;
    }
    out
}

/// An event's data as one text, and where its parts stand in the event.
pub(crate) struct Data {
    /// A text that holds the data.
    pub(crate) whole: ByteString,
    /// Where.
    pub(crate) range: Range<usize>,
    /// Of several lines of data: where each begins in `whole`, and where it stands in the event.
    lines: Vec<(usize, Range<usize>)>,
}

impl Data {
    /// The data of an event with these fields. One line of data is not copied; several are joined by line feeds.
    pub(crate) fn of(raw: &Bytes, said: &Fields) -> Result<Self, Flaw> {
        let not_utf8 = |_| Flaw::new(What::NotUtf8, 0);
        if said.more.is_empty() {
            let whole = ByteString::try_from(raw.clone()).map_err(not_utf8)?;
            return Ok(Self { whole, range: said.data.clone().unwrap_or_default(), lines: Vec::new() });
        }
        let mut joined = Vec::new();
        let mut lines: Vec<(usize, Range<usize>)> = Vec::new();
        for line in &said.more {
            lines.push((joined.len(), line.clone()));
            joined.extend_from_slice(raw.get(line.clone()).unwrap_or_default());
            joined.push(b'\n');
        }
        let range = 0..joined.len();
        let whole = ByteString::try_from(Bytes::from(joined)).map_err(not_utf8)?;
        Ok(Self { whole, range, lines })
    }

    /// The place in the event of what stands at this place in `whole`. No string holds a line feed, so each lies in one line.
    pub(crate) fn place(&self, at: Range<u32>) -> Range<u32> {
        let start = at.start as usize;
        match self.lines.iter().rev().find(|(joined, _)| *joined <= start) {
            None => at,
            Some((joined, line)) => {
                let start = line.start + (start - joined);
                place(start..start + at.len())
            }
        }
    }

    /// The place in the event of a value, which may stretch over several lines.
    pub(crate) fn span(&self, at: Range<u32>) -> Range<u32> {
        let last = at.end.saturating_sub(1).max(at.start);
        self.place(at.start..at.start).start..self.place(last..at.end).end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]]) -> (Vec<Bytes>, Result<Option<Bytes>, SseError>) {
        let mut sse = Sse::default();
        let mut out = Vec::new();
        for piece in pieces {
            sse.push(Bytes::copy_from_slice(piece));
            while let Some(event) = sse.next_event().unwrap() {
                out.push(event);
            }
        }
        (out, sse.finish())
    }

    #[test]
    fn events_end_with_a_blank_line_whatever_ends_lines() {
        let cases: [(&str, &[&str]); 7] = [
            ("data: a\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["data: a\r\n\r\n", "data: b\r\n\r\n"]),
            ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
            ("data: a\r\n\ndata: b\n\r\n", &["data: a\r\n\n", "data: b\n\r\n"]),
            (": ping\n\ndata: a\ndata: b\n\n", &[": ping\n\n", "data: a\ndata: b\n\n"]),
            ("\n\ndata: a\n\n", &["\n", "\n", "data: a\n\n"]),
            ("", &[]),
        ];
        for (stream, want) in cases {
            let (mut got, end) = split(&[stream.as_bytes()]);
            got.extend(end.unwrap());
            assert_eq!(got, want, "{stream:?}");
        }
    }

    #[test]
    fn a_missing_end_is_reported() {
        for stream in ["data: a", "data: a\n", "data: a\r\n", "data: a\r", "data: a\n\n:"] {
            assert_eq!(split(&[stream.as_bytes()]).1, Err(SseError::Cut), "{stream:?}");
        }
    }

    #[test]
    fn an_event_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let mut sse = Sse::default();
        sse.push(chunk.clone());
        assert_eq!(sse.next_event().unwrap().unwrap().as_ptr(), chunk.as_ptr());
        assert_eq!(sse.next_event().unwrap().unwrap().as_ptr(), chunk[9..].as_ptr());
    }

    #[test]
    fn an_endless_event_is_an_error_in_bounded_memory() {
        for chunk in [1, 7, 64] {
            let mut sse = Sse::new(40);
            let mut failed = None;
            for n in 0..100 {
                sse.push(Bytes::from(vec![b'x'; chunk]));
                if let Err(error) = sse.next_event() {
                    failed = failed.or(Some((n + 1) * chunk));
                    assert_eq!(error, SseError::TooLarge(40));
                }
            }
            assert!(failed.is_some_and(|at| at <= 40 + chunk), "{chunk}");
        }
    }

    #[test]
    fn reads_fields_with_and_without_space_and_byte_order_mark() {
        let read = |raw: &str| {
            let fields = fields(raw.as_bytes());
            fields.data.map(|range| raw[range].to_owned())
        };
        assert_eq!(read("data: {}\n\n").as_deref(), Some("{}"));
        assert_eq!(read("data:{}\r\n\r\n").as_deref(), Some("{}"));
        assert_eq!(read("\u{feff}data:  x\r\r").as_deref(), Some(" x"));
        assert_eq!(read(": note\n\n"), None);
        assert!(fields(b"event: error\ndata: x\n\n").is_error);
        assert_eq!(fields(b"data: a\ndata: b\ndata: c\n\n").more, [6..7, 14..15, 22..23]);
    }

    proptest! {
        #[test]
        fn chunks_cut_anywhere_give_the_same_events(stream in "(data: [ab]{0,3}|:|\r|\n|\r\n|\n\n){0,12}", cuts in prop::collection::vec(0usize..60, 0..8)) {
            let bytes = stream.as_bytes();
            let whole = split(&[bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&split(&single), &whole);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(&split(&pieces), &whole);
        }
    }
}
