//! What expressions and scripts see of an exchange.

use crate::Exchange;
use weir_message::Mode;
use weir_script::{Counters, Payer, Spent, StageLimits, View};
use weir_state::{Space, SumBy};

/// The view of an exchange as it is now: borrows, nothing copied.
pub(crate) fn of(x: &Exchange) -> View<'_> {
    View {
        original: Some(x.original.as_deref().unwrap_or(&x.request)),
        params: &x.params,
        attempt: x.attempt.as_ref().or(x.trace.attempts.last()),
        attempts: &x.trace.attempts,
        reply: x.reply.as_ref(),
        trace: Some(&x.trace),
        counters: Some(x),
        ..View::new(&x.request, x.plan.revision(), x.unix_nanos)
    }
}

/// A day of UTC in nanoseconds.
const DAY: i64 = 86_400_000_000_000;

/// The day on which a request came in, in UTC from 1970.
pub(crate) fn day(x: &Exchange) -> u32 {
    u32::try_from(x.unix_nanos.div_euclid(DAY)).unwrap_or_default()
}

impl Counters for Exchange {
    fn limits(&self, stage: &str) -> Result<StageLimits, String> {
        let pipeline = self.plan.pipelines.iter().find(|pipeline| pipeline.name == self.trace.pipeline);
        let mut steps = pipeline.iter().flat_map(|pipeline| pipeline.all_steps());
        let step = steps
            .find(|step| *step.name == *stage && step.declares.limits)
            .ok_or("no stage of this name limits anything here")?;
        let space = match step.mode {
            Mode::Shadow => Space::Shadow,
            Mode::Enforce | Mode::Off => self.space,
        };
        step.stage.limits(self, space)
    }

    fn spent_today(&self, payer: Payer) -> Option<Spent> {
        let caller = self.request.caller.as_deref();
        let (by, name) = match payer {
            Payer::Key => (SumBy::Key, &**caller?.key.as_ref()?),
            Payer::User => (SumBy::User, &**caller?.user.as_ref()?),
            Payer::Team => (SumBy::Team, &**caller?.team.as_ref()?),
            Payer::Everyone => (SumBy::Everyone, ""),
        };
        let sum = self.gateway.state.spending.sum(day(self), by, name);
        Some(Spent { input: sum.input, output: sum.output, cost: sum.cost })
    }
}
