//! Which tools may be offered to a model and called by it, and with which arguments.
//!
//! It reads the tools that a request offers, the calls in its turns, and the calls of replies; a stream is held to its end, so
//! that no part of a call goes out before it is judged. Names of functions are those of the request, of a provider's own tools
//! their kinds (`web_search`). In names `*` stands for any characters. A rule's `cel` sees `call` (`call.name`, `call.args`).
//!
//! ```yaml
//! - guard: tools
//!   with:
//!     allow: [search, "mail_*"]
//!     calls:
//!       mail_send: { schema: { type: object, required: [to] }, cel: call.args.to.endsWith("@acme.com") }
//!     secrets: true
//! ```

use super::action::{Judged, Place, Side, both};
use super::json_schema::JsonSchema;
use super::judging::{Found, Judging, Rules};
use super::pii::reading::Reading;
use super::secrets;
use super::spans::Finder;
use schemars::JsonSchema as Describe;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::{Part, Reply, Tool, ToolCall};
use weir_pipeline::{Exchange, Stage, Workbench};
use weir_policy::{Expr, Node, Spanned, StageDecl};
use weir_script::{Expect, Expression, HookKind, View};

/// The settings of `guard: tools`.
#[derive(Clone, Debug, Deserialize, Describe)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The tools that may be offered and called; all if none is named.
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    /// Tools that may not, whatever `allow` says.
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    /// Rules for calls, by the tool's name or a pattern; all that fit hold.
    #[serde(default)]
    calls: BTreeMap<String, Call>,
    /// Whether a call must be of a tool that the request offers, with arguments that fit the schema it offers it with.
    #[serde(default)]
    offered: bool,
    /// Whether a call is wrong whose arguments hold a secret, as `guard: secrets` finds them.
    #[serde(default)]
    secrets: bool,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// What is done with a request or reply that breaks a rule.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial; by default which tool broke which rule.
    message: Option<String>,
}

/// Rules for calls of a tool.
#[derive(Clone, Debug, Deserialize, Describe)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// The JSON Schema that the arguments must fit.
    #[schemars(extend("type" = "object"))]
    schema: Option<Node>,
    /// The same, in a file of the set (`.schema.json`).
    file: Option<Spanned<String>>,
    /// A condition that must hold for each call.
    cel: Option<Expr>,
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut calls = Vec::new();
    for (name, call) in settings.calls {
        let schema = JsonSchema::of_settings(call.schema.as_ref(), call.file.as_ref(), bench);
        let cel = call.cel.and_then(|cel| bench.expression(&cel, HookKind::Call, Expect::Bool));
        calls.push(Rule { pattern: Pattern::new(&name), schema, cel });
    }
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    let limits = settings.offered || settings.secrets;
    if settings.allow.is_empty() && settings.deny.is_empty() && calls.is_empty() && !limits {
        wrong("the guard has no rule", "name tools in `allow` or `deny`, or rules in `calls`");
    }
    if calls.iter().any(|rule| rule.schema.is_none() && rule.cel.is_none())
        && bench.diagnostics.len() == before
    {
        let message = "a rule in `calls` asks for nothing";
        let help = "give it a `schema`, a `file` or a `cel`";
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    }
    let action = settings.then.action(&settings.on, settings.tag, |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    if bench.diagnostics.len() > before {
        return None;
    }
    let patterns = |list: &[Spanned<String>]| list.iter().map(|name| Pattern::new(name)).collect();
    let rules = Tools {
        allow: patterns(&settings.allow),
        deny: patterns(&settings.deny),
        calls,
        offered: settings.offered,
        secrets: settings.secrets.then(|| Box::new(secrets::finder()) as Box<dyn Finder>),
    };
    let (on, message) = (settings.on, settings.message);
    // Token ids name no tools.
    Some(Judging { rules, on, action, message, unread_pass: true }.stage())
}

/// A name with `*` for any characters.
struct Pattern(Vec<String>);

impl Pattern {
    fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(str::to_owned).collect())
    }

    fn fits(&self, name: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|whole| whole == name);
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            let Some((_, behind)) = rest.split_once(piece.as_str()) else { return false };
            rest = behind;
        }
        rest.ends_with(last.as_str())
    }
}

/// Rules for calls of the tools that fit.
struct Rule {
    pattern: Pattern,
    schema: Option<JsonSchema>,
    cel: Option<Expression>,
}

struct Tools {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
    calls: Vec<Rule>,
    offered: bool,
    secrets: Option<Box<dyn Finder>>,
}

