//! Text judges over streams: holds events back until a judge has passed their text, and makes its edits in them.

use crate::{Flow, Notes, StreamStage, StreamVerdict};
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::ops::Range;
use weir_message::{Block, Event, EventKind, Replace, TextForm};

/// How many bytes of one stream may be held back unless a stage says otherwise.
pub const HELD_LIMIT: usize = 1 << 20;

/// Judges the text of a stream, block by block.
pub trait WindowJudge: Send {
    /// Judges `text`: all of the block that has not been passed yet, as far as it is known. With `last`, nothing more will
    /// come in this block, and all of the text must be passed or denied.
    fn window<'a>(&'a mut self, block: Block, text: &'a str, last: bool) -> WindowFlow<'a>;

    /// Whether [`WindowJudge::window`] may ever return [`WindowFlow::Wait`]. A judge that never waits says so and costs no
    /// allocation for an event.
    fn waits(&self) -> bool {
        true
    }

    /// What it learnt, for the trace; called once at the end, however it ended.
    fn notes(&mut self, _notes: &mut Notes) {}
}

/// A judge's word, at once or after inference.
pub enum WindowFlow<'a> {
    /// Decided.
    Done(Window),
    /// To be awaited.
    Wait(BoxFuture<'a, Window>),
}

/// What a judge says of the text that it was shown.
#[derive(Debug)]
pub struct Window {
    /// How many bytes of the text may be released now, on a character boundary.
    pub passed: usize,
    /// Changes to make, all inside the passed part.
    pub edits: Vec<Replace>,
    /// Whether the stream goes on. If not, nothing of this window is released.
    pub verdict: StreamVerdict,
}

impl Window {
    /// The first `passed` bytes may go out as they are.
    pub fn pass(passed: usize) -> Self {
        Self { passed, edits: Vec::new(), verdict: StreamVerdict::Continue }
    }
}

/// When a judge is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// With every piece of text: the judge says how far it may go.
    #[default]
    Declared,
    /// When a sentence or a line is complete: it is shown whole sentences.
    Sentence,
    /// Once, with the whole text of a block.
    All,
}

/// A stream stage made of a judge of text.
///
/// Events go out in the order they came. An event waits until all of its text is passed, and what comes after it waits too,
/// but for comments that keep the connection alive. An edit that spans several events puts its text into the first of them
/// and takes the rest out of the others.
pub struct Windows<J> {
    judge: J,
    hold: Hold,
    limit: usize,
    held: usize,
    queue: VecDeque<Event>,
    blocks: Vec<BlockText>,
}

/// The text of one block. Offsets count from the block's start, before edits.
struct BlockText {
    block: Block,
    /// What came and is not passed.
    text: String,
    /// How far the judge passed.
    passed: usize,
    /// How far events were released.
    released: usize,
    /// Changes in text that is passed and not all released, ascending.
    edits: VecDeque<Edit>,
    /// Whether the judge has not seen all of `text` yet, or not that it is the last.
    unseen: bool,
    /// Whether nothing more will come.
    ended: bool,
}

struct Edit {
    range: Range<usize>,
    with: String,
    placed: bool,
}

impl<J: WindowJudge> Windows<J> {
    /// A stage that asks `judge`, and faults when more than `limit` bytes would be held.
    pub fn new(judge: J, hold: Hold, limit: usize) -> Self {
        Self { judge, hold, limit, held: 0, queue: VecDeque::new(), blocks: Vec::new() }
    }

    /// Takes an event in: its text to its blocks, itself to the end of the queue.
    fn take(&mut self, event: Event) {
        let ends = event.finish.is_some();
        for delta in &event.deltas {
            let index = self.block(delta.block);
            let Some(block) = self.blocks.get_mut(index) else { continue };
            block.text.push_str(delta.text.as_str());
            block.ended = false;
            block.unseen |= !delta.text.as_str().is_empty();
        }
        if event.kind == EventKind::Error || event.kind == EventKind::Done {
            self.end(|_| true);
        } else if ends {
            // A finish reason without text does not say whose it is: with one choice it is clear, with several the end of
            // the stream decides.
            let only = self.only_choice();
            let of = |choice: u32| event.deltas.iter().any(|delta| delta.block.choice == choice);
            self.end(|block| of(block.choice) || only == Some(block.choice));
        }
        self.held += event.raw.len();
        self.queue.push_back(event);
    }

