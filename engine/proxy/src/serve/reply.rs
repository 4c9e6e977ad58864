//! A reply, out to the client: each piece as it comes, and no faster than the client reads.

use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use weir_pipeline::{Response, ResponseBody};

/// How the client asked, as far as it matters for the reply's framing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// `HEAD`: no body.
    pub head_only: bool,
    /// HTTP/1.0 knows no chunks.
    pub chunks: bool,
}

impl Asked {
    pub(crate) fn of(method: &Method, version: Version) -> Self {
        Self { head_only: *method == Method::HEAD, chunks: version == Version::HTTP_11 }
    }
}

/// How writing a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it is with the client.
    Whole,
    /// The client left, or read nothing for too long.
    Gone,
}

/// Writes a reply. Dropping what is left of it, when the client is gone, cancels the upstream.
pub(crate) async fn write(session: &mut ServerSession, response: Response, asked: Asked) -> Sent {
    let Response { status, headers, body } = response;
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    parts.headers = headers;
    let bodiless = matches!(status, 204 | 304);
    match &body {
        ResponseBody::Whole(bytes) if !bodiless => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
        ResponseBody::Stream(_) if !session.is_http2() && asked.chunks => {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        _ => {}
    }
    let head: ResponseHeader = parts.into();
    if session.write_response_header(Box::new(head)).await.is_err() {
        return Sent::Gone;
    }
    let sent = match body {
        _ if asked.head_only || bodiless => session.write_response_body(Bytes::new(), true).await.is_ok(),
        ResponseBody::Whole(bytes) => session.write_response_body(bytes, true).await.is_ok(),
        ResponseBody::Stream(mut pieces) => loop {
            // The piece first: when both are ready, what was paid for still goes out.
            let piece = tokio::select! {
                biased;
                piece = pieces.next() => piece,
                () = gone(session) => break false,
            };
            match piece {
                Some(piece) => {
                    if session.write_response_body(piece, false).await.is_err() {
                        break false;
                    }
                }
                None => break session.write_response_body(Bytes::new(), true).await.is_ok(),
            }
        },
    };
    if sent { Sent::Whole } else { Sent::Gone }
}

/// Done when the client leaves: its connection closes, its stream is reset. Pending while it waits.
pub(crate) async fn gone(session: &mut ServerSession) {
    // Its body was read; whatever ends the wait is its leaving.
    let _ = session.read_body_or_idle(true).await;
}
