//! What can be reached: open relays, guards that cannot see, caches in the wrong place, conditions that never hold.

use crate::Streaming;
use crate::compile::SERVED;
use crate::plan::Step;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Span, nearest};
use weir_message::{Mode, Operation, Verb};
use weir_policy::{PipelineDecl, StageDecl};
use weir_script::{CelValue, Expression};

/// Which requests earlier pipelines leave over.
#[derive(Default)]
pub(crate) struct Taken {
    /// For each operation that is served: the name and place of the pipeline that takes all of its requests.
    by: Vec<(Operation, String, Span)>,
}

impl Taken {
    /// Checks the next pipeline's condition: whether it can hold, and for requests that none before it takes.
    pub(crate) fn check(
        &mut self,
        pipeline: &PipelineDecl,
        when: Option<&Expression>,
        found: &mut Diagnostics,
    ) {
        let may_hold = |operation: &Operation| when.is_none_or(|when| when.may_hold_for(*operation));
        let may: Vec<Operation> = SERVED.iter().copied().filter(may_hold).collect();
        let taker = |operation: &Operation| self.by.iter().find(|(taken, ..)| taken == operation);
        if let (true, Some(when)) = (may.is_empty(), when) {
            never(when, "this holds for no operation that is served", found);
        } else if let Some((_, name, place)) = may.first().and_then(taker)
            && may.iter().all(|operation| taker(operation).is_some())
        {
            let message = format!("the pipeline `{}` is never reached", *pipeline.name);
            found.push(
                Diagnostic::new(Code::NeverHappens, message)
                    .at(pipeline.name.span)
                    .also(*place, format!("`{name}` takes every request that this one could"))
                    .cause("a request goes to the first pipeline whose `when` holds")
                    .help("move it up, or give the other one a narrower `when`"),
            );
        }
        let takes_all = |when: &Expression| matches!(when.constant(), Some(CelValue::Bool(true)));
        if when.is_none_or(takes_all) {
            for operation in may {
                self.by.push((operation, pipeline.name.value.to_string(), pipeline.name.span));
            }
        }
    }
}

/// What reaches a model as a conversation, whatever it is asked by.
const CONVERSATIONS: [Operation; 3] = [Operation::Chat, Operation::Response, Operation::Count];

/// A pipeline that guards chats and leaves other conversations over.
struct Guarded {
    name: String,
    place: Span,
    left: Vec<Operation>,
    guards: Vec<Arc<str>>,
}

/// Conversations that find a way beside the guards of chats.
#[derive(Default)]
pub(crate) struct Beside {
    guarded: Vec<Guarded>,
    /// What a pipeline before takes by name.
    named: Vec<Operation>,
}

impl Beside {
    /// Checks the next pipeline; `own` are its stages without those of frames.
    pub(crate) fn check(
        &mut self,
        pipeline: &PipelineDecl,
        when: Option<&Expression>,
        own: &[Step],
        found: &mut Diagnostics,
    ) {
        let may_take = |operation: &Operation| when.is_none_or(|when| when.may_hold_for(*operation));
        let guards: Vec<Arc<str>> = own
            .iter()
            .filter(|step| step.verb == Verb::Guard && step.mode == Mode::Enforce)
            .map(|step| Arc::clone(&step.name))
            .collect();
        if !SERVED.iter().all(may_take) {
            self.named.extend(CONVERSATIONS.iter().filter(|operation| may_take(operation)));
        } else {
            for Guarded { name, place, left, guards: all } in &self.guarded {
                let left: Vec<&str> = left
                    .iter()
                    .filter(|operation| !self.named.contains(operation))
                    .map(|operation| operation.name())
                    .collect();
                let missed: Vec<String> = all
                    .iter()
                    .filter(|guard| !guards.contains(guard))
                    .map(|guard| format!("`{guard}`"))
                    .collect();
                if left.is_empty() || missed.is_empty() {
                    continue;
                }
                let message = format!(
                    "{} requests pass beside the guards of the pipeline `{name}`",
                    left.join(" and ")
                );
                let named: Vec<String> =
                    CONVERSATIONS.iter().map(|operation| format!("\"{operation}\"")).collect();
                let help = format!(
                    "say `request.operation in [{}]` there, or name what this pipeline is for in its `when`",
                    named.join(", ")
                );
                found.push(
                    Diagnostic::new(Code::BesideGuards, message)
                        .at(pipeline.name.span)
                        .also(*place, format!("here stands {}", missed.join(", ")))
                        .cause("they are conversations as chats are, and this pipeline takes whatever is left over")
                        .help(help),
                );
            }
        }
        let left: Vec<Operation> =
            CONVERSATIONS.iter().copied().filter(|operation| !may_take(operation)).collect();
        if may_take(&Operation::Chat) && !left.is_empty() && !guards.is_empty() {
            let (name, place) = (pipeline.name.value.to_string(), pipeline.name.span);
            self.guarded.push(Guarded { name, place, left, guards });
        }
    }
}

