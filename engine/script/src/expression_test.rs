//! Tables of expressions: their values, their findings, their faults, their work.

use crate::budget::WORK;
use crate::{
    CelValue, Client, Counters, EventView, Expect, Expression, FaultCause, HookKind, Ledger, Limit,
    ParamType, ParamTypes, Payer, Reads, Services, Spent, StageLimits, View, view_reference, view_schema,
};
use bytestring::ByteString;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;
use weir_diagnostic::{Embedded, SourceId, Sources, Span};
use weir_message::{
    Attempt, Body, Caller, Chat, Decision, Dialect, EventKind, Message, Mode, Money, Operation, Outcome,
    Param, Part, Request, Role, StageTrace, Text, Trace, Verb,
};

pub(crate) struct Counting;

impl Services for Counting {
    fn count_tokens(&self, _: &str, text: &str) -> u64 {
        text.split_whitespace().count() as u64
    }

    fn request_tokens(&self, request: &Request) -> u64 {
        self.count_tokens("", &request.all_text())
    }
}

pub(crate) fn message(role: Role, text: &str) -> Message {
    Message { role, parts: vec![Part::Text(Text::added(text))], name: None }
}

pub(crate) fn request() -> Request {
    let mut request = Request::new("r1", Dialect::OpenAi, Operation::Chat, "/v1/chat/completions");
    request.head.model = Some(Text::added("fast"));
    request.listener = Arc::from("edge");
    request.source = Some("10.1.2.3:4567".parse().unwrap());
    request.headers.insert("x-team", "blue".parse().unwrap());
    request.headers.insert("authorization", "Bearer secret".parse().unwrap());
    request.params.0.push(Param {
        name: "temperature".into(),
        json: ByteString::from_static("0.5"),
        at: None,
    });
    request.params.0.push(Param {
        name: "max_tokens".into(),
        json: ByteString::from_static("100"),
        at: None,
    });
    request.body = Body::Chat(Chat {
        messages: vec![
            message(Role::System, "Be brief."),
            message(Role::User, "old question"),
            message(Role::Assistant, "old answer"),
            message(Role::User, "Write to bob@example.com"),
        ],
        ..Chat::default()
    });
    request.caller = Some(Arc::new(Caller {
        by: "key".into(),
        key: Some("k1".into()),
        team: Some("blue".into()),
        tags: [(Arc::from("regions"), json!(["eu", "us"]))].into(),
        ..Caller::default()
    }));
    request
}

fn embedded(text: &str) -> Embedded {
    Embedded::whole(text, SourceId(0))
}

fn compile(text: &str, hook: HookKind) -> Expression {
    let params = ParamTypes::none().with("limit", ParamType::Int).with("names", ParamType::List);
    Expression::compile(&embedded(text), hook, Expect::Any, &params)
        .unwrap_or_else(|found| panic!("{text}: {found:?}"))
}

/// 2026-01-31 was a Saturday; 23:30 UTC is half past midnight on Sunday in Berlin.
const NOW: i64 = 1_769_902_200_000_000_000;

fn shown(text: &str, request: &Request) -> String {
    let params = json!({ "limit": 3, "names": ["a", "b"] });
    let view = View { params: &params, ..View::new(request, "rev-1", NOW) };
    let types = ParamTypes::none().with("limit", ParamType::Int).with("names", ParamType::List);
    let expression = match Expression::compile(&embedded(text), HookKind::Request, Expect::Any, &types) {
        Ok(expression) => expression,
        Err(found) => return format!("at load: {}", found[0].code.id()),
    };
    match expression.eval(&view, &Counting) {
        Ok(value) => value.to_string(),
        Err(fault) => format!("{:?}", fault.cause),
    }
}

