//! Stages to steps: their conditions, bodies, parameters and marks.

use super::slot::{Asked, Slot};
use super::{Compiler, Params, Secrets};
use crate::fingerprint::Below;
use crate::plan::{DenyAnswer, OnError, Step, When};
use crate::registry::Accounts;
use crate::{Child, Declares, HeaderReads, Models, Needs, Registry, Stage, Streaming, Workbench, cel, rhai};
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, slip_of};
use weir_message::{Decision, StageTrace, Verb};
use weir_policy::{BodyDecl, Node, Secret, StageDecl};
use weir_script::{Expect, Expression, HookKind, ParamType, ParamTypes, Services};

/// How long a hook may wait where its stage does not say.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is found in settings that are wrong elsewhere counts where it hangs on nothing but an expression's, a pattern's or a
/// name's own text: all else may follow from what is missing.
const OF_TEXTS: &[Code] = &[
    Code::BadCel,
    Code::UnknownReference,
    Code::TooEarly,
    Code::TypeMismatch,
    Code::TooCostly,
    Code::BadRegex,
    Code::UnknownName,
];

/// What stages are compiled with.
#[derive(Clone, Copy)]
pub(super) struct Around<'c> {
    pub(super) models: &'c Models,
    pub(super) services: &'c Arc<dyn Services>,
    pub(super) accounts: &'c Accounts,
    pub(super) in_attempt: bool,
}

impl<'a> Compiler<'a> {
    /// The condition that a text is; `None` where it is wrong.
    pub(super) fn condition(
        &mut self,
        when: &weir_policy::Expr,
        hook: HookKind,
        params: &ParamTypes,
    ) -> Option<Arc<Expression>> {
        match Expression::compile(when, hook, Expect::Bool, params) {
            Ok(expression) => {
                if let Some(weir_script::CelValue::Bool(value)) = expression.constant() {
                    let message = format!("the condition is always {value}");
                    let help = if *value {
                        "leave it out"
                    } else {
                        "this never takes part; use `mode: off` if so meant"
                    };
                    let span = expression.text().span;
                    self.diagnostics.push(Diagnostic::new(Code::NeverHappens, message).at(span).help(help));
                }
                self.limit_names.extend_from_slice(expression.limit_names());
                Some(Arc::new(expression))
            }
            Err(found) => {
                self.diagnostics.extend(found);
                None
            }
        }
    }

    /// The condition of a pipeline or frame; `is_lost`: its field is wrong.
    pub(super) fn asked(
        &mut self,
        when: Option<&weir_policy::Expr>,
        is_lost: bool,
        hook: HookKind,
    ) -> Asked<Arc<Expression>> {
        let params = params_of(&self.set.params);
        match when {
            _ if is_lost => Asked::Unknown { written: false },
            None => Asked::Always,
            Some(when) => {
                self.condition(when, hook, &params).map_or(Asked::Unknown { written: true }, Asked::If)
            }
        }
    }

