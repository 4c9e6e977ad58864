//! Answers the very same request again from memory.
//!
//! Two requests are the same if all that changes the answer is: model, turns, tools, parameters, whatever the order of keys
//! and the blanks between them; `stream`, `user` and fields for tracing do not count. The stages below the cache and the models
//! they reach count too. Equal misses at once wait for the first one's reply. Kept are replies that ended normally, never
//! errors, refusals or truncated ones. A streamed reply is kept and can be sent whole, and the other way round.
//!
//! ```yaml
//! - cache: exact
//!   with: { ttl: 10m, per: caller.team }
//! ```

use super::control::Control;
use super::entry::{Rules, answer, said, usable};
use super::keep::{Mind, Pending, bypass};
use super::key::{Part, lies_elsewhere, of, partition};
use crate::per::Per;
use bytestring::ByteString;
use futures::future::{Either, select};
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use weir_diagnostic::units::{ByteSize, Duration};
use weir_message::{Denial, ErrorCode};
use weir_pipeline::{
    CONTINUE, CacheSaid, Declares, Hook, Needs, Stage, StreamStage, Streaming, TEXT_OPERATIONS, Verdict,
    Visit, Workbench,
};
use weir_policy::{Expr, StageDecl};
use weir_state::{CachedReply, Claim, LeadGuard, Space};

/// The settings of `cache: exact`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Who shares replies: an expression such as `caller.team`, or `everyone`. There is no default: what one tenant was
    /// answered must not reach another by oversight.
    per: Expr,
    /// How long a reply is kept.
    #[serde(default = "an_hour")]
    ttl: Duration,
    /// The largest reply that is kept.
    #[serde(default = "a_mebibyte")]
    max_entry: ByteSize,
    /// The longest wait for the same request that is already under way; then this one goes its own way.
    #[serde(default = "five_seconds")]
    wait: Duration,
    /// Whether a client's `cache-control` is heeded: `no-cache`, `no-store`, `max-age`, `only-if-cached`.
    #[serde(default)]
    honour_cache_control: bool,
}

pub(super) fn an_hour() -> Duration {
    Duration(std::time::Duration::from_secs(3_600))
}

pub(super) fn a_mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

pub(super) fn five_seconds() -> Duration {
    Duration(std::time::Duration::from_secs(5))
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let per = Per::compile(&settings.per, bench)?;
    let max_entry = usize::try_from(settings.max_entry.0).unwrap_or(usize::MAX);
    Some(Arc::new(Exact {
        per,
        rules: Rules { ttl: settings.ttl.0, max_entry, tool_calls: true },
        wait: settings.wait.0,
        honour_cache_control: settings.honour_cache_control,
    }))
}

struct Exact {
    per: Per,
    rules: Rules,
    wait: std::time::Duration,
    honour_cache_control: bool,
}