#[test]
fn gives_the_values_that_the_language_defines() {
    let request = request();
    let cases = [
        // The view.
        ("request.model == \"fast\"", "true"),
        ("request.operation in [\"chat\", \"completion\"]", "true"),
        ("request.text", "\"Write to bob@example.com\""),
        ("request.system", "\"Be brief.\""),
        ("request.messages.size()", "4"),
        ("request.messages.filter(m, m.role == \"user\").map(m, size(m.text))", "[12,24]"),
        ("request.messages.map(m, m.role == \"user\", m.text)[0]", "\"old question\""),
        ("request.messages.exists(m, m.text.contains(\"bob\"))", "true"),
        ("request.messages.all(m, m.plain)", "true"),
        ("request.messages.exists_one(m, m.role == \"system\")", "true"),
        ("request.headers[\"X-Team\"]", "\"blue\""),
        ("request.headers[\"authorization\"]", "\"…\""),
        ("request.headers.exists(h, request.headers[h] == \"Bearer secret\")", "false"),
        ("\"x-team\" in request.headers", "true"),
        ("\"x-none\" in request.headers", "false"),
        ("has(request.headers[\"x-none\"])", "false"),
        ("request.headers[\"x-none\"] == \"\"", "Missing"),
        ("request.params.temperature < 0.7", "true"),
        ("request.params.max_tokens > 50", "true"),
        ("has(request.params.seed)", "false"),
        ("request.tokens", "9"),
        ("tokens(\"a b c\")", "3"),
        ("caller.team == \"blue\"", "true"),
        ("\"eu\" in caller.tags.regions", "true"),
        ("source.address.inCidr(\"10.0.0.0/8\")", "true"),
        ("inCidr(source.address, \"192.168.0.0/16\")", "false"),
        ("inCidr(\"::ffff:10.0.0.1\", \"10.0.0.0/8\")", "true"),
        ("inCidr(\"2001:db8::1\", \"2001:db8::/32\")", "true"),
        ("listener + \"/\" + revision", "\"edge/rev-1\""),
        ("params.limit > 2 && params.names[1] == \"b\"", "true"),
        ("original.text == request.text", "true"),
        ("limits == null", "true"),
        // Null.
        ("caller.user == null", "true"),
        ("caller.user == \"bob\"", "Null"),
        ("caller.user != \"bob\"", "Null"),
        ("caller.user in [\"bob\"]", "Null"),
        ("has(caller.user)", "false"),
        ("caller.user != null && caller.user == \"bob\"", "false"),
        ("caller.user == \"bob\" || request.model == \"fast\"", "true"),
        ("caller.user == \"bob\" || request.model == \"slow\"", "Null"),
        ("!(caller.user == \"bob\")", "Null"),
        ("limits.stage(\"rate\").remaining > 0", "Null"),
        // Operators.
        ("1 + 2 * 3 - 4 / 2 % 3", "5"),
        ("-7 / 2", "-3"),
        ("-7 % 2", "-1"),
        ("7u - 3u", "4"),
        ("3u - 7u", "at load: bad-value"),
        ("1 / int(params.limit - 3)", "Overflow"),
        ("9223372036854775807 + int(params.limit)", "Overflow"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.5 + 2.0", "3.5"),
        ("1 == 1.0 && 1u == 1 && 2 > 1.5", "true"),
        ("true ? \"a\" : \"b\"", "\"a\""),
        ("(false || true) && !false", "true"),
        ("1 in [1, 2] && !(3 in [1, 2])", "true"),
        ("{\"a\": 1, \"b\": [2]}.b[0]", "2"),
        ("{\"a\": 1} == {\"a\": 1}", "true"),
        ("[1, 2] + [3]", "[1,2,3]"),
        ("[1, 2][size(request.messages) + 5]", "Missing"),
        ("\"b\" > \"a\" && b\"a\" < b\"b\"", "true"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
        ("[0, 2].all(x, 2 / x == 2)", "false"),
        ("[0, 1].all(x, size(request.messages) / x > 0)", "Overflow"),
        ("{\"a\": 1, \"b\": 2}.map(k, k)", "[\"a\",\"b\"]"),
        // Texts.
        ("\"héllo\".size()", "5"),
        ("\"a\\n\\u00e9\\x41\" == 'a\né\\x41'", "at load: bad-cel"),
        ("\"a\\u00e9\\x41\" == 'aéA'", "true"),
        ("r\"\\d\" == \"\\\\d\"", "true"),
        ("'''two\nlines'''.contains(\"\\n\")", "true"),
        ("\"  x \".trim() + \"Ab\".lowerAscii() + \"Ab\".upperAscii()", "\"xabAB\""),
        ("\"a-b-c\".split(\"-\").join(\"+\")", "\"a+b+c\""),
        ("\"a-b-c\".split(\"-\", 2)", "[\"a\",\"b-c\"]"),
        ("\"aaa\".replace(\"a\", \"b\", 2)", "\"bba\""),
        ("\"héllo\".substring(1, 3) + \"héllo\".substring(4)", "\"élo\""),
        ("request.model.substring(9)", "BadValue"),
        ("\"héllo\".indexOf(\"l\") + \"héllo\".lastIndexOf(\"l\") + \"x\".indexOf(\"y\")", "4"),
        ("request.text.matches(r\"[a-z]+@example\\.com\")", "true"),
        ("matches(request.text, \"^bob\")", "false"),
        ("\"abc\".startsWith(\"ab\") && \"abc\".endsWith(\"bc\")", "true"),
        ("sha256(\"abc\")", "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""),
        ("json.parse(\"{\\\"a\\\": [1, null]}\").a[0]", "1"),
        ("json.parse(request.text)", "BadValue"),
        ("string(1) + string(true) + string(2.5) + string(duration(\"90s\"))", "\"1true2.590s\""),
        ("int(\"12\") + int(3.9) + int(2u)", "17"),
        ("int(request.model)", "BadValue"),
        ("double(\"1.5\") + double(1)", "2.5"),
        // Times.
        ("now.getHours(\"Europe/Berlin\")", "0"),
        ("now.getHours() * 100 + now.getMinutes()", "2330"),
        ("now.getDayOfWeek(\"Europe/Berlin\")", "0"),
        ("now.getDayOfWeek()", "6"),
        ("now.getDate(\"Europe/Berlin\") + now.getMonth(\"Europe/Berlin\")", "2"),
        ("now.getFullYear(\"+02:00\")", "2026"),
        ("now > timestamp(\"2026-01-01T00:00:00Z\")", "true"),
        ("now + duration(\"1h30m\") - now == duration(\"90m\")", "true"),
        ("duration(\"-1.5s\")", "\"-1.5s\""),
        ("duration(\"1h30m\").getMinutes()", "90"),
    ];
    for (text, want) in cases {
        assert_eq!(shown(text, &request), want, "{text}");
    }
}

#[test]
fn agrees_with_another_evaluator_on_what_both_define() {
    let cases = [
        "1 + 2 * 3",
        "7 / 2 - 7 % 4",
        "-7 / 2",
        "-(3)",
        "1.5 * 2.0",
        "2u * 3u",
        "\"a\" + \"b\"",
        "1 < 2 && 2 <= 2",
        "[0].all(x, true || 1 / x == 1)",
        "[0].all(x, 1 / x == 1 || true)",
        "[0].exists(x, false && 1 / x == 1)",
        "[0].exists(x, 1 / x == 1 && false)",
        "1 == 1 ? 'y' : 'n'",
        "2 in [1, 2, 3]",
        "'a' in {'a': 1}",
        "[1, 2, 3].all(x, x > 0)",
        "[1, 2, 3].exists(x, x > 2)",
        "[1, 2, 3].exists_one(x, x > 2)",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6]",
        "[1, 2, 3].filter(x, x % 2 == 1) == [1, 3]",
        "size('héllo')",
        "size([1, 2])",
        "'abc'.contains('b')",
        "'abc'.startsWith('a')",
        "'abc'.endsWith('c')",
        "'abc'.matches('^a.c$')",
        "[1, [2]] == [1, [2]]",
        "{'a': [1]} == {'a': [1]}",
        "1 == 1.0",
        "int('5')",
        "string(5)",
        "duration('1h') > duration('59m')",
        "timestamp('2026-01-31T23:30:00Z').getHours()",
        "'\\u00e9' == 'é'",
        "1 - 1 - 1",
        "8 / 2 / 2",
        "!true == false",
        "[[1, 2], [3]].all(l, l.exists(x, x > 1))",
        "0x1F",
        "1e3",
        ".5 + .5",
    ];
    for text in cases {
        let theirs = cel::Program::compile(text).unwrap().execute(&cel::Context::default());
        let request = request();
        let ours = Expression::compile(&embedded(text), HookKind::Match, Expect::Any, &ParamTypes::none())
            .unwrap_or_else(|found| panic!("{text}: {found:?}"))
            .eval(&View::new(&request, "", 0), &Counting)
            .unwrap();
        let theirs = match theirs.unwrap_or_else(|error| panic!("{text}: {error}")) {
            cel::Value::Int(n) => CelValue::Int(n),
            cel::Value::UInt(n) => CelValue::Uint(n),
            cel::Value::Float(n) => CelValue::Double(n),
            cel::Value::Bool(value) => CelValue::Bool(value),
            cel::Value::String(text) => CelValue::String(text.to_string()),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(ours, theirs, "{text}");
    }
}

/// Findings as: expression, then for each its code, the text under its span, the message and the help.
pub(crate) fn findings(text: &str, found: &[weir_diagnostic::Diagnostic]) -> String {
    let mut sources = Sources::default();
    sources.add("x", text);
    let mut out = format!("{text}\n");
    for one in found {
        let _ = write!(out, "  {} [{}] {}", one.code, one.span.map_or("", |s| sources.slice(s)), one.message);
        for more in [&one.cause, &one.help].into_iter().flatten() {
            let _ = write!(out, " | {more}");
        }
        out.push('\n');
    }
    out
}

#[test]
fn names_every_finding_at_its_place() {
    let cases: &[(HookKind, Expect, &str)] = &[
        (HookKind::Request, Expect::Bool, "request.modle == \"x\""),
        (HookKind::Request, Expect::Bool, "reqest.model == \"x\""),
        (HookKind::Request, Expect::Bool, "request.text.contain(\"x\")"),
        (HookKind::Request, Expect::Bool, "contains(request.text, \"x\")"),
        (HookKind::Request, Expect::Bool, "request.text.sha256() == \"x\""),
        (HookKind::Request, Expect::Bool, "siez(request.text) > 1"),
        (HookKind::Request, Expect::Bool, "json.pares(\"1\") == 1"),
        (HookKind::Request, Expect::Bool, "request.text.lenght > 1"),
        (HookKind::Match, Expect::Bool, "reply.status == 200"),
        (HookKind::Request, Expect::Bool, "attempt.n > 1"),
        (HookKind::Match, Expect::Bool, "limits.stage(\"rate\").remaining > 1"),
        (HookKind::Request, Expect::Bool, "spend.request.cost > 1.0"),
        (HookKind::Reply, Expect::Bool, "client.status == 200"),
        (HookKind::Request, Expect::Bool, "request.model == 1"),
        (HookKind::Request, Expect::Bool, "request.stream + 1 == 2"),
        (HookKind::Request, Expect::Bool, "size(1) == 1"),
        (HookKind::Request, Expect::Bool, "request.model"),
        (HookKind::Request, Expect::String, "request.stream"),
        (HookKind::Request, Expect::Number, "request.model"),
        (HookKind::Request, Expect::Bool, "request.model && true"),
        (HookKind::Request, Expect::Bool, "!request.model"),
        (HookKind::Request, Expect::Bool, "1 + 1.0 == 2.0"),
        (HookKind::Request, Expect::Bool, "request.model > 3"),
        (HookKind::Request, Expect::Bool, "1 in request.model"),
        (HookKind::Request, Expect::Bool, "1 in [\"a\"]"),
        (HookKind::Request, Expect::Bool, "request.messages[\"a\"].role == \"user\""),
        (HookKind::Request, Expect::Bool, "request[\"model\"] == \"x\""),
        (HookKind::Request, Expect::Bool, "request.model.exists(c, c == \"a\")"),
        (HookKind::Request, Expect::Bool, "request.messages.all(m.role == \"a\")"),
        (HookKind::Request, Expect::Bool, "request.messages.all(m, m.rule == \"a\")"),
        (HookKind::Request, Expect::Bool, "has(request)"),
        (HookKind::Attempt, Expect::Bool, "attempt.provider == \"openai\""),
        (HookKind::Request, Expect::Bool, "params.limt > 1"),
        (HookKind::Request, Expect::Bool, "request.text.matches(\"(\")"),
        (HookKind::Request, Expect::Bool, "request.text.matches(request.model)"),
        (HookKind::Request, Expect::Bool, "now.getHours(\"Europe/Berln\") > 8"),
        (HookKind::Request, Expect::Bool, "source.address.inCidr(\"10.0.0.0/64\")"),
        (HookKind::Request, Expect::Bool, "now > timestamp(\"yesterday\")"),
        (HookKind::Request, Expect::Bool, "duration(\"1 hour\") > duration(\"1h\")"),
        (HookKind::Request, Expect::Bool, "[1].all(a, [1].all(b, [1].all(c, true)))"),
        (HookKind::Request, Expect::Bool, "request.model = \"x\""),
        (HookKind::Request, Expect::Bool, "request.model == "),
        (HookKind::Request, Expect::Bool, "(request.stream"),
        (HookKind::Request, Expect::Bool, "request.model == \"x"),
        (HookKind::Request, Expect::Bool, "request.a == reqest.b && size() > 1"),
        (HookKind::Case, Expect::Bool, "trace.stage(\"pii\").decison == \"edited\""),
    ];
    let params = ParamTypes::none().with("limit", ParamType::Int);
    let mut out = String::new();
    for (hook, expect, text) in cases {
        match Expression::compile(&embedded(text), *hook, *expect, &params) {
            Ok(_) => panic!("{text} compiles"),
            Err(found) => out.push_str(&findings(text, &found)),
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn what_can_never_work_is_told_at_its_place() {
    use Expect::{Any, Bool, String as Text};
    for (expect, text, at, words) in [
        // The branches of a condition.
        (Bool, "request.stream ? 1 : \"a\"", "request.stream ? 1 : \"a\"", "an int or string; a condition"),
        (Bool, "request.stream ? true : \"a\"", "\"a\"", "gives a string"),
        (Bool, "request.stream ? (1 > 2 ? 3 : true) : false", "3", "gives an int"),
        (Bool, "!(request.stream ? 1 : true)", "1", "is an int, not a bool"),
        (Text, "request.stream ? \"fast\" : null", "null", "gives null"),
        (
            Bool,
            "(request.stream ? 1 : \"a\") == true",
            "(request.stream ? 1 : \"a\") == true",
            "never equals",
        ),
        (Any, "(request.stream ? 1 : \"a\").size", "size", "has no fields"),
        (Any, "size(request.stream ? 1 : true)", "size(request.stream ? 1 : true)", "does not take"),
        // Conversions and sums of what is written out.
        (Bool, "bool(\"yes\")", "bool(\"yes\")", "cannot work"),
        (Any, "int(\"x\") + size(request.tools)", "int(\"x\")", "cannot work"),
        (Any, "size(request.messages) + 1 / 0", "1 / 0", "division by zero"),
        (Any, "9223372036854775807 + 1", "9223372036854775807 + 1", "does not fit"),
        (Any, "[1, 2][5]", "[1, 2][5]", "no such item"),
        (Any, "\"abc\".substring(9)", "\"abc\".substring(9)", "cannot work"),
        (Any, "[0, 1].map(x, 1 / x)", "1 / x", "division by zero"),
        (Any, "request.text.contains(\"a\") && 1 + 1 == null + 1", "null + 1", "does not take"),
        // Parameters.
        (Bool, "params.limit == \"3\"", "params.limit == \"3\"", "an int never equals a string"),
        (Bool, "params.share + 1 > 2.0", "params.share + 1", "does not take a double and an int"),
        (Bool, "params.share == \"a\"", "params.share == \"a\"", "never equals"),
    ] {
        let params = ParamTypes::none().with("limit", ParamType::Int).with("share", ParamType::Double);
        match Expression::compile(&embedded(text), HookKind::Request, expect, &params) {
            Ok(_) => panic!("{text} compiles"),
            Err(found) => {
                let [one] = found.as_slice() else { panic!("{text}: {found:?}") };
                assert_eq!(text.get(one.span.unwrap().range()), Some(at), "{text}: {one:?}");
                assert!(one.message.contains(words), "{text}: {one:?}");
            }
        }
    }
    for text in [
        "request.stream ? true : request.model == \"a\"",
        "(request.stream ? 1 : 2.5) > 1",
        "(request.stream ? caller.team : \"none\") == \"a\"",
        "has(request.headers[\"a\"]) ? request.headers[\"a\"] == \"b\" : false",
        "has([1, 2][5])",
        "params.limit > 2.5 && params.share > 1",
    ] {
        let params = ParamTypes::none().with("limit", ParamType::Int).with("share", ParamType::Double);
        let compiled = Expression::compile(&embedded(text), HookKind::Request, Bool, &params);
        assert!(compiled.is_ok(), "{text}: {compiled:?}");
    }
}

#[test]
fn the_fault_of_a_header_that_is_not_there_says_what_to_write() {
    let request = request();
    let view = View::new(&request, "rev-1", NOW);
    let fault = compile("request.headers[\"x-none\"] == \"a\"", HookKind::Request)
        .eval(&view, &Counting)
        .unwrap_err();
    assert_eq!(
        fault.message,
        "the header `x-none` is not there; ask first: `\"x-none\" in request.headers && …`"
    );
}

#[test]
fn headers_that_nobody_asks_for_are_told() {
    for (text, unasked, asked) in [
        ("request.headers[\"x-team\"] == \"a\"", &["x-team"][..], &[][..]),
        ("request.headers.host == \"a\"", &["host"], &[]),
        ("\"x-team\" in request.headers && request.headers[\"X-Team\"] == \"a\"", &[], &["x-team"]),
        ("request.headers[\"x-team\"] == \"a\" && \"x-team\" in request.headers", &["x-team"], &["x-team"]),
        ("!(\"x-team\" in request.headers) || request.headers[\"x-team\"] == \"a\"", &[], &[]),
        ("\"x-team\" in request.headers || request.headers[\"x-team\"] == \"a\"", &["x-team"], &[]),
        ("has(request.headers[\"x-team\"]) ? request.headers[\"x-team\"] == \"a\" : false", &[], &[]),
        ("!has(request.headers[\"a\"]) ? request.stream : request.headers[\"a\"] == \"b\"", &[], &[]),
        (
            "request.stream ? request.headers[\"a\"] == \"b\" : request.headers[\"b\"] == \"b\"",
            &["a", "b"],
            &[],
        ),
        (
            "(\"a\" in request.headers && \"b\" in request.headers) && request.headers[\"b\"] == \"x\"",
            &[],
            &["a", "b"],
        ),
        ("caller.tags[\"x\"] == \"a\"", &[], &[]),
    ] {
        let expression =
            Expression::compile(&embedded(text), HookKind::Request, Expect::Bool, &ParamTypes::none())
                .unwrap();
        let found: Vec<&str> = expression.unasked_headers().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, unasked, "{text}");
        assert_eq!(expression.asked_headers(), asked, "{text}");
    }
}

#[test]
fn points_into_the_yaml_that_an_expression_stands_in() {
    // A folded scalar: its second line begins at byte 40 of the file.
    let text = Embedded::new(
        "request.stream\n&& request.modle == \"a\"",
        Span::new(SourceId(3), 10..80),
        [(0, 12), (15, 40)],
    );
    let found = Expression::compile(&text, HookKind::Request, Expect::Bool, &ParamTypes::none()).unwrap_err();
    assert_eq!(found[0].span.unwrap(), Span::new(SourceId(3), 51..56));
}

#[test]
fn cases_see_what_client_upstream_and_stages_did() {
    let request = request();
    let trace = Trace {
        stages: vec![StageTrace {
            name: "pii".into(),
            verb: Verb::Guard,
            body: "pii".into(),
            mode: Mode::Enforce,
            decision: Decision::Edited,
            reason: None,
            took: std::time::Duration::ZERO,
            facts: vec![("finds", json!(2))],
        }],
        outcome: Outcome::Replied,
        ..Trace::default()
    };
    let client = Client { status: 200, text: "hello".into(), ..Client::default() };
    let ledger = Ledger::default();
    let view = View {
        trace: Some(&trace),
        client: Some(&client),
        ledger: Some(&ledger),
        ..View::new(&request, "", 0)
    };
    for (text, want) in [
        ("trace.stage(\"pii\").decision == \"edited\" && trace.stage(\"pii\").facts.finds == 2", Ok(true)),
        ("trace.outcome == \"replied\" && trace.error == null", Ok(true)),
        ("client.status == 200 && client.text == \"hello\" && client.error == null", Ok(true)),
        ("upstream.size() == 0 && ledger.cost == 0.0 && ledger.usage.total == 0", Ok(true)),
        ("trace.stage(\"nobody\").decision == \"edited\"", Err(FaultCause::Missing)),
        ("upstream[0].request.text.contains(\"bob\")", Err(FaultCause::Missing)),
    ] {
        let got = compile(text, HookKind::Case).eval_bool(&view, &Counting).map_err(|fault| fault.cause);
        assert_eq!(got, want, "{text}");
    }
    let line = compile(
        "client.status == 201 && size(client.text) > 9 && request.messages.all(m, m.plain)",
        HookKind::Case,
    );
    let explained = line.eval_explained(&view, &Counting);
    assert_eq!(explained.result, Ok(CelValue::Bool(false)));
    let parts: Vec<_> = explained.parts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        parts[..3],
        [("client.status", "200"), ("size(client.text)", "5"), ("client.text", "\"hello\"")]
    );
    assert_eq!(parts[3], ("request.messages.all(m, m.plain)", "true"));
}

#[test]
fn events_and_attempts_are_read_where_they_exist() {
    let request = request();
    let attempt = Attempt {
        n: 2,
        provider: "lab".into(),
        model: "qwen3".into(),
        region: Some("eu".into()),
        path: vec![],
        cause: None,
        status: None,
        retry_after: None,
        began: std::time::Duration::ZERO,
        first_byte: None,
        took: None,
        usage: None,
        cost: None,
    };
    let attempts = [attempt];
    let event = EventView { kind: EventKind::Content, text: "hi", block: None };
    let view = View { attempts: &attempts, event: Some(event), ..View::new(&request, "", 0) };
    let yes = |text: &str, hook| compile(text, hook).eval_bool(&view, &Counting).unwrap();
    assert!(yes("attempt.provider.region in caller.tags.regions && attempt.n == 2", HookKind::Attempt));
    assert!(yes("attempts.all(a, a.model == \"qwen3\") && spend.request.cost == 0.0", HookKind::Attempt));
    assert!(yes("event.text == \"hi\" && event.kind == \"content\" && event.block == null", HookKind::Event));
}

/// A pipeline with one stage that limits, and a caller without a user.
struct Counts;

impl Counters for Counts {
    fn limits(&self, stage: &str) -> Result<StageLimits, String> {
        match stage {
            "rate" => Ok(StageLimits {
                requests: Some(Limit { max: 100, used: 40 }),
                tokens: Some(Limit { max: 1000, used: 900 }),
            }),
            "calls" => Ok(StageLimits { requests: Some(Limit { max: 5, used: 7 }), tokens: None }),
            _ => Err("no such stage".into()),
        }
    }

    fn spent_today(&self, payer: Payer) -> Option<Spent> {
        let input = match payer {
            Payer::Key => 10,
            Payer::User => return None,
            Payer::Team => 20,
            Payer::Everyone => 30,
        };
        Some(Spent { input, output: 1, cost: Money::from_nanos(500_000_000) })
    }
}

#[test]
fn reads_what_is_left_and_what_was_spent_when_asked() {
    let request = request();
    let view = View { counters: Some(&Counts), ..View::new(&request, "", NOW) };
    let cases = [
        // Of requests 60 % are left, of tokens 10 %.
        ("limits.stage(\"rate\").remaining", "100"),
        ("limits.stage(\"rate\").max", "1000"),
        ("limits.stage(\"rate\").requests.remaining", "60"),
        ("limits.stage(\"rate\").tokens.used", "900"),
        ("limits.stage(\"calls\").remaining", "0"),
        ("limits.stage(\"calls\").tokens == null", "true"),
        ("limits.stage(request.model).used", "Missing"),
        ("spend.today.key.total", "11"),
        ("spend.today.team.input + spend.today.everyone.input", "50"),
        ("spend.today.team.cost < 1.0", "true"),
        ("spend.today.user.cost < 1.0", "Null"),
        ("spend.today.user == null", "true"),
    ];
    for (text, want) in cases {
        let got = match compile(text, HookKind::Condition).eval(&view, &Counting) {
            Ok(value) => value.to_string(),
            Err(fault) => format!("{:?}", fault.cause),
        };
        assert_eq!(got, want, "{text}");
    }
    let reads = compile("spend.today.key.cost > 1.0", HookKind::Request).reads();
    assert_eq!(reads, Reads::SPENT);
    let named = compile("limits.stage(\"rate\").used > limits.stage(request.model).used", HookKind::Reply);
    assert_eq!(named.limit_names().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["rate"]);
}

#[test]
fn says_what_it_reads_and_whether_it_is_constant() {
    let reads = |text: &str| compile(text, HookKind::End).reads();
    assert_eq!(reads("request.model == \"x\""), Reads::NONE);
    assert_eq!(reads("request.text == \"x\""), Reads::BODY | Reads::TEXTS);
    assert!(reads("size(request.messages) > 3").only_turns());
    assert!(!reads("size(request.messages) > 3 && request.all_text != \"\"").only_turns());
    assert_eq!(reads("original.headers[\"a\"] == \"x\""), Reads::ORIGINAL | Reads::HEADERS);
    assert_eq!(reads("caller.team == \"x\" && now.getHours() > 3"), Reads::CALLER | Reads::NOW);
    assert_eq!(reads("reply.status == 200"), Reads::REPLY);
    assert_eq!(reads("reply.text == \"\""), Reads::REPLY | Reads::REPLY_BODY);
    assert_eq!(reads("tokens(\"a\") > 1"), Reads::TOKENS);
    assert!(reads("request.tokens > 1").contains(Reads::TOKENS | Reads::BODY));
    assert_eq!(compile("1 + 1 == 2", HookKind::Match).constant(), Some(&CelValue::Bool(true)));
    assert!(!compile("request.stream", HookKind::Match).is_constant());
    assert!(!compile("tokens(\"a\") == 1", HookKind::Match).is_constant());
}

#[test]
fn keys_are_stable_and_never_null() {
    let request = request();
    let view = View::new(&request, "", 0);
    let key =
        |text: &str| compile(text, HookKind::Request).eval_string_key(&view, &Counting).map_err(|f| f.cause);
    assert_eq!(key("caller.team"), Ok("blue".to_owned()));
    assert_eq!(key("[caller.team, request.model]"), Ok("[\"blue\",\"fast\"]".to_owned()));
    assert_eq!(key("1 + 1"), Ok("2".to_owned()));
    assert_eq!(key("caller.user"), Err(FaultCause::Null));
    assert_eq!(key("[caller.user]"), Err(FaultCause::Null));
}

#[test]
fn loops_in_loops_and_long_texts_end_within_the_budget() {
    let mut request = request();
    let Body::Chat(chat) = &mut request.body else { panic!() };
    chat.messages = (0..300).map(|_| message(Role::User, "x")).collect();
    chat.messages.push(message(Role::User, &"a".repeat(1 << 20)));
    let view = View::new(&request, "", 0);
    let costly = [
        "request.messages.all(a, request.messages.all(b, a.text == b.text || true))",
        "request.messages.map(a, request.messages.map(b, a.text + b.text)).size() > 0",
        "request.messages.map(a, request.text.replace(\"a\", request.text)).size() > 0",
        "request.messages.all(a, request.text.contains(\"b\") || true)",
        "request.text.split(\"\").size() > 0",
        "request.text.matches(\"^(a|aa)+$\") && request.text.matches(\"b\") || request.text.matches(\"c\") && true",
    ];
    for text in costly {
        let expression = compile(text, HookKind::Request);
        let fault = expression.eval(&view, &Counting);
        assert_eq!(fault.map_err(|fault| fault.cause), Err(FaultCause::TooCostly), "{text}");
        // What is booked past the budget is at most what one step books before it is asked.
        assert!(expression.work(&view, &Counting) < 2 * WORK, "{text}");
    }
    assert_eq!(
        compile("request.text.matches(\"b\")", HookKind::Request).eval_bool(&view, &Counting),
        Ok(false)
    );
}

#[test]
fn a_field_costs_nothing_until_it_is_read() {
    let mut request = request();
    let view_of = |request: &Request, text: &str| {
        compile(text, HookKind::Request).work(&View::new(request, "", 0), &Counting)
    };
    let short = view_of(&request, "request.model == \"x\" && request.stream");
    let Body::Chat(chat) = &mut request.body else { panic!() };
    chat.messages = vec![message(Role::User, &"a".repeat(100_000))];
    assert_eq!(view_of(&request, "request.model == \"x\" && request.stream"), short);
    assert!(short < 10);
    // The words of one turn are borrowed, not copied.
    assert!(view_of(&request, "request.text == \"x\"") < 10);
}

#[test]
fn the_reference_names_every_root_and_function() {
    let page = view_reference();
    for word in
        ["`request`", "`ledger`", "getHours", "`r.set_header(name, value)`", "`e.text = …`", "cached_input"]
    {
        assert!(page.contains(word), "{word}");
    }
    let schema = view_schema();
    assert_eq!(schema["properties"]["request"]["$ref"], "#/$defs/request");
    assert_eq!(schema["$defs"]["caller"]["properties"]["team"]["type"], "string");
}

proptest::proptest! {
    #[test]
    fn random_text_never_panics(text in "[a-z0-9.()\\[\\]{}?:,\"'&|!=<>+*/%\\\\ é-]{0,60}") {
        let _ = Expression::compile(&embedded(&text), HookKind::Request, Expect::Any, &ParamTypes::unknown());
    }

    #[test]
    fn random_words_never_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "request", ".", "messages", "text", "(", ")", "[", "]", "all", "map", "x", ",", "==", "+", "-", "1", "\"a\"", "!", "?", ":",
        "&&", "||", "in", "null", "params", "size", "has", "now", "getHours", "{", "}", "-9223372036854775808", "9223372036854775808",
    ]), 0..40)) {
        let text = words.join(" ");
        let request = request();
        if let Ok(expression) = Expression::compile(&embedded(&text), HookKind::Request, Expect::Any, &ParamTypes::unknown()) {
            let _ = expression.eval(&View::new(&request, "", 0), &Counting);
            let _ = expression.eval_explained(&View::new(&request, "", 0), &Counting);
        }
    }
}

#[test]
fn deep_and_large_trees_are_refused_and_not_walked() {
    let cases = [
        format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{}true", "!".repeat(5_000)),
        format!("1{}", " + 1".repeat(2_000)),
        format!("request{}", ".a".repeat(5_000)),
        format!("[{}1]", "1,".repeat(2_000)),
        "x".repeat(20_000),
        format!("true{}", " ? true : true".repeat(500)),
    ];
    for text in cases {
        let found =
            Expression::compile(&embedded(&text), HookKind::Request, Expect::Any, &ParamTypes::none())
                .unwrap_err();
        assert_eq!(found[0].code.id(), "too-costly", "{}", &text[..20]);
    }
}
