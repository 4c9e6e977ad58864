//! A choice by weight.

use super::{Ask, Child, Models, Pick, Route, Target};
use std::sync::Arc;
use weir_message::{Cause, StatusSet};

/// Chooses among children by weight, by the request's own chance; where one fails in a way that another may mend, by weight
/// among the rest.
pub struct Weighted {
    children: Vec<(u32, Child)>,
    total: u64,
    on: StatusSet,
}

impl Weighted {
    /// A choice among children with their weights; `on` says which failures another child may mend.
    pub fn new(children: Vec<(u32, Child)>, on: StatusSet) -> Self {
        let total = children.iter().map(|(weight, _)| u64::from(*weight)).sum();
        Self { children, total, on }
    }

    /// The child that `dice` falls on, `taken` ones left out.
    fn draw(&self, dice: u64, taken: &[u16]) -> Option<(u16, &Child)> {
        let left = |n: usize| u16::try_from(n).ok().filter(|n| !taken.contains(n));
        let total = match taken {
            [] => self.total,
            _ => self
                .children
                .iter()
                .enumerate()
                .filter(|(n, _)| left(*n).is_some())
                .map(|(_, (weight, _))| u64::from(*weight))
                .sum(),
        };
        let mut at = dice.checked_rem(total)?;
        for (n, (weight, child)) in self.children.iter().enumerate() {
            let Some(n) = left(n) else { continue };
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return Some((n, child)),
            }
        }
        None
    }
}

impl Route for Weighted {
    fn next(&self, ask: Ask<'_>) -> Option<Pick> {
        if let Some(last) = ask.attempts.last()
            && last.cause != Some(Cause::RuledOut)
            && !self.on.contains(last)
        {
            return None;
        }
        // Another level of nesting throws other dice.
        let dice = ask.dice.rotate_left(u32::try_from(ask.depth * 17 % 64).unwrap_or(0)) >> 1;
        let mut taken = Vec::new();
        while let Some((n, child)) = self.draw(dice, &taken) {
            if let Some(pick) = child.next(n, ask) {
                return Some(pick);
            }
            taken.push(n);
        }
        None
    }

    fn targets(&self, models: &Models) -> Vec<Arc<Target>> {
        self.children.iter().flat_map(|(_, child)| child.targets(models)).collect()
    }
}
