//! What quotas and budgets share: the worst that a request may come to is reserved, what it came to is settled.

use super::notify::{Notify, Webhook};
use super::then::{Beyond, Then, ThenSettings, reroute};
use super::told::{Counted, Told};
use crate::Metrics;
use crate::per::{Per, Subject};
use futures::future::{BoxFuture, ready};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::units::{self, Calendar, Ratio};
use weir_diagnostic::{Code, Diagnostic, nearest};
use weir_message::{Denial, ErrorCode, Usage};
use weir_pipeline::{
    CONTINUE, Declares, Exchange, Hook, Slot, TEXT_OPERATIONS, Verdict, Visit, Workbench, Worst,
};
use weir_policy::{Expr, OnError, Spanned, StageDecl};
use weir_state::{Account, Crossed, Holding, Secured, Shortfall, Space, TimeZone, Unit, Window};

/// When to come back if requests under way hold what is left.
const SOON: Duration = Duration::from_secs(1);

/// How often a request that waits looks whether those under way have left something.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// No answer has so many tokens.
const LONGEST: u64 = 1 << 24;

/// What becomes of a request that there is no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SpendThen {
    /// It is refused.
    #[default]
    Deny,
    /// It waits for room until `deadline`, and is refused then.
    Wait,
    /// It goes on with `model` in the place of the one that it asks for, and does not count here.
    Route,
    /// Its answer may be as long as what is left allows: where that ends, the answer ends as one does that has reached its length
    /// (`finish_reason: length`). If nothing is left for an answer, it is refused.
    Shorten,
}

pub(super) fn queue() -> usize {
    100
}

