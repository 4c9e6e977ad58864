//! The guard's judgement on one text: what is found, what is done with it, what is put back.

use super::find::{Find, What, resolve};
use super::kind::{Kind, Kinds};
use super::reading::{Reading, in_string};
use super::rules::Rules;
use super::settings::Then;
use super::table::{Table, shaped};
use super::words::is_no_name;
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_inference::{Tag, Tagger};
use weir_message::{Denial, ErrorCode, Replace, TextAt, TextForm};
use weir_pipeline::Notes;

/// The texts that are shown to the model at once.
const TOGETHER: usize = 8;

/// The guard as compiled.
pub(crate) struct Guard {
    pub(crate) rules: Rules,
    /// Set only if a kind is wanted that the model finds.
    pub(crate) tagger: Option<Arc<Tagger>>,
    pub(crate) kinds: Kinds,
    pub(crate) min_score: f32,
    pub(crate) then: Then,
    pub(crate) then_for: BTreeMap<Kind, Then>,
    /// Names and labels of the policy's own patterns, in the order of the rules.
    pub(crate) custom: Vec<(String, String)>,
    pub(crate) restore: bool,
    pub(crate) salt: Option<[u8; 32]>,
    pub(crate) message: Option<String>,
}

/// A text in which something is to be done.
pub(crate) struct Hit {
    pub(crate) index: usize,
    form: TextForm,
    text: ByteString,
    finds: Vec<Find>,
}

/// What was found and done, for the trace.
#[derive(Default)]
pub(crate) struct Report {
    finds: BTreeMap<What, u32>,
    restored: u32,
    denied: Option<What>,
}

/// One judgement's place: the request's table, the report, the side.
pub(crate) struct Work<'w> {
    pub(crate) table: &'w mut Table,
    pub(crate) report: &'w mut Report,
    /// Whether it is the reply's side, where originals are put back.
    pub(crate) reply: bool,
    /// The process's secret number.
    pub(crate) seed: u64,
}

impl Guard {
    /// Whether a find is ever replaced by a placeholder.
    pub(crate) fn replaces(&self) -> bool {
        self.then == Then::Replace || self.then_for.values().any(|then| *then == Then::Replace)
    }

    /// Whether a find is ever changed.
    pub(crate) fn edits(&self) -> bool {
        let edits = |then: Then| matches!(then, Then::Mask | Then::Hash | Then::Replace);
        edits(self.then) || self.then_for.values().any(|then| edits(*then))
    }

    /// The model's tags of texts, in their order; none where it is not asked.
    ///
    /// # Errors
    /// The model's, for the operator.
    pub(crate) async fn tags(&self, texts: &[(TextForm, ByteString)]) -> Result<Vec<Arc<[Tag]>>, String> {
        let Some(tagger) = &self.tagger else { return Ok(Vec::new()) };
        let mut tags: Vec<Arc<[Tag]>> = Vec::with_capacity(texts.len());
        for together in texts.chunks(TOGETHER) {
            let ask = |(form, text): &(TextForm, ByteString)| {
                let reading = Reading::of(text, *form);
                let words = reading.text.chars().any(char::is_alphabetic);
                words.then(|| tagger.tag(&reading.text))
            };
            let asked: Vec<_> = together.iter().map(ask).collect();
            for answer in asked {
                tags.push(match answer {
                    Some(answer) => answer.await.map_err(|error| error.to_string())?,
                    None => Arc::from([]),
                });
            }
        }
        Ok(tags)
    }

    /// What is found in a text; no two finds overlap, and none lies in a placeholder.
    pub(crate) fn finds(&self, text: &str, tags: &[Tag]) -> Vec<Find> {
        let mut finds = Vec::new();
        self.rules.scan(text, &mut finds);
        for tag in tags {
            let kind = match &*tag.label {
                "person" => Kind::Person,
                "place" => Kind::Place,
                "address" => Kind::Address,
                _ => continue,
            };
            if self.kinds.has(kind) {
                if kind == Kind::Person && text.get(tag.start..tag.end).is_some_and(is_no_name) {
                    continue;
                }
                finds.push(Find::new(kind, tag.start, tag.end, tag.score));
            }
        }
        finds.retain(|find| find.score >= self.min_score);
        if !finds.is_empty() {
            for placeholder in shaped(text) {
                finds.retain(|find| find.end <= placeholder.start || find.start >= placeholder.end);
            }
            resolve(&mut finds);
        }
        finds
    }

    /// A text in which there is something to do.
    pub(crate) fn look(&self, at: TextAt<'_>, tags: &[Tag], searched: bool, table: &Table) -> Option<Hit> {
        let form = at.text.form;
        let reading = Reading::of(at.text.as_str(), form);
        let finds = if searched { self.finds(&reading.text, tags) } else { Vec::new() };
        if finds.is_empty() && table.found(&reading.text).next().is_none() {
            return None;
        }
        Some(Hit { index: at.index, form, text: at.text.value.clone(), finds })
    }

