//! From the classes of tokens (B-, I-, O) to labelled spans of the text.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::reader::Piece;
use crate::session::Row;
use crate::tag::Tag;

/// How sure the model must be of a word's label.
const SURE: f32 = 0.5;

/// How many bytes that are no part of a span may lie between two words of one.
const GAP: usize = 4;

/// A tagger's classes, by label.
pub(crate) struct Labels {
    names: Vec<Arc<str>>,
    classes: Vec<Option<Class>>,
}

#[derive(Clone, Copy)]
struct Class {
    label: usize,
    begins: bool,
    /// The same for `B-X` and `I-X`.
    kind: usize,
}

/// What the model thinks of each token of a window: for each label how likely it is, then how likely a span begins there,
/// how likely one goes on, and the most likely kind.
pub(crate) struct Verdicts {
    values: Vec<f32>,
    labels: usize,
}

/// A word that has a label.
#[derive(Debug)]
pub(crate) struct Word {
    start: usize,
    end: usize,
    label: usize,
    begins: bool,
    kind: usize,
    score: f32,
}

impl Labels {
    /// Reads a manifest's classes: `B-X` and `I-X` mean the label that `labels` gives to `X`; other classes mean none.
    pub(crate) fn new(classes: &[String], labels: &BTreeMap<String, String>) -> Result<Self, String> {
        let kinds: Vec<&String> = labels.keys().collect();
        let mut names: Vec<Arc<str>> = labels.values().map(|name| name.as_str().into()).collect();
        names.sort();
        names.dedup();
        let read = |class: &String| {
            let (begins, kind) = match class.split_once('-') {
                Some(("B", kind)) => (true, kind),
                Some(("I", kind)) => (false, kind),
                _ => (false, class.as_str()),
            };
            let label = labels.get(kind)?;
            Some(Class {
                label: names.iter().position(|name| **name == **label)?,
                begins,
                kind: kinds.iter().position(|one| *one == kind)?,
            })
        };
        let classes: Vec<Option<Class>> = classes.iter().map(read).collect();
        if classes.iter().all(Option::is_none) {
            return Err("none of its classes has a label".to_owned());
        }
        Ok(Labels { names, classes })
    }

    /// The labels there are, sorted.
    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Sums the chances of the classes by label, for each token of a window.
    pub(crate) fn judge(&self, row: Row<'_>) -> Result<Verdicts, String> {
        if row.width != self.classes.len() {
            return Err(format!("it gives {} classes, its manifest names {}", row.width, self.classes.len()));
        }
        let labels = self.names.len();
        let mut values = Vec::with_capacity(row.values.len() / row.width * (labels + 3));
        let mut chances = Vec::with_capacity(row.width);
        for logits in row.values.chunks_exact(row.width) {
            softmax(logits, &mut chances);
            let from = values.len();
            values.resize(from + labels + 3, 0.0);
            let Some((by_label, [begins, goes_on, kind])) =
                values.get_mut(from..).and_then(<[f32]>::split_last_chunk_mut::<3>)
            else {
                continue;
            };
            let mut best = 0.0;
            for (chance, class) in chances.iter().zip(&self.classes) {
                let Some(class) = class else { continue };
                if let Some(sum) = by_label.get_mut(class.label) {
                    *sum += chance;
                }
                *(if class.begins { &mut *begins } else { &mut *goes_on }) += chance;
                if *chance > best {
                    (best, *kind) = (*chance, class.kind as f32);
                }
            }
        }
        Ok(Verdicts { values, labels })
    }
}

impl Verdicts {
    /// The words of a window that have a label. `pieces` are the window's tokens from `skip` on; `marks` are the rows before
    /// the first token. A word's label is the likeliest in the mean of its tokens: it is whole words that people hide.
    pub(crate) fn words(&self, pieces: &[Piece], skip: usize, found: &mut Vec<Word>) {
        let stride = self.labels + 3;
        let mut rows = self.values.chunks_exact(stride).skip(skip);
        for word in pieces.chunk_by(|_, next| !next.starts_word) {
            let mut sums = vec![0.0; self.labels];
            let mut first = None;
            for row in rows.by_ref().take(word.len()) {
                first.get_or_insert(row);
                sums.iter_mut().zip(row).for_each(|(sum, chance)| *sum += chance / word.len() as f32);
            }
            let best = sums.iter().copied().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
            let (Some((label, score)), Some(first), Some(start), Some(end)) =
                (best, first, word.first(), word.last())
            else {
                continue;
            };
            let Some([begins, goes_on, kind]) = first.last_chunk::<3>().copied() else { continue };
            if score >= SURE {
                let (start, end) = (start.start, end.end);
                found.push(Word { start, end, label, begins: begins > goes_on, kind: kind as usize, score });
            }
        }
    }
}