/// What is done where there is no room.
enum Beside {
    As(Beyond),
    Shorten,
}

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
    webhook: Option<Webhook>,
    metrics: Metrics,
    beside: Beside,
    report: bool,
    /// Whether a request goes on where what it may come to cannot be written down.
    is_lenient: bool,
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
    pub(super) notify: Option<&'a Notify>,
    pub(super) report: bool,
    pub(super) then: SpendThen,
    pub(super) deadline: units::Duration,
    pub(super) queue: usize,
    pub(super) model: Option<&'a Spanned<String>>,
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
        let then = match common.then {
            SpendThen::Deny | SpendThen::Shorten => Then::Deny,
            SpendThen::Wait => Then::Wait,
            SpendThen::Route => Then::Route,
        };
        let then = ThenSettings { then, deadline: common.deadline, model: common.model };
        let beyond = Beyond::compile(&then, common.queue, decl, bench)?;
        let beside = match common.then {
            SpendThen::Shorten => Beside::Shorten,
            _ => Beside::As(beyond),
        };
        let webhook = match common.notify {
            Some(settings) => Some(Webhook::compile(settings, bench)?),
            None => None,
        };
        let meter = format!("{}/{}", bench.home, decl.name);
        let report = common.report;
        let metrics = metrics.clone();
        let is_lenient = decl.on_error == OnError::Skip;
        Some(Self { meter, unit, limits, per, zone, warn, webhook, metrics, beside, report, is_lenient })
    }

    /// What a stage with these limits does and needs.
    pub(super) fn declares(&self) -> Declares {
        let (edits_request, patience) = match &self.beside {
            Beside::Shorten => (true, Duration::ZERO),
            Beside::As(beyond) => (beyond.edits(), beyond.patience()),
        };
        Declares {
            needs: self.needs(),
            reads_operations: Some(TEXT_OPERATIONS),
            edits_request,
            patience,
            ..Declares::default()
        }
    }

    fn needs(&self) -> weir_pipeline::Needs {
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

    /// Reserves an amount for the request; where there is no room, does what the policy says. `amount_at` says what the request may
    /// come to if each of its answers has so many tokens at most.
    pub(super) fn reserve<'a>(
        &'a self,
        visit: Visit<'a>,
        amount: u64,
        amount_at: impl Fn(&Exchange, u64) -> Result<u64, String>,
    ) -> Hook<'a> {
        let Visit { exchange: x, slot, notes } = visit;
        let subject = match self.per.subject(x) {
            Ok(subject) => subject,
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        notes.fact("reserved", self.number(amount));
        let short = match self.hold(x, &subject, amount) {
            Ok(held) => return self.keep(Visit { exchange: x, slot, notes }, subject, held),
            Err(short) => short,
        };
        if let Beside::Shorten = &self.beside
            && let Some((held, short)) = self.shorten(x, &short, &subject, amount_at)
        {
            notes.fact("shortened_to", short.tokens);
            notes.fact("reserved", self.number(short.amount));
            return self.keep(Visit { exchange: x, slot, notes }, subject, held);
        }
        let looked = self.look_again(x, &subject);
        match (&self.beside, looked) {
            (Beside::As(Beyond::Wait(_)), looked) | (_, looked @ Some(_)) => Hook::Wait(Box::pin(
                self.beyond(Visit { exchange: x, slot, notes }, subject, amount, short, looked),
            )),
            (_, None) => Hook::Done(self.refuse(x, notes, &short, amount)),
        }
    }

    /// There is no room as far as is known here: it looks whether others gave some back, waits, if the policy says so, and is refused.
    async fn beyond(
        &self,
        visit: Visit<'_>,
        subject: Subject,
        amount: u64,
        short: Short,
        looked: Option<Secured>,
    ) -> Verdict {
        let Visit { exchange: x, slot, notes } = visit;
        let mut short = short;
        if let Some(looked) = looked {
            if let Err(error) = looked.await {
                return Verdict::Fault(error.to_string());
            }
            match self.hold(x, &subject, amount) {
                Ok(held) => return self.secure(Visit { exchange: x, slot, notes }, subject, held).await,
                Err(still) => short = still,
            }
        }
        let Beside::As(Beyond::Wait(patience)) = &self.beside else {
            return self.refuse(x, notes, &short, amount);
        };
        let clock = Arc::clone(&x.gateway.clock);
        let after = |short: &Short| self.comes_free(short, amount);
        let asked = &*x;
        let again = || -> BoxFuture<'_, Result<Held, Short>> {
            let held = self.hold(asked, &subject, amount);
            match self.look_again(asked, &subject).filter(|_| held.is_err()) {
                None => Box::pin(ready(held)),
                Some(looked) => {
                    let subject = &subject;
                    Box::pin(async move {
                        // Who cannot be asked leaves things as they were.
                        let _ = looked.await;
                        self.hold(asked, subject, amount)
                    })
                }
            }
        };
        let (held, waited) = patience.until(&*clock, short, after, again).await;
        notes.fact("waited_ms", u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        match held {
            Ok(held) => self.secure(Visit { exchange: x, slot, notes }, subject, held).await,
            Err(short) => self.refuse(x, notes, &short, amount),
        }
    }

    /// Where others share the totals: a look at what they left.
    fn look_again(&self, x: &Exchange, subject: &Subject) -> Option<Secured> {
        let now = x.gateway.clock.unix_nanos();
        x.gateway.state.totals.look_again(&self.accounts(x, subject, now), now)
    }

    /// Makes the answer as short as what is left allows, and holds what that may come to.
    fn shorten(
        &self,
        x: &mut Exchange,
        short: &Short,
        subject: &Subject,
        amount_at: impl Fn(&Exchange, u64) -> Result<u64, String>,
    ) -> Option<(Held, Shortened)> {
        let tokens = longest_within(short.shortfall.left, |tokens| amount_at(x, tokens))?;
        let amount = amount_at(x, tokens).ok()?;
        let held = self.hold(x, subject, amount).ok()?;
        // What has no field for it cannot be shortened; then nothing is held.
        if weir_dialect::limit_output(&mut x.request, tokens) {
            return Some((held, Shortened { tokens, amount }));
        }
        held.holding.release();
        None
    }

    /// Holds an amount in all totals, or says which has no room.
    fn hold(&self, x: &Exchange, subject: &Subject, amount: u64) -> Result<Held, Short> {
        let now = x.gateway.clock.unix_nanos();
        let accounts = self.accounts(x, subject, now);
        let ends: Vec<Option<i64>> = accounts.iter().map(|(account, _)| account.window.ends).collect();
        match x.gateway.state.totals.reserve(&accounts, amount, now) {
            Ok(holding) => Ok(Held { holding, ends, now }),
            Err(shortfall) => {
                Err(Short { shortfall, ends: ends.get(shortfall.limit).copied().flatten(), now })
            }
        }
    }

    /// Goes on with what is held, once it is on disk if it must be.
    fn keep<'a>(&'a self, visit: Visit<'a>, subject: Subject, mut held: Held) -> Hook<'a> {
        match held.holding.secured() {
            None => {
                *visit.slot = Some(Box::new(held.holding));
                self.report(visit.exchange, &subject);
                CONTINUE
            }
            Some(secured) => Hook::Wait(Box::pin(self.on_disk(visit, subject, held, secured))),
        }
    }

    /// The same, in a wait.
    async fn secure(&self, visit: Visit<'_>, subject: Subject, mut held: Held) -> Verdict {
        match held.holding.secured() {
            None => {
                *visit.slot = Some(Box::new(held.holding));
                self.report(visit.exchange, &subject);
                Verdict::Continue
            }
            Some(secured) => self.on_disk(visit, subject, held, secured).await,
        }
    }

    async fn on_disk(&self, visit: Visit<'_>, subject: Subject, held: Held, secured: Secured) -> Verdict {
        let Visit { exchange: x, slot, notes } = visit;
        let (amount, ends, now) = (held.holding.amount(), held.ends, held.now);
        // Kept before the wait: whoever leaves meanwhile gets it back at the end.
        *slot = Some(Box::new(held.holding));
        if let Err(error) = secured.await {
            // Where the policy lets it go on, it counts in this process, and is written down later.
            if let (false, Some(holding)) = (self.is_lenient, take(slot)) {
                holding.release();
            }
            return Verdict::Fault(error.to_string());
        }
        let Some(shortfall) = inside(slot).and_then(|holding| holding.shortfall()) else {
            self.report(x, &subject);
            return Verdict::Continue;
        };
        if let Some(holding) = take(slot) {
            holding.release();
        }
        let ends = ends.get(shortfall.limit).copied().flatten();
        self.refuse(x, notes, &Short { shortfall, ends, now }, amount)
    }

    fn refuse(
        &self,
        x: &mut Exchange,
        notes: &mut weir_pipeline::Notes,
        short: &Short,
        amount: u64,
    ) -> Verdict {
        self.tell(&short.shortfall, notes);
        if let Beside::As(Beyond::Route(model)) = &self.beside {
            reroute(x, model, notes);
            return Verdict::Continue;
        }
        if let Some(limit) = self.limits.get(short.shortfall.limit) {
            self.told(limit.amount, short.shortfall.left, short.until_end()).set(x);
        }
        Verdict::Deny(Box::new(self.refusal(&short.shortfall, amount, short.until_end())))
    }

    /// After how long there may be room; `None`: never.
    fn comes_free(&self, short: &Short, amount: u64) -> Option<Duration> {
        let limit = self.limits.get(short.shortfall.limit);
        if limit.is_some_and(|limit| amount > limit.amount) {
            return None;
        }
        if short.shortfall.fits_later { Some(LOOK_AGAIN) } else { short.until_end() }
    }

    /// Tells what is left of the limit of which least is left, if the policy says so.
    fn report(&self, x: &mut Exchange, subject: &Subject) {
        if !self.report {
            return;
        }
        let now = x.gateway.clock.unix_nanos();
        let totals = Arc::clone(&x.gateway.state.totals);
        let accounts = self.accounts(x, subject, now);
        let left = accounts
            .iter()
            .map(|(account, limit)| (totals.left(account, *limit), *limit, account.window.ends));
        if let Some((left, limit, ends)) = left.min_by_key(|(left, ..)| *left) {
            self.told(limit, left, ends.map(|ends| until(ends, now))).set(x);
        }
    }

    fn told(&self, limit: u64, left: u64, reset: Option<Duration>) -> Told {
        let (counted, shown): (_, fn(u64) -> String) = match self.unit {
            Unit::Tokens => (Counted::Tokens, |amount| amount.to_string()),
            Unit::Money => (Counted::Money, dollars),
        };
        Told { counted, limit: shown(limit), remaining: shown(left), reset }
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
            if let Some(webhook) = &self.webhook {
                #[allow(clippy::cast_precision_loss, reason = "from 0 to 1000")]
                let threshold = threshold as f64 / 1_000.0;
                let warning = serde_json::json!({
                    "event": "limit-warning",
                    "meter": self.meter,
                    "subject": subject.as_ref().map_or("", Subject::as_str),
                    "limit": limit.shown,
                    "threshold": threshold,
                    "spent": self.number(spent),
                    "revision": &**x.plan.revision(),
                    "at": weir_state::rfc3339(x.gateway.clock.unix_nanos().div_euclid(1_000_000_000)),
                });
                webhook.send(x, &warning);
            }
        }
    }

    fn tell(&self, shortfall: &Shortfall, notes: &mut weir_pipeline::Notes) {
        if let Some(limit) = self.limits.get(shortfall.limit) {
            notes.fact("limit", limit.shown.clone());
        }
        notes.fact("left", self.number(shortfall.left));
    }

    fn refusal(&self, shortfall: &Shortfall, amount: u64, until_end: Option<Duration>) -> Denial {
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
        Denial { retry_after: until_end, ..Denial::new(code, message) }
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

/// What is held for a request.
struct Held {
    holding: Holding,
    /// When the window of each limit ends.
    ends: Vec<Option<i64>>,
    now: i64,
}

/// An answer that was made shorter.
struct Shortened {
    tokens: u64,
    amount: u64,
}

/// What there is no room for.
struct Short {
    shortfall: Shortfall,
    /// When the window of that limit ends.
    ends: Option<i64>,
    now: i64,
}

impl Short {
    fn until_end(&self) -> Option<Duration> {
        self.ends.map(|ends| until(ends, self.now))
    }
}

/// From a moment in nanoseconds to one in seconds, both since 1970 UTC.
fn until(ends: i64, now: i64) -> Duration {
    let nanos = i128::from(ends) * 1_000_000_000 - i128::from(now);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// The longest answer, in tokens, with which a request comes to no more than `left`; `None` if there is none of one token.
fn longest_within(left: u64, amount_at: impl Fn(u64) -> Result<u64, String>) -> Option<u64> {
    let fits = |tokens: u64| amount_at(tokens).is_ok_and(|amount| amount <= left);
    if !fits(1) {
        return None;
    }
    let (mut good, mut bad) = (1, LONGEST);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}

fn inside(slot: &Slot) -> Option<&Holding> {
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

/// The most tokens that a request may come to, for each target that it may reach: input and output. With `at_most`, no answer has
/// more tokens than that.
pub(super) fn worst(
    x: &Exchange,
    assume_output: u64,
    at_most: Option<u64>,
) -> Result<impl Iterator<Item = (Arc<weir_pipeline::Target>, Usage)> + use<>, String> {
    let worst = match at_most {
        None => Worst::of(x)?,
        Some(tokens) => Worst::of(x)?.within(tokens),
    };
    // What a provider keeps spends nothing before it is asked for.
    let targets = if weir_dialect::is_kept(&x.request) { Vec::new() } else { x.reachable() };
    Ok(targets.into_iter().map(move |target| {
        let usage = worst.at(&target, assume_output);
        (target, usage)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_answer_that_fits_is_found_and_no_longer_one() {
        let at = |tokens: u64| Ok(30 + tokens * 7);
        for (left, want) in
            [(0, None), (36, None), (37, Some(1)), (43, Some(1)), (44, Some(2)), (30 + 7_000, Some(1_000))]
        {
            assert_eq!(longest_within(left, at), want, "{left}");
        }
        assert_eq!(longest_within(u64::MAX, at), Some(LONGEST - 1));
        assert_eq!(longest_within(99, |_| Err("no price".to_owned())), None);
    }
}
