//! What can be reached: open relays, guards that cannot see, caches in the wrong place.

use crate::compile::SERVED;
use crate::plan::Step;
use weir_diagnostic::{Code, Diagnostic, Diagnostics};
use weir_message::{Mode, Verb};
use weir_policy::{PipelineDecl, StageDecl};
use weir_script::Expression;

/// Checks one pipeline, frames included. `steps` and `decls` go together.
pub(crate) fn check(
    pipeline: &PipelineDecl,
    when: Option<&Expression>,
    decls: &[&StageDecl],
    steps: &[Step],
    found: &mut Diagnostics,
) {
    open_relay(pipeline, steps, found);
    blind_guards(when, decls, steps, found);
    caches(decls, steps, found);
    streams(decls, steps, found);
    shadows(decls, steps, found);
    order(decls, steps, found);
}

/// Whether a step always decides: nothing but its own verdict lets a request by.
fn is_unconditional(step: &Step) -> bool {
    step.mode == Mode::Enforce
        && step.whens.is_empty()
        && step.sample.is_none()
        && step.on_error == crate::OnError::Refuse
}

fn open_relay(pipeline: &PipelineDecl, steps: &[Step], found: &mut Diagnostics) {
    let guarded = steps.iter().any(|step| step.declares.requires_caller && is_unconditional(step));
    if !guarded && !pipeline.anonymous {
        let message = format!("anyone can reach a provider through the pipeline `{}`", *pipeline.name);
        found.push(
            Diagnostic::new(Code::OpenRelay, message)
                .at(pipeline.name.span)
                .cause("no stage that always runs asks who calls")
                .help("add `- guard: key` to it or to a frame, or say `anonymous: true` if everyone may"),
        );
    }
}

fn blind_guards(when: Option<&Expression>, decls: &[&StageDecl], steps: &[Step], found: &mut Diagnostics) {
    for (decl, step) in decls.iter().zip(steps) {
        let Some(reads) = step.declares.reads_operations else { continue };
        if step.verb != Verb::Guard || step.mode != Mode::Enforce || decl.unread_pass {
            continue;
        }
        let blind: Vec<&str> = SERVED
            .iter()
            .filter(|operation| !reads.contains(operation))
            .filter(|operation| when.is_none_or(|when| when.may_hold_for(**operation)))
            .filter(|operation| step.whens.iter().all(|when| when.expression.may_hold_for(**operation)))
            .map(|operation| operation.name())
            .collect();
        if !blind.is_empty() {
            let message = format!(
                "the guard `{}` cannot read {} requests, which can pass it",
                step.name,
                blind.join(" and ")
            );
            found.push(Diagnostic::new(Code::BlindGuard, message).at(decl.span).help(
                "narrow the pipeline's `when` to operations that it reads, or say `unread: pass` on the guard",
            ));
        }
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

/// A stage that works on the whole reply says what it does with streams: guards hold them by nature, others must say so.
fn streams(decls: &[&StageDecl], steps: &[Step], found: &mut Diagnostics) {
    for (decl, step) in decls.iter().zip(steps) {
        let whole = step.declares.streaming == crate::Streaming::Whole;
        if whole && step.verb == Verb::Transform && !decl.stream_whole {
            let message = format!(
                "the transform `{}` works on whole replies and does not say what it does with streams",
                step.name
            );
            found.push(
                Diagnostic::new(Code::StreamNeedsWhole, message).at(decl.span).help(
                    "say `stream: whole` to hold streams back until their end, or define `fn event(e)`",
                ),
            );
        }
    }
}

fn shadows(decls: &[&StageDecl], steps: &[Step], found: &mut Diagnostics) {
    let observed = steps.iter().any(|step| step.verb == Verb::Observe && step.mode != Mode::Off);
    for (decl, step) in decls.iter().zip(steps) {
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
