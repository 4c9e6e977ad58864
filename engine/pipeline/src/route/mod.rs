//! Choosing targets.

mod fallback;
mod named;
mod target;
#[cfg(test)]
mod tests;
mod weighted;

pub(crate) use fallback::mendable;
pub use fallback::{Fallback, FallbackChild, Retry};
pub(crate) use named::Named;
pub(crate) use target::Names;
pub use target::Target;
pub use weighted::Weighted;

use crate::fingerprint;
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Attempt, Request};

/// What a route is asked with.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The request as it is now.
    pub request: &'a Request,
    /// The model that is led to, by the name asked for: the request's own, or the one that a route names.
    pub model: &'a str,
    /// The attempts so far that this route had a hand in, oldest first.
    pub attempts: &'a [&'a Attempt],
    /// The target of the last attempt of all.
    pub last_target: Option<&'a Arc<Target>>,
    /// The time since the request came in, as attempts tell when they began.
    pub elapsed: Duration,
    /// The model that a stage named for this request, if one did.
    pub routed: Option<&'a str>,
    /// The models of the plan, for routes that follow the name asked for.
    pub models: &'a Models,
    /// The level of nesting: `attempt.path[depth]` is the child that this route picked for an attempt.
    pub depth: usize,
    /// A number that is the same for this request and route however often asked.
    pub dice: u64,
    /// Whether a target may be asked now: its breaker is closed, or may be probed, and it is not cooling down.
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
    /// How long the attempt may take, the wait included, if a route inside another bounds it.
    pub within: Option<Duration>,
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

    /// What is left of the deadlines, its own and those of routes inside, that bound the last attempt; `None` if none does.
    fn left_of_last(&self, _ask: Ask<'_>) -> Option<Duration> {
        None
    }

    /// Every target that may ever be chosen: for fingerprints, explanations and checks. Of no models, those that it names
    /// itself.
    fn targets(&self, models: &Models) -> Vec<Arc<Target>>;

    /// The targets that it may choose for a request of this model.
    fn targets_for(&self, models: &Models, _model: &str) -> Vec<Arc<Target>> {
        self.targets(models)
    }

    /// Which models of the plan it may lead to besides those that it names itself.
    fn reaches(&self) -> Reaches {
        Reaches::Any
    }
}

/// Which models of the plan a route may lead to besides those that it names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaches {
    /// None.
    Named,
    /// The one that the request asks for.
    Requested,
    /// Any: it is worked out per request.
    Any,
}

/// Where a route may lead: to a target, or on to another route.
#[derive(Clone)]
pub enum Child {
    /// To a target.
    Target(Arc<Target>),
    /// To another route; a model is one.
    Route(Arc<dyn Route>),
    /// To the model that the request asks for.
    Requested,
}

impl Child {
    /// What this child, the route's `n`th, would try next.
    pub(crate) fn next(&self, n: u16, ask: Ask<'_>) -> Option<Pick> {
        let route = match self {
            Child::Target(target) => {
                let is_fresh = own(n, ask).next().is_none();
                let target = target.named(ask.model);
                return (is_fresh && (ask.allows)(&target)).then(|| Pick {
                    target,
                    path: vec![n],
                    wait: Duration::ZERO,
                    within: None,
                });
            }
            Child::Route(route) => route,
            Child::Requested => ask.models.get(ask.request.model())?,
        };
        let attempts: Vec<&Attempt> = own(n, ask).collect();
        let model = self.model(ask);
        let mut pick = route.next(Ask { model, attempts: &attempts, depth: ask.depth + 1, ..ask })?;
        pick.path.insert(0, n);
        Some(pick)
    }

    /// [`Route::left_of_last`] of this child, the route's `n`th.
    pub(crate) fn left_of_last(&self, n: u16, ask: Ask<'_>) -> Option<Duration> {
        let route = match self {
            Child::Target(_) => return None,
            Child::Route(route) => route,
            Child::Requested => ask.models.get(ask.request.model())?,
        };
        let attempts: Vec<&Attempt> = own(n, ask).collect();
        route.left_of_last(Ask { attempts: &attempts, depth: ask.depth + 1, ..ask })
    }

