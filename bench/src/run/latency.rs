//! The 99th percentile at 70 % of what each can take.

use super::{Bench, micros};
use crate::load::{Until, closed, open};
use crate::process::Process;
use crate::table::{Row, median};
use crate::{Outcome, prompts, sets};
use std::time::Duration;

const CONNECTIONS: usize = 64;

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let weir = bench.weir("four-latency", sets::four_stages)?;
    let request = prompts::plain(1 << 10);
    let capacity = |process: &Process| {
        let time = Until::Time(Duration::from_millis(bench.choose(1500, 700)));
        let rates: Vec<_> = (0..4)
            .map(|_| Ok(closed(process.port, &request, CONNECTIONS, time)?.rate()))
            .collect::<Outcome<_>>()?;
        Outcome::Ok(median(rates).0)
    };
    let (own, bare) = (capacity(&weir)?, capacity(&bench.bare)?);
    let time = Duration::from_secs(bench.choose(5, 2));
    let tail = |process: &Process, rate: f64| {
        Outcome::Ok(micros(open(process.port, &request, CONNECTIONS, rate * 0.7, time)?.quantile(0.99)))
    };
    let mut rows = Vec::new();
    for (name, rate) in [("its own capacity", bare), ("Weir's capacity, both", own)] {
        let rounds: Vec<_> = (0..bench.choose(7, 5))
            .map(|_| Ok((tail(&weir, own)?, tail(&bench.bare, rate)?)))
            .collect::<Outcome<_>>()?;
        let what = format!("p99 at 70 % of {name} ({:.0}/s; bare {:.0}/s)", own * 0.7, rate * 0.7);
        let row = Row::rounds(what, "µs", &rounds, 1.5);
        rows.push(if rate == bare { row } else { row.for_information() });
    }
    Ok(rows)
}
