//! Entries are found by nearness, age, weigh and go.

use super::*;
use crate::semantic::vector::Code;
use clusters::{Numbers, nearest};
use std::thread;

#[path = "../../benches/semantic/clusters.rs"]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "made-up vectors")]
#[allow(unreachable_pub, reason = "the benchmark's file too")]
mod clusters;

const DIMS: usize = 32;
const TTL: Duration = Duration::from_secs(10);
const A: [u8; 32] = [1; 32];
const B: [u8; 32] = [2; 32];

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn entry(payload: usize) -> SemanticEntry<usize> {
    SemanticEntry { payload: Arc::new(payload), weight: 1000, ttl: TTL }
}

fn axis(index: usize) -> Vec<f32> {
    (0..DIMS).map(|dim| if dim == index { 1.0 } else { 0.0 }).collect()
}

fn found(store: &SemanticStore<usize>, partition: &[u8; 32], query: &[f32], now: u64) -> Vec<usize> {
    store.search(partition, query, 3, at(now)).iter().map(|(_, payload)| **payload).collect()
}

#[test]
fn finds_the_nearest_first_with_its_cosine() {
    let store = SemanticStore::new(1 << 20);
    let mut numbers = Numbers(1);
    let query = numbers.direction(384);
    for (payload, cosine) in [(1, 0.2), (2, 0.95), (3, 0.5), (4, 0.8)] {
        let mut vector = numbers.around(&query, cosine);
        vector.iter_mut().for_each(|x| *x *= 7.0); // length does not matter
        assert!(store.insert(A, &vector, entry(payload), at(0)));
    }
    let found = store.search(&A, &query, 3, at(0));
    let order: Vec<usize> = found.iter().map(|(_, payload)| **payload).collect();
    assert_eq!(order, [2, 4, 3]);
    assert!((found[0].0 - 0.95).abs() < 0.05, "{found:?}");
    assert!(store.search(&A, &query, 0, at(0)).is_empty());
}

#[test]
fn a_byte_per_dimension_keeps_the_cosine() {
    let mut numbers = Numbers(3);
    for _ in 0..200 {
        let a = numbers.direction(384);
        let b = numbers.around(&a, 0.93);
        let exact: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        let (a, b) = (Code::of(&a), Code::of(&b));
        let coded = vector::dot(&a.bytes, &b.bytes) * a.inverse * b.inverse;
        assert!((coded - exact).abs() < 0.002, "{coded} for {exact}");
    }
}

#[test]
fn nothing_crosses_from_one_partition_to_another() {
    let store = SemanticStore::new(1 << 20);
    store.insert(A, &axis(0), entry(1), at(0));
    assert_eq!(found(&store, &A, &axis(0), 0), [1]);
    assert!(found(&store, &B, &axis(0), 0).is_empty());
}

#[test]
fn what_is_too_old_is_not_found_and_goes_with_the_next_insert() {
    let store = SemanticStore::new(1 << 20);
    store.insert(A, &axis(0), entry(1), at(0));
    for (now, want) in [(0, &[1][..]), (9, &[1]), (10, &[]), (11, &[])] {
        assert_eq!(found(&store, &A, &axis(0), now), want, "at {now}");
    }
    assert_eq!(store.stats().entries, 1);
    store.insert(B, &axis(0), entry(2), at(11));
    let stats = store.stats();
    assert_eq!((stats.entries, stats.partitions, stats.stored), (1, 1, 2));
}

#[test]
fn holds_no_more_bytes_than_told_and_keeps_what_was_used_last() {
    let each = 1000 + DIMS + OVERHEAD;
    let store = SemanticStore::new(4 * each);
    for n in 0..4 {
        store.insert(A, &axis(n), entry(n), at(0));
    }
    store.search(&A, &axis(0), 1, at(0));
    store.insert(B, &axis(5), entry(5), at(0));
    store.insert(B, &axis(6), entry(6), at(0));
    let mut left = [found(&store, &A, &axis(0), 0), found(&store, &B, &axis(5), 0)].concat();
    left.sort_unstable();
    assert_eq!(left, [0, 3, 5, 6]);
    assert_eq!(store.stats().bytes, 4 * each as u64);
    let huge = SemanticEntry { weight: 5 * each, ..entry(9) };
    assert!(!store.insert(A, &axis(9), huge, at(0)));
    assert_eq!(store.stats().entries, 4);
}

