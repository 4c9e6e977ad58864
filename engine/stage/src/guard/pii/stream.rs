//! The guard over a streamed reply: what could still grow into a find or a placeholder waits for what follows.

use super::find::Find;
use super::guard::{Guard, Report, Work};
use super::kind::Kind;
use super::reading::{Reading, cut_escape, in_string};
use super::rules::{LONGEST_SPACED, LONGEST_UNBROKEN};
use super::table::Table;
use bytestring::ByteString;
use std::sync::Arc;
use weir_inference::Tag;
use weir_message::{Block, BlockKind, TextForm};
use weir_pipeline::{Notes, StreamVerdict, Window, WindowFlow, WindowJudge};

/// What has gone out is remembered for this many bytes, for words that say what a number is.
const REMEMBERED: usize = 64;

/// A sentence longer than this is shown to the model in pieces, in bytes.
const LONGEST_SENTENCE: usize = 600;

/// What patterns of the policy's own find is held for this many bytes.
const CUSTOM: usize = 64;

/// The judge of one stream.
pub(crate) struct Judge {
    guard: Arc<Guard>,
    table: Table,
    report: Report,
    seed: u64,
    /// Whether the model's own words are searched, beside putting originals back.
    searched: bool,
    pasts: Vec<Past>,
}

/// What is remembered of a block.
struct Past {
    block: Block,
    /// The end of what was passed, as it came.
    text: String,
    /// Whether that ends inside a string of a JSON document.
    quoted: bool,
}

impl Judge {
    pub(crate) fn new(guard: Arc<Guard>, table: Table, seed: u64, searched: bool) -> Self {
        Self { guard, table, report: Report::default(), seed, searched, pasts: Vec::new() }
    }

    /// How much of a text the model is shown now, whole sentences.
    fn shown(&self, text: &str, last: bool) -> usize {
        if last || !self.searched || self.guard.tagger.is_none() {
            return text.len();
        }
        let blank_after =
            |at: usize| text.get(at + 1..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
        let stop =
            text.rmatch_indices(['.', '!', '?', '\n', ';', '。', '！', '？']).find_map(|(at, stop)| {
                (stop != "." && stop != "!" && stop != "?" || blank_after(at)).then_some(at + stop.len())
            });
        match stop {
            Some(stop) => stop,
            None if text.len() < LONGEST_SENTENCE => 0,
            None => {
                let end = floor(text, text.len() - REMEMBERED);
                text.get(..end).and_then(|head| head.rfind(char::is_whitespace)).unwrap_or(end)
            }
        }
    }

    fn past(&mut self, block: Block) -> usize {
        match self.pasts.iter().position(|past| past.block == block) {
            Some(index) => index,
            None => {
                self.pasts.push(Past { block, text: String::new(), quoted: false });
                self.pasts.len() - 1
            }
        }
    }

    /// Judges `text` up to `shown`, with the model's tags of what is remembered and that.
    fn judge(&mut self, block: Block, text: &str, shown: usize, last: bool, tags: &[Tag]) -> Window {
        let index = self.past(block);
        let Some(past) = self.pasts.get_mut(index) else { return Window::pass(0) };
        let form = form_of(block);
        let before = past.text.len();
        let whole = format!("{}{text}", past.text);
        let reading = Reading::of(&whole, form);
        let finds = if self.searched { self.guard.finds(&reading.text, tags) } else { Vec::new() };

        let mut passed = whole.len();
        if !last {
            passed = passed.min(before + shown).min(cut_escape(&whole).unwrap_or(passed));
            if let Some(cut) = self.table.cut(&reading.text) {
                passed = passed.min(reading.written(cut));
            }
            if self.searched {
                let names = self.guard.kinds.has(Kind::UkNino);
                passed = passed.min(reading.written(growing(&reading.text, names)));
                if !self.guard.custom.is_empty() {
                    passed = passed.min(
                        reading.written(floor(&reading.text, reading.text.len().saturating_sub(CUSTOM))),
                    );
                }
            }
            for find in finds.iter().rev() {
                let (start, end) = (reading.written(find.start), reading.written(find.end));
                if end > passed || end == whole.len() {
                    passed = passed.min(start);
                }
            }
            passed = floor(&whole, passed.max(before));
        }

        let head = text.get(..passed - before).unwrap_or_default();
        let own = Reading::of(head, form);
        let place = |find: Find| {
            // What of a find has gone out already can no longer be changed.
            let (start, end) = (reading.written(find.start).max(before), reading.written(find.end));
            let inside = end > before && end <= passed;
            inside.then(|| Find { start: own.read(start - before), end: own.read(end - before), ..find })
        };
        let finds: Vec<Find> = finds.into_iter().filter_map(place).collect();
        let mut work =
            Work { table: &mut self.table, report: &mut self.report, reply: true, seed: self.seed };
        let edits = self.guard.changes(&own, head, form, &finds, past.quoted, &mut work);

        past.quoted = in_string(head, past.quoted);
        past.text.push_str(head);
        let forgotten = floor(&past.text, past.text.len().saturating_sub(REMEMBERED));
        past.text.drain(..forgotten);
        let passed = head.len();
        match self.guard.denial(&self.report) {
            Some(denial) => Window { verdict: StreamVerdict::Deny(denial), ..Window::pass(0) },
            None => Window { passed, edits, verdict: StreamVerdict::Continue },
        }
    }
}

impl WindowJudge for Judge {
    fn window<'a>(&'a mut self, block: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
        let shown = self.shown(text, last);
        let head = text.get(..shown).unwrap_or_default();
        if shown == 0 && !last {
            return WindowFlow::Done(Window::pass(0));
        }
        if !self.waits() {
            return WindowFlow::Done(self.judge(block, text, shown, last, &[]));
        }
        let index = self.past(block);
        let past = self.pasts.get(index).map_or("", |past| past.text.as_str());
        let asked = [(form_of(block), ByteString::from(format!("{past}{head}")))];
        WindowFlow::Wait(Box::pin(async move {
            match self.guard.tags(&asked).await {
                Ok(tags) => {
                    let tags = tags.first().map_or(&[][..], |tags| tags);
                    self.judge(block, text, shown, last, tags)
                }
                Err(error) => Window { verdict: StreamVerdict::Fault(error), ..Window::pass(0) },
            }
        }))
    }

