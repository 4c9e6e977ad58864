//! What `limits` and `spend` say at the end of a case's request.

use std::sync::Arc;
use weir_pipeline::Exchange;
use weir_script::{Counters, Payer, Spent, StageLimits};

const PAYERS: [Payer; 4] = [Payer::Key, Payer::User, Payer::Team, Payer::Everyone];

/// The counts of a request as they were when it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    limits: Vec<(Arc<str>, StageLimits)>,
    spent: [Option<Spent>; PAYERS.len()],
}

impl Counts {
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let names = exchange.trace.stages.iter().map(|stage| Arc::clone(&stage.name));
        Self {
            limits: names.filter_map(|name| exchange.limits(&name).ok().map(|left| (name, left))).collect(),
            spent: PAYERS.map(|payer| exchange.spent_today(payer)),
        }
    }
}

impl Counters for Counts {
    fn limits(&self, stage: &str) -> Result<StageLimits, String> {
        let found = self.limits.iter().find(|(name, _)| **name == *stage);
        found.map(|(_, left)| *left).ok_or_else(|| "no stage of this name limits anything here".to_owned())
    }

    fn spent_today(&self, payer: Payer) -> Option<Spent> {
        let place = PAYERS.iter().position(|one| *one == payer)?;
        self.spent.get(place).copied().flatten()
    }
}
