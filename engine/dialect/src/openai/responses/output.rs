//! The output of a response as far as it is made, and as JSON.

use super::item::{BEHIND_SUMMARIES, Form, Item};
use super::place_of;
use crate::compose::{Array, Object};
use crate::sse::Sse;
use bytestring::ByteString;
use std::collections::BTreeMap;
use weir_message::{Block, BlockKind, Citation, Finish, Part, TextForm, Usage};

/// Items by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    pub(super) entries: BTreeMap<u32, Entry>,
    /// How many bytes of text it holds.
    held: usize,
}

/// What an item says, by the numbers of its parts.
type Parts = BTreeMap<(u32, BlockKind), Words>;

/// An item.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: ByteString,
    pub(super) shape: Shape,
    /// What it says, by the numbers of its parts.
    pub(super) words: Parts,
    pub(super) stand: Stand,
}

/// What an item is.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Message,
    Reasoning {
        sealed: Option<ByteString>,
    },
    Call {
        id: ByteString,
        name: ByteString,
        is_custom: bool,
    },
    /// Something else, as it stands (JSON).
    Other(ByteString),
}

/// A part.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) citations: Vec<Citation>,
    pub(super) is_done: bool,
}

impl Entry {
    pub(super) fn new(id: impl Into<ByteString>, shape: Shape) -> Self {
        Self { id: id.into(), shape, words: BTreeMap::new(), stand: Stand::InProgress }
    }

    /// An item that a provider begins, without what it says.
    pub(super) fn begun(item: &Item) -> Self {
        let call = |is_custom| Shape::Call { id: item.call.clone(), name: item.name.clone(), is_custom };
        let shape = match item.form {
            Form::Message => Shape::Message,
            Form::Reasoning => Shape::Reasoning { sealed: item.sealed.clone() },
            Form::Call => call(false),
            Form::Custom => call(true),
            Form::Result | Form::Other => Shape::Other(item.raw.clone()),
        };
        Self::new(item.id.clone(), shape)
    }

    /// Whether it is under way.
    pub(super) fn is_open(&self) -> bool {
        self.stand == Stand::InProgress
    }

    /// Of what kind a text is that came without the item's beginning.
    pub(super) fn of_text(kind: BlockKind) -> Self {
        let shape = match kind {
            BlockKind::Text | BlockKind::Refusal => Shape::Message,
            BlockKind::Reasoning => Shape::Reasoning { sealed: None },
            BlockKind::Arguments => {
                Shape::Call { id: ByteString::new(), name: ByteString::new(), is_custom: false }
            }
        };
        Self::new("", shape)
    }
}

impl Output {
    /// The output that a whole reply's parts make. Ids are made from the reply's.
    pub(super) fn of(parts: &[Part], id: &str, stand: Stand) -> Self {
        let mut out = Self::default();
        for part in parts {
            match part {
                Part::Text(text) => out.say(id, BlockKind::Text, text.as_str()),
                Part::Refusal(text) => out.say(id, BlockKind::Refusal, text.as_str()),
                Part::Citation(citation) => {
                    if let Some((Shape::Message, words)) = out.last()
                        && let Some(words) = words.values_mut().next_back()
                    {
                        words.citations.push(citation.clone());
                    }
                }
                Part::Reasoning(reasoning) => {
                    if !matches!(out.last(), Some((Shape::Reasoning { sealed: None }, _))) {
                        out.push(id, Shape::Reasoning { sealed: None });
                    }
                    if let Some((Shape::Reasoning { sealed }, words)) = out.last() {
                        let n = u32::try_from(words.len()).unwrap_or(u32::MAX);
                        let text = reasoning.text.as_str().to_owned();
                        words.insert((n, BlockKind::Reasoning), Words { text, ..Words::default() });
                        sealed.clone_from(&reasoning.signature);
                    }
                }
                Part::Sealed(data) => {
                    out.push(id, Shape::Reasoning { sealed: Some(data.clone()) });
                }
                Part::ToolCall(call) => {
                    let is_custom = call.arguments.form == TextForm::Plain;
                    let shape = Shape::Call { id: call.id.clone(), name: call.name.clone(), is_custom };
                    let entry = out.push(id, shape);
                    let text = call.arguments.as_str().to_owned();
                    entry.words.insert((0, BlockKind::Arguments), Words { text, ..Words::default() });
                }
                Part::Other { kind, raw, .. } if is_item(kind, raw) => {
                    out.push(id, Shape::Other(raw.clone()));
                }
                Part::ToolResult(_) | Part::Media(_) | Part::CachePoint(_) | Part::Other { .. } => {}
            }
        }
        out.entries.values_mut().for_each(|entry| entry.stand = stand);
        out
    }

