//! A choice by weight.

use super::{Ask, Child, Models, Pick, Reaches, Route, Target};
use std::sync::Arc;
use std::time::Duration;
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
        let mut taken = Vec::new();
        // Another level of nesting, and each further draw, throws other dice.
        while let Some((n, child)) = self.draw(thrown(ask.dice, ask.depth, taken.len()), &taken) {
            if let Some(pick) = child.next(n, ask) {
                return Some(pick);
            }
            taken.push(n);
        }
        None
    }

    fn left_of_last(&self, ask: Ask<'_>) -> Option<Duration> {
        let n = ask.attempts.last()?.path.get(ask.depth).copied()?;
        self.children.get(usize::from(n))?.1.left_of_last(n, ask)
    }

    fn reaches(&self) -> Reaches {
        self.children.iter().map(|(_, child)| child.reaches()).max().unwrap_or(Reaches::Named)
    }

    fn targets_for(&self, models: &Models, model: &str) -> Vec<Arc<Target>> {
        self.children.iter().flat_map(|(_, child)| child.targets_for(models, model)).collect()
    }

    fn targets(&self, models: &Models) -> Vec<Arc<Target>> {
        self.children.iter().flat_map(|(_, child)| child.targets(models)).collect()
    }
}

/// The request's dice for one draw of one level (SplitMix64, Steele et al. 2014).
fn thrown(dice: u64, depth: usize, draw: usize) -> u64 {
    let turn = (depth as u64) << 16 | draw as u64;
    let mut z = dice.wrapping_add(turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
