//! Whether two questions that mean nearly the same may have one answer.
//!
//! Embeddings see what a question is about, and hardly see a number, a name or a "not". So a candidate is verified: code, quoted
//! text and numbers must be the same, and what else can be read off the words (names, dates, negation, opposites, direction,
//! quantifiers, tense …) is weighed together with an alignment of the two questions' words by small neural networks. In doubt the
//! questions differ: a miss costs a call, a wrong hit costs trust.

mod asked;
mod axes;
mod features;
mod net;
mod plain;
mod question;
mod rules;
mod wordnet;
mod words;

use super::timely::time_bound;
use features::{Features, NAMES, features};
use net::NET;
use plain::plain;
pub(crate) use question::{Question, vectors};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_inference::{Embedder, Error};

/// How sure a cache must be that a stored question asks the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Hardly ever wrong: few questions in other words are answered.
    Strict,
    /// Wrong for less than one near miss in a hundred.
    #[default]
    Balanced,
    /// By the embeddings' cosine alone.
    Off,
}

/// What came of verifying a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Whether its answer may be given.
    pub same: bool,
    /// Whether they are the same but for courtesy and the like.
    pub plain: bool,
    /// How likely one answer serves both, from 0 to 1, as the judge sees it.
    pub likely: f32,
    /// Which share of their words was paired, from 0 to 1.
    pub shared_words: f32,
    /// What they differ in, where something that can be named.
    pub differs_in: Option<&'static str>,
}

impl Verify {
    /// How near questions must be, if a policy does not say it: the cosine of their embeddings.
    pub(crate) fn threshold(self) -> f64 {
        if self == Self::Off { 0.93 } else { 0.6 }
    }

    /// Why a candidate was taken, as traces say it.
    pub(crate) fn accepted(self) -> &'static str {
        match self {
            Self::Strict => "verified: strict",
            Self::Balanced => "verified: balanced",
            Self::Off => "near enough, not verified",
        }
    }

    /// Whether the answer to one question serves the other. `cosine` is that of their embeddings.
    pub(crate) fn judge(self, one: &Question, other: &Question, cosine: f32) -> Judgement {
        let features = features(one, other, cosine);
        let sum = NET.sum(&features);
        let least = match self {
            Self::Strict => NET.strict,
            Self::Balanced => NET.balanced,
            Self::Off => f32::NEG_INFINITY,
        };
        let differs_in = differing(&features);
        let long = one.words.len().max(other.words.len()) >= question::MOST_WORDS;
        // Nothing but courtesy apart, with the same code, quotes and numbers.
        let plain = !long
            && plain(one) == plain(other)
            && ["code", "quotes", "numbers"].iter().all(|name| feature(&features, name) == 0.0);
        let judged = sum >= least && differs_in.is_none() && !long;
        let same = self == Self::Off || plain || judged;
        Judgement {
            same,
            plain,
            likely: if plain { 1.0 } else { 1.0 / (1.0 + (-sum).exp()) },
            shared_words: feature(&features, "shared"),
            differs_in: differs_in.filter(|_| !same),
        }
    }
}

/// What two questions differ in so clearly that no likeness makes up for it.
fn differing(features: &Features) -> Option<&'static str> {
    MUST.iter().find(|(name, _)| feature(features, name) > 0.0).map(|(_, what)| *what)
}

fn feature(features: &Features, name: &str) -> f32 {
    NAMES.iter().position(|one| *one == name).and_then(|at| features.get(at)).copied().unwrap_or(0.0)
}

/// Features of which any trace parts two questions, and what traces call it.
const MUST: &[(&str, &str)] = &[
    ("code", "code or identifiers"),
    ("quotes", "quoted text"),
    ("numbers", "numbers"),
    ("left_numbers", "numbers"),
    ("dates", "dates"),
    ("names", "names"),
    ("negation", "negation"),
    ("missing", "negation"),
    ("opposites", "opposites"),
    ("marked_opposites", "opposites"),
    ("poles_opposed", "opposites"),
    ("sides_turned", "direction"),
    ("exchanged", "direction"),
    ("exchanged_around", "who does what to whom"),
    ("than_turned", "comparison"),
    ("quantifiers_conflict", "quantifiers"),
    ("past", "tense"),
    ("future", "tense"),
    ("kinds_conflict", "what is asked"),
    ("asks_differ", "what is asked"),
    ("asked", "what is asked"),
];

/// A question as the verifier reads it, for evaluations.
pub struct Asked {
    vector: Arc<[f32]>,
    question: Question,
    timely: bool,
}

impl Asked {
    /// Reads a question.
    ///
    /// # Errors
    /// The model does not read it.
    pub async fn read(embedder: &Embedder, text: &str) -> Result<Self, Error> {
        let reading = embedder.embed_tokens(text).await?;
        let question = Question::of(text, &vectors(text, &reading));
        Ok(Self { vector: reading.vector, question, timely: time_bound(text).is_some() })
    }

    /// The cosine of its embedding and another's.
    pub fn cosine(&self, other: &Self) -> f32 {
        self.vector.iter().zip(&*other.vector).map(|(x, y)| x * y).sum()
    }

    /// What the judge sees of two questions, in the order of [`Asked::FEATURES`].
    pub fn features(&self, other: &Self) -> Vec<f32> {
        features(&self.question, &other.question, self.cosine(other)).to_vec()
    }

    /// What a cache would say of the other question where this one is stored.
    pub fn judge(&self, other: &Self, verify: Verify) -> Judgement {
        verify.judge(&self.question, &other.question, self.cosine(other))
    }

    /// Whether a cache that is set so, and not otherwise, answers the other question where this one is stored.
    pub fn answers(&self, other: &Self, verify: Verify) -> bool {
        let near = f64::from(self.cosine(other)) >= verify.threshold();
        near && !self.timely && !other.timely && self.judge(other, verify).same
    }

    /// The names of the features.
    pub const FEATURES: &'static [&'static str] = &NAMES;
}
