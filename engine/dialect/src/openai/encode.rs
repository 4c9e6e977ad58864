//! What Weir itself writes in OpenAI's format: requests to send, errors, denials, lists of models.

use crate::ErrorBody;
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memmem;
use weir_message::{ErrorCode, Fault, Finish, Head, JsonOp, Operation, Request, Splices, Text, Usage, patch};

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
    let param = error.param.map_or_else(|| "null".to_owned(), quoted);
    Bytes::from(format!(
        r#"{{"error":{{"message":{},"type":{},"param":{param},"code":{},"request_id":{}}}}}"#,
        quoted(error.message),
        quoted(error.kind),
        quoted(error.code),
        quoted(error.request_id),
    ))
}

/// A whole reply that says `message` and ends by the content filter.
pub(crate) fn denial(operation: Operation, id: &str, model: &str, created: u64, message: &str) -> Bytes {
    let (id, model, text) = (quoted(id), quoted(model), quoted(message));
    let usage = usage(&Usage::default());
    Bytes::from(match operation {
        Operation::Completion => format!(
            r#"{{"id":{id},"object":"text_completion","created":{created},"model":{model},"choices":[{{"index":0,"text":{text},"logprobs":null,"finish_reason":"content_filter"}}],"usage":{usage}}}"#
        ),
        _ => format!(
            r#"{{"id":{id},"object":"chat.completion","created":{created},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"refusal":null}},"logprobs":null,"finish_reason":"content_filter"}}],"usage":{usage}}}"#
        ),
    })
}

/// `GET /v1/models/{id}`.
pub(crate) fn model(name: &str, created: u64) -> String {
    format!(r#"{{"id":{},"object":"model","created":{created},"owned_by":"weir"}}"#, quoted(name))
}

/// `usage`.
pub(crate) fn usage(usage: &Usage) -> String {
    format!(
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}},"completion_tokens_details":{{"reasoning_tokens":{}}}}}"#,
        usage.input,
        usage.output,
        usage.total(),
        usage.cached_input,
        usage.reasoning
    )
}

/// `finish_reason`, as a JSON literal.
pub(crate) fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Other => "\"stop\"",
        Finish::Length => "\"length\"",
        Finish::ToolCalls => "\"tool_calls\"",
        Finish::ContentFilter => "\"content_filter\"",
    }
}

/// The JSON literal for a string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The JSON literal for a string that may be known as spelt.
pub(crate) fn spelt_or(spelt: Option<&ByteString>, or: &str) -> String {
    spelt.map_or_else(|| quoted(or), ToString::to_string)
}
