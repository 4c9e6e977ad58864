//! What a store holds, and what goes first.

use super::Item;
use ahash::AHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All entries of a store, by use and by age. Locked by inserts only; a search marks use in the item itself.
pub(super) struct Books<E> {
    items: AHashMap<u64, Arc<Item<E>>>,
    /// The use each item was last known by here; it may have been used since.
    by_use: BinaryHeap<Reverse<(u64, u64)>>,
    by_age: BinaryHeap<Reverse<(u64, u64)>>,
    bytes: usize,
    most: usize,
    next: u64,
}

impl<E> Books<E> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            items: AHashMap::new(),
            by_use: BinaryHeap::new(),
            by_age: BinaryHeap::new(),
            bytes: 0,
            most,
            next: 1,
        }
    }

    /// Enters an item, and strikes those that are too old and those that must go for it. `None` if it can never fit.
    #[allow(clippy::type_complexity, reason = "an item, and the items that went")]
    pub(super) fn enter(
        &mut self,
        now: u64,
        bytes: usize,
        item: impl FnOnce(u64) -> Item<E>,
    ) -> Option<(Arc<Item<E>>, Vec<Arc<Item<E>>>)> {
        if bytes > self.most {
            return None;
        }
        let mut struck = Vec::new();
        while let Some(&Reverse((expires, id))) = self.by_age.peek()
            && expires <= now
        {
            self.by_age.pop();
            struck.extend(self.drop_item(id));
        }
        while self.bytes.saturating_add(bytes) > self.most
            && let Some(id) = self.least_used()
        {
            struck.extend(self.drop_item(id));
        }
        let id = self.next;
        self.next += 1;
        let item = Arc::new(item(id));
        self.bytes += bytes;
        self.by_use.push(Reverse((item.used.load(Ordering::Relaxed), id)));
        self.by_age.push(Reverse((item.expires, id)));
        self.items.insert(id, Arc::clone(&item));
        self.tidy();
        Some((item, struck))
    }

    /// Strikes an item; `false` if it was not there.
    pub(super) fn strike(&mut self, item: &Item<E>) -> bool {
        self.drop_item(item.id).is_some()
    }

    pub(super) fn clear(&mut self) -> Vec<Arc<Item<E>>> {
        self.by_use.clear();
        self.by_age.clear();
        self.bytes = 0;
        self.items.drain().map(|(_, item)| item).collect()
    }

    /// Entries and bytes.
    pub(super) fn held(&self) -> (u64, u64) {
        (self.items.len() as u64, self.bytes as u64)
    }

    fn drop_item(&mut self, id: u64) -> Option<Arc<Item<E>>> {
        let item = self.items.remove(&id)?;
        self.bytes -= item.bytes;
        Some(item)
    }

    /// The item used longest ago. What was used since it was last looked at goes back with its new time, so the first that
    /// was not is the one.
    fn least_used(&mut self) -> Option<u64> {
        while let Some(Reverse((known, id))) = self.by_use.pop() {
            let Some(item) = self.items.get(&id) else { continue };
            let used = item.used.load(Ordering::Relaxed);
            if used == known {
                return Some(id);
            }
            self.by_use.push(Reverse((used, id)));
        }
        None
    }

    /// Drops marks of items that went, once they outnumber the others.
    fn tidy(&mut self) {
        let many = 2 * self.items.len() + 1024;
        for heap in [&mut self.by_use, &mut self.by_age] {
            if heap.len() > many {
                heap.retain(|Reverse((_, id))| self.items.contains_key(id));
            }
        }
    }
}
