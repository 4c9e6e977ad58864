//! What can be reached: open relays, guards that cannot see, caches in the wrong place, conditions that never hold.

mod idle;

use crate::compile::slot::{Asked, Slot};
use crate::compile::{SERVED, mentions_caller};
use crate::{Passes, Streaming};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Span, nearest};
use weir_message::{Mode, Operation, Verb};
use weir_policy::PipelineDecl;
use weir_script::Expression;

/// Which requests earlier pipelines leave over.
#[derive(Default)]
pub(crate) struct Taken {
    /// For each operation that is served: the name and place of the pipeline that takes all of its requests.
    by: Vec<(Operation, String, Span)>,
}

/// Which requests the route of these stages takes.
pub(crate) fn passes(slots: &[Slot<'_>]) -> Passes {
    let route = slots.iter().rev().find(|slot| slot.decl.verb == Verb::Route);
    route.and_then(|slot| slot.declares.as_ref()).map_or(Passes::Models, |declares| declares.passes)
}

/// A pipeline with its stages, those of frames (the first `framed`) included, as far as they are right.
pub(crate) struct Place<'p> {
    pub(crate) decl: &'p PipelineDecl,
    pub(crate) when: &'p Asked<Arc<Expression>>,
    pub(crate) slots: &'p [Slot<'p>],
    pub(crate) framed: usize,
    /// Whether stages are missing that could not be read.
    pub(crate) misses_stages: bool,
}

impl<'p> Place<'p> {
    /// All stages, those of attempts last.
    fn all(&self) -> impl Iterator<Item = &'p Slot<'p>> + Clone {
        self.slots.iter().chain(self.slots.iter().flat_map(|slot| &slot.attempt))
    }

    /// Whether the pipeline may take requests of an operation, as far as its condition is known.
    fn may_take(&self, operation: Operation) -> bool {
        passes(self.slots).takes(operation)
            && self.when.as_ref().is_none_or(|when| when.may_hold_for(operation))
    }
}

