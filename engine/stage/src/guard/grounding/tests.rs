use crate::guard::pii::gateway::{Went, refused, says, send, stream};
use serde_json::{Value, json};
use weir_message::Operation;

fn has_models() -> bool {
    std::env::var_os("WEIR_MODELS").is_none_or(|value| value != "none")
}

const GIVEN: &str = "The Falcon kettle boils one litre in 3 minutes. Its warranty is 24 months from the day of purchase. \
                     It is made in Portugal of stainless steel. Returns are free within 30 days.";

fn body(stream: bool) -> Value {
    json!({ "model": "m", "stream": stream, "messages": [
        { "role": "user", "content": "Tell me about the kettle." },
        { "role": "tool", "tool_call_id": "c", "content": GIVEN },
    ] })
}

fn ask(with: &str, reply: &str) -> Went {
    send(&format!("{{ guard: grounding, with: {{ {with} }} }}"), Operation::Chat, &body(false), says(reply))
}

#[test]
fn what_is_given_supports_a_sentence_and_what_is_made_up_is_found() {
    if !has_models() {
        return;
    }
    for (reply, status) in [
        ("The Falcon kettle needs 3 minutes to boil a litre.", 200),
        ("It has a warranty of 24 months after the purchase. It is stainless steel, made in Portugal.", 200),
        ("You can return it for free within 30 days. Is there anything else?", 200),
        ("The warranty of the kettle is 36 months.", 403),
        ("The Falcon kettle was invented by Maria Santos in Lisbon.", 403),
        ("It has a warranty of 24 months. The kettle won a design award in Milan.", 403),
        ("Sure, let me see.", 200),
    ] {
        let went = ask("", reply);
        assert_eq!(went.status, status, "{reply}: {:?}", went.trace.stages[0].facts);
    }
    let went = ask("then: observe", "The warranty of the kettle is 36 months.");
    assert!(
        went.status == 200 && went.fact("reply_score").as_f64().unwrap() > 0.5,
        "{:?}",
        went.trace.stages
    );
    let bare = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let went =
        send("{ guard: grounding }", Operation::Chat, &bare, says("The kettle won a design award in Milan."));
    assert_eq!(went.status, 200, "where nothing is given nothing is judged");
}

#[test]
fn of_a_stream_each_sentence_is_judged_before_it_goes_out() {
    if !has_models() {
        return;
    }
    let good = "It has a warranty of 24 months after the purchase. It is made in Portugal.";
    for (said, passes) in
        [(good.to_owned(), true), (format!("{good} The kettle won a design award in Milan in 2019."), false)]
    {
        let pieces = said.split_inclusive(' ').map(|piece| json!({ "content": piece }));
        let went = send("{ guard: grounding }", Operation::Chat, &body(true), stream(pieces));
        assert_eq!(
            (went.text() == said, went.body.contains("content-denied")),
            (passes, !passes),
            "{}",
            went.body
        );
        assert!(!went.body.contains("Milan"), "{}", went.body);
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (with, want) in [("context: []", "nothing counts as given"), ("then: tag", "go together")] {
        let said = refused(&format!("{{ guard: grounding, with: {{ {with} }} }}"));
        assert!(said.contains(want), "{with}: {said}");
    }
}
