//! Sets and removes headers: of the request on its way to the provider, of the reply on its way to the client.
//!
//! Headers that carry credentials, belong to the connection, or start with `x-weir-` cannot be named.
//!
//! ```yaml
//! - transform: headers
//!   with:
//!     request: { set: { x-team: { cel: caller.team } }, default: { x-app: unknown }, remove: [x-debug] }
//!     reply: { set: { x-served-by: weir }, remove: [openai-version] }
//! ```

use super::value::{Given, Written};
use crate::header_names::{is_connection, is_credential};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_pipeline::{
    CONTINUE, Declares, Exchange, Hook, Needs, Notes, Stage, StreamStage, Streaming, Verdict, Visit,
    Workbench,
};
use weir_policy::{Spanned, StageDecl};
use weir_script::HookKind;

/// The settings of `transform: headers`. At least one of `request` and `reply` is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Changes to the headers that go to the provider.
    #[serde(default)]
    request: RequestHeaders,
    /// Changes to the headers that go to the client.
    #[serde(default)]
    reply: ReplyHeaders,
}

/// Changes to a request's headers, made in this order: remove, default, set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RequestHeaders {
    /// Headers by name that get this value, in place of another. A value is text or `{ cel: … }`; an expression that gives
    /// null sets nothing.
    set: BTreeMap<String, Written>,
    /// Headers that get this value unless the client sent them.
    default: BTreeMap<String, Written>,
    /// Headers that are taken out.
    remove: Vec<Spanned<String>>,
}

/// Changes to a reply's headers, made in this order: remove, set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ReplyHeaders {
    /// Headers by name that get this value, in place of another. A value is text or `{ cel: … }`, which reads the request.
    set: BTreeMap<String, Written>,
    /// Headers of the provider that are taken out.
    remove: Vec<Spanned<String>>,
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let (request, reply) = (&settings.request, &settings.reply);
    let set = values(&request.set, bench);
    let default = values(&request.default, bench);
    let remove = names(&request.remove, bench);
    let reply_set = values(&reply.set, bench);
    let reply_remove = names(&reply.remove, bench);
    let headers = Headers {
        set: set?,
        default: default?,
        remove: remove?,
        reply_set: reply_set?,
        reply_remove: reply_remove?,
    };
    if !headers.edits_request() && !headers.edits_reply() {
        let found = Diagnostic::new(Code::MissingField, "`headers` changes nothing").at(decl.span);
        bench.diagnostics.push(found.help("give `request` or `reply` with `set`, `default` or `remove`"));
        return None;
    }
    Some(Arc::new(headers))
}

fn values(map: &BTreeMap<String, Written>, bench: &mut Workbench<'_>) -> Option<Vec<(HeaderName, Given)>> {
    let compiled: Vec<Option<(HeaderName, Given)>> = map
        .iter()
        .map(|(name, written)| {
            let name = name_of(name, written.span(), bench)?;
            let given = written.compile(HookKind::Request, bench)?;
            if let Given::Fixed(value) = &given
                && header_value(value).is_none()
            {
                let message = format!("this cannot be the value of the header `{name}`");
                let found = Diagnostic::new(Code::BadValue, message).at(written.span());
                bench.diagnostics.push(found.help("write text of one line, or `{ cel: … }`"));
                return None;
            }
            Some((name, given))
        })
        .collect();
    compiled.into_iter().collect()
}

fn names(list: &[Spanned<String>], bench: &mut Workbench<'_>) -> Option<Vec<HeaderName>> {
    let compiled: Vec<_> = list.iter().map(|name| name_of(&name.value, name.span, bench)).collect();
    compiled.into_iter().collect()
}

fn name_of(name: &str, span: Span, bench: &mut Workbench<'_>) -> Option<HeaderName> {
    let wrong = match HeaderName::try_from(name) {
        Err(_) => format!("`{name}` cannot be the name of a header"),
        Ok(name) if is_credential(name.as_str()) => {
            format!("`{name}` carries a credential, which only a provider's own settings may set")
        }
        Ok(name) if is_connection(name.as_str()) => {
            format!("`{name}` belongs to the connection, which Weir keeps")
        }
        Ok(name) if name.as_str().starts_with("x-weir-") => format!("`{name}` is Weir's own"),
        Ok(name) => return Some(name),
    };
    bench.diagnostics.push(Diagnostic::new(Code::BadValue, wrong).at(span));
    None
}

