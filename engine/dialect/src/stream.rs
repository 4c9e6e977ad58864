//! Streams of bytes to streams of events, reading only as much as the plan asks; from one dialect to another where they differ.

use crate::frames::{FrameError, Frames};
use crate::piece::{Identity, Piece, ReadEvents, WriteEvents};
use crate::wire::wire;
use crate::{ProviderError, WireFormat, kept, openai};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use weir_message::{Dialect, ErrorCode, Event, EventKind, Fault, Operation, Usage};

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

/// Bytes of a provider's stream in, events for the client out.
#[derive(Debug)]
pub struct StreamDecoder {
    from: Dialect,
    frames: Frames,
    level: Level,
    is_done: bool,
    reader: Box<dyn ReadEvents>,
    translation: Option<Translation>,
    seal: Option<Seal>,
}

/// What puts other ids in the place of those that a provider minted.
struct Seal(Box<Reseal>);

/// The id to be shown in the place of one; none where it stays.
type Reseal = dyn Fn(&str) -> Option<String> + Send + Sync;

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// What writes the events anew for a client of another dialect.
#[derive(Debug)]
struct Translation {
    writer: Box<dyn WriteEvents>,
    /// What the client's dialect has for a provider's comment.
    keep_alive: Option<&'static [u8]>,
    pieces: Vec<Piece>,
    ready: VecDeque<Event>,
    has_finished: bool,
    /// What was spent so far. The client is told when its dialect does; who reads events knows with the next one.
    spent: Option<Usage>,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Events that were complete only with the stream's end.
    pub last: Vec<Event>,
    /// Whether the dialect's own end (`[DONE]`) was seen, or it has none and all was said, and nothing was cut.
    pub is_clean: bool,
}

impl StreamDecoder {
    /// A decoder of a stream of this operation for a client of the same dialect; `None` if the dialect is not spoken here.
    pub fn new(dialect: Dialect, operation: Operation, level: Level) -> Option<Self> {
        let wire = wire(dialect)?;
        Some(Self {
            from: dialect,
            frames: wire.frames(operation),
            level,
            is_done: false,
            reader: wire.reader(operation),
            translation: None,
            seal: None,
        })
    }

    /// A decoder of a stream in one format that writes its events in another. The identity is for what the provider does not
    /// tell. Its events are read at [`Level::Text`].
    pub fn translating(from: WireFormat, to: WireFormat, identity: Identity) -> Option<Self> {
        let translation = Translation {
            writer: wire(to.dialect)?.writer(to.operation, identity),
            keep_alive: wire(to.dialect)?.keep_alive(),
            pieces: Vec::new(),
            ready: VecDeque::new(),
            has_finished: false,
            spent: None,
        };
        Some(Self {
            translation: Some(translation),
            ..Self::new(from.dialect, from.operation, Level::Usage)?
        })
    }

    /// Puts other ids in the place of those that the provider minted, before an event is read.
    pub fn seal(&mut self, seal: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
        self.seal = Some(Seal(Box::new(seal)));
    }

    fn sealed(&self, raw: Bytes) -> Bytes {
        let Some(Seal(seal)) = &self.seal else { return raw };
        match kept::event_ids(&raw) {
            ids if ids.is_empty() => raw,
            ids => kept::with_ids(&raw, &ids, seal),
        }
    }

    /// Adds what arrived. Take all events out before the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        self.frames.push(chunk);
    }

    /// The next event; none until more arrives.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if an event is larger than the limit, or cannot be read at [`Level::Text`].
    pub fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        if self.is_over() {
            return Ok(Some(self.seen(Event::new(Bytes::new(), EventKind::Done))));
        }
        loop {
            if let Some(event) = self.translation.as_mut().and_then(|one| one.ready.pop_front()) {
                return Ok(Some(self.seen(event)));
            }
            let Some(raw) = self.frames.next_event().map_err(invalid)? else { return Ok(None) };
            let event = self.reader.event(self.sealed(raw), self.level)?;
            match &mut self.translation {
                None => return Ok(Some(self.seen(event))),
                Some(translation) => translation.take(&mut *self.reader, event)?,
            }
        }
    }

    /// Whether the stream ended by what was read last, and that is not told yet.
    fn is_over(&self) -> bool {
        self.translation.is_none() && !self.is_done && self.reader.is_over()
    }

    fn seen(&mut self, event: Event) -> Event {
        self.is_done |= event.kind == EventKind::Done;
        event
    }

    /// Whether events are written anew in another dialect.
    pub fn translates(&self) -> bool {
        self.translation.is_some()
    }

    /// Whether the dialect's own end was seen.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// What an error event of this stream means.
    pub fn error(&self, event: &Event) -> ProviderError {
        wire(self.from).unwrap_or(&openai::OpenAi).stream_error(&event.raw)
    }

    /// Ends the stream: what is left of it, and whether it ended as it should. A translated stream whose provider said why it
    /// finished gets its end here if the provider's dialect has no other.
    ///
    /// # Errors
    /// As [`StreamDecoder::next_event`]. A stream that is merely cut is no error here but an unclean [`Ending`].
    pub fn finish(&mut self) -> Result<Ending, Fault> {
        let raw = match self.frames.finish() {
            Ok(raw) => raw,
            Err(FrameError::Cut) => return Ok(Ending { last: Vec::new(), is_clean: false }),
            Err(error) => return Err(invalid(error)),
        };
        let event = raw.map(|raw| self.reader.event(self.sealed(raw), self.level)).transpose()?;
        let mut last: Vec<Event> = Vec::new();
        match &mut self.translation {
            None => {
                last.extend(event);
                if self.is_over() {
                    last.push(Event::new(Bytes::new(), EventKind::Done));
                }
            }
            Some(translation) => {
                if let Some(event) = event {
                    translation.take(&mut *self.reader, event)?;
                }
                if translation.has_finished && !self.is_done {
                    translation.write(Piece::Done);
                }
                last.extend(translation.ready.drain(..));
            }
        }
        self.is_done |= last.iter().any(|event| event.kind == EventKind::Done);
        Ok(Ending { last, is_clean: self.is_done || self.reader.may_end() })
    }
}

impl Translation {
    /// Takes an event of the provider and writes what it says.
    fn take(&mut self, reader: &mut dyn ReadEvents, event: Event) -> Result<(), Fault> {
        match event.kind {
            EventKind::KeepAlive => {
                self.ready.extend(self.keep_alive.map(|raw| Event::new(raw, EventKind::KeepAlive)));
            }
            // What it means is asked of the provider's own bytes.
            EventKind::Error => self.ready.push_back(event),
            _ => {
                let mut pieces = std::mem::take(&mut self.pieces);
                let read = reader.pieces(&event.raw, &mut pieces);
                pieces.drain(..).for_each(|piece| self.write(piece));
                self.pieces = pieces;
                read.map_err(|flaw| {
                    flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream")
                })?;
            }
        }
        Ok(())
    }

    fn write(&mut self, piece: Piece) {
        match &piece {
            Piece::Finish { .. } => self.has_finished = true,
            Piece::Usage(usage) => self.spent = Some(*usage),
            _ => {}
        }
        let mut out = Vec::new();
        self.writer.write(piece, &mut out);
        self.ready.extend(out.into_iter().map(|mut event| {
            event.usage = event.usage.or(self.spent);
            event
        }));
    }
}

fn invalid(error: FrameError) -> Fault {
    Fault::new(ErrorCode::UpstreamInvalid, "the provider's stream cannot be read").detail(error.to_string())
}
