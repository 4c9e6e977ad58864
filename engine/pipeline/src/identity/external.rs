//! `external`: whoever a service says, asked over HTTP.

use super::{Found, Grade, Mapping, Scene};
use crate::place::Place;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{ErrorCode, Fault};
use weir_state::Proven;

/// Whoever a service says.
pub(crate) struct ExternalWay {
    pub place: Place,
    pub headers: Vec<HeaderName>,
    pub mapping: Mapping,
    /// How long a yes holds, and those that do.
    pub keep: Option<(Duration, Proven)>,
}

impl ExternalWay {
    pub(super) async fn ask(&self, scene: Scene<'_>) -> Found {
        let shown = scene.shown;
        let mut headers = HeaderMap::new();
        for name in &self.headers {
            for value in shown.headers.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        if headers.is_empty() {
            return Found::Nothing;
        }
        put(&mut headers, "x-weir-method", shown.method.as_str());
        put(&mut headers, "x-weir-path", shown.path);
        if let Some(source) = shown.source {
            put(&mut headers, "x-weir-source", &source.ip().to_string());
        }
        let now = scene.gateway.clock.now();
        let kept = self.keep.as_ref().map(|(keep, proven)| (id(&headers), *keep, proven));
        if let Some((id, _, proven)) = &kept
            && let Some(caller) = proven.get(id, now)
        {
            return Found::Known(caller);
        }
        let claims = match self.place.get(scene.gateway, headers).await {
            Ok((200, body)) if body.trim_ascii().is_empty() => Map::new(),
            Ok((200, body)) => match serde_json::from_slice(&body) {
                Ok(Value::Object(claims)) => claims,
                _ => return unavailable("its answer is no JSON object".to_owned()),
            },
            Ok((401 | 403, _)) => {
                let message = "the credentials are not taken here";
                return Found::Refused(Grade::Wrong, Fault::new(ErrorCode::InvalidKey, message));
            }
            Ok((status, _)) => return unavailable(format!("the status is {status}")),
            Err(why) => return unavailable(why),
        };
        let caller = Arc::new(self.mapping.caller("external", claims));
        if let Some((id, keep, proven)) = kept {
            proven.put(id, Arc::clone(&caller), now.saturating_add(keep));
        }
        Found::Known(caller)
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// What the service is asked, so that the same question need not be asked twice.
fn id(headers: &HeaderMap) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
    }
    *hasher.finalize().as_bytes()
}

fn unavailable(why: String) -> Found {
    let message = "who calls cannot be said now";
    let mut fault = Fault::new(ErrorCode::IdentityUnavailable, message).detail(why);
    fault.retry_after = Some(Duration::from_secs(1));
    Found::Refused(Grade::Wrong, fault)
}