/// A value as a header's: texts, numbers, true and false.
fn header_value(value: &Value) -> Option<HeaderValue> {
    match value {
        Value::String(text) => HeaderValue::from_str(text).ok(),
        Value::Number(_) | Value::Bool(_) => HeaderValue::try_from(value.to_string()).ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

struct Headers {
    set: Vec<(HeaderName, Given)>,
    default: Vec<(HeaderName, Given)>,
    remove: Vec<HeaderName>,
    reply_set: Vec<(HeaderName, Given)>,
    reply_remove: Vec<HeaderName>,
}

impl Stage for Headers {
    fn declares(&self) -> Declares {
        let given = self.set.iter().chain(&self.default).chain(&self.reply_set);
        let needs = given.fold(Needs::NONE, |needs, (_, given)| needs | given.needs());
        Declares {
            needs,
            streaming: if self.edits_reply() { Streaming::Events } else { Streaming::None },
            judges_request: false,
            reads_reply: self.edits_reply(),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.edits_request() {
            return CONTINUE;
        }
        match self.edit_request(visit.exchange, visit.notes) {
            Ok(()) => CONTINUE,
            Err(reason) => Hook::Done(Verdict::Fault(reason)),
        }
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        match self.edit_reply(visit.exchange, visit.notes) {
            Ok(()) => {
                if let Some(reply) = &mut visit.exchange.reply {
                    reply.mark_edited();
                }
                CONTINUE
            }
            Err(reason) => Hook::Done(Verdict::Fault(reason)),
        }
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        // The head of a stream is sent after this; its events are not looked at.
        if let Err(reason) = self.edit_reply(visit.exchange, visit.notes) {
            visit.notes.reason = Some(reason);
        }
        None
    }
}

impl Headers {
    fn edits_request(&self) -> bool {
        !(self.set.is_empty() && self.default.is_empty() && self.remove.is_empty())
    }

    fn edits_reply(&self) -> bool {
        !(self.reply_set.is_empty() && self.reply_remove.is_empty())
    }

    fn edit_request(&self, x: &mut Exchange, notes: &mut Notes) -> Result<(), String> {
        let set = worked_out(&self.set, x)?;
        let default = worked_out(&self.default, x)?;
        let (mut made, mut gone) = (Vec::new(), Vec::new());
        let headers = &mut x.request.headers;
        for name in &self.remove {
            if headers.remove(name).is_some() {
                gone.push(name.as_str());
            }
        }
        for (name, value) in default {
            if !headers.contains_key(&name) {
                made.push(name.to_string());
                headers.insert(name, value);
            }
        }
        for (name, value) in set {
            if headers.get(&name) != Some(&value) {
                made.push(name.to_string());
            }
            headers.insert(name, value);
        }
        if !made.is_empty() || !gone.is_empty() {
            x.request.mark_edited();
        }
        tell(notes, "headers_set", made);
        tell(notes, "headers_removed", gone);
        Ok(())
    }

    fn edit_reply(&self, x: &mut Exchange, notes: &mut Notes) -> Result<(), String> {
        let set = worked_out(&self.reply_set, x)?;
        // The head of a stream is not seen here.
        let is_there =
            |name: &&HeaderName| x.reply.as_ref().is_none_or(|reply| reply.headers.contains_key(*name));
        let gone = self.reply_remove.iter().filter(is_there).map(HeaderName::as_str).collect();
        tell(notes, "reply_headers_set", set.iter().map(|(name, _)| name.as_str()).collect());
        tell(notes, "reply_headers_removed", gone);
        x.hidden_headers.extend(self.reply_remove.iter().cloned());
        for (name, value) in set {
            x.headers.insert(name, value);
        }
        Ok(())
    }
}

/// Tells the trace which headers were changed; values may be nobody's business.
fn tell<T: Into<Value>>(notes: &mut Notes, fact: &'static str, names: Vec<T>) {
    if !names.is_empty() {
        notes.fact(fact, names);
    }
}

/// The values for this request; those that are null are left out.
fn worked_out(given: &[(HeaderName, Given)], x: &Exchange) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut out = Vec::with_capacity(given.len());
    for (name, given) in given {
        let value = given.value(x)?;
        if value.is_null() {
            continue;
        }
        let value =
            header_value(&value).ok_or_else(|| format!("the value for `{name}` cannot stand in a header"))?;
        out.push((name.clone(), value));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::json;

    #[tokio::test]
    async fn changes_what_goes_up_and_what_comes_back() {
        let world = World::new(
            "- transform: headers\n  with:\n    request: { set: { x-team: { cel: caller.team }, x-n: 1 }, default: { x-app: none, x-have: none }, remove: [x-debug] }\n    reply: { set: { x-served-by: weir }, remove: [content-language] }",
        );
        for stream in [false, true] {
            let mut body = chat("hi");
            body["stream"] = json!(stream);
            let got = world.send_as(Some("web"), &[("x-debug", "1"), ("x-have", "mine")], body).await;
            assert_eq!((got.status, got.header("x-served-by")), (200, "weir"));
            let (_, headers) = world.calls().remove(0);
            for (name, value) in [("x-team", "web"), ("x-n", "1"), ("x-app", "none"), ("x-have", "mine")] {
                assert_eq!(headers.get(name).unwrap(), value);
            }
            assert!(!headers.contains_key("x-debug"));
            assert_eq!(world.last().trace.stage("headers").unwrap().decision.name(), "edited");
        }
    }

    #[tokio::test]
    async fn tells_which_headers_it_changes_or_would_change_and_no_value() {
        let with = "request: { set: { x-team: secret, x-have: mine }, default: { x-app: none }, remove: [x-debug, x-none] }, reply: { set: { x-served-by: weir } }";
        for mode in ["enforce", "shadow"] {
            let world = World::new(&format!("- transform: headers\n  mode: {mode}\n  with: {{ {with} }}"));
            world.send_as(None, &[("x-debug", "1"), ("x-have", "mine")], chat("hi")).await;
            let facts = ["headers_set", "headers_removed", "reply_headers_set"];
            let told = facts.map(|fact| world.fact("headers", fact).unwrap_or_default());
            assert_eq!(
                told,
                [json!(["x-app", "x-team"]), json!(["x-debug"]), json!(["x-served-by"])],
                "{mode}"
            );
            let (_, headers) = world.calls().remove(0);
            assert_eq!(headers.contains_key("x-team"), mode == "enforce");
        }
    }

    #[test]
    fn refuses_what_no_policy_may_touch() {
        for (with, want) in [
            ("{ request: { set: { authorization: x } } }", "credential"),
            ("{ request: { remove: [Transfer-Encoding] } }", "connection"),
            ("{ reply: { set: { x-weir-cache: hit } } }", "Weir's own"),
            ("{ request: { set: { 'a b': x } } }", "cannot be the name"),
            ("{ request: { set: { a: [1] } } }", "cannot be the value"),
            ("{ request: { set: { a: { cel: caler.team } } } }", "caller"),
            ("{}", "changes nothing"),
        ] {
            let found = wrongs(&format!("- transform: headers\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
