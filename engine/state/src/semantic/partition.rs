//! One partition: lists of near vectors, each under its centre.
//!
//! An inverted file that grows by itself: a vector joins the list whose centre is nearest; a list that grows too long is
//! split in two by 2-means, and the lists around it exchange what now lies nearer to another's centre. So no insert ever trains on more than one list, and removing is a swap within one. A search
//! reads the lists in the order of their centres until it has read enough; a small partition is read whole.

use super::Item;
use super::vector::{Code, Codes};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A list longer than this is split.
const LONGEST: usize = 144;
/// How many vectors a search reads: all of a partition up to so many, the nearest lists of a larger one.
const ENOUGH: usize = 7168;
/// Once what it found is as near as this, a search reads a quarter of that: anything nearer lies in much the same direction,
/// so its list was among the first.
const NEAR: f32 = 0.9;
/// Lists looked at around a split.
const NEIGHBOURS: usize = 12;
/// Rounds of 2-means in a split.
const ROUNDS: usize = 6;

pub(super) struct Partition<E> {
    centres: Codes,
    lists: Vec<List<E>>,
    entries: usize,
    dims: usize,
    closed: bool,
}

struct List<E> {
    codes: Codes,
    items: Vec<Arc<Item<E>>>,
}

impl<E> Default for Partition<E> {
    fn default() -> Self {
        Self { centres: Codes::default(), lists: Vec::new(), entries: 0, dims: 0, closed: false }
    }
}

impl<E> Default for List<E> {
    fn default() -> Self {
        Self { codes: Codes::default(), items: Vec::new() }
    }
}

impl<E> Partition<E> {
    /// Whether vectors of this length belong here.
    pub(super) fn takes(&self, code: &Code) -> bool {
        self.entries == 0 || self.dims == code.len()
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends this partition, giving out what it held. Nothing is put into a closed one.
    pub(super) fn close(&mut self) -> Vec<Arc<Item<E>>> {
        let lists = std::mem::take(self).lists;
        self.closed = true;
        lists.into_iter().flat_map(|list| list.items).collect()
    }

    pub(super) fn search(&self, query: &Code, k: usize, now: u64) -> Vec<(f32, &Arc<Item<E>>)> {
        let mut best = Best { k, found: Vec::with_capacity(k.min(64) + 1) };
        if k == 0 || !self.takes(query) {
            return best.found;
        }
        if self.entries <= ENOUGH {
            for list in &self.lists {
                best.scan(list, query, now);
            }
            return best.found;
        }
        let mut order: Vec<(f32, &List<E>)> = self.centres.cosines(query).zip(&self.lists).collect();
        // Only the first few are read: sort no more than those.
        let reads = (4 * ENOUGH / LONGEST).min(order.len());
        if reads < order.len() {
            order.select_nth_unstable_by(reads, |(a, _), (b, _)| b.total_cmp(a));
        }
        let head = order.get_mut(..reads).unwrap_or_default();
        head.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut read = 0;
        for (_, list) in head {
            best.scan(list, query, now);
            read += list.items.len();
            let enough = if best.worst() >= NEAR { ENOUGH / 4 } else { ENOUGH };
            if read >= enough {
                break;
            }
        }
        best.found
    }

    /// The items that are meant.
    pub(super) fn all(&self, meant: impl Fn(&Item<E>) -> bool) -> Vec<Arc<Item<E>>> {
        self.lists.iter().flat_map(|list| &list.items).filter(|item| meant(item)).map(Arc::clone).collect()
    }

    pub(super) fn insert(&mut self, item: &Arc<Item<E>>, code: &Code) {
        if !self.takes(code) {
            return;
        }
        self.dims = code.len();
        let nearest = self.centres.cosines(code).enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let index = match nearest {
            Some((index, _)) => index,
            None => {
                self.centres.push(&code.bytes, code.inverse);
                self.lists.push(List::default());
                0
            }
        };
        let Some(list) = self.lists.get_mut(index) else { return };
        list.push(index, Arc::clone(item), &code.bytes, code.inverse);
        self.entries += 1;
        if list.items.len() > LONGEST {
            self.split(index);
        }
    }

    /// Removes an item, if it is here.
    pub(super) fn remove(&mut self, item: &Item<E>) {
        let (index, place) = (item.list.load(Ordering::Relaxed), item.place.load(Ordering::Relaxed));
        let (index, place) = (index as usize, place as usize);
        let Some(list) = self.lists.get_mut(index) else { return };
        if list.items.get(place).is_none_or(|found| found.id != item.id) {
            return;
        }
        list.pull(index, place);
        self.entries -= 1;
        if list.items.is_empty() {
            self.lists.swap_remove(index);
            self.centres.swap_remove(index);
            if let Some(moved) = self.lists.get(index) {
                for (place, item) in moved.items.iter().enumerate() {
                    item.stand(index, place);
                }
            }
        }
    }

    /// Splits a list in two by 2-means, the second going to the end.
    fn split(&mut self, index: usize) {
        let Some(slot) = self.lists.get_mut(index) else { return };
        let List { codes, items } = std::mem::take(slot);
        let sides = two_means(&codes);
        let new = self.lists.len();
        let mut halves = [(index, List::default()), (new, List::default())];
        for (place, (item, right)) in items.into_iter().zip(sides).enumerate() {
            let [left_half, right_half] = &mut halves;
            let (index, half) = if right { right_half } else { left_half };
            if let Some((bytes, inverse)) = codes.get(place) {
                half.push(*index, item, bytes, inverse);
            }
        }
        let [(_, left), (_, right)] = halves;
        let (left_centre, right_centre) = (Code::of(&left.codes.mean()), Code::of(&right.codes.mean()));
        self.centres.set(index, &left_centre);
        self.centres.push(&right_centre.bytes, right_centre.inverse);
        if let Some(slot) = self.lists.get_mut(index) {
            *slot = left;
        }
        self.lists.push(right);
        self.resettle(index, new);
    }

    /// After a split: what is now nearer to another centre moves there. Looks at the lists next to the two halves only.
    fn resettle(&mut self, left: usize, right: usize) {
        let halves = [left, right];
        let mut near: Vec<(f32, usize)> = (0..self.lists.len())
            .filter(|index| !halves.contains(index))
            .map(|index| {
                let to = |half| self.centres.between(half, index);
                (to(left).max(to(right)), index)
            })
            .collect();
        near.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let near: Vec<usize> =
            halves.into_iter().chain(near.into_iter().take(NEIGHBOURS).map(|(_, index)| index)).collect();
        for &from in &near {
            let others = if halves.contains(&from) { near.as_slice() } else { halves.as_slice() };
            let count = self.lists.get(from).map_or(0, |list| list.items.len());
            // From the last, so that what takes an empty place was looked at already; the first stays, so that no list ends.
            for place in (1..count).rev() {
                self.move_to_nearest(from, place, others);
            }
        }
    }

    fn move_to_nearest(&mut self, from: usize, place: usize, others: &[usize]) {
        let Some((bytes, inverse)) = self.lists.get(from).and_then(|list| list.codes.get(place)) else {
            return;
        };
        let own = self.centres.cosine_at(from, bytes, inverse);
        let nearer = others.iter().map(|&other| (self.centres.cosine_at(other, bytes, inverse), other));
        let Some((_, to)) =
            nearer.filter(|(cosine, _)| *cosine > own).max_by(|(a, _), (b, _)| a.total_cmp(b))
        else {
            return;
        };
        let bytes = bytes.to_vec();
        let Some(item) = self.lists.get_mut(from).map(|list| list.pull(from, place)) else { return };
        if let Some(list) = self.lists.get_mut(to) {
            list.push(to, item, &bytes, inverse);
        }
    }
}

impl<E> List<E> {
    /// Takes one out and puts the last in its place.
    fn pull(&mut self, index: usize, place: usize) -> Arc<Item<E>> {
        self.codes.swap_remove(place);
        let item = self.items.swap_remove(place);
        if let Some(moved) = self.items.get(place) {
            moved.stand(index, place);
        }
        item
    }