    fn block(&mut self, block: Block) -> usize {
        if let Some(index) = self.blocks.iter().position(|known| known.block == block) {
            return index;
        }
        self.blocks.push(BlockText {
            block,
            text: String::new(),
            passed: 0,
            released: 0,
            edits: VecDeque::new(),
            unseen: false,
            ended: false,
        });
        self.blocks.len() - 1
    }

    fn only_choice(&self) -> Option<u32> {
        let first = self.blocks.first()?.block.choice;
        self.blocks.iter().all(|block| block.block.choice == first).then_some(first)
    }

    fn end(&mut self, of: impl Fn(Block) -> bool) {
        for block in self.blocks.iter_mut().filter(|block| of(block.block)) {
            block.unseen |= !block.ended && !block.text.is_empty();
            block.ended = true;
        }
    }

    /// The next block to judge, and how many bytes of it to show.
    fn next(&mut self) -> Option<(usize, usize)> {
        for (index, block) in self.blocks.iter_mut().enumerate() {
            if !block.unseen {
                continue;
            }
            block.unseen = false;
            let shown = match self.hold {
                _ if block.ended => block.text.len(),
                Hold::Declared => block.text.len(),
                Hold::Sentence => sentences(&block.text),
                Hold::All => 0,
            };
            if shown > 0 {
                return Some((index, shown));
            }
        }
        None
    }

    /// Notes what the judge said of a block. An error ends the stream.
    fn heard(&mut self, index: usize, shown: usize, window: Window) -> Result<(), StreamVerdict> {
        if !matches!(window.verdict, StreamVerdict::Continue) {
            return Err(window.verdict);
        }
        let wrong = |what: &str| Err(StreamVerdict::Fault(format!("a judge of a stream {what}")));
        let Some(block) = self.blocks.get_mut(index) else { return wrong("lost its text") };
        if window.passed > shown || !block.text.is_char_boundary(window.passed) {
            return wrong("passed text that it was not shown");
        }
        if block.ended && window.passed < block.text.len() {
            return wrong("holds text at its end");
        }
        let mut edits = window.edits;
        edits.sort_by_key(|edit| edit.range.start);
        let mut from = 0;
        for edit in edits {
            let Range { start, end } = edit.range;
            if start < from || end > window.passed || block.text.get(start..end).is_none() {
                return wrong("edits text that it did not pass");
            }
            from = end;
            let range = block.passed + start..block.passed + end;
            block.edits.push_back(Edit { range, with: edit.with, placed: false });
        }
        block.text.drain(..window.passed);
        block.passed += window.passed;
        Ok(())
    }

    /// Releases what may go, in order.
    fn release(&mut self, out: &mut Vec<Event>) -> StreamVerdict {
        while self.queue.front().is_some_and(|event| self.is_passed(event)) {
            let Some(mut event) = self.queue.pop_front() else { break };
            self.held = self.held.saturating_sub(event.raw.len());
            for index in 0..event.deltas.len() {
                if let Some(text) = self.edited(&event, index) {
                    event.set_delta(index, &text);
                }
            }
            out.push(event);
        }
        let texts: usize = self.blocks.iter().map(|block| block.text.len()).sum();
        if self.held + texts > self.limit {
            return StreamVerdict::Fault(format!("more than {} bytes of a stream would be held", self.limit));
        }
        StreamVerdict::Continue
    }

    /// Whether all of an event's text is passed.
    fn is_passed(&self, event: &Event) -> bool {
        self.blocks.iter().all(|block| {
            let own = event.deltas.iter().filter(|delta| delta.block == block.block);
            let length: usize = own.map(|delta| delta.text.value.len()).sum();
            block.released + length <= block.passed
        })
    }

