//! Sets, defaults and removes fields of the body by JSON Pointer (RFC 6901); all else keeps its spelling.
//!
//! ```yaml
//! - transform: json
//!   with: { default: { /temperature: 0.2 }, set: { /metadata/team: { cel: caller.team } }, remove: [/logit_bias] }
//! ```

use super::value::{Given, Written};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_message::{JsonOp, ReplyBody};
use weir_pipeline::{
    CONTINUE, Declares, Exchange, Hook, Needs, Notes, Stage, Streaming, TEXT_OPERATIONS, Verdict, Visit,
    Workbench,
};
use weir_policy::{Spanned, StageDecl};
use weir_script::HookKind;

/// The settings of `transform: json`. The first three fields are about the request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Fields by pointer (`/temperature`) that get this value, in place of another; the field around them must be there. A
    /// value is anything, or `{ cel: … }`.
    #[serde(default)]
    set: BTreeMap<String, Written>,
    /// Fields by pointer that get this value unless the client gave one.
    #[serde(default)]
    default: BTreeMap<String, Written>,
    /// Fields by pointer that are taken out.
    #[serde(default)]
    remove: Vec<Spanned<String>>,
    /// The same for whole replies. The stage must then say `stream: whole`.
    #[serde(default)]
    reply: Option<Fields>,
}

/// Changes to a body, made in this order: remove, default, set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    /// Fields by pointer that get this value.
    set: BTreeMap<String, Written>,
    /// Fields by pointer that get this value unless there is one.
    default: BTreeMap<String, Written>,
    /// Fields by pointer that are taken out.
    remove: Vec<Spanned<String>>,
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let fields = Fields { set: settings.set, default: settings.default, remove: settings.remove };
    let request = ops(&fields, HookKind::Request, bench);
    let reply = match &settings.reply {
        Some(fields) => {
            if !decl.stream_whole {
                let message = "`json` changes replies and does not say what it does with streams";
                let found = Diagnostic::new(Code::StreamNeedsWhole, message).at(decl.span);
                bench.diagnostics.push(
                    found.help("add `stream: whole` to the stage: streams are then held back to their end"),
                );
                return None;
            }
            ops(fields, HookKind::Reply, bench)
        }
        None => Some(Vec::new()),
    };
    let (request, reply) = (request?, reply?);
    if request.is_empty() && reply.is_empty() {
        let found = Diagnostic::new(Code::MissingField, "`json` changes nothing").at(decl.span);
        bench.diagnostics.push(found.help("give `set`, `default` or `remove`"));
        return None;
    }
    Some(Arc::new(Json { request, reply }))
}

enum Op {
    Set(String, Given),
    Default(String, Given),
    Remove(String),
}

fn ops(fields: &Fields, hook: HookKind, bench: &mut Workbench<'_>) -> Option<Vec<Op>> {
    let mut ops = Vec::new();
    for pointer in &fields.remove {
        ops.push(checked(&pointer.value, pointer.span, hook, bench).map(Op::Remove));
    }
    for (map, op) in [(&fields.default, Op::Default as fn(String, Given) -> Op), (&fields.set, Op::Set)] {
        for (pointer, written) in map {
            let pointer = checked(pointer, written.span(), hook, bench);
            let given = written.compile(hook, bench);
            ops.push(pointer.zip(given).map(|(pointer, given)| op(pointer, given)));
        }
    }
    ops.into_iter().collect()
}

fn checked(pointer: &str, span: Span, hook: HookKind, bench: &mut Workbench<'_>) -> Option<String> {
    let escapes_fit = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    let (message, help) = if !pointer.starts_with('/') {
        (
            format!("`{pointer}` is no JSON Pointer"),
            format!("write `/{}`", pointer.trim_start_matches('$').replace('.', "/").trim_start_matches('/')),
        )
    } else if !escapes_fit {
        (
            format!("`{pointer}` is no JSON Pointer"),
            "in a pointer `~` is written `~0`, and `/` inside a name `~1`".to_owned(),
        )
    } else if hook == HookKind::Request && (pointer == "/stream" || pointer.starts_with("/stream/")) {
        ("whether a reply is streamed is the client's choice".to_owned(), "leave `/stream` out".to_owned())
    } else {
        return Some(pointer.to_owned());
    };
    bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help(help));
    None
}

struct Json {
    request: Vec<Op>,
    reply: Vec<Op>,
}

