//! Gemini's format, by recorded payloads and by properties.

mod pairs;
mod properties;
mod replies;
mod requests;
mod streams;

use crate::*;
use weir_message::Event;

const CHAT: &str = include_str!("../testdata/chat.json");
const REPLY: &str = include_str!("../testdata/reply.json");
const STREAM: &str = include_str!("../testdata/stream.sse");

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

fn unread(path: &str, body: &str) -> Request {
    let route = classify(&http::Method::POST, path, &HeaderMap::new()).unwrap();
    let mut request = Request::new("r", route.dialect, route.operation, path.to_owned());
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    request
}

fn request(path: &str, body: &str) -> Request {
    let mut request = unread(path, body);
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn of_openai(operation: Operation, body: &str) -> Request {
    let mut request = Request::new("r", Dialect::OpenAi, operation, "");
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn reply(dialect: Dialect, body: &str) -> Reply {
    let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
    decode_reply(&mut reply, dialect, Operation::Chat).unwrap_or_else(|fault| panic!("{fault:?}"));
    reply
}

fn format(dialect: Dialect, operation: Operation) -> WireFormat {
    WireFormat { dialect, operation }
}

/// What goes out to a provider, as JSON.
fn sent(request: &Request, to: Dialect, model: &str) -> (serde_json::Value, Vec<&'static str>) {
    let out = outgoing(request, format(to, request.operation), model, false).unwrap();
    let dropped = out.dropped.iter().map(|one| one.feature).collect();
    (serde_json::from_slice(&out.body).unwrap(), dropped)
}

fn identity(asked: &str) -> Identity {
    Identity { id: "r".into(), model: "m".into(), created: 7, asked: asked.into() }
}

fn events(level: Level, stream: &str) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Dialect::Gemini, Operation::Chat, level).unwrap();
    decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
    std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
}

#[test]
fn paths_at_the_root_and_below_the_prefix_are_told_from_openais() {
    let headers = HeaderMap::new();
    let route = |method: http::Method, path: &str| classify(&method, path, &headers);
    let chat = |stream| {
        Ok(Route { dialect: Dialect::Gemini, operation: Operation::Chat, item: Some("m".into()), stream })
    };
    let (get, post) = (http::Method::GET, http::Method::POST);
    assert_eq!(route(post.clone(), "/gemini/v1beta/models/m:generateContent"), chat(false));
    assert_eq!(route(post.clone(), "/v1beta/models/m:streamGenerateContent"), chat(true));
    // OpenAI has the path for another method.
    assert_eq!(route(post.clone(), "/v1/models/m:generateContent"), chat(false));
    let dialect = |route: Result<Route, Unclassified>| route.map(|route| (route.dialect, route.operation));
    assert_eq!(dialect(route(get.clone(), "/v1/models")), Ok((Dialect::OpenAi, Operation::Model)));
    assert_eq!(dialect(route(get.clone(), "/v1beta/models")), Ok((Dialect::Gemini, Operation::Model)));
    let google = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-goog-api-key"),
        http::HeaderValue::from_static("k"),
    )]);
    assert_eq!(
        dialect(classify(&get, "/v1/models/m", &google)),
        Ok((Dialect::Gemini, Operation::Model)),
        "a key in Google's header decides"
    );
    assert_eq!(
        dialect(route(post.clone(), "/gemini/v1beta/models/m:embedContent")),
        Ok((Dialect::Gemini, Operation::Embedding))
    );
    assert_eq!(
        dialect(route(post.clone(), "/gemini/v1beta/models/m:countTokens")),
        Ok((Dialect::Gemini, Operation::Count))
    );
    assert_eq!(route(get, "/v1beta/models/m:countTokens"), Err(Unclassified::BadMethod { allow: "POST" }));
    assert_eq!(route(post.clone(), "/gemini/v1beta/files"), Err(Unclassified::UnknownPath));
    assert_eq!(dialect_at("/gemini/v1beta/files", &headers), Dialect::Gemini);
    assert_eq!(dialect_at("/v1beta/models/m:generateContent", &headers), Dialect::Gemini);
    assert_eq!(dialect_at("/v1/nothing", &headers), Dialect::OpenAi);
}

#[test]
fn lists_of_models_and_errors_are_json_as_google_writes_it() {
    let list: serde_json::Value =
        serde_json::from_slice(&models_list(Dialect::Gemini, ["a", "b\""], 7)).unwrap();
    assert_eq!(list["models"][1]["name"], "models/b\"");
    let one: serde_json::Value = serde_json::from_slice(&model_one(Dialect::Gemini, "b\"", 7)).unwrap();
    assert_eq!(list["models"][1], one);
    let fault = Fault::new(ErrorCode::BadRequest, "no").param("contents");
    let body = error_body(Dialect::Gemini, &ErrorBody::of_fault(&fault, "r1"));
    assert_eq!(
        body,
        r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"bad-request","domain":"weir","metadata":{"requestId":"r1","field":"contents"}}]}}"#
    );
    let read = provider_error(Dialect::Gemini, 400, &HeaderMap::new(), &body);
    assert_eq!((read.cause, &*read.excerpt), (Cause::Rejected, "no"));
}

#[test]
fn a_providers_error_is_mapped_to_a_cause() {
    let cases = [
        (
            400,
            r#"{"error":{"code":400,"message":"The input token count (1049000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            Cause::ContextTooLong,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
            Cause::Unauthorized,
        ),
        (400, r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#, Cause::Rejected),
        (403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#, Cause::Unauthorized),
        (
            404,
            r#"{"error":{"code":404,"message":"models/x is not found","status":"NOT_FOUND"}}"#,
            Cause::NotFound,
        ),
        (
            500,
            r#"{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}"#,
            Cause::ServerError,
        ),
        (503, "<html>", Cause::Overloaded),
        (504, "", Cause::Timeout),
        (
            200,
            r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
            Cause::Overloaded,
        ),
        (200, r#"{"error":{"code":429}}"#, Cause::RateLimited),
    ];
    for (status, body, want) in cases {
        let error = provider_error(Dialect::Gemini, status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.cause, want, "{status} {body}");
    }
    let body = r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.Help"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#;
    let error = provider_error(Dialect::Gemini, 429, &HeaderMap::new(), body.as_bytes());
    assert_eq!((error.cause, error.retry_after), (Cause::RateLimited, Some(Duration::from_millis(34_500))));
}

#[test]
fn recorded_payloads_hold_what_fuzzing_asks() {
    for payload in [CHAT, REPLY, STREAM] {
        let bytes = payload.as_bytes();
        let holds = |bytes: &[u8]| {
            fuzzing::request(Dialect::Gemini, bytes)
                && fuzzing::reply(Dialect::Gemini, bytes)
                && fuzzing::stream(Dialect::Gemini, bytes)
        };
        assert!(holds(bytes));
        // Cut anywhere.
        for end in (0..bytes.len()).step_by(7) {
            assert!(holds(&bytes[..end]), "{end}");
        }
    }
}
