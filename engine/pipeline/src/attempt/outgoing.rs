//! An attempt as it is sent.

use super::answered::REPLY_LIMIT;
use super::{Wants, streams};
use crate::run::Run;
use crate::{AuthScheme, Call, Provider, Refusal, Target};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{ErrorCode, Fault, Request};

impl Run {
    /// The attempt as it is sent.
    pub(super) fn call(
        &self,
        request: &Request,
        target: &Arc<Target>,
        remaining: Option<Duration>,
        wants: Wants,
    ) -> Result<Call, Refusal> {
        let provider = &target.provider;
        let model = target.model_for(request);
        let mut timeouts = provider.timeouts;
        if let Some(remaining) = remaining {
            timeouts.total = timeouts.total.min(remaining);
        }
        let ask_usage = wants.usage && streams(request);
        let body = weir_dialect::outgoing_request(request, &model, ask_usage).map_err(Refusal::Failed)?;
        let path = weir_dialect::upstream_path(provider.dialect, request.operation).ok_or_else(|| {
            let message = format!("{} requests cannot be sent to this provider", request.operation);
            Refusal::Failed(Fault::new(ErrorCode::BadRequest, message))
        })?;
        let decode = request.head.stream || wants.reply_decoded || wants.usage;
        Ok(Call {
            provider: Arc::clone(provider),
            model,
            attempt: self.x.trace.attempts.last().map_or(1, |attempt| attempt.n),
            method: request.method.clone(),
            path: path.to_owned(),
            headers: outgoing_headers(request, provider, decode),
            body,
            timeouts,
            decode,
            body_limit: REPLY_LIMIT,
        })
    }
}

/// Headers of a client that are never passed on: its credentials, what frames its own connection, what Weir sets itself.
fn stays_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "cookie"
            | "proxy-authorization"
            | "proxy-connection"
            | "connection"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "content-length"
            | "content-encoding"
            | "expect"
            | "forwarded"
            | "openai-organization"
            | "openai-project"
    ) || name.as_str().starts_with("x-weir-")
        || name.as_str().starts_with("x-forwarded-")
}

fn outgoing_headers(request: &Request, provider: &Provider, decode: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + provider.headers.len() + 2);
    for (name, value) in &request.headers {
        let stays = stays_here(name) || (decode && name == header::ACCEPT_ENCODING);
        if !stays {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    let credential = provider.credential.header(&provider.auth).and_then(|value| match &provider.auth {
        AuthScheme::None => None,
        AuthScheme::Bearer => Some((header::AUTHORIZATION, value)),
        AuthScheme::Header(name) => Some((name.clone(), value)),
    });
    headers.extend(credential.map(|(name, value)| (Some(name), value)));
    if let Ok(id) = HeaderValue::from_str(&request.id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers
}
