//! The body of a provider's reply, read as it is asked for.

use super::failure::{Stage, call_error};
use super::http::Line;
use crate::coding::Decoder;
use crate::patience::TimedOut;
use bytes::Bytes;
use pingora::protocols::http::client::HttpSession;
use pingora::{Error, ErrorType};
use std::time::Duration;
use tokio::time::Instant;
use weir_message::Cause;
use weir_pipeline::CallError;

/// A body under way. Dropped before its end, it cancels the attempt: an HTTP/1 connection is closed, an HTTP/2 stream reset.
pub(crate) struct Reading {
    line: Option<Line>,
    decoder: Option<Decoder>,
    /// The largest body taken; `None` for a stream.
    limit: Option<u64>,
    taken: u64,
    between: Duration,
    deadline: Instant,
}

impl Reading {
    pub(crate) fn new(
        line: Line,
        decoder: Option<Decoder>,
        limit: Option<u64>,
        between: Duration,
        deadline: Instant,
    ) -> Self {
        Self { line: Some(line), decoder, limit, taken: 0, between, deadline }
    }

    /// The next piece; `None` after the last. Nothing is read ahead.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        loop {
            let line = self.line.as_mut()?;
            let read = line.session.read_response_body();
            let read = line.patience.within(self.between, Some(self.deadline), read).await;
            let piece = match read.unwrap_or_else(|TimedOut| too_slow(self.between)) {
                Ok(Some(piece)) if piece.is_empty() => continue,
                Ok(Some(piece)) => match self.decoded(piece) {
                    Ok(piece) if piece.is_empty() => continue,
                    piece => piece,
                },
                Ok(None) => return self.ended().await,
                Err(error) => Err(call_error(Stage::Body, &error)),
            };
            if piece.is_err() {
                self.cancel();
            }
            return Some(piece);
        }
    }

    fn decoded(&mut self, piece: Bytes) -> Result<Bytes, CallError> {
        let invalid = |detail: String| CallError::new(Cause::Invalid, detail);
        let piece = match &mut self.decoder {
            Some(decoder) => decoder.push(&piece).map_err(|error| invalid(error.to_string()))?,
            None => piece,
        };
        self.taken += piece.len() as u64;
        match self.limit {
            Some(limit) if self.taken > limit => {
                Err(invalid(format!("the reply is larger than {limit} bytes")))
            }
            _ => Ok(piece),
        }
    }

    /// The provider says that this was all: the connection goes back to the pool, the rest of the decoder comes out.
    async fn ended(&mut self) -> Option<Result<Bytes, CallError>> {
        let mut line = self.line.take()?;
        if let HttpSession::H2(session) = &mut *line.session
            && let Err(error) = session.check_response_end_or_error()
        {
            self.line = Some(line);
            self.cancel();
            return Some(Err(call_error(Stage::Body, &error)));
        }
        let Line { session, patience, peer, site } = line;
        site.lines.release(session, patience, &peer).await;
        let rest = self.decoder.take()?.finish();
        match rest {
            Ok(rest) if rest.is_empty() => None,
            Ok(rest) => Some(Ok(rest)),
            Err(error) => Some(Err(CallError::new(Cause::Invalid, error.to_string()))),
        }
    }

    /// Gives the attempt up.
    fn cancel(&mut self) {
        if let Some(Line { session, peer, site, .. }) = self.line.take() {
            site.lines.reset(*session, &peer);
        }
    }
}

fn too_slow<T>(between: Duration) -> pingora::Result<T> {
    Error::e_explain(ErrorType::ReadTimedout, format!("nothing more within {} ms", between.as_millis()))
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.cancel();
    }
}
