//! Log-probabilities spell a reply's words once more: in every dialect they go with the words that a stage changes, and no others.

use crate::*;
use weir_message::{Event, Replace};

/// Whole replies whose first choice says `to carl`, with log-probabilities; where a second one says `bye`, with its own.
const REPLIES: [(Dialect, Operation, &str); 5] = [
    (
        Dialect::OpenAi,
        Operation::Response,
        r#"{"status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","logprobs":[{"token":"to carl"}],"text":"to carl"}]}]}"#,
    ),
    (
        Dialect::OpenAi,
        Operation::Chat,
        r#"{"choices":[{"index":0,"message":{"content":"to carl"},"logprobs":{"content":[{"token":"to carl"}]}},{"index":1,"logprobs":{"content":[{"token":"bye"}]},"message":{"content":"bye"}}]}"#,
    ),
    (
        Dialect::OpenAi,
        Operation::Completion,
        r#"{"choices":[{"index":0,"text":"to carl","logprobs":{"tokens":["to carl"]}},{"index":1,"text":"bye","logprobs":{"tokens":["bye"]}}]}"#,
    ),
    (
        Dialect::Cohere,
        Operation::Chat,
        r#"{"message":{"content":[{"type":"text","text":"to carl"}]},"logprobs":[{"text":"to carl","token_ids":[1],"logprobs":[-1]}]}"#,
    ),
    (
        Dialect::Gemini,
        Operation::Chat,
        r#"{"candidates":[{"content":{"parts":[{"text":"to carl"}]},"logprobsResult":{"chosenCandidates":[{"token":"to carl"}]}},{"content":{"parts":[{"text":"bye"}]},"logprobsResult":{"chosenCandidates":[{"token":"bye"}]}}]}"#,
    ),
];

#[test]
fn what_repeats_edited_words_of_a_reply_goes_and_what_repeats_others_stays() {
    for (dialect, operation, body) in REPLIES {
        let mut reply = Reply::new(200, body);
        decode_reply(&mut reply, dialect, operation).unwrap();
        assert_eq!((&reply.outgoing()[..], reply.has_lost_repeats()), (body.as_bytes(), false));
        assert!(reply.edit_text(0, &[Replace::new(3..7, "X")]), "{dialect} {operation}");
        let out = String::from_utf8(reply.outgoing().to_vec()).unwrap();
        assert!(reply.has_lost_repeats() && !out.contains("carl"), "{dialect} {operation}: {out}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
        assert_eq!(out.matches("bye").count(), body.matches("bye").count(), "{dialect} {operation}: {out}");
    }
}

/// Streams of two events with log-probabilities, of which the first says `carl` and the second `bye`; the first is laid out over two
/// lines of data where the dialect's framing is SSE.
const STREAMS: [(Dialect, Operation, &str); 5] = [
    (
        Dialect::OpenAi,
        Operation::Response,
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"logprobs\":[\ndata: {\"token\":\"carl\"}],\"delta\":\"carl\"}\n\n\
         data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"bye\",\"logprobs\":[{\"token\":\"bye\"}]}\n\n",
    ),
    (
        Dialect::OpenAi,
        Operation::Chat,
        "data: {\"choices\":[{\"index\":0,\"logprobs\":{\"content\":[\ndata: {\"token\":\"carl\"}]},\"delta\":{\"content\":\"carl\"}}]}\n\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"bye\"},\"logprobs\":{\"content\":[{\"token\":\"bye\"}]}}]}\n\n",
    ),
    (
        Dialect::OpenAi,
        Operation::Completion,
        "data: {\"choices\":[{\"index\":0,\"text\":\"carl\",\"logprobs\":{\"tokens\":[\ndata: \"carl\"]}}]}\n\n\
         data: {\"choices\":[{\"index\":0,\"text\":\"bye\",\"logprobs\":{\"tokens\":[\"bye\"]}}]}\n\n",
    ),
    (
        Dialect::Cohere,
        Operation::Chat,
        "data: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"carl\"}}},\"logprobs\":{\"text\":\ndata: \"carl\"}}\n\n\
         data: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"bye\"}}},\"logprobs\":{\"text\":\"bye\"}}\n\n",
    ),
    (
        Dialect::Gemini,
        Operation::Chat,
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"carl\"}]},\"logprobsResult\":{\"chosenCandidates\":[\ndata: {\"token\":\"carl\"}]}}]}\n\n\
         data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"bye\"}]},\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"bye\"}]}}]}\n\n",
    ),
];

fn events(dialect: Dialect, operation: Operation, stream: &'static str) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(dialect, operation, Level::Text).unwrap();
    decoder.push(Bytes::from_static(stream.as_bytes()));
    std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
}

fn sent(event: &Event) -> String {
    String::from_utf8(event.outgoing().to_vec()).unwrap()
}

#[test]
fn what_repeats_edited_words_of_an_event_goes_and_what_repeats_others_stays() {
    for (dialect, operation, stream) in STREAMS {
        let mut events = events(dialect, operation, stream);
        assert_eq!(events.iter().map(sent).collect::<String>(), stream, "{dialect} {operation}");
        assert!(events[0].set_delta(0, "X"));
        let out = sent(&events[0]);
        assert!(events[0].has_lost_repeats() && !out.contains("carl"), "{dialect} {operation}: {out}");
        let data: String = out.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        serde_json::from_str::<serde_json::Value>(&data).unwrap_or_else(|why| panic!("{why}: {out}"));
        assert!(!events[1].has_lost_repeats() && sent(&events[1]).matches("bye").count() == 2);
    }
}

#[test]
fn events_that_tell_a_response_once_more_repeat_no_words_that_a_stage_changed() {
    let part = r#"{"type":"output_text","text":"carl","logprobs":[{"token":"carl"}]}"#;
    let item = format!(r#"{{"type":"message","role":"assistant","content":[{part}]}}"#);
    let at = r#""output_index":0,"content_index":0"#;
    let told = [
        format!(
            r#"{{"type":"response.output_text.delta",{at},"delta":"carl","logprobs":[{{"token":"carl"}}]}}"#
        ),
        format!(
            r#"{{"type":"response.output_text.done",{at},"text":"carl","logprobs":[{{"token":"carl"}}]}}"#
        ),
        format!(r#"{{"type":"response.content_part.done",{at},"part":{part}}}"#),
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#),
        format!(r#"{{"type":"response.completed","response":{{"status":"completed","output":[{item}]}}}}"#),
    ];
    let stream: String = told.iter().map(|data| format!("data: {data}\n\n")).collect();
    for edits in [false, true] {
        let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Response, Level::Text).unwrap();
        let mut encoder = StreamEncoder::new(Dialect::OpenAi, Operation::Response, Identity::default());
        decoder.push(Bytes::from(stream.clone()));
        let mut out = String::new();
        while let Some(mut event) = decoder.next_event().unwrap() {
            if edits && !event.deltas.is_empty() {
                assert!(event.set_delta(0, "X"));
            }
            out.push_str(std::str::from_utf8(&encoder.send(&event)).unwrap());
        }
        match edits {
            true => assert!(!out.contains("carl") && out.matches("\"X\"").count() == 5, "{out}"),
            false => assert_eq!(out, stream),
        }
    }
}

#[test]
fn what_repeats_words_of_other_events_goes_unasked() {
    let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":{\"content\":[{\"token\":\"carl\"}]}}]}\n\n";
    let event = &events(Dialect::OpenAi, Operation::Chat, stream)[0];
    assert!(event.has_lost_repeats() && !sent(event).contains("carl"));
}
