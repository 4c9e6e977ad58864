//! Answers a question that was asked before in other words.
//!
//! All but the last user turn must be the same as for `cache: exact`; that turn is compared by meaning: its embedding must be
//! as near as `threshold`, and a verifier must find that one answer serves both, by `verify`. It compares numbers, units, dates,
//! names, quoted text, code, negation, opposites, direction, quantifiers, tense and what is asked, and an alignment of all
//! words.
//!
//! It steps aside, and says so, where the last user turn is longer than the model reads, answers a tool, repeats what was asked
//! before in the conversation, or is bound to the time of asking. Where that turn is not plain text (images), or the request
//! offers tools, it answers the very same request alone.
//!
//! In the trace: `similarity` of the nearest question, how `likely` the verifier holds it for the same, which share of their
//! words it paired (`shared_words`), why a hit was `accepted`, and what a question as near as `threshold` that was no hit
//! `differs_in`. In shadow: `answers_agree`, whether the cached answer is one with the provider's.
//!
//! ```yaml
//! - cache: semantic
//!   with: { ttl: 1h, per: caller.team }
//! ```

use super::control::Control;
use super::entry::{Rules, answer, said, usable};
use super::exact::{a_mebibyte, an_hour, five_seconds, not_cached};
use super::keep::{Mind, Pending, bypass, round};
use super::key::{Part, of, partition};
use super::turn::{Limits, Turn};
use super::verify::{Judgement, Question, Verify, vectors};
use crate::per::Per;
use bytestring::ByteString;
use futures::future::{Either, select};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::units::{ByteSize, Duration, Ratio};
use weir_diagnostic::{Code, Diagnostic};
use weir_inference::{DEFAULT_EMBEDDER, Embedder, Error};
use weir_pipeline::{
    CONTINUE, CacheSaid, Declares, Hook, Needs, Stage, StreamStage, Streaming, TEXT_OPERATIONS, Verdict,
    Visit, Workbench,
};
use weir_policy::{Expr, Spanned, StageDecl};
use weir_state::{CachedReply, Claim, Given, LeadGuard, Space, question_key};

/// The settings of `cache: semantic`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Who shares replies: an expression such as `caller.team`, or `everyone`. There is no default: what one tenant was
    /// answered must not reach another by oversight.
    per: Expr,
    /// How near two questions must be: the cosine of their embeddings. If not given, 0.6 where a verifier looks at them too,
    /// else 0.93.
    #[serde(default)]
    threshold: Option<Ratio>,
    /// How sure it must be that one answer serves both questions: `strict` is hardly ever wrong and hits less, `balanced` is
    /// wrong for less than one near miss in a hundred, `off` goes by the cosine alone and is wrong often.
    #[serde(default)]
    verify: Verify,
    /// How long a reply is kept.
    #[serde(default = "an_hour")]
    ttl: Duration,
    /// The largest reply that is kept.
    #[serde(default = "a_mebibyte")]
    max_entry: ByteSize,
    /// The longest wait for the same question that is already under way; then this one goes its own way.
    #[serde(default = "five_seconds")]
    wait: Duration,
    /// Questions that are bound to the time they are asked at ("today", "latest", "now", in English, German, French, Spanish,
    /// Italian, Portuguese, Dutch and Chinese): `bypass` or `answer`.
    #[serde(default)]
    time_bound: TimeBound,
    /// Requests that offer tools: `exact` answers the very same request alone, `meaning` compares their last user turn.
    #[serde(default)]
    tools: Tools,
    /// Whether a client may say that an answer was wrong: `x-weir-cache-wrong` with the id of the request that got it
    /// (`x-request-id`). The entry goes, and the two questions share no answer any more. Admins always may:
    /// `POST /admin/v1/cache/{id}/wrong`.
    #[serde(default)]
    honour_wrong: bool,
    /// Whether the trace quotes the stored question that was nearest.
    #[serde(default)]
    quote: bool,
    /// Whether a client's `cache-control` is heeded: `no-cache`, `no-store`, `max-age`, `only-if-cached`.
    #[serde(default)]
    honour_cache_control: bool,
    /// The model that embeds questions.
    #[serde(default)]
    model: Option<Spanned<String>>,
}

/// What is done with questions that are bound to the time they are asked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TimeBound {
    #[default]
    Bypass,
    Answer,
}

