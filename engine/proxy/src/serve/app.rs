//! One HTTP request: its head judged, its body read, a plan asked, the reply written.

use super::body::{self, NoBody};
use super::clients::ClientCertificate;
use super::ids;
use super::reply::{self, Asked, Sent};
use super::strict;
use crate::counters::{Counters, InFlight};
use crate::hygiene::{strip_hop_by_hop, without_key};
use crate::listener::{Bound, Limits};
use crate::patience::{Patience, TimedOut};
use crate::watch::Current;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::ErrorType;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::server::ShutdownWatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::{NoContext, Timestamp, Uuid};
use weir_dialect::Unclassified;
use weir_message::{Dialect, ErrorCode, Fault, Operation, Request};
use weir_pipeline::{Gateway, Plan, Response, ResponseBody, Shown};

/// What all connections of a listener share.
pub(crate) struct Shared {
    pub gateway: Arc<Gateway>,
    pub current: Arc<Current>,
    pub counters: Arc<Counters>,
    pub bound: Arc<Bound>,
    /// Whether the process is about to end: no connection is kept for another request.
    pub draining: Arc<AtomicBool>,
}

impl Shared {
    pub(crate) fn limits(&self) -> Limits {
        self.bound.limits()
    }
}

/// Serves the requests of one listener.
pub(crate) struct App {
    shared: Arc<Shared>,
    options: HttpServerOptions,
}

/// What stays with a connection of HTTP/1 from one request to the next.
#[derive(Default)]
struct Kept {
    patience: Patience,
    /// Whether it has served a request.
    has_served: bool,
}

/// Whether there is a next request.
enum Head {
    /// There is, and its head is read.
    Read,
    /// There was, but its head is none; who sent it was told.
    Refused,
    /// The connection has ended.
    None,
}

/// How a request ended for its connection.
enum End {
    /// The reply is out.
    Sent,
    /// There is nobody left to reply to.
    Gone,
}

impl App {
    pub(crate) fn new(shared: Arc<Shared>, options: HttpServerOptions) -> Self {
        Self { shared, options }
    }

    /// Reads the head of the next request.
    async fn head(&self, session: &mut ServerSession, kept: &mut Kept, limits: &Limits) -> Head {
        let has_served = kept.has_served;
        let limit = if has_served { limits.idle.max(limits.header_timeout) } else { limits.header_timeout };
        // The time is kept here, for the head as a whole, and for the body as a whole where it is read; inside it would be
        // kept anew for every read.
        session.set_keepalive(Some(0));
        session.set_read_timeout(None);
        let read = match session {
            ServerSession::H1(_) => kept.patience.within(limit, None, session.read_request()).await,
            _ => Ok(session.read_request().await),
        };
        let fault = match read {
            Ok(Ok(true)) => return Head::Read,
            Ok(Ok(false)) => return Head::None,
            // A kept connection that stays silent ends as all do.
            Err(TimedOut) if has_served => return Head::None,
            Err(TimedOut) => {
                Fault::new(ErrorCode::RequestTimeout, "the head of the request took too long to arrive")
            }
            Ok(Err(error)) => match error.etype() {
                ErrorType::InvalidHTTPHeader if is_too_large(&error) => too_large_head(),
                ErrorType::InvalidHTTPHeader => {
                    Fault::new(ErrorCode::BadHttp, "the head of the request cannot be read")
                }
                ErrorType::ReadTimedout => {
                    Fault::new(ErrorCode::RequestTimeout, "the head of the request took too long to arrive")
                }
                _ => return Head::None,
            },
        };
        let id = self.fresh_id();
        let mut buffer = Uuid::encode_buffer();
        let id = Arc::from(&*id.hyphenated().encode_lower(&mut buffer));
        session.set_keepalive(None);
        let plan = self.shared.current.plan();
        // Its head could not be read: nothing that it says is told on.
        let request = Request::new(id, Dialect::OpenAi, Operation::Http, "");
        let request = self.placed(request, session);
        let response = weir_pipeline::refuse(&self.shared.gateway, &plan, &request, &fault);
        reply::write(session, response, Asked { head_only: false, chunks: true }).await;
        Head::Refused
    }