    fn say(&mut self, id: &str, kind: BlockKind, text: &str) {
        if !matches!(self.last(), Some((Shape::Message, _))) {
            self.push(id, Shape::Message);
        }
        if let Some((_, words)) = self.last() {
            let n = u32::try_from(words.len()).unwrap_or(u32::MAX);
            words.insert((n, kind), Words { text: text.to_owned(), ..Words::default() });
        }
    }

    fn last(&mut self) -> Option<(&mut Shape, &mut Parts)> {
        self.entries.values_mut().next_back().map(|entry| (&mut entry.shape, &mut entry.words))
    }

    /// The number of the next item.
    pub(super) fn next(&self) -> u32 {
        self.entries.keys().next_back().map_or(0, |last| last.saturating_add(1))
    }

    /// Adds an item.
    pub(super) fn push(&mut self, id: &str, shape: Shape) -> &mut Entry {
        let n = self.next();
        let prefix = match &shape {
            Shape::Message => "msg",
            Shape::Reasoning { .. } => "rs",
            Shape::Call { is_custom: false, .. } => "fc",
            Shape::Call { is_custom: true, .. } => "ctc",
            Shape::Other(_) => "item",
        };
        let id = id.strip_prefix("resp_").unwrap_or(id);
        self.entries.entry(n).or_insert(Entry::new(format!("{prefix}_{id}_{n}"), shape))
    }

    /// Adds a piece of text. What one response cannot hold anyway is not kept.
    pub(super) fn add(&mut self, block: Block, text: &str) {
        let (n, part) = place_of(block);
        let entry = self.entries.entry(n).or_insert_with(|| Entry::of_text(block.kind));
        let words = entry.words.entry((part, block.kind)).or_default();
        if self.held + text.len() <= Sse::LARGE_LIMIT {
            self.held += text.len();
            words.text.push_str(text);
        }
    }

    /// The text of a block.
    pub(super) fn text(&self, block: Block) -> &str {
        let (n, part) = place_of(block);
        let words = self.entries.get(&n).and_then(|entry| entry.words.get(&(part, block.kind)));
        words.map_or("", |words| &words.text)
    }

    /// Whether it calls tools.
    pub(super) fn has_calls(&self) -> bool {
        self.entries.values().any(|entry| matches!(entry.shape, Shape::Call { .. }))
    }
}

/// Items of the provider's own tools, and others without a form here. Other dialects have kinds of their own, which mean
/// nothing to a client of this one.
const ITEMS: &[&str] = &[
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Whether this is an item of a response as it stands.
pub(super) fn is_item(kind: &str, raw: &str) -> bool {
    !raw.is_empty() && ITEMS.contains(&kind)
}

/// Where a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    InProgress,
    /// It ended for this reason.
    Over(Finish),
}

impl Stand {
    pub(super) fn status(self) -> &'static str {
        match self {
            Stand::InProgress => "in_progress",
            Stand::Over(Finish::Length | Finish::ContentFilter) => "incomplete",
            Stand::Over(Finish::Stop | Finish::ToolCalls | Finish::Paused | Finish::Other) => "completed",
        }
    }
}

