//! A streamed reply, asked about window by window: nothing goes out that was not judged.

use super::batch::Piece;
use super::{Asking, Scene, Seen, Word, apart};
use crate::guard::action::{Action, Place, Side};
use crate::guard::pii::reading::{Reading, cut_escape, in_string};
use crate::guard::spans::{floor, read_as, replaces};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use weir_message::{Block, TextForm, TextRole};
use weir_pipeline::{Gateway, Hold, Notes, StreamVerdict, Window, WindowFlow, WindowJudge};

/// So many bytes that went out are shown again with what follows them.
const BEFORE: usize = 240;

/// The watch over one stream.
pub(super) struct Watch {
    asking: Arc<Asking>,
    gateway: Arc<Gateway>,
    scene: Scene,
    hold: Hold,
    seen: Seen,
    pasts: HashMap<Block, Past>,
}

/// The end of what went out of a block, and whether that ends inside a JSON string.
#[derive(Clone, Default)]
struct Past {
    text: String,
    quoted: bool,
}

impl Watch {
    pub(super) fn new(asking: Arc<Asking>, gateway: Arc<Gateway>, scene: Scene, hold: Hold) -> Self {
        Self { asking, gateway, scene, hold, seen: Seen::default(), pasts: HashMap::new() }
    }

    /// How much of a text is asked about now; 0: it waits for more.
    fn shown(&self, text: &str, last: bool) -> usize {
        let window = self.asking.line.window;
        if last || self.hold == Hold::Sentence {
            return text.len();
        }
        if text.len() < window {
            return 0;
        }
        let cut = cut_escape(text).unwrap_or(text.len());
        let head = text.get(..cut).unwrap_or_default();
        let stop = head.rmatch_indices(['\n', '.', '!', '?', '。', '！', '？']).next();
        let stop = stop.map(|(at, stop)| at + stop.len()).filter(|end| *end >= window / 2);
        stop.or_else(|| head.rfind(char::is_whitespace).filter(|at| *at >= window / 2)).unwrap_or(cut)
    }

    /// What becomes of a window, once the service has spoken.
    fn heard(&mut self, block: Block, text: &str, last: bool, asked: &Asked, word: &Word) -> Window {
        let (whole, before) = (&asked.whole, asked.before);
        let reading = Reading::of(whole, asked.form);
        let place = |offset: usize| reading.written(offset);
        // What was found in what went out before was told then.
        let is_new =
            |told: &&super::Told| told.span.as_ref().is_none_or(|span| place(span.bytes.end) > before);
        let told: Vec<super::Told> = word.told.iter().filter(is_new).cloned().collect();
        let spans = apart(told.iter().filter(|told| self.asking.is_edit(told)));
        // What ends where the window does may go on behind it.
        let open = spans.last().filter(|span| !last && place(span.bytes.end) >= whole.len());
        let passed = open.map_or(whole.len(), |span| place(span.bytes.start));
        let passed = if passed > before { passed } else { whole.len() };
        let head = text.get(..passed - before).unwrap_or_default();
        let own = Reading::of(head, asked.form);
        let within = |offset: usize| own.read(place(offset).saturating_sub(before));
        let spans = spans.iter().filter(|span| place(span.bytes.end) <= passed);
        let spans = spans.map(|span| {
            (within(span.bytes.start)..within(span.bytes.end), Cow::Borrowed(span.with.as_str()))
        });
        let quoted = self.pasts.get(&block).is_some_and(|past| past.quoted);
        let edits = replaces(head, &own, asked.form, spans, quoted);
        let kept = told.into_iter().filter(|told| {
            told.span
                .as_ref()
                .is_none_or(|span| place(span.bytes.end) <= passed || !self.asking.is_edit(told))
        });
        let word = Word { told: kept.collect(), tags: word.tags.clone(), message: word.message.clone() };
        self.seen.add(&self.asking, &asked.pieces, &word);
        if self.seen.acts && self.asking.action == Action::Deny {
            let denial = self.asking.denial(self.seen.message.clone(), Side::Reply);
            return Window { verdict: StreamVerdict::Deny(denial), ..Window::pass(0) };
        }
        let past = self.pasts.entry(block).or_default();
        past.quoted = in_string(head, past.quoted);
        past.text.push_str(head);
        let forgotten = floor(&past.text, past.text.len().saturating_sub(BEFORE));
        past.text.drain(..forgotten);
        Window { edits, ..Window::pass(head.len()) }
    }

    fn asked(&self, block: Block, text: &str, form: TextForm, role: TextRole) -> Asked {
        let past = self.pasts.get(&block).map_or("", |past| &past.text);
        let whole = format!("{past}{text}");
        let reading = Reading::of(&whole, form);
        let read = reading.read(past.len());
        let message = usize::try_from(block.choice).ok();
        let piece = Piece {
            index: 0,
            role,
            place: Place { role: Some(role), message },
            before: floor(&reading.text, read),
            text: reading.text.into_owned(),
        };
        Asked { before: past.len(), form, pieces: [piece], whole }
    }
}

/// What is asked about a window.
struct Asked {
    /// The window with what stands before it, as it is written.
    whole: String,
    /// Where the window begins in it.
    before: usize,
    form: TextForm,
    pieces: [Piece; 1],
}

impl WindowJudge for Watch {
    fn window<'a>(&'a mut self, block: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
        let (form, role) = read_as(block.kind);
        if !self.asking.reads(role) {
            return WindowFlow::Done(Window::pass(text.len()));
        }
        let shown = self.shown(text, last);
        let text = text.get(..shown).unwrap_or_default();
        if text.is_empty() {
            return WindowFlow::Done(Window::pass(0));
        }
        let asked = self.asked(block, text, form, role);
        if !text.chars().any(char::is_alphanumeric) {
            let window = self.heard(block, text, last, &asked, &Word::default());
            return WindowFlow::Done(window);
        }
        WindowFlow::Wait(Box::pin(async move {
            self.scene.stream = Some(last);
            match self.asking.word(&self.gateway, &asked.pieces, &self.scene).await {
                Ok(word) => self.heard(block, text, last, &asked, &word),
                Err(why) => Window { verdict: StreamVerdict::Fault(why), ..Window::pass(0) },
            }
        }))
    }

    fn notes(&mut self, notes: &mut Notes) {
        let seen = std::mem::take(&mut self.seen);
        self.asking.verdict(seen, Side::Reply, notes);
    }
}
