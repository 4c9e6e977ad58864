//! What Weir itself writes in OpenAI's format: requests to send, errors, denials, lists of models.

use crate::compose::{Array, Object, object, write_string};
use crate::{ErrorBody, Identity, gemini};
use bytes::Bytes;
use memchr::memmem;
use weir_message::{
    Choice, Citation, ErrorCode, Fault, Finish, Head, JsonOp, Operation, Part, Reply, ReplyBody, Request,
    Splices, Text, Usage, patch,
};

/// The bytes to send upstream.
pub(crate) fn outgoing(request: &Request, model: &str, ask_usage: bool) -> Result<Bytes, Fault> {
    let bytes = request.outgoing().map_err(|error| {
        Fault::new(ErrorCode::BadRequest, "the edited body cannot be put together").detail(error.to_string())
    })?;
    let ask_usage = ask_usage && matches!(request.operation, Operation::Chat | Operation::Completion);
    if request.head.object_at.is_some()
        && bytes.as_ptr() == request.raw.as_ptr()
        && bytes.len() == request.raw.len()
    {
        return renamed(bytes, &request.head, model, ask_usage);
    }
    // Edited: places moved.
    let mut edited = Request::new("", request.dialect, request.operation, "");
    edited.raw = bytes.clone();
    crate::read_head(&mut edited)?;
    renamed(bytes, &edited.head, model, ask_usage)
}

/// `bytes`, whose head is `head`, with the model's name and the wish for usage put in: one copy, or none.
fn renamed(bytes: Bytes, head: &Head, model: &str, ask_usage: bool) -> Result<Bytes, Fault> {
    let Some(object) = &head.object_at else { return Ok(bytes) };
    let mut first = String::new();
    let mut splices = Splices::default();
    match &head.model {
        Some(text) if text.as_str() == model => {}
        Some(Text { at: Some(at), .. }) => splices.set(at.clone(), quoted(model)),
        _ => first = format!("\"model\":{}", quoted(model)),
    }
    if ask_usage && head.stream && !head.include_usage {
        if memmem::find(&bytes, b"\"stream_options\"").is_some() {
            return asked_in_place(bytes, model);
        }
        let comma = if first.is_empty() { "" } else { "," };
        first.push_str(comma);
        first.push_str("\"stream_options\":{\"include_usage\":true}");
    }
    if !first.is_empty() {
        let inside = bytes.get(object.start as usize..object.end as usize).unwrap_or_default();
        if !inside.trim_ascii_start().is_empty() {
            first.push(',');
        }
        splices.set(object.start..object.start, first);
    }
    Ok(splices.apply(&bytes))
}

/// The rare case that `stream_options` stands there without asking for usage.
fn asked_in_place(bytes: Bytes, model: &str) -> Result<Bytes, Fault> {
    let set = |pointer: &str, value: serde_json::Value| JsonOp::Set(pointer.to_owned(), value);
    let name = set("/model", model.into());
    let inside = [name.clone(), set("/stream_options/include_usage", true.into())];
    let anew = [name, set("/stream_options", serde_json::json!({ "include_usage": true }))];
    patch(&bytes, &inside).or_else(|_| patch(&bytes, &anew)).map_err(|error| {
        Fault::new(ErrorCode::BadRequest, "`stream_options` is not an object")
            .param("stream_options")
            .detail(error.to_string())
    })
}

/// An error body.
pub(crate) fn error_body(error: &ErrorBody<'_>) -> Bytes {
    Bytes::from(object(|o| {
        o.object("error", |o| self::error(o, error));
    }))
}

/// The fields of an error.
pub(super) fn error(o: &mut Object<'_>, error: &ErrorBody<'_>) {
    o.string("message", error.message).string("type", error.kind);
    match error.param {
        Some(param) => o.string("param", param),
        None => o.null("param"),
    };
    o.string("code", error.code).string("request_id", error.request_id);
}

/// An id with the prefix of OpenAI's own for the operation.
pub(crate) fn prefixed(operation: Operation, id: &str) -> String {
    let prefix = if operation == Operation::Completion { "cmpl" } else { "chatcmpl" };
    format!("{prefix}-{id}")
}

/// A whole reply.
pub(crate) fn reply(reply: &Reply, operation: Operation, identity: &Identity) -> Bytes {
    if operation == Operation::Rerank {
        // All who rerank do it in this shape.
        return reply.outgoing();
    }
    let model = reply.model.as_deref().unwrap_or(&identity.model);
    if let ReplyBody::Vectors(vectors) = &reply.body {
        return embeddings(vectors.iter().map(|vector| &**vector), model, reply.usage.unwrap_or_default());
    }
    let is_chat = operation != Operation::Completion;
    Bytes::from(object(|o| {
        match &reply.id {
            Some(id) => o.string("id", id),
            None => o.string("id", &prefixed(operation, &identity.id)),
        };
        o.string("object", if is_chat { "chat.completion" } else { "text_completion" });
        o.number("created", identity.created).string("model", model);
        o.array("choices", |a| {
            for choice in reply.choices() {
                a.object(|o| {
                    o.number("index", u64::from(choice.index));
                    if is_chat {
                        o.object("message", |o| message(o, choice));
                    } else {
                        o.string("text", &words(choice, |part| matches!(part, Part::Text(_))));
                    }
                    o.null("logprobs");
                    o.raw("finish_reason", choice.finish.map_or("null", finish));
                });
            }
        });
        if let Some(spent) = &reply.usage {
            o.object("usage", |o| usage(o, spent));
        }
    }))
}

