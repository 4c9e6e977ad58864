//! Tokens against a token endpoint and a provider of this process, on a clock that stands still.

use crate::NetUpstream;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use http::{HeaderMap, Method};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_dialect::Hosting;
use weir_message::{Cause, Dialect};
use weir_pipeline::{
    Access, AuthScheme, Call, Clock, Credential, Endpoint, Grant, Provider, Timeouts, TokenSource, Upstream,
};

/// A clock that is set.
#[derive(Default)]
struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn unix_nanos(&self) -> i64 {
        i64::try_from(self.now().as_nanos()).unwrap()
    }

    fn sleep(&self, _time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// What the server does, and what it saw.
struct Server {
    /// The answer of the token endpoint: status and body; `N` in it is the number of the question.
    token: (u16, &'static str),
    /// The token that the provider does not take, if any.
    revoked: Option<&'static str>,
    questions: Vec<String>,
    shown: Vec<String>,
}

struct Bench {
    upstream: NetUpstream,
    clock: Arc<Set>,
    server: Arc<Mutex<Server>>,
    port: u16,
}

const HOUR: &str = r#"{"access_token":"t-N","expires_in":3600,"token_type":"Bearer"}"#;

impl Bench {
    async fn new(token: (u16, &'static str)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Arc::new(Mutex::new(Server { token, revoked: None, questions: vec![], shown: vec![] }));
        let shared = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        let clock = Arc::new(Set::default());
        Self { upstream: NetUpstream::new(Arc::clone(&clock) as Arc<dyn Clock>), clock, server, port }
    }

    fn at(&self, seconds: u64) {
        self.clock.0.store(seconds, Ordering::SeqCst);
    }

    fn source(&self, secret: &str) -> TokenSource {
        let grant =
            Grant::Client { id: "me".into(), secret: secret.to_owned(), scope: "a b/.default".into() };
        TokenSource { endpoint: self.endpoint("/token"), grant }
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        Endpoint::at(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    fn call(&self, source: TokenSource) -> Call {
        let credential = Credential::default();
        credential.set_source(source);
        let timeouts = Timeouts::default();
        let provider = Provider {
            name: "p".into(),
            row: None,
            dialect: Dialect::OpenAi,
            has_responses: false,
            access: Access::Http(self.endpoint("/v1")),
            auth: AuthScheme::Bearer,
            credential: Arc::new(credential),
            is_available: true,
            headers: HeaderMap::new(),
            hosting: Hosting::default(),
            region: None,
            drops_unsupported: false,
            timeouts,
        };
        Call {
            provider: Arc::new(provider),
            model: "m".into(),
            attempt: 1,
            method: Method::POST,
            path: "/chat".into(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"hello"),
            timeouts,
            decode: true,
            body_limit: 1000,
        }
    }

    /// The status of one call, its body read; or why it failed.
    async fn send(&self) -> Result<u16, (Cause, String)> {
        let call = self.call(self.source("s3"));
        let answer = self.upstream.send(call).await.map_err(|error| (error.cause, error.detail))?;
        let status = answer.status;
        answer.body.for_each(|_| async {}).await;
        Ok(status)
    }

    fn questions(&self) -> usize {
        self.server.lock().unwrap().questions.len()
    }

    fn last_shown(&self) -> String {
        self.server.lock().unwrap().shown.last().cloned().unwrap_or_default()
    }
}

async fn serve(mut stream: TcpStream, server: Arc<Mutex<Server>>) {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(buffer.drain(..at + 4).collect()).unwrap();
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
            line.split_once(": ").map(|(_, value)| value.to_owned())
        };
        let len: usize = header("content-length").map_or(0, |len| len.parse().unwrap());
        while buffer.len() < len {
            assert!(stream.read_buf(&mut buffer).await.unwrap() > 0);
        }
        let body = String::from_utf8(buffer.drain(..len).collect()).unwrap();
        let (status, body) = {
            let mut server = server.lock().unwrap();
            if head.contains(" /token") {
                server.questions.push(format!("{head}{body}"));
                (server.token.0, server.token.1.replace('N', &server.questions.len().to_string()))
            } else {
                let shown = header("authorization").unwrap_or_default();
                server.shown.push(shown.clone());
                (
                    if server.revoked.is_some_and(|one| shown.ends_with(one)) { 401 } else { 200 },
                    "{}".to_owned(),
                )
            }
        };
        let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn many_calls_at_once_ask_for_one_token_and_later_ones_for_none() {
    let bench = Bench::new((200, HOUR)).await;
    let all = join_all((0..20).map(|_| bench.send())).await;
    assert!(all.iter().all(|status| *status == Ok(200)), "{all:?}");
    assert_eq!((bench.questions(), bench.last_shown().as_str()), (1, "Bearer t-1"));
    let asked = bench.server.lock().unwrap().questions[0].clone();
    assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    let form = "grant_type=client_credentials&client_id=me&client_secret=s3&scope=a+b%2F.default";
    assert!(asked.ends_with(form) && asked.contains("application/x-www-form-urlencoded"), "{asked}");
    bench.at(3000);
    assert_eq!((bench.send().await, bench.questions()), (Ok(200), 1));
}

#[tokio::test]
async fn a_token_is_renewed_behind_the_calls_before_it_ends_and_awaited_once_it_has() {
    let bench = Bench::new((200, HOUR)).await;
    assert_eq!(bench.send().await, Ok(200));
    bench.at(3400);
    assert_eq!((bench.send().await, bench.last_shown().as_str()), (Ok(200), "Bearer t-1"));
    while bench.questions() < 2 {
        tokio::task::yield_now().await;
    }
    // The new one is there once a call shows it.
    while bench.last_shown() != "Bearer t-2" {
        assert_eq!(bench.send().await, Ok(200));
    }
    assert_eq!(bench.questions(), 2);
    bench.at(20_000);
    assert_eq!((bench.send().await, bench.last_shown().as_str()), (Ok(200), "Bearer t-3"));
}

#[tokio::test]
async fn a_renewal_that_fails_is_left_alone_for_a_while_and_calls_go_on_with_what_holds() {
    let bench = Bench::new((200, HOUR)).await;
    assert_eq!(bench.send().await, Ok(200));
    bench.server.lock().unwrap().token = (503, "{}");
    bench.at(3400);
    for _ in 0..20 {
        assert_eq!((bench.send().await, bench.last_shown().as_str()), (Ok(200), "Bearer t-1"));
    }
    assert_eq!(bench.questions(), 2);
    bench.at(20_000);
    let (cause, detail) = bench.send().await.unwrap_err();
    assert_eq!((cause, detail.as_str()), (Cause::ServerError, "getting a token: the status 503"));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let bench = Bench::new((200, HOUR)).await;
    assert_eq!(bench.send().await, Ok(200));
    bench.server.lock().unwrap().revoked = Some("t-1");
    assert_eq!((bench.send().await, bench.questions()), (Ok(200), 2));
    // One that is new and refused all the same is the account's fault.
    bench.server.lock().unwrap().revoked = Some("");
    assert_eq!((bench.send().await, bench.questions()), (Ok(401), 3));
}

#[tokio::test]
async fn what_goes_wrong_is_told_without_secrets() {
    let cases = [
        (400, r#"{"error":"invalid_client","error_description":"the secret s3 of me"}"#, Cause::Unauthorized),
        (429, "{}", Cause::RateLimited),
        (200, r#"{"token":"s3"}"#, Cause::Invalid),
        (200, "<html>s3", Cause::Invalid),
    ];
    for (status, body, cause) in cases {
        let bench = Bench::new((status, body)).await;
        let (got, detail) = bench.send().await.unwrap_err();
        assert_eq!(got, cause, "{detail}");
        assert!(!detail.contains("s3") && bench.last_shown().is_empty(), "{detail}");
        assert_eq!(detail.contains("invalid_client"), status == 400, "{detail}");
    }
}

#[tokio::test]
async fn a_service_account_signs_and_a_machine_says_who_it_is() {
    let bench = Bench::new((200, r#"{"access_token":"t-N","expires_in":"3600"}"#)).await;
    let signed = Grant::Signed {
        issuer: "me@p.example".into(),
        key_id: None,
        private_key: include_str!("testdata/signs.pem").to_owned(),
        audience: "https://t.example".into(),
        scope: "all",
    };
    for grant in [signed, Grant::Machine] {
        let source = TokenSource { endpoint: bench.endpoint("/token"), grant };
        let answer = bench.upstream.send(bench.call(source)).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    let server = bench.server.lock().unwrap();
    let start = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey";
    assert!(server.questions[0].contains(start), "{}", server.questions[0]);
    assert!(server.questions[1].starts_with("GET /token HTTP/1.1\r\n"), "{}", server.questions[1]);
    assert!(server.questions[1].to_ascii_lowercase().contains("metadata-flavor: google"));
    assert_eq!(server.shown, ["Bearer t-1", "Bearer t-2"]);
}
