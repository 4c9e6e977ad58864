//! Stages whose body is a Rhai script.

use crate::cel::needs_of;
use crate::{
    CONTINUE, Clock, Declares, Flow, Hook, Needs, Notes, Stage, StreamStage, StreamVerdict, Streaming,
    TEXT_OPERATIONS, Verdict, Visit, Workbench,
};
use std::sync::Arc;
use weir_diagnostic::Embedded;
use weir_message::{Denial, ErrorCode, Event, Verb};
use weir_policy::StageDecl;
use weir_script::{EventView, Script, ScriptFault, ScriptLimits, ScriptOutcome, ScriptRun, ScriptVerdict};

/// Compiles a script stage; `timeout` of the stage is the script's wall clock.
pub(crate) fn compile(
    decl: &StageDecl,
    text: &Embedded,
    bench: &mut Workbench<'_>,
) -> Option<Arc<dyn Stage>> {
    let script = match Script::compile(text, decl.verb) {
        Ok(script) => script,
        Err(found) => {
            bench.diagnostics.extend(found);
            return None;
        }
    };
    let mut limits = ScriptLimits::default();
    if let Some(timeout) = decl.timeout {
        limits.wall = timeout;
    }
    Some(Arc::new(RhaiStage { script: Arc::new(script), verb: decl.verb, limits, whole: decl.stream_whole }))
}

struct RhaiStage {
    script: Arc<Script>,
    verb: Verb,
    limits: ScriptLimits,
    /// The policy says to hold streams even if there is an `event` hook.
    whole: bool,
}

impl RhaiStage {
    fn run(&self, x: &crate::Exchange) -> ScriptRun {
        let clock: Arc<dyn Clock> = Arc::clone(&x.gateway.clock);
        ScriptRun {
            params: Arc::clone(&x.params),
            caller: x.request.caller.clone(),
            limits: self.limits,
            clock: Arc::new(move || clock.now()),
        }
    }

    fn streaming(&self) -> Streaming {
        let hooks = self.script.hooks();
        match (hooks.event && !self.whole, hooks.reply) {
            (true, _) => Streaming::Events,
            (false, true) => Streaming::Whole,
            (false, false) => Streaming::None,
        }
    }
}

impl Stage for RhaiStage {
    fn declares(&self) -> Declares {
        let (hooks, reads) = (self.script.hooks(), self.script.reads());
        let streaming = self.streaming();
        let mut needs = needs_of(reads);
        if streaming != Streaming::None {
            needs = needs | Needs::EVENTS;
        }
        Declares {
            needs,
            streaming,
            edits_request: hooks.request && self.verb == Verb::Guard,
            judges_request: hooks.request && self.verb == Verb::Guard,
            reads_reply: hooks.reply,
            reads_operations: (hooks.request && self.verb == Verb::Guard).then_some(TEXT_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Visit { exchange: x, notes, .. } = visit;
        let run = self.run(x);
        if self.script.hooks().attempt
            && let Some(attempt) = x.attempt.clone()
        {
            let called = self.script.attempt(&attempt, &mut x.request.headers, &run);
            if called.as_ref().is_ok_and(|outcome| outcome.edited) {
                x.request.mark_edited();
            }
            if let done @ Hook::Done(Verdict::Deny(_) | Verdict::Fault(_)) = said(called, notes) {
                return done;
            }
        }
        if !self.script.hooks().request {
            return CONTINUE;
        }
        said(self.script.request(&mut x.request, &run), notes)
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.script.hooks().reply {
            return CONTINUE;
        }
        let Visit { exchange: x, notes, .. } = visit;
        let run = self.run(x);
        let Some(reply) = &mut x.reply else { return CONTINUE };
        said(self.script.reply(reply, &x.request, &run), notes)
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        let run = self.run(visit.exchange);
        Some(Box::new(RhaiStream { script: Arc::clone(&self.script), run, notes: Notes::default() }))
    }

    fn end(&self, visit: Visit<'_>) {
        if self.verb != Verb::Observe {
            self.told_the_end(visit);
        }
    }

    fn record(&self, visit: Visit<'_>) {
        self.told_the_end(visit);
    }
}

impl RhaiStage {
    fn told_the_end(&self, visit: Visit<'_>) {
        if !self.script.hooks().end {
            return;
        }
        let run = self.run(visit.exchange);
        // Nothing is left to decide: a fault is only told.
        let _ = said(self.script.end(&visit.exchange.trace, &run), visit.notes);
    }
}

/// A script's outcome as a verdict; what it printed goes to the trace.
fn said(called: Result<ScriptOutcome, ScriptFault>, notes: &mut Notes) -> Hook<'static> {
    match called {
        Ok(outcome) => {
            printed(outcome.prints, notes);
            Hook::Done(verdict(outcome.verdict))
        }
        Err(fault) => {
            let reason = located(&fault);
            printed(fault.prints, notes);
            notes.reason = Some(reason.clone());
            Hook::Done(Verdict::Fault(reason))
        }
    }
}

fn verdict(said: ScriptVerdict) -> Verdict {
    match said {
        ScriptVerdict::Continue => Verdict::Continue,
        ScriptVerdict::Deny { status, message } => Verdict::Deny(Box::new(denial(status, message))),
        ScriptVerdict::RuleOut { why } => Verdict::Deny(Box::new(denial(None, why))),
    }
}

fn denial(status: Option<u16>, message: String) -> Denial {
    let mut denial = Denial::new(ErrorCode::Denied, message);
    denial.status = status.unwrap_or(denial.status);
    denial
}

fn located(fault: &ScriptFault) -> String {
    match fault.line_column {
        Some((line, column)) => format!("line {line}, column {column}: {}", fault.message),
        None => fault.message.clone(),
    }
}

fn printed(prints: Vec<String>, notes: &mut Notes) {
    for line in prints {
        notes.fact("print", line);
    }
}

/// A script on the events of one stream.
struct RhaiStream {
    script: Arc<Script>,
    run: ScriptRun,
    notes: Notes,
}

impl StreamStage for RhaiStream {
    fn event<'a>(&'a mut self, mut event: Event, out: &'a mut Vec<Event>) -> Flow<'a> {
        for n in 0..event.deltas.len() {
            let Some(delta) = event.deltas.get(n) else { break };
            let view = EventView { kind: event.kind, text: delta.text.as_str(), block: Some(delta.block) };
            let called = self.script.event(view, &self.run);
            let text = called.as_ref().ok().and_then(|outcome| outcome.text.clone());
            match said(called, &mut self.notes) {
                Hook::Done(Verdict::Deny(denial)) => return Flow::Done(StreamVerdict::Deny(denial)),
                Hook::Done(Verdict::Fault(reason)) => return Flow::Done(StreamVerdict::Fault(reason)),
                Hook::Done(Verdict::Continue | Verdict::Answer(_)) | Hook::Wait(_) => {}
            }
            if let Some(text) = text {
                event.set_delta(n, &text);
            }
        }
        out.push(event);
        Flow::Done(StreamVerdict::Continue)
    }

    fn notes(&mut self, notes: &mut Notes) {
        notes.facts.append(&mut self.notes.facts);
        notes.reason = notes.reason.take().or(self.notes.reason.take());
    }
}
