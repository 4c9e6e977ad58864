//! What quotas and budgets share: the worst that a request may come to is reserved, what it came to is settled.

use crate::Metrics;
use crate::per::{Per, Subject};
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::units::{Calendar, Ratio};
use weir_diagnostic::{Code, Diagnostic, nearest};
use weir_message::{Denial, ErrorCode, Usage};
use weir_pipeline::{CONTINUE, Exchange, Hook, Slot, Verdict, Visit, Workbench, Worst};
use weir_policy::{Expr, Spanned, StageDecl};
use weir_state::{Account, Crossed, Holding, Shortfall, Space, TimeZone, Unit, Window};

/// When to come back if requests under way hold what is left.
const SOON: Duration = Duration::from_secs(1);

/// The limits of one stage.
pub(super) struct Limits {
    /// Whose totals these are: the pipeline's or frame's name and the stage's.
    meter: String,
    unit: Unit,
    limits: Vec<Limit>,
    per: Per,
    zone: TimeZone,
    /// In thousandths of a limit, rising.
    warn: Vec<u64>,
    metrics: Metrics,
}

/// So much in a window.
pub(super) struct Limit {
    pub(super) amount: u64,
    pub(super) calendar: Calendar,
    /// As policies write it.
    pub(super) shown: String,
}

/// What the settings of quotas and budgets have in common.
pub(super) struct Common<'a> {
    pub(super) per: Option<&'a Expr>,
    pub(super) time_zone: Option<&'a Spanned<String>>,
    pub(super) warn: &'a [Ratio],
}

impl Limits {
    pub(super) fn compile(
        unit: Unit,
        limits: Vec<Limit>,
        common: &Common<'_>,
        decl: &StageDecl,
        bench: &mut Workbench<'_>,
        metrics: &Metrics,
    ) -> Option<Self> {
        if limits.is_empty() {
            let found = Diagnostic::new(Code::BadValue, "the list of limits is empty").at(decl.span);
            bench.diagnostics.push(found.help("give at least one"));
            return None;
        }
        let per = match common.per {
            Some(expr) => Per::compile(expr, bench)?,
            None => Per::Caller,
        };
        let zone = match common.time_zone {
            Some(name) => zone(name, bench)?,
            None => TimeZone::UTC,
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        let mut warn: Vec<u64> = common.warn.iter().map(|share| (share.0 * 1_000.0).round() as u64).collect();
        warn.sort_unstable();
        warn.dedup();
        let meter = format!("{}/{}", bench.home, decl.name);
        Some(Self { meter, unit, limits, per, zone, warn, metrics: metrics.clone() })
    }

    pub(super) fn needs(&self) -> weir_pipeline::Needs {
        self.per.needs() | weir_pipeline::Needs::BODY | weir_pipeline::Needs::USAGE
    }

    fn accounts<'a>(&'a self, x: &Exchange, subject: &'a Subject, now: i64) -> Vec<(Account<'a>, u64)> {
        let account = |limit: &Limit| Account {
            space: x.space,
            meter: &self.meter,
            unit: self.unit,
            subject: subject.as_str(),
            window: Window::at(limit.calendar, self.zone, now / 1_000_000_000),
        };
        self.limits.iter().map(|limit| (account(limit), limit.amount)).collect()
    }

