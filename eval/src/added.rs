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

/// Guards that are told one by one: by which name, and whether they ask models.
const ALONE: [(&str, &str, bool); 5] = [
    (
        "content, words alone",
        "{ guard: content, with: { model: none, then: observe, on: [request] } }",
        false,
    ),
    ("content", "{ guard: content, with: { then: observe, on: [request] } }", true),
    (
        "topics, 20 examples",
        "{ guard: topics, with: { then: observe, deny: { law: [EXAMPLES], medicine: [EXAMPLES] } } }",
        true,
    ),
    (
        "code, in fences and without",
        "{ guard: code, with: { unfenced: true, then: observe, on: [request] } }",
        false,
    ),
    (
        "words, a list of 100,000",
        "{ guard: words, with: { words: [LIST], then: observe, on: [request] } }",
        false,
    ),
];

/// The stage with what its examples and lists stand for.
fn filled(stage: &str) -> String {
    let quoted = |count: usize, each: &dyn Fn(usize) -> String| {
        (0..count).map(|n| format!("\"{}\"", each(n))).collect::<Vec<_>>().join(", ")
    };
    let example = |n: usize| format!("What must I know about the {n}th matter of this kind?");
    let entry = |n: usize| format!("company{n:05} holding");
    match (stage.contains("[EXAMPLES]"), stage.contains("[LIST]")) {
        (true, _) => stage.replace("EXAMPLES", &quoted(10, &example)),
        (_, true) => stage.replace("LIST", &quoted(100_000, &entry)),
        _ => stage.to_owned(),
    }
}

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
    for (round, (what, stage, models)) in ALONE.iter().enumerate() {
        if *models && room.models.is_none() {
            continue;
        }
        let with = median(room, &[&filled(stage)], 30_000 + 1_000 * round)?;
        rows.push(Row::told(*what, format!("{:.1?}", with.saturating_sub(bare))));
    }
    Ok(vec![Table::new("Time that guards add to 1 KB", ABOUT, rows)])
}
