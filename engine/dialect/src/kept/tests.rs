use super::*;
use crate::classify::{Unclassified, classify};
use http::{HeaderMap, HeaderValue, header};
use weir_message::{Replace, TextRole, Usage};

fn request(operation: Operation, path: &str, kind: &'static str, body: impl Into<Bytes>) -> Request {
    let mut request = Request::new("r", Dialect::OpenAi, operation, path.to_owned());
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    request.raw = body.into();
    request
}

const FORM: &str = "multipart/form-data; boundary=b";

/// A form with a purpose and a file.
fn upload(purpose: &str, file: impl AsRef<[u8]>) -> Request {
    let mut body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file.as_ref());
    body.extend_from_slice(b"\r\n--b--\r\n");
    request(Operation::File, "/v1/files", FORM, body)
}

fn line(model: &str, says: &str) -> String {
    format!(
        r#"{{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{{"model":"{model}","messages":[{{"role":"user","content":"{says}"}}]}}}}"#
    )
}

fn said(request: &Request) -> Vec<(TextRole, String)> {
    let mut out = Vec::new();
    request.each_text(|at| out.push((at.role, at.text.as_str().to_owned())));
    out
}

#[test]
fn paths_are_told_apart_by_their_segments_and_by_the_header_of_a_dialect() {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let cases = [
        (&post, "/v1/files", false, Some((Dialect::OpenAi, Operation::File, None))),
        (&post, "/v1/files", true, Some((Dialect::Anthropic, Operation::File, None))),
        (&delete, "/v1/files/file-a", false, Some((Dialect::OpenAi, Operation::File, Some("file-a")))),
        (&get, "/v1/files/file-a/content", false, Some((Dialect::OpenAi, Operation::File, Some("file-a")))),
        (&get, "/anthropic/v1/files/f", false, Some((Dialect::Anthropic, Operation::File, Some("f")))),
        (&post, "/v1/batches/b/cancel", false, Some((Dialect::OpenAi, Operation::Batch, Some("b")))),
        (
            &get,
            "/v1/messages/batches/m/results",
            false,
            Some((Dialect::Anthropic, Operation::Batch, Some("m"))),
        ),
        (&get, "/v1/responses/resp_1", false, Some((Dialect::OpenAi, Operation::Response, Some("resp_1")))),
        (&get, "/v1/responses/r/input_items", false, Some((Dialect::OpenAi, Operation::Response, Some("r")))),
        (&post, "/v1/responses/r/cancel", false, Some((Dialect::OpenAi, Operation::Response, Some("r")))),
        (&post, "/v1/responses", false, Some((Dialect::OpenAi, Operation::Response, None))),
        (&get, "/v1/files/a/b/content", false, None),
        (&get, "/v1/files//content", false, None),
        (&get, "/v1/files/", false, None),
        (&get, "/v1/responses/a/b", false, None),
    ];
    for (method, path, has_version, want) in cases {
        let mut headers = HeaderMap::new();
        if has_version {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        let found = classify(method, path, &headers);
        let got = found.clone().ok().map(|route| (route.dialect, route.operation, route.item));
        let want = want.map(|(dialect, operation, item)| (dialect, operation, item.map(Into::into)));
        assert_eq!(got, want, "{method} {path}: {found:?}");
    }
    let wrong = classify(&post, "/v1/files/file-a/content", &HeaderMap::new());
    assert_eq!(wrong, Err(Unclassified::BadMethod { allow: "GET" }));
}

#[test]
fn every_string_of_lines_forms_and_texts_is_read_and_can_be_changed_where_it_stands() {
    let lines = format!("{}\n\n{}\r\n", line("m", "one"), line("m", "two"));
    let mut request = upload("batch", &lines);
    crate::decode(&mut request).unwrap();
    let users: Vec<String> = said(&request)
        .into_iter()
        .filter(|(role, _)| *role == TextRole::User)
        .map(|(_, text)| text)
        .collect();
    assert_eq!(users, ["one", "two"]);
    let index = said(&request).iter().position(|(_, text)| text == "two").unwrap();
    assert!(request.edit_text(index, &[Replace::new(0..3, "a \"b\"\r\n--b--\r\n")]));
    let out = outgoing(&request).unwrap();
    let text = std::str::from_utf8(&out).unwrap();
    assert!(
        text.contains(r#""content":"a \"b\"\r\n--b--\r\n""#) && text.contains(r#""content":"one""#),
        "{text}"
    );

    let mut plain = upload("user_data", "the words");
    crate::decode(&mut plain).unwrap();
    let want = [(TextRole::Input, "the words".to_owned()), (TextRole::Field, "user_data".to_owned())];
    assert_eq!(said(&plain), want);
    assert!(plain.edit_text(0, &[Replace::new(4..9, "deeds")]));
    assert!(outgoing(&plain).unwrap().windows(9).any(|window| window == b"the deeds"));
    // What would begin a field of its own is not put together.
    let field = "\r\n--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch";
    plain.edit_text(0, &[Replace::new(0..9, field)]);
    assert_eq!(outgoing(&plain).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn what_cannot_be_read_is_told_so_and_what_has_no_body_has_no_texts() {
    let opaque = |mut request: Request| {
        crate::decode(&mut request).unwrap();
        request.body == Body::Opaque
    };
    let http = |kind, body: &'static [u8]| request(Operation::Http, "/v1/x", kind, body);
    assert!(opaque(upload("user_data", b"%PDF-1.7 \xE2\xE3\xCF\xD3")));
    assert!(opaque(upload("user_data", b"a\0b")), "UTF-16 of ASCII is UTF-8 with zeros");
    for kind in
        ["application/octet-stream", "text/plain; charset=utf-16", "application/x-www-form-urlencoded"]
    {
        assert!(opaque(http(kind, b"a=\xFF")), "{kind}");
    }
    assert!(opaque(http("application/x-www-form-urlencoded", b"a=secret%2Dword")));
    assert!(!opaque(http("application/json", b"{\"a\":\"b\"}")));
    assert!(!opaque(http("text/csv", b"a,b")));
    let mut packed = http("application/json", b"{}");
    packed.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("deflate"));
    assert!(opaque(packed));
    let mut none = request(Operation::File, "/v1/files", "application/json", "");
    crate::decode(&mut none).unwrap();
    assert_eq!((none.body.clone(), said(&none)), (Body::Words(Vec::new()), Vec::new()));
    let mut broken = http("application/json", b"{\"a\":");
    assert_eq!(crate::decode(&mut broken).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn the_models_of_a_batch_are_renamed_line_by_line_and_a_line_without_one_is_refused() {
    let renamed_to = |request: &Request| {
        let body = request.raw.clone();
        let mut asked = Vec::new();
        let out = renamed(request, &body, |line| {
            asked.push((line.operation, line.model.to_string()));
            Ok(format!("up/{}", line.model))
        });
        out.map(|out| (String::from_utf8(out.to_vec()).unwrap(), asked))
    };
    let file = upload("batch", format!("{}\n{}", line("a", "x"), line("b", "model")));
    assert!(asks_many(&file).unwrap());
    let (out, asked) = renamed_to(&file).unwrap();
    assert!(out.contains(r#""model":"up/a""#) && out.contains(r#""model":"up/b""#), "{out}");
    assert_eq!(asked, [(Operation::Chat, "a".to_owned()), (Operation::Chat, "b".to_owned())]);

    let mut batch = request(
        Operation::Batch,
        "/v1/messages/batches",
        "application/json",
        r#"{"requests":[{"custom_id":"1","params":{"model":"c","messages":[]}}]}"#,
    );
    batch.dialect = Dialect::Anthropic;
    assert!(asks_many(&batch).unwrap());
    assert!(renamed_to(&batch).unwrap().0.contains(r#""model":"up/c""#));

    for file in [
        "",
        "not JSON",
        r#"{"url":"/v1/chat/completions","body":{}}"#,
        r#"{"url":"/v1/chat/completions","body":{"model":"a","model":"b"}}"#,
        r#"{"url":"/v1/chat/completions","body":{"model":"a"},"Body":{"model":"b"}}"#,
        r#"{"url":"/v1/elsewhere","body":{"model":"a"}}"#,
        r#"{"url":"/anthropic/v1/messages","body":{"model":"a"}}"#,
        r#"{"body":{"model":"a"}}"#,
        "[\"a\"]",
    ] {
        assert_eq!(renamed_to(&upload("batch", file)).unwrap_err().code, ErrorCode::BadRequest, "{file}");
    }
    assert!(!asks_many(&upload("user_data", "x")).unwrap());
    let twice =
        upload("user_data\r\n--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch", "x");
    assert!(asks_many(&twice).is_err());
    assert!(asks_many(&request(Operation::File, "/v1/files", "application/json", "{}")).is_err());
}

#[test]
fn ids_are_found_where_they_name_something_and_nowhere_else() {
    let found = |ids: Vec<Id>| ids.into_iter().map(|id| id.id.to_string()).collect::<Vec<_>>();
    let body = r#"{"input_file_id":"file-a","metadata":{"note":"file-b","file_id":"other"},"file_ids":["file-c"],"id":"msg_1"}"#;
    let batch = request(Operation::Batch, "/v1/batches", "application/json", body);
    assert_eq!(found(request_ids(&batch).unwrap()), ["file-a", "file-c"]);
    let swapped = with_ids(&batch.raw, &request_ids(&batch).unwrap(), |id| Some(id.to_uppercase()));
    assert_eq!(swapped, body.replace("file-a", "FILE-A").replace("file-c", "FILE-C"));
    let file = upload("batch", "{\"body\":{\"previous_response_id\":\"resp_1\"}}\n{\"id\":\"file-z\"}");
    assert_eq!(found(request_ids(&file).unwrap()), ["resp_1", "file-z"]);

    let response =
        |body: &'static str| request(Operation::Response, "/v1/responses", "application/json", body);
    for (body, files, want) in [
        (r#"{"input":"a","previous_response_id":"whatever"}"#, false, vec!["whatever"]),
        (r#"{"input":"a","conversation":{"id":"conv_1"}}"#, true, vec!["conv_1"]),
        (r#"{"input":"a","conversation":"conv_1"}"#, true, vec!["conv_1"]),
        (r#"{"input":"a","conversation":"conv_1"}"#, false, vec![]),
        (r#"{"input":[{"content":[{"type":"input_file","file_id":"file-a"}]}]}"#, false, vec![]),
        (r#"{"input":[{"content":[{"type":"input_file","file_id":"file-a"}]}]}"#, true, vec!["file-a"]),
        (r#"{"input":[{"content":[{"type":"input_file","file\u005fid":"file-a"}]}]}"#, true, vec!["file-a"]),
        (r#"{"input":"file_id","tools":[{"vector_store_ids":["vs_1"]}]}"#, true, vec![]),
        (r#"{"input":"previous_response_id"}"#, false, vec![]),
    ] {
        assert_eq!(found(sealed_ids(&response(body), files).unwrap()), want, "{body} {files}");
    }
    // A name with a meaning is not taken in other letters.
    let mut odd = response(r#"{"input":"a","previous\u005fresponse_id":"resp_1"}"#);
    assert!(crate::read_head(&mut odd).is_err() && crate::decode(&mut odd).is_err());

    let reply = Bytes::from_static(
        br#"{"id":"resp_1","output":[{"id":"msg_1","content":[{"text":"{\"id\":\"resp_2\"}"}]}],"previous_response_id":"resp_0"}"#,
    );
    assert_eq!(found(reply_ids(Operation::Response, &reply)), ["resp_1", "resp_0"]);
    let event = Bytes::from_static(b"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"previous_response_id\":null}}\n\n");
    assert_eq!(found(event_ids(&event)), ["resp_1"]);
    let delta =
        Bytes::from_static(b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"resp_1\"}\n\n");
    assert_eq!(event_ids(&delta), []);
}

#[test]
fn of_a_list_only_what_is_wanted_stays() {
    let raw = Bytes::from_static(
        br#"{"object":"list","data":[{"id":"a"}, {"id":"b","x":[1]},{"id":"c"}],"last_id":"c"}"#,
    );
    let found = list(&raw).unwrap();
    assert_eq!(found.ids.len(), 3);
    let (at, literal) = only(&raw, &found, &[false, true, false]).unwrap();
    assert_eq!(&*literal, r#"[{"id":"b","x":[1]}]"#);
    assert_eq!(&raw[at.start as usize..at.end as usize], br#"[{"id":"a"}, {"id":"b","x":[1]},{"id":"c"}]"#);
    assert_eq!(&*only(&raw, &found, &[false; 3]).unwrap().1, "[]");
    assert_eq!(list(&Bytes::from_static(b"{\"data\":1}")), None);
}

#[test]
fn results_say_what_each_request_spent() {
    let openai = concat!(
        r#"{"id":"b","custom_id":"1","response":{"status_code":200,"body":{"model":"m-1","usage":{"prompt_tokens":3,"completion_tokens":4}}}}"#,
        "\n",
        r#"{"id":"b","custom_id":"2","response":{"status_code":200,"body":{"object":"response","model":"m-2","usage":{"input_tokens":5,"output_tokens":6}}}}"#,
        "\n",
        r#"{"id":"b","custom_id":"3","response":null,"error":{"code":"x"}}"#,
        "\n",
    );
    let of = |model: &str, input, output| Spent {
        model: model.into(),
        usage: Usage { input, output, ..Usage::default() },
    };
    assert_eq!(spent(Dialect::OpenAi, &Bytes::from(openai)), [of("m-1", 3, 4), of("m-2", 5, 6)]);
    let anthropic = r#"{"custom_id":"1","result":{"type":"succeeded","message":{"model":"c","content":[],"usage":{"input_tokens":7,"output_tokens":8}}}}"#;
    assert_eq!(spent(Dialect::Anthropic, &Bytes::from(anthropic)), [of("c", 7, 8)]);
    assert_eq!(spent(Dialect::OpenAi, &Bytes::from(line("m", "x"))), [], "requests are no results");
    assert_eq!(spent(Dialect::OpenAi, &Bytes::from_static(b"\xFF")), []);
}

#[test]
fn paths_that_another_server_would_mend_are_disguised() {
    for path in [
        "/v1//x",
        "/v1/./x",
        "/v1/../x",
        "/v1/%2e%2E/x",
        "/v1/a%2fb",
        "/v1/a%5Cb",
        "/v1/x/",
        "/v1/chat/completions/",
        "/V1/Chat/Completions",
        "/v1/%63hat/completions",
        "/v1/a;b",
        "/v1/a\\b",
        "/v1/%zz",
        "/v1/%252e",
        "v1/x",
    ] {
        assert!(is_disguised(path), "{path}");
    }
    for path in ["/v1/vector_stores", "/v1/fine_tuning/jobs/ftjob-1/events", "/v1beta/cachedContents/a"] {
        assert!(!is_disguised(path), "{path}");
    }
}
