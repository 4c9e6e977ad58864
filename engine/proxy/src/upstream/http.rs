//! One attempt over HTTP.

use super::body::Reading;
use super::failure::{Stage, call_error, died_idle};
use super::sign::signed;
use super::site::{Peer, Site, Sites};
use super::token::Tokens;
use crate::coding::{Coding, Decoder};
use crate::hygiene::end_to_end;
use crate::patience::{Patience, TimedOut};
use futures::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::RequestHeader;
use pingora::prelude::timeout;
use pingora::protocols::http::client::HttpSession;
use pingora::{Error, ErrorType};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use weir_message::{Cause, Dialect};
use weir_pipeline::{Access, Answer, AuthScheme, Call, CallError, Clock, Endpoint};

/// Attempts over HTTP and the connections they share.
pub(crate) struct Http {
    sites: Arc<Sites>,
    pub(super) tokens: Tokens,
    pub(super) clock: Arc<dyn Clock>,
}

/// A connection, and what is needed to give it back.
pub(crate) struct Line {
    pub session: Box<HttpSession>,
    pub patience: Patience,
    pub peer: Arc<Peer>,
    pub site: Arc<Site>,
}

impl Http {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { sites: Arc::new(Sites::new()), tokens: Tokens::default(), clock }
    }

    /// Sends one attempt; back when the reply's head is there.
    pub(crate) async fn send(self: &Arc<Self>, call: Call) -> Result<Answer, CallError> {
        match call.provider.credential.source() {
            None => self.send_as_it_is(&call).await,
            // Its future is large and not everyone's.
            Some(source) => Box::pin(self.send_with_token(call, source)).await,
        }
    }

    /// Sends one attempt whose headers are final but for a signature.
    pub(super) async fn send_as_it_is(&self, call: &Call) -> Result<Answer, CallError> {
        let Access::Http(endpoint) = &call.provider.access else {
            return Err(CallError::new(Cause::Connect, "the provider is not reached over HTTP"));
        };
        let now = Instant::now();
        let deadline = now + call.timeouts.total;
        let site = match self.sites.known(endpoint, now) {
            Some(site) => site,
            None => Box::pin(self.find(endpoint, call.timeouts.connect)).await?,
        };
        let mut request = self.head(call, endpoint, &site)?;
        if let Some(mut line) = free(&site, call.timeouts.connect).await {
            match exchange(&mut line, request, call, deadline, now).await {
                Ok(()) => return answer(line, call, deadline),
                Err(error) if died_idle(&error) => request = self.head(call, endpoint, &site)?,
                Err(error) => return Err(call_error(Stage::Head, &error)),
            }
        }
        // Connecting is rare and its future large: it gets memory of its own when it is needed.
        let mut line = Box::pin(open(&site, call.timeouts.connect)).await?;
        exchange(&mut line, request, call, deadline, Instant::now())
            .await
            .map_err(|error| call_error(Stage::Head, &error))?;
        answer(line, call, deadline)
    }

    async fn find(&self, endpoint: &Endpoint, limit: Duration) -> Result<Arc<Site>, CallError> {
        timeout(limit, self.sites.find(endpoint)).await.unwrap_or_else(|_| Err(no_connection(limit)))
    }

    /// The request's head: end-to-end headers, `host`, framing, and a signature where the provider wants one.
    fn head(&self, call: &Call, endpoint: &Endpoint, site: &Site) -> Result<Box<RequestHeader>, CallError> {
        let mut parts = unsigned_head(call, endpoint, site)?;
        if let AuthScheme::SigV4(scope) = &call.provider.auth {
            let Some(keys) = call.provider.credential.keys() else {
                return Err(CallError::new(Cause::Unauthorized, "the account has no keys to sign with"));
            };
            let since = u64::try_from(self.clock.unix_nanos()).unwrap_or_default();
            signed(&mut parts, &call.body, &keys, scope, Duration::from_nanos(since))?;
        }
        Ok(Box::new(parts.into()))
    }
}

fn no_connection(limit: Duration) -> CallError {
    CallError::new(Cause::Connect, format!("no connection within {} ms", limit.as_millis()))
}

fn unsigned_head(call: &Call, endpoint: &Endpoint, site: &Site) -> Result<Parts, CallError> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = call.method.clone();
    parts.uri = [&*endpoint.base_path, &*call.path]
        .concat()
        .try_into()
        .map_err(|error| CallError::new(Cause::Invalid, format!("the request line: {error}")))?;
    parts.headers = call.headers.clone();
    parts.headers.remove(EXPECT);
    parts.headers.insert(HOST, site.host.clone());
    if call.body.is_empty() && matches!(call.method, Method::GET | Method::HEAD | Method::DELETE) {
        parts.headers.remove(CONTENT_LENGTH);
    } else {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(call.body.len()));
    }
    Ok(parts)
}

