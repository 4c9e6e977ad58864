//! AWS's framing of event streams (`application/vnd.amazon.eventstream`; smithy.io: "Amazon Event Stream Specification").
//!
//! A frame is its length and that of its headers (four bytes each, big-endian), the CRC-32 of these eight bytes, headers,
//! payload, and the CRC-32 of all in front.

use crate::frames::FrameError;
use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// The media type of such a stream.
pub(crate) const AWS_EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The bytes in front of the headers.
const PRELUDE: usize = 12;

/// The bytes of a checksum.
const CHECKSUM: usize = 4;

/// The type of a header whose value is a string.
const STRING: u8 = 7;

/// Splits a stream of bytes into frames. One that lies in one chunk is a slice of it; one that does not is put together in a
/// buffer.
#[derive(Debug)]
pub(crate) struct EventStream {
    /// What has come of a frame that is not complete.
    partial: BytesMut,
    /// What has come and was not looked at.
    chunk: Bytes,
    limit: usize,
    broken: Option<FrameError>,
}

impl EventStream {
    /// The largest frame taken, in bytes: what AWS's own readers take, headers included.
    pub(crate) const LIMIT: usize = 24 * 1024 * 1024;

    /// Takes frames up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { partial: BytesMut::new(), chunk: Bytes::new(), limit, broken: None }
    }

    /// Adds what arrived. Take the frames out with [`EventStream::next_frame`] before the next chunk: what is left is copied.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.chunk = [&*self.chunk, &*chunk].concat().into();
        }
    }

    /// The next complete frame, its checksums proven; none until more arrives.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.broken.map_or_else(|| self.split(), Err) {
            Ok(frame) => Ok(frame),
            Err(error) => {
                (self.partial, self.chunk) = (BytesMut::new(), Bytes::new());
                self.broken = Some(error);
                Err(error)
            }
        }
    }

    fn split(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(prelude) = self.prelude() else {
            self.keep();
            return Ok(None);
        };
        let len = checked_len(&prelude)?;
        if len > self.limit {
            return Err(FrameError::TooLarge(self.limit));
        }
        let Some(missing) = len.checked_sub(self.partial.len()).filter(|n| *n <= self.chunk.len()) else {
            self.keep();
            return Ok(None);
        };
        let piece = self.chunk.split_to(missing);
        let frame = if self.partial.is_empty() {
            piece
        } else {
            self.partial.extend_from_slice(&piece);
            self.partial.split().freeze()
        };
        let (body, sum) = frame.split_at_checked(len - CHECKSUM).unwrap_or_default();
        if sum != checksum(body) {
            return Err(FrameError::Damaged);
        }
        Ok(Some(frame))
    }

    /// Ends the stream. Bytes of a frame that is not complete are a cut.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, FrameError> {
        let last = self.next_frame()?;
        let is_clean = self.partial.is_empty() && self.chunk.is_empty();
        if is_clean { Ok(last) } else { Err(FrameError::Cut) }
    }

    /// The first bytes of the frame under way, once they are there.
    fn prelude(&self) -> Option<[u8; PRELUDE]> {
        let mut out = [0; PRELUDE];
        let mut bytes = self.partial.iter().chain(&self.chunk);
        for byte in &mut out {
            *byte = *bytes.next()?;
        }
        Some(out)
    }

    /// Puts what came aside until more does.
    fn keep(&mut self) {
        self.partial.extend_from_slice(&self.chunk);
        self.chunk = Bytes::new();
    }
}

/// The length of a frame with this beginning.
fn checked_len(prelude: &[u8; PRELUDE]) -> Result<usize, FrameError> {
    let (lengths, sum) = prelude.split_at(PRELUDE - CHECKSUM);
    let (len, headers) = (number(lengths, 0), number(lengths, 4));
    let least = headers.saturating_add(PRELUDE + CHECKSUM);
    if sum == checksum(lengths) && len >= least { Ok(len) } else { Err(FrameError::Damaged) }
}

/// The four bytes here as a number.
fn number(bytes: &[u8], at: usize) -> usize {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_be_bytes).try_into().unwrap_or(usize::MAX)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    crc32fast::hash(bytes).to_be_bytes()
}

