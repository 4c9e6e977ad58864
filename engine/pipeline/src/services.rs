//! What expressions call: counting tokens.

use ahash::AHashMap;
use std::sync::Arc;
use weir_inference::TokenCounter;
use weir_message::Request;
use weir_script::Services;

/// Tokens that a turn costs besides its text, by OpenAI's published counting of chats.
const PER_MESSAGE: u64 = 3;
/// Longer texts are estimated: an expression or a limit must not hold its thread.
const EXACT_UP_TO: usize = weir_inference::LONG_TEXT;

/// Counts tokens by the tokenizer of each model that the set names.
pub(crate) struct Counting {
    by_model: AHashMap<Arc<str>, TokenCounter>,
    /// By prefix, longest first, for models that are patterns.
    by_prefix: Vec<(Arc<str>, TokenCounter)>,
}

impl Counting {
    /// Counters for models (names or patterns) by the names of their tokenizers; a model without one is estimated.
    pub(crate) fn new(models: impl IntoIterator<Item = (String, Option<Arc<str>>)>) -> Self {
        let mut by_model = AHashMap::new();
        let mut by_prefix: Vec<(Arc<str>, TokenCounter)> = Vec::new();
        for (name, tokenizer) in models {
            let Some(counter) = tokenizer.and_then(|name| TokenCounter::for_tokenizer(&name)) else {
                continue;
            };
            match name.strip_suffix('*') {
                Some(prefix) => by_prefix.push((Arc::<str>::from(prefix), counter)),
                None => drop(by_model.insert(Arc::from(name), counter)),
            }
        }
        by_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { by_model, by_prefix }
    }

    /// The counter for a model; an estimate if its tokenizer is not known.
    pub(crate) fn of(&self, model: &str) -> TokenCounter {
        let by_prefix =
            || self.by_prefix.iter().find(|(prefix, _)| model.starts_with(&**prefix)).map(|(_, c)| *c);
        self.by_model.get(model).copied().or_else(by_prefix).unwrap_or_else(TokenCounter::estimate)
    }

    fn count(counter: TokenCounter, text: &str) -> u64 {
        if text.len() <= EXACT_UP_TO { counter.count(text) } else { TokenCounter::estimate().count(text) }
    }
}

impl Services for Counting {
    fn count_tokens(&self, model: &str, text: &str) -> u64 {
        Self::count(self.of(model), text)
    }

    fn request_tokens(&self, request: &Request) -> u64 {
        let counter = self.of(request.model());
        let mut tokens = request.messages().len() as u64 * PER_MESSAGE;
        request.each_text(|at| tokens += Self::count(counter, at.text.as_str()));
        if let Some(chat) = request.chat() {
            tokens += chat.tools.iter().map(|tool| Self::count(counter, &tool.raw)).sum::<u64>();
        }
        tokens
    }
}
