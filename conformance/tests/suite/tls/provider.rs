//! A provider of HTTP/1.1 and HTTP/2, with TLS and without, that counts connections and requests.

use bytes::Bytes;
use http::Response;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What reached the provider.
#[derive(Default)]
pub(crate) struct Seen {
    /// Connections over which a request could have come: past the TLS handshake.
    pub(crate) connections: AtomicUsize,
    /// Version, authority and body of each request.
    pub(crate) requests: Mutex<Vec<Request>>,
    /// Streams that were reset before their end.
    pub(crate) resets: AtomicUsize,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) version: &'static str,
    pub(crate) host: String,
    pub(crate) body: String,
}

/// A running provider. Ends with the test.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl Provider {
    /// Serves with TLS if there is a certificate; without it, HTTP/2 by prior knowledge if `h2c`.
    pub(crate) fn start(tls: Option<Arc<rustls::ServerConfig>>, h2c: bool) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let counts = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (seen, acceptor) = (Arc::clone(&counts), tls.clone().map(TlsAcceptor::from));
                    tokio::spawn(async move {
                        match acceptor {
                            None => serve(stream, h2c, &seen).await,
                            Some(acceptor) => {
                                // A client that does not trust it ends the handshake.
                                let Ok(stream) = acceptor.accept(stream).await else { return };
                                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                                serve(stream, h2, &seen).await;
                            }
                        }
                    });
                }
            });
        });
        Self { address, seen }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, h2: bool, seen: &Arc<Seen>) {
    seen.connections.fetch_add(1, Ordering::SeqCst);
    // A connection may break off as it likes.
    let _ = match h2 {
        true => two(stream, seen).await.is_ok(),
        false => one(stream, seen).await.is_ok(),
    };
}

fn answer() -> String {
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hello over tls" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 }
    })
    .to_string()
}

fn word(text: &str) -> String {
    let chunk = json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }]
    });
    format!("data: {chunk}\n\n")
}

/// HTTP/1.1: whole answers on a connection that is kept.
async fn one(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Seen) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
        let header = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
        };
        let length: usize = header("content-length:").and_then(|value| value.parse().ok()).unwrap_or(0);
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let body = String::from_utf8_lossy(&buffer[head..head + length]).into_owned();
        buffer.drain(..head + length);
        seen.requests.lock().unwrap().push(Request {
            version: "HTTP/1.1",
            host: header("host:").unwrap_or_default(),
            body,
        });
        let answer = answer();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

/// HTTP/2: whole answers, streams to those who ask, an endless stream to those whose prompt says so.
async fn two(stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Arc<Seen>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(stream_of_two(request, respond, Arc::clone(seen)));
    }
    Ok(())
}

async fn stream_of_two(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    seen: Arc<Seen>,
) -> Result<(), h2::Error> {
    let (parts, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    let host = parts.uri.authority().map(ToString::to_string).unwrap_or_default();
    seen.requests.lock().unwrap().push(Request { version: "HTTP/2", host, body: body.clone() });
    let streams = body.contains("\"stream\":true");
    let media = if streams { "text/event-stream" } else { "application/json" };
    let head = Response::builder().header("content-type", media).body(()).unwrap();
    let mut out = respond.send_response(head, false)?;
    if !streams {
        return out.send_data(Bytes::from(answer()), true);
    }
    out.send_data(Bytes::from(word("one")), false)?;
    if body.contains("without end") {
        tokio::select! {
            _ = std::future::poll_fn(|task| out.poll_reset(task)) => {
                seen.resets.fetch_add(1, Ordering::SeqCst);
            }
            () = tokio::time::sleep(Duration::from_secs(20)) => {}
        }
        return Ok(());
    }
    out.send_data(Bytes::from(word(" two")), false)?;
    out.send_data(Bytes::from_static(b"data: [DONE]\n\n"), true)
}
