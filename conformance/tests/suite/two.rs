//! A client of HTTP/2, and a provider of HTTP/2 in front of the scripted one.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use http::{Request, Response};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use weir_conformance::harness::{Head, Reply, Wire, request};

/// Runs a test's asynchronous part.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A connection whose first bytes are HTTP/2's; it ends with the test.
pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        // A test looks at its streams.
        let _ = connection.await;
    });
    send
}

/// The same without TLS, by prior knowledge.
pub(crate) async fn connect(edge: SocketAddr) -> SendRequest<Bytes> {
    over(TcpStream::connect(edge).await.unwrap()).await
}

/// Sends a `POST` and waits for the head of the reply.
pub(crate) async fn post(
    send: &SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Response<h2::RecvStream>, h2::Error> {
    let mut request = Request::post(format!("https://edge.test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut stream) =
        send.clone().ready().await?.send_request(request.body(()).unwrap(), false)?;
    stream.send_data(body.into(), true)?;
    response.await
}

/// Waits for the rest of a reply.
pub(crate) async fn whole(response: Response<h2::RecvStream>) -> Result<Reply, h2::Error> {
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
    let head = Head { status, headers: headers.collect() };
    Ok(Reply { head, body: rest(response.into_body()).await? })
}

async fn rest(mut body: h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut out = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

/// Speaks HTTP/2 by prior knowledge at the address it gives back, and asks the provider behind it in HTTP/1.1.
pub(crate) fn in_front_of(provider: SocketAddr) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        run(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(pass(request, respond, provider));
                    }
                });
            }
        });
    });
    address
}

async fn pass(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, provider: SocketAddr) {
    let (parts, incoming) = request.into_parts();
    let Ok(body) = rest(incoming).await else { return };
    let bytes = as_one(&parts, &body);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    // Each chunk is a frame. A reset would overtake them, so where the provider breaks off the stream just ends.
    std::thread::spawn(move || {
        let mut wire = Wire::connect(provider);
        let asked = wire.send(&bytes).and_then(|()| wire.head());
        let Ok(head) = asked else { return };
        let _ = sender.send(Piece::Head(head.clone()));
        if head.header("transfer-encoding").is_none() {
            let _ = wire.body(&head).map(|body| sender.send(Piece::Body(body)));
            return;
        }
        while let Ok(Some(chunk)) = wire.chunk() {
            let _ = sender.send(Piece::Body(chunk));
        }
    });
    let mut out = None;
    while let Some(piece) = receiver.recv().await {
        match (piece, &mut out) {
            (Piece::Head(head), _) => {
                let mut response = Response::builder().status(head.status);
                for (name, value) in &head.headers {
                    if name != "transfer-encoding" {
                        response = response.header(name, value);
                    }
                }
                out = respond.send_response(response.body(()).unwrap(), false).ok();
            }
            (Piece::Body(bytes), Some(out)) => drop(out.send_data(bytes.into(), false)),
            (Piece::Body(_), None) => return,
        }
    }
    if let Some(mut out) = out {
        let _ = out.send_data(Bytes::new(), true);
    }
}

enum Piece {
    Head(Head),
    Body(Vec<u8>),
}

/// The request as HTTP/1.1 writes it.
fn as_one(parts: &http::request::Parts, body: &[u8]) -> Vec<u8> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or("").to_owned();
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::CONTENT_LENGTH && *name != http::header::HOST)
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    let pairs: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    request(parts.method.as_str(), parts.uri.path(), &pairs, body)
}
