//! Routes: choose targets.

pub(crate) mod fallback;
mod item;
pub(crate) mod pass_through;
pub(crate) mod requested;
pub(crate) mod weighted;

use std::sync::Arc;
use weir_message::{Denial, ErrorCode};
use weir_pipeline::{CONTINUE, Declares, Hook, Route, Stage, Verdict, Visit};

/// A stage that is a route.
struct RouteStage {
    route: Arc<dyn Route>,
    /// Whether it may follow the model asked for, which must then exist.
    follows_request: bool,
}

impl Stage for RouteStage {
    fn declares(&self) -> Declares {
        Declares { judges_request: false, ..Declares::default() }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let x = &*visit.exchange;
        if self.follows_request && x.plan.models().get(x.request.model()).is_none() {
            let denial = Denial {
                param: Some("model"),
                ..Denial::new(ErrorCode::UnknownModel, "the policy knows no model of this name")
            };
            return Hook::Done(Verdict::Deny(Box::new(denial)));
        }
        CONTINUE
    }

    fn route(&self) -> Option<&dyn Route> {
        Some(&*self.route)
    }
}
