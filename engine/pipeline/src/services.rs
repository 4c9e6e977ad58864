//! What expressions call: counting tokens.

use crate::{Models, Target};
use ahash::AHashMap;
use std::sync::Arc;
use weir_inference::TokenCounter;
use weir_message::Request;
use weir_script::Services;

/// Tokens that a turn costs besides its text, by OpenAI's published counting of chats.
const PER_MESSAGE: u64 = 3;
/// Longer texts are estimated: an expression or a limit must not hold its thread.
const EXACT_UP_TO: usize = weir_inference::LONG_TEXT;

/// Counts tokens by the tokenizer of each model that the set names: of its first target that has one.
pub(crate) struct Counting {
    by_model: AHashMap<Arc<str>, TokenCounter>,
    /// By prefix, longest first, for models that are patterns: each name under one may have another.
    by_prefix: Vec<(Arc<str>, Vec<Arc<Target>>)>,
}

impl Counting {
    /// Counters for models; one without a tokenizer is estimated. Vocabularies are unpacked now and not at the first request.
    pub(crate) fn new(models: &Models) -> Self {
        let mut by_model = AHashMap::new();
        let mut by_prefix: Vec<(Arc<str>, Vec<Arc<Target>>)> = Vec::new();
        for (name, route) in models.iter() {
            let targets = route.targets(models);
            match name.strip_suffix('*') {
                Some(prefix) => {
                    targets.iter().flat_map(|target| target.tokenizers()).for_each(|name| {
                        TokenCounter::for_tokenizer(name);
                    });
                    by_prefix.push((Arc::from(prefix), targets));
                }
                None => by_model.extend(counter(&targets, "").map(|counter| (Arc::from(name), counter))),
            }
        }
        by_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { by_model, by_prefix }
    }

    /// The counter for a model; an estimate if its tokenizer is not known.
    pub(crate) fn of(&self, model: &str) -> TokenCounter {
        let by_prefix = || {
            let (_, targets) = self.by_prefix.iter().find(|(prefix, _)| model.starts_with(&**prefix))?;
            counter(targets, model)
        };
        self.by_model.get(model).copied().or_else(by_prefix).unwrap_or_else(TokenCounter::estimate)
    }

    fn count(counter: TokenCounter, text: &str) -> u64 {
        if text.len() <= EXACT_UP_TO { counter.count(text) } else { TokenCounter::estimate().count(text) }
    }
}

/// The counter of the first of these targets that has one for the model.
fn counter(targets: &[Arc<Target>], model: &str) -> Option<TokenCounter> {
    targets.iter().find_map(|target| TokenCounter::for_tokenizer(target.named(model).tokenizer.as_deref()?))
}

impl Services for Counting {
    fn count_tokens(&self, model: &str, text: &str) -> u64 {
        Self::count(self.of(model), text)
    }

    fn request_tokens(&self, request: &Request) -> u64 {
        let counter = self.of(request.model());
        let mut tokens = request.messages().len() as u64 * PER_MESSAGE;
        request.each_text(|at| {
            if !at.is_beside() {
                tokens += Self::count(counter, at.text.as_str());
            }
        });
        if let Some(chat) = request.chat() {
            tokens += chat.tools.iter().map(|tool| Self::count(counter, &tool.raw)).sum::<u64>();
        }
        tokens
    }
}