/// Checks the stages that expressions of a pipeline name in `limits.stage("…")`.
pub(crate) fn limits(names: &[(String, Span)], steps: &[Step], found: &mut Diagnostics) {
    let all = || steps.iter().chain(steps.iter().flat_map(|step| &step.attempt));
    let limiting = || all().filter(|step| step.declares.limits).map(|step| &*step.name);
    for (name, place) in names {
        if limiting().any(|one| one == name) {
            continue;
        }
        let message = match all().any(|step| *step.name == **name) {
            true => format!("the stage `{name}` limits nothing"),
            false => format!("no stage of this pipeline is called `{name}`"),
        };
        let help = match nearest(name, limiting()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match limiting().map(|one| format!("`{one}`")).collect::<Vec<_>>() {
                none if none.is_empty() => "add a `guard: rate` to the pipeline or to a frame".to_owned(),
                some => format!("the stages that limit are {}", some.join(", ")),
            },
        };
        found.push(Diagnostic::new(Code::UnknownName, message).at(*place).help(help));
    }
}

/// Says that a condition never holds, unless it is written out as `false`: that was said when it was compiled.
fn never(when: &Expression, message: &str, found: &mut Diagnostics) {
    if when.is_constant() {
        return;
    }
    let served: Vec<String> = SERVED.iter().map(|operation| format!("`{operation}`")).collect();
    let help = format!("operations that are served: {}", served.join(", "));
    found.push(Diagnostic::new(Code::NeverHappens, message).at(when.text().span).help(help));
}

/// Checks one pipeline, the stages of frames (the first `framed`) included. `steps` and `decls` go together.
pub(crate) fn check(
    pipeline: &PipelineDecl,
    when: Option<&Expression>,
    decls: &[&StageDecl],
    steps: &[Step],
    framed: usize,
    found: &mut Diagnostics,
) {
    open_relay(pipeline, when, steps, found);
    let tried = decls.iter().zip(steps).flat_map(|(decl, step)| decl.attempt.iter().zip(&step.attempt));
    let all = decls.iter().copied().zip(steps).chain(tried);
    for (decl, step) in all.clone() {
        blind_guard(when, decl, step, found);
        stream(decl, step, found);
        together(decl, step, found);
    }
    for (_, step) in all.skip(framed) {
        conditions(when, step, found);
    }
    caches(decls, steps, found);
    shadows(decls, steps, found);
    order(decls, steps, found);
}

