//! Stages to steps: their conditions, bodies, parameters and marks.

use super::{Compiler, Params, Secrets};
use crate::fingerprint::Below;
use crate::plan::{DenyAnswer, OnError, Step, When};
use crate::{Models, Needs, Stage, Streaming, Workbench, cel, rhai};
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::{Decision, StageTrace, Verb};
use weir_policy::{BodyDecl, Secret, StageDecl};
use weir_script::{Expect, Expression, HookKind, ParamType, ParamTypes, Services};

/// How long a hook may wait where its stage does not say.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

impl Compiler<'_> {
    pub(super) fn condition(
        &mut self,
        when: Option<&weir_policy::Expr>,
        hook: HookKind,
        params: &ParamTypes,
    ) -> Option<Arc<Expression>> {
        match Expression::compile(when?, hook, Expect::Bool, params) {
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

    pub(super) fn step(
        &mut self,
        decl: &StageDecl,
        frame: Option<When>,
        models: &Models,
        services: &Arc<dyn Services>,
        in_attempt: bool,
    ) -> Option<Step> {
        let params = params_of(&decl.params);
        let own: Vec<When> = decl
            .when
            .iter()
            .filter_map(|when| {
                let expression =
                    self.condition(Some(&when.expr), HookKind::Condition, &params_of(&when.params))?;
                Some(When { expression, params: self.params(&when.params), shared: None })
            })
            .collect();
        let stage = self.stage(decl, &params, models, services, in_attempt)?;
        let mut declares = stage.declares();
        if declares.reads_reply && declares.streaming == Streaming::None {
            // What reads whole replies sees streams too.
            declares.streaming = Streaming::Whole;
        }
        let attempt =
            decl.attempt.iter().filter_map(|inner| self.step(inner, None, models, services, true)).collect();
        let deny = decl.deny.as_ref().map(|deny| DenyAnswer {
            status: deny.status,
            code: deny.code.as_deref().map(Arc::from),
            message: deny.message.as_deref().map(Arc::from),
            deny_as: deny.form.into(),
        });
        Some(Step {
            name: Arc::clone(&decl.name),
            verb: decl.verb,
            body: body_name(decl),
            stage,
            mode: decl.mode,
            whens: frame.into_iter().chain(own).collect(),
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
            attempt,
            within: decl.within.as_slice().into(),
        })
    }

    /// Parameters as expressions read them. Stages of one place share theirs.
    pub(super) fn params(&mut self, params: &Params) -> Arc<serde_json::Value> {
        if let Some((_, value)) = self.known_params.iter().find(|(known, _)| Arc::ptr_eq(known, params)) {
            return Arc::clone(value);
        }
        let value = Arc::new(serde_json::Value::Object((**params).clone()));
        self.known_params.push((Arc::clone(params), Arc::clone(&value)));
        value
    }

    fn stage(
        &mut self,
        decl: &StageDecl,
        params: &ParamTypes,
        models: &Models,
        services: &Arc<dyn Services>,
        in_attempt: bool,
    ) -> Option<Arc<dyn Stage>> {
        let (secrets, workshop) = (self.secrets, self.workshop);
        let resolve = move |secret: &Secret| match secrets {
            Secrets::Ignored => None,
            Secrets::From { env, root } => secret.resolve(env, root).ok(),
        };
        let mut bench = Workbench {
            diagnostics: self.diagnostics,
            home: &self.home,
            files: &self.set.files,
            params,
            models,
            inference: &workshop.inference,
            state: &workshop.state,
            services,
            limit_names: &mut self.limit_names,
            secret: &resolve,
        };
        match &decl.body {
            BodyDecl::Builtin(_) => workshop.registry.compile(decl, &mut bench),
            BodyDecl::Cel(text) => {
                let hook = if in_attempt { HookKind::Attempt } else { HookKind::Reply };
                match decl.verb {
                    Verb::Guard => {
                        let expression = bench.expression(text, hook, Expect::Bool)?;
                        Some(Arc::new(cel::CelGuard {
                            expression,
                            unread_pass: decl.unread_pass,
                            in_attempt,
                        }))
                    }
                    Verb::Route => {
                        let expression = bench.expression(text, HookKind::Request, Expect::String)?;
                        if let Some(weir_script::CelValue::String(model)) = expression.constant() {
                            bench.model(model, text.span)?;
                        }
                        Some(Arc::new(cel::CelRoute { expression }))
                    }
                    Verb::Observe => {
                        let expression = bench.expression(text, HookKind::End, Expect::Any)?;
                        Some(Arc::new(cel::CelObserver { expression }))
                    }
                    Verb::Cache | Verb::Transform => {
                        let message = format!("a {} cannot be a CEL expression", decl.verb);
                        let help = "use a built-in, or `rhai:` for a transform";
                        bench
                            .diagnostics
                            .push(Diagnostic::new(Code::BadStage, message).at(decl.span).help(help));
                        None
                    }
                }
            }
            BodyDecl::Rhai(text) => rhai::compile(decl, text, &mut bench),
        }
    }
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

/// The types of parameters, by their values.
pub(super) fn params_of(params: &serde_json::Map<String, serde_json::Value>) -> ParamTypes {
    params.iter().fold(ParamTypes::none(), |types, (name, value)| {
        let kind = match value {
            serde_json::Value::Null => ParamType::Any,
            serde_json::Value::Bool(_) => ParamType::Bool,
            serde_json::Value::Number(_) => ParamType::Number,
            serde_json::Value::String(_) => ParamType::String,
            serde_json::Value::Array(_) => ParamType::List,
            serde_json::Value::Object(_) => ParamType::Map,
        };
        types.with(name.as_str(), kind)
    })
}
