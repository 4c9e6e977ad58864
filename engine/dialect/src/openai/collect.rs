//! A stream's events put together to one whole reply.

use super::encode::quoted;
use super::stream::{Chunk, Stream, Want};
use crate::scan::Flaw;
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::fmt::Write;
use weir_message::{BlockKind, Event, EventKind, Operation};

/// What a stream said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    stream: Stream,
    choices: BTreeMap<u32, Said>,
}

#[derive(Clone, Debug, Default)]
struct Said {
    text: String,
    has_text: bool,
    refusal: String,
    reasoning: String,
    calls: BTreeMap<u32, Call>,
    /// As spelt (JSON).
    finish: Option<ByteString>,
}

#[derive(Clone, Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Collected {
    /// Adds an event as it is sent. Returns about how many bytes it keeps.
    pub(crate) fn push(&mut self, event: &Event) -> Result<usize, Flaw> {
        if !matches!(event.kind, EventKind::Content | EventKind::Usage) {
            return Ok(0);
        }
        let raw = event.outgoing();
        let chunk = crate::stream::chunk(&raw, &crate::sse::fields(&raw), Want::All)?;
        Ok(self.add(chunk))
    }

    fn add(&mut self, chunk: Chunk) -> usize {
        // Each of these may open an entry of its own, so none is free.
        let mut added = 64 * (chunk.calls.len() + chunk.deltas.len() + chunk.ends.len());
        let keep = |mine: &mut Option<ByteString>, theirs: Option<ByteString>| {
            if mine.is_none() {
                *mine = theirs;
            }
        };
        keep(&mut self.stream.id, chunk.stream.id);
        keep(&mut self.stream.model, chunk.stream.model);
        keep(&mut self.stream.created, chunk.stream.created);
        if chunk.stream.usage.is_some() {
            self.stream.usage = chunk.stream.usage;
        }
        for call in chunk.calls {
            let mine = self.choices.entry(call.choice).or_default().calls.entry(call.index).or_default();
            if let Some(id) = call.id {
                mine.id = id.to_string();
            }
            if let Some(name) = call.name {
                mine.name = name.to_string();
            }
        }
        for delta in chunk.deltas {
            let said = self.choices.entry(delta.block.choice).or_default();
            let text = delta.text.as_str();
            added += text.len();
            match delta.block.kind {
                BlockKind::Text => {
                    said.has_text = true;
                    said.text.push_str(text);
                }
                BlockKind::Refusal => said.refusal.push_str(text),
                BlockKind::Reasoning => said.reasoning.push_str(text),
                BlockKind::Arguments => {
                    said.calls.entry(delta.block.index).or_default().arguments.push_str(text);
                }
            }
        }
        for (choice, finish) in chunk.ends {
            self.choices.entry(choice).or_default().finish = Some(finish);
        }
        added
    }

    /// The body of the whole reply.
    pub(crate) fn body(&self, operation: Operation) -> Bytes {
        let is_chat = operation != Operation::Completion;
        let or_null = |spelt: &Option<ByteString>, or: &str| {
            spelt.as_ref().map_or_else(|| or.to_owned(), ToString::to_string)
        };
        let mut out = format!(
            r#"{{"id":{},"object":"{}","created":{},"model":{},"choices":["#,
            or_null(&self.stream.id, r#""""#),
            if is_chat { "chat.completion" } else { "text_completion" },
            or_null(&self.stream.created, "0"),
            or_null(&self.stream.model, r#""""#),
        );
        for (n, (index, said)) in self.choices.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            // Writing to a string cannot fail.
            let _ = write!(out, r#"{{"index":{index},"#);
            if is_chat {
                said.message(&mut out);
            } else {
                let _ = write!(out, r#""text":{}"#, quoted(&said.text));
            }
            let _ = write!(out, r#","logprobs":null,"finish_reason":{}}}"#, or_null(&said.finish, "null"));
        }
        out.push(']');
        if let Some(usage) = &self.stream.usage {
            let _ = write!(out, r#","usage":{usage}"#);
        }
        out.push('}');
        Bytes::from(out)
    }
}

impl Said {
    fn message(&self, out: &mut String) {
        out.push_str(r#""message":{"role":"assistant","content":"#);
        let is_silent = !self.has_text && (!self.calls.is_empty() || !self.refusal.is_empty());
        out.push_str(&if is_silent { "null".to_owned() } else { quoted(&self.text) });
        let refusal = if self.refusal.is_empty() { "null".to_owned() } else { quoted(&self.refusal) };
        let _ = write!(out, r#","refusal":{refusal}"#);
        if !self.reasoning.is_empty() {
            let _ = write!(out, r#","reasoning_content":{}"#, quoted(&self.reasoning));
        }
        for (n, call) in self.calls.values().enumerate() {
            out.push_str(if n == 0 { r#","tool_calls":["# } else { "," });
            let _ = write!(
                out,
                r#"{{"id":{},"type":"function","function":{{"name":{},"arguments":{}}}}}"#,
                quoted(&call.id),
                quoted(&call.name),
                quoted(&call.arguments)
            );
        }
        if !self.calls.is_empty() {
            out.push(']');
        }
        out.push('}');
    }
}
