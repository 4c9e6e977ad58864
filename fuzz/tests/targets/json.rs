//! Requests, replies and errors in JSON: what decodes is sent as it came, and texts that are written anew read the same.

use crate::{grow, replay};
use weir_message::Dialect;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\ud83d",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1e400",
    "1.5",
    "18446744073709551616",
    "\"model\":\"echo\"",
    "\"messages\":[",
    "\"role\":\"user\"",
    "\"content\":",
    "\"text\"",
    "\"type\":\"text\"",
    "\"tool_calls\":[",
    "\"function\":{",
    "\"arguments\":\"{}\"",
    "\"input\":[",
    "\"prompt\":",
    "\"stream\":true",
    "\"stream_options\":{}",
    "\"usage\":{",
    "\"prompt_tokens\":1",
    "\"choices\":[",
    "\"finish_reason\":\"stop\"",
    "\"error\":{",
    "\"code\":\"context_length_exceeded\"",
    "\"data\":[",
    "\"embedding\":[0.5]",
    "\"contents\":[",
    "\"parts\":[",
    "\"functionCall\":{\"args\":{",
    "\"functionResponse\":{\"name\":\"f\",\"response\":{",
    "\"systemInstruction\":{",
    "\"system_instruction\":{",
    "\"candidates\":[",
    "\"groundingMetadata\":{",
    "\u{feff}",
    "\u{0}",
    "é",
    "𝄞",
    " ",
    "\n",
];

fn check(input: &[u8]) {
    for dialect in Dialect::ALL.iter().copied() {
        assert!(weir_dialect::fuzzing::request(dialect, input), "a request of {dialect} changed on its way");
        assert!(
            weir_dialect::fuzzing::reply(dialect, input),
            "a reply of {dialect} did not read as it should"
        );
    }
}

#[test]
fn json_corpus() {
    replay("json", check);
}

#[test]
fn json_grown() {
    grow("json", WORDS, check);
}
