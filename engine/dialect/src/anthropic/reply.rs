//! Whole replies of Anthropic's API to messages.

use super::{ANSWER, blocks};
use crate::ReplySummary;
use crate::scan::{Next, Scan, Scanned, set_count};
use bytestring::ByteString;
use weir_message::{Choice, Finish, Operation, Part, Reply, ReplyBody, Text, TextForm, Usage};

/// Reads all of a reply.
pub(crate) fn decode(reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
    let mut said = Said::default();
    said.read(whole, true)?;
    let summary = said.summary(operation);
    reply.body = match operation {
        Operation::Chat => ReplyBody::Choices(vec![said.choice()]),
        Operation::Count => ReplyBody::Count(said.counted),
        _ => ReplyBody::Opaque,
    };
    reply.usage = summary.usage.or(reply.usage);
    reply.model = summary.model.or(reply.model.take());
    reply.id = summary.id.or(reply.id.take());
    Ok(())
}

/// Reads usage, model and the reason to stop.
pub(crate) fn summary(operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
    let mut said = Said::default();
    said.read(whole, false)?;
    Ok(said.summary(operation))
}

/// What a message says.
#[derive(Default)]
struct Said {
    id: Option<ByteString>,
    model: Option<ByteString>,
    parts: Vec<Part>,
    end: End,
    spent: Option<Spent>,
    /// `input_tokens` of a count.
    counted: u64,
}

impl Said {
    fn read(&mut self, whole: &ByteString, with_content: bool) -> Scanned<()> {
        let mut scan = Scan::all(whole)?;
        scan.object(
            &[
                "id",
                "model",
                "content",
                "stop_reason",
                "stop_sequence",
                "stop_details",
                "usage",
                "input_tokens",
            ],
            |scan, field, _| {
                match (field, scan.next()?) {
                    ("id", Next::String) => self.id = Some(shared(scan)?),
                    ("model", Next::String) => self.model = Some(shared(scan)?),
                    ("content", Next::Array) if with_content => {
                        blocks::content(scan, &mut self.parts)?;
                    }
                    ("usage", Next::Object) => {
                        let mut spent = Spent::default();
                        spent.read(scan)?;
                        self.spent = Some(spent);
                    }
                    ("input_tokens", _) => set_count(scan, &mut self.counted)?,
                    _ => self.end.field(scan, field)?,
                }
                Ok(())
            },
        )?;
        scan.end()
    }

    fn summary(&self, operation: Operation) -> ReplySummary {
        let counts = operation == Operation::Count;
        ReplySummary {
            // Counting spends nothing.
            usage: if counts { Some(Usage::default()) } else { self.spent.map(Spent::usage) },
            model: self.model.clone(),
            id: self.id.clone(),
            finish: self.end.why,
        }
    }

    /// The message as the one choice that there is. A call of the tool that takes an answer in a form is that answer.
    fn choice(self) -> Choice {
        let mut finish = self.end.why;
        let mut parts: Vec<Part> = self.parts;
        let mut is_answered = false;
        for part in &mut parts {
            if let Part::ToolCall(call) = part
                && call.name == ANSWER
            {
                is_answered = true;
                *part = Part::Text(call.arguments.clone());
            }
        }
        let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        if is_answered && !calls && finish == Some(Finish::ToolCalls) {
            finish = Some(Finish::Stop);
        }
        parts.extend(self.end.refusal.map(Part::Refusal));
        Choice { index: 0, parts, finish, stop: self.end.sequence }
    }
}

/// What a `stop_reason` means.
pub(crate) fn finish(stop_reason: &str) -> Finish {
    match stop_reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::ContentFilter,
        "pause_turn" => Finish::Paused,
        _ => Finish::Other,
    }
}

/// Why a message ends.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub(crate) why: Option<Finish>,
    /// The stop sequence.
    pub(crate) sequence: Option<ByteString>,
    /// Why the model declines.
    pub(crate) refusal: Option<Text>,
}

impl End {
    /// Reads one of its fields; any other is passed over.
    pub(crate) fn field(&mut self, scan: &mut Scan<'_>, field: &str) -> Scanned<()> {
        match (field, scan.next()?) {
            ("stop_reason", Next::String) => {
                self.why = Some(finish(scan.string()?.inner));
            }
            ("stop_sequence", Next::String) => self.sequence = Some(shared(scan)?),
            ("stop_details", Next::Object) => {
                scan.object(&["explanation"], |scan, field, _| {
                    match (field, scan.next()?) {
                        ("explanation", Next::String) => {
                            let lit = scan.string()?;
                            self.refusal = Some(scan.text(&lit, TextForm::Plain)?);
                        }
                        _ => {
                            scan.skip()?;
                        }
                    }
                    Ok(())
                })?;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    }
}

/// `usage`, by Anthropic's classes: they do not overlap. In streams a later one tells only what it knows better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    input: u64,
    cache_write: u64,
    cache_read: u64,
    output: u64,
    thinking: u64,
}

impl Spent {
    pub(crate) fn read(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        scan.object(
            &[
                "input_tokens",
                "cache_creation_input_tokens",
                "cache_read_input_tokens",
                "output_tokens",
                "output_tokens_details",
            ],
            |scan, field, _| match (field, scan.next()?) {
                ("input_tokens", _) => set_count(scan, &mut self.input),
                ("cache_creation_input_tokens", _) => set_count(scan, &mut self.cache_write),
                ("cache_read_input_tokens", _) => set_count(scan, &mut self.cache_read),
                ("output_tokens", _) => set_count(scan, &mut self.output),
                ("output_tokens_details", Next::Object) => scan
                    .object(&["thinking_tokens"], |scan, field, _| match field {
                        "thinking_tokens" => set_count(scan, &mut self.thinking),
                        _ => scan.skip().map(|_| ()),
                    })
                    .map(|_| ()),
                _ => scan.skip().map(|_| ()),
            },
        )?;
        Ok(())
    }

    /// In classes of which the input holds what was read from and written to the cache.
    pub(crate) fn usage(self) -> Usage {
        Usage {
            input: self.input.saturating_add(self.cache_read).saturating_add(self.cache_write),
            cached_input: self.cache_read,
            cache_write: self.cache_write,
            output: self.output,
            reasoning: self.thinking,
            ..Usage::default()
        }
    }
}

fn shared(scan: &mut Scan<'_>) -> Scanned<ByteString> {
    let lit = scan.string()?;
    scan.shared(&lit)
}
