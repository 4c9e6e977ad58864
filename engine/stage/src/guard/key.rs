//! Refuses callers without a valid key: 401 `invalid-key`.
//!
//! ```yaml
//! - guard: key
//! ```

use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_message::{Denial, ErrorCode};
use weir_pipeline::{CONTINUE, Declares, Hook, Stage, Verdict, Visit, Workbench};
use weir_policy::StageDecl;

/// The settings of `guard: key`: it has none. Which keys there are is said under `keys`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    bench.settings::<Settings>(decl)?;
    Some(Arc::new(Key))
}

struct Key;

impl Stage for Key {
    fn declares(&self) -> Declares {
        Declares { requires_caller: true, only_judges: true, ..Declares::default() }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if visit.exchange.request.caller.is_some() {
            return CONTINUE;
        }
        Hook::Done(Verdict::Deny(Box::new(Denial::new(
            ErrorCode::InvalidKey,
            "this endpoint needs an API key",
        ))))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat};

    #[tokio::test]
    async fn refuses_who_shows_no_key() {
        let world = World::new("- guard: key");
        let got = world.send(chat("hi")).await;
        assert_eq!((got.status, &got.json()["error"]["code"]), (401, &"invalid-key".into()));
        assert!(world.calls().is_empty());
        assert_eq!(world.send_as(Some("web"), &[], chat("hi")).await.status, 200);
    }
}
