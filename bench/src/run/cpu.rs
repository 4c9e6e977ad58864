//! CPU per request: user and system time of the gateway's process over the replies that came.

use super::{Bench, float, micros};
use crate::load::{Until, closed};
use crate::process::Process;
use crate::table::Row;
use crate::{Outcome, prompts, sets};
use std::time::Duration;

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let weir = bench.weir("four", sets::four_stages)?;
    let mut rows = Vec::new();
    for (name, size) in [("1 KB", 1 << 10), ("100 KB", 100 << 10)] {
        let request = prompts::plain(size);
        for connections in [1, 16, 64] {
            let time = Duration::from_millis(bench.choose(2000, 1000));
            let once = |process: &Process, time| per_reply(process, &request, connections, time);
            for process in [&weir, &bench.bare] {
                once(process, Duration::from_millis(300))?;
            }
            let rounds: Vec<_> = (0..bench.choose(7, 3))
                .map(|_| Ok((once(&weir, time)?, once(&bench.bare, time)?)))
                .collect::<Outcome<_>>()?;
            rows.push(Row::rounds(
                format!("CPU per request, {name}, {connections} connections"),
                "µs",
                &rounds,
                1.5,
            ));
        }
    }
    Ok(rows)
}

/// Microseconds of CPU per reply.
fn per_reply(process: &Process, request: &[u8], connections: usize, time: Duration) -> Outcome<f64> {
    let before = process.cpu()?;
    let got = closed(process.port, request, connections, Until::Time(time))?;
    Ok(micros(process.cpu()? - before) / float(got.replies))
}
