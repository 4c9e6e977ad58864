//! Stages whose body is a Rhai script.

use crate::cel::{judged, needs_of, unread};
use crate::{
    CONTINUE, Clock, Declares, Flow, HELD_LIMIT, Hold, Hook, Needs, Notes, Stage, StreamStage, StreamVerdict,
    Streaming, Verdict, Visit, Window, WindowFlow, WindowJudge, Windows, Workbench,
};
use std::sync::Arc;
use weir_diagnostic::Embedded;
use weir_message::{Block, BlockKind, Denial, ErrorCode, Event, EventKind, Replace, Reply, TextRole, Verb};
use weir_policy::StageDecl;
use weir_script::{EventView, Script, ScriptFault, ScriptLimits, ScriptOutcome, ScriptRun, ScriptVerdict};

/// Compiles a script stage; `timeout` of the stage is the script's wall clock.
pub(crate) fn compile(
    decl: &StageDecl,
    text: &Embedded,
    bench: &mut Workbench<'_>,
) -> Option<Arc<dyn Stage>> {
    let script = match Script::compile(text, decl.verb, bench.params) {
        Ok(script) => script,
        Err(found) => {
            bench.diagnostics.extend(found);
            return None;
        }
    };
    let mut limits = ScriptLimits::default();
    if let Some(timeout) = decl.timeout {
        // More time is more operations.
        let share = timeout.as_micros() / limits.wall.as_micros().max(1);
        limits.operations = limits.operations.saturating_mul(u64::try_from(share).unwrap_or(u64::MAX).max(1));
        limits.wall = timeout;
    }
    let hold = match decl.hold {
        // A script does not say how much it needs: it judges whole sentences.
        weir_policy::Hold::Declared | weir_policy::Hold::Sentence => Hold::Sentence,
        weir_policy::Hold::All => Hold::All,
    };
    Some(Arc::new(RhaiStage {
        script: Arc::new(script),
        verb: decl.verb,
        limits,
        whole: decl.stream_whole,
        hold,
        unread_pass: decl.unread_pass,
    }))
}

struct RhaiStage {
    script: Arc<Script>,
    verb: Verb,
    limits: ScriptLimits,
    /// The policy says to hold streams even if there is an `event` hook.
    whole: bool,
    /// How much of a stream a guard judges at once.
    hold: Hold,
    /// Inputs that it cannot read pass.
    unread_pass: bool,
}

impl RhaiStage {
    fn run(&self, x: &crate::Exchange) -> ScriptRun {
        let clock: Arc<dyn Clock> = Arc::clone(&x.gateway.clock);
        ScriptRun {
            params: Arc::clone(&x.params),
            caller: x.request.caller.clone(),
            limits: self.limits,
            clock: Arc::new(move || clock.worked()),
        }
    }

    fn streaming(&self) -> Streaming {
        let hooks = self.script.hooks();
        match (hooks.event && !self.whole, hooks.event || hooks.reply) {
            (true, _) => Streaming::Events,
            (false, true) => Streaming::Whole,
            (false, false) => Streaming::None,
        }
    }

    /// A script with an `event` hook alone sees a whole reply as one event for each of its texts, so that what it does to
    /// streams it does to replies that come whole: from a cache, or for clients that do not stream.
    fn each_text(&self, reply: &mut Reply, run: &ScriptRun, notes: &mut Notes) -> Hook<'static> {
        let mut texts = Vec::new();
        reply.each_text(|at| {
            let choice = u32::try_from(at.message).unwrap_or(u32::MAX);
            texts.push((
                at.index,
                Block { choice, kind: block_kind(at.role), index: 0 },
                at.text.value.clone(),
            ));
        });
        let mut edits = Vec::new();
        for (index, block, text) in texts {
            let view = EventView { kind: EventKind::Content, text: &text, block: Some(block) };
            let called = self.script.event(view, run);
            let with = called.as_ref().ok().and_then(|outcome| outcome.text.clone());
            edits.extend(with.map(|with| (index, Replace::new(0..text.len(), with))));
            if let stop @ Hook::Done(Verdict::Deny(_) | Verdict::Fault(_)) = said(called, notes) {
                return stop;
            }
        }
        if !edits.is_empty() {
            notes.fact("reply_texts_changed", edits.len());
        }
        for (index, edit) in edits {
            reply.edit_text(index, &[edit]);
        }
        CONTINUE
    }
}

