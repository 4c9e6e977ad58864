//! The requests that are sent.

/// The model of the requests.
pub(crate) const MODEL: &str = "small";
/// A model that all gateways have in their catalogues.
pub(crate) const KNOWN: &str = "gpt-4o-mini";

/// A chat request whose body is about `size` bytes.
pub(crate) fn plain(size: usize) -> Vec<u8> {
    chat(MODEL, "", "\"max_tokens\":200", &prose(size.saturating_sub(140)))
}

/// A chat request for a stream of `events`, `pace` microseconds apart.
pub(crate) fn stream(events: u64, pace: u64) -> Vec<u8> {
    chat(MODEL, "", &streamed(events, pace), &prose(800))
}

/// Both, for a model that all gateways know; `headers` are lines with their ends.
pub(crate) fn known(headers: &str, events: Option<u64>) -> Vec<u8> {
    let settings = match events {
        Some(events) => streamed(events, 1000),
        None => "\"max_tokens\":200".to_owned(),
    };
    chat(KNOWN, headers, &settings, &prose(800))
}

fn streamed(events: u64, pace: u64) -> String {
    format!("\"stream\":true,\"max_tokens\":{events},\"seed\":{pace}")
}

/// A chat request with one user turn.
pub(crate) fn asking(question: &str) -> Vec<u8> {
    chat(MODEL, "", "\"max_tokens\":200", question)
}

fn chat(model: &str, headers: &str, settings: &str, text: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"model":"{model}",{settings},"messages":[{{"role":"system","content":"Answer briefly."}},{{"role":"user","content":"{text}"}}]}}"#
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\naccept: */*\r\nuser-agent: weir-bench\r\nx-team: river\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn prose(size: usize) -> String {
    const TEXT: &str = "A weir measures a river and governs its flow; \\\"measure\\\" comes first.\\n";
    TEXT.repeat(size / TEXT.len() + 1)
}

/// About 250 ways to ask one question: other words, the same meaning, so that none is answered from a memory of texts.
pub(crate) fn paraphrases() -> Vec<String> {
    let before =
        ["", "please tell me ", "hello, ", "hi there, ", "i wonder ", "do tell me ", "so, ", "well, "];
    let asked = ["how do i change", "how can i change", "how does one change", "how to change"];
    let after = ["", "?", " please", " thanks", " in the app", " on the website", " easily", " quickly"];
    let mut out = Vec::new();
    for before in before {
        for asked in asked {
            out.extend(after.iter().map(|after| format!("{before}{asked} my profile picture{after}")));
        }
    }
    out
}