    pub(super) fn fresh_id(&self) -> Uuid {
        let nanos = self.shared.gateway.clock.unix_nanos();
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(0);
        let rest = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, rest))
    }

    /// A request with what the connection tells of it.
    fn placed(&self, mut request: Request, session: &ServerSession) -> Request {
        request.source = session.client_addr().and_then(|address| address.as_inet()).copied();
        request.listener = Arc::clone(&self.shared.bound.name);
        request
    }

    /// Writes the reply for a fault before any pipeline. What the client still sends of its body is read away, so that it
    /// comes to read the reply; the connection is closed if that may be much.
    async fn refuse(
        &self,
        session: &mut ServerSession,
        plan: &Plan,
        request: Request,
        fault: &Fault,
        asked: Asked,
    ) -> End {
        let request = self.placed(request, session);
        let mut response = weir_pipeline::refuse(&self.shared.gateway, plan, &request, fault);
        if fault.code == ErrorCode::BadMethod
            && let Some(allow) = fault.detail.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok())
        {
            response.headers.insert(ALLOW, allow);
        }
        // Over HTTP/2 the reply overtakes what is still sent, and ends the stream.
        let is_two = session.is_http2();
        let comes_soon = !matches!(fault.code, ErrorCode::BadHttp | ErrorCode::RequestTimeout);
        if !is_two && comes_soon && body::is_small(session) {
            body::discard(session).await;
        }
        if self.shared.draining.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
        match reply::write(session, response, asked).await {
            Sent::Whole => {
                if !is_two {
                    body::discard(session).await;
                }
                End::Sent
            }
            Sent::Gone => End::Gone,
        }
    }

    /// One request, its head read.
    async fn request(&self, session: &mut ServerSession, limits: &Limits) -> End {
        let shared = &self.shared;
        let _under_way = InFlight::begin(&shared.counters);
        session.set_write_timeout(Some(limits.write_timeout));
        let head = session.req_header();
        let asked = Asked::of(&head.method, head.version);
        let fresh = self.fresh_id();
        let plan = shared.current.plan();
        if let Err(fault) = sound(session, limits) {
            if fault.code == ErrorCode::BadHttp {
                session.set_keepalive(None);
            }
            let request = refused_head(session, &fresh, Dialect::OpenAi);
            return self.refuse(session, &plan, request, &fault, asked).await;
        }
        if let Some(response) = self.probe(session.req_header()) {
            return match reply::write(session, response, asked).await {
                Sent::Whole => End::Sent,
                Sent::Gone => End::Gone,
            };
        }
        let (route, caller, announced) = match self.judge(session, &plan, limits).await {
            Ok(judged) => judged,
            Err(fault) => {
                let head = session.req_header();
                let dialect = weir_dialect::dialect_at(head.uri.path(), &head.headers);
                let request = refused_head(session, &fresh, dialect);
                return self.refuse(session, &plan, request, &fault, asked).await;
            }
        };
        let (raw, packed) = match body::read(session, announced, limits).await {
            Ok(body) => body,
            Err(NoBody::Gone) => return End::Gone,
            Err(NoBody::Refused(fault)) => {
                session.set_keepalive(None);
                let mut request = refused_head(session, &fresh, route.dialect);
                request.operation = route.operation;
                request.caller = caller;
                return self.refuse(session, &plan, request, &fault, asked).await;
            }
        };
        let parts = take_head(session);
        let mut headers = parts.headers;
        strip_hop_by_hop(&mut headers);
        let id = ids::request_id(&mut headers, &fresh);
        headers.remove(http::header::CONTENT_ENCODING);
        ids::continue_trace(&mut headers, &fresh);
        let request = Request::new(id, route.dialect, route.operation, parts.uri.path());
        let mut request = self.placed(request, session);
        request.caller = caller;
        request.method = parts.method;
        request.query = parts.uri.query().and_then(without_key);
        request.headers = headers;
        request.raw = raw;
        request.packed = packed;
        let response = tokio::select! {
            biased;
            response = weir_pipeline::handle(&shared.gateway, plan, request) => response,
            () = reply::gone(session) => {
                shared.counters.abandoned.add(1);
                return End::Gone;
            }
        };
        if shared.draining.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
        match reply::write(session, response, asked).await {
            Sent::Whole => End::Sent,
            Sent::Gone => {
                shared.counters.abandoned.add(1);
                End::Gone
            }
        }
    }

    /// What the head asks for, from whom, and what it says of the body; all that can be refused before the body is read.
    #[allow(clippy::type_complexity, reason = "three results of one judgement, taken apart at once")]
    async fn judge(
        &self,
        session: &ServerSession,
        plan: &Arc<Plan>,
        limits: &Limits,
    ) -> Result<(weir_dialect::Route, Option<Arc<weir_message::Caller>>, body::Announced), Fault> {
        let head = session.req_header();
        let path = head.uri.path();
        let route = weir_dialect::classify(&head.method, path, &head.headers).or_else(|why| match why {
            // Which paths, the policy says.
            Unclassified::UnknownPath if plan.takes_paths() && !matches!(path, "/healthz" | "/readyz") => {
                let dialect = weir_dialect::dialect_at(path, &head.headers);
                Ok(weir_dialect::Route { dialect, operation: Operation::Http, item: None, stream: false })
            }
            why => Err(why),
        });
        let route = route.map_err(|why| match why {
            Unclassified::UnknownPath if matches!(path, "/healthz" | "/readyz") => bad_method("GET"),
            Unclassified::UnknownPath => Fault::new(ErrorCode::UnknownPath, "nothing answers this path"),
            Unclassified::BadMethod { allow } => bad_method(allow),
        })?;
        let announced = body::announced(&head.headers, limits)?;
        let tls = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
        let shown = Shown {
            listener: &self.shared.bound.name,
            dialect: route.dialect,
            operation: route.operation,
            method: &head.method,
            path,
            query: head.uri.query(),
            headers: &head.headers,
            source: session.client_addr().and_then(|address| address.as_inet()).copied(),
            certificate: tls
                .and_then(|tls| tls.extension.get::<ClientCertificate>())
                .map(|shown| &shown.claims),
        };
        let caller = weir_pipeline::identify(&self.shared.gateway, plan, &shown).await?;
        Ok((route, caller, announced))
    }

    /// The reply to a question about the process itself: `/healthz` (it is up), `/readyz` (it takes requests).
    fn probe(&self, head: &RequestHeader) -> Option<Response> {
        let (status, text) = match head.uri.path() {
            "/healthz" => (StatusCode::OK, "ok\n"),
            "/readyz" if self.shared.draining.load(Ordering::Relaxed) => {
                (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            "/readyz" => (StatusCode::OK, "ready\n"),
            _ => return None,
        };
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Some(Response {
            status: status.as_u16(),
            headers,
            body: ResponseBody::Whole(Bytes::from_static(text.as_bytes())),
        })
    }
}

/// Whether the head is one that no two servers read differently, and not too large.
fn sound(session: &ServerSession, limits: &Limits) -> Result<(), Fault> {
    let head = session.req_header();
    if let ServerSession::H1(h1) = session {
        let raw = h1.get_headers_raw_bytes();
        if raw.len() > limits.headers {
            return Err(too_large_head());
        }
        strict::check(&raw, &head.headers, head.version == Version::HTTP_11)
            .map_err(|why| Fault::new(ErrorCode::BadHttp, format!("the request is malformed: {why}")))?;
    }
    if head.headers.len() > limits.header_count {
        return Err(too_large_head());
    }
    Ok(())
}

/// A request that is refused by its head: with the id that the client gave it, if any, and no other header. Of a bearer token
/// that one was shown is kept, for the challenge.
fn refused_head(session: &ServerSession, fresh: &Uuid, dialect: Dialect) -> Request {
    let head = session.req_header();
    let mut headers = HeaderMap::new();
    if let Some(given) = head.headers.get(ids::REQUEST_ID) {
        headers.insert(ids::REQUEST_ID, given.clone());
    }
    let mut request =
        Request::new(ids::request_id(&mut headers, fresh), dialect, Operation::Http, head.uri.path());
    let shown = head.headers.get(AUTHORIZATION).and_then(|shown| shown.as_bytes().get(..7));
    if shown.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer ")) {
        request.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer *"));
    }
    request.method = head.method.clone();
    request
}

