//! The provider `echo`: what the dialect's plan says, in this process, with real waits.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use weir_dialect::echo::{EchoBody, EchoPlan, plan};
use weir_message::{Cause, Operation};
use weir_pipeline::{Answer, Call, CallError};

/// What is left of a body.
struct Rest {
    pieces: std::vec::IntoIter<(Duration, Bytes)>,
    cut: bool,
    hang: bool,
    between: Duration,
}

/// Answers an attempt.
pub(crate) async fn send(call: Call) -> Result<Answer, CallError> {
    let operation = match call.path.split('?').next().unwrap_or_default() {
        path if path.ends_with("/embeddings") => Operation::Embedding,
        path if path.ends_with("/rerank") => Operation::Rerank,
        path if path.ends_with("/models") => Operation::Model,
        path if path.ends_with("/chat/completions") => Operation::Chat,
        path if path.ends_with("/moderations") => Operation::Moderation,
        path if path.contains("/images/") => Operation::Image,
        path if path.ends_with("/audio/transcriptions") || path.ends_with("/audio/translations") => {
            Operation::Transcription
        }
        path if path.ends_with("/audio/speech") => Operation::Speech,
        path if path.ends_with("/responses") => Operation::Response,
        _ => Operation::Completion,
    };
    let EchoPlan { status, headers, delay, body, cut, hang } = plan(operation, &call.model, &call.body);
    if !delay.is_zero() && timeout(call.timeouts.first_byte, sleep(delay)).await.is_err() {
        return Err(CallError::new(Cause::Timeout, "echo: no head in time"));
    }
    let pieces = match body {
        EchoBody::Whole(body) => vec![(Duration::ZERO, body)],
        EchoBody::Events(events) => events,
    };
    let rest = Rest { pieces: pieces.into_iter(), cut, hang, between: call.timeouts.between };
    let body = stream::unfold(rest, |mut rest| async move {
        let piece = rest.next().await?;
        Some((piece, rest))
    });
    Ok(Answer { status, headers, body: body.boxed() })
}

impl Rest {
    async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        if let Some((delay, piece)) = self.pieces.next() {
            if !delay.is_zero() && timeout(self.between, sleep(delay)).await.is_err() {
                return Some(Err(self.over(Cause::Timeout, "echo: no event in time")));
            }
            return Some(Ok(piece));
        }
        if std::mem::take(&mut self.hang) {
            sleep(self.between).await;
            return Some(Err(self.over(Cause::Timeout, "echo: no end in time")));
        }
        if self.cut {
            return Some(Err(self.over(Cause::Broken, "echo: cut")));
        }
        None
    }

    /// The failure after which nothing comes.
    fn over(&mut self, cause: Cause, detail: &str) -> CallError {
        self.pieces = Vec::new().into_iter();
        (self.cut, self.hang) = (false, false);
        CallError::new(cause, detail)
    }
}
