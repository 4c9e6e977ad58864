//! Guards that judge a whole request or reply and edit nothing: what all of them do with what they find.

use super::action::{Action, Findings, Side, unreadable};
use std::sync::Arc;
use weir_message::{Denial, ErrorCode, Operation, Reply};
use weir_pipeline::{
    CONTINUE, Declares, Exchange, Hook, Needs, Notes, Stage, TEXT_OPERATIONS, Verdict, Visit,
};

/// Findings, each in words that stand behind `the request` or `the reply` and quote neither.
pub(crate) type Found = Findings<String>;

/// What a request or reply is judged by. An error says why it cannot be judged.
pub(crate) trait Rules: Send + Sync {
    /// The operations whose requests it can judge.
    fn operations(&self) -> &'static [Operation] {
        TEXT_OPERATIONS
    }

    /// What is wrong with a request.
    fn request(&self, _x: &Exchange, _found: &mut Found) -> Result<(), String> {
        Ok(())
    }

    /// What is wrong with a reply; a stream is held to its end.
    fn reply(&self, _x: &Exchange, _reply: &Reply, _found: &mut Found) -> Result<(), String> {
        Ok(())
    }
}

/// A guard that judges.
pub(crate) struct Judging<R> {
    pub(crate) rules: R,
    /// The ways it looks.
    pub(crate) on: Vec<Side>,
    /// What is done with what breaks a rule.
    pub(crate) action: Action,
    /// What the client is told of a denial; if the policy does not say, what was found.
    pub(crate) message: Option<String>,
    /// Whether inputs pass that came as token ids, which nobody here can read.
    pub(crate) unread_pass: bool,
}

impl<R: Rules + 'static> Judging<R> {
    /// The guard in its place.
    pub(crate) fn stage(self) -> Arc<dyn Stage> {
        Arc::new(self)
    }

    fn verdict(&self, judged: Result<(), String>, found: &Found, reply: bool, notes: &mut Notes) -> Verdict {
        if let Err(reason) = judged {
            return Verdict::Fault(reason);
        }
        let Some(first) = found.first() else { return Verdict::Continue };
        found.tell(String::clone, reply, notes);
        match &self.action {
            Action::Tag(tag) => notes.tag(tag),
            Action::Deny => {
                let side = if reply { "reply" } else { "request" };
                let message = self.message.clone().unwrap_or_else(|| format!("the {side} {first}"));
                return Verdict::Deny(Box::new(Denial::new(ErrorCode::ContentDenied, message)));
            }
            Action::Observe | Action::Replace(_) | Action::Rewrite => {}
        }
        Verdict::Continue
    }
}

impl<R: Rules> Stage for Judging<R>
where
    R: 'static,
{
    fn declares(&self) -> Declares {
        let reply = self.on.contains(&Side::Reply);
        let needs = if reply { Needs::BODY | Needs::REPLY | Needs::EVENTS } else { Needs::BODY };
        Declares {
            needs,
            judges_request: self.on.contains(&Side::Request),
            only_judges: true,
            reads_reply: reply,
            reads_operations: Some(self.rules.operations()),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.on.contains(&Side::Request) {
            return CONTINUE;
        }
        if visit.exchange.request.body.has_token_ids() && !self.unread_pass {
            return Hook::Done(Verdict::Deny(unreadable()));
        }
        let mut found = Found::default();
        let judged = self.rules.request(visit.exchange, &mut found);
        Hook::Done(self.verdict(judged, &found, false, visit.notes))
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(reply) = &visit.exchange.reply else { return CONTINUE };
        let mut found = Found::default();
        let judged = self.rules.reply(visit.exchange, reply, &mut found);
        Hook::Done(self.verdict(judged, &found, true, visit.notes))
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::pii::gateway::{refused, says, send, user};
    use weir_message::Operation;

    #[test]
    fn guards_that_only_judge_stand_together() {
        let guards = "{ together: [{ guard: words, with: { words: [acme] } }, { guard: tools, with: { deny: [x] } }, \
                      { guard: size, with: { text: 1 KiB } }, { guard: language, with: { allow: [en] } }, \
                      { guard: mine, cel: 'request.model == \"m\"' }, { guard: pii, with: { find: [email], then: deny } }] }";
        let went = send(guards, Operation::Chat, &user("hi"), says("ok"));
        assert_eq!((went.status, went.trace.stages.len()), (200, 6), "{}", went.body);
        let went = send(guards, Operation::Chat, &user("by acme, bob@example.com"), says("ok"));
        let decisions: Vec<&str> = went.trace.stages.iter().map(|stage| stage.decision.name()).collect();
        assert_eq!((went.status, decisions[0], went.sent.is_none()), (403, "denied", true));
        for (guards, want) in [
            ("{ together: [{ guard: words, with: { words: [a], then: mask } }] }", "it edits requests"),
            ("{ together: [{ guard: pii, with: { find: [email], then: mask } }] }", "it edits requests"),
            ("{ together: [{ guard: rate, with: { requests: 1/s, per: everyone } }] }", "more than judge"),
            ("{ together: [{ cache: exact, with: { per: everyone } }] }", "guards alone"),
            ("{ together: [{ together: [{ guard: key }] }] }", "cannot stand in another"),
            ("{ together: [{ guard: key }], when: 'true' }", "no field `when`"),
            ("{ together: [{ guard: key }], while: downstream }", "upstream"),
            ("{ guard: key, while: upstream }", "only `together` has it"),
        ] {
            let said = refused(guards);
            assert!(said.contains(want), "{guards}: {said}");
        }
    }
}
