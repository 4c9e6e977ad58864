//! HTTP/2 without TLS, by prior knowledge: plain, streamed, many at once, and a stream that is reset.

use crate::two::{self, connect, run};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Response;
use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Set, chat, entry, eventually};

const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1" }
models:
  fast: { targets: [{ provider: lab, model: m-1 }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - guard: words
        cel: request.text != "forbidden"
      - route: requested
"#;

fn start() -> (Provider, Gateway) {
    let provider = Provider::start();
    let gateway = Gateway::start(Set::of(Some(provider.address), POLICY));
    (provider, gateway)
}

/// Sends a chat and waits for the head of its reply.
async fn ask(send: &SendRequest<Bytes>, body: &Value) -> Response<h2::RecvStream> {
    let headers = [("content-type", "application/json"), ("x-request-id", "two-1")];
    two::post(send, "/v1/chat/completions", &headers, body.to_string().into_bytes()).await.unwrap()
}

async fn text(response: Response<h2::RecvStream>) -> String {
    two::whole(response).await.unwrap().text()
}

#[test]
fn answers_plain_and_streamed_and_refuses_in_openais_shape() {
    let (provider, gateway) = start();
    provider.always(entry(json!({ "reply": "hello there" })));
    run(async {
        let send = connect(gateway.edge).await;
        let reply = ask(&send, &chat("fast", "hi", false)).await;
        assert_eq!(reply.status(), 200);
        assert!(reply.headers().contains_key("x-weir-revision"));
        assert!(text(reply).await.contains("hello there"));
        let reply = ask(&send, &chat("fast", "hi", true)).await;
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        assert!(text(reply).await.ends_with("data: [DONE]\n\n"));
        let reply = ask(&send, &chat("fast", "forbidden", false)).await;
        assert_eq!(reply.status(), 403);
        assert!(text(reply).await.contains("\"code\":\"denied\""));
    });
}

#[test]
fn many_requests_share_a_connection() {
    let (provider, gateway) = start();
    provider.always(entry(json!({ "mirror": "user" })));
    run(async {
        let send = connect(gateway.edge).await;
        let bodies: Vec<Value> = (0..100).map(|n| chat("fast", &format!("word-{n}."), n % 2 == 0)).collect();
        let replies =
            futures::future::join_all(bodies.iter().map(|body| async { text(ask(&send, body).await).await }))
                .await;
        for (n, reply) in replies.iter().enumerate() {
            assert!(reply.contains(&format!("word-{n}.")), "{n}: {reply}");
        }
    });
}

#[test]
fn a_reset_stream_cancels_its_upstream_and_no_other() {
    let (provider, gateway) = start();
    provider.answers(vec![
        entry(json!({ "events": ["one ", { "delay": "10s" }, "two"] })),
        entry(json!({ "reply": "fine" })),
    ]);
    run(async {
        let send = connect(gateway.edge).await;
        let reply = ask(&send, &chat("fast", "hi", true)).await;
        let mut body = reply.into_body();
        body.data().await.unwrap().unwrap();
        drop(body);
        let other = ask(&send, &chat("fast", "hi", false)).await;
        assert!(text(other).await.contains("fine"));
        eventually("the upstream's cancellation", || {
            provider.seen().calls.first().and_then(|call| call.gone_at)
        });
    });
}
