//! Targets: where an attempt goes.

use crate::Provider;
use ahash::RandomState;
use http::HeaderValue;
use std::fmt;
use std::sync::Arc;
use weir_catalog::Price;
use weir_message::Request;
use weir_state::Breaker;

/// Provider and upstream model.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whom to ask.
    pub provider: Arc<Provider>,
    /// For which model; `None`: the name the client asked for.
    pub model: Option<Arc<str>>,
    /// What it costs, if known.
    pub price: Option<Price>,
    /// The price as the ledger keeps it.
    pub(crate) price_text: Option<Arc<str>>,
    /// The name of the tokenizer that counts for it, if known.
    pub tokenizer: Option<Arc<str>>,
    /// The longest prompt and reply together, in tokens, if known.
    pub context: Option<u64>,
    /// The longest reply, in tokens, if known.
    pub output_limit: Option<u64>,
    /// Whether it may be tried now; shared with other revisions.
    pub breaker: Arc<Breaker>,
    /// `x-weir-target`, where the name of the upstream model is known at load.
    pub(crate) shown: Option<HeaderValue>,
    /// Of a pattern: the targets that it stands for.
    pub(crate) names: Option<Names>,
}

impl Target {
    /// The upstream model's name for a request.
    pub fn model_for(&self, request: &Request) -> Arc<str> {
        self.model.clone().unwrap_or_else(|| Arc::from(request.model()))
    }

    /// The target for the name that a client asks for: of a pattern (`gpt-5*`) the one of this name, with a price, a
    /// tokenizer and a breaker of its own; else itself.
    pub fn named(self: &Arc<Self>, model: &str) -> Arc<Target> {
        match &self.names {
            Some(names) if model.len() <= LONGEST => names.get(model),
            _ => Arc::clone(self),
        }
    }

    /// The tokenizers that may count for it, for whoever unpacks them at load.
    pub fn tokenizers(&self) -> impl Iterator<Item = &str> {
        let of_names = self.names.iter().flat_map(|names| &names.tokenizers);
        self.tokenizer.iter().chain(of_names).map(|name| &**name)
    }
}

/// The longest name that has a target of its own under a pattern.
const LONGEST: usize = 200;
/// The names remembered of a pattern: clients make them up. Breakers are kept elsewhere and outlive a name that is forgotten.
const MOST: usize = 1000;

/// The targets that a pattern stands for, each made when first asked for.
#[derive(Clone)]
pub(crate) struct Names {
    tokenizers: Vec<Arc<str>>,
    made: Arc<Made>,
}

struct Made {
    make: Box<dyn Fn(&str) -> Target + Send + Sync>,
    known: papaya::HashMap<Box<str>, Arc<Target>, RandomState>,
}

impl Names {
    /// Targets made by `make` from a name; `tokenizers` are those that they may have.
    pub(crate) fn new(
        tokenizers: Vec<Arc<str>>,
        make: impl Fn(&str) -> Target + Send + Sync + 'static,
    ) -> Self {
        let known = papaya::HashMap::with_hasher(RandomState::new());
        Self { tokenizers, made: Arc::new(Made { make: Box::new(make), known }) }
    }

    fn get(&self, model: &str) -> Arc<Target> {
        let known = self.made.known.pin();
        if let Some(target) = known.get(model) {
            return Arc::clone(target);
        }
        if known.len() >= MOST {
            known.clear();
        }
        Arc::clone(known.get_or_insert_with(model.into(), || Arc::new((self.made.make)(model))))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("known", &self.made.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::target;
    use super::*;

    #[test]
    fn names_are_made_once_and_no_more_are_kept_than_told() {
        let names = Names::new(Vec::new(), |name| {
            let provider = Arc::clone(&target(0).provider);
            Target { model: Some(name.into()), provider, ..(*target(0)).clone() }
        });
        let pattern = Arc::new(Target { model: None, names: Some(names.clone()), ..(*target(0)).clone() });
        let (a, again) = (pattern.named("a"), pattern.named("a"));
        assert!(Arc::ptr_eq(&a, &again) && a.model.as_deref() == Some("a"));
        for n in 0..3 * MOST {
            pattern.named(&n.to_string());
        }
        assert!(names.made.known.len() <= MOST);
        // A name that no provider has is not remembered.
        assert!(pattern.named(&"x".repeat(LONGEST + 1)).model.is_none());
    }
}
