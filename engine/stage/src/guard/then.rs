//! What becomes of a request that a limit has no room for: it is refused, waits, or goes on with another model.

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weir_diagnostic::{Code, Diagnostic, units};
use weir_pipeline::{Clock, Exchange, Notes, Workbench};
use weir_policy::{Spanned, StageDecl};

/// What becomes of a request that a limit has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Then {
    /// It is refused.
    #[default]
    Deny,
    /// It waits for room until `deadline`, and is refused then.
    Wait,
    /// It goes on with `model` in the place of the one that it asks for, and does not count here.
    Route,
}

/// The settings that go with it.
pub(super) struct ThenSettings<'a> {
    pub(super) then: Then,
    pub(super) deadline: units::Duration,
    pub(super) model: Option<&'a Spanned<String>>,
}

/// What is done, its settings checked.
pub(super) enum Beyond {
    Deny,
    Wait(Patience),
    Route(Arc<str>),
}

pub(super) fn deadline() -> units::Duration {
    units::Duration(Duration::from_secs(10))
}

impl Beyond {
    pub(super) fn compile(
        settings: &ThenSettings<'_>,
        queue: usize,
        decl: &StageDecl,
        bench: &mut Workbench<'_>,
    ) -> Option<Self> {
        let deadline = settings.deadline.0;
        if settings.then == Then::Wait && decl.timeout.is_some_and(|timeout| timeout <= deadline) {
            let found = Diagnostic::new(Code::BadValue, "`timeout` ends the wait before `deadline` does")
                .at(decl.span)
                .help("leave out `timeout`, or make it longer than `deadline`");
            bench.diagnostics.push(found);
            return None;
        }
        match (settings.then, settings.model) {
            (Then::Route, Some(model)) => {
                bench.model(&model.value, model.span)?;
                if model.value == "requested" {
                    let found =
                        Diagnostic::new(Code::BadValue, "`requested` is the model that there is no room for")
                            .at(model.span)
                            .help("name another one");
                    bench.diagnostics.push(found);
                    return None;
                }
                Some(Self::Route(Arc::from(model.value.as_str())))
            }
            (Then::Route, None) => {
                let found = Diagnostic::new(Code::MissingField, "`then: route` does not say where to")
                    .at(decl.span)
                    .help("name a model of the set: `model: small`");
                bench.diagnostics.push(found);
                None
            }
            (_, Some(model)) => {
                let found = Diagnostic::new(Code::BadValue, "`model` goes with `then: route`").at(model.span);
                bench.diagnostics.push(found.help("say `then: route`, or leave `model` out"));
                None
            }
            (Then::Deny, None) => Some(Self::Deny),
            (Then::Wait, None) => Some(Self::Wait(Patience::new(deadline, queue))),
        }
    }

    /// How long it may hold a request.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Wait(patience) => patience.deadline,
            Self::Deny | Self::Route(_) => Duration::ZERO,
        }
    }

    /// Whether it may change what is asked for.
    pub(super) fn edits(&self) -> bool {
        matches!(self, Self::Route(_))
    }
}

/// Sends a request on to another model.
pub(super) fn reroute(x: &mut Exchange, model: &str, notes: &mut Notes) {
    notes.fact("instead_of", x.request.model().to_owned());
    notes.fact("model", model.to_owned());
    x.request.set_model(model);
}

/// How long requests wait, and how many.
pub(super) struct Patience {
    deadline: Duration,
    queue: usize,
    waiting: AtomicUsize,
}

impl Patience {
    fn new(deadline: Duration, queue: usize) -> Self {
        Self { deadline, queue, waiting: AtomicUsize::new(0) }
    }

    /// Tries again and again, each time after as long as the last try says, until it succeeds, gives up, or the deadline would
    /// pass; then with why the last try failed. How long it took is told too.
    pub(super) async fn until<'a, T, E>(
        &self,
        clock: &dyn Clock,
        first: E,
        after: impl Fn(&E) -> Option<Duration>,
        mut again: impl FnMut() -> BoxFuture<'a, Result<T, E>>,
    ) -> (Result<T, E>, Duration) {
        let began = clock.now();
        let Some(_seat) = Seat::take(self) else { return (Err(first), Duration::ZERO) };
        let mut last = first;
        loop {
            let waited = clock.now().saturating_sub(began);
            match after(&last) {
                Some(wait) if waited.saturating_add(wait) <= self.deadline => {
                    clock.sleep(wait.max(Duration::from_millis(1))).await;
                }
                _ => return (Err(last), waited),
            }
            match again().await {
                Ok(done) => return (Ok(done), clock.now().saturating_sub(began)),
                Err(error) => last = error,
            }
        }
    }
}

/// A place among those that wait; left when it is dropped.
struct Seat<'a>(&'a AtomicUsize);

impl<'a> Seat<'a> {
    fn take(patience: &'a Patience) -> Option<Self> {
        let seat = Self(&patience.waiting);
        // Taken first, and left by the drop if there was none.
        (seat.0.fetch_add(1, Ordering::AcqRel) < patience.queue).then_some(seat)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