/// The fields of a response. What a client asked is not told again.
pub(super) fn response(
    o: &mut Object<'_>,
    (id, model, created): (&str, &str, u64),
    stand: Stand,
    output: &Output,
    usage: Option<Usage>,
) {
    o.string("id", id).string("object", "response").number("created_at", created);
    o.string("status", stand.status()).bool("background", false).null("error");
    match stand {
        Stand::Over(Finish::Length) => incomplete(o, "max_output_tokens"),
        Stand::Over(Finish::ContentFilter) => incomplete(o, "content_filter"),
        _ => {
            o.null("incomplete_details");
        }
    }
    o.null("instructions").null("max_output_tokens").string("model", model);
    o.array("output", |a| {
        if let Stand::Over(_) = stand {
            output.entries.values().for_each(|entry| item(a, entry));
        }
    });
    o.bool("parallel_tool_calls", true).null("previous_response_id");
    o.raw("reasoning", r#"{"effort":null,"summary":null}"#).bool("store", false).null("temperature");
    o.raw("text", r#"{"format":{"type":"text"}}"#).string("tool_choice", "auto").raw("tools", "[]");
    o.null("top_p").string("truncation", "disabled");
    match usage {
        Some(spent) => o.object("usage", |o| write_usage(o, &spent)),
        None => o.null("usage"),
    };
    o.null("user").raw("metadata", "{}");
}

fn incomplete(o: &mut Object<'_>, reason: &str) {
    o.object("incomplete_details", |o| {
        o.string("reason", reason);
    });
}

fn write_usage(o: &mut Object<'_>, usage: &Usage) {
    o.number("input_tokens", usage.input);
    o.object("input_tokens_details", |o| {
        o.number("cached_tokens", usage.cached_input).number("cache_write_tokens", usage.cache_write);
    });
    o.number("output_tokens", usage.output);
    o.object("output_tokens_details", |o| {
        o.number("reasoning_tokens", usage.reasoning);
    });
    o.number("total_tokens", usage.total());
}

/// An item of `output`.
fn item(a: &mut Array<'_>, entry: &Entry) {
    match &entry.shape {
        Shape::Other(json) => a.raw(json),
        _ => a.object(|o| fields(o, entry)),
    }
}

/// The fields of an item that is not [`Shape::Other`].
pub(super) fn fields(o: &mut Object<'_>, entry: &Entry) {
    let status = entry.stand.status();
    o.string("id", &entry.id);
    match &entry.shape {
        Shape::Message => {
            o.string("type", "message").string("status", status);
            o.array("content", |a| {
                for ((_, kind), words) in &entry.words {
                    a.object(|o| part(o, *kind, words));
                }
            });
            o.string("role", "assistant");
        }
        Shape::Reasoning { sealed } => {
            o.string("type", "reasoning");
            let texts = |is_summary: bool| {
                entry.words.iter().filter(move |((n, _), _)| (*n < BEHIND_SUMMARIES) == is_summary)
            };
            o.array("summary", |a| {
                for (_, words) in texts(true) {
                    a.object(|o| {
                        o.string("type", "summary_text").string("text", &words.text);
                    });
                }
            });
            if texts(false).next().is_some() {
                o.array("content", |a| {
                    for (_, words) in texts(false) {
                        a.object(|o| {
                            o.string("type", "reasoning_text").string("text", &words.text);
                        });
                    }
                });
            }
            o.string_if("encrypted_content", sealed.as_deref());
        }
        Shape::Call { id, name, is_custom } => {
            let (kind, field) =
                if *is_custom { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
            let text = entry.words.values().next().map_or("", |words| &words.text);
            o.string("type", kind).string("status", status).string("call_id", id);
            o.string("name", name).string(field, text);
        }
        Shape::Other(_) => {}
    }
}

/// A part of a message.
pub(super) fn part(o: &mut Object<'_>, kind: BlockKind, words: &Words) {
    if kind == BlockKind::Refusal {
        o.string("type", "refusal").string("refusal", &words.text);
        return;
    }
    o.string("type", "output_text");
    o.array("annotations", |a| words.citations.iter().for_each(|said| a.object(|o| annotation(o, said))));
    o.raw("logprobs", "[]").string("text", &words.text);
}

/// An item of `annotations`.
pub(super) fn annotation(o: &mut Object<'_>, said: &Citation) {
    let span = said.span.clone().unwrap_or_default();
    o.string("type", "url_citation").number("start_index", span.start).number("end_index", span.end);
    o.string("url", said.url.as_deref().unwrap_or_default());
    o.string("title", said.title.as_deref().unwrap_or_default());
}