    fn waits(&self) -> bool {
        self.searched && self.guard.tagger.is_some()
    }

    fn notes(&mut self, notes: &mut Notes) {
        self.guard.tell(&self.report, true, notes);
    }
}

fn form_of(block: Block) -> TextForm {
    match block.kind {
        BlockKind::Arguments => TextForm::Json,
        BlockKind::Text | BlockKind::Reasoning | BlockKind::Refusal => TextForm::Plain,
    }
}

/// Where the end of a text begins that may yet grow into a find: its last word, and a number in groups before it.
fn growing(text: &str, letters_first: bool) -> usize {
    let bytes = text.as_bytes();
    let most = text.len().saturating_sub(LONGEST_UNBROKEN);
    let joins = |char: &char| {
        char.is_ascii_graphic() || (('\u{c0}'..'\u{590}').contains(char) && char.is_alphanumeric())
    };
    let word: usize = text.chars().rev().take_while(joins).map(char::len_utf8).sum();
    let word = floor(text, (text.len() - word).max(most));
    // Groups: the first word with a digit in a row of words that may be one number.
    let spaced = |byte: &&u8| byte.is_ascii_alphanumeric() || b" -.()/+:,".contains(byte);
    let row = bytes.len() - bytes.iter().rev().take(LONGEST_SPACED).take_while(spaced).count();
    let digit = bytes.get(row..).and_then(|row| row.iter().position(u8::is_ascii_digit)).map(|at| row + at);
    let Some(digit) = digit else {
        return if letters_first {
            two_letters(bytes, word.min(text.trim_end_matches(' ').len()))
        } else {
            word
        };
    };
    let digits_word = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+(".contains(byte);
    let start = digit - bytes.get(..digit).unwrap_or_default().iter().rev().take_while(digits_word).count();
    let start = if letters_first { two_letters(bytes, start) } else { start };
    floor(text, start.min(word).max(most))
}

/// The start of a word of two letters that stands in front of a place, with or without a blank; else the place.
fn two_letters(bytes: &[u8], place: usize) -> usize {
    let end =
        if place.checked_sub(1).and_then(|at| bytes.get(at)) == Some(&b' ') { place - 1 } else { place };
    let head = bytes.get(..end).unwrap_or_default();
    let letters = head.iter().rev().take(3).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if letters == 2 { end - 2 } else { place }
}

/// The nearest place at or before `place` where a character begins.
fn floor(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
