use super::*;
use crate::guard::pii::gateway::{Went, cut, message, refused, says, send, stream, user};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_message::Operation;

fn words(list: &[&str], allow: &[&str], parts: bool) -> Arc<Words> {
    let mut entries = Entries::default();
    entries.places.begin("entry {} of `words`".to_owned());
    let mut forbidden = 0;
    for (n, word) in list.iter().chain(allow).enumerate() {
        if n == list.len() {
            forbidden = entries.texts.len();
        }
        let mut text = String::new();
        fold(word, false, |_, char| text.push(char));
        entries.texts.push(text);
        entries.places.add(n + 1);
    }
    let forbidden = if allow.is_empty() { entries.texts.len() } else { forbidden };
    Words::shared(entries, forbidden, parts).unwrap()
}

fn found<'a>(finder: &Words, text: &'a str) -> Vec<&'a str> {
    finder.find(text).into_iter().map(|(range, _)| text.get(range).unwrap()).collect()
}

#[test]
fn words_are_found_however_they_are_written_and_parts_of_others_are_not() {
    let list = words(
        &[
            "Acme",
            "Globex Corp",
            "Ford",
            "Straße",
            "C++",
            ".NET",
            "三星",
            "Müller",
            "ТНК",
            "삼성",
            "👎",
            "เบียร์",
        ],
        &["Ford Foundation"],
        false,
    );
    for (text, want) in [
        ("buy ACME's best", &["ACME"][..]),
        ("Ａｃｍｅ and A\u{200b}c\u{ad}me", &["Ａｃｍｅ", "A\u{200b}c\u{ad}me"]),
        ("acmes, pacme, acme_2", &[]),
        ("globex \n\t corp.", &["globex \n\t corp"]),
        ("globexcorp", &[]),
        ("the Ford Foundation and Ford", &["Ford"]),
        ("Fordham, Ford", &["Ford"]),
        ("STRASSE, strasse", &["STRASSE", "strasse"]),
        ("c++ or .net, abc++ or asp.net", &["c++", ".net", ".net"]),
        ("我买三星手机", &["三星"]),
        ("MU\u{308}LLER müller muller", &["MU\u{308}LLER", "müller"]),
        ("тнк", &["тнк"]),
        ("삼성은 크다, 대삼성", &["삼성"]),
        ("no 👎👎", &["👎", "👎"]),
        ("ขอเบียร์หน่อย", &["เบียร์"]),
        ("", &[]),
    ] {
        assert_eq!(found(&list, text), want, "{text}");
    }
    assert_eq!(found(&words(&["cat", "cat house"], &[], true), "concat, Cat House"), ["cat", "Cat House"]);
    assert_eq!(found(&words(&["ﬁre"], &[], false), "fire ﬁre"), ["fire", "ﬁre"]);
}

fn chat(guard: &str, body: &Value, reply: String) -> Went {
    send(guard, Operation::Chat, body, reply)
}

#[test]
fn a_word_denies_is_masked_replaced_counted_or_tagged() {
    let with =
        |then: &str| format!("{{ guard: words, with: {{ files: [list.txt], words: [Hooli], {then} }} }}");
    let text = "Acme, hooli and GLOBEX  corp";
    let denied = chat(&with("message: not them"), &user(text), says("ok"));
    assert_eq!((denied.status, denied.sent.is_none()), (403, true));
    assert!(denied.body.contains("not them") && denied.body.contains("content-denied"), "{}", denied.body);
    for (then, want) in [
        ("then: mask", "[REMOVED], [REMOVED] and [REMOVED]"),
        ("then: replace, replacement: we", "we, we and we"),
        ("then: observe", text),
        ("then: tag, tag: rival", text),
        ("then: mask, match_case: true", "[REMOVED], hooli and GLOBEX  corp"),
        ("then: mask, roles: [assistant]", text),
    ] {
        let went = chat(&with(then), &user(text), says("by Acme"));
        assert_eq!(went.sent.as_ref().unwrap()["messages"][0]["content"], want, "{then}");
        let told = serde_json::to_string(&went.trace.stages[0].facts).unwrap();
        assert!(!told.to_lowercase().contains("hooli") && !told.to_lowercase().contains("globex"), "{told}");
        assert_eq!(
            went.trace.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
            match then.contains("tag") {
                true => vec!["rival"],
                false => vec![],
            }
        );
    }
    let went = chat(&with("then: observe"), &user("a hooli, hooli"), says("by Acme"));
    let want = json!([{ "what": "holds entry 1 of `words`", "role": "user", "message": 0, "count": 2 }]);
    assert_eq!((went.fact("matches"), went.fact("found")), (json!(2), want));
    let want =
        json!([{ "what": "holds line 2 of `list.txt`", "role": "assistant", "choice": 0, "count": 1 }]);
    assert_eq!(went.fact("reply_found"), want);
}

