use super::*;
use crate::guard::pii::gateway::{Went, cut, refused, says, send, stream, user};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_message::Operation;

fn urls(allow: &[&str], deny: &[&str]) -> Urls {
    let list = |list: &[&str]| list.iter().map(|host| (*host).to_owned()).collect();
    Urls { allow: list(allow), deny: list(deny), images: false, query: 20 }
}

/// A text with all finds stripped.
fn stripped(finder: &Urls, text: &str) -> String {
    let mut out = text.to_owned();
    for (range, number) in finder.find(text).into_iter().rev() {
        out.replace_range(range.clone(), &finder.rewrite(number, text.get(range).unwrap()));
    }
    out
}

#[test]
fn links_and_images_of_untrusted_hosts_are_found_however_they_are_written() {
    let finder = urls(&["acme.com"], &["bad.acme.com"]);
    for (text, want) in [
        (
            "see https://acme.com/a, https://docs.acme.com/b.",
            "see https://acme.com/a, https://docs.acme.com/b.",
        ),
        ("see https://evil.com/a, or so", "see [LINK REMOVED], or so"),
        ("(https://evil.com/a_(b))", "([LINK REMOVED])"),
        ("https://notacme.com https://bad.acme.com", "[LINK REMOVED] [LINK REMOVED]"),
        ("https://acme.com.evil.com", "[LINK REMOVED]"),
        ("https://acme.com@evil.com", "[LINK REMOVED]"),
        ("<https://evil.com>", "[LINK REMOVED]"),
        ("www.evil.com and www.acme.com", "[LINK REMOVED] and www.acme.com"),
        ("![x](https://evil.com/i?d=1 \"t\") y", " y"),
        ("![x]( <https://evil.com/i> )", ""),
        ("![a [b] c](https://evil.com/(i))", ""),
        ("[the words](https://evil.com)", "the words"),
        ("[docs](https://acme.com/x)", "[docs](https://acme.com/x)"),
        ("[![i](https://evil.com/i)](https://acme.com)", "[](https://acme.com)"),
        ("[![i](https://evil.com/i) x](https://evil.com)", " x"),
        ("![x][1]\n\n[1]: https://evil.com/i?d=s", "![x][1]\n\n[LINK REMOVED]"),
        ("![x](//evil.com/i)", ""),
        ("![x](\\\\evil.com/i)", ""),
        ("![x](h&#116;tps://evil.com)", ""),
        ("![x](/local.png) [y](#top)", "![x](/local.png) [y](#top)"),
        ("![x](data:image/png;base64,aGk=)", "![x](data:image/png;base64,aGk=)"),
        ("[x](javascript:alert(1))", "x"),
        ("<img src=\"https://evil.com/i\">", ""),
        ("<IMG alt='>' SRC=//evil.com/i >", ""),
        ("<img srcset='https://acme.com/a 1x, https://evil.com/b 2x'>", ""),
        ("<div style=\"background:url(https://evil.com/i)\">x</div>", "x</div>"),
        ("<a href='https://evil.com'>x</a>", "x</a>"),
        ("<img src=https://acme.com/i>", "<img src=https://acme.com/i>"),
        ("a < b > c [d] (e) f: g", "a < b > c [d] (e) f: g"),
        ("postgres://db:5432/x", "postgres://db:5432/x"),
    ] {
        assert_eq!(stripped(&finder, text), want, "{text}");
    }
}

#[test]
fn without_a_list_images_and_addresses_that_carry_data_are_found() {
    let finder = urls(&[], &[]);
    for (text, want) in [
        ("[x](https://any.com/page?id=7)", None),
        ("https://any.com/page", None),
        ("![x](https://any.com/i)", Some("may show an image of a host that is not allowed")),
        (
            "[x](https://any.com/?d=aGVsbG8gd29ybGQgaGVsbG8)",
            Some("links to a host that is not allowed, with data in the address"),
        ),
        (
            "[x](https://any.com/aGVsbG8gd29ybGQgaGVsbG8/)",
            Some("links to a host that is not allowed, with data in the address"),
        ),
        ("https://me:secret@any.com/", Some("links to a user or password in the address")),
        ("[1]: https://any.com/i", Some("may show an image of a host that is not allowed")),
    ] {
        let found = finder.find(text);
        assert_eq!(found.first().map(|(_, number)| finder.says(*number)).as_deref(), want, "{text}");
    }
}

