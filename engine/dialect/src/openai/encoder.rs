//! Events of a stream that Weir itself writes.

use super::encode::{finish, quoted, spelt_or, usage};
use super::stream::{Stream, Want};
use crate::ErrorBody;
use bytes::Bytes;
use weir_message::{
    Block, BlockKind, Choice, Delta, Event, EventKind, Finish, Operation, Part, Text, TextForm, Usage,
};

/// The longest piece of text put into one event, in bytes.
const PIECE: usize = 4096;

/// Writes events as the stream's own look.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    operation: Operation,
    stream: Stream,
    id: String,
    model: String,
    created: u64,
    is_learnt: bool,
}

impl Encoder {
    pub(crate) fn new(operation: Operation, id: &str, model: &str, created: u64) -> Self {
        Self {
            operation,
            stream: Stream::default(),
            id: id.to_owned(),
            model: model.to_owned(),
            created,
            is_learnt: false,
        }
    }

    /// Takes id, model and time from the first event that has them.
    pub(crate) fn learn(&mut self, event: &Event) {
        if self.is_learnt || !matches!(event.kind, EventKind::Content | EventKind::Usage) {
            return;
        }
        if let Ok(chunk) = crate::stream::chunk(&event.raw, &crate::sse::fields(&event.raw), Want::All)
            && chunk.stream.id.is_some()
        {
            self.stream = chunk.stream;
            self.is_learnt = true;
        }
    }

    fn chunk(&self, choices: &str, more: &str) -> (Bytes, usize) {
        let object =
            if self.operation == Operation::Completion { "text_completion" } else { "chat.completion.chunk" };
        let head = format!(
            r#"data: {{"id":{},"object":"{object}","created":{},"model":{},"choices":["#,
            spelt_or(self.stream.id.as_ref(), &self.id),
            self.stream.created.as_ref().map_or_else(|| self.created.to_string(), ToString::to_string),
            spelt_or(self.stream.model.as_ref(), &self.model),
        );
        let at = head.len();
        (Bytes::from(format!("{head}{choices}]{more}}}\n\n")), at)
    }

    fn content(&self, choices: &str) -> Event {
        Event::new(self.chunk(choices, "").0, EventKind::Content)
    }

    /// The first event of a choice.
    pub(crate) fn role(&self, choice: u32) -> Event {
        self.content(&format!(
            r#"{{"index":{choice},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}"#
        ))
    }

    /// A piece of a block's text.
    pub(crate) fn text(&self, block: Block, text: &str) -> Event {
        let Block { choice, kind, index } = block;
        let open = match (self.operation, kind) {
            (Operation::Completion, _) => format!(r#"{{"index":{choice},"text":"#),
            (_, BlockKind::Text) => format!(r#"{{"index":{choice},"delta":{{"content":"#),
            (_, BlockKind::Reasoning) => format!(r#"{{"index":{choice},"delta":{{"reasoning_content":"#),
            (_, BlockKind::Refusal) => format!(r#"{{"index":{choice},"delta":{{"refusal":"#),
            (_, BlockKind::Arguments) => {
                format!(
                    r#"{{"index":{choice},"delta":{{"tool_calls":[{{"index":{index},"function":{{"arguments":"#
                )
            }
        };
        let close = match (self.operation, kind) {
            (Operation::Completion, _) => r#","logprobs":null,"finish_reason":null}"#,
            (_, BlockKind::Arguments) => r#"}}]},"logprobs":null,"finish_reason":null}"#,
            _ => r#"},"logprobs":null,"finish_reason":null}"#,
        };
        let literal = quoted(text);
        let (raw, at) = self.chunk(&format!("{open}{literal}{close}"), "");
        let start = at + open.len();
        let form = if kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
        let mut event = Event::new(raw, EventKind::Content);
        if !text.is_empty() {
            let place = crate::scan::place(start..start + literal.len());
            event.deltas.push(Delta { block, text: Text::at(text.into(), place, form) });
        }
        event
    }

    /// The beginning of a tool call.
    pub(crate) fn call(&self, choice: u32, index: u32, id: &str, name: &str) -> Event {
        self.content(&format!(
            r#"{{"index":{choice},"delta":{{"tool_calls":[{{"index":{index},"id":{},"type":"function","function":{{"name":{},"arguments":""}}}}]}},"logprobs":null,"finish_reason":null}}"#,
            quoted(id),
            quoted(name)
        ))
    }

    /// The end of a choice.
    pub(crate) fn finish(&self, choice: u32, why: Finish) -> Event {
        let empty = if self.operation == Operation::Completion { r#""text":"""# } else { r#""delta":{}"# };
        let mut event = self.content(&format!(
            r#"{{"index":{choice},{empty},"logprobs":null,"finish_reason":{}}}"#,
            finish(why)
        ));
        event.finish = Some(why);
        event
    }

    /// Usage, in an event of its own.
    pub(crate) fn usage(&self, spent: &Usage) -> Event {
        let mut event =
            Event::new(self.chunk("", &format!(r#","usage":{}"#, usage(spent))).0, EventKind::Usage);
        event.usage = Some(*spent);
        event
    }

    /// An error told inside the stream.
    pub(crate) fn error(&self, error: &ErrorBody<'_>) -> Event {
        let body = super::encode::error_body(error);
        let mut raw = Vec::with_capacity(body.len() + 8);
        raw.extend_from_slice(b"data: ");
        raw.extend_from_slice(&body);
        raw.extend_from_slice(b"\n\n");
        Event::new(raw, EventKind::Error)
    }

    /// The stream's end.
    pub(crate) fn done(&self) -> Event {
        Event::new(Bytes::from_static(b"data: [DONE]\n\n"), EventKind::Done)
    }

    /// All events of one choice of a whole reply.
    pub(crate) fn choice(&self, choice: &Choice, out: &mut Vec<Event>) {
        let number = choice.index;
        if self.operation == Operation::Chat {
            out.push(self.role(number));
        }
        let mut calls = 0u32;
        for part in &choice.parts {
            let mut pieces = |kind, index, text: &Text| {
                let block = Block { choice: number, kind, index };
                out.extend(pieces(text.as_str()).map(|piece| self.text(block, piece)));
            };
            match part {
                Part::Text(text) => pieces(BlockKind::Text, 0, text),
                Part::Refusal(text) => pieces(BlockKind::Refusal, 0, text),
                Part::Reasoning(text) => pieces(BlockKind::Reasoning, 0, text),
                Part::ToolCall(call) => {
                    out.push(self.call(number, calls, &call.id, &call.name));
                    let block = Block { choice: number, kind: BlockKind::Arguments, index: calls };
                    out.extend(self::pieces(call.arguments.as_str()).map(|piece| self.text(block, piece)));
                    calls += 1;
                }
                Part::ToolResult(_) | Part::Other { .. } => {}
            }
        }
        out.push(self.finish(number, choice.finish.unwrap_or(Finish::Stop)));
    }
}

/// A text in pieces of bounded size, cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, behind) = rest.split_at_checked(rest.floor_char_boundary(PIECE)).unwrap_or((rest, ""));
        rest = behind;
        Some(piece)
    })
}