/// A frame taken apart. Its length and checksums are not looked at: an edit of the payload leaves them as they were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    raw: &'a [u8],
    headers: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame with these bytes; `None` if they are too few.
    pub(crate) fn of(raw: &'a [u8]) -> Option<Self> {
        let end = PRELUDE.checked_add(number(raw, 4))?;
        let headers = raw.get(PRELUDE..end)?;
        (end + CHECKSUM <= raw.len()).then_some(Self { raw, headers })
    }

    /// The value of the header with this name, if it is a string.
    pub(crate) fn header(self, name: &str) -> Option<&'a str> {
        let mut rest = self.headers;
        loop {
            let (len, behind) = rest.split_first()?;
            let (found, behind) = behind.split_at_checked(usize::from(*len))?;
            let (kind, behind) = behind.split_first()?;
            let (value, behind) = value(*kind, behind)?;
            if found == name.as_bytes() {
                return (*kind == STRING).then_some(value).and_then(|value| std::str::from_utf8(value).ok());
            }
            rest = behind;
        }
    }

    /// Where the payload stands in the frame.
    pub(crate) fn payload(self) -> Range<usize> {
        PRELUDE + self.headers.len()..self.raw.len() - CHECKSUM
    }
}

/// The value of a header of this type, and what stands behind it.
fn value(kind: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let fixed = match kind {
        // True and false.
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        // A number or a time.
        5 | 8 => 8,
        // A UUID.
        9 => 16,
        6 | STRING => {
            let (len, behind) = bytes.split_at_checked(2)?;
            return behind.split_at_checked(usize::from(u16::from_be_bytes(len.try_into().ok()?)));
        }
        _ => return None,
    };
    bytes.split_at_checked(fixed)
}

/// The beginning of a frame with these headers, to which the payload is added.
pub(crate) fn begun(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&[0; PRELUDE]);
    for (name, value) in headers {
        // Names and values here are few and short.
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u16::try_from(value.len())) else {
            continue;
        };
        out.push(name_len);
        out.extend_from_slice(name.as_bytes());
        out.push(STRING);
        out.extend_from_slice(&value_len.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let len = out.len() - PRELUDE;
    put(&mut out, 4, &be(len));
    out
}

/// The frame, once its payload is there.
pub(crate) fn sealed(mut frame: Vec<u8>) -> Bytes {
    frame.extend_from_slice(&[0; CHECKSUM]);
    seal(&mut frame);
    frame.into()
}

/// A frame whose payload was changed, with the length and the checksums that it has now.
pub(crate) fn resealed(frame: &[u8]) -> Bytes {
    let mut frame = frame.to_vec();
    seal(&mut frame);
    frame.into()
}

fn seal(frame: &mut [u8]) {
    let len = frame.len();
    let Some(body) = len.checked_sub(CHECKSUM).filter(|body| *body >= PRELUDE) else { return };
    put(frame, 0, &be(len));
    let sum = checksum(frame.get(..PRELUDE - CHECKSUM).unwrap_or_default());
    put(frame, PRELUDE - CHECKSUM, &sum);
    let sum = checksum(frame.get(..body).unwrap_or_default());
    put(frame, body, &sum);
}