/// How requests that offer tools are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Tools {
    #[default]
    Exact,
    Meaning,
}

/// The header by which a client says that an answer was wrong.
const WRONG: &str = "x-weir-cache-wrong";

/// How many near questions are looked at, nearest first.
const NEAREST: usize = 8;

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let per = Per::compile(&settings.per, bench)?;
    let (name, span) = match &settings.model {
        Some(model) => (model.value.as_str(), model.span),
        None => (DEFAULT_EMBEDDER, decl.span),
    };
    let embedder = match bench.inference.embedder(name) {
        Ok(embedder) => embedder,
        Err(error) => {
            let message = format!("`cache: semantic` needs the model `{name}`");
            let found = Diagnostic::new(Code::MissingModel, message)
                .at(span)
                .cause(error.to_string())
                .help("`make setup` fetches the models; `cache: exact` needs none");
            bench.diagnostics.push(found);
            return None;
        }
    };
    let max_entry = usize::try_from(settings.max_entry.0).unwrap_or(usize::MAX);
    Some(Arc::new(Semantic {
        per,
        threshold: settings.threshold.map_or(settings.verify.threshold(), |threshold| threshold.0),
        verify: settings.verify,
        limits: Limits {
            timely: settings.time_bound == TimeBound::Answer,
            tools: settings.tools == Tools::Meaning,
        },
        honour_wrong: settings.honour_wrong,
        quote: settings.quote,
        rules: Rules { ttl: settings.ttl.0, max_entry, tool_calls: false },
        wait: settings.wait.0,
        honour_cache_control: settings.honour_cache_control,
        embedder,
    }))
}

struct Semantic {
    per: Per,
    threshold: f64,
    verify: Verify,
    limits: Limits,
    honour_wrong: bool,
    quote: bool,
    rules: Rules,
    wait: std::time::Duration,
    honour_cache_control: bool,
    embedder: Arc<Embedder>,
}

impl Stage for Semantic {
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
        let control = match self.honour_cache_control {
            true => Control::of(&x.request.headers),
            false => Control::default(),
        };
        let turn = match Turn::of(&x.request, self.limits) {
            Turn::Meaning(_) | Turn::Same(_) if control.no_store => {
                Turn::Aside("the client asks for it (no-store)")
            }
            turn => turn,
        };
        let (question, same) = match turn {
            Turn::Meaning(question) => (question, None),
            Turn::Same(reason) => (ByteString::new(), Some(reason)),
            Turn::Aside(reason) => {
                bypass(&mut visit, reason);
                return CONTINUE;
            }
        };
        let part = if same.is_some() { Part::Whole } else { Part::ButLastUserTurn };
        let found = self
            .per
            .subject(x)
            .and_then(|subject| Ok((partition(subject.as_str()), of(x, subject.as_str(), part)?)));
        let (subject, partition) = match found {
            Ok(found) => found,
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        let told = x.request.headers.get(WRONG).filter(|_| self.honour_wrong && x.space == Space::Live);
        if let Some(id) = told.and_then(|id| id.to_str().ok()) {
            let gone = x.gateway.state.told_wrong(id, Some(&partition));
            visit.notes.fact("told_wrong", gone.is_some());
        }
        if let Some(reason) = same {
            visit.notes.reason = Some(format!("answers the very same request alone: {reason}"));
        }
        let key = question_key(&partition, &question);
        let by_meaning = same.is_none();
        let looking = Looking { stage: self, control, subject, partition, key, question, by_meaning };
        Hook::Wait(Box::pin(async move { looking.look(&mut visit).await }))
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(mind) = Mind::take(visit.slot) else { return CONTINUE };
        let (exchange, notes) = (&*visit.exchange, visit.notes);
        Hook::Wait(Box::pin(async move {
            if let Some(reply) = &exchange.reply {
                mind.reply(reply, Some(&self.embedder), notes).await;
            }
            Verdict::Continue
        }))
    }

    fn stream(&self, mut visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        Mind::stream(&mut visit, Some(&self.embedder), self.rules.max_entry)
    }
}

/// What the model says of a question, as it is kept.
struct Read {
    vector: Arc<[f32]>,
    words: Box<[u8]>,
}