    /// The changes to a text.
    pub(crate) fn settle(&self, hit: &Hit, work: &mut Work<'_>) -> Vec<Replace> {
        let reading = Reading::of(&hit.text, hit.form);
        self.changes(&reading, &hit.text, hit.form, &hit.finds, false, work)
    }

    /// The changes to a text for these finds, and for placeholders on the way back. `open`: whether it begins inside a string
    /// of a JSON document.
    pub(crate) fn changes(
        &self,
        reading: &Reading<'_>,
        written: &str,
        form: TextForm,
        finds: &[Find],
        open: bool,
        work: &mut Work<'_>,
    ) -> Vec<Replace> {
        let mut changes = Vec::new();
        if work.reply && self.restore {
            for (range, original) in work.table.found(&reading.text) {
                changes
                    .push(Replace::new(reading.written(range.start)..reading.written(range.end), original));
                work.report.restored += 1;
            }
        }
        let (mut seen, mut quoted) = (0, open);
        for find in finds {
            for part in reading.parts(written, find.start..find.end, form) {
                let range = reading.written(part.start)..reading.written(part.end);
                let value = match form {
                    TextForm::Json | TextForm::Document => reading.text.get(part),
                    TextForm::Plain | TextForm::Bare => written.get(range.clone()),
                };
                let Some(value) = value else { continue };
                // What the client sent itself is no news to it.
                if work.reply && self.restore && work.table.knows(find.what, value) {
                    continue;
                }
                *work.report.finds.entry(find.what).or_default() += 1;
                let then = self.then_of(find.what);
                if then == Then::Deny {
                    work.report.denied.get_or_insert(find.what);
                }
                let Some(with) = self.instead(then, find.what, value, work) else { continue };
                quoted = in_string(written.get(seen..range.start).unwrap_or_default(), quoted);
                seen = range.start;
                // A number that stands bare in a JSON document can only become another number.
                let bare = form.is_json() && !quoted;
                changes.push(Replace::new(range, if bare { "0".to_owned() } else { with }));
            }
        }
        changes
    }

    fn then_of(&self, what: What) -> Then {
        let own = |kind: Kind| {
            let group =
                Kind::NATIONAL.contains(&kind).then(|| self.then_for.get(&Kind::NationalId)).flatten();
            self.then_for.get(&kind).or(group).copied()
        };
        match what {
            What::Known(kind) => own(kind).unwrap_or(self.then),
            What::Custom(_) => self.then,
        }
    }

    /// What stands in the place of a find; `None`: itself.
    fn instead(&self, then: Then, what: What, value: &str, work: &mut Work<'_>) -> Option<String> {
        let label = self.label(what);
        match then {
            Then::Deny | Then::Observe => None,
            Then::Mask => Some(format!("[{label}]")),
            Then::Hash => {
                let seeded = || blake3::derive_key("weir guard pii, key of hashes", &work.seed.to_le_bytes());
                let key = self.salt.unwrap_or_else(seeded);
                let hash = blake3::keyed_hash(&key, value.as_bytes()).to_hex();
                Some(format!("[{label}:{}]", hash.get(..12).unwrap_or_default()))
            }
            Then::Replace => Some(work.table.placeholder(what, label, value)),
        }
    }

    fn label(&self, what: What) -> &str {
        match what {
            What::Known(kind) => kind.label(),
            What::Custom(number) => {
                self.custom.get(usize::from(number)).map_or("CUSTOM", |(_, label)| label.as_str())
            }
        }
    }

    fn name(&self, what: What) -> &str {
        match what {
            What::Known(kind) => kind.name(),
            What::Custom(number) => {
                self.custom.get(usize::from(number)).map_or("custom", |(name, _)| name.as_str())
            }
        }
    }

    /// The denial, if a find denies.
    pub(crate) fn denial(&self, report: &Report) -> Option<Box<Denial>> {
        let kind = self.name(report.denied?);
        let message = match &self.message {
            Some(message) => message.clone(),
            None => format!("personal data was found ({kind}), and the policy does not let it pass"),
        };
        Some(Box::new(Denial::new(ErrorCode::ContentDenied, message)))
    }

    /// Tells the trace what was found and done: kinds and counts, never values.
    pub(crate) fn tell(&self, report: &Report, reply: bool, notes: &mut Notes) {
        if !report.finds.is_empty() {
            let finds = report.finds.iter().map(|(what, n)| (self.name(*what).to_owned(), (*n).into()));
            let finds: serde_json::Map<String, serde_json::Value> = finds.collect();
            let listed: Vec<String> = finds.iter().map(|(name, n)| format!("{name} {n}")).collect();
            let side = if reply { "reply" } else { "request" };
            notes.reason.get_or_insert(format!("found in the {side}: {}", listed.join(", ")));
            notes.fact(if reply { "reply_finds" } else { "finds" }, finds);
        }
        if report.restored > 0 {
            notes.fact("restored", report.restored);
        }
    }
}
