//! A webhook that judges: it denies texts that hold one word, and puts another in the place of a second.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Where it denies, by the path: `/deny/WORD` denies, `/edit/WORD/ANOTHER` edits.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers the questions of one connection until it ends.
fn serve(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = question(&mut reader) {
        let answer = judge(&path, &serde_json::from_slice(&body).unwrap()).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if writer.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

fn question(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut path, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()?
            }
            _ if path.is_none() => path = line.split(' ').nth(1).map(str::to_owned),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path?, body))
}

fn judge(path: &str, question: &Value) -> Value {
    let texts = question["texts"].as_array().unwrap();
    let text = |one: &Value| one["text"].as_str().unwrap().to_owned();
    let whole = |one: &Value| format!("{}{}", one["before"].as_str().unwrap_or_default(), text(one));
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "deny", word] if texts.iter().any(|one| whole(one).contains(word)) => {
            json!({ "verdict": "deny", "reason": "a word" })
        }
        ["", "edit", word, another] => {
            let edits = texts.iter().enumerate().flat_map(|(n, one)| {
                let text = text(one);
                let found: Vec<usize> = text.match_indices(word).map(|(at, _)| text[..at].chars().count()).collect();
                found.into_iter().map(move |at| json!({ "text": n, "start": at, "end": at + word.chars().count(), "with": another }))
            });
            json!({ "verdict": "edit", "edits": edits.collect::<Vec<_>>() })
        }
        _ => json!({ "verdict": "allow" }),
    }
}