impl Taken {
    /// Checks the next pipeline's condition: whether it can hold, and for requests that none before it takes.
    pub(crate) fn check(&mut self, place: &Place<'_>, found: &mut Diagnostics) {
        if !place.when.is_known() {
            return;
        }
        let (pipeline, when) = (place.decl, place.when.as_ref());
        let may: Vec<Operation> = SERVED.iter().copied().filter(|o| place.may_take(*o)).collect();
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
        // Of other paths a route takes those that it names.
        let takes_all = |operation: &Operation| {
            *operation != Operation::Http && when.is_none_or(|when| when.holds_for(*operation))
        };
        for operation in may.into_iter().filter(takes_all) {
            self.by.push((operation, pipeline.name.value.to_string(), pipeline.name.span));
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
    /// Checks the next pipeline, without the stages of frames.
    pub(crate) fn check(&mut self, at: &Place<'_>, found: &mut Diagnostics) {
        if !at.when.is_known() || at.misses_stages {
            return;
        }
        let pipeline = at.decl;
        let may_take = |operation: &Operation| at.may_take(*operation);
        let guards: Vec<Arc<str>> = at
            .slots
            .iter()
            .skip(at.framed)
            .filter(|slot| slot.decl.verb == Verb::Guard && slot.decl.mode == Mode::Enforce)
            .map(|slot| Arc::clone(&slot.decl.name))
            .collect();
        if !SERVED.iter().filter(|operation| Passes::Models.takes(**operation)).all(may_take) {
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
pub(crate) fn limits(names: &[(String, Span)], at: &Place<'_>, found: &mut Diagnostics) {
    // One that is wrong may limit once it is mended.
    let limits = |slot: &&Slot<'_>| slot.declares.as_ref().is_none_or(|declares| declares.limits);
    let limiting = || at.all().filter(limits).map(|slot| &*slot.decl.name);
    for (name, place) in names {
        let is_there = at.all().any(|slot| *slot.decl.name == **name);
        if at.all().any(|slot| *slot.decl.name == **name && slot.decl.mode == Mode::Off && limits(&slot)) {
            let message = format!("the stage `{name}` is off and limits nothing");
            found.push(
                Diagnostic::new(Code::NeverHappens, message).at(*place).help("take one of the two out"),
            );
            continue;
        }
        if limiting().any(|one| one == name) || (at.misses_stages && !is_there) {
            continue;
        }
        let message = match is_there {
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

/// Checks one pipeline. What hangs on a field that is wrong is not said: it may be right once that is mended.
pub(crate) fn check(at: &Place<'_>, found: &mut Diagnostics) {
    open_relay(at, found);
    for slot in at.all() {
        blind_guard(at, slot, found);
        stream(slot, found);
        together(slot, found);
    }
    let own = at.slots.get(at.framed..).unwrap_or_default();
    for slot in own.iter().chain(own.iter().flat_map(|slot| &slot.attempt)) {
        conditions(at, slot, found);
    }
    headers(at, found);
    caches(at.slots, found);
    shadows(at, found);
    order(at.slots, found);
    idle::check(at, found);
}

/// Headers that are read and that a client may leave out: neither the expression, nor a condition above it, nor a guard before
/// it asks whether they are there.
fn headers(at: &Place<'_>, found: &mut Diagnostics) {
    let mut known: Vec<String> = Vec::new();
    let mut told = Vec::new();
    let mut read = |known: &[String], unasked: &[(String, Span)]| {
        let is_known = |name: &str| known.iter().any(|one| one.eq_ignore_ascii_case(name));
        told.extend(unasked.iter().filter(|(name, _)| !is_known(name)).cloned());
    };
    if let Some(when) = at.when.as_ref() {
        read(&known, when.unasked_headers());
        known.extend(when.asked_headers());
    }
    for slot in at.all() {
        let Some(whens) = slot.whens.as_ref().filter(|_| at.when.is_known()) else { continue };
        let mut here = known.clone();
        for when in whens {
            read(&here, when.expression.unasked_headers());
            here.extend(when.expression.asked_headers());
        }
        read(&here, &slot.headers.unasked);
        if is_unconditional(slot) {
            known.extend_from_slice(&slot.headers.asked);
        }
    }
    for (name, place) in told {
        let message = format!("the header `{name}` is read without asking whether it is there");
        found.push(
            Diagnostic::new(Code::MayBeAbsent, message)
                .at(place)
                .cause("of a request without it this is a fault, which a guard answers with 503 and not with its denial")
                .help(format!(
                    "write `\"{name}\" in request.headers && …`; where a text is needed, \
                     `(\"{name}\" in request.headers ? request.headers[\"{name}\"] : \"\")`"
                )),
        );
    }
}

/// A stage of a pipeline whose conditions cannot hold together with the pipeline's. Frames' stages may fit other pipelines.
fn conditions(at: &Place<'_>, slot: &Slot<'_>, found: &mut Diagnostics) {
    let Some(whens) = slot.whens.as_ref().filter(|_| at.when.is_known()) else { return };
    let reached = SERVED.iter().copied().filter(|operation| at.may_take(*operation));
    let fits = |operation: Operation| whens.iter().all(|when| when.expression.may_hold_for(operation));
    if let Some(last) = whens.last()
        && reached.clone().next().is_some()
        && !reached.clone().any(fits)
    {
        let message = format!("the stage `{}` takes part in no request of this pipeline", slot.decl.name);
        never(&last.expression, &message, found);
    }
}

/// Whether nothing but a stage's own verdict lets a request by.
fn is_unconditional(slot: &Slot<'_>) -> bool {
    let decl = slot.decl;
    decl.mode == Mode::Enforce
        && !slot.is_conditional
        && decl.sample >= 1.0
        && decl.on_error != weir_policy::OnError::Skip
}

fn open_relay(at: &Place<'_>, found: &mut Diagnostics) {
    let pipeline = at.decl;
    let guarded = at.when.as_ref().is_some_and(|when| !when.may_hold_without_caller())
        || at.slots.iter().any(|slot| slot.may_require_caller && is_unconditional(slot));
    let when_may_ask = match &pipeline.when {
        Some(when) if at.when.is_written() => !at.when.is_known() && mentions_caller(&when.text),
        _ => !at.when.is_known(),
    };
    let may_be = at.misses_stages || when_may_ask || pipeline.lost.has("anonymous");
    if !guarded && !may_be && !pipeline.anonymous {
        let message = format!("anyone can reach a provider through the pipeline `{}`", *pipeline.name);
        found.push(
            Diagnostic::new(Code::OpenRelay, message)
                .at(pipeline.name.span)
                .cause("no stage that always runs asks who calls")
                .help("add `- guard: key` to it or to a frame, say `caller != null` in its `when`, or `anonymous: true` if everyone may"),
        );
    }
}

fn blind_guard(at: &Place<'_>, slot: &Slot<'_>, found: &mut Diagnostics) {
    let (Some(declares), decl) = (&slot.declares, slot.decl) else { return };
    if decl.verb != Verb::Guard || decl.mode != Mode::Enforce || decl.lost.has("mode") {
        return;
    }
    if declares.streaming == Streaming::Events && !declares.reads_reply {
        let message = format!("the guard `{}` reads streams and would let whole replies pass", decl.name);
        found.push(
            Diagnostic::new(Code::BlindGuard, message)
                .at(decl.span)
                .cause("clients that do not stream, and answers from a cache, get whole replies"),
        );
    }
    let (Some(reads), Some(whens)) = (declares.reads_operations, &slot.whens) else { return };
    if decl.unread_pass || decl.lost.has("unread") || !at.when.is_known() {
        return;
    }
    let blind: Vec<&str> = SERVED
        .iter()
        .filter(|operation| !reads.contains(operation))
        .filter(|operation| at.may_take(**operation))
        .filter(|operation| whens.iter().all(|when| when.expression.may_hold_for(**operation)))
        .map(|operation| operation.name())
        .collect();
    if let Some((last, others)) = blind.split_last() {
        let and = if others.is_empty() { "" } else { " and " };
        let message = format!(
            "the guard `{}` cannot read {}{and}{last} requests, which can pass it",
            decl.name,
            others.join(", ")
        );
        found.push(Diagnostic::new(Code::BlindGuard, message).at(decl.span).help(
            "narrow the pipeline's `when` to operations that it reads, or say `unread: pass` on the guard",
        ));
    }
}

fn caches(slots: &[Slot<'_>], found: &mut Diagnostics) {
    let is_cache = |slot: &Slot<'_>| {
        slot.decl.verb == Verb::Cache && slot.decl.mode != Mode::Off && !slot.decl.lost.has("mode")
    };
    for (n, cache) in slots.iter().enumerate().filter(|(_, slot)| is_cache(slot)) {
        for slot in slots.iter().skip(n + 1) {
            let (Some(declares), decl) = (&slot.declares, slot.decl) else { continue };
            if decl.verb != Verb::Guard || decl.mode != Mode::Enforce || decl.lost.has("mode") {
                continue;
            }
            if declares.edits_request {
                let message = format!(
                    "the cache `{}` stores text before the guard `{}` cleans it",
                    cache.decl.name, decl.name
                );
                found.push(
                    Diagnostic::new(Code::CacheBeforePii, message)
                        .at(cache.decl.span)
                        .also(decl.span, "this guard edits what the cache has stored")
                        .help("move the cache below the guard"),
                );
            } else if declares.judges_request && !decl.on_hit_skip && !decl.lost.has("on_hit") {
                let message =
                    format!("a hit of the cache `{}` would skip the guard `{}`", cache.decl.name, decl.name);
                found.push(
                    Diagnostic::new(Code::GuardBelowCache, message)
                        .at(decl.span)
                        .also(cache.decl.span, "this cache answers before the guard is asked")
                        .help("move the guard above the cache, or say `on_hit: skip` on it"),
                );
            }
        }
    }
}

/// A transform that works on the whole reply says what it does with streams; guards hold them by nature.
fn stream(slot: &Slot<'_>, found: &mut Diagnostics) {
    let decl = slot.decl;
    let whole = slot.declares.as_ref().is_some_and(|declares| declares.streaming == Streaming::Whole);
    let says = decl.stream_whole || decl.lost.any(&["stream", "mode"]);
    if whole && decl.verb == Verb::Transform && decl.mode != Mode::Off && !says {
        let message = format!(
            "the transform `{}` works on whole replies and does not say what it does with streams",
            decl.name
        );
        found.push(Diagnostic::new(Code::StreamNeedsWhole, message).at(decl.span).help(
            "say `stream: whole` to hold streams back until their end, or, in a script, define `fn event(e)`",
        ));
    }
}

/// Side by side stand guards that judge and do nothing else.
fn together(slot: &Slot<'_>, found: &mut Diagnostics) {
    let decl = slot.decl;
    if decl.together.is_none() || decl.mode == Mode::Off || decl.lost.has("mode") {
        return;
    }
    let cause = match (decl.verb, &slot.declares) {
        // What a guard does that is wrong is not known.
        (Verb::Guard, None) => return,
        (Verb::Guard, Some(declares)) if declares.edits_request => {
            "it edits requests, and what one edits the others do not see"
        }
        (Verb::Guard, Some(declares)) if !declares.only_judges => {
            "it does more than judge: it keeps counts, or edits"
        }
        (Verb::Guard, Some(_)) => return,
        _ => "side by side stand guards alone",
    };
    let message = format!("the {} `{}` cannot stand in `together`", decl.verb, decl.name);
    let help = "move it above or below the others";
    found.push(Diagnostic::new(Code::Misplaced, message).at(decl.span).cause(cause).help(help));
}

fn shadows(at: &Place<'_>, found: &mut Diagnostics) {
    let observed = at.misses_stages
        || at.slots.iter().any(|slot| slot.decl.verb == Verb::Observe && slot.decl.mode != Mode::Off);
    for decl in at.all().map(|slot| slot.decl) {
        if decl.mode == Mode::Shadow && !observed {
            let message = format!(
                "the stage `{}` is in shadow, and no stage observes what it would have done",
                decl.name
            );
            found.push(
                Diagnostic::new(Code::UnseenShadow, message).at(decl.span).help("add `- observe: log`"),
            );
        }
    }
}

/// A route is last, and there is one; nothing in an attempt may answer or look.
fn order(slots: &[Slot<'_>], found: &mut Diagnostics) {
    let last = slots.len().saturating_sub(1);
    for (n, slot) in slots.iter().enumerate() {
        if slot.decl.verb == Verb::Route && n != last {
            let message = format!("the route `{}` is not the last stage", slot.decl.name);
            let help =
                "what stands below a route is never reached; move it above, or into the route's `attempt:`";
            found.push(Diagnostic::new(Code::Misplaced, message).at(slot.decl.span).help(help));
        }
        for inner in &slot.attempt {
            let (verb, name) = (inner.decl.verb, &inner.decl.name);
            let reads_reply = inner.declares.as_ref().is_some_and(|declares| declares.reads_reply);
            let why = match verb {
                // Said when the set was loaded.
                Verb::Route => continue,
                Verb::Cache | Verb::Observe => format!("a {verb} cannot stand in `attempt:`"),
                Verb::Guard | Verb::Transform if reads_reply => {
                    format!("`{name}` works on replies; stages in `attempt:` see the request of one attempt")
                }
                Verb::Guard | Verb::Transform => continue,
            };
            let help = "move it to the pipeline's own stages";
            found.push(Diagnostic::new(Code::Misplaced, why).at(inner.decl.span).help(help));
        }
    }
}
