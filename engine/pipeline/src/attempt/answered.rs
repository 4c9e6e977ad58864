//! What came back from a target: an error, a whole reply, or a stream up to its first event.

use super::failure::{Blame, Failure};
use super::{Begun, Reached, Wants, streams};
use crate::minted::{may_mint, sealer};
use crate::run::Run;
use crate::{Answer, CallError, Target, refuse};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{HeaderMap, header};
use weir_dialect::{Level, StreamDecoder, WireFormat};
use weir_message::{Cause, Dialect, EventKind, Operation, Reply, Usage};

/// The largest whole reply taken from a provider, in bytes.
pub(super) const REPLY_LIMIT: u64 = 64 << 20;
/// How much of a provider's error body is read, in bytes.
const ERROR_LIMIT: usize = 64 << 10;
/// How many comments in front of a stream's first event are kept.
const MOST_COMMENTS: usize = 16;

impl Run {
    /// Takes what came back: reads an error or a whole reply, or a stream up to its first event.
    pub(super) async fn taken(
        &mut self,
        target: &Target,
        answer: Result<Answer, CallError>,
        wants: Wants,
    ) -> Result<Reached, Failure> {
        let mut answer = answer.map_err(Failure::from)?;
        let elapsed = self.x.elapsed();
        self.x.trace.timings.upstream_first_byte = Some(elapsed);
        if let Some(attempt) = self.x.trace.attempts.last_mut() {
            attempt.status = Some(answer.status);
            attempt.first_byte = Some(elapsed.saturating_sub(attempt.began));
        }
        let client = WireFormat::of(&self.x.request);
        let format = target.provider.format(client.operation);
        if !(200..400).contains(&answer.status) {
            let body = read_some(&mut answer, ERROR_LIMIT).await;
            let error = weir_dialect::provider_error(format.dialect, answer.status, &answer.headers, &body);
            self.x.trace.said = Some(error.excerpt);
            let detail = format!("{} answered {}", target.provider.name, answer.status);
            return Err(Failure { retry_after: error.retry_after, ..Failure::of(error.cause, detail) });
        }
        if !(200..300).contains(&answer.status) {
            // A redirect, or an answer to a condition that nobody set: no reply, and where it points is not for clients.
            let detail = format!("{} answered {}", target.provider.name, answer.status);
            return Err(Failure::of(Cause::Invalid, detail));
        }
        let is_stream = is_stream(format.dialect, &answer.headers);
        if is_stream && !streams(&self.x.request) {
            let detail = format!("{} streamed a reply that was not to be", target.provider.name);
            return Err(Failure::of(Cause::Invalid, detail));
        }
        if !is_stream {
            let body = read_all(&mut answer).await?;
            let mut reply = Reply::new(answer.status, body);
            reply.headers = answer.headers;
            if client != format {
                let identity = refuse::identity(&self.x);
                reply = weir_dialect::translate_reply(reply, format, client, &identity)
                    .map_err(Failure::invalid)?;
            } else if client.operation == Operation::Response {
                self.seal_response(target, &mut reply);
            } else if may_mint(&self.x.request) {
                let sealed = Box::pin(self.seal_kept(target, &mut reply)).await;
                sealed.map_err(|detail| Failure {
                    blame: Blame::Nobody,
                    ..Failure::of(Cause::Invalid, detail)
                })?;
            }
            let WireFormat { dialect, operation } = client;
            if wants.reply_decoded {
                // Read in full where a stage reads it, so that a reply that cannot be read moves on to another target.
                let read = weir_dialect::decode_reply(&mut reply, dialect, operation);
                if let (Err(fault), true) = (read, wants.reply_firm) {
                    return Err(Failure::invalid(fault));
                }
            } else if wants.usage && client == format {
                let summary =
                    weir_dialect::read_reply_usage(&reply, dialect, operation).map_err(Failure::invalid)?;
                reply.usage = summary.usage;
                reply.model = summary.model;
            }
            if weir_dialect::is_kept(&self.x.request) {
                reply.usage = Some(match wants.usage {
                    true => Box::pin(self.spent_by_kept(target, &reply)).await,
                    false => Usage::default(),
                });
            }
            target.breaker.succeeded(&self.x.plan.breaker, self.x.now());
            return Ok(Reached::Whole(reply));
        }
        let decoder = if client == format {
            let level = if wants.event_texts { Level::Text } else { Level::Usage };
            StreamDecoder::new(format.dialect, format.operation, level)
        } else {
            StreamDecoder::translating(format, client, refuse::identity(&self.x))
        };
        let seals = client == format && may_mint(&self.x.request);
        let mut begun = Box::new(Begun {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
            decoder: decoder.ok_or_else(|| {
                let detail = format!("streams of the dialect {} are not read here", format.dialect);
                Failure::of(Cause::Invalid, detail)
            })?,
            events: Vec::new(),
        });
        if seals {
            begun.decoder.seal(sealer(&self.x, target));
        }
        loop {
            let chunk = begun.body.next().await;
            let is_over = chunk.is_none();
            match chunk {
                Some(chunk) => begun.decoder.push(chunk.map_err(Failure::from)?),
                None => {
                    // A stream must not be asked again behind its end. Some dialects tell calls whole, so that all of a short
                    // answer is told at its end.
                    begun.body = stream::empty().boxed();
                    begun.events.extend(begun.decoder.finish().map_err(Failure::invalid)?.last);
                }
            }
            while let Some(event) = begun.decoder.next_event().map_err(Failure::invalid)? {
                // Comments before the first event say nothing yet; endless ones are not kept.
                if event.kind != EventKind::KeepAlive || begun.events.len() < MOST_COMMENTS {
                    begun.events.push(event);
                }
            }
            match begun.events.iter().find(|event| event.kind != EventKind::KeepAlive) {
                None if is_over => {
                    return Err(Failure::of(Cause::Broken, "the stream ended before its first event"));
                }
                None => {}
                Some(event) if event.kind == EventKind::Error => {
                    let error = begun.decoder.error(event);
                    self.x.trace.said = Some(error.excerpt);
                    let detail = format!("{} told an error in its stream", target.provider.name);
                    return Err(Failure {
                        retry_after: error.retry_after,
                        ..Failure::of(error.cause, detail)
                    });
                }
                Some(_) => break,
            }
        }
        target.breaker.succeeded(&self.x.plan.breaker, self.x.now());
        Ok(Reached::Stream(begun))
    }
}

fn is_stream(dialect: Dialect, headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    weir_dialect::is_stream(dialect, value)
}

/// At most `limit` bytes of the body; what fails on the way is left out.
async fn read_some(answer: &mut Answer, limit: usize) -> Bytes {
    let mut body = BytesMut::new();
    while let Some(Ok(chunk)) = answer.body.next().await {
        let room = limit.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if body.len() >= limit {
            break;
        }
    }
    body.freeze()
}

/// The whole body. One piece is not copied.
async fn read_all(answer: &mut Answer) -> Result<Bytes, Failure> {
    let Some(first) = answer.body.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(Failure::from)?;
    let Some(second) = answer.body.next().await else { return Ok(first) };
    let mut body = BytesMut::from(first.as_ref());
    body.extend_from_slice(&second.map_err(Failure::from)?);
    while let Some(chunk) = answer.body.next().await {
        body.extend_from_slice(&chunk.map_err(Failure::from)?);
        if body.len() as u64 > REPLY_LIMIT {
            return Err(Failure::of(Cause::Invalid, format!("the reply is larger than {REPLY_LIMIT} bytes")));
        }
    }
    Ok(body.freeze())
}