/// A stage of a pipeline whose conditions cannot hold together with the pipeline's. Frames' stages may fit other pipelines.
fn conditions(when: Option<&Expression>, step: &Step, found: &mut Diagnostics) {
    let holds = |operation: Operation, when: Option<&Expression>| {
        when.is_none_or(|when| when.may_hold_for(operation))
    };
    let reached = SERVED.iter().copied().filter(|operation| holds(*operation, when));
    let fits = |operation: Operation| step.whens.iter().all(|when| when.expression.may_hold_for(operation));
    if let Some(last) = step.whens.last()
        && reached.clone().next().is_some()
        && !reached.clone().any(fits)
    {
        let message = format!("the stage `{}` takes part in no request of this pipeline", step.name);
        never(&last.expression, &message, found);
    }
}

/// Whether a step always decides: nothing but its own verdict lets a request by.
fn is_unconditional(step: &Step) -> bool {
    step.mode == Mode::Enforce
        && step.whens.is_empty()
        && step.sample.is_none()
        && step.on_error == crate::OnError::Refuse
}

fn open_relay(pipeline: &PipelineDecl, when: Option<&Expression>, steps: &[Step], found: &mut Diagnostics) {
    let guarded = when.is_some_and(|when| !when.may_hold_without_caller())
        || steps.iter().any(|step| step.declares.requires_caller && is_unconditional(step));
    if !guarded && !pipeline.anonymous {
        let message = format!("anyone can reach a provider through the pipeline `{}`", *pipeline.name);
        found.push(
            Diagnostic::new(Code::OpenRelay, message)
                .at(pipeline.name.span)
                .cause("no stage that always runs asks who calls")
                .help("add `- guard: key` to it or to a frame, say `caller != null` in its `when`, or `anonymous: true` if everyone may"),
        );
    }
}

fn blind_guard(when: Option<&Expression>, decl: &StageDecl, step: &Step, found: &mut Diagnostics) {
    if step.verb != Verb::Guard || step.mode != Mode::Enforce {
        return;
    }
    if step.declares.streaming == Streaming::Events && !step.declares.reads_reply {
        let message = format!("the guard `{}` reads streams and would let whole replies pass", step.name);
        found.push(
            Diagnostic::new(Code::BlindGuard, message)
                .at(decl.span)
                .cause("clients that do not stream, and answers from a cache, get whole replies"),
        );
    }
    let Some(reads) = step.declares.reads_operations else { return };
    if decl.unread_pass {
        return;
    }
    let blind: Vec<&str> = SERVED
        .iter()
        .filter(|operation| !reads.contains(operation))
        .filter(|operation| when.is_none_or(|when| when.may_hold_for(**operation)))
        .filter(|operation| step.whens.iter().all(|when| when.expression.may_hold_for(**operation)))
        .map(|operation| operation.name())
        .collect();
    if let Some((last, others)) = blind.split_last() {
        let and = if others.is_empty() { "" } else { " and " };
        let message = format!(
            "the guard `{}` cannot read {}{and}{last} requests, which can pass it",
            step.name,
            others.join(", ")
        );
        found.push(Diagnostic::new(Code::BlindGuard, message).at(decl.span).help(
            "narrow the pipeline's `when` to operations that it reads, or say `unread: pass` on the guard",
        ));
    }
}

fn caches(decls: &[&StageDecl], steps: &[Step], found: &mut Diagnostics) {
    for (n, cache) in
        steps.iter().enumerate().filter(|(_, step)| step.verb == Verb::Cache && step.mode != Mode::Off)
    {
        for (decl, step) in decls.iter().zip(steps).skip(n + 1) {
            if step.verb != Verb::Guard || step.mode != Mode::Enforce {
                continue;
            }
            let Some(cache_decl) = decls.get(n) else { continue };
            if step.declares.edits_request {
                let message = format!(
                    "the cache `{}` stores text before the guard `{}` cleans it",
                    cache.name, step.name
                );
                found.push(
                    Diagnostic::new(Code::CacheBeforePii, message)
                        .at(cache_decl.span)
                        .also(decl.span, "this guard edits what the cache has stored")
                        .help("move the cache below the guard"),
                );
            } else if step.declares.judges_request && !decl.on_hit_skip {
                let message =
                    format!("a hit of the cache `{}` would skip the guard `{}`", cache.name, step.name);
                found.push(
                    Diagnostic::new(Code::GuardBelowCache, message)
                        .at(decl.span)
                        .also(cache_decl.span, "this cache answers before the guard is asked")
                        .help("move the guard above the cache, or say `on_hit: skip` on it"),
                );
            }
        }
    }
}