#[test]
fn streams_and_arguments_are_searched_however_they_are_cut() {
    let guard = "{ guard: words, with: { files: [list.txt], allow: [Acme Foundation], then: mask } }";
    let said = "by A\u{200b}cme, Globex\nCorp: the Acme Foundation, ＩＮＩＴＥＣＨ and acmes of Acme";
    let want = "by [REMOVED], [REMOVED]: the Acme Foundation, [REMOVED] and acmes of [REMOVED]";
    assert_eq!(chat(guard, &user("hi"), says(said)).text(), want);
    let mut body = user("hi");
    body["stream"] = json!(true);
    for at in 1..said.len() {
        let reply = stream(cut(said, at).into_iter().map(|piece| json!({ "content": piece })));
        assert_eq!(chat(guard, &body, reply).text(), want, "cut at {at}");
    }
    let chars = said.chars().map(|char| json!({ "content": char.to_string() }));
    assert_eq!(chat(guard, &body, stream(chars)).text(), want);
    let call = |arguments: &str| json!({ "index": 0, "id": "c", "type": "function", "function": { "name": "send", "arguments": arguments } });
    let arguments = r#"{"to":"\u0041cme","n":1}"#;
    let whole = message(&json!({ "role": "assistant", "content": null, "tool_calls": [call(arguments)] }));
    assert_eq!(chat(guard, &user("hi"), whole).arguments(), r#"{"to":"[REMOVED]","n":1}"#);
    for at in 1..arguments.len() {
        let pieces = cut(arguments, at).into_iter().map(|piece| json!({ "tool_calls": [call(piece)] }));
        assert_eq!(
            chat(guard, &body, stream(pieces)).arguments(),
            r#"{"to":"[REMOVED]","n":1}"#,
            "cut at {at}"
        );
    }
    let tags = "{ guard: words, with: { files: [list.txt], then: tag, tag: rival } }";
    let went = chat(tags, &body, stream([json!({ "content": "by Ac" }), json!({ "content": "me" })]));
    assert_eq!((went.text().as_str(), went.trace.tags.len()), ("by Acme", 1));
}

#[test]
fn stages_below_read_the_tags() {
    let guards = "{ guard: words, with: { words: [acme], then: tag, tag: rival } }\n      - { guard: no-rivals, when: '\"rival\" in tags', cel: 'false' }";
    assert_eq!(chat(guards, &user("by Acme"), says("ok")).status, 403);
    assert_eq!(chat(guards, &user("by us"), says("ok")).status, 200);
    let shadow = guards.replacen("} }", "}, mode: shadow }", 1);
    let went = chat(&shadow, &user("by Acme"), says("ok"));
    assert_eq!((went.status, went.fact("tag"), went.trace.tags.len()), (200, json!("rival"), 0));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (with, want) in [
        ("{}", "no words"),
        ("{ words: ['  '] }", "number 1 is no word"),
        ("{ files: [lst.txt] }", "did you mean `list.txt`?"),
        ("{ files: [../up.txt] }", "is not a file that a set holds"),
        ("{ files: [policy.yaml] }", "is not a file that a set holds"),
        ("{ words: [a], then: replace }", "go together"),
        ("{ words: [a], then: tag }", "go together"),
        ("{ words: [a], tag: b }", "go together"),
        ("{ words: [a], then: tag, tag: '' }", "no tag"),
        ("{ words: [a], on: [] }", "looks nowhere"),
    ] {
        let said = refused(&format!("{{ guard: words, with: {with} }}"));
        assert!(said.contains(want), "{with}: {said}");
    }
    let long = "a".repeat(300);
    let said = refused(&format!("{{ guard: words, with: {{ words: [ok, {long}] }} }}"));
    assert!(said.contains("number 2 is longer"), "{said}");
}

#[test]
fn a_hundred_thousand_entries_are_searched_at_once() {
    let list: Vec<String> = (0..99_999).map(|n| format!("word{n}x")).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let finder = words(&list, &[], false);
    assert_eq!(found(&finder, "word7x word99998x word99999x word12"), ["word7x", "word99998x"]);
    assert!(Arc::ptr_eq(&finder, &words(&list, &[], false)), "the same list is kept once");
}

proptest! {
    #[test]
    fn finds_lie_in_the_text_and_what_a_stream_passes_early_holds_none(text in ".{0,60}", more in ".{0,60}") {
        let finder = words(&["a", "b c", "é", "三"], &["a b c"], false);
        let both = format!("{text}{more}");
        let passed = finder.growing(&text);
        prop_assert!(text.is_char_boundary(passed));
        let mut end = 0;
        for (range, _) in finder.find(&both) {
            prop_assert!(both.get(range.clone()).is_some() && range.start >= end);
            end = range.end;
        }
        // What is let go now is found now as it is found with all that follows.
        let early = |text: &str| {
            let found = finder.find(text).into_iter().map(|(range, _)| range);
            found.filter(|range| range.end <= passed).collect::<Vec<_>>()
        };
        prop_assert_eq!(early(&text), early(&both));
    }
}