    fn model<'a>(&self, ask: Ask<'a>) -> &'a str {
        match self {
            Child::Requested => ask.request.model(),
            Child::Target(_) | Child::Route(_) => ask.model,
        }
    }

    /// Which models it may lead to besides those that it names itself.
    pub(crate) fn reaches(&self) -> Reaches {
        match self {
            Child::Target(_) => Reaches::Named,
            Child::Route(route) => route.reaches(),
            Child::Requested => Reaches::Requested,
        }
    }

    /// The targets that it may lead to for a request of this model.
    pub(crate) fn targets_for(&self, models: &Models, model: &str) -> Vec<Arc<Target>> {
        match self {
            Child::Target(target) => vec![target.named(model)],
            Child::Route(route) => route.targets_for(models, model),
            Child::Requested => {
                models.get(model).map(|route| route.targets_for(models, model)).unwrap_or_default()
            }
        }
    }

    /// Every target that it may lead to; for [`Child::Requested`] those of all models.
    pub(crate) fn targets(&self, models: &Models) -> Vec<Arc<Target>> {
        match self {
            Child::Target(target) => vec![Arc::clone(target)],
            Child::Route(route) => route.targets(models),
            Child::Requested => models.iter().flat_map(|(_, route)| route.targets(models)).collect(),
        }
    }
}

/// The attempts that a route's `n`th child was picked for.
fn own<'a>(n: u16, ask: Ask<'a>) -> impl Iterator<Item = &'a Attempt> {
    ask.attempts.iter().copied().filter(move |attempt| attempt.path.get(ask.depth) == Some(&n))
}

/// The models of a plan by name: exactly, then by the longest pattern (`gpt-5*`).
#[derive(Clone, Default)]
pub struct Models {
    exact: ahash::AHashMap<Arc<str>, Known>,
    patterns: Vec<(Arc<str>, Known)>,
    /// There may be others, which could not be read.
    is_open: bool,
}

/// A model: where it leads, and the fingerprint of that.
#[derive(Clone)]
struct Known {
    route: Arc<dyn Route>,
    print: [u8; 32],
}

impl Models {
    /// Adds a model; a name that ends in `*` is a pattern.
    pub fn insert(&mut self, name: &str, route: Arc<dyn Route>) {
        let print = fingerprint::targets(&route.targets(&Models::default()));
        let known = Known { route, print };
        match name.strip_suffix('*') {
            Some(prefix) => {
                self.patterns.push((prefix.into(), known));
                self.patterns.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            }
            None => {
                self.exact.insert(name.into(), known);
            }
        }
    }

    fn known(&self, name: &str) -> Option<&Known> {
        self.exact.get(name).or_else(|| {
            self.patterns.iter().find(|(prefix, _)| name.starts_with(&**prefix)).map(|(_, known)| known)
        })
    }

    /// The route of a model.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Route>> {
        self.known(name).map(|known| &known.route)
    }

    /// Notes that there may be others, which could not be read: such models are never served.
    pub(crate) fn leave_open(&mut self) {
        self.is_open = true;
    }

    /// Whether there may be others.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a model has this name, and not only a pattern that fits it.
    pub(crate) fn is_exact(&self, name: &str) -> bool {
        self.exact.contains_key(name)
    }

    /// What a model leads to, as a fingerprint.
    pub(crate) fn print(&self, name: &str) -> [u8; 32] {
        self.known(name).map_or([0; 32], |known| known.print)
    }

    /// What stands before the `*` of each pattern, the longest first.
    pub fn patterns(&self) -> impl Iterator<Item = &Arc<str>> {
        self.patterns.iter().map(|(prefix, _)| prefix)
    }

    /// The names that are no patterns, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.exact.keys().cloned().collect();
        names.sort();
        names
    }

    /// All names and patterns with their routes, in no stated order.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Arc<dyn Route>)> {
        let exact = self.exact.iter().map(|(name, known)| (name.to_string(), &known.route));
        exact.chain(self.patterns.iter().map(|(prefix, known)| (format!("{prefix}*"), &known.route)))
    }
}
