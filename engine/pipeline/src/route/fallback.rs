//! A ladder: the first child that works, in written order.

use super::{Ask, Child, Models, Pick, Reaches, Route, Target};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Attempt, Cause, StatusSet};

/// Tries children in order: each target again for a while, then the next child whose condition holds.
pub struct Fallback {
    /// The children, in order.
    pub children: Vec<FallbackChild>,
    /// How often one target is tried.
    pub retry: Retry,
    /// How long all attempts may take together.
    pub deadline: Option<Duration>,
}

/// A rung of the ladder.
pub struct FallbackChild {
    /// Where it leads.
    pub child: Child,
    /// After which failures it is tried; `None`: after all that another target may mend.
    pub on: Option<StatusSet>,
}

/// How often one target is tried.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    /// Tries of one target, the first included; 0 counts as 1.
    pub tries: u32,
    /// After which failures it is tried again.
    pub on: StatusSet,
}

/// The longest wait before a retry that a provider can ask for; past it the next target is tried instead.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Whether another target may succeed where this one failed.
pub(crate) fn mendable(cause: Cause) -> bool {
    !matches!(cause, Cause::Rejected | Cause::ContentFiltered | Cause::Cancelled | Cause::Deadline)
}

impl Route for Fallback {
    fn next(&self, ask: Ask<'_>) -> Option<Pick> {
        let left = self.left(ask);
        if left == Some(Duration::ZERO) {
            return None;
        }
        let mut pick = self.pick(ask)?;
        pick.within = left.into_iter().chain(pick.within).min();
        Some(pick)
    }

    fn left_of_last(&self, ask: Ask<'_>) -> Option<Duration> {
        let last = ask.attempts.last().and_then(|last| last.path.get(ask.depth).copied());
        let inside = last.and_then(|n| self.children.get(usize::from(n))?.child.left_of_last(n, ask));
        self.left(ask).into_iter().chain(inside).min()
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn reaches(&self) -> Reaches {
        self.children.iter().map(|child| child.child.reaches()).max().unwrap_or(Reaches::Named)
    }

    fn targets_for(&self, models: &Models, model: &str) -> Vec<Arc<Target>> {
        self.children.iter().flat_map(|child| child.child.targets_for(models, model)).collect()
    }

    fn targets(&self, models: &Models) -> Vec<Arc<Target>> {
        self.children.iter().flat_map(|child| child.child.targets(models)).collect()
    }
}

impl Fallback {
    /// What is left of its deadline, from its own first attempt on.
    fn left(&self, ask: Ask<'_>) -> Option<Duration> {
        let began = ask.attempts.first().map_or(ask.elapsed, |first| first.began);
        self.deadline.map(|deadline| (began + deadline).saturating_sub(ask.elapsed))
    }

    fn pick(&self, ask: Ask<'_>) -> Option<Pick> {
        let Some(last) = ask.attempts.last() else { return self.from(0, None, ask) };
        let current = last.path.get(ask.depth).copied()?;
        if let Some(pick) = self.again(last, ask) {
            return Some(pick);
        }
        // A route below may have another target of its own for this failure.
        let child = self.children.get(usize::from(current))?;
        if let Child::Route(_) | Child::Requested = child.child
            && let Some(pick) = child.child.next(current, ask)
        {
            return Some(pick);
        }
        self.from(current + 1, Some(last), ask)
    }

    /// The same target again, if it has tries left and the failure is one to retry.
    fn again(&self, last: &Attempt, ask: Ask<'_>) -> Option<Pick> {
        let tries = ask.attempts.iter().filter(|attempt| attempt.path == last.path).count();
        if tries >= usize::try_from(self.retry.tries).unwrap_or(usize::MAX) || !self.retry.on.contains(last) {
            return None;
        }
        let target = ask.last_target?;
        // Doubling from 100 ms, each between half and whole by chance.
        let doubled = Duration::from_millis(100u64 << u32::try_from(tries - 1).unwrap_or(0).min(6));
        let own = doubled.mul_f64(0.5 + f64::from(u32::try_from(ask.dice % 1000).unwrap_or(0)) / 2000.0);
        let wait = last.retry_after.unwrap_or(own);
        let path = last.path.get(ask.depth..)?.to_vec();
        // A route inside may bound it too. A wait that ends behind a deadline is not begun.
        let within = self.left_of_last(ask);
        let fits = wait <= LONGEST_WAIT && within.is_none_or(|within| wait < within);
        fits.then(|| Pick { target: Arc::clone(target), path, wait, within })
    }

    /// The first child from `start` on that may be tried after `last`.
    fn from(&self, start: u16, last: Option<&Attempt>, ask: Ask<'_>) -> Option<Pick> {
        for (n, child) in self.children.iter().enumerate().skip(usize::from(start)) {
            let n = u16::try_from(n).ok()?;
            let fits = match (last, &child.on) {
                (None, _) => true,
                (Some(last), _) if last.cause == Some(Cause::RuledOut) => true,
                (Some(last), Some(on)) => on.contains(last),
                (Some(last), None) => last.cause.is_none_or(mendable),
            };
            if fits && let Some(pick) = child.child.next(n, ask) {
                return Some(pick);
            }
        }
        None
    }
}
