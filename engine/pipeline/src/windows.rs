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
                    TextForm::Plain => out.push_str(&edit.with),
                    TextForm::Json => out.push_str(&escaped(&edit.with)),
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weir_message::{BlockKind, Delta, Denial, ErrorCode, Finish, Text};

    /// Turns every `cat` into `DOG"`, every `x` into nothing and puts `!` in front of every `z`; denies `bad`.
    struct Pets;

    fn judged(text: &str) -> Result<Vec<Replace>, Box<Denial>> {
        if text.contains("bad") {
            return Err(Box::new(Denial::new(ErrorCode::Denied, "no")));
        }
        let cats = text.match_indices("cat").map(|(at, _)| Replace::new(at..at + 3, "DOG\""));
        let none = text.match_indices('x').map(|(at, _)| Replace::new(at..at + 1, ""));
        let before = text.match_indices('z').map(|(at, _)| Replace::new(at..at, "!"));
        Ok(cats.chain(none).chain(before).collect())
    }

    impl WindowJudge for Pets {
        fn window<'a>(&'a mut self, _: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
            let grows = ["ca", "c", "ba", "b"].into_iter().find(|tail| text.ends_with(tail));
            let held = if last { 0 } else { grows.map_or(0, str::len) };
            WindowFlow::Done(match judged(text) {
                Ok(edits) => Window { edits, ..Window::pass(text.len() - held) },
                Err(denial) => Window { verdict: StreamVerdict::Deny(denial), ..Window::pass(0) },
            })
        }

        fn waits(&self) -> bool {
            false
        }
    }

    /// The same, after a while.
    struct Slow(Pets);

    impl WindowJudge for Slow {
        fn window<'a>(&'a mut self, block: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
            WindowFlow::Wait(Box::pin(async move {
                tokio::task::yield_now().await;
                match self.0.window(block, text, last) {
                    WindowFlow::Done(window) => window,
                    WindowFlow::Wait(window) => window.await,
                }
            }))
        }
    }

    const TEXT: Block = Block { choice: 0, kind: BlockKind::Text, index: 0 };
    const ARGUMENTS: Block = Block { choice: 0, kind: BlockKind::Arguments, index: 1 };

    fn event(deltas: &[(Block, &str)]) -> Event {
        let mut raw = String::from("data: [");
        let mut places = Vec::new();
        for (_, text) in deltas {
            let start = raw.len();
            raw.push_str(&serde_json::Value::from(*text).to_string());
            places.push(u32::try_from(start).unwrap()..u32::try_from(raw.len()).unwrap());
            raw.push(',');
        }
        raw.push_str("0]\n\n");
        let mut event = Event::new(raw, EventKind::Content);
        event.deltas = deltas
            .iter()
            .zip(places)
            .map(|((block, text), at)| {
                let json = block.kind == BlockKind::Arguments;
                let form = if json { TextForm::Json } else { TextForm::Plain };
                Delta { block: *block, text: Text::at((*text).into(), at, form) }
            })
            .collect();
        event
    }

    fn say(text: &str) -> Event {
        event(&[(TEXT, text)])
    }

    /// Runs events through a stage. What went out after each of them and at the end, and how it ended.
    fn run(mut stage: impl StreamStage, events: Vec<Event>) -> (Vec<Vec<Event>>, StreamVerdict) {
        let wait = |flow: Flow<'_>| match flow {
            Flow::Done(verdict) => verdict,
            Flow::Wait(verdict) => block_on(verdict),
        };
        let mut outs = Vec::new();
        for event in events {
            let mut out = Vec::new();
            let verdict = wait(stage.event(event, &mut out));
            outs.push(out);
            if !matches!(verdict, StreamVerdict::Continue) {
                return (outs, verdict);
            }
        }
        let mut out = Vec::new();
        let verdict = wait(stage.finish(&mut out));
        outs.push(out);
        (outs, verdict)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn text(events: &[Vec<Event>], block: Block) -> String {
        let deltas = events.iter().flatten().flat_map(|event| &event.deltas);
        deltas.filter(|delta| delta.block == block).map(|delta| delta.text.as_str()).collect()
    }

    fn pets(hold: Hold) -> Windows<Pets> {
        Windows::new(Pets, hold, HELD_LIMIT)
    }

    fn counts(outs: &[Vec<Event>]) -> Vec<usize> {
        outs.iter().map(Vec::len).collect()
    }

    #[test]
    fn events_wait_until_their_text_is_passed() {
        let (outs, _) = run(pets(Hold::Declared), ["a dog ", "and a c", "a", "r"].map(say).to_vec());
        assert_eq!(counts(&outs), [1, 0, 0, 3, 0]);
        assert!(outs.iter().flatten().all(|event| !event.is_edited()));
    }

    #[test]
    fn an_edit_over_several_events_goes_into_the_first_and_out_of_the_others() {
        let (outs, _) = run(pets(Hold::Declared), ["my c", "a", "t sat"].map(say).to_vec());
        let texts: Vec<&str> = outs.iter().flatten().map(|event| event.deltas[0].text.as_str()).collect();
        assert_eq!(texts, ["my DOG\"", "", " sat"]);
        assert_eq!(outs[2][0].outgoing(), "data: [\"my DOG\\\"\",0]\n\n");
    }

    #[test]
    fn edits_inside_arguments_are_escaped_for_json() {
        let events = vec![event(&[(ARGUMENTS, r#"{"pet":"c"#)]), event(&[(ARGUMENTS, r#"at"}"#)])];
        let (outs, _) = run(pets(Hold::Declared), events);
        assert_eq!(text(&outs, ARGUMENTS), r#"{"pet":"DOG\""}"#);
    }

    #[test]
    fn comments_pass_at_once_and_all_else_waits_in_order() {
        let mut finish = Event::new("data: f\n\n", EventKind::Content);
        finish.finish = Some(Finish::Stop);
        let events = vec![
            say("c"),
            Event::new(": ping\n\n", EventKind::KeepAlive),
            Event::new("data: o\n\n", EventKind::Other),
            finish,
            Event::new("data: u\n\n", EventKind::Usage),
        ];
        let (outs, _) = run(pets(Hold::Declared), events);
        assert_eq!(counts(&outs), [0, 1, 0, 3, 1, 0]);
        assert_eq!(text(&outs, TEXT), "c");
    }

    #[test]
    fn blocks_are_put_together_apart_from_each_other() {
        let events = vec![
            event(&[(TEXT, "c"), (ARGUMENTS, "c")]),
            event(&[(ARGUMENTS, "at"), (TEXT, "ow")]),
            event(&[(TEXT, "!")]),
        ];
        let (outs, _) = run(pets(Hold::Declared), events);
        assert_eq!((text(&outs, TEXT).as_str(), text(&outs, ARGUMENTS).as_str()), ("cow!", "DOG\\\""));
    }

    #[test]
    fn a_denial_ends_the_stream_before_the_text_goes_out() {
        let (outs, verdict) = run(pets(Hold::Declared), ["fine, b", "ad"].map(say).to_vec());
        assert!(matches!(verdict, StreamVerdict::Deny(_)));
        assert_eq!(text(&outs, TEXT), "");
    }

    #[test]
    fn holding_by_sentence_or_to_the_end_waits_for_them() {
        let events = ["It is 3.5", " m long. And", " it is", " red.\n", "So"].map(say).to_vec();
        let (outs, _) = run(pets(Hold::Sentence), events.clone());
        assert_eq!(counts(&outs), [0, 1, 0, 3, 0, 1]);
        let (outs, _) = run(pets(Hold::All), events);
        assert_eq!(counts(&outs), [0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn holding_more_than_the_limit_is_a_fault() {
        let stage = Windows::new(Pets, Hold::All, 100);
        let (_, verdict) = run(stage, vec![say("0123456789"); 20]);
        assert!(matches!(verdict, StreamVerdict::Fault(_)));
    }

    #[test]
    fn a_judge_that_holds_text_at_the_end_is_a_fault() {
        struct Miser;
        impl WindowJudge for Miser {
            fn window<'a>(&'a mut self, _: Block, _: &'a str, _: bool) -> WindowFlow<'a> {
                WindowFlow::Done(Window::pass(0))
            }
        }
        let (outs, verdict) = run(Windows::new(Miser, Hold::Declared, HELD_LIMIT), vec![say("text")]);
        assert!(matches!(verdict, StreamVerdict::Fault(_)));
        assert_eq!(counts(&outs), [0, 0]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_text_of_the_whole(
            pieces in prop::collection::vec(("[catxzé b]{0,4}", 0..2u32), 0..24),
            hold in prop_oneof![Just(Hold::Declared), Just(Hold::Sentence), Just(Hold::All)],
            slow: bool,
        ) {
            let block = |n: u32| if n == 0 { TEXT } else { ARGUMENTS };
            let events: Vec<Event> = pieces.iter().map(|(piece, n)| event(&[(block(*n), piece)])).collect();
            let (outs, verdict) = if slow {
                run(Windows::new(Slow(Pets), hold, HELD_LIMIT), events)
            } else {
                run(pets(hold), events)
            };
            prop_assert!(matches!(verdict, StreamVerdict::Continue), "{verdict:?}");
            prop_assert_eq!(outs.iter().flatten().count(), pieces.len());
            for n in 0..2 {
                let whole: String = pieces.iter().filter(|(_, m)| *m == n).map(|(piece, _)| piece.as_str()).collect();
                let (cat, x, z) = (if n == 0 { "DOG\"" } else { "DOG\\\"" }, "", "!z");
                let want = whole.replace("cat", cat).replace('x', x).replace('z', z);
                prop_assert_eq!(text(&outs, block(n)), want);
            }
        }

        #[test]
        fn nothing_goes_out_before_it_is_passed(
            pieces in prop::collection::vec("[a-c é]{0,6}", 1..24),
            steps in prop::collection::vec(0..12usize, 64),
        ) {
            struct Steps(std::sync::Arc<std::sync::atomic::AtomicUsize>, std::vec::IntoIter<usize>);
            impl WindowJudge for Steps {
                fn window<'a>(&'a mut self, _: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
                    let step = self.1.next().unwrap_or(0);
                    let most = if last { text.len() } else { step.min(text.len()) };
                    let passed = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                    self.0.fetch_add(passed, std::sync::atomic::Ordering::Relaxed);
                    WindowFlow::Done(Window::pass(passed))
                }
            }
            let passed = std::sync::Arc::default();
            let judge = Steps(std::sync::Arc::clone(&passed), steps.into_iter());
            let mut stage = Windows::new(judge, Hold::Declared, HELD_LIMIT);
            let mut out = Vec::new();
            for piece in &pieces {
                match stage.event(say(piece), &mut out) {
                    Flow::Done(_) => {}
                    Flow::Wait(flow) => { block_on(flow); }
                }
                let released: usize = out.iter().map(|event| event.deltas[0].text.value.len()).sum();
                prop_assert!(released <= passed.load(std::sync::atomic::Ordering::Relaxed));
            }
        }
    }
}
