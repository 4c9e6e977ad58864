//! Settings that change nothing where they stand.

use super::{Place, is_unconditional};
use crate::compile::SERVED;
use crate::compile::slot::Slot;
use crate::{Needs, Streaming};
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Span};
use weir_message::{Mode, Operation, Verb};
use weir_policy::{DenyForm, Hold};

/// Replies of these hold words, so that a denial can be told as one.
const SPOKEN: [Operation; 3] = [Operation::Chat, Operation::Completion, Operation::Response];

/// Warns of what is said of a pipeline and its stages and changes nothing.
pub(super) fn check(at: &Place<'_>, found: &mut Diagnostics) {
    anonymous(at, found);
    let mut below_cache = at.misses_stages;
    for slot in at.slots {
        stage(at, slot, below_cache, found);
        below_cache |= slot.decl.verb == Verb::Cache;
    }
    for slot in at.slots.iter().flat_map(|slot| &slot.attempt) {
        stage(at, slot, true, found);
    }
}

fn idle(place: Span, message: String, help: &str, found: &mut Diagnostics) {
    found.push(Diagnostic::new(Code::NeverHappens, message).at(place).help(help));
}

/// A pipeline for everyone behind a guard that knows everyone by name.
fn anonymous(at: &Place<'_>, found: &mut Diagnostics) {
    let asks = |slot: &&Slot<'_>| slot.declares.as_ref().is_some_and(|declares| declares.requires_caller);
    if at.decl.anonymous
        && let Some(slot) = at.slots.iter().filter(asks).find(|slot| is_unconditional(slot))
    {
        let message = format!(
            "`anonymous: true` changes nothing: the stage `{}` refuses callers who are not known",
            slot.decl.name
        );
        idle(at.decl.name.span, message, "take one of the two out", found);
    }
}

fn stage(at: &Place<'_>, slot: &Slot<'_>, below_cache: bool, found: &mut Diagnostics) {
    let (Some(declares), decl) = (&slot.declares, slot.decl) else { return };
    if decl.mode == Mode::Off {
        return;
    }
    let name = &decl.name;
    if decl.on_hit_skip && !below_cache {
        let message = format!("`on_hit` of `{name}` changes nothing: no cache stands above it");
        idle(decl.span, message, "leave it out", found);
    }
    let reads_bodies = declares.needs.has(Needs::BODY) || declares.reads_operations.is_some();
    if decl.unread_pass && !reads_bodies && !declares.reads_reply {
        let message = format!("`unread` of `{name}` changes nothing: it needs to read no request");
        idle(decl.span, message, "leave it out", found);
    }
    if declares.streaming == Streaming::None && (decl.stream_whole || decl.hold != Hold::Declared) {
        let field = if decl.stream_whole { "stream" } else { "hold" };
        let message = format!("`{field}` of `{name}` changes nothing: it does not read replies");
        idle(decl.span, message, "leave it out", found);
    }
    if let Some(deny) = &decl.deny
        && deny.form == DenyForm::Reply
        && (deny.status.is_some() || deny.code.is_some())
        && at.when.is_known()
        && SERVED.iter().all(|operation| SPOKEN.contains(operation) || !at.may_take(*operation))
    {
        let message = "a denial that is told as a reply has no `status` and no `code`".to_owned();
        idle(deny.span, message, "leave them out, or take `as: reply` out", found);
    }
}
