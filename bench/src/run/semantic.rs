//! The semantic cache: a hit against one bare call of its model, and the search alone.

use super::{Bench, micros};
use crate::load::each;
use crate::table::{Row, median};
use crate::{Outcome, prompts, sets};
use clusters::{Numbers, nearest};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_inference::{DEFAULT_EMBEDDER, Models, default_directory};
use weir_state::{SemanticEntry, SemanticStore};

#[path = "../../../engine/state/benches/semantic/clusters.rs"]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "made for a benchmark"
)]
mod clusters;

const DIMS: usize = 384;
const ENTRIES: usize = 100_000;
const QUERIES: usize = 500;

/// The median of a hit over HTTP, each with words not seen before, against the median of a bare call on the same words.
pub(super) fn hit(bench: &Bench) -> Outcome<Vec<Row>> {
    const WHAT: &str = "semantic hit, p50";
    let models = default_directory(|name| std::env::var_os(name)).map(|folder| Models::open(&folder));
    let bare = models.ok_or("no folder for models".to_owned());
    let mut bare =
        match bare.and_then(|models| models.bare_embedder(DEFAULT_EMBEDDER).map_err(|e| e.to_string())) {
            Ok(bare) => bare,
            Err(why) => return Ok(vec![Row::absent(WHAT, &why)]),
        };
    let weir = bench.weir("semantic", sets::semantic)?;
    let questions = prompts::paraphrases();
    let (first, rest) = questions.split_first().ok_or("no questions")?;
    each(weir.port, vec![prompts::asking(first)])?;
    bare.embed(first)?;
    let (mut rounds, mut hits) = (Vec::new(), 0);
    for part in rest.chunks(rest.len().div_ceil(5)) {
        let (got, found) = each(weir.port, part.iter().map(|text| prompts::asking(text)).collect())?;
        hits += found;
        let mut calls = Vec::new();
        for text in part {
            let began = Instant::now();
            bare.embed(text)?;
            calls.push(micros(began.elapsed()));
        }
        rounds.push((micros(got.quantile(0.5)), median(calls).0));
    }
    if hits * 10 < rest.len() * 9 {
        return Ok(vec![Row::absent(WHAT, &format!("only {hits} of {} questions hit", rest.len()))]);
    }
    Ok(vec![Row::rounds(WHAT, "µs", &rounds, 1.25)])
}

/// The search in a full partition, and how often it finds what exact arithmetic finds.
pub(super) fn search(_: &Bench) -> Outcome<Vec<Row>> {
    let mut numbers = Numbers(7);
    let all = numbers.sentences(ENTRIES, DIMS);
    let store = SemanticStore::new(1 << 30);
    for (index, vector) in all.iter().enumerate() {
        let entry = SemanticEntry { payload: Arc::new(index), weight: 8, ttl: Duration::from_secs(3600) };
        if !store.insert([0; 32], vector, entry, Duration::ZERO) {
            return Err("the store took no more".into());
        }
    }
    let mut rows = Vec::new();
    for (name, cosine) in [("a paraphrase (cosine 0.95)", 0.95), ("a related question (0.8)", 0.8)] {
        let (mut times, mut plain, mut right) = (Vec::new(), Vec::new(), 0_u32);
        for _ in 0..QUERIES {
            let near = numbers.below(ENTRIES);
            let query = numbers.around(all.get(near).ok_or("no entry")?, cosine);
            let began = Instant::now();
            let found = store.search(&[0; 32], &query, 1, Duration::ZERO);
            times.push(micros(began.elapsed()));
            let began = Instant::now();
            let want = nearest(&all, &query);
            plain.push(micros(began.elapsed()));
            right += u32::from(found.first().is_some_and(|(_, index)| **index == want));
        }
        let (time, scan) = (median(times).0, median(plain).0);
        let recall = f64::from(right) / f64::from(u32::try_from(QUERIES)?);
        let what = format!("search in 100,000 entries for {name}");
        rows.push(Row::bound(format!("{what}, median"), "µs", time, 300.0));
        rows.push(Row::at_least(format!("{what}, recall"), recall, 0.98));
        let against = format!("{what}, against a plain scan in f32");
        rows.push(Row::rounds(against, "µs", &[(time, scan)], 1.0).for_information());
    }
    Ok(rows)
}
