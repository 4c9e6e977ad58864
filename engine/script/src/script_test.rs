//! Scripts: what they edit and decide, what is refused at load, and how they are stopped.

use crate::expression_test::{findings, message, request};
use crate::script_engine::{engine, functions};
use crate::script_surface::{HANDLES, Use};
use crate::{
    EventView, Hooks, ParamType, ParamTypes, Script, ScriptFault, ScriptLimits, ScriptOutcome, ScriptRun,
    ScriptVerdict,
};
use http::HeaderMap;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use weir_diagnostic::{Embedded, SourceId};
use weir_message::{
    Attempt, Block, BlockKind, Body, Choice, EventKind, Finish, Part, Reply, ReplyBody, Request, Role, Text,
    Trace, Usage, Verb,
};

fn embedded(text: &str) -> Embedded {
    Embedded::whole(text, SourceId(0))
}

fn compile(text: &str, verb: Verb) -> Script {
    Script::compile(&embedded(text), verb, &ParamTypes::unknown())
        .unwrap_or_else(|found| panic!("{}", findings(text, &found)))
}

fn run() -> ScriptRun {
    ScriptRun {
        params: Arc::new(json!({ "tone": "kind", "most": 3 })),
        caller: None,
        limits: ScriptLimits::default(),
        clock: Arc::new(|| Duration::ZERO),
    }
}

fn on_request(text: &str, verb: Verb, request: &mut Request) -> Result<ScriptOutcome, ScriptFault> {
    compile(&format!("fn request(r) {{ {text} }}"), verb).request(request, &run())
}

#[test]
fn edits_count_and_return_values_do_not() {
    let mut r = request();
    let outcome = on_request(
        r#"r.system("Answer in two sentences.");
           r.model = r.model + "-er";
           let t = r.text; t.replace("bob", "eve"); r.text = t;
           r.set_param("temperature", r.param("temperature") + 0.25);
           r.remove_param("max_tokens");
           r.set_param("stop", ["a", "b"]);
           r.set_header("x-tone", r.params.tone);
           r.remove_header("x-team");
           r.add_user("and " + r.caller.team + " " + r.messages.len() + " " + r.operation);
           print(`model ${r.model}`);
           42"#,
        Verb::Transform,
        &mut r,
    )
    .unwrap();
    assert_eq!(outcome.verdict, ScriptVerdict::Continue);
    assert!(outcome.edited && r.is_edited());
    assert_eq!(outcome.prints, ["model fast-er"]);
    assert_eq!(r.model(), "fast-er");
    assert_eq!(r.system(), "Answer in two sentences.\nBe brief.");
    assert_eq!(r.messages()[4].text(), "Write to eve@example.com");
    assert_eq!(r.text(), "and blue 5 chat");
    assert_eq!(r.params.get("temperature").unwrap(), "0.75");
    assert_eq!(r.params.get("stop").unwrap(), "[\"a\",\"b\"]");
    assert_eq!(r.params.get("max_tokens"), None);
    assert_eq!(r.headers.get("x-tone").unwrap(), "kind");
    assert!(!r.headers.contains_key("x-team"));
    assert_eq!(&*r.id, "r1");
}

#[test]
fn credentials_read_as_dots() {
    let mut r = request();
    let outcome = on_request(
        r#"print(r.header("Authorization")); print(r.header("x-team")); print(type_of(r.header("no")));"#,
        Verb::Observe,
        &mut r,
    );
    assert_eq!(outcome.unwrap().prints, ["…", "blue", "()"]);
    assert!(!r.is_edited());
}