impl Stage for Json {
    fn declares(&self) -> Declares {
        let needs = self.request.iter().chain(&self.reply).fold(Needs::NONE, |needs, op| match op {
            Op::Set(_, given) | Op::Default(_, given) => needs | given.needs(),
            Op::Remove(_) => needs,
        });
        let body = if self.request.is_empty() { Needs::NONE } else { Needs::BODY };
        let (reply, streaming) = match self.reply.is_empty() {
            true => (Needs::NONE, Streaming::None),
            false => (Needs::REPLY | Needs::EVENTS, Streaming::Whole),
        };
        Declares {
            needs: needs | body | reply,
            streaming,
            edits_request: !self.request.is_empty(),
            judges_request: false,
            reads_reply: !self.reply.is_empty(),
            reads_operations: Some(TEXT_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let request = &visit.exchange.request;
        let has_fields = TEXT_OPERATIONS.contains(&request.operation) && !weir_dialect::is_kept(request);
        if self.request.is_empty() || !has_fields {
            return CONTINUE;
        }
        match self.edit_request(visit.exchange, visit.notes) {
            Ok(()) => CONTINUE,
            Err(reason) => Hook::Done(Verdict::Fault(reason)),
        }
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        match self.edit_reply(visit.exchange, visit.notes) {
            Ok(()) => CONTINUE,
            Err(reason) => Hook::Done(Verdict::Fault(reason)),
        }
    }
}

impl Json {
    fn edit_request(&self, x: &mut Exchange, notes: &mut Notes) -> Result<(), String> {
        if self.request.iter().all(|op| op.parameter().is_some()) {
            // Plain parameters are changed in the typed form; nothing is read again.
            let mut changes = Changes::default();
            for op in &self.request {
                let Some(name) = op.parameter() else { continue };
                let is_there = x.request.params.get(name).is_some();
                match op {
                    Op::Set(pointer, given) => {
                        let value = given.value(x)?;
                        x.request.set_param(name, &value);
                        changes.set.push(pointer.clone());
                    }
                    Op::Default(pointer, given) if !is_there => {
                        let value = given.value(x)?;
                        x.request.set_param(name, &value);
                        changes.set.push(pointer.clone());
                    }
                    Op::Default(..) => {}
                    Op::Remove(pointer) => {
                        x.request.remove_param(name);
                        changes.removed.extend(is_there.then(|| pointer.clone()));
                    }
                }
            }
            changes.tell(["fields_set", "fields_removed"], notes);
            return Ok(());
        }
        let ops = worked_out(&self.request, x)?;
        let before = x.request.outgoing().map_err(|error| error.to_string())?;
        if weir_message::patch(&before, &ops).is_ok_and(|after| after == before) {
            return Ok(());
        }
        x.request.patch(&ops).map_err(|error| error.to_string())?;
        Changes::of(&ops, &before).tell(["fields_set", "fields_removed"], notes);
        weir_dialect::decode(&mut x.request).map_err(|fault| fault.message.to_string())
    }

    fn edit_reply(&self, x: &mut Exchange, notes: &mut Notes) -> Result<(), String> {
        let ops = worked_out(&self.reply, x)?;
        let (dialect, operation) = (x.request.dialect, x.request.operation);
        let Some(reply) = &mut x.reply else { return Ok(()) };
        let changes = Changes::of(&ops, &reply.outgoing());
        reply.patch(&ops).map_err(|error| error.to_string())?;
        changes.tell(["reply_fields_set", "reply_fields_removed"], notes);
        reply.body = ReplyBody::Unread;
        weir_dialect::decode_reply(reply, dialect, operation).map_err(|fault| fault.message.to_string())
    }
}

impl Op {
    /// The top-level parameter that it is about, if it is about one that is not read otherwise.
    fn parameter(&self) -> Option<&str> {
        let (Self::Set(pointer, _) | Self::Default(pointer, _) | Self::Remove(pointer)) = self;
        let name = pointer.strip_prefix('/')?;
        let is_typed = matches!(
            name,
            "model" | "messages" | "prompt" | "input" | "tools" | "stream" | "stream_options" | "suffix"
        );
        (!is_typed && !name.is_empty() && !name.contains(['/', '~'])).then_some(name)
    }
}

/// The pointers of fields that change.
#[derive(Default)]
struct Changes {
    set: Vec<String>,
    removed: Vec<String>,
}

impl Changes {
    /// What these changes do to a body.
    fn of(ops: &[JsonOp], before: &[u8]) -> Self {
        let is_there = |pointer: &str| matches!(weir_message::locate(before, pointer), Ok(Some(_)));
        let mut changes = Self::default();
        for op in ops {
            match op {
                JsonOp::Default(pointer, _) if is_there(pointer) => {}
                JsonOp::Set(pointer, _) | JsonOp::Default(pointer, _) => changes.set.push(pointer.clone()),
                JsonOp::Remove(pointer) if is_there(pointer) => changes.removed.push(pointer.clone()),
                JsonOp::Remove(_) | JsonOp::Insert(..) | JsonOp::Wrap(..) => {}
            }
        }
        changes
    }

    /// Tells the trace; values may be nobody's business.
    fn tell(self, facts: [&'static str; 2], notes: &mut Notes) {
        for (fact, pointers) in facts.into_iter().zip([self.set, self.removed]) {
            if !pointers.is_empty() {
                notes.fact(fact, pointers);
            }
        }
    }
}

fn worked_out(ops: &[Op], x: &Exchange) -> Result<Vec<JsonOp>, String> {
    ops.iter()
        .map(|op| {
            Ok(match op {
                Op::Set(pointer, given) => JsonOp::Set(pointer.clone(), given.value(x)?),
                Op::Default(pointer, given) => JsonOp::Default(pointer.clone(), given.value(x)?),
                Op::Remove(pointer) => JsonOp::Remove(pointer.clone()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::{Value, json};

    #[tokio::test]
    async fn sets_defaults_and_removes() {
        for (with, field, given, want) in [
            ("{ default: { /temperature: 0.2 } }", "/temperature", None, json!(0.2)),
            ("{ default: { /temperature: 0.2 } }", "/temperature", Some(json!(1)), json!(1)),
            ("{ set: { /temperature: 0.2 } }", "/temperature", Some(json!(1)), json!(0.2)),
            ("{ set: { /user: { cel: caller.team } } }", "/user", None, json!("web")),
            ("{ remove: [/temperature] }", "/temperature", Some(json!(1)), Value::Null),
            ("{ set: { /messages/0/content: bye } }", "/messages/0/content", None, json!("bye")),
            ("{ set: { /metadata: { a: 1 } } }", "/metadata/a", None, json!(1)),
        ] {
            let world = World::new(&format!("- transform: json\n  with: {with}"));
            let mut body = chat("hi");
            if let Some(given) = given {
                body[field.trim_start_matches('/')] = given;
            }
            assert_eq!(world.send_as(Some("web"), &[], body).await.status, 200, "{with}");
            let (sent, _) = world.calls().remove(0);
            assert_eq!(sent.pointer(field).cloned().unwrap_or_default(), want, "{with}");
        }
    }

    #[tokio::test]
    async fn tells_which_fields_it_changes_or_would_change_and_no_value() {
        let cases = [
            (
                "set: { /user: { cel: caller.team } }, default: { /top_p: 1, /seed: 7 }, remove: [/n, /stop]",
                ["/seed", "/user"],
            ),
            // One that is not a parameter is changed in the body.
            (
                "set: { /messages/0/content: bye }, default: { /top_p: 1, /seed: 7 }, remove: [/n, /stop]",
                ["/seed", "/messages/0/content"],
            ),
        ];
        for (with, set) in cases {
            for mode in ["enforce", "shadow"] {
                let world = World::new(&format!("- transform: json\n  mode: {mode}\n  with: {{ {with} }}"));
                let mut body = chat("hi");
                (body["top_p"], body["n"]) = (json!(0.5), json!(1));
                assert_eq!(world.send_as(Some("web"), &[], body).await.status, 200, "{with}");
                let told = ["fields_set", "fields_removed"].map(|fact| world.fact("json", fact));
                assert_eq!(told, [Some(json!(set)), Some(json!(["/n"]))], "{mode}: {with}");
                let (sent, _) = world.calls().remove(0);
                assert_eq!(sent["seed"].is_null(), mode == "shadow");
            }
        }
    }

    #[tokio::test]
    async fn another_model_is_followed() {
        let world = World::new("- transform: json\n  with: { set: { /model: claude } }");
        assert_eq!(world.send(chat("hi")).await.text(), "from claude");
    }

    #[tokio::test]
    async fn changes_whole_and_held_replies() {
        let world = World::new(
            "- transform: json\n  stream: whole\n  with: { reply: { set: { /choices/0/message/content: ours } } }",
        );
        for stream in [false, true] {
            let mut body = chat("hi");
            body["stream"] = json!(stream);
            assert_eq!(world.send(body).await.text(), "ours");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in [
            ("{ set: { temperature: 1 } }", "write `/temperature`"),
            ("{ set: { /a~b: 1 } }", "~0"),
            ("{ set: { /stream: true } }", "client's choice"),
            ("{ reply: { set: { /a: 1 } } }", "stream-needs-whole"),
            ("{ set: { /a: { cel: 1 + } } }", "bad-cel"),
            ("{}", "changes nothing"),
        ] {
            let found = wrongs(&format!("- transform: json\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
