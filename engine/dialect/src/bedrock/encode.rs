//! Whole replies that Weir itself writes.

use crate::Identity;
use crate::anthropic::turns::input;
use crate::compose::{Array, Object, object};
use crate::gemini::signature;
use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use weir_message::{Citation, Finish, Operation, Part, Reply, ReplyBody, Usage};

/// A whole reply. The API has one answer; of several the first is told.
pub(super) fn reply(reply: &Reply, operation: Operation, identity: &Identity) -> Bytes {
    if operation == Operation::Count {
        let counted = match reply.body {
            ReplyBody::Count(tokens) => tokens,
            _ => reply.usage.unwrap_or_default().input,
        };
        return Bytes::from(object(|o| {
            o.number("inputTokens", counted);
        }));
    }
    let choice = reply.choices().first();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let why = choice.and_then(|choice| choice.finish).unwrap_or(Finish::Stop);
    let is_stopped = choice.is_some_and(|choice| choice.stop.is_some());
    Bytes::from(object(|o| {
        o.object("output", |o| {
            o.object("message", |o| {
                o.string("role", "assistant").array("content", |a| content(a, parts, identity));
            });
        });
        o.string("stopReason", stop_reason(calling(why, calls), is_stopped));
        o.object("usage", |o| usage(o, &reply.usage.unwrap_or_default()));
        // How long it took is for whoever has a clock.
        o.object("metrics", |o| {
            o.number("latencyMs", 0);
        });
    }))
}

/// Why a message with calls ends: some say of it only that all is said.
pub(super) fn calling(why: Finish, calls: bool) -> Finish {
    if calls && why == Finish::Stop { Finish::ToolCalls } else { why }
}

/// `stopReason`.
pub(super) fn stop_reason(why: Finish, is_stopped: bool) -> &'static str {
    match why {
        Finish::Stop if is_stopped => "stop_sequence",
        Finish::Stop | Finish::Paused | Finish::Other => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "content_filtered",
    }
}

/// The id of a call; of one that has none, a new one.
pub(super) fn call_id(id: &str, identity: &Identity, n: usize) -> String {
    if id.is_empty() { format!("tooluse_{}_{n}", identity.id) } else { id.to_owned() }
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
            Part::Text(text) | Part::Refusal(text) => {
                let behind = parts.get(n + 1..).unwrap_or_default().iter();
                let cited: Vec<&Citation> = behind
                    .take_while(|part| !matches!(part, Part::Text(_) | Part::Refusal(_)))
                    .filter_map(|part| match part {
                        Part::Citation(citation) => Some(citation),
                        _ => None,
                    })
                    .collect();
                a.object(|o| match cited.is_empty() {
                    true => {
                        o.string("text", text.as_str());
                    }
                    false => {
                        o.object("citationsContent", |o| {
                            o.array("content", |a| {
                                a.object(|o| {
                                    o.string("text", text.as_str());
                                });
                            });
                            o.array("citations", |a| cited.iter().for_each(|one| a.raw(&citation(one))));
                        });
                    }
                });
            }
            Part::Reasoning(reasoning) => a.object(|o| {
                o.object("reasoningContent", |o| {
                    o.object("reasoningText", |o| {
                        o.string("text", reasoning.text.as_str());
                        o.string_if("signature", reasoning.signature.as_deref());
                    });
                });
            }),
            Part::Sealed(data) => a.object(|o| {
                o.object("reasoningContent", |o| {
                    o.base64("redactedContent", "", &signature::as_bytes(data));
                });
            }),
            Part::ToolCall(call) => a.object(|o| {
                o.object("toolUse", |o| {
                    o.string("toolUseId", &call_id(&call.id, identity, n)).string("name", &call.name);
                    o.raw("input", &input(&call.arguments));
                });
            }),
            Part::Other { raw, .. } if is_own(raw) => a.raw(raw),
            Part::ToolResult(_)
            | Part::Media(_)
            | Part::Citation(_)
            | Part::CachePoint(_)
            | Part::Other { .. } => {}
        }
    }
}

/// Whether a kind that one dialect has is this dialect's: a step of a tool that Bedrock runs.
fn is_own(raw: &str) -> bool {
    ["{\"toolUse\":", "{\"toolResult\":"].iter().any(|start| raw.starts_with(start))
}

/// Whether a citation came in this dialect.
fn is_own_citation(raw: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Said {
        #[serde(rename = "type")]
        kind: Option<IgnoredAny>,
        location: Option<IgnoredAny>,
        source_content: Option<IgnoredAny>,
    }
    let fits = |said: Said| said.kind.is_none() && (said.location.is_some() || said.source_content.is_some());
    serde_json::from_str::<Said>(raw).is_ok_and(fits)
}

/// A citation of a text (JSON): as it came, if it came in this dialect.
pub(super) fn citation(said: &Citation) -> ByteString {
    match &said.raw {
        Some(raw) if is_own_citation(raw) => raw.clone(),
        _ => String::from_utf8(object(|o| foreign_citation(o, said))).unwrap_or_default().into(),
    }
}

fn foreign_citation(o: &mut Object<'_>, said: &Citation) {
    o.string_if("title", said.title.as_deref());
    if let Some(quote) = &said.quote {
        o.array("sourceContent", |a| {
            a.object(|o| {
                o.string("text", quote);
            });
        });
    }
    if let Some(url) = &said.url {
        o.object("location", |o| {
            o.object("web", |o| {
                o.string("url", url);
            });
        });
    }
}

/// The fields of `usage`: classes that do not overlap.
pub(super) fn usage(o: &mut Object<'_>, usage: &Usage) {
    let cached = usage.cached_input.saturating_add(usage.cache_write);
    o.number("inputTokens", usage.input.saturating_sub(cached)).number("outputTokens", usage.output);
    o.number("totalTokens", usage.total());
    o.number("cacheReadInputTokens", usage.cached_input).number("cacheWriteInputTokens", usage.cache_write);
}

/// A model.
pub(super) fn model(o: &mut Object<'_>, name: &str) {
    o.string("modelId", name).string("modelName", name).bool("responseStreamingSupported", true);
}