fn be(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8; 4]) {
    if let Some(place) = frame.get_mut(at..at + 4) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    /// A frame as AWS's own crate writes it, with a header of each type.
    fn theirs(payload: &[u8]) -> Vec<u8> {
        let mut message = Message::new(Bytes::copy_from_slice(payload));
        let values = [
            HeaderValue::Bool(true),
            HeaderValue::Bool(false),
            HeaderValue::Byte(1),
            HeaderValue::Int16(2),
            HeaderValue::Int32(3),
            HeaderValue::Int64(4),
            HeaderValue::ByteArray(Bytes::from_static(b"bytes")),
            HeaderValue::Timestamp(aws_smithy_types::DateTime::from_secs(5)),
            HeaderValue::Uuid(6),
            HeaderValue::String("event".into()),
        ];
        for (n, value) in values.into_iter().enumerate() {
            message = message.add_header(Header::new(format!("h{n}"), value));
        }
        let mut out = Vec::new();
        write_message_to(&message, &mut out).unwrap();
        out
    }

    fn ours(payload: &[u8]) -> Bytes {
        let mut frame = begun(&[(":message-type", "event"), (":event-type", "é")]);
        frame.extend_from_slice(payload);
        sealed(frame)
    }

    fn split(limit: usize, pieces: &[&[u8]]) -> (Vec<Bytes>, Result<Option<Bytes>, FrameError>) {
        let mut stream = EventStream::new(limit);
        let mut out = Vec::new();
        for piece in pieces {
            stream.push(Bytes::copy_from_slice(piece));
            loop {
                match stream.next_frame() {
                    Ok(Some(frame)) => out.push(frame),
                    Ok(None) => break,
                    Err(error) => return (out, Err(error)),
                }
            }
        }
        (out, stream.finish())
    }

    #[test]
    fn what_the_official_crate_writes_is_read_and_what_is_written_it_reads() {
        let frame = theirs(b"{\"a\":1}");
        let read = Frame::of(&frame).unwrap();
        assert_eq!(&frame[read.payload()], b"{\"a\":1}");
        assert_eq!((read.header("h9"), read.header("h0"), read.header("no")), (Some("event"), None, None));
        assert_eq!(split(1024, &[&frame]), (vec![Bytes::from(frame.clone())], Ok(None)));

        let frame = ours(b"payload");
        let message = read_message_from(frame.clone()).unwrap();
        assert_eq!(&message.payload()[..], b"payload");
        let headers: Vec<(String, String)> = message
            .headers()
            .iter()
            .map(|header| {
                let value = header.value().as_string().unwrap().as_str();
                (header.name().as_str().to_owned(), value.to_owned())
            })
            .collect();
        let want = [(":message-type", "event"), (":event-type", "é")];
        assert_eq!(headers, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_changed_payload_gets_new_lengths_and_checksums() {
        let frame = ours(b"payload");
        let at = Frame::of(&frame).unwrap().payload();
        let changed = [&frame[..at.start], b"something else", &frame[at.end..]].concat();
        assert!(read_message_from(&changed[..]).is_err());
        assert_eq!(&changed[Frame::of(&changed).unwrap().payload()], b"something else");
        assert_eq!(resealed(&changed), ours(b"something else"));
    }

    #[test]
    fn damage_cuts_and_giants_are_told_apart() {
        let frame = ours(b"payload");
        for n in 0..frame.len() {
            let mut damaged = frame.to_vec();
            damaged[n] ^= 1;
            assert_eq!(split(1024, &[&damaged]).1, Err(FrameError::Damaged), "{n}");
            let cut = if n == 0 { Ok(None) } else { Err(FrameError::Cut) };
            assert_eq!(split(1024, &[&frame[..n]]).1, cut, "{n}");
        }
        assert_eq!(split(frame.len() - 1, &[&frame]).1, Err(FrameError::TooLarge(frame.len() - 1)));
        assert!(split(frame.len(), &[&frame]).1.is_ok());
        // Its length alone is enough, and what is broken stays so.
        let mut stream = EventStream::new(20);
        stream.push(frame.slice(..PRELUDE));
        for _ in 0..2 {
            assert_eq!(stream.next_frame(), Err(FrameError::TooLarge(20)));
            stream.push(frame.clone());
        }
        // A length that leaves no room for headers and checksums.
        let mut short = [0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let sum = checksum(&short[..8]);
        short[8..12].copy_from_slice(&sum);
        assert_eq!(split(1024, &[&short]).1, Err(FrameError::Damaged));
    }

    #[test]
    fn a_frame_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from([ours(b"a"), ours(b"b")].concat());
        let mut stream = EventStream::new(1024);
        stream.push(chunk.clone());
        assert_eq!(stream.next_frame().unwrap().unwrap().as_ptr(), chunk.as_ptr());
        assert_eq!(stream.next_frame().unwrap().unwrap().as_ptr(), chunk[ours(b"a").len()..].as_ptr());
    }

    proptest! {
        #[test]
        fn chunks_cut_anywhere_give_the_same_frames(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
            cuts in prop::collection::vec(0usize..300, 0..8),
        ) {
            let frames: Vec<Bytes> = payloads.iter().map(|payload| theirs(payload).into()).collect();
            let bytes = frames.concat();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(split(1024, &single), (frames.clone(), Ok(None)));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(split(1024, &pieces), (frames, Ok(None)));
        }

        #[test]
        fn bytes_of_any_kind_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = split(64, &[&bytes]);
            if let Some(frame) = Frame::of(&bytes) {
                let _ = (frame.header("a"), bytes.get(frame.payload()));
            }
            let _ = resealed(&bytes);
        }
    }
}
