//! `/admin/v1`: keys that are made and changed while the gateway serves, what was done to them, what was spent, answers of caches that were
//! wrong. For whoever shows the token of the set's `admin:` section. Errors are problems (RFC 9457); `schemas/openapi.json` says all of it.

mod keys;
mod openapi;
mod problem;

pub use openapi::openapi;

use super::usage;
use crate::watch::Current;
use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use problem::{Problem, problem};
use std::sync::Arc;
use weir_pipeline::Gateway;

/// Where it begins.
pub(super) const BASE: &str = "/admin/v1/";

/// The largest body that is read, in bytes.
pub(super) const LARGEST: usize = 64 << 10;

/// A request of it.
pub(super) struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What it is answered with.
pub(super) struct V1 {
    pub gateway: Arc<Gateway>,
    pub current: Arc<Current>,
}

impl V1 {
    /// Answers; waits for the disk.
    pub(super) fn answer(&self, asked: &Asked) -> Response<Vec<u8>> {
        self.try_answer(asked).unwrap_or_else(|problem| problem.response())
    }

    fn try_answer(&self, asked: &Asked) -> Result<Response<Vec<u8>>, Problem> {
        self.admitted(asked)?;
        let segments: Vec<&str> = asked.path.strip_prefix(BASE).unwrap_or_default().split('/').collect();
        match (asked.method.as_str(), &segments[..]) {
            ("GET", ["keys"]) => self.list_keys(asked),
            ("POST", ["keys"]) => self.create_key(asked),
            ("GET", ["keys", id]) => self.read_key(id),
            ("PATCH", ["keys", id]) => self.change_key(id, asked),
            ("DELETE", ["keys", id]) => self.delete_key(id, asked),
            ("POST", ["keys", id, "rotate"]) => self.rotate_key(id, asked),
            ("GET", ["audit"]) => self.list_audit(asked),
            ("GET", ["usage"]) => as_problem(usage::answer(&self.gateway, &asked.query)),
            ("POST", ["cache", id, "wrong"]) => self.cache_wrong(id),
            (_, path) => Err(match allowed(path) {
                None => problem(StatusCode::NOT_FOUND, "nothing answers this path"),
                Some(allow) => problem(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {allow}"))
                    .header(http::header::ALLOW, HeaderValue::from_static(allow)),
            }),
        }
    }

    /// The answer that a semantic cache gave to the request with this id was wrong: its entry goes, and the two questions share
    /// none any more.
    fn cache_wrong(&self, id: &str) -> Result<Response<Vec<u8>>, Problem> {
        let gone = weir_dialect::percent_decoded(id).and_then(|id| self.gateway.state.told_wrong(&id, None));
        match gone {
            Some(gone) => Ok(super::json(&serde_json::json!({ "evicted": gone }))),
            None => {
                let told = "no answer of a semantic cache to this request is remembered";
                Err(problem(StatusCode::NOT_FOUND, told))
            }
        }
    }

    /// Lets through who shows the token.
    fn admitted(&self, asked: &Asked) -> Result<(), Problem> {
        let plan = self.current.plan();
        if !plan.has_admin_token() {
            let told = "the set names no token for it: write `admin: { token: \"${env:NAME}\" }`";
            return Err(problem(StatusCode::FORBIDDEN, told));
        }
        let shown = asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(|shown| {
            let (scheme, token) = shown.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        if token.is_some_and(|token| plan.is_admin_token(token)) {
            return Ok(());
        }
        Err(problem(
            StatusCode::UNAUTHORIZED,
            "show the token of the set's `admin` section as a bearer token",
        )
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir-admin\"")))
    }
}

/// An answer whose errors are not problems yet.
fn as_problem(answer: Response<Vec<u8>>) -> Result<Response<Vec<u8>>, Problem> {
    if !answer.status().is_client_error() && !answer.status().is_server_error() {
        return Ok(answer);
    }
    let told: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let detail = told.pointer("/error/message").and_then(serde_json::Value::as_str).unwrap_or_default();
    Err(problem(answer.status(), detail))
}

/// What a body that is too large is answered with.
pub(super) fn too_large() -> Response<Vec<u8>> {
    problem(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {LARGEST} bytes")).response()
}

fn allowed(path: &[&str]) -> Option<&'static str> {
    Some(match path {
        ["keys"] => "GET, POST",
        ["keys", _] => "GET, PATCH, DELETE",
        ["keys", _, "rotate"] => "POST",
        ["cache", _, "wrong"] => "POST",
        ["audit"] | ["usage"] => "GET",
        _ => return None,
    })
}
