//! A policy set, compiled: immutable, behind an `Arc`, swapped whole.

use crate::fingerprint::Below;
use crate::{Models, Needs, Provider, Route, Stage};
use http::{HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Caller, Denial, DenyAs, Dialect, ErrorCode, Fault, Mode, Operation, StageTrace, Verb};
use weir_policy::{Listener, Named};
use weir_script::{Expression, Services};
use weir_state::{BreakerSettings, KeyRing};

/// A policy set, compiled.
pub struct Plan {
    /// The content hash of the set, as shown.
    pub(crate) revision: Arc<str>,
    /// The same as the value of `x-weir-revision`.
    pub(crate) revision_header: Option<HeaderValue>,
    pub(crate) listeners: Vec<Arc<Named<Listener>>>,
    pub(crate) keys: KeyRing,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) models: Models,
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) services: Arc<dyn Services>,
    /// Operations of which every pipeline reads the body, so that it is decoded at once and not skimmed first.
    pub(crate) eager: Vec<Operation>,
    /// Whether a pipeline is open to callers who are not known.
    pub(crate) is_open: bool,
    /// When targets are left alone.
    pub(crate) breaker: BreakerSettings,
    /// Whether an expression reads what callers spent today, so that it is booked.
    pub(crate) reads_spent: bool,
    pub(crate) no_params: Arc<serde_json::Value>,
    pub(crate) no_name: Arc<str>,
}

/// The ordered stages that a matching request passes through.
pub(crate) struct Pipeline {
    pub name: Arc<str>,
    pub when: Option<Expression>,
    pub steps: Vec<Step>,
    /// What all its stages read together, shadowed ones included.
    pub needs: Needs,
    /// What the stages read that decide: a request or reply that cannot be read fails only for these.
    pub firm: Needs,
    /// How many conditions are shared by several of its steps.
    pub shared_conditions: usize,
    /// Whether a guard reads replies: a provider's error text is then not passed on unread.
    pub guards_replies: bool,
    pub deadline: Option<Duration>,
    /// The trace of a request that reached no stage: the steps, then those of the route's `attempt:`.
    pub blank: Vec<StageTrace>,
}

impl Pipeline {
    /// The steps, and those of `attempt:`.
    pub(crate) fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(self.steps.iter().flat_map(|step| &step.attempt))
    }
}

/// A stage in its place.
pub(crate) struct Step {
    pub name: Arc<str>,
    pub verb: Verb,
    pub body: Arc<str>,
    pub stage: Arc<dyn Stage>,
    pub declares: crate::Declares,
    pub mode: Mode,
    /// All must hold for it to take part: its frame's, its own.
    pub whens: Vec<When>,
    pub sample: Option<f64>,
    pub timeout: Duration,
    pub on_error: OnError,
    pub deny: Option<DenyAnswer>,
    pub params: Arc<serde_json::Value>,
    pub below: Below,
    /// For a route: run once per attempt.
    pub attempt: Vec<Step>,
    /// In an `attempt`: how the path of an attempt begins that this concerns.
    pub within: Box<[u16]>,
}

/// A condition, and what it reads as `params`.
#[derive(Clone)]
pub(crate) struct When {
    pub expression: Arc<Expression>,
    pub params: Arc<serde_json::Value>,
    /// Its number among the conditions that several steps share (a frame's, a `use`'s): decided once, at the first of them.
    pub shared: Option<usize>,
}

/// What becomes of a request when a stage could not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is refused: 503 `stage-unavailable`.
    Refuse,
    /// The stage is passed over.
    Skip,
}

/// How a guard's denial reads, where the policy says so.
#[derive(Clone, Debug)]
pub(crate) struct DenyAnswer {
    pub status: Option<u16>,
    pub code: Option<Arc<str>>,
    pub message: Option<Arc<str>>,
    pub deny_as: DenyAs,
}

impl DenyAnswer {
    /// The denial as the policy wants it to read.
    pub(crate) fn dress(&self, denial: &mut Denial) {
        if let Some(status) = self.status {
            denial.status = status;
        }
        if let Some(code) = &self.code {
            denial.code = code.to_string().into();
        }
        if let Some(message) = &self.message {
            denial.message = message.to_string().into();
        }
        denial.deny_as = self.deny_as;
    }
}

impl Plan {
    /// The revision: the content hash of the set.
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// The listeners of the set.
    pub fn listeners(&self) -> &[Arc<Named<Listener>>] {
        &self.listeners
    }

    /// The models by name.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The providers of the set.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The functions that expressions call.
    pub fn services(&self) -> &Arc<dyn Services> {
        &self.services
    }

