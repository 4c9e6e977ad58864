//! Expectations: CEL over the view, or short forms of it.

use super::format::ShortSpec;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Embedded};
use weir_policy::{Node, NodeKind, bind};
use weir_script::{Expect, Expression, HookKind, ParamTypes};

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// As it is shown: the CEL text.
    pub text: Arc<str>,
    /// The expression.
    pub expression: Arc<Expression>,
}

/// Reads one item of `expect:`.
pub(super) fn read(node: &Node, into: &mut Vec<Expectation>, diagnostics: &mut Diagnostics) {
    match &node.kind {
        NodeKind::Str(text) => compile(text.clone(), into, diagnostics),
        NodeKind::Map(entries) if !entries.is_empty() => {
            let Some(short) = bind::<ShortSpec>(node, diagnostics) else { return };
            for text in spelt_out(&short) {
                compile(Embedded::verbatim(text, node.span), into, diagnostics);
            }
        }
        _ => diagnostics.push(
            Diagnostic::new(
                Code::BadCase,
                format!("an expectation is CEL or a short form, not {}", node.kind_name()),
            )
            .at(node.span)
            .help("write for example `- client.status == 200` or `- { status: 200 }`"),
        ),
    }
}

fn compile(text: Embedded, into: &mut Vec<Expectation>, diagnostics: &mut Diagnostics) {
    match Expression::compile(&text, HookKind::Case, Expect::Bool, &ParamTypes::none()) {
        Ok(expression) if !expression.varies() => diagnostics.push(
            Diagnostic::new(Code::VacuousCase, "this expectation reads nothing of request or reply")
                .at(text.span)
                .help("read what it is about, for example `client.status` or `reply.text`"),
        ),
        Ok(expression) => {
            into.push(Expectation { text: Arc::clone(&text.text), expression: Arc::new(expression) })
        }
        Err(found) => diagnostics.extend(found),
    }
}

/// A short form as the CEL that it stands for.
fn spelt_out(short: &ShortSpec) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |text: String| out.push(text);
    if let Some(status) = short.status {
        say(format!("client.status == {status}"));
    }
    if let Some(error) = &short.error {
        say(format!("client.error.code == {}", quoted(error)));
    }
    if let Some(text) = &short.text {
        say(format!("client.text == {}", quoted(text)));
    }
    if let Some(text) = &short.contains {
        say(format!("client.text.contains({})", quoted(text)));
    }
    if let Some(text) = &short.lacks {
        say(format!("!client.body.contains({})", quoted(text)));
    }
    if let Some(calls) = short.calls {
        say(format!("size(upstream) == {calls}"));
    }
    if let Some(text) = &short.never_sent {
        say(format!("!upstream.exists(u, u.request.all_text.contains({}))", quoted(text)));
    }
    if let Some(cache) = &short.cache {
        say(format!("client.headers[\"x-weir-cache\"] == {}", quoted(cache)));
    }
    if let Some(target) = &short.target {
        say(format!("client.headers[\"x-weir-target\"] == {}", quoted(target)));
    }
    for (stage, decision) in short.stages.iter().flatten() {
        say(format!("trace.stage({}).decision == {}", quoted(stage), quoted(decision)));
    }
    out
}

/// A text as a CEL literal.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_form_is_an_expression_that_the_view_takes() {
        let short = ShortSpec {
            status: Some(403),
            error: Some("denied".into()),
            text: Some("a \"b\"\n".into()),
            contains: Some("x\\y".into()),
            lacks: Some("z".into()),
            calls: Some(2),
            never_sent: Some("bob@example.com".into()),
            cache: Some("hit".into()),
            target: Some("echo/echo".into()),
            stages: Some([("pii".to_owned(), "edited".to_owned())].into()),
        };
        let all = spelt_out(&short);
        assert_eq!(all.len(), 10);
        for text in all {
            let mut sources = weir_diagnostic::Sources::default();
            let id = sources.add("t", text.as_str());
            let (mut out, mut diagnostics) = (Vec::new(), Diagnostics::new());
            compile(Embedded::whole(text.as_str(), id), &mut out, &mut diagnostics);
            assert!(out.len() == 1, "{text}: {}", weir_diagnostic::render(&sources, &diagnostics, false));
        }
    }
}