/// A transform that works on the whole reply says what it does with streams; guards hold them by nature.
fn stream(decl: &StageDecl, step: &Step, found: &mut Diagnostics) {
    let whole = step.declares.streaming == Streaming::Whole;
    if whole && step.verb == Verb::Transform && step.mode != Mode::Off && !decl.stream_whole {
        let message = format!(
            "the transform `{}` works on whole replies and does not say what it does with streams",
            step.name
        );
        found.push(Diagnostic::new(Code::StreamNeedsWhole, message).at(decl.span).help(
            "say `stream: whole` to hold streams back until their end, or, in a script, define `fn event(e)`",
        ));
    }
}

/// Side by side stand guards that judge and do nothing else.
fn together(decl: &StageDecl, step: &Step, found: &mut Diagnostics) {
    if decl.together.is_none() || step.mode == Mode::Off {
        return;
    }
    let (verb, declares) = (step.verb, &step.declares);
    let cause = match verb {
        Verb::Guard if declares.edits_request => {
            "it edits requests, and what one edits the others do not see"
        }
        Verb::Guard if !declares.only_judges => "it does more than judge: it keeps counts, or edits",
        Verb::Guard => return,
        _ => "side by side stand guards alone",
    };
    let message = format!("the {verb} `{}` cannot stand in `together`", step.name);
    let help = "move it above or below the others";
    found.push(Diagnostic::new(Code::Misplaced, message).at(decl.span).cause(cause).help(help));
}

fn shadows(decls: &[&StageDecl], steps: &[Step], found: &mut Diagnostics) {
    let observed = steps.iter().any(|step| step.verb == Verb::Observe && step.mode != Mode::Off);
    let tried = decls.iter().zip(steps).flat_map(|(decl, step)| decl.attempt.iter().zip(&step.attempt));
    for (decl, step) in decls.iter().copied().zip(steps).chain(tried) {
        if step.mode == Mode::Shadow && !observed {
            let message = format!(
                "the stage `{}` is in shadow, and no stage observes what it would have done",
                step.name
            );
            found.push(
                Diagnostic::new(Code::UnseenShadow, message).at(decl.span).help("add `- observe: log`"),
            );
        }
    }
}

/// A route is last, and there is one; nothing in an attempt may answer or look.
fn order(decls: &[&StageDecl], steps: &[Step], found: &mut Diagnostics) {
    let last = steps.len().saturating_sub(1);
    for (n, (decl, step)) in decls.iter().zip(steps).enumerate() {
        if step.verb == Verb::Route && n != last {
            let message = format!("the route `{}` is not the last stage", step.name);
            let help =
                "what stands below a route is never reached; move it above, or into the route's `attempt:`";
            found.push(Diagnostic::new(Code::Misplaced, message).at(decl.span).help(help));
        }
        for (inner_decl, inner) in decl.attempt.iter().zip(&step.attempt) {
            let why = match inner.verb {
                Verb::Cache | Verb::Observe | Verb::Route => {
                    format!("a {} cannot stand in `attempt:`", inner.verb)
                }
                Verb::Guard | Verb::Transform if inner.declares.reads_reply => {
                    format!(
                        "`{}` works on replies; stages in `attempt:` see the request of one attempt",
                        inner.name
                    )
                }
                Verb::Guard | Verb::Transform => continue,
            };
            let help = "move it to the pipeline's own stages";
            found.push(Diagnostic::new(Code::Misplaced, why).at(inner_decl.span).help(help));
        }
    }
}
