//! The 99th percentile at 70 % of what each can take.

use super::{Bench, micros};
use crate::load::{Until, closed, open};
use crate::process::{Process, stolen};
use crate::table::{Row, median};
use crate::{Outcome, prompts, sets};
use std::time::Duration;

const CONNECTIONS: usize = 64;

/// One round: what each could take, and the 99th percentiles at 70 % of it.
struct Round {
    rates: (f64, f64),
    own: (f64, f64),
    same: (f64, f64),
}

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let weir = bench.weir("four-latency", sets::four_stages)?;
    let request = prompts::plain(1 << 10);
    let capacity = |process: &Process| {
        let time = Until::Time(Duration::from_millis(250));
        Outcome::Ok(closed(process.port, &request, CONNECTIONS, time)?.rate())
    };
    let tail = |process: &Process, rate: f64| {
        let time = Duration::from_millis(400);
        Outcome::Ok(micros(open(process.port, &request, CONNECTIONS, rate * 0.7, time)?.quantile(0.99)))
    };
    let wanted = bench.choose(61, 15);
    let (mut rounds, mut spoilt) = (Vec::new(), 0);
    while rounds.len() < wanted && spoilt < 10 * wanted {
        // The speed of a shared machine changes by the second: each round measures what its own rates are shares of.
        let before = stolen()?;
        let rates = (capacity(&weir)?, capacity(&bench.bare)?);
        let round = Round {
            rates,
            own: (tail(&weir, rates.0)?, tail(&bench.bare, rates.1)?),
            same: (tail(&weir, rates.0)?, tail(&bench.bare, rates.0)?),
        };
        // A round in which the host took the processor away measures the host.
        if stolen()? == before {
            rounds.push(round);
        } else {
            spoilt += 1;
        }
    }
    if rounds.len() < wanted {
        return Ok(vec![Row::absent("p99 at 70 %", "the host takes the processor away in most rounds")]);
    }
    let (own, ..) = median(rounds.iter().map(|round| round.rates.0 * 0.7).collect());
    let (bare, ..) = median(rounds.iter().map(|round| round.rates.1 * 0.7).collect());
    let row = |name: &str, bare: f64, of: fn(&Round) -> (f64, f64)| {
        let what = format!("p99 at 70 % of {name} ({own:.0}/s; bare {bare:.0}/s)");
        Row::rounds(what, "µs", &rounds.iter().map(of).collect::<Vec<_>>(), 1.5)
    };
    Ok(vec![
        row("its own capacity", bare, |round| round.own),
        row("Weir's capacity, both", own, |round| round.same).for_information(),
    ])
}
