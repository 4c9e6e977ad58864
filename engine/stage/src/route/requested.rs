//! Leads to the model that the request asks for, as a pipeline without a route does. It is there to carry `attempt:` stages.
//!
//! ```yaml
//! - route: requested
//! ```

use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_pipeline::{Declares, Stage, Workbench};
use weir_policy::StageDecl;

/// The settings of `route: requested`: it has none.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    bench.settings::<Settings>(decl)?;
    Some(Arc::new(Requested))
}

/// Names no route of its own: the executor then follows the request.
struct Requested;

impl Stage for Requested {
    fn declares(&self) -> Declares {
        Declares { judges_request: false, ..Declares::default() }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat};
    use serde_json::json;

    #[tokio::test]
    async fn follows_the_request_with_stages_for_each_attempt() {
        let world = World::new(
            "- route: requested\n  attempt:\n    - guard: no-claude\n      cel: attempt.model != \"echo-say-from_claude\"",
        );
        assert_eq!(world.send(chat("hi")).await.text(), "echo: hi");
        let mut body = chat("hi");
        body["model"] = json!("claude");
        assert_eq!(world.send(body.clone()).await.status, 503);
        body["model"] = json!("unheard-of");
        assert_eq!(world.send(body).await.status, 404);
    }
}
