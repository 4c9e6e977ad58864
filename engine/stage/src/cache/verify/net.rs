//! The judge of two questions: small neural networks whose sums are averaged, learned by `eval/cache/train.py`.

use super::features::{Features, NAMES};
use std::sync::LazyLock;

const FILE: &str = include_str!("net.txt");

/// Features are cut at this before they are judged: more of the same says nothing new.
const MOST: f32 = 4.0;

/// The networks, and from which sum on they hold two questions for the same.
pub(super) struct Net {
    pub(super) balanced: f32,
    pub(super) strict: f32,
    members: Vec<Member>,
}

/// One layer of rectified sums, and their weighted sum.
#[derive(Default)]
struct Member {
    hidden: Vec<Row>,
    out: Option<Row>,
}

/// A bias and weights.
struct Row(f32, Vec<f32>);

/// The networks of the file. A file that holds none is told by a test.
pub(super) static NET: LazyLock<Net> = LazyLock::new(|| {
    Net::read(FILE).unwrap_or(Net { balanced: f32::INFINITY, strict: f32::INFINITY, members: Vec::new() })
});

impl Net {
    /// Lines: `features` with their names; `balanced` and `strict` with a number; `net`, and below it `hidden` and `out` with a
    /// bias and weights.
    fn read(text: &str) -> Option<Self> {
        let mut net = Self { balanced: f32::INFINITY, strict: f32::INFINITY, members: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let row = || {
                let mut values = rest.split(' ').map(|value| value.parse::<f32>().ok());
                let bias = values.next()??;
                Some(Row(bias, values.collect::<Option<_>>()?))
            };
            match word {
                "features" if rest.split(' ').eq(NAMES) => {}
                "balanced" => net.balanced = rest.parse().ok()?,
                "strict" => net.strict = rest.parse().ok()?,
                "net" => net.members.push(Member::default()),
                "hidden" => {
                    net.members.last_mut()?.hidden.push(row().filter(|row| row.1.len() == NAMES.len())?)
                }
                "out" => {
                    let member = net.members.last_mut()?;
                    member.out = Some(row().filter(|row| row.1.len() == member.hidden.len())?);
                }
                _ => return None,
            }
        }
        Some(net)
    }

    /// The log of the odds that one answer serves both.
    pub(super) fn sum(&self, features: &Features) -> f32 {
        let features = features.map(|value| value.min(MOST));
        #[allow(clippy::cast_precision_loss, reason = "a handful")]
        let members = self.members.len().max(1) as f32;
        self.members.iter().map(|member| member.sum(&features)).sum::<f32>() / members
    }
}

impl Member {
    fn sum(&self, features: &Features) -> f32 {
        let hidden: Vec<f32> = self.hidden.iter().map(|row| row.of(features).max(0.0)).collect();
        self.out.as_ref().map_or(f32::NEG_INFINITY, |row| row.of(&hidden))
    }
}

impl Row {
    fn of(&self, values: &[f32]) -> f32 {
        self.0 + self.1.iter().zip(values).map(|(weight, value)| weight * value).sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_networks_and_strict_asks_for_more() {
        let net = Net::read(FILE).unwrap();
        assert!(!net.members.is_empty() && net.balanced.is_finite() && net.balanced <= net.strict);
        assert!(net.sum(&[0.0; NAMES.len()]).is_finite());
    }

    #[test]
    fn sums_what_is_above_nothing_and_refuses_what_is_no_network() {
        let weights = |first: f32| {
            let rest = " 0".repeat(NAMES.len() - 1);
            format!("{first}{rest}")
        };
        let file = format!(
            "balanced 1\nstrict 2\nnet\nhidden 1 {}\nhidden 0 {}\nout 10 1 2\n",
            weights(1.0),
            weights(-1.0)
        );
        let net = Net::read(&file).unwrap();
        let sum = |first: f32| {
            let mut features = [0.0; NAMES.len()];
            features[0] = first;
            net.sum(&features)
        };
        assert_eq!((sum(2.0), sum(9.0), sum(-0.5)), (13.0, 15.0, 11.5));
        for wrong in
            ["hidden 1 2", "net\nhidden 1 2", "net\nout 1 2", "balanced x", "what 1", "features cosine"]
        {
            assert!(Net::read(wrong).is_none(), "{wrong}");
        }
    }
}