/// Joins words to spans: neighbours of one label, unless the model says that another of the same kind begins.
pub(crate) fn join(text: &str, words: &[Word], labels: &Labels) -> Vec<Tag> {
    let together = |one: &Word, next: &Word| {
        let gap = text.get(one.end..next.start).unwrap_or("\n");
        let another = next.begins && next.kind == one.kind && gap.contains(char::is_whitespace);
        one.label == next.label
            && !another
            && gap.len() <= GAP
            && gap.chars().all(|letter| " \t-'’.,#/".contains(letter))
    };
    words
        .chunk_by(together)
        .filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            let whole = text.get(first.start..last.end)?;
            let kept = whole.trim_end_matches([' ', ',', ';', ':', '!', '?']);
            if !kept.contains(char::is_alphanumeric) {
                return None;
            }
            let score = run.iter().map(|word| word.score).sum::<f32>() / run.len() as f32;
            let label = Arc::clone(labels.names.get(first.label)?);
            Some(Tag { start: first.start, end: first.start + kept.len(), label, score })
        })
        .collect()
}

/// The chances that logits stand for, written over `chances`.
pub(crate) fn softmax(logits: &[f32], chances: &mut Vec<f32>) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    chances.clear();
    chances.extend(logits.iter().map(|logit| (logit - top).exp()));
    let sum: f32 = chances.iter().sum();
    chances.iter_mut().for_each(|chance| *chance /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [&str; 7] = ["O", "B-GIVEN", "I-GIVEN", "B-SUR", "I-SUR", "B-CITY", "B-OTHER"];

    fn labels() -> Labels {
        let classes = CLASSES.map(str::to_owned);
        let labels = [("GIVEN", "person"), ("SUR", "person"), ("CITY", "place")];
        Labels::new(&classes, &labels.map(|(kind, label)| (kind.to_owned(), label.to_owned())).into())
            .unwrap()
    }

    /// Splits at blanks and before `|`, and gives each piece the class after its `/`.
    fn decode(tagged: &str) -> Vec<(String, String)> {
        let (mut text, mut pieces, mut logits) = (String::new(), Vec::new(), Vec::new());
        for word in tagged.split(' ') {
            if !text.is_empty() {
                text.push(' ');
            }
            for (number, part) in word.split('|').enumerate() {
                let (part, class) = part.split_once('/').unwrap();
                let start = text.len();
                text.push_str(part);
                let punctuation = part.chars().all(|letter| letter.is_ascii_punctuation());
                let starts_word =
                    number == 0 || punctuation || text[..start].ends_with(|c: char| c.is_ascii_punctuation());
                pieces.push(Piece { id: 1, start, end: text.len(), starts_word });
                logits.extend(CLASSES.map(|one| if one == class { 9.0 } else { 0.0 }));
            }
        }
        let labels = labels();
        let verdicts = labels.judge(Row { values: &logits, width: CLASSES.len() }).unwrap();
        let mut words = Vec::new();
        verdicts.words(&pieces, 0, &mut words);
        let tags = join(&text, &words, &labels);
        tags.iter().map(|tag| (text[tag.start..tag.end].to_owned(), tag.label.to_string())).collect()
    }

    #[test]
    fn decodes() {
        for (note, tagged, want) in [
            ("nothing", "the/O cat/O", vec![]),
            ("one word", "ask/O Ana/B-GIVEN", vec![("Ana", "person")]),
            ("two kinds of one label", "Ana/B-GIVEN Silva/B-SUR left/O", vec![("Ana Silva", "person")]),
            ("inside goes on", "Ana/B-GIVEN Maria/I-GIVEN", vec![("Ana Maria", "person")]),
            ("another begins", "Ana/B-GIVEN Bo/B-GIVEN", vec![("Ana", "person"), ("Bo", "person")]),
            ("two labels", "Ana/B-GIVEN Paris/B-CITY", vec![("Ana", "person"), ("Paris", "place")]),
            ("inside without begin", "Silva/I-SUR left/O", vec![("Silva", "person")]),
            ("a class without label", "blue/B-OTHER", vec![]),
            ("the rest of a word", "Schm/B-SUR|idt/I-SUR", vec![("Schmidt", "person")]),
            ("most of a word", "Ka/B-SUR|tar/I-SUR|ina/O", vec![("Katarina", "person")]),
            ("little of a word", "Ka/O|tar/O|ina/B-SUR", vec![]),
            ("punctuation inside", "O/B-SUR|'/O|Brien/I-SUR", vec![("O'Brien", "person")]),
            ("punctuation at the end", "Ana/B-GIVEN|,/I-GIVEN", vec![("Ana", "person")]),
            ("punctuation alone", "./B-SUR", vec![]),
            ("several bytes a letter", "frag/O Łukasz/B-GIVEN Żółć/B-SUR", vec![("Łukasz Żółć", "person")]),
        ] {
            let want: Vec<_> =
                want.iter().map(|(text, label)| ((*text).to_owned(), (*label).to_owned())).collect();
            assert_eq!(decode(tagged), want, "{note}");
        }
    }

    #[test]
    fn a_model_with_other_classes_than_its_manifest_is_refused() {
        assert!(labels().judge(Row { values: &[0.0; 6], width: 3 }).is_err());
        assert!(Labels::new(&["O".to_owned()], &BTreeMap::new()).is_err());
    }
}
