//! Attempts against real sockets of this process.

use super::NetUpstream;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_message::{Cause, Dialect};
use weir_pipeline::{
    Access, AuthScheme, AwsKeys, Call, Credential, Endpoint, Http2, Provider, SigV4, SystemClock, Timeouts,
    Upstream,
};

const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\ncontent-length: 2\r\n\r\nok";

fn call(port: u16, body: &'static str) -> Call {
    let patient = Duration::from_secs(20);
    let timeouts = Timeouts { connect: patient, first_byte: patient, between: patient, total: patient };
    let endpoint = Endpoint {
        tls: false,
        host: "127.0.0.1".into(),
        port,
        base_path: "/v1".into(),
        ca: None,
        http2: Http2::Auto,
    };
    let provider = Provider {
        name: Arc::from("p"),
        row: None,
        dialect: Dialect::OpenAi,
        has_responses: true,
        access: Access::Http(endpoint),
        auth: AuthScheme::None,
        credential: Arc::new(Credential::default()),
        is_available: true,
        headers: HeaderMap::new(),
        region: None,
        hosting: weir_dialect::Hosting::default(),
        drops_unsupported: false,
        timeouts,
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-kept", "1".parse().unwrap());
    Call {
        provider: Arc::new(provider),
        model: Arc::from("m"),
        attempt: 1,
        method: Method::POST,
        path: "/chat/completions".into(),
        headers,
        body: Bytes::from_static(body.as_bytes()),
        timeouts,
        decode: true,
        body_limit: 1000,
    }
}

/// An upstream that has the system's time.
fn net() -> NetUpstream {
    NetUpstream::new(Arc::new(SystemClock::new()))
}

/// Reads one request with the body `body`; its head.
async fn request(stream: &mut TcpStream, body: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(format!("\r\n\r\n{body}").as_bytes()) {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "the connection ended: {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8(text).unwrap().to_ascii_lowercase()
}

/// The status and the whole body.
async fn whole(upstream: &NetUpstream, call: Call) -> Result<(u16, Vec<u8>, HeaderMap), Cause> {
    let answer = upstream.send(call).await.map_err(|error| error.cause)?;
    let (status, headers, mut body) = (answer.status, answer.headers, answer.body);
    let mut out = Vec::new();
    while let Some(piece) = body.next().await {
        out.extend_from_slice(&piece.map_err(|error| error.cause)?);
    }
    Ok((status, out, headers))
}

#[tokio::test]
async fn takes_end_to_end_headers_alone_from_the_reply_and_reuses_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = request(&mut stream, "one").await;
        stream.write_all(OK).await.unwrap();
        request(&mut stream, "two").await;
        stream.write_all(OK).await.unwrap();
        head
    });
    let upstream = net();
    for body in ["one", "two"] {
        let (status, got, headers) = whole(&upstream, call(port, body)).await.unwrap();
        assert_eq!((status, &*got), (200, &b"ok"[..]));
        assert!(!headers.contains_key("x-hop") && !headers.contains_key("connection"));
    }
    let head = server.await.unwrap();
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("host: 127.0.0.1:{port}\r\n")) && head.contains("content-length: 3\r\n"),
        "{head}"
    );
    assert!(head.contains("x-kept: 1"), "{head}");
}

#[tokio::test]
async fn tries_again_only_where_an_idle_connection_died_without_a_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        request(&mut first, "one").await;
        first.write_all(OK).await.unwrap();
        request(&mut first, "two").await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        request(&mut second, "two").await;
        second.write_all(OK).await.unwrap();
        request(&mut second, "three").await;
        second.write_all(b"HTTP/1.1 2").await.unwrap();
        drop(second);
        let (mut third, _) = listener.accept().await.unwrap();
        request(&mut third, "four").await;
    });
    let upstream = net();
    assert!(whole(&upstream, call(port, "one")).await.is_ok());
    assert!(whole(&upstream, call(port, "two")).await.is_ok(), "the idle connection died: sent again");
    assert_eq!(
        whole(&upstream, call(port, "three")).await.unwrap_err(),
        Cause::Broken,
        "a byte of the reply came"
    );
    assert_eq!(
        whole(&upstream, call(port, "four")).await.unwrap_err(),
        Cause::Broken,
        "the connection was new"
    );
    server.await.unwrap();
}

#[tokio::test]
async fn dropping_the_body_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream, "one").await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(head).await.unwrap();
        stream.read(&mut [0; 1]).await.unwrap_or(0)
    });
    let upstream = net();
    let mut answer = upstream.send(call(port, "one")).await.unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "hello");
    drop(answer);
    assert_eq!(server.await.unwrap(), 0, "the provider sees the end of the connection");
}

#[tokio::test]
async fn signs_what_is_sent_where_the_provider_wants_signatures() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = request(&mut stream, "one").await;
        stream.write_all(OK).await.unwrap();
        head
    });
    let unsigned = call(port, "one");
    let scope = SigV4 { region: "eu-central-1".into(), service: "bedrock".into() };
    let provider = Arc::into_inner(unsigned.provider).unwrap();
    let provider = Arc::new(Provider { auth: AuthScheme::SigV4(scope), ..provider });
    let signed = Call { provider: Arc::clone(&provider), ..unsigned };
    assert_eq!(whole(&net(), signed.clone()).await.unwrap_err(), Cause::Unauthorized, "no keys yet");
    provider.credential.set_keys(AwsKeys {
        access_key_id: "AKID".into(),
        secret_access_key: "secret".into(),
        session_token: Some("token".into()),
    });
    assert_eq!(whole(&net(), signed).await.unwrap().0, 200);
    let head = server.await.unwrap();
    let line = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
    assert!(line.starts_with("aws4-hmac-sha256 credential=akid/"), "{line}");
    let scope = "/eu-central-1/bedrock/aws4_request, signedheaders=host;x-amz-date;x-amz-security-token";
    assert!(line.contains(scope), "{line}");
    assert!(head.contains("\r\nx-amz-security-token: token\r\n") && !head.contains("secret\r"), "{head}");
}

#[tokio::test]
async fn tells_what_is_wrong_with_a_reply() {
    for (reply, want) in [
        ("rubbish\r\n\r\n", Cause::Invalid),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", Cause::Broken),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Cause::Broken),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n", Cause::Invalid),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", Cause::Invalid),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: compress\r\ncontent-length: 2\r\n\r\nok", Cause::Invalid),
        ("HTTP/1.1 101 Other\r\nupgrade: x\r\n\r\n", Cause::Invalid),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream, "one").await;
            stream.write_all(reply.as_bytes()).await.unwrap();
        });
        assert_eq!(whole(&net(), call(port, "one")).await.unwrap_err(), want, "{reply:?}");
        server.await.unwrap();
    }
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(whole(&net(), call(unused, "one")).await.unwrap_err(), Cause::Connect);
}
