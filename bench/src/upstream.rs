//! The provider: one thread that answers chat requests with the same reply, or with as many events as asked for.
//!
//! `max_tokens` is the number of events, `seed` the microseconds between two of them (0: all at once).

use crate::Outcome;
use memchr::memmem;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// Serves until it is killed.
pub(crate) fn serve(port: u16) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let reply = reply();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let reply = reply.clone();
            // A connection that breaks is the other side's affair.
            tokio::spawn(async move { connection(stream, &reply).await.ok() });
        }
    })
}

/// A reply of about 1 KB with its head.
fn reply() -> Vec<u8> {
    let content = "A weir measures a river and governs its flow. ".repeat(16);
    let body = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"small","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":210,"completion_tokens":160,"total_tokens":370}}}}"#
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

async fn connection(mut stream: TcpStream, reply: &[u8]) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(256 << 10);
    loop {
        let Some((body, end)) = request(&mut stream, &mut buffer).await? else { return Ok(()) };
        let body = buffer.get(body..end).unwrap_or_default();
        // What is asked for stands before the prompt.
        let asked = body.get(..body.len().min(256)).unwrap_or_default();
        if memmem::find(asked, b"\"stream\":true").is_some() {
            let pace = Duration::from_micros(number(asked, b"\"seed\":").unwrap_or(0));
            let count = number(asked, b"\"max_tokens\":").unwrap_or(16);
            let usage = memmem::find(body, b"\"include_usage\":true").is_some();
            events(&mut stream, count, pace, usage).await?;
        } else {
            stream.write_all(reply).await?;
        }
        buffer.drain(..end);
    }
}

/// Reads one request; where its body begins and ends in the buffer. `None`: the connection has ended.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<(usize, usize)>> {
    let mut looked = 0;
    let body = loop {
        let from = usize::saturating_sub(looked, 3);
        if let Some(at) = memmem::find(buffer.get(from..).unwrap_or_default(), b"\r\n\r\n") {
            break from + at + 4;
        }
        looked = buffer.len();
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = buffer.get(..body).unwrap_or_default().to_ascii_lowercase();
    let length = number(&head, b"\r\ncontent-length:").unwrap_or(0);
    let end = body + usize::try_from(length).map_err(std::io::Error::other)?;
    while buffer.len() < end {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((body, end)))
}

/// The number that stands after a text.
fn number(text: &[u8], after: &[u8]) -> Option<u64> {
    let from = memmem::find(text, after)? + after.len();
    let digits =
        text.get(from..)?.iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Writes a stream; each event in a write of its own.
async fn events(stream: &mut TcpStream, count: u64, pace: Duration, usage: bool) -> std::io::Result<()> {
    let chunk = |data: &str| format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
    let delta = chunk(
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"small","choices":[{"index":0,"delta":{"content":" river"},"finish_reason":null}]}"#,
    );
    let mut last = chunk(
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"small","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    );
    if usage {
        last += &chunk(
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"small","choices":[],"usage":{"prompt_tokens":210,"completion_tokens":160,"total_tokens":370}}"#,
        );
    }
    last += &chunk("[DONE]");
    last += "0\r\n\r\n";
    stream.write_all(STREAM_HEAD).await?;
    let mut next = Instant::now();
    for _ in 0..count {
        stream.write_all(delta.as_bytes()).await?;
        if !pace.is_zero() {
            next += pace;
            sleep_until(next).await;
        }
    }
    stream.write_all(last.as_bytes()).await
}
