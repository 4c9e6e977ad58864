//! Choosing targets.

use crate::Provider;
use std::sync::Arc;
use std::time::Duration;
use weir_catalog::Price;
use weir_message::{Attempt, Request};

/// Provider and upstream model.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whom to ask.
    pub provider: Arc<Provider>,
    /// For which model; `None`: the name the client asked for.
    pub model: Option<Arc<str>>,
    /// What it costs, if known.
    pub price: Option<Price>,
    /// The name of the tokenizer that counts for it, if known.
    pub tokenizer: Option<Arc<str>>,
    /// The longest prompt and reply together, in tokens, if known.
    pub context: Option<u64>,
}

impl Target {
    /// The upstream model's name for a request.
    pub fn model_for(&self, request: &Request) -> Arc<str> {
        self.model.clone().unwrap_or_else(|| Arc::from(request.model()))
    }
}

/// What a route is asked with.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The request as it is now.
    pub request: &'a Request,
    /// The attempts so far, oldest first.
    pub attempts: &'a [Attempt],
    /// The level of nesting: `attempt.path[depth]` is the child that this route picked for an attempt.
    pub depth: usize,
    /// A number that is the same for this request and route however often asked.
    pub dice: u64,
    /// Whether a target may be asked now: its breaker is closed and it is not cooling down.
    pub allows: &'a dyn Fn(&Target) -> bool,
}

/// What a route says.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The target to try.
    pub target: Arc<Target>,
    /// The children picked from this level down, this one's first.
    pub path: Vec<u16>,
    /// How long to wait before trying.
    pub wait: Duration,
}

/// A chooser: given the request and the attempts so far, the next target or none. It keeps nothing: asked again with the same
/// attempts it says the same, so a retry, a test and an explanation agree.
pub trait Route: Send + Sync {
    /// The next target to try; `None` when there is nothing (more) to try.
    fn next(&self, ask: Ask<'_>) -> Option<Pick>;

    /// How long all attempts may take together, if bounded.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Every target that may ever be chosen: for fingerprints, explanations and checks.
    fn targets(&self) -> Vec<Arc<Target>>;
}

impl<'a> Ask<'a> {
    /// The attempts that went to child `n` of this route.
    pub fn of_child(&self, n: u16) -> impl Iterator<Item = &'a Attempt> {
        let depth = self.depth;
        self.attempts.iter().filter(move |attempt| attempt.path.get(depth) == Some(&n))
    }
}

/// The models of a plan by name: exactly, then by the longest pattern (`gpt-5*`).
#[derive(Clone, Default)]
pub struct Models {
    exact: ahash::AHashMap<Arc<str>, Arc<dyn Route>>,
    patterns: Vec<(Arc<str>, Arc<dyn Route>)>,
}

impl Models {
    /// Adds a model; a name that ends in `*` is a pattern.
    pub fn insert(&mut self, name: &str, route: Arc<dyn Route>) {
        match name.strip_suffix('*') {
            Some(prefix) => {
                self.patterns.push((prefix.into(), route));
                self.patterns.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            }
            None => {
                self.exact.insert(name.into(), route);
            }
        }
    }

    /// The route of a model.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Route>> {
        self.exact
            .get(name)
            .or_else(|| self.patterns.iter().find(|(prefix, _)| name.starts_with(&**prefix)).map(|(_, route)| route))
    }

    /// The names that are no patterns, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.exact.keys().cloned().collect();
        names.sort();
        names
    }

    /// All names and patterns with their routes.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Arc<dyn Route>)> {
        let exact = self.exact.iter().map(|(name, route)| (name.to_string(), route));
        exact.chain(self.patterns.iter().map(|(prefix, route)| (format!("{prefix}*"), route)))
    }
}