fn bad_method(allow: &str) -> Fault {
    Fault::new(ErrorCode::BadMethod, format!("this path takes {allow}")).detail(allow)
}

fn too_large_head() -> Fault {
    Fault::new(ErrorCode::HeadersTooLarge, "the headers of the request are too large or too many")
}

/// Whether a head was refused for its size.
fn is_too_large(error: &pingora::Error) -> bool {
    let too_many =
        error.root_cause().downcast_ref::<httparse::Error>() == Some(&httparse::Error::TooManyHeaders);
    too_many
        || error.context.as_ref().is_some_and(|context| context.as_str().starts_with("Request header larger"))
}

/// Takes the head out of the session, without a copy. What stays behind is enough for framing the reply.
fn take_head(session: &mut ServerSession) -> http::request::Parts {
    let head = session.req_header_mut();
    let mut parts = http::Request::new(()).into_parts().0;
    parts.method = head.method.clone();
    parts.version = head.version;
    std::mem::replace(head, parts.into()).into()
}

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let limits = self.shared.limits();
        session.set_pipelining_enabled(true);
        let kept = session.take_connection_user_context().and_then(|kept| kept.downcast().ok());
        let mut kept: Box<Kept> = kept.unwrap_or_default();
        match self.head(&mut session, &mut kept, &limits).await {
            Head::Read => {}
            Head::None => return None,
            Head::Refused => {
                if let ServerSession::H1(h1) = session {
                    body::linger(h1.into_inner()).await;
                }
                return None;
            }
        }
        if self.shared.draining.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
        match self.request(&mut session, &limits).await {
            End::Sent => {}
            // Dropped: an HTTP/1 connection closes, an HTTP/2 stream is reset.
            End::Gone => return None,
        }
        session.set_total_drain_timeout(Some(Duration::from_secs(2)));
        let mut settings = HttpPersistentSettings::for_session(&session);
        kept.has_served = true;
        settings.set_user_context(kept);
        match session.finish().await {
            Ok(stream) => stream.map(|stream| ReusedHttpStream::from_reusable_stream(stream, settings)),
            Err(_) => None,
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        let limits = self.shared.limits();
        options.max_header_list_size(u32::try_from(limits.headers).unwrap_or(u32::MAX));
        options.max_concurrent_streams(250);
        // Large prompts without a round trip per 64 KiB; more than this is not taken in before it is read.
        options.initial_window_size(1 << 20);
        options.initial_connection_window_size(4 << 20);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
