//! Stages whose body is a CEL expression: a guard's condition, a route's choice, an observer's value.

use crate::{
    Ask, CONTINUE, CONVERSATIONS, Declares, Hook, Models, Needs, Pick, READABLE_OPERATIONS, Route, Stage,
    Streaming, Target, Verdict, Visit, explain,
};
use std::sync::Arc;
use weir_message::{Denial, ErrorCode, Operation};
use weir_script::{Expression, Reads};

/// What reading these roots takes from the plan.
pub(crate) fn needs_of(reads: Reads) -> Needs {
    let mut needs = Needs::NONE;
    for (read, need) in [
        (Reads::BODY, Needs::BODY),
        (Reads::TOKENS, Needs::BODY),
        (Reads::ORIGINAL, Needs::ORIGINAL),
        (Reads::REPLY_BODY, Needs::REPLY),
        (Reads::USAGE, Needs::USAGE),
        (Reads::SPENT, Needs::SPENT),
    ] {
        if reads.meets(read) {
            needs = needs | need;
        }
    }
    needs
}

/// The operations whose requests a guard with these reads can judge.
pub(crate) fn judged(reads: Reads) -> &'static [Operation] {
    if reads.only_turns() { CONVERSATIONS } else { READABLE_OPERATIONS }
}

/// The denial of inputs that came as token ids.
pub(crate) fn unread() -> Hook<'static> {
    let message = "the input came as token ids, which a guard of the policy cannot read: send it as text";
    Hook::Done(Verdict::Deny(Box::new(Denial::new(ErrorCode::ContentDenied, message))))
}

/// A guard that lets pass what its expression holds for. One that reads the reply, or what attempts came to, judges on the way
/// up, streams held to their end.
pub(crate) struct CelGuard {
    pub expression: Expression,
    /// Inputs that it cannot read pass.
    pub unread_pass: bool,
    /// It judges one attempt, before it is made.
    pub in_attempt: bool,
}

impl CelGuard {
    fn judges_reply(&self) -> bool {
        let late = Reads::REPLY | Reads::REPLY_BODY | Reads::ATTEMPTS | Reads::USAGE;
        !self.in_attempt && self.expression.reads().meets(late)
    }

    fn reads_body(&self) -> bool {
        self.expression.reads().meets(Reads::BODY)
    }

    fn judge(&self, visit: Visit<'_>) -> Hook<'static> {
        let x = &*visit.exchange;
        if explain::is_wanted(x) {
            visit.notes.fact("cel", explain::of(x, &self.expression).0);
        }
        match self.expression.eval_bool(&x.view(), &**x.plan.services()) {
            Ok(true) => CONTINUE,
            Ok(false) => {
                let message = format!("refused by \"{}\"", x.stage);
                Hook::Done(Verdict::Deny(Box::new(Denial::new(ErrorCode::Denied, message))))
            }
            Err(fault) => Hook::Done(Verdict::Fault(fault.to_string())),
        }
    }
}

impl Stage for CelGuard {
    fn declares(&self) -> Declares {
        let reads = self.expression.reads();
        let reads_reply = self.judges_reply();
        let needs = needs_of(reads);
        Declares {
            needs: if reads_reply { needs | Needs::EVENTS } else { needs },
            streaming: if reads_reply { Streaming::Whole } else { Streaming::None },
            judges_request: !reads_reply,
            only_judges: true,
            reads_reply,
            requires_caller: !reads_reply && !self.expression.may_hold_without_caller(),
            reads_operations: needs.has(Needs::BODY).then(|| judged(reads)),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if self.reads_body() && !self.unread_pass && visit.exchange.request.body.has_token_ids() {
            return unread();
        }
        if self.judges_reply() { CONTINUE } else { self.judge(visit) }
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        self.judge(visit)
    }
}

/// A route to the model that its expression names.
pub(crate) struct CelRoute {
    pub expression: Expression,
}

impl Stage for CelRoute {
    fn declares(&self) -> Declares {
        Declares { needs: needs_of(self.expression.reads()), judges_request: false, ..Declares::default() }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let x = &*visit.exchange;
        match self.expression.eval_string_key(&x.view(), &**x.plan.services()) {
            Ok(model) => {
                if visit.exchange.plan.models().get(&model).is_none() {
                    return Hook::Done(Verdict::Fault(format!(
                        "it names \"{model}\", which is no model of the set"
                    )));
                }
                visit.notes.fact("model", model.clone());
                visit.exchange.routed = Some(Arc::from(model));
                CONTINUE
            }
            Err(fault) => Hook::Done(Verdict::Fault(fault.to_string())),
        }
    }

    fn route(&self) -> Option<&dyn Route> {
        Some(&Routed)
    }
}

/// Follows the model that a stage named for this request.
struct Routed;

impl Route for Routed {
    fn next(&self, ask: Ask<'_>) -> Option<Pick> {
        let model = ask.routed.unwrap_or(ask.model);
        ask.models.get(model)?.next(Ask { model, ..ask })
    }

    fn targets(&self, models: &Models) -> Vec<Arc<Target>> {
        models.iter().flat_map(|(_, route)| route.targets(models)).collect()
    }
}

/// An observer that records its expression's value.
pub(crate) struct CelObserver {
    pub expression: Expression,
}

impl Stage for CelObserver {
    fn declares(&self) -> Declares {
        Declares { needs: needs_of(self.expression.reads()), judges_request: false, ..Declares::default() }
    }

    fn record(&self, visit: Visit<'_>) {
        let value = {
            let x = &*visit.exchange;
            self.expression.eval(&x.view(), &**x.plan.services())
        };
        match value {
            Ok(value) => visit.notes.fact("value", value.to_json()),
            Err(fault) => visit.notes.reason = Some(fault.to_string()),
        }
    }
}
