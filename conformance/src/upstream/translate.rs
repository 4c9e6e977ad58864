//! A scripted answer in the words of a provider of another format.

use super::Act;
use crate::case::{EntrySpec, PieceSpec};
use crate::frames;
use bytes::Bytes;
use weir_dialect::{
    EVENT_STREAM, ErrorBody, Identity, StreamDecoder, WireFormat, error_body, error_headers, translate_reply,
};
use weir_message::{Dialect, Event, Operation, Reply};

/// Whether a script's answer is told in its own bytes, which no dialect changes.
pub(super) fn is_raw(entry: &EntrySpec) -> bool {
    let is_raw = |piece: &PieceSpec| matches!(piece, PieceSpec::Other(_));
    entry.body.is_some() || entry.events.as_ref().is_some_and(|events| events.iter().all(is_raw))
}

/// The media type of a provider's streams.
pub(super) fn stream_type(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Bedrock { frames::MEDIA_TYPE } else { EVENT_STREAM }
}

/// The acts of an answer of OpenAI's, told in another format.
pub(super) fn translated(acts: Vec<Act>, to: WireFormat) -> Vec<Act> {
    let from = WireFormat { dialect: Dialect::OpenAi, operation: Operation::Chat };
    let identity = Identity { id: "scripted".to_owned(), ..Identity::default() };
    let mut decoder = StreamDecoder::translating(from, to, identity.clone());
    let (mut status, mut streams) = (200, false);
    let mut out = Vec::with_capacity(acts.len());
    let piece = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Act::Data(text.to_owned()),
        Err(_) => Act::Binary(bytes.to_owned()),
    };
    for act in acts {
        match act {
            Act::Head { status: now, mut headers } => {
                status = now;
                for (_, value) in headers.iter_mut().filter(|(_, value)| value.starts_with(EVENT_STREAM)) {
                    streams = true;
                    stream_type(to.dialect).clone_into(value);
                }
                if status >= 400 {
                    let told = error_headers(to.dialect, &scripted(status, "")).into_iter();
                    headers.extend(told.filter_map(|(name, value)| {
                        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
                    }));
                }
                out.push(Act::Head { status, headers });
            }
            Act::Data(data) if streams => {
                let Some(decoder) = &mut decoder else { continue };
                decoder.push(Bytes::from(data));
                let events = std::iter::from_fn(|| decoder.next_event().ok().flatten());
                out.extend(events.map(|event: Event| piece(&event.outgoing())));
            }
            Act::Data(_) if status >= 400 => {
                let message = format!("scripted error {status}");
                out.push(piece(&error_body(to.dialect, &scripted(status, &message))));
            }
            Act::Data(data) => {
                let reply = translate_reply(Reply::new(status, data.clone()), from, to, &identity);
                out.push(reply.map_or(Act::Data(data), |reply| piece(&reply.raw)));
            }
            other => out.push(other),
        }
    }
    out
}

/// A scripted error.
fn scripted(status: u16, message: &str) -> ErrorBody<'_> {
    let (code, kind, request_id) = ("scripted", "scripted", "scripted");
    ErrorBody { status, code, kind, message, param: None, request_id }
}
