//! Streams: CPU per event, and the time to the first event.

use super::{Bench, float, micros};
use crate::load::{Until, closed};
use crate::process::Process;
use crate::table::Row;
use crate::{Outcome, prompts, sets};

/// Streams at a time, and events of each, 1 ms apart: so each event is read and written on its own, as from a model.
const STREAMS: usize = 64;
const EVENTS: u64 = 1000;

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let alone = bench.weir("alone", sets::route_alone)?;
    let four = bench.weir("four-streams", sets::four_stages)?;
    let request = prompts::stream(EVENTS, 1000);
    let replies = bench.choose(128, 64);
    let mut rows = Vec::new();
    for (name, weir) in [("pass-through", &alone), ("four stages", &four)] {
        let rounds: Vec<_> = (0..bench.choose(5, 3))
            .map(|_| Ok((per_event(weir, &request, replies)?, per_event(&bench.bare, &request, replies)?)))
            .collect::<Outcome<_>>()?;
        let row = Row::rounds(format!("CPU per streamed event, {name}"), "µs", &rounds, 1.3);
        rows.push(if name == "pass-through" { row } else { row.for_information() });
    }
    let request = prompts::stream(3, 1000);
    for (name, weir) in [("pass-through", &alone), ("four stages", &four)] {
        let replies = Until::Replies(bench.choose(400, 150));
        let once = |process: &Process| {
            Outcome::Ok(micros(closed(process.port, &request, 1, replies)?.quantile(0.5)))
        };
        let rounds: Vec<_> =
            (0..bench.choose(7, 5)).map(|_| Ok((once(weir)?, once(&bench.bare)?))).collect::<Outcome<_>>()?;
        rows.push(Row::added(format!("time to first event, median, {name}"), "µs", &rounds, 200.0));
    }
    Ok(rows)
}

/// Microseconds of CPU per event that arrives.
fn per_event(process: &Process, request: &[u8], replies: u64) -> Outcome<f64> {
    let before = process.cpu()?;
    let got = closed(process.port, request, STREAMS, Until::Replies(replies))?;
    // The last delta and the end mark come on top.
    if got.events != replies * (EVENTS + 2) {
        return Err(format!("{} events came of {}", got.events, replies * (EVENTS + 2)).into());
    }
    Ok(micros(process.cpu()? - before) / float(got.events))
}