    /// A stage in its place, compiled as far as its text is right.
    pub(super) fn slot(&mut self, decl: &'a StageDecl, frame: &Asked<When>, around: Around<'_>) -> Slot<'a> {
        let params = params_of(&decl.params);
        let own: Vec<Option<When>> = decl
            .when
            .iter()
            .map(|when| {
                let expression = self.condition(&when.expr, HookKind::Condition, &params_of(&when.params))?;
                Some(When { expression, params: self.params(&when.params), shared: None })
            })
            .collect();
        let own: Option<Vec<When>> = own.into_iter().collect();
        let whens = own
            .filter(|_| frame.is_known() && !decl.lost.has("when"))
            .map(|own| frame.as_ref().cloned().into_iter().chain(own).collect::<Vec<When>>());
        let mut headers = HeaderReads::default();
        let stage = self.stage(decl, &params, around, &mut headers);
        let inside = Around { in_attempt: true, ..around };
        let attempt: Vec<Slot<'a>> =
            decl.attempt.iter().map(|inner| self.slot(inner, &Asked::Always, inside)).collect();
        let may_require_caller = match &stage {
            Some(stage) => stage.declares().requires_caller,
            None => self.may_require_caller(decl),
        };
        // With settings that are wrong it is only known by name what it does.
        let stage = stage.filter(|_| !decl.lost.has("with"));
        let declares = stage.as_ref().map(|stage| {
            let mut declares = stage.declares();
            if declares.reads_reply && declares.streaming == Streaming::None {
                // What reads whole replies sees streams too.
                declares.streaming = Streaming::Whole;
            }
            declares
        });
        let step = match (stage, &declares, &whens) {
            (Some(stage), Some(declares), Some(whens)) if decl.lost.is_empty() => {
                Some(self.step(decl, stage, declares.clone(), whens.clone()))
            }
            _ => None,
        };
        Slot {
            decl,
            declares,
            whens,
            is_conditional: frame.is_written() || !decl.when.is_empty(),
            may_require_caller,
            headers,
            attempt,
            step,
        }
    }

    fn step(
        &mut self,
        decl: &StageDecl,
        stage: Arc<dyn Stage>,
        declares: Declares,
        whens: Vec<When>,
    ) -> Step {
        let deny = decl.deny.as_ref().map(|deny| DenyAnswer {
            status: deny.status,
            code: deny.code.as_deref().map(Arc::from),
            message: deny.message.as_deref().map(Arc::from),
            deny_as: deny.form.into(),
        });
        Step {
            name: Arc::clone(&decl.name),
            verb: decl.verb,
            body: body_name(decl),
            stage,
            mode: decl.mode,
            whens,
            sample: (decl.sample < 1.0).then_some(decl.sample),
            timeout: decl.timeout.unwrap_or(HOOK_TIMEOUT + declares.patience),
            declares,
            on_error: match decl.on_error {
                weir_policy::OnError::Skip => OnError::Skip,
                weir_policy::OnError::Deny | weir_policy::OnError::Fail => OnError::Refuse,
            },
            deny,
            params: self.params(&decl.params),
            below: Below::default(),
            together: decl.together,
            unread_pass: decl.unread_pass,
            attempt: Vec::new(),
            within: decl.within.as_slice().into(),
        }
    }

    /// Whether a stage that could not be compiled may refuse all callers who are not known once it is mended.
    fn may_require_caller(&self, decl: &StageDecl) -> bool {
        match &decl.body {
            BodyDecl::Rhai(_) => false,
            BodyDecl::Cel(text) => {
                decl.verb == Verb::Guard && (decl.lost.any(&["cel"]) || mentions_caller(&text.text))
            }
            BodyDecl::Builtin(name) => name.is_empty() || self.workshop.registry.may_require_caller(name),
        }
    }

    /// Parameters as expressions read them. Stages of one place share theirs.
    pub(super) fn params(&mut self, params: &Params) -> Arc<serde_json::Value> {
        if let Some((_, value)) = self.known_params.iter().find(|(known, _)| Arc::ptr_eq(known, params)) {
            return Arc::clone(value);
        }
        let value = Arc::new(serde_json::Value::Object(params.values.clone()));
        self.known_params.push((Arc::clone(params), Arc::clone(&value)));
        value
    }

    fn stage(
        &mut self,
        decl: &StageDecl,
        params: &ParamTypes,
        around: Around<'_>,
        headers: &mut HeaderReads,
    ) -> Option<Arc<dyn Stage>> {
        if decl.lost.any(&[decl.verb.name(), "cel", "rhai"]) {
            return None;
        }
        let Around { models, services, accounts, in_attempt } = around;
        let mut found = Diagnostics::new();
        let (secrets, workshop) = (self.secrets, self.workshop);
        let resolve = move |secret: &Secret| match secrets {
            Secrets::Ignored => None,
            Secrets::From { env, root } => secret.resolve(env, root).ok(),
        };
        let mut bench = Workbench {
            diagnostics: &mut found,
            home: &self.home,
            files: &self.set.files,
            params,
            models,
            inference: &workshop.inference,
            state: &workshop.state,
            services,
            accounts,
            limit_names: &mut self.limit_names,
            headers,
            root: match secrets {
                Secrets::Ignored => None,
                Secrets::From { root, .. } => Some(root),
            },
            secret: &resolve,
        };
        let stage = build(decl, &mut bench, &*workshop.registry, in_attempt);
        let all = !decl.lost.has("with");
        let kept = |one: &Diagnostic| all || OF_TEXTS.contains(&one.code) || is_of_an_item(&decl.with, one);
        self.diagnostics.extend(found.into_iter().filter(kept));
        stage
    }
}

/// Whether a finding points at an item of a list in settings: what it says is of that item, and not of the settings together.
fn is_of_an_item(with: &Node, found: &Diagnostic) -> bool {
    let Some(place) = found.span else { return false };
    let mut is = false;
    with.visit(&mut |node| is |= node.items().iter().any(|item| item.span == place));
    is
}

/// Whether an expression that is wrong speaks of the caller, perhaps with a slip in the word.
pub(crate) fn mentions_caller(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.into_iter().any(|word| slip_of(word, ["caller"]).is_some())
}