/// A tool's name as it may be told: one that is more than a name might be a text.
fn named(name: &str) -> Cow<'_, str> {
    let is_name = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte));
    if is_name {
        Cow::Owned(format!("the tool `{name}`"))
    } else {
        Cow::Borrowed("a tool whose name is none")
    }
}

impl Tools {
    fn allows(&self, name: &str) -> bool {
        let any = |list: &[Pattern]| list.iter().any(|pattern| pattern.fits(name));
        !any(&self.deny) && (self.allow.is_empty() || any(&self.allow))
    }

    fn parts(&self, x: &Exchange, parts: &[Part], n: usize, found: &mut Found) -> Result<(), String> {
        for part in parts {
            match part {
                Part::ToolCall(call) => self.call(x, call, Place::message(n), found)?,
                Part::ToolResult(result) => self.parts(x, &result.parts, n, found)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn call(&self, x: &Exchange, call: &ToolCall, place: Place, found: &mut Found) -> Result<(), String> {
        let name = named(&call.name);
        if !self.allows(&call.name) {
            found.add(format!("calls {name}, which is not allowed"), place);
        }
        let rules = self.calls.iter().filter(|rule| rule.pattern.fits(&call.name));
        let offers = x.request.chat().map_or(&[][..], |chat| &chat.tools);
        let offer = offers.iter().find(|tool| tool.name == call.name).filter(|_| self.offered);
        if self.offered && offer.is_none() {
            found.add(format!("calls {name}, which the request does not offer"), place);
        }
        let schema = offer.and_then(|tool| tool.schema.as_ref()).map(|schema| own(schema)).transpose()?;
        if schema.is_some() || rules.clone().next().is_some() {
            let schemas = schema.iter().chain(rules.clone().filter_map(|rule| rule.schema.as_ref()));
            match serde_json::from_str(call.arguments.as_str()) {
                Err(_) => found.add(format!("calls {name} with arguments that are no JSON"), place),
                Ok(value) => match schemas.filter_map(|schema| schema.misfit(&value)).next() {
                    Some(misfit) => {
                        let misfit =
                            format!("calls {name} with arguments that do not fit its schema at `{misfit}`");
                        found.add(misfit, place);
                    }
                    // Conditions are asked of arguments that are what they should be.
                    None => self.conditions(x, call, place, found)?,
                },
            }
        }
        if let Some(secrets) = &self.secrets {
            let reading = Reading::of(call.arguments.as_str(), call.arguments.form);
            for (_, number) in secrets.find(&reading.text) {
                found.add(
                    format!("calls {name} with a secret in its arguments: it {}", secrets.says(number)),
                    place,
                );
            }
        }
        Ok(())
    }
}

impl Tools {
    fn conditions(
        &self,
        x: &Exchange,
        call: &ToolCall,
        place: Place,
        found: &mut Found,
    ) -> Result<(), String> {
        let rules = self.calls.iter().filter(|rule| rule.pattern.fits(&call.name));
        for cel in rules.filter_map(|rule| rule.cel.as_ref()) {
            let view = View { call: Some(call), ..x.view() };
            if !cel.eval_bool(&view, &**x.plan.services()).map_err(|fault| fault.to_string())? {
                let name = named(&call.name);
                found.add(format!("calls {name} with arguments that a rule does not allow"), place);
            }
        }
        Ok(())
    }
}

/// The schema with which a request offers a tool. One that does not work is the client's fault, and lets no call pass.
fn own(schema: &str) -> Result<JsonSchema, String> {
    let value = serde_json::from_str(schema).map_err(|_| "a tool's schema is no JSON".to_owned())?;
    JsonSchema::new(&value).map_err(|error| format!("of a tool that the request offers, {error}"))
}

impl Rules for Tools {
    fn request(&self, x: &Exchange, found: &mut Found) -> Result<(), String> {
        let Some(chat) = x.request.chat() else { return Ok(()) };
        for Tool { name, .. } in chat.tools.iter().filter(|tool| !self.allows(&tool.name)) {
            found.add(format!("offers {}, which is not allowed", named(name)), Place::WHOLE);
        }
        for (n, message) in chat.messages.iter().enumerate() {
            self.parts(x, &message.parts, n, found)?;
        }
        Ok(())
    }

    fn reply(&self, x: &Exchange, reply: &Reply, found: &mut Found) -> Result<(), String> {
        for (n, choice) in reply.choices().iter().enumerate() {
            self.parts(x, &choice.parts, n, found)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