/// A connection that is open and free, to the first address that has one.
async fn free(site: &Arc<Site>, limit: Duration) -> Option<Line> {
    for peer in &site.peers {
        if let Some((session, patience)) = site.lines.free(peer, limit).await {
            return Some(Line { session, patience, peer: Arc::clone(peer), site: Arc::clone(site) });
        }
    }
    None
}

/// A new connection, to the first address that takes one.
async fn open(site: &Arc<Site>, limit: Duration) -> Result<Line, CallError> {
    let until = Instant::now() + limit;
    let mut failure = no_connection(limit);
    for peer in &site.peers {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left, site.lines.open(peer)).await {
            Ok(Ok(session)) => {
                let patience = Patience::default();
                return Ok(Line { session, patience, peer: Arc::clone(peer), site: Arc::clone(site) });
            }
            Ok(Err(error)) => failure = call_error(Stage::Connecting, &error),
            Err(_) => return Err(no_connection(limit)),
        }
    }
    Err(failure)
}

/// Sends the request and reads the reply's head. What a provider answers before it has read the whole request counts.
async fn exchange(
    line: &mut Line,
    request: Box<RequestHeader>,
    call: &Call,
    deadline: Instant,
    now: Instant,
) -> pingora::Result<()> {
    let limit = call.timeouts.first_byte.min(deadline.saturating_duration_since(now));
    let session = &mut line.session;
    session.set_write_timeout(Some(limit));
    session.write_request_header(request).await?;
    let written = async {
        if !call.body.is_empty() {
            session.write_request_body(call.body.clone(), true).await?;
        }
        session.finish_request_body().await
    }
    .await;
    if let Err(error) = written {
        // It may have answered and closed; if not, the first failure is the one to tell.
        return match head(line, limit.min(Duration::from_secs(1)), deadline).await {
            Ok(()) if !is_interim(&line.session) => Ok(()),
            _ => Err(error),
        };
    }
    loop {
        head(line, limit, deadline).await?;
        if !is_interim(&line.session) {
            return Ok(());
        }
    }
}

/// Reads the next head of a reply.
async fn head(line: &mut Line, limit: Duration, deadline: Instant) -> pingora::Result<()> {
    let read = line.patience.within(limit, Some(deadline), line.session.read_response_header());
    read.await.unwrap_or_else(|TimedOut| {
        Error::e_explain(ErrorType::ReadTimedout, format!("no answer within {} ms", limit.as_millis()))
    })
}

/// Whether the head that was read announces another. One that changes the protocol is the last.
fn is_interim(session: &HttpSession) -> bool {
    session.response_header().is_none_or(|head| head.status.is_informational() && head.status != 101)
}

/// The reply: its head now, its body as it is read.
fn answer(line: Line, call: &Call, deadline: Instant) -> Result<Answer, CallError> {
    let Some(head) = line.session.response_header() else {
        return Err(CallError::new(Cause::Invalid, "no head"));
    };
    let status = head.status.as_u16();
    if status == 101 {
        return Err(CallError::new(Cause::Invalid, "the provider changed the protocol unasked"));
    }
    let mut headers = end_to_end(&head.headers);
    let limit = (!is_stream(call.provider.dialect, &headers)).then_some(call.body_limit);
    // An error is read here whatever the stages read.
    let decode = call.decode || !(200..300).contains(&status);
    let decoder = if decode { decoder(&mut headers, limit, call.body_limit)? } else { None };
    let reading = Reading::new(line, decoder, limit, call.timeouts.between, deadline);
    // Boxed: the stream moves its state for every piece.
    let body = stream::unfold(Box::new(reading), |mut reading| async move {
        let piece = reading.next().await?;
        Some((piece, reading))
    });
    Ok(Answer { status, headers, body: Box::pin(body) })
}

/// Whether what comes is a stream, whose length has no bound.
fn is_stream(dialect: Dialect, headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| weir_dialect::is_stream(dialect, value))
}

/// What decompresses the body, if it is compressed; the headers then say no more that it is.
fn decoder(headers: &mut HeaderMap, limit: Option<u64>, piece: u64) -> Result<Option<Decoder>, CallError> {
    let invalid = |detail: &str| CallError::new(Cause::Invalid, detail);
    let coding = Coding::of(headers).map_err(|()| invalid("a content-encoding that is not read here"))?;
    let Some(coding) = coding else { return Ok(None) };
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    let decoder = match limit {
        Some(limit) => Decoder::whole(coding, limit),
        None => Decoder::stream(coding, piece),
    };
    decoder.map(Some).map_err(|error| invalid(&error.to_string()))
}
