//! Forms, and what sound says.

use crate::*;
use weir_message::Replace;

const AUDIO: &str = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nfast\r\n\
    --b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nto bob\r\n\
    --b\r\nContent-Disposition: form-data; name=\"temperature\"\r\n\r\n0.5\r\n\
    --b\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\nde\r\n\
    --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nto bob \u{1}\r\n--b--\r\n";

fn form(path: &str, body: &str) -> Request {
    let route = classify(&http::Method::POST, path, &HeaderMap::new()).unwrap();
    let mut request = Request::new("r", Dialect::OpenAi, route.operation, path);
    request.headers.insert(http::header::CONTENT_TYPE, "multipart/form-data; boundary=b".parse().unwrap());
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    request
}

fn own(request: &Request) -> WireFormat {
    WireFormat::of(request)
}

#[test]
fn the_words_of_a_form_are_read_and_changed_where_they_stand() {
    let mut request = form("/v1/audio/transcriptions", AUDIO);
    read_head(&mut request).unwrap();
    assert_eq!(request.model(), "fast");
    decode(&mut request).unwrap();
    assert_eq!(request.all_text(), "to bob");
    assert_eq!(request.params.get("temperature").map(|json| &**json), Some("0.5"));
    assert_eq!(request.params.get("language").map(|json| &**json), Some("\"de\""));
    let as_it_came = outgoing(&request, own(&request), "fast", false).unwrap();
    assert_eq!((as_it_came.path.as_str(), &as_it_came.body), ("/audio/transcriptions", &request.raw));
    assert!(request.edit_text(0, &[Replace::new(3..6, "\"X\"")]));
    let out = outgoing(&request, own(&request), "whisper-1", false).unwrap();
    let want = AUDIO.replacen("fast", "whisper-1", 1).replacen("to bob", "to \"X\"", 1);
    assert_eq!(out.body, want);
    request.set_model("other");
    assert_eq!(request.model(), "other");
}

#[test]
fn words_in_fields_that_are_not_known_are_read_too_and_changed_where_they_stand() {
    let field = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = [
        ("prompt", "a"),
        ("hint", "to bob"),
        ("temperature", "0.5"),
        ("response_format", "verbose_json"),
        ("known_speaker_names[]", "carl"),
        ("known_speaker_names[]", "dora"),
        ("known_speaker_references[]", "data:audio/wav;base64,aGk="),
        ("timestamp_granularities[]", "word"),
        ("chunking_strategy", "{\"type\":\"server_vad\"}"),
    ];
    let body: String = body.iter().map(|(name, value)| field(name, value)).collect::<String>() + "--b--\r\n";
    let mut request = form("/v1/audio/transcriptions", &body);
    decode(&mut request).unwrap();
    let said: Vec<String> = request.texts().into_iter().map(|(_, _, text)| text.to_string()).collect();
    assert_eq!(said, ["a", "to bob", "carl", "dora", "{\"type\":\"server_vad\"}"]);
    assert!(
        request.edit_text(1, &[Replace::new(3..6, "X")]) && request.edit_text(3, &[Replace::new(0..4, "Y")])
    );
    let out = outgoing(&request, own(&request), "m", false).unwrap();
    let model = field("model", "m");
    assert_eq!(out.body, model + &body.replacen("bob", "X", 1).replacen("dora", "Y", 1));
}

#[test]
fn a_form_without_a_model_is_sent_with_the_targets() {
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\nx\r\n--b--\r\n";
    let mut request = form("/v1/images/variations", body);
    decode(&mut request).unwrap();
    let out = outgoing(&request, own(&request), "dall-e-2", false).unwrap();
    assert_eq!(out.path, "/images/variations");
    let want = format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ndall-e-2\r\n{body}");
    assert_eq!(out.body, want);
}

#[test]
fn no_edit_begins_a_field_of_its_own() {
    let mut request = form("/v1/audio/transcriptions", AUDIO);
    decode(&mut request).unwrap();
    let smuggled = "x\r\n--b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue";
    assert!(request.set_text(0, smuggled));
    assert_eq!(outgoing(&request, own(&request), "m", false).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn what_is_no_plain_form_is_refused_with_the_field() {
    let field = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n")
    };
    let twice = AUDIO.replace("language", "prompt");
    for (body, param) in [
        (field("stream", "true"), Some("stream")),
        (field("Prompt", "x"), Some("prompt")),
        (field("prompt\"; filename=\"x", "x"), Some("prompt")),
        (twice, Some("prompt")),
        ("{}".to_owned(), None),
    ] {
        let mut request = form("/v1/audio/translations", &body);
        let fault = read_head(&mut request).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, param), "{body}");
    }
    let mut bare = form("/v1/audio/translations", "{}");
    bare.headers.clear();
    assert_eq!(decode(&mut bare).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn a_transcript_is_read_in_each_of_its_forms() {
    let pieces =
        r#"{"duration":"1.5","text":"to bob","segments":[{"text":"to bob"}],"words":[{"word":"bob"}]}"#;
    let tokens = r#"{"text":"to bob","usage":{"type":"tokens","input_tokens":9,"input_token_details":{"audio_tokens":7},"output_tokens":2}}"#;
    let seconds = r#"{"text":"to bob","usage":{"type":"duration","seconds":2}}"#;
    let heard = |millis| Some(Usage { millis, ..Usage::default() });
    let counted = Usage { input: 9, audio_input: 7, output: 2, ..Usage::default() };
    for (body, usage) in [
        (pieces, heard(1500)),
        (tokens, Some(counted)),
        (seconds, heard(2000)),
        ("1\n00:00 --> 00:01\nto bob\n", None),
    ] {
        let mut reply = Reply::new(200, body);
        decode_reply(&mut reply, Dialect::OpenAi, Operation::Transcription).unwrap();
        assert_eq!(reply.usage, usage, "{body}");
        let text = reply.text();
        let at = text.find("bob").unwrap();
        assert!(reply.edit_text(0, &[Replace::new(at..at + 3, "X")]));
        let out = String::from_utf8(reply.outgoing().to_vec()).unwrap();
        assert!(out.contains("to X") && !out.contains("bob"), "{out}");
        if body.starts_with('{') {
            serde_json::from_str::<serde_json::Value>(&out).unwrap();
        }
    }
}

#[test]
fn forms_hold_what_fuzzing_asks() {
    let bytes = AUDIO.as_bytes();
    assert!(fuzzing::request(Dialect::OpenAi, bytes) && fuzzing::reply(Dialect::OpenAi, bytes));
    for end in 0..bytes.len() {
        assert!(fuzzing::request(Dialect::OpenAi, &bytes[..end]), "{end}");
        let mut other = bytes.to_vec();
        other[end] ^= 1;
        assert!(fuzzing::request(Dialect::OpenAi, &other), "{end}");
    }
}
