//! How many made-up secrets `guard: secrets` finds, and what it takes for one in ordinary code.

use crate::chance::Chance;
use crate::code::sources;
use crate::gateway::{Pipeline, Went, together};
use crate::room::{Outcome, Room, yaml};
use crate::table::{Row, Shown, Table, share};
use serde::Deserialize;
use std::collections::BTreeMap;

const ABOUT: &str = "Secrets: made up in the shapes of `eval/data/secrets.yaml`, each in several surroundings. Code: the \
    sources of all crates in `Cargo.lock` and, in the full run, of the Python packages in `eval/data.lock`. Not shown: keys \
    whose issuer gives them no shape and which stand behind no telling name.";

/// The committed shapes.
#[derive(Deserialize)]
struct Shapes {
    /// Surroundings of a key that its own shape gives away; `{}` is its place.
    around: Vec<String>,
    /// By issuer.
    keys: BTreeMap<String, Vec<String>>,
    /// Values that only what stands around them gives away.
    named: BTreeMap<String, Vec<String>>,
}

/// A made-up secret in its surroundings.
struct Made {
    kind: String,
    secret: String,
    text: String,
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

/// A text of a shape: `[a36]` is 36 of an alphabet, all else stands for itself.
fn shaped(shape: &str, chance: &mut Chance) -> Outcome<String> {
    let mut out = String::new();
    let mut rest = shape;
    while let Some((head, tail)) = rest.split_once('[') {
        out.push_str(head);
        let (slot, behind) = tail.split_once(']').ok_or("a shape lacks `]`")?;
        rest = behind;
        let (kind, len) = slot.split_at_checked(1).ok_or("a shape has an empty slot")?;
        let len: usize = len.parse()?;
        let alphabet = match kind {
            "a" => format!("{LOWER}{UPPER}{DIGITS}"),
            "u" => format!("{UPPER}{DIGITS}"),
            "l" => format!("{LOWER}{DIGITS}"),
            "d" => DIGITS.to_owned(),
            "h" => format!("{DIGITS}abcdef"),
            "w" => format!("{LOWER}{UPPER}{DIGITS}_-"),
            "b" => format!("{LOWER}{UPPER}{DIGITS}+/"),
            "p" => format!("{LOWER}{UPPER}{DIGITS}!#%*+-_?~"),
            other => return Err(format!("there is no alphabet `{other}`").into()),
        };
        // A letter or digit at both ends, as issuers have it and a passphrase's owner mostly too.
        let ends = match kind {
            "w" | "b" | "p" => format!("{LOWER}{UPPER}{DIGITS}"),
            _ => alphabet.clone(),
        };
        out.push_str(&chance.text(&ends, len.min(1)));
        out.push_str(&chance.text(&alphabet, len.saturating_sub(2)));
        out.push_str(&chance.text(&ends, usize::from(len > 1)));
    }
    out.push_str(rest);
    Ok(out)
}

fn made(shapes: &Shapes, each: usize) -> Outcome<Vec<Made>> {
    let mut chance = Chance::new(6);
    let mut all = Vec::new();
    for (kind, list) in &shapes.keys {
        for (shape, round) in list.iter().flat_map(|shape| (0..each).map(move |round| (shape, round))) {
            let secret = shaped(shape, &mut chance)?;
            let around = shapes
                .around
                .get((all.len() + round) % shapes.around.len().max(1))
                .map_or("{}", String::as_str);
            all.push(Made { kind: kind.clone(), text: around.replace("{}", &secret), secret });
        }
    }
    for (kind, list) in &shapes.named {
        for shape in list.iter().flat_map(|shape| std::iter::repeat_n(shape, each)) {
            let whole = shaped(shape, &mut chance)?;
            // The secret stands between `«` and `»`.
            let (before, rest) = whole.split_once('«').ok_or("a named shape lacks `«`")?;
            let (secret, behind) = rest.split_once('»').ok_or("a named shape lacks `»`")?;
            let text = format!("{before}{secret}{behind}");
            all.push(Made { kind: kind.clone(), secret: secret.to_owned(), text });
        }
    }
    Ok(all)
}

/// The tables of this suite.
pub(crate) fn tables(room: &Room) -> Outcome<Vec<Table>> {
    let shapes: Shapes = yaml(&Room::committed("secrets.yaml"))?;
    let pipeline = Pipeline::new(&["{ guard: secrets, with: { then: mask } }"], None)?;

    let made = made(&shapes, if room.quick { 3 } else { 20 })?;
    let went = room.runtime.block_on(together(&made, |one| pipeline.user(&one.text)));
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (one, went) in made.iter().zip(&went) {
        let found = went.sent_text(0).is_some_and(|sent| !sent.contains(&one.secret));
        let count = kinds.entry(&one.kind).or_default();
        count.0 += usize::from(found);
        count.1 += 1;
        if !found {
            room.say(|| format!("missed ({}): {}", one.kind, one.text));
        }
    }
    let (found, all) = kinds.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let issuers = shapes.keys.len();

    let code = sources(room, if room.quick { 300_000 } else { 3_000_000 })?;
    let lines: usize = code.iter().map(super::code::Code::lines).sum();
    let went = room.runtime.block_on(together(&code, |one| pipeline.user(&one.text)));
    let mut alarms = 0;
    for (one, went) in code.iter().zip(&went) {
        let matches = alarms_of(went)?;
        alarms += matches;
        if matches > 0 {
            room.say(|| {
                let sent = went.sent_text(0).unwrap_or_default();
                let masked: Vec<&str> = sent.lines().filter(|line| line.contains("[REMOVED]")).collect();
                let lost = one.text.lines().filter(|line| !sent.contains(*line));
                let shown: Vec<String> = lost.take(6).map(|line| line.chars().take(160).collect()).collect();
                format!(
                    "{}: {matches} ({} lines): {}",
                    one.path.display(),
                    masked.len(),
                    shown.join("\n    ")
                )
            });
        }
    }
    let per_ten_thousand = share(alarms * 10_000, lines);
    let missed = kinds.iter().filter(|(_, (found, all))| found < all);
    let detail =
        missed.map(|(kind, (found, all))| vec![(*kind).to_owned(), format!("{found} of {all}")]).collect();
    Ok(vec![
        Table::new(
            "`guard: secrets`",
            ABOUT,
            vec![
                Row::at_least("recall, made-up secrets", share(found, all), 0.95, Shown::Share),
                Row::at_most("false alarms per 10,000 lines of code", per_ten_thousand, 5.0, Shown::Number),
                Row::told("made-up secrets; issuers", format!("{all}; {issuers}")),
                Row::told("lines of code; files", format!("{lines}; {}", code.len())),
            ],
        )
        .with(&["kinds that were missed", "found"], detail),
    ])
}

fn alarms_of(went: &Went) -> Outcome<usize> {
    if went.status != 200 {
        return Err(format!("code was answered with {}: {}", went.status, went.body).into());
    }
    let matches = went.fact("matches").and_then(serde_json::Value::as_u64).unwrap_or(0);
    Ok(usize::try_from(matches)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_filled_and_the_committed_ones_can_be() {
        let mut chance = Chance::new(1);
        let text = shaped("ghp_[a36]-[d2]x", &mut chance).unwrap();
        assert_eq!((text.len(), text.starts_with("ghp_"), text.ends_with('x')), (4 + 36 + 4, true, true));
        assert!(shaped("[z3]", &mut chance).is_err() && shaped("[a3", &mut chance).is_err());
        let shapes: Shapes = yaml(&Room::committed("secrets.yaml")).unwrap();
        assert!(shapes.keys.len() >= 80);
        for one in made(&shapes, 1).unwrap() {
            assert!(one.text.contains(&one.secret) && !one.secret.contains('['), "{}", one.text);
        }
    }
}
