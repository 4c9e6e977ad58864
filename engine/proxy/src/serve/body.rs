//! A request's body, read with back-pressure up to its limit and decompressed within it.

use super::strict;
use crate::coding::{Coding, CodingError, Decoder};
use crate::listener::Limits;
use bytes::{Bytes, BytesMut};
use http::header::{EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};
use pingora::ErrorType;
use pingora::prelude::timeout;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use weir_message::{ErrorCode, Fault, Packed};

/// How much of a refused request's body is read before the reply, in bytes.
const SMALL: u64 = 256 * 1024;
/// How long a refused client's bytes are read away.
const LINGER: Duration = Duration::from_secs(2);
/// How much memory a declared length alone can claim.
const RESERVE: u64 = 1 << 20;

/// Why there is no body.
pub(crate) enum NoBody {
    /// The client is told.
    Refused(Fault),
    /// There is nobody to tell.
    Gone,
}

impl From<Fault> for NoBody {
    fn from(fault: Fault) -> Self {
        NoBody::Refused(fault)
    }
}

/// What the head says of the body, judged before any of it is read.
pub(crate) struct Announced {
    length: Option<u64>,
    coding: Option<Coding>,
    expects_continue: bool,
}

/// Judges what the head says of the body.
pub(crate) fn announced(headers: &HeaderMap, limits: &Limits) -> Result<Announced, Fault> {
    let length = strict::length(headers).map_err(|why| Fault::new(ErrorCode::BadHttp, why))?;
    if length.is_some_and(|length| length > limits.body) {
        return Err(too_large(limits));
    }
    let coding = Coding::of(headers).map_err(|()| {
        Fault::new(
            ErrorCode::BadEncoding,
            "the content-encoding is none of gzip, br and zstd, or several at once",
        )
    })?;
    let expects_continue = match headers.get(EXPECT) {
        None => false,
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => true,
        Some(_) => {
            let mut fault = Fault::new(ErrorCode::BadHttp, "nothing but 100-continue can be expected");
            fault.status = Some(417);
            return Err(fault);
        }
    };
    Ok(Announced { length, coding, expects_continue })
}

/// Reads the body whole: unpacked, and as it came if it was packed.
pub(crate) async fn read(
    session: &mut ServerSession,
    announced: Announced,
    limits: &Limits,
) -> Result<(Bytes, Option<Box<Packed>>), NoBody> {
    if session.is_body_empty() {
        return Ok((Bytes::new(), None));
    }
    if announced.expects_continue {
        send_continue(session).await?;
    }
    let deadline = Instant::now() + limits.body_timeout;
    let mut decoder = match announced.coding {
        None => None,
        Some(coding) => {
            Some(Decoder::whole(coding, limits.body).map_err(|error| coding_fault(error, limits))?)
        }
    };
    let (mut whole, mut packed) = (BytesMut::new(), BytesMut::new());
    let mut arrived = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let piece = match timeout(left, session.read_request_body()).await {
            Err(_) => return Err(too_slow().into()),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(piece))) => piece,
            Ok(Err(error)) => return Err(broken(&error)),
        };
        arrived += piece.len() as u64;
        if arrived > limits.body {
            return Err(too_large(limits).into());
        }
        match &mut decoder {
            Some(decoder) => {
                packed.extend_from_slice(&piece);
                whole.extend_from_slice(&decoder.push(&piece).map_err(|error| coding_fault(error, limits))?);
            }
            // All in one piece: no copy.
            None if announced.length == Some(piece.len() as u64) => return Ok((piece, None)),
            None => {
                if whole.is_empty() {
                    whole.reserve(usize::try_from(announced.length.unwrap_or(0).min(RESERVE)).unwrap_or(0));
                }
                whole.extend_from_slice(&piece);
            }
        }
    }
    if let Some(decoder) = decoder {
        whole.extend_from_slice(&decoder.finish().map_err(|error| coding_fault(error, limits))?);
    }
    let plain = whole.freeze();
    let packed = announced.coding.map(|coding| {
        let coding = HeaderValue::from_static(coding.name());
        Box::new(Packed { coding, bytes: packed.freeze(), plain: plain.clone() })
    });
    Ok((plain, packed))
}

/// Tells a client that waits to be asked for its body to send it.
async fn send_continue(session: &mut ServerSession) -> Result<(), NoBody> {
    if let ServerSession::H1(h1) = session {
        // That the body is not there yet is no reason to close the connection after this answer.
        h1.set_close_on_response_before_downstream_finish(false);
        let sent = h1.write_continue_response().await;
        h1.set_close_on_response_before_downstream_finish(true);
        sent.map_err(|_| NoBody::Gone)?;
    }
    Ok(())
}

/// Whether what the client sends of its body is little enough to be read away for the sake of its connection.
pub(crate) fn is_small(session: &ServerSession) -> bool {
    let headers = &session.req_header().headers;
    !headers.contains_key(EXPECT)
        && !headers.contains_key(TRANSFER_ENCODING)
        && strict::length(headers).is_ok_and(|length| length.is_none_or(|length| length <= SMALL))
}

/// Reads and throws away what a client still sends of its body, so that it comes to read the reply. Bounded in time.
pub(crate) async fn discard(session: &mut ServerSession) {
    let until = Instant::now() + LINGER;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left, session.read_request_body()).await {
            Ok(Ok(Some(_))) if !left.is_zero() => {}
            _ => return,
        }
    }
}

/// Reads and throws away what comes after a head that is none, so that the client comes to read the reply. Bounded in time.
pub(crate) async fn linger(mut stream: Stream) {
    let until = Instant::now() + LINGER;
    let mut buffer = vec![0; 16 * 1024];
    let _ = timeout(LINGER, AsyncWriteExt::shutdown(&mut stream)).await;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left, AsyncReadExt::read(&mut stream, &mut buffer)).await {
            Ok(Ok(n)) if n > 0 && !left.is_zero() => {}
            _ => return,
        }
    }
}

fn broken(error: &pingora::Error) -> NoBody {
    match error.etype() {
        ErrorType::ReadTimedout => NoBody::Refused(too_slow()),
        ErrorType::Custom(_) => {
            NoBody::Refused(Fault::new(ErrorCode::BadHttp, "the body's chunks are malformed"))
        }
        _ => NoBody::Gone,
    }
}

fn too_slow() -> Fault {
    Fault::new(ErrorCode::RequestTimeout, "the body took too long to arrive")
}

fn too_large(limits: &Limits) -> Fault {
    Fault::new(ErrorCode::BodyTooLarge, format!("the body is larger than {} bytes", limits.body))
}

fn coding_fault(error: CodingError, limits: &Limits) -> Fault {
    match error {
        CodingError::TooLarge => Fault::new(
            ErrorCode::BodyTooLarge,
            format!("the body is larger than {} bytes once decompressed", limits.body),
        ),
        CodingError::Malformed => {
            Fault::new(ErrorCode::BadEncoding, "the body is not encoded as its content-encoding says")
        }
    }
}
