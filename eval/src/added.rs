//! What the guards add to a request of 1 KB, at the median.

use crate::gateway::Pipeline;
use crate::room::{Outcome, Room};
use crate::table::{Row, Table};
use std::time::{Duration, Instant};

const ABOUT: &str = "One request after another through the pipeline in the process, its user turn 1 KB of prose that was not seen before; \
    the median with the guards less the median without. A release build on a machine that does nothing else says something; others do not, \
    so nothing fails by it.";

/// So many requests are timed.
const ROUNDS: usize = 200;

const RULES: [&str; 3] = [
    "{ guard: pii, with: { find: [email, phone, card, iban, ip, national-id], then: observe } }",
    "{ guard: secrets, with: { on: [request] } }",
    "{ guard: injection, with: { model: none, then: observe } }",
];
const MODELS: [&str; 3] = [
    "{ guard: pii, with: { find: [email, phone, card, iban, ip, national-id, person, place, address], then: observe } }",
    "{ guard: secrets, with: { on: [request] } }",
    "{ guard: injection, with: { then: observe } }",
];

/// A text of about 1 KB of prose that no other round has.
fn prose(round: usize) -> String {
    let sentence = |n: usize| {
        let things = [
            "the harbour",
            "a letter from the bank",
            "our plan for spring",
            "the old theatre",
            "a box of seeds",
        ];
        let thing = things.get((n + round) % things.len()).copied().unwrap_or_default();
        format!("In week {} we talked about {thing} and wrote down what it would cost us. ", round * 31 + n)
    };
    let text: String = (0..14).map(sentence).collect();
    text.get(..1024).unwrap_or(&text).to_owned()
}

fn median(room: &Room, stages: &[&str], offset: usize) -> Outcome<Duration> {
    let pipeline = Pipeline::new(stages, room.models.as_ref())?;
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS + 20 {
        let text = prose(offset + round);
        let began = Instant::now();
        let went = room.runtime.block_on(pipeline.user(&text));
        let took = began.elapsed();
        if went.status != 200 {
            return Err(format!("answered with {}: {}", went.status, went.body).into());
        }
        // The first ones warm up.
        if round >= 20 {
            times.push(took);
        }
    }
    times.sort();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// The tables of this suite.
pub(crate) fn tables(room: &Room) -> Outcome<Vec<Table>> {
    if room.quick {
        return Ok(Vec::new());
    }
    let bare = median(room, &["{ guard: tokens, with: { max: 100000 } }"], 0)?;
    let mut rows = Vec::new();
    for (what, stages, wanted, models) in [
        ("pii, secrets and injection by rules and words", RULES, "150 µs", false),
        ("the same with models, names and meaning too", MODELS, "25 ms", true),
    ] {
        if models && room.models.is_none() {
            continue;
        }
        let with = median(room, &stages, if models { 20_000 } else { 10_000 })?;
        let added = with.saturating_sub(bare);
        rows.push(Row::told(what, format!("{added:.1?}, wanted at most {wanted}")));
    }
    Ok(vec![Table::new("Time that guards add to 1 KB", ABOUT, rows)])
}
