//! From a miss to its reply: what a cache keeps in mind for one request, whole or streamed.

use super::entry::{Rules, kept, likeness, weight};
use bytestring::ByteString;
use std::sync::Arc;
use weir_dialect::Collector;
use weir_inference::Embedder;
use weir_message::{Dialect, Event, EventKind, Operation, Reply};
use weir_pipeline::{CacheSaid, Flow, Gateway, Notes, Slot, StreamStage, StreamVerdict, Visit};
use weir_state::{CachedReply, LeadGuard, SemanticEntry, Space};

/// The fact by which a cache in shadow tells whether its answer would have been the provider's.
pub(crate) const ANSWERS_AGREE: &str = "answers_agree";

/// What a cache keeps in mind for one request.
pub(crate) enum Mind {
    /// It had nothing: the reply is to be stored.
    Miss(Box<Pending>),
    /// In shadow, it would have answered with this: compared with what the provider says.
    WouldHit(Arc<CachedReply>),
}

/// A reply that is to come, and where it goes.
pub(crate) struct Pending {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) space: Space,
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
    pub(crate) rules: Rules,
    /// The user turn that it answers.
    pub(crate) question: ByteString,
    pub(crate) key: [u8; 32],
    /// What must be the same of a request for its question to be compared with this one.
    pub(crate) partition: [u8; 32],
    /// Whose it is.
    pub(crate) subject: [u8; 32],
    /// The turn to find out, while others wait.
    pub(crate) lead: Option<LeadGuard<CachedReply>>,
    /// Where it lies among questions, for a semantic cache.
    pub(crate) vector: Option<Arc<[f32]>>,
    /// The vectors of its words, for the same.
    pub(crate) words: Box<[u8]>,
}

impl Mind {
    pub(crate) fn put(self, slot: &mut Slot) {
        *slot = Some(Box::new(self));
    }

    pub(crate) fn take(slot: &mut Slot) -> Option<Self> {
        slot.take()?.downcast::<Self>().ok().map(|mind| *mind)
    }

    /// What handles the events of a stream. A shadow that would have hit compares at the end.
    pub(crate) fn stream(
        visit: &mut Visit<'_>,
        embedder: Option<&Arc<Embedder>>,
        max_entry: usize,
    ) -> Option<Box<dyn StreamStage>> {
        let mind = Self::take(visit.slot)?;
        let request = &visit.exchange.request;
        let collector = Collector::new(request.dialect, request.operation, max_entry);
        Some(Box::new(Collecting {
            mind: Some(mind),
            collector: Some(collector),
            embedder: embedder.cloned(),
            notes: Notes::default(),
        }))
    }

    /// Takes a whole reply: stores it, or compares it.
    pub(crate) async fn reply(self, reply: &Reply, embedder: Option<&Embedder>, notes: &mut Notes) {
        match self {
            Self::Miss(pending) => pending.store(reply, notes),
            Self::WouldHit(entry) => compare(&entry.reply, reply, embedder, notes).await,
        }
    }
}

impl Pending {
    fn store(self, reply: &Reply, notes: &mut Notes) {
        if let Some(reason) = self.rules.refuse(reply, self.operation) {
            notes.fact("not_stored", reason);
            return;
        }
        let reply = match kept(reply, self.dialect, self.operation) {
            Ok(reply) => reply,
            Err(reason) => {
                notes.fact("not_stored", reason);
                return;
            }
        };
        let now = self.gateway.clock.now();
        let weight = weight(&reply, &self.question) + self.words.len();
        let (state, ttl) = (&self.gateway.state, self.rules.ttl);
        let entry = Arc::new(CachedReply {
            reply,
            question: self.question,
            words: self.words,
            subject: self.subject,
            stored: now,
        });
        if let Some(vector) = &self.vector {
            let stored = SemanticEntry { payload: Arc::clone(&entry), weight, ttl };
            state.semantic(self.space).insert(self.partition, vector, stored, now);
        }
        match self.lead {
            Some(lead) => lead.store(self.subject, entry, weight, ttl, now),
            None => {
                state.exact(self.space).store(self.key, self.subject, entry, weight, now.saturating_add(ttl))
            }
        }
        notes.fact("stored", true);
    }
}

/// From so much on, two answers are held for one: the share of their words, and the cosine of their embeddings.
const ALIKE_WORDS: f64 = 0.8;
const ALIKE_MEANING: f64 = 0.8;

/// How close a cached answer is to the live one, and whether they are held for one.
async fn compare(cached: &Reply, live: &Reply, embedder: Option<&Embedder>, notes: &mut Notes) {
    let (cached, live) = (cached.text(), live.text());
    let words = likeness(&cached, &live);
    notes.fact("answers_equal", cached == live);
    notes.fact("answers_alike_in_words", round(words));
    let mut agree = words >= ALIKE_WORDS;
    if let Some(embedder) = embedder
        && let (Ok(cached), Ok(live)) = (embedder.embed(&cached).await, embedder.embed(&live).await)
    {
        let cosine: f32 = cached.iter().zip(live.iter()).map(|(a, b)| a * b).sum();
        notes.fact("answers_alike_in_meaning", round(f64::from(cosine)));
        agree |= f64::from(cosine) >= ALIKE_MEANING;
    }
    notes.fact(ANSWERS_AGREE, agree);
}

/// To four digits, for people.
pub(crate) fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// Puts a stream together as it passes.
struct Collecting {
    mind: Option<Mind>,
    /// None once the stream cannot be stored.
    collector: Option<Collector>,
    embedder: Option<Arc<Embedder>>,
    notes: Notes,
}

impl StreamStage for Collecting {
    fn event<'a>(&'a mut self, event: Event, out: &'a mut Vec<Event>) -> Flow<'a> {
        let is_content = matches!(event.kind, EventKind::Content | EventKind::Usage | EventKind::Other);
        if let Some(collector) = &mut self.collector
            && is_content
            && let Err(fault) = collector.push(&event)
        {
            // It goes on to the client; only the copy is given up, and who waits for it is told.
            self.notes.fact("not_stored", fault.message.to_string());
            self.collector = None;
            self.mind = None;
        }
        out.push(event);
        Flow::Done(StreamVerdict::Continue)
    }

    fn finish<'a>(&'a mut self, _out: &'a mut Vec<Event>) -> Flow<'a> {
        let (Some(mind), Some(collector)) = (self.mind.take(), self.collector.take()) else {
            return Flow::Done(StreamVerdict::Continue);
        };
        let reply = match collector.finish() {
            Ok(reply) => reply,
            Err(fault) => {
                self.notes.fact("not_stored", fault.message.to_string());
                return Flow::Done(StreamVerdict::Continue);
            }
        };
        match mind {
            Mind::Miss(pending) => {
                pending.store(&reply, &mut self.notes);
                Flow::Done(StreamVerdict::Continue)
            }
            Mind::WouldHit(entry) => {
                let (embedder, notes) = (self.embedder.as_deref(), &mut self.notes);
                Flow::Wait(Box::pin(async move {
                    compare(&entry.reply, &reply, embedder, notes).await;
                    StreamVerdict::Continue
                }))
            }
        }
    }

    fn notes(&mut self, notes: &mut Notes) {
        notes.facts.append(&mut self.notes.facts);
    }
}

/// Steps aside and says why.
pub(crate) fn bypass(visit: &mut Visit<'_>, reason: &'static str) {
    super::entry::said(visit.exchange, CacheSaid::Bypass);
    visit.notes.reason = Some(format!("stepped aside: {reason}"));
}
