//! What Weir itself writes in Anthropic's format: replies, errors, lists of models.

use super::turns::input;
use crate::compose::{Array, Object, object};
use crate::{ErrorBody, Identity};
use bytes::Bytes;
use bytestring::ByteString;
use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Range;
use weir_message::{Citation, Finish, Part, Reply, ReplyBody, Usage};

/// An id with the prefix of Anthropic's own.
pub(crate) fn prefixed(id: &str) -> String {
    format!("msg_{id}")
}

/// A whole reply. The API has one answer; of several the first is told.
pub(crate) fn reply(reply: &Reply, identity: &Identity) -> Bytes {
    if let ReplyBody::Count(tokens) = &reply.body {
        return Bytes::from(object(|o| {
            o.number("input_tokens", *tokens);
        }));
    }
    let spent = reply.usage.unwrap_or_default();
    let choice = reply.choices().first();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    Bytes::from(object(|o| {
        match &reply.id {
            Some(id) => o.string("id", id),
            None => o.string("id", &prefixed(&identity.id)),
        };
        o.string("type", "message").string("role", "assistant");
        o.string("model", reply.model.as_deref().unwrap_or(&identity.model));
        o.array("content", |a| content(a, parts, identity));
        let refusal: String = parts.iter().filter_map(refused).collect();
        let why = choice.and_then(|choice| choice.finish).unwrap_or(Finish::Stop);
        let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let why = if calls { calling(why) } else { why };
        let stop = choice.and_then(|choice| choice.stop.as_deref());
        end(o, why, stop, Some(&refusal).filter(|words| !words.is_empty()).map(String::as_str));
        o.object("usage", |o| usage(o, &spent));
    }))
}

fn refused(part: &Part) -> Option<&str> {
    match part {
        Part::Refusal(text) => Some(text.as_str()),
        _ => None,
    }
}

/// The fields that say why a message ends. What a model says when it declines is no content here; where it stands.
pub(crate) fn end(
    o: &mut Object<'_>,
    why: Finish,
    stop: Option<&str>,
    refusal: Option<&str>,
) -> Range<usize> {
    let mut at = 0..0;
    o.string("stop_reason", stop_reason(why, stop.is_some(), refusal.is_some()));
    match stop {
        Some(stop) => o.string("stop_sequence", stop),
        None => o.null("stop_sequence"),
    };
    if let Some(refusal) = refusal {
        o.object("stop_details", |o| {
            o.string("type", "refusal").null("category");
            at = o.place_of("explanation", refusal);
        });
    }
    at
}

/// Why a message with calls ends: some say of it only that all is said.
pub(crate) fn calling(why: Finish) -> Finish {
    if why == Finish::Stop { Finish::ToolCalls } else { why }
}

/// The id of a call; of one that has none, a new one.
pub(crate) fn call_id(id: &str, identity: &Identity, n: usize) -> String {
    if id.is_empty() { format!("toolu_{}_{n}", identity.id) } else { id.to_owned() }
}

/// `stop_reason`.
pub(crate) fn stop_reason(why: Finish, is_stopped: bool, is_refused: bool) -> &'static str {
    match why {
        Finish::ContentFilter => "refusal",
        Finish::Stop | Finish::Other if is_refused => "refusal",
        Finish::Stop if is_stopped => "stop_sequence",
        Finish::Stop | Finish::Other => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Paused => "pause_turn",
    }
}

/// The blocks of a message: reasoning stands in front.
fn content(a: &mut Array<'_>, parts: &[Part], identity: &Identity) {
    let mut order: Vec<(usize, &Part)> = parts.iter().enumerate().collect();
    let reasons = |part: &Part| matches!(part, Part::Reasoning(_) | Part::Sealed(_));
    if !parts.first().is_some_and(reasons) {
        order.sort_by_key(|(_, part)| !reasons(part));
    }
    for (n, part) in order {
        match part {
            Part::Text(text) => a.object(|o| {
                o.string("type", "text").string("text", text.as_str());
                let behind = parts.get(n + 1..).unwrap_or_default().iter();
                let cited: Vec<&Citation> = behind
                    .take_while(|part| !matches!(part, Part::Text(_)))
                    .filter_map(|part| match part {
                        Part::Citation(citation) => Some(citation),
                        _ => None,
                    })
                    .collect();
                if !cited.is_empty() {
                    o.array("citations", |a| cited.iter().for_each(|one| a.raw(&citation(one))));
                }
            }),
            Part::Reasoning(reasoning) => a.object(|o| {
                o.string("type", "thinking").string("thinking", reasoning.text.as_str());
                o.string("signature", reasoning.signature.as_deref().unwrap_or_default());
            }),
            Part::Sealed(data) => a.object(|o| {
                o.string("type", "redacted_thinking").string("data", data);
            }),
            Part::ToolCall(call) => a.object(|o| {
                o.string("type", "tool_use").string("id", &call_id(&call.id, identity, n));
                o.string("name", &call.name);
                o.raw("input", &input(&call.arguments));
            }),
            Part::Other { kind, raw, .. } if is_own(kind, raw) => a.raw(raw),
            Part::Refusal(_)
            | Part::ToolResult(_)
            | Part::Media(_)
            | Part::Citation(_)
            | Part::CachePoint(_)
            | Part::Other { .. } => {}
        }
    }
}

