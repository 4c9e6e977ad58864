//! An attempt as it is sent.

use super::answered::REPLY_LIMIT;
use super::{Wants, streams};
use crate::handle::allows;
use crate::minted::may_mint;
use crate::run::Run;
use crate::{Access, AuthScheme, Call, Plan, Provider, Refusal, Target};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;
use std::time::Duration;
use weir_dialect::{BatchLine, WireFormat};
use weir_message::{Body, ErrorCode, Fault, Request};

impl Run {
    /// The attempt as it is sent, or why it is not: what the target's dialect has no place for, where the provider's
    /// settings say that this matters.
    pub(super) fn call(
        &mut self,
        target: &Arc<Target>,
        remaining: Option<Duration>,
        wants: Wants,
    ) -> Result<Result<Call, Unsupported>, Refusal> {
        let changed = self.attempt_request.take();
        let request = changed.as_deref().unwrap_or(&self.x.request);
        let provider = &target.provider;
        let model = target.model_for(request);
        let mut timeouts = provider.timeouts;
        if let Some(remaining) = remaining {
            timeouts.total = timeouts.total.min(remaining);
        }
        let format = provider.format(request.operation);
        let ask_usage = wants.usage && streams(request);
        let shaped = |mut out: weir_dialect::Outgoing| {
            provider.hosting.shape(&mut out, format, &model, request.head.stream).map(|()| out)
        };
        let out = match weir_dialect::outgoing(request, format, &model, ask_usage).and_then(shaped) {
            Ok(out) => out,
            Err(fault) if fault.code == ErrorCode::Unsupported => {
                return Ok(Err(Unsupported(vec![OPERATION])));
            }
            Err(fault) => return Err(Refusal::Failed(fault)),
        };
        let lost: Vec<&'static str> =
            out.dropped.iter().filter(|one| one.matters).map(|one| one.feature).collect();
        if !provider.drops_unsupported && !lost.is_empty() {
            return Ok(Err(Unsupported(lost)));
        }
        let translates = WireFormat::of(request) != format;
        let mints = !translates && may_mint(request);
        let decode = request.head.stream || wants.reply_decoded || wants.usage || translates || mints;
        let mut headers = outgoing_headers(request, provider, decode, translates);
        for (name, value) in out.headers {
            headers.entry(name).or_insert(value);
        }
        let mut body = out.body;
        if mints && weir_dialect::asks_many(request).map_err(Refusal::Failed)? {
            let named = |line: &BatchLine| upstream_model(&self.x.plan, request, provider, line);
            body = weir_dialect::renamed(request, &body, named).map_err(Refusal::Failed)?;
        }
        // What no stage reads goes on as it came. The guard of what was unpacked is no guard of what another unpacks.
        if let Some(packed) = request.packed.as_ref().filter(|_| request.body == Body::Unread)
            && packed.holds(&body)
            && provider.access != Access::Echo
        {
            body = packed.bytes.clone();
            headers.insert(header::CONTENT_ENCODING, packed.coding.clone());
        }
        self.x.trace.dropped = out.dropped.iter().map(|one| one.feature.to_owned()).collect();
        Ok(Ok(Call {
            provider: Arc::clone(provider),
            model,
            attempt: self.x.trace.attempts.last().map_or(1, |attempt| attempt.n),
            method: request.method.clone(),
            path: out.path,
            headers,
            body,
            timeouts,
            decode,
            body_limit: REPLY_LIMIT,
        }))
    }
}

/// The name that a provider has for the model that a request of a batch asks for.
fn upstream_model(
    plan: &Plan,
    request: &Request,
    provider: &Provider,
    line: &BatchLine,
) -> Result<String, Fault> {
    let model = &*line.model;
    let shown: String = model.chars().take(100).collect();
    let refuse = |code, message: String| Fault::new(code, message).param("model");
    if let Some(caller) = &request.caller {
        if !caller.operations.is_empty() && !caller.operations.contains(&line.operation) {
            let message = format!("the key does not allow requests of the kind `{}`", line.operation);
            return Err(Fault::new(ErrorCode::Denied, message));
        }
        if !allows(caller, model) {
            return Err(refuse(ErrorCode::Denied, format!("the key does not allow the model \"{shown}\"")));
        }
    }
    let route = plan
        .route_of(model)
        .ok_or_else(|| refuse(ErrorCode::UnknownModel, format!("the policy knows no model \"{shown}\"")))?;
    let targets = route.targets_for(plan.models(), model);
    let target = targets.iter().find(|target| target.provider.name == provider.name).ok_or_else(|| {
        let message = format!("the model \"{shown}\" has no target at the account that takes this batch");
        refuse(ErrorCode::Unsupported, message)
    })?;
    Ok(target.named(model).model.as_deref().unwrap_or(model).to_owned())
}

/// What kept an attempt from being sent, by name.
pub(super) struct Unsupported(pub Vec<&'static str>);

/// The operation as a whole.
const OPERATION: &str = "operation";

/// Headers of a client that are never passed on: its credentials, what frames its own connection, what Weir sets itself.
fn stays_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "x-amz-date"
            | "x-amz-security-token"
            | "x-amz-content-sha256"
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

/// Whether a client's header means something in its own dialect alone.
fn is_dialects(name: &HeaderName) -> bool {
    ["anthropic-", "openai-", "x-goog-", "x-amz-", "x-amzn-", "amz-sdk-", "x-stainless-"]
        .iter()
        .any(|start| name.as_str().starts_with(start))
}

fn outgoing_headers(request: &Request, provider: &Provider, decode: bool, translates: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + provider.headers.len() + 2);
    for (name, value) in &request.headers {
        let stays = stays_here(name)
            || (decode && name == header::ACCEPT_ENCODING)
            || (translates && (is_dialects(name) || name == header::ACCEPT));
        if !stays {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    let credential = provider.credential.header(&provider.auth).and_then(|value| match &provider.auth {
        // A signature stands for the request as it is sent, and is made there.
        AuthScheme::None | AuthScheme::SigV4(_) => None,
        AuthScheme::Bearer => Some((header::AUTHORIZATION, value)),
        AuthScheme::Header(name) => Some((name.clone(), value)),
    });
    headers.extend(credential.map(|(name, value)| (Some(name), value)));
    if let Ok(id) = HeaderValue::from_str(&request.id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers
}
