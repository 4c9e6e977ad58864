//! The guard over a streamed reply: what may yet become a leak waits, and whole sentences are judged where attacks are.

use super::leak::{Guarded, Leak};
use super::{Inner, Judge, Then, Worst};
use crate::guard::pii::reading::{Reading, cut_escape};
use std::collections::HashMap;
use std::sync::Arc;
use weir_message::{Block, BlockKind, TextForm, TextRole};
use weir_pipeline::{Notes, StreamVerdict, Window, WindowFlow, WindowJudge};

/// What went out is remembered for this many bytes.
const REMEMBERED: usize = 512;
/// A sentence longer than this is judged in pieces, in bytes.
const LONGEST_SENTENCE: usize = 600;

/// The watch over one stream.
pub(super) struct Watch {
    inner: Arc<Inner>,
    guarded: Guarded,
    worst: Worst,
    leak: Option<Leak>,
    pasts: HashMap<Block, String>,
}

impl Watch {
    pub(super) fn new(inner: Arc<Inner>, guarded: Guarded) -> Self {
        Self { inner, guarded, worst: Worst::default(), leak: None, pasts: HashMap::new() }
    }

    /// How far a text may be looked at now: whole sentences, if attacks are looked for.
    fn shown(&self, text: &str, last: bool) -> usize {
        if last || !self.inner.reply {
            return text.len();
        }
        let stop = text.rmatch_indices(['\n', '.', '!', '?', '。', '！', '？']).next();
        match stop.map(|(at, stop)| at + stop.len()) {
            Some(end) => end,
            None if text.len() < LONGEST_SENTENCE => 0,
            None => text.rfind(char::is_whitespace).unwrap_or(text.len()),
        }
    }

    fn past(&mut self, block: Block) -> &mut String {
        self.pasts.entry(block).or_default()
    }

    /// Lets go of what cannot become a leak any more.
    fn pass(&mut self, block: Block, text: &str, shown: usize, last: bool) -> Window {
        let form = form_of(block);
        let whole = format!("{}{}", self.past(block), text.get(..shown).unwrap_or_default());
        let before = whole.len() - shown;
        let reading = Reading::of(&whole, form);
        if !self.guarded.is_empty()
            && let Some(leak) = self.guarded.leak(&reading.text, last)
        {
            self.leak = self.leak.or(Some(leak));
            if self.inner.then == Then::Deny {
                let denial = self.inner.denial("the reply would give away the system prompt");
                return Window { verdict: StreamVerdict::Deny(denial), ..Window::pass(0) };
            }
        }
        let mut passed = whole.len();
        if !last {
            let held = self.guarded.held(&reading.text);
            passed = reading.written(reading.text.len() - held).min(cut_escape(&whole).unwrap_or(passed));
        }
        let passed = floor(&whole, passed.max(before)) - before;
        let head = text.get(..passed).unwrap_or_default();
        let past = self.past(block);
        past.push_str(head);
        let forgotten = floor(past, past.len().saturating_sub(REMEMBERED));
        past.drain(..forgotten);
        Window::pass(passed)
    }
}

impl WindowJudge for Watch {
    fn window<'a>(&'a mut self, block: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
        let shown = self.shown(text, last);
        if shown == 0 && !last {
            return WindowFlow::Done(Window::pass(0));
        }
        if !self.inner.reply {
            return WindowFlow::Done(self.pass(block, text, shown, last));
        }
        let mut parts = Vec::new();
        let (past, role) = (self.past(block).clone(), role_of(block));
        let whole = format!("{past}{}", text.get(..shown).unwrap_or_default());
        Judge::parts(&Reading::of(&whole, form_of(block)).text, role, &mut parts);
        let decided = move |watch: &mut Self, worst: Worst| {
            if worst.score > watch.worst.score {
                watch.worst = worst;
            }
            let denies = watch.worst.score >= watch.inner.judge.threshold && watch.inner.then == Then::Deny;
            match denies {
                true => {
                    let denial =
                        watch.inner.denial("the reply looks like an attempt to override instructions");
                    Window { verdict: StreamVerdict::Deny(denial), ..Window::pass(0) }
                }
                false => watch.pass(block, text, shown, last),
            }
        };
        let Some(embedder) = self.inner.judge.embedder.clone().filter(|_| !parts.is_empty()) else {
            return WindowFlow::Done(decided(self, Judge::at_once(&parts)));
        };
        WindowFlow::Wait(Box::pin(async move {
            match Judge::ask(&embedder, parts).await {
                Ok(worst) => decided(self, worst),
                Err(error) => Window { verdict: StreamVerdict::Fault(error), ..Window::pass(0) },
            }
        }))
    }

    fn waits(&self) -> bool {
        self.inner.reply && self.inner.judge.embedder.is_some()
    }

    fn notes(&mut self, notes: &mut Notes) {
        if let Some(leak) = self.leak {
            self.inner.leaked(leak, notes);
        }
        if self.inner.reply {
            self.inner.verdict(&self.worst, true, notes);
        }
    }
}

fn form_of(block: Block) -> TextForm {
    match block.kind {
        BlockKind::Arguments => TextForm::Json,
        BlockKind::Text | BlockKind::Reasoning | BlockKind::Refusal => TextForm::Plain,
    }
}

fn role_of(block: Block) -> TextRole {
    match block.kind {
        BlockKind::Arguments => TextRole::Arguments,
        BlockKind::Text | BlockKind::Reasoning | BlockKind::Refusal => TextRole::Assistant,
    }
}

/// The nearest place at or before `place` where a character begins.
fn floor(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
