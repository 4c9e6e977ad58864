//! The plan in force, and how the last reloads went.

use arc_swap::ArcSwap;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use weir_pipeline::Plan;

/// The plan in force. Requests take it once; a reload swaps it whole.
pub struct Current {
    plan: ArcSwap<Plan>,
    status: ArcSwap<Status>,
    good: AtomicU64,
    bad: AtomicU64,
}

/// What is in force and since when. What `/revision` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The revision in force.
    pub revision: String,
    /// Since when, in nanoseconds since 1970 UTC.
    pub since_unix_nanos: i64,
    /// Why the last change did not take effect; gone after the next one that does.
    pub last_error: Option<LastError>,
}

/// A change that did not take effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// The revision that was refused.
    pub revision: String,
    /// When, in nanoseconds since 1970 UTC.
    pub at_unix_nanos: i64,
    /// How many errors.
    pub count: usize,
    /// The errors, rendered.
    pub diagnostics: String,
}

impl Current {
    /// The first plan, loaded at this time (nanoseconds since 1970 UTC).
    pub fn new(plan: Arc<Plan>, now: i64) -> Self {
        let status =
            Status { revision: plan.revision().to_string(), since_unix_nanos: now, last_error: None };
        Self {
            plan: ArcSwap::new(plan),
            status: ArcSwap::from_pointee(status),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
        }
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// What is in force and since when.
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// How many reloads took effect, and how many did not, since the start.
    pub fn reloads(&self) -> (u64, u64) {
        (self.good.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed))
    }

    /// Puts another plan in force.
    pub(crate) fn accept(&self, plan: Arc<Plan>, now: i64) {
        let status =
            Status { revision: plan.revision().to_string(), since_unix_nanos: now, last_error: None };
        self.plan.store(plan);
        self.status.store(Arc::new(status));
        self.good.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts the plan in force anew, with other secrets: the revision stays, and since when it is in force.
    pub(crate) fn renew(&self, plan: Arc<Plan>) {
        self.plan.store(plan);
    }

    /// Notes a change that did not take effect. The plan in force stays.
    pub(crate) fn refuse(&self, error: LastError) {
        let status = Status { last_error: Some(error), ..Status::clone(&self.status.load()) };
        self.status.store(Arc::new(status));
        self.bad.fetch_add(1, Ordering::Relaxed);
    }
}