/// Compiles a stage's body.
fn build(
    decl: &StageDecl,
    bench: &mut Workbench<'_>,
    registry: &dyn Registry,
    in_attempt: bool,
) -> Option<Arc<dyn Stage>> {
    match &decl.body {
        BodyDecl::Builtin(_) => registry.compile(decl, bench),
        BodyDecl::Cel(text) => {
            let hook = if in_attempt { HookKind::Attempt } else { HookKind::Reply };
            match decl.verb {
                Verb::Guard => {
                    let expression = bench.expression(text, hook, Expect::Bool)?;
                    constant_guard(&expression, bench.diagnostics);
                    bench.headers.asked.extend(expression.asked_headers());
                    Some(Arc::new(cel::CelGuard { expression, unread_pass: decl.unread_pass, in_attempt }))
                }
                Verb::Route => {
                    let expression = bench.expression(text, HookKind::Request, Expect::String)?;
                    let named: Vec<Option<Child>> =
                        expression.texts().iter().map(|(model, place)| bench.model(model, *place)).collect();
                    named.into_iter().collect::<Option<Vec<Child>>>()?;
                    Some(Arc::new(cel::CelRoute { expression }))
                }
                Verb::Observe => {
                    let expression = bench.expression(text, HookKind::End, Expect::Any)?;
                    Some(Arc::new(cel::CelObserver { expression }))
                }
                Verb::Cache | Verb::Transform => {
                    let message = format!("a {} cannot be a CEL expression", decl.verb);
                    let help = "use a built-in, or `rhai:` for a transform";
                    bench.diagnostics.push(Diagnostic::new(Code::BadStage, message).at(decl.span).help(help));
                    None
                }
            }
        }
        BodyDecl::Rhai(text) => rhai::compile(decl, text, bench),
    }
}

/// Warns of a guard that decides the same for every request.
fn constant_guard(expression: &Expression, found: &mut Diagnostics) {
    let Some(weir_script::CelValue::Bool(value)) = expression.constant() else { return };
    let (message, help) = match value {
        true => ("the guard lets every request pass", "leave it out, or write a condition that can fail"),
        false => {
            ("the guard refuses every request", "write a condition that can hold, or `mode: off` if so meant")
        }
    };
    let found_here = Diagnostic::new(Code::NeverHappens, message).at(expression.text().span);
    found.push(found_here.cause(format!("its expression is always {value}")).help(help));
}

fn body_name(decl: &StageDecl) -> Arc<str> {
    match &decl.body {
        BodyDecl::Builtin(name) => Arc::clone(name),
        BodyDecl::Cel(_) => Arc::from("cel"),
        BodyDecl::Rhai(_) => Arc::from("rhai"),
    }
}

pub(super) fn blank_trace(step: &Step) -> StageTrace {
    StageTrace {
        name: Arc::clone(&step.name),
        verb: step.verb,
        body: Arc::clone(&step.body),
        mode: step.mode,
        decision: Decision::NotReached,
        reason: None,
        took: Duration::ZERO,
        facts: Vec::new(),
    }
}

/// What a step takes from the plan, its conditions included.
pub(super) fn needs_of_step(step: &Step) -> Needs {
    let whens = step.whens.iter().map(|when| cel::needs_of(when.expression.reads()));
    whens.fold(step.declares.needs, |all, needs| all | needs)
}

/// Numbers the conditions that neighbouring steps share (a frame's, a `use`'s), so that each is decided once: what the first of
/// them edits does not change which of the others take part. Returns how many there are.
pub(super) fn share_conditions(steps: &mut [Step]) -> usize {
    let mut count = 0;
    for n in 1..steps.len() {
        let Some((before, after)) = steps.split_at_mut_checked(n) else { break };
        let (Some(before), Some(after)) = (before.last_mut(), after.first_mut()) else { break };
        for (mine, theirs) in after.whens.iter_mut().zip(&mut before.whens) {
            let same = mine.expression.text().span == theirs.expression.text().span
                && Arc::ptr_eq(&mine.params, &theirs.params);
            if !same {
                break;
            }
            let number = *theirs.shared.get_or_insert_with(|| {
                count += 1;
                count - 1
            });
            mine.shared = Some(number);
        }
    }
    count
}

/// The types of parameters as expressions and scripts know them.
pub(super) fn params_of(params: &weir_policy::Params) -> ParamTypes {
    let open = ParamTypes { open: params.open, ..ParamTypes::none() };
    params.types.iter().fold(open, |types, (name, kind)| {
        use weir_policy::ParamType as Declared;
        let kind = match kind {
            Declared::Any => ParamType::Any,
            Declared::Bool => ParamType::Bool,
            Declared::Int => ParamType::Int,
            Declared::Number => ParamType::Double,
            Declared::String | Declared::Duration | Declared::Cel => ParamType::String,
            Declared::List => ParamType::List,
            Declared::Map => ParamType::Map,
        };
        types.with(Arc::clone(name), kind)
    })
}