#[test]
fn a_guard_denies_and_ends_there() {
    let cases = [
        (r#"r.deny("no");  r.model = "after";"#, None, "no"),
        (
            r#"if r.text.contains("bob") { try { r.deny(451, "not bob"); } catch { r.model = "after"; } }"#,
            Some(451),
            "not bob",
        ),
    ];
    for (text, status, want) in cases {
        let mut r = request();
        let outcome = on_request(text, Verb::Guard, &mut r).unwrap();
        assert_eq!(outcome.verdict, ScriptVerdict::Deny { status, message: want.to_owned() });
        assert_eq!(r.model(), "fast");
    }
    let mut r = request();
    let fault = on_request("let s = 200; r.deny(s, \"ok?\")", Verb::Guard, &mut r).unwrap_err();
    assert_eq!(fault.message, "Runtime error: the status of a denial is from 400 to 599");
}

#[test]
fn a_script_that_fails_half_way_leaves_all_as_it_was() {
    let text =
        "fn request(r) {\n  r.model = \"slow\";\n  r.set_header(\"x-a\", \"b\");\n  let x = [1][5];\n}";
    let mut r = request();
    let fault = compile(text, Verb::Transform).request(&mut r, &run()).unwrap_err();
    assert_eq!(fault.line_column.map(|(line, _)| line), Some(4));
    assert!(
        text[fault.span.range().start..].starts_with("[1][5]")
            || text[fault.span.range().start..].starts_with("5]")
    );
    assert!(!fault.costly);
    assert_eq!((r.model(), r.edits(), r.headers.contains_key("x-a")), ("fast", 0, false));
}

#[test]
fn what_has_no_end_costs_its_own_request_a_fault() {
    let huge = r#"let s = "aaaaaaaaaaaaaaaa"; loop { s += s; }"#;
    let cases = [
        ("loop {}", "the script made too many operations"),
        ("let a = []; loop { a.push(1); }", "Size of array"),
        (huge, "Length of string"),
        (r#"let s = "a"; s.pad(900000, 'a'); let t = s; t.replace("a", s);"#, "Length of string"),
        ("let m = #{}; let i = 0; loop { m[`${i}`] = i; i += 1; }", "the script made too many operations"),
        (
            "let a = []; a.pad(9000, 1); a.map(|x| { let c = []; c.pad(9000, 1); c.map(|y| 1).len() });",
            "the script made too many operations",
        ),
        (r#"let s = "a"; s.pad(900000, 'a'); s.to_chars();"#, "Size of array"),
        (r#"let s = "a "; s.pad(900000, 'a'); s.split("a");"#, "Size of array"),
        (r#"let s = "a"; s.pad(100000, 'a'); s.replace("aa", "bb");"#, "Number of places"),
        ("f(1)", "the script's functions call each other too deeply"),
    ];
    for (text, want) in cases {
        let script = compile(&format!("fn f(n) {{ f(n + 1) }} fn request(r) {{ {text} }}"), Verb::Transform);
        let fault = script.request(&mut request(), &run()).unwrap_err();
        assert!(fault.costly && fault.message.starts_with(want), "{text}: {fault:?}");
    }
}

#[test]
fn a_member_that_a_map_has_not_is_a_fault_and_a_text_set_again_is_no_edit() {
    for text in [
        "let p = r.params; if p.blok == true { r.system(\"x\"); }",
        "let c = r.caller; if c.teem == \"x\" {}",
    ] {
        let fault = on_request(text, Verb::Transform, &mut request()).unwrap_err();
        assert!(fault.message.contains("blok") || fault.message.contains("teem"), "{}", fault.message);
    }
    let mut r = request();
    let outcome =
        on_request("r.text.trim(); let parts = r.text.split(\" \");", Verb::Transform, &mut r).unwrap();
    assert!(!outcome.edited && !r.is_edited());
}

#[test]
fn what_cannot_work_is_told_before_it_runs() {
    for (text, want) in [
        ("r.text = 5", "`text` takes text, not a number"),
        ("r.model = true", "`model` takes text, not true or false"),
        ("r.system(42)", "`system` takes text for `text`, not a number"),
        ("r.deny(700, \"x\")", "the status of a denial is from 400 to 599, not 700"),
        ("if r.text { r.deny(\"x\"); }", "`text` is text and no condition"),
        ("if r.stream == \"yes\" { r.deny(\"x\"); }", "`stream` is true or false and never text"),
        ("if 3 == r.text { r.deny(\"x\"); }", "`text` is text and never a number"),
        ("if r.caller.teem == \"evil\" { r.deny(\"x\"); }", "`caller` has no `teem`"),
        ("r.messages[0].text = \"x\"", "what `messages` gives is a copy"),
        ("r.caller.team = \"x\"", "what `caller` gives is a copy"),
        ("for m in r.messages { m.text = \"x\"; }", "what `messages` gives is a copy"),
    ] {
        let script = format!("fn request(r) {{ {text} }}");
        let found =
            Script::compile(&embedded(&script), Verb::Guard, &ParamTypes::unknown()).map(|_| ()).unwrap_err();
        let messages: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
        assert!(messages.iter().any(|message| message.starts_with(want)), "{text}: {messages:?}");
    }
    for text in [
        "if r.stream == true && r.caller != () { r.text = r.text + \"!\"; }",
        "if r.caller.tags.len() > 0 || r.caller.team == \"x\" { r.deny(451, \"no\"); }",
        "for m in r.messages { let t = m.text; t += \"x\"; }",
        "r.set_param(\"n\", 2); let m = r.messages; m[0].text = \"mine\";",
    ] {
        compile(&format!("fn request(r) {{ {text} }}"), Verb::Guard);
    }
}

#[test]
fn the_clock_that_is_handed_in_stops_a_script() {
    let ticks = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&ticks);
    let clock = Arc::new(move || Duration::from_micros(seen.fetch_add(100, Ordering::Relaxed)));
    let script = compile("fn request(r) { loop {} }", Verb::Transform);
    let fault = script.request(&mut request(), &ScriptRun { clock, ..run() }).unwrap_err();
    assert_eq!(fault.message, "the script ran longer than 2 ms");
    // 2 ms by a clock that goes 0.1 ms at each look.
    assert!(ticks.load(Ordering::Relaxed) < 3_000);
}

#[test]
fn nothing_outside_is_in_reach() {
    for text in [
        "eval(\"1\")",
        "import \"x\" as y;",
        "sleep(1)",
        "Fn(\"sleep\").call(1)",
        "timestamp()",
        "open_file(\"x\")",
        "export let x = 1;",
    ] {
        let text = format!("fn request(r) {{ {text} }}");
        match Script::compile(&embedded(&text), Verb::Guard, &ParamTypes::unknown()) {
            Err(_) => {}
            Ok(script) => assert!(script.request(&mut request(), &run()).is_err(), "{text}"),
        }
    }
}

#[test]
fn replies_events_attempts_and_ends_have_their_handles() {
    let mut reply = Reply::new(200, "");
    reply.usage = Some(Usage { input: 3, output: 4, ..Usage::default() });
    reply.body = ReplyBody::Choices(vec![Choice {
        index: 0,
        parts: vec![Part::Text(Text::added("  hello "))],
        finish: Some(Finish::Stop),
        stop: None,
    }]);
    let script = compile(
        r#"fn reply(r) { let t = r.text; t.trim(); r.text = t + " " + r.finish + " " + r.usage.total + " " + r.request.model; r.set_header("x-a", "b"); }"#,
        Verb::Transform,
    );
    assert_eq!(script.hooks(), Hooks { reply: true, ..Hooks::default() });
    script.reply(&mut reply, &request(), &run()).unwrap();
    assert_eq!((reply.text().as_str(), reply.headers.len()), ("hello stop 7 fast", 1));

    let block = Some(Block { choice: 0, kind: BlockKind::Text, index: 0 });
    let event = EventView { kind: EventKind::Content, text: "abc", block };
    let script = compile(
        "fn event(e) { if e.kind == \"content\" && e.block == \"text\" { e.text = e.text.to_upper(); } }",
        Verb::Transform,
    );
    assert_eq!(script.event(event, &run()).unwrap().text.as_deref(), Some("ABC"));
    assert_eq!(script.event(EventView { block: None, ..event }, &run()).unwrap().text, None);

    let attempt = Attempt {
        n: 1,
        provider: "lab".into(),
        model: "m".into(),
        region: None,
        path: vec![],
        cause: None,
        status: None,
        retry_after: None,
        began: Duration::ZERO,
        first_byte: None,
        took: None,
        usage: None,
        cost: None,
    };
    let mut headers = HeaderMap::new();
    let script = compile(
        "fn attempt(a) { a.set_header(\"x-n\", `${a.n}`); if a.region == () && a.params.most == 3 { a.rule_out(\"no region\"); } }",
        Verb::Guard,
    );
    let outcome = script.attempt(&attempt, &mut headers, &run()).unwrap();
    assert_eq!(outcome.verdict, ScriptVerdict::RuleOut { why: "no region".into() });
    assert_eq!(headers.get("x-n").unwrap(), "1");

    let trace = Trace { attempts: vec![attempt], pipeline: "chat".into(), ..Trace::default() };
    let script = compile(
        "fn end(t) { print(`${t.pipeline} ${t.outcome} ${t.attempts[0].provider} ${t.cost} ${t.stages.len()}`); }",
        Verb::Observe,
    );
    assert_eq!(script.end(&trace, &run()).unwrap().prints, ["chat open lab 0.0 0"]);
}

#[test]
fn names_every_finding_at_its_place() {
    let cases = [
        (Verb::Transform, "fn request(r) { r.txet = \"a\"; }"),
        (Verb::Transform, "fn request(r) { let x = r.modle; }"),
        (Verb::Transform, "fn request(r) { r.sytem(\"x\"); }"),
        (Verb::Transform, "fn request(r) { r.system(); }"),
        (Verb::Transform, "fn request(r) { r.stream = true; }"),
        (Verb::Transform, "fn request(r) { r.deny(\"no\"); }"),
        (Verb::Observe, "fn request(r) { r.text = \"x\"; r.set_header(\"a\", \"b\"); }"),
        (Verb::Observe, "fn end(t) { print(t.outcom); }"),
        (Verb::Transform, "fn request(r) { lenght(r.text); }"),
        (Verb::Transform, "fn request(r) { let t = r.text; t.trimm(); }"),
        (Verb::Transform, "fn request(r) { help(r) } fn help(x) { x.txet }"),
        (Verb::Transform, "fn request(r) { help(r, 1) } fn help(x) { x.text }"),
        (Verb::Transform, "fn request(r) { q.text }"),
        (Verb::Transform, "fn request(r) { sleep(1); eval(\"1\"); }"),
        (Verb::Transform, "fn request(r) { let x = 1 +; }"),
        (Verb::Transform, "fn reqest(r) { }"),
        (Verb::Transform, "fn request() { }"),
        (Verb::Transform, "let x = 1;"),
        (Verb::Transform, ""),
        (Verb::Transform, "fn request(r) { r.a = 1; r.b = 2; frob(); }"),
    ];
    let mut out = String::new();
    for (verb, text) in cases {
        match Script::compile(&embedded(text), verb, &ParamTypes::unknown()) {
            Ok(_) => panic!("{text} compiles"),
            Err(found) => out.push_str(&findings(text, &found)),
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn parameters_have_their_names_and_types() {
    let params = ParamTypes::none()
        .with("most", ParamType::Int)
        .with("who", ParamType::String)
        .with("any", ParamType::Any);
    for (read, want) in [
        ("r.params.most > 3", None),
        ("r.params.who == \"a\"", None),
        ("r.params.any == 3", None),
        ("r.params.mots > 3", Some(("unknown-reference", "did you mean `most`?"))),
        ("r.params.most == \"3\"", Some(("type-mismatch", "`most` is a number and never text"))),
        ("3 == r.params.who", Some(("type-mismatch", "`who` is text and never a number"))),
    ] {
        let text = format!("fn request(r) {{ if {read} {{ print(1); }} }}");
        match (Script::compile(&embedded(&text), Verb::Transform, &params), want) {
            (Ok(_), None) => {}
            (Err(found), Some((code, words))) => {
                let [one] = found.as_slice() else { panic!("{read}: {found:?}") };
                let said = format!("{} {}", one.message, one.help.as_deref().unwrap_or(""));
                assert!(one.code.id() == code && said.contains(words), "{read}: {one:?}");
            }
            (Ok(_), Some(want)) => panic!("{read} compiles, and is {want:?}"),
            (Err(found), None) => panic!("{read}: {found:?}"),
        }
    }
}

#[test]
fn what_is_right_is_not_refused() {
    for text in [
        "fn request(r) { let r = #{ any: 1 }; r.any }",
        "fn request(r) { let m = #{ act: || 1 }; m.act() }",
        "fn request(r) { let f = |x| x + 1; f.call(1) }",
        "fn request(r) { [3, 1].sort(); [1, 2].map(|x| x * 2).filter(|x| x > 2).len() }",
        "fn helper() { this + 1 } fn request(r) { let n = 1; n.helper() }",
        "fn request(r) { for m in r.messages { if m.role == \"user\" { print(m.text.len) } } }",
        "fn request(r) { let s = r.text; s.make_lower(); switch s { \"a\" => 1, _ => 2 } }",
        "fn request(r) { r.text += \"!\"; }",
        "fn request(r) { try { throw \"x\" } catch (e) { print(e) } }",
        "const A = 1; fn request(r) { if type_of(r) == \"request\" { return; } }",
    ] {
        compile(text, Verb::Transform);
    }
}

#[test]
fn the_table_of_members_is_what_the_engine_has() {
    for verb in Verb::ALL {
        let names = functions(*verb);
        for member in HANDLES.iter().flat_map(|handle| handle.members) {
            let (name, params) = match member.by {
                Use::Get => (format!("get${}", member.name), 1),
                Use::Set => (format!("set${}", member.name), 2),
                Use::Call(args) => (member.name.to_owned(), args.len() + 1),
            };
            let there = names.get(&name).is_some_and(|all| all.contains(&params));
            let spread = HANDLES
                .iter()
                .flat_map(|h| h.members)
                .any(|m| m.name == member.name && m.by == member.by && m.needs.met_by(*verb));
            assert_eq!(there, spread, "{name} for {verb}");
        }
    }
    assert!(engine(Verb::Guard).is_symbol_disabled("eval"));
}

#[test]
fn the_last_user_turn_is_replaced_whole() {
    let mut r = request();
    let Body::Chat(chat) = &mut r.body else { panic!() };
    let mut turn = message(Role::User, "one");
    turn.parts.push(Part::Text(Text::added("two")));
    chat.messages.push(turn);
    on_request("r.text = \"new\";", Verb::Transform, &mut r).unwrap();
    assert_eq!(r.text(), "new\n");
}

proptest::proptest! {
    #[test]
    fn random_scripts_never_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "fn", "request", "(", "r", ")", "{", "}", ".", "text", "=", ";", "let", "x", "+", "1", "\"a\"", "if", "loop", "deny", "[", "]", "|", "é", "`", "$", "#", "\n",
    ]), 0..40)) {
        for text in [words.join(" "), format!("fn request(r) {{ {} }}", words.join(" "))] {
            if let Ok(script) = Script::compile(&embedded(&text), Verb::Guard, &ParamTypes::unknown()) {
                let _ = script.request(&mut request(), &run());
            }
        }
    }
}

#[test]
fn hooks_may_call_their_handles_alike() {
    let source = r#"fn request(r) { r.system("Answer in two sentences."); } fn reply(r) { let t = r.text; t.trim(); r.text = t; }"#;
    let script = compile(source, Verb::Transform);
    assert_eq!(script.hooks(), Hooks { request: true, reply: true, ..Hooks::default() });
}
