//! Windows over streams: what is held, what goes out, where edits land.

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
