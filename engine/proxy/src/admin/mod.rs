//! The admin API, on a listener of its own: metrics, the revision in force, the last traces, what was spent, purging caches.

mod metrics;
mod traces;
mod usage;
mod v1;

pub use traces::Traces;
pub use v1::openapi;

use crate::counters::Counters;
use crate::watch::Current;
use async_trait::async_trait;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use weir_pipeline::Gateway;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Appends metric families in OpenMetrics text, without the end mark.
pub type RenderMetrics = dyn Fn(&mut String) + Send + Sync;

/// Empties the caches, or what they hold for one subject of `per` (a team, a key); gives back how many entries went.
pub type PurgeCaches = dyn Fn(Option<&str>) -> u64 + Send + Sync;

/// The admin API.
pub(crate) struct Admin {
    pub current: Arc<Current>,
    pub counters: Arc<Counters>,
    pub traces: Arc<Traces>,
    pub draining: Arc<AtomicBool>,
    pub metrics: Arc<RenderMetrics>,
    pub purge: Arc<PurgeCaches>,
    pub gateway: Arc<Gateway>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        session.set_write_timeout(Some(std::time::Duration::from_secs(10)));
        if session.req_header().uri.path().starts_with(v1::BASE) {
            return self.v1(session).await;
        }
        let head = session.req_header();
        let (method, path, query) = (head.method.clone(), head.uri.path(), head.uri.query());
        if path == "/usage" && matches!(method, Method::GET | Method::HEAD) {
            let (gateway, query) = (Arc::clone(&self.gateway), query.unwrap_or_default().to_owned());
            // Reading may take a while, and holds no thread that serves.
            let read = tokio::task::spawn_blocking(move || usage::answer(&gateway, &query)).await;
            return read
                .unwrap_or_else(|failure| error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()));
        }
        self.answer(&method, path, query)
    }
}

impl Admin {
    /// The part of it that changes things.
    async fn v1(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        session.set_read_timeout(Some(std::time::Duration::from_secs(10)));
        let (mut body, mut length) = (bytes::BytesMut::new(), 0);
        loop {
            match session.read_request_body().await {
                Ok(Some(piece)) => {
                    length += piece.len();
                    if length <= v1::LARGEST {
                        body.extend_from_slice(&piece);
                    }
                    // What is a little too large is read away, so that its sender comes to read why.
                    if length > v1::LARGEST * 16 {
                        session.set_keepalive(None);
                        return v1::too_large();
                    }
                }
                Ok(None) => break,
                Err(failure) => return error(StatusCode::BAD_REQUEST, &failure.to_string()),
            }
        }
        if length > v1::LARGEST {
            return v1::too_large();
        }
        let head = session.req_header();
        let asked = v1::Asked {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.clone(),
            body: body.freeze(),
        };
        let v1 = v1::V1 { gateway: Arc::clone(&self.gateway), current: Arc::clone(&self.current) };
        // A change waits for the disk, and holds no thread that serves.
        let answered = tokio::task::spawn_blocking(move || v1.answer(&asked)).await;
        answered.unwrap_or_else(|failure| error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()))
    }

    fn answer(&self, method: &Method, path: &str, query: Option<&str>) -> Response<Vec<u8>> {
        let allow = if path == "/caches/purge" { "POST" } else { "GET" };
        let known = matches!(
            path,
            "/healthz" | "/readyz" | "/metrics" | "/revision" | "/traces" | "/usage" | "/caches/purge"
        ) || path.starts_with("/traces/");
        if !known {
            return error(StatusCode::NOT_FOUND, "nothing answers this path");
        }
        let head_of_get = *method == Method::HEAD && allow == "GET";
        if method.as_str() != allow && !head_of_get {
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &format!("this path takes {allow}"));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        match path {
            "/healthz" => reply(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" if self.draining.load(Ordering::Relaxed) => {
                reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n")
            }
            "/readyz" => {
                let mut told = "ready\n".to_owned();
                // It still takes requests: what becomes of them without it, each stage says for itself.
                let shared = self.gateway.state.shared_health();
                if let Some((place, Some(why))) = shared.map(|health| (health.place, health.down)) {
                    told.push_str(&format!("the shared state at {place} cannot be reached: {why}\n"));
                }
                reply(StatusCode::OK, TEXT, told)
            }
            "/metrics" => {
                let mut text = String::with_capacity(16 * 1024);
                (self.metrics)(&mut text);
                let ledger = self.gateway.state.ledger.figures();
                let shared = self.gateway.state.shared_health();
                metrics::append(&mut text, &self.counters, &self.traces, &self.current, ledger, shared);
                reply(StatusCode::OK, OPEN_METRICS, text)
            }
            "/revision" => json(&*self.current.status()),
            "/traces" => json(&self.traces.list()),
            "/caches/purge" => {
                let per = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("per=")));
                match per.map(weir_dialect::percent_decoded) {
                    None => json(&serde_json::json!({ "purged": (self.purge)(None) })),
                    Some(Some(subject)) => {
                        json(&serde_json::json!({ "purged": (self.purge)(Some(&subject)) }))
                    }
                    Some(None) => error(StatusCode::BAD_REQUEST, "the subject is not percent-encoded UTF-8"),
                }
            }
            _ => match path.strip_prefix("/traces/").and_then(|id| self.traces.get(id)) {
                Some(trace) => json(&trace),
                None => error(StatusCode::NOT_FOUND, "no trace of this request is kept"),
            },
        }
    }
}

fn reply(status: StatusCode, media: &'static str, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    let body = body.into();
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn json(value: &impl serde::Serialize) -> Response<Vec<u8>> {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            reply(StatusCode::OK, JSON, body)
        }
        Err(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()),
    }
}

fn error(status: StatusCode, message: &str) -> Response<Vec<u8>> {
    let body = serde_json::json!({ "error": { "message": message } });
    reply(status, JSON, format!("{body}\n"))
}
