//! What was found in a text, and which of several finds at one place counts.

use super::kind::Kind;

/// What a find is: of a known kind, or of the policy's own (by its number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    Known(Kind),
    Custom(u16),
}

/// Something found in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Find {
    pub(crate) what: What,
    /// Bytes of the text.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// How sure it is, from 0 to 1.
    pub(crate) score: f32,
}

impl Find {
    pub(crate) fn new(kind: Kind, start: usize, end: usize, score: f32) -> Self {
        Self { what: What::Known(kind), start, end, score }
    }

    /// How narrow its kind is: where two finds are as long as each other, the narrower counts.
    fn rank(&self) -> u8 {
        match self.what {
            What::Custom(_) => 4,
            What::Known(Kind::Phone) => 1,
            What::Known(kind) if kind.by_model() => 0,
            What::Known(Kind::Email | Kind::Key | Kind::Iban | Kind::Card) => 3,
            What::Known(_) => 2,
        }
    }
}

/// Leaves no two finds that overlap, in the order of the text. The longest counts; among equals the narrower kind, then the
/// surer. One that sticks out of the winner lengthens it, so that nothing found is left bare.
pub(crate) fn resolve(finds: &mut Vec<Find>) {
    if finds.len() < 2 {
        return;
    }
    finds.sort_by_key(|find| (find.start, find.end));
    let mut kept: Vec<Find> = Vec::with_capacity(finds.len());
    for find in finds.drain(..) {
        match kept.last_mut() {
            Some(last) if find.start < last.end => {
                let better = (find.end - find.start)
                    .cmp(&(last.end - last.start))
                    .then(find.rank().cmp(&last.rank()))
                    .then(find.score.total_cmp(&last.score));
                let (start, end) = (last.start.min(find.start), last.end.max(find.end));
                let winner = if better.is_gt() { find } else { *last };
                *last = Find { start, end, ..winner };
            }
            _ => kept.push(find),
        }
    }
    *finds = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_then_the_narrowest_then_the_surest_counts() {
        let email = |start, end| Find::new(Kind::Email, start, end, 0.9);
        let person = |start, end| Find::new(Kind::Person, start, end, 0.9);
        let phone = |start, end| Find::new(Kind::Phone, start, end, 0.9);
        let bsn = |start, end, score| Find::new(Kind::NlBsn, start, end, score);
        let custom = |start, end| Find { what: What::Custom(0), ..email(start, end) };
        for (finds, want) in [
            (vec![], vec![]),
            (vec![email(0, 15), person(0, 3)], vec![email(0, 15)]),
            (vec![person(20, 25), email(0, 15)], vec![email(0, 15), person(20, 25)]),
            (vec![phone(0, 9), bsn(0, 9, 0.5)], vec![bsn(0, 9, 0.5)]),
            (vec![bsn(0, 9, 0.5), bsn(0, 9, 0.7)], vec![bsn(0, 9, 0.7)]),
            (vec![email(0, 9), custom(0, 9)], vec![custom(0, 9)]),
            (vec![person(0, 10), phone(8, 14)], vec![person(0, 14)]),
            (vec![email(0, 5), email(5, 9)], vec![email(0, 5), email(5, 9)]),
            (vec![person(0, 4), phone(2, 9), person(8, 10)], vec![phone(0, 10)]),
        ] {
            let mut found = finds.clone();
            resolve(&mut found);
            assert_eq!(found, want, "{finds:?}");
        }
    }
}