impl Stage for RhaiStage {
    fn declares(&self) -> Declares {
        let (hooks, reads) = (self.script.hooks(), self.script.reads());
        let streaming = self.streaming();
        let mut needs = needs_of(reads);
        if streaming != Streaming::None {
            needs = needs | Needs::EVENTS | Needs::REPLY;
        }
        Declares {
            needs,
            streaming,
            edits_request: hooks.request && self.verb == Verb::Guard,
            judges_request: hooks.request && self.verb == Verb::Guard,
            reads_reply: hooks.reply || hooks.event,
            reads_operations: (hooks.request && self.verb == Verb::Guard).then(|| judged(reads)),
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
        if self.verb == Verb::Guard && !self.unread_pass && x.request.body.has_token_ids() {
            return unread();
        }
        said(self.script.request(&mut x.request, &run), notes)
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Visit { exchange: x, notes, .. } = visit;
        let run = self.run(x);
        let Some(reply) = &mut x.reply else { return CONTINUE };
        match (self.script.hooks().reply, self.script.hooks().event) {
            (true, _) => said(self.script.reply(reply, &x.request, &run), notes),
            (false, true) => self.each_text(reply, &run, notes),
            (false, false) => CONTINUE,
        }
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        let run = self.run(visit.exchange);
        let script = Arc::clone(&self.script);
        let stream = RhaiStream { script, run, notes: Notes::default(), changed: 0 };
        Some(match self.verb {
            // What a guard has not judged is not sent.
            Verb::Guard => Box::new(Windows::new(stream, self.hold, HELD_LIMIT)),
            _ => Box::new(stream),
        })
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
            notes.facts.extend(outcome.changes);
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
    /// How many pieces it changed.
    changed: u32,
}

impl RhaiStream {
    /// Calls the hook on a piece of text: what stands there instead, if anything else, and the verdict.
    fn piece(&mut self, kind: EventKind, block: Block, text: &str) -> (Option<String>, StreamVerdict) {
        let called = self.script.event(EventView { kind, text, block: Some(block) }, &self.run);
        let with = called.as_ref().ok().and_then(|outcome| outcome.text.clone());
        self.changed = self.changed.saturating_add(u32::from(with.is_some()));
        let verdict = match said(called, &mut self.notes) {
            Hook::Done(Verdict::Deny(denial)) => StreamVerdict::Deny(denial),
            Hook::Done(Verdict::Fault(reason)) => StreamVerdict::Fault(reason),
            Hook::Done(Verdict::Continue | Verdict::Answer(_)) | Hook::Wait(_) => StreamVerdict::Continue,
        };
        (with, verdict)
    }

    fn told(&mut self, notes: &mut Notes) {
        let changed = std::mem::take(&mut self.changed);
        if changed > 0 {
            notes.fact("reply_pieces_changed", changed);
        }
        notes.facts.append(&mut self.notes.facts);
        notes.reason = notes.reason.take().or(self.notes.reason.take());
    }
}

/// Of a transform or an observer: event by event.
impl StreamStage for RhaiStream {
    fn event<'a>(&'a mut self, mut event: Event, out: &'a mut Vec<Event>) -> Flow<'a> {
        let mut verdict = StreamVerdict::Continue;
        let mut texts = Vec::new();
        for (n, delta) in event.deltas.iter().enumerate() {
            let (with, said) = self.piece(event.kind, delta.block, delta.text.as_str());
            verdict = said;
            if !matches!(verdict, StreamVerdict::Continue) {
                // Where it is passed over, the event goes on as it came.
                texts.clear();
                break;
            }
            texts.extend(with.map(|with| (n, with)));
        }
        for (n, text) in texts {
            event.set_delta(n, &text);
        }
        out.push(event);
        Flow::Done(verdict)
    }

    fn notes(&mut self, notes: &mut Notes) {
        self.told(notes);
    }
}

/// Of a guard: by windows of whole sentences.
impl WindowJudge for RhaiStream {
    fn window<'a>(&'a mut self, block: Block, text: &'a str, _last: bool) -> WindowFlow<'a> {
        let (with, verdict) = self.piece(EventKind::Content, block, text);
        let edits = with.map(|with| Replace::new(0..text.len(), with)).into_iter().collect();
        WindowFlow::Done(Window { edits, verdict, ..Window::pass(text.len()) })
    }

    fn waits(&self) -> bool {
        false
    }

    fn notes(&mut self, notes: &mut Notes) {
        self.told(notes);
    }
}

/// The kind of block that a text of a whole reply is.
fn block_kind(role: TextRole) -> BlockKind {
    match role {
        TextRole::Reasoning => BlockKind::Reasoning,
        TextRole::Refusal => BlockKind::Refusal,
        TextRole::Arguments => BlockKind::Arguments,
        _ => BlockKind::Text,
    }
}
