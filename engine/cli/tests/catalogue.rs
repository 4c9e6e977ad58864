//! Every file of the catalogue fits the schema that is published for it, and `weir models check` asks over the wire.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use weir_diagnostic::{Diagnostics, Sources};

#[test]
fn every_file_fits_the_schema() {
    let fits = |name: &str, text: &str| {
        let mut sources = Sources::default();
        let mut found = Diagnostics::new();
        let source = sources.add(name, text);
        let node = weir_policy::read(source, text, &mut found).unwrap();
        weir_policy::bind::<weir_catalog::ProviderFile>(&node, &mut found);
        weir_diagnostic::render(&sources, &found, false)
    };
    for (name, text) in weir_catalog::FILES {
        assert_eq!(fits(name, text), "no problems\n");
    }
    let (_, echo) = weir_catalog::FILES.iter().find(|(name, _)| *name == "echo").unwrap();
    assert!(
        fits("echo", &echo.replace("context:", "contxt:")).contains("contxt"),
        "the schema refuses nothing"
    );
}

/// What `weir models check` says of a provider that answers so, its exit code, and what it was asked.
fn check(answer: &'static str) -> (String, Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut piece = [0; 1024];
        while !asked.ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "the question ends too early");
            asked.extend_from_slice(&piece[..n]);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["models", "check", "poolside", "--base-url", &base])
        .args(["--format", "json"])
        .env("POOLSIDE_API_KEY", "secret-key")
        .output();
    let output = output.unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (said, output.status.code(), server.join().unwrap())
}

#[test]
fn a_provider_is_asked_with_its_key_and_compared() {
    let catalogue = weir_catalog::Catalogue::builtin();
    let known = catalogue.provider("poolside").unwrap().models.first().unwrap().name.clone();
    let answer = format!(r#"{{"object":"list","data":[{{"id":"{known}"}},{{"id":"brand-new"}}]}}"#);
    let (said, code, asked) = check(answer.leak());
    assert!(asked.starts_with("GET /v1/models HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("authorization: bearer secret-key\r\n"), "{asked}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["known"], 1);
    assert_eq!(said["new"], serde_json::json!(["brand-new"]));
    let gone = said["gone"].as_array().unwrap();
    assert!(!gone.is_empty() && !gone.contains(&known.into()), "{said}");
    assert_eq!(code, Some(1), "rows that are gone are bad");
}

#[test]
fn an_answer_that_is_no_list_is_said_and_never_the_key() {
    let (said, code, _) = check("<html>busy</html>");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("no JSON") && !said.contains("secret-key"), "{said}");
}
