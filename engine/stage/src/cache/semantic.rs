//! Answers a question that was asked before in other words.
//!
//! All but the last user turn must be the same as for `cache: exact`; that turn is compared by meaning: its embedding must be
//! as near as `threshold`, and the two turns must agree in numbers, dates, names, quoted text, code, negation and direction. It
//! steps aside, and says so, where the last user turn is not plain text, is longer than the model reads, or answers a tool.
//! In the trace: `similarity` of the nearest question.
//!
//! ```yaml
//! - cache: semantic
//!   with: { threshold: 0.93, ttl: 1h, per: caller.team }
//! ```

use super::agree::disagreement;
use super::control::Control;
use super::entry::{Rules, answer, said, usable};
use super::exact::{a_mebibyte, an_hour, five_seconds, not_cached};
use super::keep::{Mind, Pending, bypass, round};
use super::key::{Part, lies_elsewhere, of};
use crate::per::Per;
use bytestring::ByteString;
use futures::future::{Either, select};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::units::{ByteSize, Duration, Ratio};
use weir_diagnostic::{Code, Diagnostic};
use weir_inference::{DEFAULT_EMBEDDER, Embedder, Error};
use weir_message::{Operation, Request, Role};
use weir_pipeline::{
    CONTINUE, CacheSaid, Declares, Hook, Needs, Stage, StreamStage, Streaming, TEXT_OPERATIONS, Verdict,
    Visit, Workbench,
};
use weir_policy::{Expr, Spanned, StageDecl};
use weir_state::{CachedReply, Claim, LeadGuard, Space};

/// The settings of `cache: semantic`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Who shares replies: an expression such as `caller.team`, or `everyone`. There is no default: what one tenant was
    /// answered must not reach another by oversight.
    per: Expr,
    /// How near two questions must be: the cosine of their embeddings.
    #[serde(default = "near")]
    threshold: Ratio,
    /// How long a reply is kept.
    #[serde(default = "an_hour")]
    ttl: Duration,
    /// The largest reply that is kept.
    #[serde(default = "a_mebibyte")]
    max_entry: ByteSize,
    /// The longest wait for the same question that is already under way; then this one goes its own way.
    #[serde(default = "five_seconds")]
    wait: Duration,
    /// Whether a client's `cache-control` is heeded: `no-cache`, `no-store`, `max-age`, `only-if-cached`.
    #[serde(default)]
    honour_cache_control: bool,
    /// The model that embeds questions.
    #[serde(default)]
    model: Option<Spanned<String>>,
}

fn near() -> Ratio {
    Ratio(0.93)
}

/// How many near questions are looked at, nearest first.
const NEAREST: usize = 4;

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
        threshold: settings.threshold.0,
        rules: Rules { ttl: settings.ttl.0, max_entry, tool_calls: false },
        wait: settings.wait.0,
        honour_cache_control: settings.honour_cache_control,
        embedder,
    }))
}