#[test]
fn purges_one_partition_or_all() {
    let store = SemanticStore::new(1 << 20);
    for n in 0..5 {
        store.insert(if n < 2 { A } else { B }, &axis(n), entry(n), at(0));
    }
    assert_eq!((store.purge_partition(&A), store.purge_partition(&A)), (2, 0));
    assert!(found(&store, &A, &axis(0), 0).is_empty());
    assert_eq!(found(&store, &B, &axis(2), 0).first(), Some(&2));
    assert_eq!((store.purge(), store.purge()), (3, 0));
    assert_eq!(store.stats(), SemanticStats { stored: 5, ..SemanticStats::default() });
    assert!(store.insert(A, &axis(0), entry(1), at(0)));
}

#[test]
fn vectors_of_another_length_do_not_belong() {
    let store = SemanticStore::new(1 << 20);
    assert!(store.insert(A, &axis(0), entry(1), at(0)));
    assert!(!store.insert(A, &[1.0; 7], entry(2), at(0)));
    assert!(!store.insert(B, &[], entry(2), at(0)));
    assert!(store.search(&A, &[1.0; 7], 1, at(0)).is_empty());
    assert!(store.insert(B, &[1.0; 7], entry(2), at(0)));
    assert_eq!(store.stats().entries, 2);
}

#[test]
fn odd_vectors_harm_nobody() {
    let store = SemanticStore::new(1 << 20);
    store.insert(A, &axis(0), entry(1), at(0));
    for odd in [f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, 0.0] {
        assert!(store.insert(A, &[odd; DIMS], entry(2), at(0)));
        for (cosine, _) in store.search(&A, &[odd; DIMS], 9, at(0)) {
            assert!((-1.01..=1.01).contains(&cosine), "{cosine} for {odd}");
        }
    }
    assert_eq!(found(&store, &A, &axis(0), 0).first(), Some(&1));
}

#[test]
fn the_same_vector_many_times_still_splits_into_lists() {
    let store = SemanticStore::new(64 << 20);
    for n in 0..2000 {
        assert!(store.insert(A, &axis(0), entry(n), at(0)));
    }
    assert_eq!(store.search(&A, &axis(0), 2000, at(0)).len(), 2000);
}

#[test]
fn finds_the_nearest_among_many() {
    let mut numbers = Numbers(5);
    let all = numbers.sentences(20_000, 64);
    let store = SemanticStore::new(1 << 30);
    for (index, vector) in all.iter().enumerate() {
        store.insert(A, vector, entry(index), at(0));
    }
    let right = (0..100).filter(|_| {
        let near = numbers.below(all.len());
        let query = numbers.around(&all[near], 0.9);
        found(&store, &A, &query, 0).first() == Some(&nearest(&all, &query))
    });
    let right = right.count();
    assert!(right >= 98, "{right} of 100");
}

#[test]
fn what_was_evicted_is_gone_and_all_else_is_found() {
    let each = 1000 + DIMS + OVERHEAD;
    let store = SemanticStore::new(1500 * each);
    let mut numbers = Numbers(9);
    let all: Vec<_> = (0..4000).map(|_| numbers.direction(DIMS)).collect();
    for (index, vector) in all.iter().enumerate() {
        store.insert(A, vector, entry(index), at(0));
    }
    let mut left: Vec<_> = store.search(&A, &all[0], 4000, at(0)).iter().map(|(_, index)| **index).collect();
    left.sort_unstable();
    assert_eq!(left, (2500..4000).collect::<Vec<_>>());
    for index in (2500..4000).step_by(97) {
        assert_eq!(found(&store, &A, &all[index], 0).first(), Some(&index));
    }
}

#[test]
fn threads_that_store_search_and_purge_leave_a_store_in_order() {
    let each = 1000 + DIMS + OVERHEAD;
    let store = SemanticStore::new(300 * each);
    thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let mut numbers = Numbers(thread);
                for n in 0..1500 {
                    let partition = [u8::try_from(numbers.below(3)).unwrap(); 32];
                    let vector = numbers.direction(DIMS);
                    assert!(store.insert(partition, &vector, entry(n), at(0)));
                    store.search(&partition, &vector, 3, at(0));
                    match n % 500 {
                        100 => drop(store.purge_partition(&partition)),
                        200 => drop(store.purge()),
                        _ => {}
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert!(stats.bytes <= 300 * each as u64 && stats.entries > 0, "{stats:?}");
    let reachable: usize = (0..3).map(|n| store.search(&[n; 32], &axis(0), 5000, at(0)).len()).sum();
    assert_eq!(reachable as u64, stats.entries);
    store.purge();
    assert_eq!(store.stats().partitions, 0);
}