    /// The names of all pipelines with their stages' names, in order; those of `attempt:` last.
    pub fn outline(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        let names =
            |pipeline: &Pipeline| pipeline.blank.iter().map(|stage| Arc::clone(&stage.name)).collect();
        self.pipelines.iter().map(|pipeline| (Arc::clone(&pipeline.name), names(pipeline))).collect()
    }

    /// Who sends a request of this dialect with these headers and this query to this listener, from that address, at that time
    /// (seconds since 1970 UTC): `None` if the listener identifies nobody or the client shows no credential; a fault if it shows
    /// a wrong one.
    pub fn identify(
        &self,
        listener: &str,
        dialect: Dialect,
        headers: &HeaderMap,
        query: Option<&str>,
        (from, now): (Option<IpAddr>, i64),
    ) -> Result<Option<Arc<Caller>>, Fault> {
        let Some(listener) = self.listeners.iter().find(|one| **one.name == *listener) else {
            return Ok(None);
        };
        if listener.value.identify.is_empty() {
            return Ok(None);
        }
        let query = query.filter(|_| dialect == Dialect::Gemini);
        let Some(shown) = shown_key(headers).or_else(|| key_in(query?)) else { return Ok(None) };
        match shown.and_then(|key| self.keys.lookup(&key, from, now)) {
            Some(caller) => Ok(Some(caller)),
            None => Err(Fault::new(ErrorCode::InvalidKey, unknown(headers))),
        }
    }

    /// The route that a model's name leads to.
    pub(crate) fn route_of(&self, model: &str) -> Option<&Arc<dyn Route>> {
        self.models.get(model)
    }
}

/// The key that a client shows in a header: `authorization: Bearer …`, `x-api-key`, `api-key`, `x-goog-api-key`. The inner
/// `None`: it cannot be read. A signature for AWS shows none, but another header may beside it.
fn shown_key(headers: &HeaderMap) -> Option<Option<Cow<'_, str>>> {
    let named = ["x-api-key", "api-key", "x-goog-api-key"].iter().find_map(|name| headers.get(*name));
    let value = match (headers.get(http::header::AUTHORIZATION), named) {
        (Some(_), Some(value)) if is_signed(headers) => value,
        (Some(value), _) => {
            let text = value.to_str().ok();
            return Some(text.and_then(|text| {
                let (scheme, key) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| Cow::Borrowed(key.trim()))
            }));
        }
        (None, value) => value?,
    };
    Some(value.to_str().ok().map(Cow::Borrowed))
}

/// Whether a client's SDK signed the request with keys of AWS, which nobody here can check.
fn is_signed(headers: &HeaderMap) -> bool {
    let shown = headers.get(http::header::AUTHORIZATION).map(HeaderValue::as_bytes);
    shown.is_some_and(|shown| shown.starts_with(b"AWS4-"))
}

/// What a client is told whose key leads to nobody.
fn unknown(headers: &HeaderMap) -> &'static str {
    if is_signed(headers) {
        "the request is signed for AWS: show a key of this gateway as a bearer token instead (AWS_BEARER_TOKEN_BEDROCK)"
    } else {
        "the key is unknown, expired or disabled, or may not be shown from here"
    }
}

/// The key that a client of Google's APIs shows in the query (`?key=`).
fn key_in(query: &str) -> Option<Option<Cow<'static, str>>> {
    let key = query.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    Some(weir_dialect::percent_decoded(key).map(|key| Cow::Owned(key.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_in_a_header_or_in_googles_query() {
        let shown = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )]);
            shown_key(&headers).map(|key| key.map(Cow::into_owned))
        };
        for (name, value) in
            [("authorization", "bearer k"), ("x-api-key", "k"), ("api-key", "k"), ("x-goog-api-key", "k")]
        {
            assert_eq!(shown(name, value), Some(Some("k".to_owned())), "{name}");
        }
        assert_eq!(shown("authorization", "Basic k"), Some(None));
        let signature = "AWS4-HMAC-SHA256 Credential=AKID/20261124/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(shown("authorization", signature), Some(None));
        let mut both = HeaderMap::new();
        both.insert("authorization", HeaderValue::from_static(signature));
        assert!(unknown(&both).contains("AWS_BEARER_TOKEN_BEDROCK"));
        both.insert("x-api-key", HeaderValue::from_static("k"));
        assert_eq!(shown_key(&both).flatten().as_deref(), Some("k"));
        both.insert("authorization", HeaderValue::from_static("Bearer b"));
        assert_eq!(shown_key(&both).flatten().as_deref(), Some("b"));
        assert_eq!(shown("x-goog-api-key", "\u{e9}"), Some(None));
        assert_eq!(shown("cookie", "k"), None);
        assert_eq!(key_in("alt=sse&key=a%2Fb").flatten().as_deref(), Some("a/b"));
        assert_eq!((key_in("key=%zz"), key_in("alt=sse&monkey=x")), (Some(None), None));
    }
}
