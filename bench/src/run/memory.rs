//! Memory: what an idle process holds, and what it gains under load.

use super::{Bench, float};
use crate::load::{Until, closed};
use crate::table::Row;
use crate::{Outcome, prompts, sets};
use std::time::Duration;

const PARTS: u64 = 20;

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let weir = bench.weir("memory", sets::four_stages)?;
    std::thread::sleep(Duration::from_secs(2));
    let idle = weir.resident()?;
    let part = bench.choose(100_000, 10_000);
    let request = prompts::plain(1 << 10);
    let mut held = Vec::new();
    for _ in 0..PARTS {
        closed(weir.port, &request, 16, Until::Replies(part))?;
        // The allocator gives back what is free after a moment.
        std::thread::sleep(Duration::from_secs(1));
        held.push(weir.resident()?);
    }
    eprintln!("resident after each {part} requests, KiB: {held:?}");
    let (first, last) = (held.first().copied().unwrap_or(0), held.last().copied().unwrap_or(0));
    let growth = float(last) - float(first);
    Ok(vec![
        Row::bound("memory, idle without models", "MiB", float(idle) / 1024.0, 40.0),
        Row::bound(
            format!("memory gained from the 1st to the 20th {part} requests"),
            "MiB",
            growth / 1024.0,
            2.0,
        ),
        Row::bound("memory after these", "MiB", float(last) / 1024.0, 40.0).for_information(),
    ])
}
