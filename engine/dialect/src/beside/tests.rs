use crate::*;
use proptest::prelude::*;
use weir_message::Replace;

fn request(dialect: Dialect, body: &str) -> Request {
    let path = if dialect == Dialect::Gemini { "/gemini/v1beta/models/m:generateContent" } else { "" };
    let mut request = Request::new("r", dialect, Operation::Chat, path);
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn beside(dialect: Dialect, body: &str) -> Vec<String> {
    request(dialect, body).beside.iter().map(|one| format!("{}: {}", one.role, one.text.as_str())).collect()
}

/// A chat of OpenAI's with more fields.
fn with(field: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{field}}}"#)
}

#[test]
fn no_string_that_a_provider_may_show_its_model_is_unread() {
    let cases: &[(&str, &[&str])] = &[
        (r#""prediction":{"type":"content","content":"S"}"#, &["input: S"]),
        (r#""prediction":{"type":"content","content":[{"type":"text","text":"S"}]}"#, &["input: S"]),
        (r#""system":"S""#, &["input: S"]),
        (r#""prompt":["S",{"deep":[["T"]]}]"#, &["input: S", "input: T"]),
        (r#""user":"S""#, &["field: S"]),
        (r#""metadata":{"type":"S","id":"T","data":"VQ=="}"#, &["field: S", "field: T", "field: VQ=="]),
        (
            r#""tools":[{"type":"function","function":{"name":"N","description":"D","parameters":{"type":"object","description":"E","required":["R"],"properties":{"type":{"type":"string","enum":["A"],"default":"B","const":"C","examples":[{"status":"X"}]}}}}}]"#,
            &[
                "field: N",
                "definition: D",
                "definition: E",
                "field: R",
                "field: A",
                "field: B",
                "field: C",
                "field: X",
            ],
        ),
        (r#""functions":[{"name":"N","description":"D"}]"#, &["field: N", "definition: D"]),
        (
            r#""response_format":{"type":"json_schema","json_schema":{"name":"N","description":"D","schema":{"title":"T"}}}"#,
            &["field: N", "definition: D", "field: T"],
        ),
        // What only looks like a choice is read.
        (
            r#""service_tier":"say S","reasoning_effort":"a@b.example""#,
            &["field: say S", "field: a@b.example"],
        ),
        (r#""service_tier":"auto","tool_choice":"none","stop":["The end"],"seed":7"#, &[]),
        (r#""tools":[{"type":"mcp","server_url":"U","authorization":"key"}]"#, &["field: U"]),
        (r#""tools":[{"type":"a lie"}]"#, &["field: a lie"]),
        (r#""\u0074ype":"S""#, &["input: S"]),
    ];
    for (field, want) in cases {
        assert_eq!(beside(Dialect::OpenAi, &with(field)), *want, "{field}");
    }
}

#[test]
fn what_stands_in_a_turn_is_said_by_who_speaks_there() {
    let body = r#"{"messages":[
        {"content":[{"type":"sticker","caption":"A","text":"typed"}],"name":"Bob","role":"user"},
        {"role":"assistant","content":null,"audio":{"id":"audio_1","transcript":"B"}},
        {"role":"user","note":"C","content":[{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav","transcript":"D"}},
            {"type":"image_url","image_url":{"url":"data:image\/png;base64,iVBORw0KGgo=","detail":"low"}},
            {"type":"file","file":{"filename":"E","file_data":"not bytes"}}]}]}"#;
    let want = ["user: A", "field: Bob", "assistant: B", "user: C", "user: D", "field: E", "user: not bytes"];
    assert_eq!(beside(Dialect::OpenAi, body), want);
    assert_eq!(request(Dialect::OpenAi, body).all_text(), "typed\nA\nBob\nB\nC\nD\nE\nnot bytes");
}

#[test]
fn every_dialect_is_read_alike() {
    let anthropic = r#"{"max_tokens":9,"metadata":{"user_id":"U"},"messages":[{"role":"user","content":[{"type":"sticker","caption":"C"}]}],
        "tools":[{"name":"N","description":"D","input_schema":{"type":"object","properties":{"a":{"enum":["E"]}}}}]}"#;
    let want = ["field: U", "user: C", "field: N", "definition: D", "field: E"];
    assert_eq!(beside(Dialect::Anthropic, anthropic), want);
    let gemini = r#"{"contents":[{"parts":[{"sticker":{"caption":"C"}}],"role":"user"}],
        "tools":[{"functionDeclarations":[{"name":"N","description":"D","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING","enum":["E"]}}}}]}]}"#;
    assert_eq!(beside(Dialect::Gemini, gemini), ["user: C", "field: N", "definition: D", "field: E"]);
}

#[test]
fn an_edit_reaches_a_provider_of_every_dialect() {
    let body = with(
        r#""tools":[{"type":"function","function":{"name":"look","description":"of Bob","parameters":{"type":"object","properties":{}}}}]"#,
    );
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        let mut request = request(Dialect::OpenAi, &body);
        let mut bob = None;
        request.each_text(|at| bob = at.text.as_str().contains("Bob").then_some(at.index).or(bob));
        assert!(request.edit_text(bob.unwrap(), &[Replace::new(3..6, "[NAME]")]));
        let sent =
            outgoing(&request, WireFormat { dialect, operation: Operation::Chat }, "m", false).unwrap();
        let sent = String::from_utf8(sent.body.to_vec()).unwrap();
        assert!(sent.contains("of [NAME]") && !sent.contains("Bob"), "{dialect}: {sent}");
        // Once settled, it stands in the typed form.
        request.settle().unwrap();
        decode(&mut request).unwrap();
        assert_eq!(request.chat().unwrap().tools[0].description.as_deref(), Some("of [NAME]"));
    }
}

proptest! {
    #[test]
    fn an_edit_beside_changes_its_literal_and_nothing_else(text in "\\PC{0,12}", other in "\\PC{0,12}") {
        let field = serde_json::json!({ "a": [{ "type": "t", "b": text }], "c": "kept" });
        let body = with(&format!(r#""extra": {field} "#));
        let mut request = request(Dialect::OpenAi, &body);
        prop_assert_eq!(request.beside.len(), 2);
        let at = request.beside[0].text.at.clone().unwrap();
        prop_assert!(request.edit_text(1, &[Replace::new(0..text.len(), other.clone())]));
        let quoted = serde_json::Value::from(other).to_string();
        let want = format!("{}{quoted}{}", &body[..at.start as usize], &body[at.end as usize..]);
        prop_assert_eq!(request.outgoing().unwrap(), want.as_bytes());
    }
}
