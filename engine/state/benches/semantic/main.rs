//! How long a search takes in one partition, against reading all of it in plain arithmetic, and how often it finds the
//! nearest: `cargo bench -p weir-state --bench semantic`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a benchmark reads the clock and prints"
)]

mod clusters;

use clusters::{Numbers, nearest};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_state::{SemanticEntry, SemanticStore};

const DIMS: usize = 384;
const QUERIES: usize = 200;
const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    println!("| entries | insert, µs | query | median, µs | p99, µs | of a plain scan | recall@1 |");
    println!("|---|---|---|---|---|---|---|");
    for count in [1_000, 10_000, 100_000] {
        run(count);
    }
}

fn run(count: usize) {
    let mut numbers = Numbers(7);
    let all = numbers.sentences(count, DIMS);
    let store = SemanticStore::new(1 << 30);
    let began = Instant::now();
    for (index, vector) in all.iter().enumerate() {
        let entry = SemanticEntry { payload: Arc::new(index), weight: 8, ttl: HOUR };
        assert!(store.insert([0; 32], vector, entry, Duration::ZERO));
    }
    let insert = began.elapsed().as_secs_f64() * 1e6 / count as f64;
    for (name, cosine) in [("paraphrase (0.95)", 0.95), ("related (0.8)", 0.8), ("same topic (0.6)", 0.6)] {
        let queries: Vec<_> = (0..QUERIES)
            .map(|_| {
                let near = numbers.below(count);
                numbers.around(&all[near], cosine)
            })
            .collect();
        let (mut times, mut plain, mut right) = (Vec::new(), Vec::new(), 0);
        for query in &queries {
            let began = Instant::now();
            let found = black_box(store.search(&[0; 32], query, 1, Duration::ZERO));
            times.push(began.elapsed());
            let began = Instant::now();
            let want = black_box(nearest(&all, query));
            plain.push(began.elapsed());
            right += usize::from(found.first().is_some_and(|(_, index)| **index == want));
        }
        times.sort();
        plain.sort();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (median, p99) = (micros(times[QUERIES / 2]), micros(times[QUERIES * 99 / 100]));
        let ratio = median / micros(plain[QUERIES / 2]);
        let recall = right as f64 / QUERIES as f64;
        println!("| {count} | {insert:.1} | {name} | {median:.0} | {p99:.0} | {ratio:.4} | {recall:.3} |");
    }
}