    /// Moves a block past a delta; its new text if it was edited.
    fn edited(&mut self, event: &Event, index: usize) -> Option<String> {
        let delta = event.deltas.get(index)?;
        let block = self.blocks.iter_mut().find(|block| block.block == delta.block)?;
        let start = block.released;
        let end = start + delta.text.value.len();
        block.released = end;
        let mut text: Option<String> = None;
        let mut from = start;
        for edit in &mut block.edits {
            if edit.range.start > end || (edit.range.start == end && !edit.range.is_empty()) {
                break;
            }
            let out = text.get_or_insert_default();
            if !edit.placed {
                out.push_str(delta.text.value.get(from - start..edit.range.start.max(start) - start)?);
                match delta.text.form {
                    TextForm::Plain | TextForm::Bare => out.push_str(&edit.with),
                    TextForm::Json | TextForm::Document => out.push_str(&escaped(&edit.with)),
                }
                edit.placed = true;
            }
            from = edit.range.end.clamp(from, end);
        }
        while block.edits.front().is_some_and(|edit| edit.placed && edit.range.end <= end) {
            block.edits.pop_front();
        }
        let mut text = text?;
        text.push_str(delta.text.value.get(from - start..)?);
        Some(text)
    }

    /// Judges what is unseen, without waiting.
    fn decide(&mut self, out: &mut Vec<Event>) -> StreamVerdict {
        while let Some((index, shown)) = self.next() {
            let Some(block) = self.blocks.get(index) else { break };
            let last = block.ended;
            let text = block.text.get(..shown).unwrap_or_default();
            let window = match self.judge.window(block.block, text, last) {
                WindowFlow::Done(window) => window,
                WindowFlow::Wait(_) => {
                    return StreamVerdict::Fault("a judge of a stream waits that said it would not".into());
                }
            };
            if let Err(verdict) = self.heard(index, shown, window) {
                return verdict;
            }
        }
        self.release(out)
    }

    /// Judges what is unseen, waiting where the judge does.
    async fn decide_waiting(&mut self, out: &mut Vec<Event>) -> StreamVerdict {
        while let Some((index, shown)) = self.next() {
            let Some(block) = self.blocks.get(index) else { break };
            let last = block.ended;
            let text = block.text.get(..shown).unwrap_or_default();
            let window = match self.judge.window(block.block, text, last) {
                WindowFlow::Done(window) => window,
                WindowFlow::Wait(window) => window.await,
            };
            if let Err(verdict) = self.heard(index, shown, window) {
                return verdict;
            }
        }
        self.release(out)
    }

    fn go<'a>(&'a mut self, out: &'a mut Vec<Event>) -> Flow<'a> {
        if self.judge.waits() && self.blocks.iter().any(|block| block.unseen) {
            Flow::Wait(Box::pin(self.decide_waiting(out)))
        } else {
            Flow::Done(self.decide(out))
        }
    }
}

impl<J: WindowJudge> StreamStage for Windows<J> {
    fn event<'a>(&'a mut self, event: Event, out: &'a mut Vec<Event>) -> Flow<'a> {
        if event.kind == EventKind::KeepAlive {
            out.push(event);
            return Flow::Done(StreamVerdict::Continue);
        }
        self.take(event);
        self.go(out)
    }

    fn finish<'a>(&'a mut self, out: &'a mut Vec<Event>) -> Flow<'a> {
        self.end(|_| true);
        self.go(out)
    }

    fn abandon(&mut self, out: &mut Vec<Event>) {
        out.extend(self.queue.drain(..));
    }

    fn notes(&mut self, notes: &mut Notes) {
        self.judge.notes(notes);
    }
}

/// How many bytes of `text` are whole sentences or lines.
fn sentences(text: &str) -> usize {
    let mut whole = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let next = chars.peek().map(|(_, char)| *char);
        match char {
            '\n' | '。' | '！' | '？' => whole = at + char.len_utf8(),
            // The space after the stop tells it from `3.5` and `example.com`; it must have come.
            '.' | '!' | '?' | ';' | ':' if next.is_some_and(char::is_whitespace) => whole = at + 1,
            _ => {}
        }
    }
    whole
}

/// The inside of the JSON string literal for `text`.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
