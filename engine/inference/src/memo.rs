//! Answers for texts seen before, by the hash of the text, bounded in bytes.

use std::sync::Arc;

use moka::sync::Cache;

use crate::Error;

/// A key that no two texts share (BLAKE3), so that nobody can craft a text that gets another's answer.
type Key = [u8; 32];

/// What an entry costs beside its value: key, pointers, the cache's own book-keeping.
const ENTRY_BYTES: usize = 160;

/// Answers of one model. A clone is another handle to the same memory.
#[derive(Clone)]
pub(crate) struct Memo<T: Clone + Send + Sync + 'static> {
    answers: Cache<Key, Arc<[T]>, ahash::RandomState>,
}

impl<T: Clone + Send + Sync + 'static> Memo<T> {
    /// An empty memo of at most `bytes`, an item of an answer being `item_bytes`.
    pub(crate) fn new(bytes: u64, item_bytes: usize) -> Self {
        let answers = Cache::builder()
            .max_capacity(bytes)
            .weigher(move |_: &Key, answer: &Arc<[T]>| {
                u32::try_from(answer.len().saturating_mul(item_bytes).saturating_add(ENTRY_BYTES))
                    .unwrap_or(u32::MAX)
            })
            .build_with_hasher(ahash::RandomState::new());
        Memo { answers }
    }

    fn key(text: &str) -> Key {
        *blake3::hash(text.as_bytes()).as_bytes()
    }

    fn get(&self, key: &Key) -> Option<Arc<[T]>> {
        self.answers.get(key)
    }

    /// The answer for a text asked before, if it is still remembered.
    pub(crate) fn known(&self, text: &str) -> Option<Arc<[T]>> {
        self.get(&Self::key(text))
    }

    /// The answer for a text: the one remembered, else the one that `ask` gets, which is then remembered. `ask` is called
    /// now if at all.
    pub(crate) fn or_ask<F>(&self, text: &str, ask: impl FnOnce() -> Result<F, Error>) -> Pending<T, F> {
        let key = Self::key(text);
        let asked = match self.get(&key) {
            Some(answer) => Ok(Asked::Known(answer)),
            None => ask().map(Asked::Waits),
        };
        Pending { memo: self.clone(), key, asked }
    }
}

/// An answer that is there, or that somebody works on.
pub(crate) struct Pending<T: Clone + Send + Sync + 'static, F> {
    memo: Memo<T>,
    key: Key,
    asked: Result<Asked<T, F>, Error>,
}

enum Asked<T, F> {
    Known(Arc<[T]>),
    Waits(F),
}

impl<T, F> Pending<T, F>
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<Arc<[T]>, Error>>,
{
    /// Waits for it.
    pub(crate) async fn answer(self) -> Result<Arc<[T]>, Error> {
        match self.asked? {
            Asked::Known(answer) => Ok(answer),
            Asked::Waits(answer) => {
                let answer = answer.await?;
                self.memo.answers.insert(self.key, Arc::clone(&answer));
                Ok(answer)
            }
        }
    }
}