struct Semantic {
    per: Per,
    threshold: f64,
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
        let question = match question(&x.request) {
            Ok(_) if control.no_store => Err("the client asks for it (no-store)"),
            question => question,
        };
        let question = match question {
            Ok(question) => question,
            Err(reason) => {
                bypass(&mut visit, reason);
                return CONTINUE;
            }
        };
        let partition =
            self.per.subject(x).and_then(|subject| of(x, subject.as_str(), Part::ButLastUserTurn));
        let partition = match partition {
            Ok(partition) => partition,
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        let key = *blake3::keyed_hash(&partition, question.as_bytes()).as_bytes();
        let looking = Looking { stage: self, control, partition, key, question };
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

/// The words of the last user turn, or why they cannot be compared by meaning.
fn question(request: &Request) -> Result<ByteString, &'static str> {
    if !matches!(request.operation, Operation::Chat | Operation::Response) {
        return Err("only conversations are compared by meaning");
    }
    if let Some(reason) = lies_elsewhere(request) {
        return Err(reason);
    }
    let messages = request.messages();
    let Some(at) = messages.iter().rposition(|message| message.role == Role::User) else {
        return Err("there is no user turn");
    };
    let (Some(turn), after) = (messages.get(at), messages.get(at + 1..).unwrap_or_default()) else {
        return Err("there is no user turn");
    };
    if after.iter().any(|message| message.role == Role::Tool) {
        return Err("the last turn answers a tool");
    }
    if after.iter().any(|message| message.role == Role::Assistant) {
        return Err("the user does not have the last word");
    }
    if !turn.is_plain() {
        return Err("the last user turn is not plain text");
    }
    let text = turn.text();
    if text.trim().is_empty() {
        return Err("the last user turn is empty");
    }
    Ok(text.into())
}

/// One request's look into the cache.
struct Looking<'a> {
    stage: &'a Semantic,
    control: Control,
    partition: [u8; 32],
    /// Of the very same question.
    key: [u8; 32],
    question: ByteString,
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
                return hit(visit, entry);
            }
        }
        let vector = match self.stage.embedder.embed(&self.question).await {
            Ok(vector) => vector,
            Err(Error::TooLong { .. }) => {
                bypass(visit, "the last user turn is longer than the model reads");
                return Verdict::Continue;
            }
            Err(error) => return Verdict::Fault(error.to_string()),
        };
        if self.control.no_cache {
            self.miss(visit, None, vector);
            bypass(visit, "the client asks for a fresh reply (no-cache)");
            return Verdict::Continue;
        }
        if let Some(entry) = self.near(visit, &vector) {
            return hit(visit, entry);
        }
        said(visit.exchange, CacheSaid::Miss);
        if self.control.only_if_cached {
            return not_cached();
        }
        self.miss(visit, lead, vector);
        Verdict::Continue
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
    fn near(&self, visit: &mut Visit<'_>, vector: &[f32]) -> Option<Arc<CachedReply>> {
        let x = &*visit.exchange;
        let (state, now) = (&x.gateway.state, x.now());
        let mut found = state.semantic(Space::Live).search(&self.partition, vector, NEAREST, now);
        if x.space == Space::Shadow {
            found.extend(state.semantic(Space::Shadow).search(&self.partition, vector, NEAREST, now));
            found.sort_by(|one, other| other.0.total_cmp(&one.0));
        }
        let nearest = found.first().map(|(similarity, _)| f64::from(*similarity))?;
        let mut why_not = None;
        let mut chosen = None;
        for (similarity, entry) in found {
            if f64::from(similarity) < self.stage.threshold {
                break;
            }
            if let Some(what) = disagreement(&self.question, &entry.question) {
                why_not.get_or_insert(what);
            } else if usable(&entry, x, self.control.max_age) {
                chosen = Some((similarity, entry));
                break;
            } else {
                why_not.get_or_insert("placeholders or age");
            }
        }
        match &chosen {
            Some((similarity, _)) => visit.notes.fact("similarity", round(f64::from(*similarity))),
            None => visit.notes.fact("similarity", round(nearest)),
        }
        if let (None, Some(what)) = (&chosen, why_not) {
            visit.notes.fact("differs_in", what);
        }
        chosen.map(|(_, entry)| entry)
    }

    fn miss(&self, visit: &mut Visit<'_>, lead: Option<LeadGuard<CachedReply>>, vector: Arc<[f32]>) {
        let x = &*visit.exchange;
        let pending = Pending {
            gateway: Arc::clone(&x.gateway),
            space: x.space,
            dialect: x.request.dialect,
            operation: x.request.operation,
            rules: self.stage.rules,
            question: self.question.clone(),
            key: self.key,
            partition: self.partition,
            lead,
            vector: Some(vector),
        };
        Mind::Miss(Box::new(pending)).put(visit.slot);
    }
}

fn hit(visit: &mut Visit<'_>, entry: Arc<CachedReply>) -> Verdict {
    said(visit.exchange, CacheSaid::Hit);
    let now = visit.exchange.now();
    visit.notes.fact("age_seconds", now.saturating_sub(entry.stored).as_secs());
    let reply = answer(&entry, now);
    if visit.exchange.space == Space::Shadow {
        Mind::WouldHit(entry).put(visit.slot);
    }
    Verdict::Answer(reply)
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::{Value, json};

    /// None only where `WEIR_MODELS=none` says that models are not wanted.
    fn world(more: &str) -> Option<World> {
        if std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none") {
            println!("skipped: WEIR_MODELS=none");
            return None;
        }
        let stages = format!("- cache: semantic\n  with: {{ per: everyone, threshold: 0.8 }}{more}");
        Some(World::new(&stages))
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
            (
                user(
                    json!([{ "type": "text", "text": "what is this" }, { "type": "image_url", "image_url": { "url": "data:," } }]),
                ),
                "not plain",
            ),
            (user(json!("word ".repeat(400))), "longer than the model reads"),
            (
                json!({ "model": "fast", "messages": [{ "role": "user", "content": "hi" }, call, { "role": "tool", "tool_call_id": "1", "content": "42" }] }),
                "answers a tool",
            ),
            (user(json!("  ")), "empty"),
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
    }

    #[test]
    fn a_model_that_is_not_there_is_a_load_error_that_says_how_to_get_it() {
        let found = wrongs("- cache: semantic\n  with: { per: everyone, model: no-such-model }");
        assert!(found.contains("missing-model") && found.contains("make setup"), "{found}");
    }
}
