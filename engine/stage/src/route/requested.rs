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