/// One request's look into the cache.
struct Looking<'a> {
    stage: &'a Semantic,
    control: Control,
    /// Whose question it is.
    subject: [u8; 32],
    /// All that must be the same but the question.
    partition: [u8; 32],
    /// Of the very same question.
    key: [u8; 32],
    question: ByteString,
    /// Whether other words may be the same question.
    by_meaning: bool,
}

impl Looking<'_> {
    async fn look(self, visit: &mut Visit<'_>) -> Verdict {
        let mut lead = None;
        if !self.control.no_cache {
            // The same words need no embedding, and of several at once one goes.
            let entry = match self.same(visit) {
                Claim::Hit(entry) => Some(entry),
                Claim::Lead(guard) => {
                    lead = Some(guard);
                    None
                }
                Claim::Wait(waiting) => {
                    let sleep = visit.exchange.gateway.clock.sleep(self.stage.wait);
                    visit.notes.fact("waited_for_another", true);
                    match select(waiting, sleep).await {
                        Either::Left((entry, _)) => entry,
                        Either::Right(_) => None,
                    }
                }
            };
            if let Some(entry) = entry.filter(|entry| usable(entry, visit.exchange, self.control.max_age)) {
                visit.notes.fact("similarity", 1.0);
                visit.notes.fact("accepted", "the very same words");
                return self.hit(visit, entry);
            }
        }
        if !self.by_meaning {
            return self.end(visit, lead, None);
        }
        let reading = match self.stage.embedder.embed_tokens(&self.question).await {
            Ok(reading) => reading,
            Err(Error::TooLong { .. }) => {
                bypass(visit, "the last user turn is longer than the model reads");
                return Verdict::Continue;
            }
            Err(error) => return Verdict::Fault(error.to_string()),
        };
        let read = Read { words: vectors(&self.question, &reading).into(), vector: reading.vector };
        if !self.control.no_cache
            && let Some(entry) = self.near(visit, &read)
        {
            return self.hit(visit, entry);
        }
        self.end(visit, lead, Some(read))
    }

    /// Nothing was found.
    fn end(self, visit: &mut Visit<'_>, lead: Option<LeadGuard<CachedReply>>, read: Option<Read>) -> Verdict {
        if self.control.no_cache {
            self.miss(visit, None, read);
            bypass(visit, "the client asks for a fresh reply (no-cache)");
            return Verdict::Continue;
        }
        said(visit.exchange, CacheSaid::Miss);
        if self.control.only_if_cached {
            return not_cached();
        }
        self.miss(visit, lead, read);
        Verdict::Continue
    }

    /// Answers with an entry, and remembers for which request.
    fn hit(&self, visit: &mut Visit<'_>, entry: Arc<CachedReply>) -> Verdict {
        let x = &mut *visit.exchange;
        said(x, CacheSaid::Hit);
        let now = x.now();
        visit.notes.fact("age_seconds", now.saturating_sub(entry.stored).as_secs());
        let reply = answer(&entry, now);
        if x.space == Space::Shadow {
            Mind::WouldHit(entry).put(visit.slot);
        } else {
            let (stored, asked) = (entry.question.clone(), self.question.clone());
            x.gateway.state.told.remember(&x.request.id, Given { partition: self.partition, stored, asked });
        }
        Verdict::Answer(reply)
    }

    /// The entry of the very same question, or whose turn it is. A shadow neither leads nor waits.
    fn same(&self, visit: &Visit<'_>) -> Claim<CachedReply> {
        let x = &*visit.exchange;
        let (state, now) = (&x.gateway.state, x.now());
        if x.space == Space::Live {
            return state.exact(Space::Live).claim(&self.key, now);
        }
        match state.exact(Space::Live).get(&self.key, now) {
            Some(entry) => Claim::Hit(entry),
            None => state.exact(Space::Shadow).claim(&self.key, now),
        }
    }

    /// The nearest question's entry that may answer this one.
    fn near(&self, visit: &mut Visit<'_>, read: &Read) -> Option<Arc<CachedReply>> {
        let x = &*visit.exchange;
        let (state, now) = (&x.gateway.state, x.now());
        let mut found = state.semantic(Space::Live).search(&self.partition, &read.vector, NEAREST, now);
        if x.space == Space::Shadow {
            let shadow = state.semantic(Space::Shadow);
            found.extend(shadow.search(&self.partition, &read.vector, NEAREST, now));
            found.sort_by(|one, other| other.0.total_cmp(&one.0));
        }
        let nearest = found.first().map(|(similarity, _)| f64::from(*similarity))?;
        let question = Question::of(&self.question, &read.words);
        let near = found.into_iter().filter(|(similarity, _)| f64::from(*similarity) >= self.stage.threshold);
        let mut best: Option<(f32, Judgement, Arc<CachedReply>)> = None;
        for (similarity, entry) in near {
            let stored = Question::of(&entry.question, &entry.words);
            let mut judged = self.stage.verify.judge(&stored, &question, similarity);
            if judged.same && state.told.are_parted(&self.partition, &entry.question, &self.question) {
                judged = Judgement { same: false, differs_in: Some("what somebody told of them"), ..judged };
            }
            if judged.same && !usable(&entry, x, self.control.max_age) {
                judged = Judgement { same: false, differs_in: Some("placeholders or age"), ..judged };
            }
            // The likeliest of all that are the same; of none, the likeliest is told.
            if best
                .as_ref()
                .is_none_or(|(_, best, _)| (judged.same, judged.likely) > (best.same, best.likely))
            {
                best = Some((similarity, judged, entry));
            }
        }
        let notes = &mut *visit.notes;
        let Some((similarity, judged, entry)) = best else {
            notes.fact("similarity", round(nearest));
            return None;
        };
        notes.fact("similarity", round(f64::from(similarity)));
        if self.stage.verify != Verify::Off {
            notes.fact("likely", round(f64::from(judged.likely)));
            notes.fact("shared_words", round(f64::from(judged.shared_words)));
        }
        match judged.differs_in {
            _ if judged.same && judged.plain => notes.fact("accepted", "the same but for courtesy"),
            _ if judged.same => notes.fact("accepted", self.stage.verify.accepted()),
            what => notes.fact("differs_in", what.unwrap_or("words")),
        }
        if self.stage.quote {
            notes.fact("stored_question", entry.question.to_string());
        }
        judged.same.then_some(entry)
    }

    fn miss(&self, visit: &mut Visit<'_>, lead: Option<LeadGuard<CachedReply>>, read: Option<Read>) {
        let x = &*visit.exchange;
        let (vector, words) = read.map(|read| (read.vector, read.words)).unzip();
        let words = words.unwrap_or_default();
        let pending = Pending {
            gateway: Arc::clone(&x.gateway),
            space: x.space,
            dialect: x.request.dialect,
            operation: x.request.operation,
            rules: self.stage.rules,
            question: self.question.clone(),
            key: self.key,
            partition: self.partition,
            subject: self.subject,
            lead,
            vector,
            words,
        };
        Mind::Miss(Box::new(pending)).put(visit.slot);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::{Value, json};

    /// None only where `WEIR_MODELS=none` says that models are not wanted.
    fn world(more: &str) -> Option<World> {
        of(&format!("- cache: semantic\n  with: {{ per: everyone, threshold: 0.8 }}{more}"))
    }

    fn with_settings(settings: &str) -> Option<World> {
        of(&format!("- cache: semantic\n  with: {{ per: everyone, threshold: 0.8, {settings} }}"))
    }

    fn of(stages: &str) -> Option<World> {
        if std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none") {
            println!("skipped: WEIR_MODELS=none");
            return None;
        }
        Some(World::new(stages))
    }

    #[tokio::test]
    async fn the_same_in_other_words_is_a_hit_unless_it_differs_in_what_counts() {
        let Some(world) = world("") else { return };
        let question = "How do I reset my password?";
        assert_eq!(world.send(chat(question)).await.header("x-weir-cache"), "miss");
        for (text, said, fact) in [
            (question, "hit", Some(("similarity", json!(1.0)))),
            ("How can I reset my password?", "hit", None),
            ("How do I not reset my password?", "miss", Some(("differs_in", json!("negation")))),
            ("How do I reset my 2 passwords?", "miss", Some(("differs_in", json!("numbers")))),
            ("How do I bake bread?", "miss", None),
        ] {
            let got = world.send(chat(text)).await;
            assert_eq!(got.header("x-weir-cache"), said, "{text} {:?}", world.last().trace.stage("semantic"));
            assert!(world.fact("semantic", "similarity").is_some());
            if let Some((name, value)) = fact {
                assert_eq!(world.fact("semantic", name), Some(value), "{text}");
            }
            if said == "hit" {
                assert_eq!(got.text(), format!("echo: {question}"));
            }
        }
    }

    #[tokio::test]
    async fn all_but_the_last_user_turn_must_be_the_same() {
        let Some(world) = world("") else { return };
        let with = |system: &str, text: &str| json!({ "model": "fast", "messages": [{ "role": "system", "content": system }, { "role": "user", "content": text }] });
        world.send(with("be brief", "How do I reset my password?")).await;
        let got = world.send(with("be long", "How can I reset my password?")).await;
        assert_eq!(got.header("x-weir-cache"), "miss");
        let got = world.send(with("be brief", "How can I reset my password?")).await;
        assert_eq!(got.header("x-weir-cache"), "hit");
    }

    #[tokio::test]
    async fn it_steps_aside_and_says_why() {
        let Some(world) = world("") else { return };
        let user =
            |content: Value| json!({ "model": "fast", "messages": [{ "role": "user", "content": content }] });
        let call = json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] });
        for (body, reason) in [
            (user(json!("word ".repeat(400))), "longer than the model reads"),
            (
                json!({ "model": "fast", "messages": [{ "role": "user", "content": "hi" }, call, { "role": "tool", "tool_call_id": "1", "content": "42" }] }),
                "answers a tool",
            ),
            (user(json!("  ")), "empty"),
            (user(json!("What is the latest news?")), "bound to the time"),
            (
                json!({ "model": "fast", "messages": [{ "role": "user", "content": "Why?" }, { "role": "assistant", "content": "So." }, { "role": "user", "content": " why?" }] }),
                "asked before",
            ),
        ] {
            for _ in 0..2 {
                let got = world.send(body.clone()).await;
                assert_eq!(got.header("x-weir-cache"), "bypass", "{reason}");
                let why = world.last().trace.stage("semantic").unwrap().reason.clone().unwrap();
                assert!(why.contains(reason), "{why}");
            }
        }
    }

    #[tokio::test]
    async fn images_and_tools_are_answered_by_the_very_same_request_alone() {
        let Some(world) = world("") else { return };
        let image = json!([{ "type": "text", "text": "what is this" }, { "type": "image_url", "image_url": { "url": "data:," } }]);
        let image = json!({ "model": "fast", "messages": [{ "role": "user", "content": image }] });
        let tool = |text: &str| {
            let mut body = chat(text);
            body["tools"] = json!([{ "type": "function", "function": { "name": "f" } }]);
            body
        };
        for (body, said) in [
            (image.clone(), "miss"),
            (image, "hit"),
            (tool("How do I reset my password?"), "miss"),
            (tool("How can I reset my password?"), "miss"),
            (tool("How do I reset my password?"), "hit"),
        ] {
            assert_eq!(world.send(body.clone()).await.header("x-weir-cache"), said, "{body}");
            let why = world.last().trace.stage("semantic").unwrap().reason.clone().unwrap();
            assert!(why.contains("the very same request alone"), "{why}");
        }
        let Some(world) = with_settings("tools: meaning, time_bound: answer") else { return };
        for (body, said) in [
            (tool("How do I reset my password?"), "miss"),
            (tool("How can I reset my password?"), "hit"),
            (chat("How do I reset my password today?"), "miss"),
            (chat("How can I reset my password today?"), "hit"),
        ] {
            assert_eq!(world.send(body.clone()).await.header("x-weir-cache"), said, "{body}");
        }
    }

    #[tokio::test]
    async fn a_hit_says_why_it_was_accepted_and_quotes_only_if_asked() {
        let Some(world) = world("") else { return };
        world.send(chat("How do I reset my password?")).await;
        world.send(chat("How can I reset my password?")).await;
        let facts = world.last().trace.stage("semantic").unwrap().facts.clone();
        assert_eq!(world.fact("semantic", "accepted"), Some(json!("the same but for courtesy")), "{facts:?}");
        assert!(
            world.fact("semantic", "likely").is_some() && world.fact("semantic", "shared_words").is_some()
        );
        assert_eq!(world.fact("semantic", "stored_question"), None);
        let Some(world) = with_settings("verify: off, quote: true") else { return };
        world.send(chat("How do I reset my password?")).await;
        assert_eq!(world.send(chat("How do I not reset my password?")).await.header("x-weir-cache"), "hit");
        assert_eq!(world.fact("semantic", "accepted"), Some(json!("near enough, not verified")));
        assert_eq!(world.fact("semantic", "stored_question"), Some(json!("How do I reset my password?")));
    }

    #[tokio::test]
    async fn an_answer_told_wrong_is_gone_and_does_not_come_back() {
        let Some(world) = with_settings("honour_wrong: true") else { return };
        let (stored, asked) = ("How do I reset my password?", "How can I reset my password?");
        world.send(chat(stored)).await;
        assert_eq!(world.send(chat(asked)).await.header("x-weir-cache"), "hit");
        let id = world.last().request.id.to_string();
        let send = async |id: &str| world.send_as(None, &[("x-weir-cache-wrong", id)], chat(asked)).await;
        assert_eq!(send("nobody").await.header("x-weir-cache"), "hit");
        assert_eq!(world.fact("semantic", "told_wrong"), Some(json!(false)));
        assert_eq!(send(&id).await.header("x-weir-cache"), "miss");
        assert_eq!(world.fact("semantic", "told_wrong"), Some(json!(true)));
        assert_eq!(world.send(chat(stored)).await.header("x-weir-cache"), "miss");
        assert_eq!(world.fact("semantic", "differs_in"), Some(json!("what somebody told of them")));
        let Some(world) = with_settings("verify: balanced") else { return };
        world.send(chat(stored)).await;
        world.send(chat(asked)).await;
        let id = world.last().request.id.to_string();
        let got = world.send_as(None, &[("x-weir-cache-wrong", &id)], chat(asked)).await;
        assert_eq!(got.header("x-weir-cache"), "hit", "a policy that does not say so heeds no client");
    }

    #[tokio::test]
    async fn a_purge_of_one_subject_leaves_the_others() {
        let Some(world) = of("- cache: semantic\n  with: { per: caller.team, threshold: 0.8 }") else {
            return;
        };
        for team in ["web", "ops"] {
            world.send_as(Some(team), &[], chat("How do I reset my password?")).await;
        }
        assert_eq!(world.state().purge_partition(&crate::cache_partition("web")), 2);
        for (team, said) in [("web", "miss"), ("ops", "hit")] {
            let got = world.send_as(Some(team), &[], chat("How can I reset my password?")).await;
            assert_eq!(got.header("x-weir-cache"), said, "{team}");
        }
    }

    #[tokio::test]
    async fn a_hundred_same_questions_at_once_become_one_call() {
        let Some(world) = world("") else { return };
        let all =
            futures::future::join_all((0..100).map(|_| world.send(chat("How do I reset my password?"))))
                .await;
        assert!(all.iter().all(|got| got.text() == "echo: How do I reset my password?"));
        assert_eq!(world.calls().len(), 1);
    }

    #[tokio::test]
    async fn streams_are_stored_and_replayed() {
        let Some(world) = world("") else { return };
        let mut body = chat("How do I reset my password?");
        body["stream"] = json!(true);
        world.send(body).await;
        let mut body = chat("How can I reset my password?");
        body["stream"] = json!(true);
        let got = world.send(body).await;
        assert_eq!(
            (got.header("x-weir-cache"), got.text().as_str()),
            ("hit", "echo: How do I reset my password?")
        );
    }

    #[tokio::test]
    async fn a_shadow_compares_the_answers() {
        let Some(world) = world("\n  mode: shadow") else { return };
        world.send(chat("How do I reset my password?")).await;
        world.send(chat("How can I reset my password?")).await;
        assert_eq!(world.calls().len(), 2);
        assert_eq!(world.fact("semantic", "answers_equal"), Some(false.into()));
        let alike = world.fact("semantic", "answers_alike_in_meaning").unwrap().as_f64().unwrap();
        assert!((0.8..1.0).contains(&alike), "{alike}");
        assert_eq!(world.fact("semantic", "answers_agree"), Some(true.into()));
    }

    #[test]
    fn a_model_that_is_not_there_is_a_load_error_that_says_how_to_get_it() {
        let found = wrongs("- cache: semantic\n  with: { per: everyone, model: no-such-model }");
        assert!(found.contains("missing-model") && found.contains("make setup"), "{found}");
    }
}
