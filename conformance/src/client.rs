//! What a client makes of the bytes it gets.

use crate::frames;
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;
use weir_dialect::{Collector, Level, StreamDecoder};
use weir_message::{BlockKind, Dialect, Event, EventKind, Operation, Reply};
use weir_script::{Client, ClientError};

/// The longest answer that a case looks at, in bytes.
const LIMIT: usize = 64 << 20;

/// A reply as the client of a case sees it, and the same decoded for the root `reply` where it can be.
pub(crate) fn received(
    status: u16,
    headers: HeaderMap,
    body: &Bytes,
    dialect: Dialect,
    operation: Operation,
) -> (Client, Option<Reply>) {
    let mut client =
        Client { status, headers, body: String::from_utf8_lossy(body).into_owned(), ..Client::default() };
    let content_type =
        client.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let reply = if weir_dialect::is_stream(dialect, content_type) {
        stream(&mut client, body, dialect, operation)
    } else {
        whole(&mut client, body, dialect, operation)
    };
    let reply = reply.map(|mut reply| {
        reply.status = status;
        reply.headers = client.headers.clone();
        reply.cached = client.headers.get("x-weir-cache").is_some_and(|value| value == "hit");
        reply
    });
    (client, reply)
}

fn whole(client: &mut Client, body: &Bytes, dialect: Dialect, operation: Operation) -> Option<Reply> {
    if client.status >= 400 {
        client.error = error(body);
        return None;
    }
    let mut reply = Reply::new(client.status, body.clone());
    weir_dialect::decode_reply(&mut reply, dialect, operation).ok()?;
    client.text = reply.text();
    with_summary(reply, dialect, operation)
}

/// Adds usage and model, which a decoded reply may not tell by itself.
fn with_summary(mut reply: Reply, dialect: Dialect, operation: Operation) -> Option<Reply> {
    if let Ok(summary) = weir_dialect::read_reply_usage(&reply, dialect, operation) {
        reply.usage = reply.usage.or(summary.usage);
        reply.model = reply.model.take().or(summary.model);
    }
    Some(reply)
}

fn stream(client: &mut Client, body: &Bytes, dialect: Dialect, operation: Operation) -> Option<Reply> {
    let mut decoder = StreamDecoder::new(dialect, operation, Level::Text)?;
    let mut collector = Some(Collector::new(dialect, operation, LIMIT));
    decoder.push(body.clone());
    loop {
        match decoder.next_event() {
            Ok(Some(event)) => take(client, &mut collector, &event),
            Ok(None) => break,
            Err(fault) => {
                client.error.get_or_insert(ClientError {
                    code: "unreadable".to_owned(),
                    message: fault.message.to_string(),
                });
                return None;
            }
        }
    }
    if let Ok(ending) = decoder.finish() {
        ending.last.iter().for_each(|event| take(client, &mut collector, event));
    }
    with_summary(collector?.finish().ok()?, dialect, operation)
}

fn take(client: &mut Client, collector: &mut Option<Collector>, event: &Event) {
    // An event of AWS's is framed in bytes that are no text.
    let framed = frames::payloads(&event.raw);
    if framed.is_empty() {
        client.events.extend(data(&event.raw));
    }
    client.events.extend(framed);
    if event.kind == EventKind::Error {
        client.error = client.events.last().and_then(|data| error(data.as_bytes()));
    }
    for delta in &event.deltas {
        if delta.block.choice == 0 && matches!(delta.block.kind, BlockKind::Text | BlockKind::Refusal) {
            client.text.push_str(delta.text.as_str());
        }
    }
    if collector.as_mut().is_some_and(|collector| collector.push(event).is_err()) {
        *collector = None;
    }
}

/// The data of an event; `None` for a comment.
fn data(raw: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(raw);
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:").map(|rest| rest.strip_prefix(' ').unwrap_or(rest)))
        .collect();
    if lines.is_empty() { None } else { Some(lines.join("\n")) }
}

fn error(body: &[u8]) -> Option<ClientError> {
    let json: Value = serde_json::from_slice(body).ok()?;
    // AWS's has no object around it.
    let error = json.get("error").or_else(|| json.get("code").map(|_| &json))?;
    let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    // Where the client's dialect has a place for the stable code.
    let code = error.pointer("/details/error_code").and_then(Value::as_str).map(str::to_owned);
    Some(ClientError { code: code.unwrap_or_else(|| field("code")), message: field("message") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        headers
    }

    #[test]
    fn a_stream_reads_as_its_words_its_events_and_its_error() {
        let body = Bytes::from_static(
            b": hello\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a \"}}]}\n\n\
              data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}]}\n\n\
              data: {\"error\":{\"code\":\"upstream-broken\",\"message\":\"m\",\"type\":\"server_error\"}}\n\n",
        );
        let (client, _) =
            received(200, headers("text/event-stream"), &body, Dialect::OpenAi, Operation::Chat);
        assert_eq!((client.text.as_str(), client.events.len()), ("a b", 3));
        assert_eq!(client.error.map(|error| error.code).as_deref(), Some("upstream-broken"));
    }

    #[test]
    fn a_whole_reply_reads_as_its_words_and_its_usage() {
        let body = Bytes::from_static(
            br#"{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#,
        );
        let (client, reply) =
            received(200, headers("application/json"), &body, Dialect::OpenAi, Operation::Chat);
        assert_eq!(client.text, "hi");
        assert_eq!(reply.and_then(|reply| reply.usage).map(|usage| usage.input), Some(3));
    }
}
