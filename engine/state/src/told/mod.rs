//! What people told of wrong answers: which entry answered which request, and which questions are never to share an answer.
//!
//! Both are bounded: of the last answers, and of the pairs that were told. A restart forgets them.

use bytestring::ByteString;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many answers are remembered.
const ANSWERS: usize = 4096;
/// How many pairs are remembered.
const PAIRS: usize = 65_536;

/// One answer that a cache gave.
#[derive(Clone)]
pub struct Given {
    /// Where its entry lies.
    pub partition: [u8; 32],
    /// The question that the entry answers.
    pub stored: ByteString,
    /// The question that it was given to.
    pub asked: ByteString,
}

/// Answers and pairs.
#[derive(Default)]
pub struct Told {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    answers: HashMap<Arc<str>, Given>,
    oldest: VecDeque<Arc<str>>,
    pairs: HashSet<[u8; 32]>,
    first: VecDeque<[u8; 32]>,
}

impl Told {
    /// Remembers an answer by the id of the request that it was given to.
    pub fn remember(&self, id: &Arc<str>, given: Given) {
        let mut inner = self.lock();
        if inner.answers.insert(Arc::clone(id), given).is_none() {
            inner.oldest.push_back(Arc::clone(id));
        }
        while inner.oldest.len() > ANSWERS
            && let Some(id) = inner.oldest.pop_front()
        {
            inner.answers.remove(&id);
        }
    }

    /// The answer to a request, if it is remembered.
    pub fn given(&self, id: &str) -> Option<Given> {
        self.lock().answers.get(id).cloned()
    }

    /// From now on these two questions of a partition share no answer.
    pub fn part(&self, partition: &[u8; 32], one: &str, other: &str) {
        let pair = pair(partition, one, other);
        let mut inner = self.lock();
        if inner.pairs.insert(pair) {
            inner.first.push_back(pair);
        }
        while inner.first.len() > PAIRS
            && let Some(pair) = inner.first.pop_front()
        {
            inner.pairs.remove(&pair);
        }
    }

    /// Whether somebody told that these two questions of a partition share no answer.
    pub fn are_parted(&self, partition: &[u8; 32], one: &str, other: &str) -> bool {
        let inner = self.lock();
        !inner.pairs.is_empty() && inner.pairs.contains(&pair(partition, one, other))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for both orders of the two.
fn pair(partition: &[u8; 32], one: &str, other: &str) -> [u8; 32] {
    let (one, other) = if one <= other { (one, other) } else { (other, one) };
    let mut hasher = blake3::Hasher::new_keyed(partition);
    hasher.update(&(one.len() as u64).to_le_bytes()).update(one.as_bytes()).update(other.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(asked: &str) -> Given {
        Given { partition: [1; 32], stored: "stored".into(), asked: asked.into() }
    }

    #[test]
    fn the_last_answers_are_known_by_their_requests() {
        let told = Told::default();
        for n in 0..=ANSWERS {
            told.remember(&format!("r{n}").into(), given(&n.to_string()));
        }
        assert!(told.given("r0").is_none());
        assert_eq!(told.given("r1").unwrap().asked, "1");
        told.remember(&"r1".into(), given("again"));
        assert_eq!(told.given("r1").unwrap().asked, "again");
    }

    #[test]
    fn a_pair_is_parted_in_its_partition_in_both_orders() {
        let told = Told::default();
        assert!(!told.are_parted(&[1; 32], "a", "b"));
        told.part(&[1; 32], "a", "b");
        assert!(told.are_parted(&[1; 32], "a", "b") && told.are_parted(&[1; 32], "b", "a"));
        assert!(!told.are_parted(&[2; 32], "a", "b") && !told.are_parted(&[1; 32], "ab", ""));
        for n in 0..PAIRS {
            told.part(&[1; 32], "x", &n.to_string());
        }
        assert!(!told.are_parted(&[1; 32], "a", "b"));
    }
}