    fn push(&mut self, index: usize, item: Arc<Item<E>>, bytes: &[i8], inverse: f32) {
        item.stand(index, self.items.len());
        self.codes.push(bytes, inverse);
        self.items.push(item);
    }
}

impl<E> Item<E> {
    fn stand(&self, list: usize, place: usize) {
        self.list.store(u32::try_from(list).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.place.store(u32::try_from(place).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

/// The best found so far, best first.
struct Best<'a, E> {
    k: usize,
    found: Vec<(f32, &'a Arc<Item<E>>)>,
}

impl<'a, E> Best<'a, E> {
    fn scan(&mut self, list: &'a List<E>, query: &Code, now: u64) {
        let mut worst = self.worst();
        for (cosine, item) in list.codes.cosines(query).zip(&list.items) {
            if cosine <= worst || item.expires <= now {
                continue;
            }
            let place = self.found.partition_point(|(found, _)| *found >= cosine);
            self.found.insert(place, (cosine, item));
            self.found.truncate(self.k);
            worst = self.worst();
        }
    }

    fn worst(&self) -> f32 {
        if self.found.len() < self.k { f32::NEG_INFINITY } else { self.found.last().map_or(0.0, |(f, _)| *f) }
    }
}

/// Which of the vectors go to the right half. Never all or none of them.
fn two_means(codes: &Codes) -> Vec<bool> {
    let count = codes.len();
    let code = |index: usize| {
        codes.get(index).map(|(bytes, inverse)| Code { bytes: bytes.to_vec(), inverse }).unwrap_or_default()
    };
    let farthest = |from: &Code| {
        let farthest = codes.cosines(from).enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
        farthest.map_or(0, |(index, _)| index)
    };
    let mut left = code(farthest(&code(0)));
    let mut right = code(farthest(&left));
    let mut sides = vec![false; count];
    for _ in 0..ROUNDS {
        let mut halves = [Codes::default(), Codes::default()];
        for (place, (l, r)) in codes.cosines(&left).zip(codes.cosines(&right)).enumerate() {
            let goes_right = r > l;
            if let Some(side) = sides.get_mut(place) {
                *side = goes_right;
            }
            let [left_half, right_half] = &mut halves;
            if let Some((bytes, inverse)) = codes.get(place) {
                (if goes_right { right_half } else { left_half }).push(bytes, inverse);
            }
        }
        let [left_half, right_half] = &halves;
        if left_half.len() < count / 16 || right_half.len() < count / 16 {
            // (Nearly) all the same vector: any halves will do.
            return (0..count).map(|place| place % 2 == 1).collect();
        }
        (left, right) = (Code::of(&left_half.mean()), Code::of(&right_half.mean()));
    }
    sides
}