/// Whether a kind that one dialect has is this dialect's: a step of a tool that Anthropic runs.
pub(crate) fn is_own(kind: &str, raw: &str) -> bool {
    !raw.is_empty()
        && (matches!(
            kind,
            "server_tool_use" | "mcp_tool_use" | "container_upload" | "compaction" | "fallback"
        ) || kind.ends_with("_tool_result"))
}

/// A citation of a text (JSON): as it came, if it came in this dialect.
pub(crate) fn citation(said: &Citation) -> ByteString {
    match &said.raw {
        Some(raw) if is_own_citation(raw) => raw.clone(),
        _ => String::from_utf8(object(|o| foreign_citation(o, said))).unwrap_or_default().into(),
    }
}

fn is_own_citation(raw: &str) -> bool {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Said<'_>>(raw).is_ok_and(|said| said.kind.ends_with("_location"))
}

/// A place in a search's results is the only one that has an address.
fn foreign_citation(o: &mut Object<'_>, said: &Citation) {
    let quote = said.quote.as_deref().unwrap_or_default();
    let title = said.title.as_deref();
    match &said.url {
        Some(url) => {
            o.string("type", "web_search_result_location").string("cited_text", quote);
            o.string("url", url).string("encrypted_index", "").string("title", title.unwrap_or(url));
        }
        None => {
            o.string("type", "char_location").string("cited_text", quote).number("document_index", 0);
            o.string("document_title", title.unwrap_or_default());
            o.number("start_char_index", 0).number("end_char_index", quote.chars().count() as u64);
        }
    }
}

/// The fields of `usage`: classes that do not overlap.
pub(crate) fn usage(o: &mut Object<'_>, usage: &Usage) {
    let cached = usage.cached_input.saturating_add(usage.cache_write);
    o.number("input_tokens", usage.input.saturating_sub(cached));
    o.number("cache_creation_input_tokens", usage.cache_write);
    o.number("cache_read_input_tokens", usage.cached_input);
    o.number("output_tokens", usage.output);
    if usage.reasoning > 0 {
        o.object("output_tokens_details", |o| {
            o.number("thinking_tokens", usage.reasoning);
        });
    }
}

/// An error body. The type follows from the status, as in Anthropic's own; the stable code stands in the details.
pub(crate) fn error_body(error: &ErrorBody<'_>) -> Bytes {
    Bytes::from(object(|o| {
        o.string("type", "error").object("error", |o| {
            o.string("type", error_type(error.status)).string("message", error.message);
            o.object("details", |o| {
                o.string("error_code", error.code).string_if("param", error.param);
            });
        });
        o.string("request_id", error.request_id);
    }))
}

/// `error.type` for a status (platform.claude.com/docs/en/api/errors).
fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// The list of models.
pub(crate) fn models(names: &[&str], created: u64) -> Bytes {
    Bytes::from(object(|o| {
        o.array("data", |a| names.iter().for_each(|name| a.object(|o| model(o, name, created))));
        o.bool("has_more", false);
        for (field, name) in [("first_id", names.first()), ("last_id", names.last())] {
            match name {
                Some(name) => o.string(field, name),
                None => o.null(field),
            };
        }
    }))
}

/// One model.
pub(crate) fn model(o: &mut Object<'_>, name: &str, created: u64) {
    o.string("type", "model").string("id", name).string("display_name", name);
    o.string("created_at", &rfc3339(created)).string("lifecycle", "active");
}

/// Unix seconds as RFC 3339 has them, in UTC.
fn rfc3339(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}