impl Stage for Exact {
    fn declares(&self) -> Declares {
        Declares {
            needs: Needs::BODY | Needs::REPLY | self.per.needs(),
            streaming: Streaming::Events,
            judges_request: false,
            reads_reply: true,
            reads_operations: Some(TEXT_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, mut visit: Visit<'a>) -> Hook<'a> {
        let x = &*visit.exchange;
        if !TEXT_OPERATIONS.contains(&x.request.operation)
            || weir_dialect::is_form(&x.request)
            || weir_dialect::is_kept(&x.request)
        {
            bypass(&mut visit, "replies of this operation are not kept");
            return CONTINUE;
        }
        if let Some(reason) = lies_elsewhere(&x.request) {
            bypass(&mut visit, reason);
            return CONTINUE;
        }
        let control = match self.honour_cache_control {
            true => Control::of(&x.request.headers),
            false => Control::default(),
        };
        if control.no_store {
            bypass(&mut visit, "the client asks for it (no-store)");
            return CONTINUE;
        }
        let found = self
            .per
            .subject(x)
            .and_then(|subject| Ok((partition(subject.as_str()), of(x, subject.as_str(), Part::Whole)?)));
        let (partition, key) = match found {
            Ok(found) => found,
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        let looking = Looking { stage: self, control, partition, key };
        if control.no_cache {
            looking.miss(&mut visit, None);
            bypass(&mut visit, "the client asks for a fresh reply (no-cache)");
            return CONTINUE;
        }
        let (now, space, state) = (x.now(), x.space, &x.gateway.state);
        if space == Space::Shadow {
            let live = state.exact(Space::Live).get(&key, now);
            let entry = live.or_else(|| state.exact(Space::Shadow).get(&key, now));
            return Hook::Done(looking.end(&mut visit, entry, None));
        }
        match state.exact(Space::Live).claim(&key, now) {
            Claim::Hit(entry) => Hook::Done(looking.end(&mut visit, Some(entry), None)),
            Claim::Lead(lead) => Hook::Done(looking.end(&mut visit, None, Some(lead))),
            Claim::Wait(waiting) => {
                let sleep = x.gateway.clock.sleep(self.wait);
                Hook::Wait(Box::pin(async move {
                    let entry = match select(waiting, sleep).await {
                        Either::Left((entry, _)) => entry,
                        Either::Right(_) => None,
                    };
                    visit.notes.fact("waited_for_another", true);
                    looking.end(&mut visit, entry, None)
                }))
            }
        }
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(mind) = Mind::take(visit.slot) else { return CONTINUE };
        let (exchange, notes) = (&*visit.exchange, visit.notes);
        Hook::Wait(Box::pin(async move {
            if let Some(reply) = &exchange.reply {
                mind.reply(reply, None, notes).await;
            }
            Verdict::Continue
        }))
    }

    fn stream(&self, mut visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        Mind::stream(&mut visit, None, self.rules.max_entry)
    }
}

/// One request's look into the cache.
struct Looking<'a> {
    stage: &'a Exact,
    control: Control,
    partition: [u8; 32],
    key: [u8; 32],
}

impl Looking<'_> {
    /// What comes of what was found.
    fn end(
        &self,
        visit: &mut Visit<'_>,
        entry: Option<Arc<CachedReply>>,
        lead: Option<LeadGuard<CachedReply>>,
    ) -> Verdict {
        if let Some(entry) = entry.filter(|entry| usable(entry, visit.exchange, self.control.max_age)) {
            said(visit.exchange, CacheSaid::Hit);
            let reply = answer(&entry, visit.exchange.now());
            visit.notes.fact("age_seconds", visit.exchange.now().saturating_sub(entry.stored).as_secs());
            if visit.exchange.space == Space::Shadow {
                Mind::WouldHit(entry).put(visit.slot);
            }
            return Verdict::Answer(reply);
        }
        said(visit.exchange, CacheSaid::Miss);
        if self.control.only_if_cached {
            return not_cached();
        }
        self.miss(visit, lead);
        Verdict::Continue
    }

    fn miss(&self, visit: &mut Visit<'_>, lead: Option<LeadGuard<CachedReply>>) {
        let x = &*visit.exchange;
        let pending = Pending {
            gateway: Arc::clone(&x.gateway),
            space: x.space,
            dialect: x.request.dialect,
            operation: x.request.operation,
            rules: self.stage.rules,
            question: ByteString::new(),
            key: self.key,
            partition: self.partition,
            subject: self.partition,
            lead,
            vector: None,
            words: Box::default(),
        };
        Mind::Miss(Box::new(pending)).put(visit.slot);
    }
}

/// The answer to `only-if-cached` where nothing is kept (RFC 9111, section 5.2.1.7).
pub(super) fn not_cached() -> Verdict {
    let message = Cow::Borrowed("only a cached reply was asked for, and there is none");
    Verdict::Deny(Box::new(Denial { status: 504, ..Denial::new(ErrorCode::NoTarget, message) }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::json;
    use std::time::Duration;
    use weir_message::Operation;

    const EVERYONE: &str = "- cache: exact\n  with: { per: everyone, ttl: 10m }";

    #[tokio::test]
    async fn the_same_request_again_is_a_hit_and_spends_nothing() {
        let world = World::new(EVERYONE);
        let first = world.send(chat("hi")).await;
        assert_eq!((first.header("x-weir-cache"), first.text().as_str()), ("miss", "echo: hi"));
        world.pass(Duration::from_secs(7));
        let again = json!({ "messages": [{ "content": "hi", "role": "user" }], "model": "fast", "user": "u", "metadata": { "a": "b" } });
        let second = world.send(again).await;
        assert_eq!((second.header("x-weir-cache"), second.text()), ("hit", first.text()));
        assert_eq!(second.header("age"), "7");
        assert_eq!(world.last().usage.total(), 0);
        assert_eq!(world.calls().len(), 1);
        world.pass(Duration::from_secs(600));
        assert_eq!(world.send(chat("hi")).await.header("x-weir-cache"), "miss");
    }

    #[tokio::test]
    async fn what_changes_the_answer_is_a_miss() {
        let world = World::new("- cache: exact\n  with: { per: caller.team, ttl: 10m }");
        world.send_as(Some("web"), &[], chat("hi")).await;
        let mut warm = chat("hi");
        warm["temperature"] = json!(0.5);
        let mut turns = chat("hi");
        turns["messages"] =
            json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }]);
        let mut tools = chat("hi");
        tools["tools"] = json!([{ "type": "function", "function": { "name": "f" } }]);
        let mut model = chat("hi");
        model["model"] = json!("claude");
        for (team, body) in [
            ("web", warm),
            ("web", turns),
            ("web", tools),
            ("web", model),
            ("web", chat("ho")),
            ("ops", chat("hi")),
        ] {
            let got = world.send_as(Some(team), &[], body.clone()).await;
            assert_eq!(got.header("x-weir-cache"), "miss", "{team} {body}");
        }
        assert_eq!(world.send_as(Some("web"), &[], chat("hi")).await.header("x-weir-cache"), "hit");
    }

    #[tokio::test]
    async fn a_response_is_kept_whole_and_replayed_as_it_is_asked() {
        let world = World::new(EVERYONE);
        let owner = weir_state::owner_of(None);
        let response = weir_state::Minted {
            provider: "echo".into(),
            model: "fast".into(),
            kind: weir_state::Kind::Plain,
            id: "resp_0".to_owned(),
        };
        let before = world.state().minted.seal(&owner, &response).unwrap();
        let ask = async |fields: serde_json::Value| {
            let mut body = json!({ "model": "fast", "input": "hi" });
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            world.ask(Operation::Response, None, &[], body).await
        };
        let first = ask(json!({ "stream": true })).await;
        assert_eq!(first.header("x-weir-cache"), "miss");
        let last = first.body.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
        let told: serde_json::Value = serde_json::from_str(last).unwrap();
        let second = ask(json!({ "metadata": { "a": "b" } })).await;
        assert_eq!((second.header("x-weir-cache"), &second.json()), ("hit", &told["response"]));
        let third = ask(json!({ "stream": true })).await;
        assert_eq!(third.header("x-weir-cache"), "hit");
        assert!(
            third.body.contains("echo: hi") && third.body.contains("response.completed"),
            "{}",
            third.body
        );
        for (fields, said) in [
            (json!({ "store": true }), "miss"),
            (json!({ "previous_response_id": before }), "miss"),
            (json!({ "instructions": "be brief" }), "miss"),
            (json!({ "conversation": null }), "miss"),
            (json!({ "conversation": "conv_0" }), "bypass"),
        ] {
            assert_eq!(ask(fields.clone()).await.header("x-weir-cache"), said, "{fields}");
        }
    }

    #[tokio::test]
    async fn a_changed_stage_below_is_a_miss_and_an_observer_is_not() {
        let world = World::new(EVERYONE);
        world.send(chat("hi")).await;
        world.reload(&format!("{EVERYONE}\n- observe: metrics"));
        assert_eq!(world.send(chat("hi")).await.header("x-weir-cache"), "hit");
        world.reload(&format!("{EVERYONE}\n- transform: json\n  with: {{ set: {{ /seed: 1 }} }}"));
        assert_eq!(world.send(chat("hi")).await.header("x-weir-cache"), "miss");
    }

    #[tokio::test]
    async fn streams_are_stored_and_sent_as_the_client_asks() {
        let world = World::new(EVERYONE);
        let mut stream = chat("hi there you");
        stream["stream"] = json!(true);
        let first = world.send(stream.clone()).await;
        assert_eq!((first.header("x-weir-cache"), first.text().as_str()), ("miss", "echo: hi there you"));
        let whole = world.send(chat("hi there you")).await;
        assert_eq!((whole.header("x-weir-cache"), whole.text()), ("hit", first.text()));
        let streamed = world.send(stream).await;
        assert_eq!((streamed.header("x-weir-cache"), streamed.text()), ("hit", first.text()));
        assert!(streamed.body.ends_with("data: [DONE]\n\n"), "{}", streamed.body);
        assert_eq!(world.calls().len(), 1);
    }

    #[tokio::test]
    async fn errors_and_truncated_replies_are_not_stored() {
        let world = World::new(EVERYONE);
        for (model, tokens) in [("broken", 100), ("fast", 1)] {
            for stream in [false, true] {
                let body = json!({ "model": model, "max_tokens": tokens, "stream": stream, "messages": [{ "role": "user", "content": "a b c d" }] });
                for _ in 0..2 {
                    let got = world.send(body.clone()).await;
                    assert_ne!(got.header("x-weir-cache"), "hit", "{body}");
                }
            }
        }
    }

    #[tokio::test]
    async fn equal_misses_at_once_become_one_call() {
        let world = World::new(EVERYONE);
        let all = futures::future::join_all((0..8).map(|_| world.send(chat("hi")))).await;
        assert!(all.iter().all(|got| got.text() == "echo: hi"));
        assert_eq!(all.iter().filter(|got| got.header("x-weir-cache") == "hit").count(), 7);
        assert_eq!(world.calls().len(), 1);
    }

    #[tokio::test]
    async fn a_failed_leader_sends_the_others_on_their_own() {
        let world = World::new(EVERYONE);
        let mut body = chat("hi");
        body["model"] = json!("broken");
        let all = futures::future::join_all((0..3).map(|_| world.send(body.clone()))).await;
        assert!(all.iter().all(|got| got.status == 502), "{all:?}");
    }

    #[tokio::test]
    async fn a_client_may_say_how_if_the_policy_lets_it() {
        let world = World::new("- cache: exact\n  with: { per: everyone, honour_cache_control: true }");
        let control = async |value: &str| world.send_as(None, &[("cache-control", value)], chat("hi")).await;
        assert_eq!(control("only-if-cached").await.status, 504);
        assert_eq!(control("no-store").await.header("x-weir-cache"), "bypass");
        assert_eq!(control("").await.header("x-weir-cache"), "miss");
        assert_eq!(control("only-if-cached").await.header("x-weir-cache"), "hit");
        assert_eq!(control("no-cache").await.header("x-weir-cache"), "bypass");
        world.pass(Duration::from_secs(20));
        assert_eq!(control("max-age=10").await.header("x-weir-cache"), "miss");
        assert_eq!(control("max-age=10").await.header("x-weir-cache"), "hit");
        let world = World::new(EVERYONE);
        world.send(chat("hi")).await;
        let got = world.send_as(None, &[("cache-control", "no-cache")], chat("hi")).await;
        assert_eq!(got.header("x-weir-cache"), "hit");
    }

    #[tokio::test]
    async fn a_shadow_says_that_it_would_have_hit_and_touches_nothing() {
        let world = World::new(&format!("{EVERYONE}\n  mode: shadow"));
        for hit in [false, true] {
            let got = world.send(chat("hi")).await;
            assert_eq!((got.status, got.header("x-weir-cache")), (200, ""));
            let last = world.last();
            let decision = last.trace.stage("exact").unwrap().decision.name();
            assert_eq!(decision, if hit { "answered" } else { "passed" });
            assert_eq!(world.fact("exact", "answers_equal"), hit.then(|| true.into()));
        }
        assert_eq!(world.calls().len(), 2);
        world.reload(EVERYONE);
        assert_eq!(world.send(chat("hi")).await.header("x-weir-cache"), "miss");
    }

    #[tokio::test]
    async fn placeholders_are_restored_from_the_request_at_hand() {
        let world = World::new(&format!(
            "- guard: pii\n  with: {{ find: [email], then: replace, restore: true }}\n{EVERYONE}"
        ));
        assert_eq!(
            world.send(chat("write to bob@example.com")).await.text(),
            "echo: write to bob@example.com"
        );
        let got = world.send(chat("write to eve@example.com")).await;
        assert_eq!(
            (got.header("x-weir-cache"), got.text().as_str()),
            ("hit", "echo: write to eve@example.com")
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in
            [("{ ttl: 1h }", "per"), ("{ per: everyone, ttl: 1 }", "ttl"), ("{ per: caler.team }", "caller")]
        {
            let found = wrongs(&format!("- cache: exact\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