/// A whole reply of vectors, each as spelt.
fn embeddings<'a>(vectors: impl Iterator<Item = &'a str>, model: &str, spent: Usage) -> Bytes {
    Bytes::from(object(|o| {
        o.string("object", "list");
        o.array("data", |a| {
            for (n, vector) in vectors.enumerate() {
                a.object(|o| {
                    o.string("object", "embedding").number("index", n as u64).raw("embedding", vector);
                });
            }
        });
        o.string("model", model);
        o.object("usage", |o| {
            o.number("prompt_tokens", spent.input).number("total_tokens", spent.input);
        });
    }))
}

/// The texts of a choice's parts of one kind, joined.
fn words(choice: &Choice, wanted: impl Fn(&Part) -> bool) -> String {
    let text = |part: &Part| match part {
        Part::Text(text) | Part::Refusal(text) => text.value.clone(),
        Part::Reasoning(reasoning) => reasoning.text.value.clone(),
        _ => Default::default(),
    };
    choice.parts.iter().filter(|part| wanted(part)).map(|part| text(part).to_string()).collect()
}

/// The message of a reply.
fn message(o: &mut Object<'_>, choice: &Choice) {
    let has = |wanted: fn(&Part) -> bool| choice.parts.iter().any(wanted);
    let text = words(choice, |part| matches!(part, Part::Text(_)));
    let refusal = words(choice, |part| matches!(part, Part::Refusal(_)));
    let reasoning = words(choice, |part| matches!(part, Part::Reasoning(_)));
    o.string("role", "assistant");
    let is_silent = text.is_empty() && (has(|part| matches!(part, Part::ToolCall(_))) || !refusal.is_empty());
    if is_silent {
        o.null("content")
    } else {
        o.string("content", &text)
    };
    if refusal.is_empty() {
        o.null("refusal")
    } else {
        o.string("refusal", &refusal)
    };
    if !reasoning.is_empty() {
        o.string("reasoning_content", &reasoning);
    }
    thoughts(o, &choice.parts);
    if has(|part| matches!(part, Part::ToolCall(_))) {
        o.array("tool_calls", |a| tool_calls(a, &choice.parts));
    }
    if has(|part| matches!(part, Part::Citation(_))) {
        o.array("annotations", |a| {
            for part in &choice.parts {
                if let Part::Citation(said) = part {
                    a.object(|o| citation(o, said));
                }
            }
        });
    }
}

/// `reasoning_details`: what signs and seals reasoning, if anything does. The words themselves stand in `reasoning_content`.
pub(crate) fn thoughts(o: &mut Object<'_>, parts: &[Part]) {
    let is_mark = |part: &Part| match part {
        Part::Reasoning(reasoning) => reasoning.signature.is_some(),
        Part::Sealed(_) => true,
        _ => false,
    };
    if !parts.iter().any(is_mark) {
        return;
    }
    o.array("reasoning_details", |a| {
        for part in parts {
            match part {
                Part::Reasoning(reasoning) => {
                    if let Some(signature) = &reasoning.signature {
                        a.object(|o| {
                            o.string("type", "reasoning.text").string("signature", signature);
                        });
                    }
                }
                Part::Sealed(data) => {
                    a.object(|o| {
                        o.string("type", "reasoning.encrypted").string("data", data);
                    });
                }
                _ => {}
            }
        }
    });
}

/// The items of `tool_calls`.
pub(crate) fn tool_calls<'a>(a: &mut Array<'_>, parts: impl IntoIterator<Item = &'a Part>) {
    for part in parts {
        let Part::ToolCall(call) = part else { continue };
        a.object(|o| {
            o.string("id", &call.id).string("type", "function");
            o.object("function", |o| {
                o.string("name", &call.name).string("arguments", call.arguments.as_str());
            });
            extra_content(o, call.signature.as_deref());
        });
    }
}

/// `extra_content` of a call: the signature that Gemini wants back with it.
pub(crate) fn extra_content(o: &mut Object<'_>, signature: Option<&str>) {
    if let Some(signature) = signature.and_then(gemini::signature::own) {
        o.object("extra_content", |o| {
            o.object("google", |o| {
                o.string("thought_signature", signature);
            });
        });
    }
}

/// An item of `annotations`.
pub(crate) fn citation(o: &mut Object<'_>, said: &Citation) {
    o.string("type", "url_citation");
    o.object("url_citation", |o| {
        o.string("url", said.url.as_deref().unwrap_or_default());
        o.string("title", said.title.as_deref().unwrap_or_default());
        if let Some(span) = &said.span {
            o.number("start_index", span.start).number("end_index", span.end);
        }
    });
}

/// `GET /v1/models/{id}`.
pub(crate) fn model(o: &mut Object<'_>, name: &str, created: u64) {
    o.string("id", name).string("object", "model").number("created", created).string("owned_by", "weir");
}

/// The fields of `usage`.
pub(crate) fn usage(o: &mut Object<'_>, usage: &Usage) {
    o.number("prompt_tokens", usage.input);
    o.number("completion_tokens", usage.output);
    o.number("total_tokens", usage.total());
    o.object("prompt_tokens_details", |o| {
        o.number("cached_tokens", usage.cached_input);
    });
    o.object("completion_tokens_details", |o| {
        o.number("reasoning_tokens", usage.reasoning);
    });
}

/// `finish_reason`, as a JSON literal.
pub(crate) fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Paused | Finish::Other => "\"stop\"",
        Finish::Length => "\"length\"",
        Finish::ToolCalls => "\"tool_calls\"",
        Finish::ContentFilter => "\"content_filter\"",
    }
}

/// The JSON literal for a string.
fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}
