//! A scripted answer in the words of a provider of another dialect.

use super::Act;
use crate::case::{EntrySpec, PieceSpec};
use bytes::Bytes;
use weir_dialect::{ErrorBody, Identity, StreamDecoder, WireFormat, error_body, translate_reply};
use weir_message::{Dialect, Event, Operation, Reply};

/// Whether a script's answer is told in its own bytes, which no dialect changes.
pub(super) fn is_raw(entry: &EntrySpec) -> bool {
    let is_raw = |piece: &PieceSpec| matches!(piece, PieceSpec::Other(_));
    entry.body.is_some() || entry.events.as_ref().is_some_and(|events| events.iter().all(is_raw))
}

/// The acts of an answer of OpenAI's, told in another dialect.
pub(super) fn translated(acts: Vec<Act>, dialect: Dialect) -> Vec<Act> {
    let from = WireFormat { dialect: Dialect::OpenAi, operation: Operation::Chat };
    let to = WireFormat { dialect, ..from };
    let identity = Identity { id: "scripted".to_owned(), ..Identity::default() };
    let mut decoder = StreamDecoder::translating(from, to, identity.clone());
    let (mut status, mut streams) = (200, false);
    let mut out = Vec::with_capacity(acts.len());
    let text = |bytes: &[u8]| Act::Data(String::from_utf8_lossy(bytes).into_owned());
    for act in acts {
        match act {
            Act::Head { status: now, headers } => {
                status = now;
                streams = headers.iter().any(|(_, value)| value.starts_with("text/event-stream"));
                out.push(Act::Head { status, headers });
            }
            Act::Data(data) if streams => {
                let Some(decoder) = &mut decoder else { continue };
                decoder.push(Bytes::from(data));
                let events = std::iter::from_fn(|| decoder.next_event().ok().flatten());
                out.extend(events.map(|event: Event| text(&event.outgoing())));
            }
            Act::Data(_) if status >= 400 => {
                let message = format!("scripted error {status}");
                let error = ErrorBody {
                    status,
                    code: "scripted",
                    kind: "scripted",
                    message: &message,
                    param: None,
                    request_id: "scripted",
                };
                out.push(text(&error_body(dialect, &error)));
            }
            Act::Data(data) => {
                let reply = translate_reply(Reply::new(status, data.clone()), from, to, &identity);
                out.push(reply.map_or(Act::Data(data), |reply| text(&reply.raw)));
            }
            other => out.push(other),
        }
    }
    out
}