    /// Reserves an amount for the request, or refuses it.
    pub(super) fn reserve<'a>(&'a self, visit: Visit<'a>, amount: u64) -> Hook<'a> {
        let Visit { exchange: x, slot, notes } = visit;
        let subject = match self.per.subject(x) {
            Ok(subject) => subject,
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        let now = x.gateway.clock.unix_nanos();
        notes.fact("reserved", self.number(amount));
        let accounts = self.accounts(x, &subject, now);
        let ends = |shortfall: &Shortfall| accounts.get(shortfall.limit).and_then(|(one, _)| one.window.ends);
        let mut holding = match x.gateway.state.totals.reserve(&accounts, amount, now) {
            Ok(holding) => holding,
            Err(shortfall) => {
                let denial = self.refusal(&shortfall, amount, ends(&shortfall), now);
                self.tell(&shortfall, notes);
                return Hook::Done(Verdict::Deny(Box::new(denial)));
            }
        };
        let Some(secured) = holding.secured() else {
            *slot = Some(Box::new(holding));
            return CONTINUE;
        };
        let ends: Vec<Option<i64>> = accounts.iter().map(|(account, _)| account.window.ends).collect();
        // Kept before the wait: whoever leaves meanwhile gets it back at the end.
        *slot = Some(Box::new(holding));
        Hook::Wait(Box::pin(async move {
            if let Err(error) = secured.await {
                return Verdict::Fault(error.to_string());
            }
            let Some(shortfall) = held(slot).and_then(|holding| holding.shortfall()) else {
                return Verdict::Continue;
            };
            if let Some(holding) = take(slot) {
                holding.release();
            }
            self.tell(&shortfall, notes);
            let ends = ends.get(shortfall.limit).copied().flatten();
            Verdict::Deny(Box::new(self.refusal(&shortfall, amount, ends, now)))
        }))
    }

    /// Books what the request came to and gives the rest back. Tells of thresholds.
    pub(super) fn settle(&self, visit: Visit<'_>, actual: u64) {
        let Visit { exchange: x, slot, notes } = visit;
        let Some(holding) = take(slot) else { return };
        let crossed = holding.settle(actual, &self.warn, x.gateway.clock.unix_nanos());
        for Crossed { limit, threshold, spent } in crossed {
            let Some(limit) = self.limits.get(limit) else { continue };
            let share = format!("{}%", threshold_percent(threshold));
            notes.fact("warned", format!("{share} of {}", limit.shown));
            if x.space == Space::Shadow {
                continue;
            }
            self.metrics.warned(&self.meter, &limit.shown, &share);
            let subject = self.per.subject(x);
            tracing::warn!(
                meter = self.meter,
                subject = subject.as_ref().map_or("", Subject::as_str),
                limit = limit.shown,
                spent = self.shown(spent),
                "{share} of a limit is spent"
            );
        }
    }

    fn tell(&self, shortfall: &Shortfall, notes: &mut weir_pipeline::Notes) {
        if let Some(limit) = self.limits.get(shortfall.limit) {
            notes.fact("limit", limit.shown.clone());
        }
        notes.fact("left", self.number(shortfall.left));
    }

    fn refusal(&self, shortfall: &Shortfall, amount: u64, ends: Option<i64>, now: i64) -> Denial {
        let limit = self.limits.get(shortfall.limit);
        let shown = limit.map_or("", |limit| limit.shown.as_str());
        let code = match self.unit {
            Unit::Tokens => ErrorCode::QuotaExceeded,
            Unit::Money => ErrorCode::BudgetExceeded,
        };
        let may = self.shown(amount);
        if limit.is_some_and(|limit| amount > limit.amount) {
            let message =
                format!("this request may come to {may}, more than the limit of {shown} ever allows");
            return Denial::new(code, message);
        }
        if shortfall.fits_later {
            let message = format!("requests under way hold what is left of the limit of {shown}");
            return Denial { retry_after: Some(SOON), ..Denial::new(code, message) };
        }
        let left = self.shown(shortfall.left);
        let message = match shortfall.left {
            0 => format!("the limit of {shown} is reached"),
            _ => format!("of the limit of {shown} there is {left} left, and this request may come to {may}"),
        };
        let until = |ends: i64| {
            let nanos = i128::from(ends) * 1_000_000_000 - i128::from(now);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
        };
        Denial { retry_after: ends.map(until), ..Denial::new(code, message) }
    }

    /// An amount for people.
    fn shown(&self, amount: u64) -> String {
        match self.unit {
            Unit::Tokens => format!("{amount} tokens"),
            Unit::Money => format!("{} USD", dollars(amount)),
        }
    }

    /// An amount for traces: tokens, or dollars.
    fn number(&self, amount: u64) -> serde_json::Value {
        match self.unit {
            Unit::Tokens => amount.into(),
            Unit::Money => dollars(amount).into(),
        }
    }
}

fn held(slot: &Slot) -> Option<&Holding> {
    slot.as_ref()?.downcast_ref::<Holding>()
}

fn take(slot: &mut Slot) -> Option<Box<Holding>> {
    slot.take()?.downcast::<Holding>().ok()
}

/// Dollars without the zeros at the end, of which two places stay.
fn dollars(nanos: u64) -> String {
    let broken = format!("{:09}", nanos % 1_000_000_000);
    format!("{}.{:0<2}", nanos / 1_000_000_000, broken.trim_end_matches('0'))
}

fn threshold_percent(thousandths: u64) -> String {
    match thousandths % 10 {
        0 => (thousandths / 10).to_string(),
        rest => format!("{}.{rest}", thousandths / 10),
    }
}

fn zone(name: &Spanned<String>, bench: &mut Workbench<'_>) -> Option<TimeZone> {
    let zone = weir_state::time_zone(&name.value);
    if zone.is_none() {
        let help = match nearest(&name.value, weir_state::time_zones()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a name of the IANA database, such as Europe/Berlin or UTC".to_owned(),
        };
        let message = format!("there is no time zone `{}`", name.value);
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(name.span).help(help));
    }
    zone
}

/// The most tokens that a request may come to, for each target that it may reach: input and output.
pub(super) fn worst(
    x: &Exchange,
    assume_output: u64,
) -> Result<impl Iterator<Item = (Arc<weir_pipeline::Target>, Usage)> + use<>, String> {
    let worst = Worst::of(x)?;
    Ok(x.reachable().into_iter().map(move |target| {
        let usage = worst.at(&target, assume_output);
        (target, usage)
    }))
}