fn chat(guard: &str, body: &Value, reply: String) -> Went {
    send(guard, Operation::Chat, body, reply)
}

#[test]
fn a_reply_is_stripped_or_refused_and_streams_however_they_are_cut() {
    let with = |with: &str| format!("{{ guard: urls, with: {{ allow: [acme.com], {with} }} }}");
    let said = "Hi! [a](https://acme.com/x) ![b](https://evil.com/i?d=s) [c](https://evil.com) www.evil.com. <b>ok</b> [1]\n[1]: //evil.com/i\nsee https://evil.com/";
    let want =
        "Hi! [a](https://acme.com/x)  c [LINK REMOVED]. <b>ok</b> [1]\n[LINK REMOVED]\nsee [LINK REMOVED]";
    let mut body = user("hi");
    body["stream"] = json!(true);
    let strips = with("then: strip");
    assert_eq!(chat(&strips, &user("hi"), says(said)).text(), want);
    for at in 1..said.len() {
        let reply = stream(cut(said, at).into_iter().map(|piece| json!({ "content": piece })));
        assert_eq!(chat(&strips, &body, reply).text(), want, "cut at {at}");
    }
    let chars = said.chars().map(|char| json!({ "content": char.to_string() }));
    assert_eq!(chat(&strips, &body, stream(chars)).text(), want);
    let went = chat(&with("then: tag, tag: leak"), &user("hi"), says(said));
    assert_eq!(
        (went.text().as_str(), went.trace.tags.len(), went.fact("reply_matches")),
        (said, 1, json!(5))
    );
    assert!(!serde_json::to_string(&went.trace.stages[0].facts).unwrap().contains("evil"));
    let went = chat(&with("message: no links"), &user("hi"), says(said));
    assert!(went.status == 403 && went.body.contains("no links"), "{}", went.body);
    // What clients send is read only if asked for.
    assert_eq!(chat(&with(""), &user("https://evil.com"), says("ok")).status, 200);
    assert_eq!(chat(&with("on: [request]"), &user("https://evil.com"), says("ok")).status, 403);
    for (wrong, want) in [
        ("deny: ['https://evil.com']", "is no host"),
        ("deny: ['*.evil.com']", "is no host"),
        ("then: tag", "go together"),
        ("on: []", "looks nowhere"),
    ] {
        let said = refused(&with(wrong));
        assert!(said.contains(want), "{wrong}: {said}");
    }
}

proptest! {
    #[test]
    fn finds_lie_apart_and_what_a_stream_passes_early_holds_none(
        text in "(!|\\[|\\]|\\(|\\)|<|>|img src=|https?://|evil\\.com|//|:|\"|[a-z é\n]){0,24}",
        more in "(!|\\[|\\]|\\(|\\)|<|>|https?://|evil\\.com|[a-z \n]){0,12}",
    ) {
        let finder = urls(&["acme.com"], &[]);
        let mut passed = finder.growing(&text);
        prop_assert!(text.is_char_boundary(passed));
        // What is found already is held or let go whole.
        for (range, _) in finder.find(&text).into_iter().rev() {
            passed = if range.end > passed { passed.min(range.start) } else { passed };
        }
        let both = format!("{text}{more}");
        let mut end = 0;
        for (range, _) in finder.find(&both) {
            prop_assert!(both.get(range.clone()).is_some() && range.start >= end && range.end > range.start);
            end = range.end;
        }
        // A find that begins in what is let go ends there.
        let crosses = finder.find(&both).into_iter().find(|(range, _)| range.start < passed && range.end > passed);
        prop_assert!(crosses.is_none(), "{:?} of {:?} passed, then {:?}", passed, text, crosses);
    }
}
