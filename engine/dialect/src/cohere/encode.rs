//! What Weir itself writes in Cohere's format: replies, errors, lists of models.

use crate::compose::{Array, Object, object};
use crate::openai::encode::tool_calls;
use crate::{ErrorBody, Identity};
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{Citation, Finish, Operation, Part, Reply, ReplyBody, Usage};

/// A whole reply.
pub(crate) fn reply(reply: &Reply, operation: Operation, identity: &Identity) -> Bytes {
    if operation == Operation::Rerank {
        // All who rerank do it in this shape.
        return reply.outgoing();
    }
    let id = reply.id.as_deref().unwrap_or(&identity.id);
    if let ReplyBody::Vectors(vectors) = &reply.body {
        return embeddings(id, vectors, reply.usage);
    }
    let choice = reply.choices().first();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    Bytes::from(object(|o| {
        o.string("id", id).object("message", |o| message(o, parts));
        o.string("finish_reason", choice.and_then(|choice| choice.finish).map_or("COMPLETE", finish));
        if let Some(spent) = &reply.usage {
            o.object("usage", |o| usage(o, spent));
        }
    }))
}

fn message(o: &mut Object<'_>, parts: &[Part]) {
    let is_said = |part: &&Part| matches!(part, Part::Text(_) | Part::Refusal(_) | Part::Reasoning(_));
    o.string("role", "assistant");
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    if parts.iter().any(|part| is_said(&part)) || !calls {
        o.array("content", |a| parts.iter().filter(is_said).for_each(|part| content(a, part)));
    }
    if calls {
        o.array("tool_calls", |a| tool_calls(a, parts));
    }
    if parts.iter().any(|part| matches!(part, Part::Citation(_))) {
        o.array("citations", |a| {
            // The text in front, and its number among all contents.
            let (mut count, mut said) = (0, (0, ""));
            for part in parts {
                match part {
                    Part::Citation(cited) => a.object(|o| citation(o, cited, said.0, said.1)),
                    Part::Text(text) | Part::Refusal(text) => said = (count, text.as_str()),
                    _ => {}
                }
                count += u64::from(is_said(&part));
            }
        });
    }
}

fn content(a: &mut Array<'_>, part: &Part) {
    a.object(|o| match part {
        Part::Reasoning(reasoning) => {
            o.string("type", "thinking").string("thinking", reasoning.text.as_str());
        }
        Part::Text(text) | Part::Refusal(text) => {
            o.string("type", "text").string("text", text.as_str());
        }
        _ => {}
    });
}

/// A citation of words in the content block with this index, whose text so far is `said`.
pub(super) fn citation(o: &mut Object<'_>, cited: &Citation, index: u64, said: &str) {
    if let Some(span) = &cited.span {
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let words = said.chars().skip(count(span.start)).take(count(span.end.saturating_sub(span.start)));
        o.number("start", span.start).number("end", span.end).string("text", &words.collect::<String>());
    }
    o.array("sources", |a| {
        a.object(|o| {
            let id = cited.url.as_ref().or(cited.title.as_ref());
            o.string("type", "document").string_if("id", id.map(|id| &**id));
            o.object("document", |o| {
                o.string_if("title", cited.title.as_deref()).string_if("url", cited.url.as_deref());
                o.string_if("snippet", cited.quote.as_deref());
            });
        });
    });
    o.number("content_index", index).string("type", "TEXT_CONTENT");
}

/// `finish_reason`.
pub(super) fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Paused | Finish::Other => "COMPLETE",
        Finish::Length => "MAX_TOKENS",
        Finish::ToolCalls => "TOOL_CALL",
        // Version 2 names none of its own; version 1 had this.
        Finish::ContentFilter => "ERROR_TOXIC",
    }
}

/// The fields of `usage`.
pub(super) fn usage(o: &mut Object<'_>, spent: &Usage) {
    let tokens = |o: &mut Object<'_>| {
        o.number("input_tokens", spent.input).number("output_tokens", spent.output);
    };
    o.object("billed_units", tokens).object("tokens", tokens);
    o.number("cached_tokens", spent.cached_input);
}

/// A whole reply of vectors, each as spelt: arrays of numbers, or strings of Base64.
fn embeddings(id: &str, vectors: &[ByteString], spent: Option<Usage>) -> Bytes {
    let is_encoded = vectors.first().is_some_and(|vector| vector.starts_with('"'));
    Bytes::from(object(|o| {
        o.string("id", id).object("embeddings", |o| {
            let kind = if is_encoded { "base64" } else { "float" };
            o.array(kind, |a| vectors.iter().for_each(|vector| a.raw(vector)));
        });
        o.array("texts", |_| {}).object("meta", |o| {
            o.object("api_version", |o| {
                o.string("version", "2");
            });
            if let Some(spent) = spent {
                o.object("billed_units", |o| {
                    o.number("input_tokens", spent.input);
                });
            }
        });
        o.string("response_type", "embeddings_by_type");
    }))
}

/// An error's body.
pub(crate) fn error_body(error: &ErrorBody<'_>) -> Bytes {
    Bytes::from(object(|o| {
        o.string("id", error.request_id).string("message", error.message);
        o.string("code", error.code).string_if("param", error.param);
    }))
}

/// A model.
pub(crate) fn model(o: &mut Object<'_>, name: &str) {
    o.string("name", name).bool("is_deprecated", false).array("endpoints", |_| {});
}
