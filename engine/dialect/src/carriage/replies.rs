//! Features of replies.

use super::{Fate, label};
use crate::collect::pieces_of;
use crate::wire::wire;
use crate::{
    Collector, Identity, Piece, StreamDecoder, StreamEncoder, WireFormat, decode_reply, translate_reply,
};
use bytes::Bytes;
use weir_message::{
    Choice, Citation, Finish, Part, Reasoning, Reply, ReplyBody, Text, TextForm, ToolCall, Usage,
};

/// A feature: put into a reply, and looked for in what arrives.
struct Feature {
    name: &'static str,
    add: fn(&mut Choice, &mut Usage),
    arrives: fn(&Reply) -> bool,
}

pub(super) fn names() -> Vec<&'static str> {
    FEATURES.iter().map(|feature| feature.name).collect()
}

/// What becomes of a feature on its way from one format to another, whole and streamed alike.
pub(super) fn fate(n: usize, from: WireFormat, to: WireFormat) -> Fate {
    let feature = &FEATURES[n];
    let way = || format!("{} {} → {}", feature.name, label(from), label(to));
    let mut choice = Choice { index: 0, parts: vec![words("hello")], finish: Some(Finish::Stop), stop: None };
    let mut usage = Usage { input: 100, output: 50, ..Usage::default() };
    (feature.add)(&mut choice, &mut usage);
    let mut said = Reply::new(200, "");
    said.body = ReplyBody::Choices(vec![choice.clone()]);
    said.usage = Some(usage);
    let written = wire(from.dialect).unwrap().encode_reply(&said, from.operation, &identity());
    let mut own = Reply::new(200, written);
    decode_reply(&mut own, from.dialect, from.operation)
        .unwrap_or_else(|fault| panic!("{}: {fault:?}", way()));
    if !(feature.arrives)(&own) {
        return Fate::Unsaid;
    }
    own.body = ReplyBody::Unread;
    let mut whole = translate_reply(own, from, to, &identity()).unwrap();
    decode_reply(&mut whole, to.dialect, to.operation).unwrap_or_else(|fault| panic!("{}: {fault:?}", way()));
    let streamed = streamed(&choice, usage, from, to);
    // A refusal in a dialect that knows none is words.
    let as_words = |reply: &Reply| feature.name == REFUSAL && reply.text() == "no";
    match ((feature.arrives)(&whole), (feature.arrives)(&streamed)) {
        (true, true) => Fate::Carried,
        (false, false) if as_words(&whole) && as_words(&streamed) => Fate::Emulated,
        (false, false) => Fate::NoPlace,
        (whole, _) => panic!("{}: whole {whole}, streamed {}", way(), !whole),
    }
}

fn identity() -> Identity {
    Identity { id: "i".into(), model: "m".into(), created: 1, ..Identity::default() }
}

/// The same reply as a stream of the provider, written anew for the client and put together.
fn streamed(choice: &Choice, usage: Usage, from: WireFormat, to: WireFormat) -> Reply {
    let mut provider = StreamEncoder::new(from.dialect, from.operation, identity());
    let mut pieces = vec![Piece::Start { id: Some("i".into()), model: Some("m".into()), created: Some(1) }];
    pieces_of(choice, &mut pieces);
    pieces.extend([Piece::Usage(usage), Piece::Done]);
    let mut bytes = Vec::new();
    for piece in pieces {
        for event in provider.write(piece) {
            bytes.extend_from_slice(&provider.send(&event));
        }
    }
    let mut decoder = StreamDecoder::translating(from, to, identity()).unwrap();
    decoder.push(Bytes::from(bytes));
    let mut collector = Collector::new(to.dialect, to.operation, 1 << 20);
    while let Some(event) = decoder.next_event().unwrap() {
        collector.push(&event).unwrap();
    }
    decoder.finish().unwrap().last.iter().for_each(|event| collector.push(event).unwrap());
    collector.finish().unwrap()
}

fn words(text: &'static str) -> Part {
    Part::Text(Text::added(text))
}

fn call(id: &'static str, who: &'static str) -> Part {
    let arguments = Text { form: TextForm::Json, ..Text::added(format!(r#"{{"who":"{who}"}}"#)) };
    Part::ToolCall(ToolCall { id: id.into(), name: "look".into(), arguments, signature: None })
}

fn parts(reply: &Reply) -> impl Iterator<Item = &Part> {
    reply.choices().iter().flat_map(|choice| &choice.parts)
}

fn calls(reply: &Reply) -> Vec<String> {
    let said = |part: &Part| match part {
        Part::ToolCall(call) => Some(call.arguments.as_str().replace(' ', "")),
        _ => None,
    };
    parts(reply).filter_map(said).collect()
}

fn spent(reply: &Reply) -> Usage {
    reply.usage.unwrap_or_default()
}

const REFUSAL: &str = "refusal";

const FEATURES: &[Feature] = &[
    Feature { name: "words", add: |_, _| {}, arrives: |reply| reply.text() == "hello" },
    Feature {
        name: "reasoning",
        add: |choice, _| choice.parts.insert(0, Part::Reasoning(Text::added("hm").into())),
        arrives: |reply| {
            parts(reply).any(|part| matches!(part, Part::Reasoning(said) if said.text.as_str() == "hm"))
        },
    },
    Feature {
        name: "signature of reasoning",
        add: |choice, _| {
            let reasoning = Reasoning { text: Text::added("hm"), signature: Some("c2ln".into()) };
            choice.parts.insert(0, Part::Reasoning(reasoning));
        },
        arrives: |reply| {
            parts(reply).any(|part| matches!(part, Part::Reasoning(said) if said.signature.is_some()))
        },
    },
    Feature {
        name: "sealed reasoning",
        add: |choice, _| choice.parts.insert(0, Part::Sealed("c2VhbGVk".into())),
        arrives: |reply| parts(reply).any(|part| matches!(part, Part::Sealed(_))),
    },
    Feature {
        name: REFUSAL,
        add: |choice, _| choice.parts = vec![Part::Refusal(Text::added("no"))],
        arrives: |reply| {
            parts(reply).any(|part| matches!(part, Part::Refusal(said) if said.as_str() == "no"))
        },
    },
    Feature {
        name: "a tool call",
        add: |choice, _| {
            choice.parts = vec![call("c1", "bob")];
            choice.finish = Some(Finish::ToolCalls);
        },
        arrives: |reply| calls(reply) == [r#"{"who":"bob"}"#] && reply.finish() == Some(Finish::ToolCalls),
    },
    Feature {
        name: "words and parallel tool calls",
        add: |choice, _| {
            choice.parts.extend([call("c1", "bob"), call("c2", "eve")]);
            choice.finish = Some(Finish::ToolCalls);
        },
        arrives: |reply| reply.text() == "hello" && calls(reply) == [r#"{"who":"bob"}"#, r#"{"who":"eve"}"#],
    },
    Feature {
        name: "citations",
        add: |choice, _| {
            choice.parts.push(Part::Citation(Citation {
                title: Some("A".into()),
                url: Some("https://example.com/a".into()),
                quote: Some("hello".into()),
                span: Some(0..5),
                ..Citation::default()
            }));
        },
        arrives: |reply| {
            parts(reply).any(|part| matches!(part, Part::Citation(said) if said.url.as_deref() == Some("https://example.com/a")))
        },
    },
    Feature {
        name: "cut at the most tokens",
        add: |choice, _| choice.finish = Some(Finish::Length),
        arrives: |reply| reply.finish() == Some(Finish::Length),
    },
    Feature {
        name: "stopped by a content filter",
        add: |choice, _| choice.finish = Some(Finish::ContentFilter),
        arrives: |reply| reply.finish() == Some(Finish::ContentFilter),
    },
    Feature {
        name: "tokens in and out",
        add: |_, _| {},
        arrives: |reply| (spent(reply).input, spent(reply).output) == (100, 50),
    },
    Feature {
        name: "tokens read from the prompt cache",
        add: |_, usage| usage.cached_input = 60,
        arrives: |reply| (spent(reply).input, spent(reply).cached_input) == (100, 60),
    },
    Feature {
        name: "tokens written to the prompt cache",
        add: |_, usage| usage.cache_write = 30,
        arrives: |reply| (spent(reply).input, spent(reply).cache_write) == (100, 30),
    },
    Feature {
        name: "tokens of reasoning",
        add: |_, usage| usage.reasoning = 20,
        arrives: |reply| (spent(reply).output, spent(reply).reasoning) == (50, 20),
    },
];
