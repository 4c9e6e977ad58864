//! OpenAI's Responses API: items in, items out, and streams whose later events repeat what earlier ones told.

mod decode;
mod encoder;
mod item;
mod output;
mod reply;
mod stream;
#[cfg(test)]
mod tests;
mod walk;
mod wishes;

pub(super) use encoder::Encoder;
pub(super) use stream::Reader;

use super::decode::head_field;
use crate::Identity;
use crate::ReplySummary;
use crate::compose::object;
use crate::fields::set_head;
use crate::scan::{Scan, Scanned, place};
use crate::settings::Settings;
use bytes::Bytes;
use bytestring::ByteString;
use output::{Output, Stand};
use weir_message::{Block, BlockKind, Fault, Finish, Head, Reply, Request};

/// Reads the few fields that every plan reads.
pub(super) fn read_head(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let mut head = blank_head();
    let mut scan = Scan::all(whole)?;
    // What is followed is looked for by its name as it is spelt.
    let known = &["model", "stream", "previous_response_id", "conversation"];
    let inside = scan.object(known, |scan, name, _| head_field(scan, name, &mut head).map(|_| ()))?;
    scan.end()?;
    head.object_at = Some(place(inside));
    set_head(request, head);
    Ok(())
}

/// The head of a request that says nothing yet. The last event of a stream always tells usage.
fn blank_head() -> Head {
    Head { include_usage: true, ..Head::default() }
}

/// Reads everything of a request.
pub(super) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    decode::decode(request, whole)
}

/// What a request's other fields mean.
pub(super) fn settings(request: &Request) -> Result<Settings, Fault> {
    wishes::read(request)
}

/// Reads all of a whole reply.
pub(super) fn decode_reply(reply: &mut Reply, whole: &ByteString) -> Scanned<()> {
    reply::decode(reply, whole)
}

/// Reads of a whole reply what plans need that read no text.
pub(super) fn summary(whole: &ByteString) -> Scanned<ReplySummary> {
    reply::summary(whole)
}

/// A whole reply: its first choice, for a response has no others.
pub(super) fn encode_reply(reply: &Reply, identity: &Identity) -> Bytes {
    let own = made_id(&identity.id);
    let id = reply.id.as_deref().unwrap_or(&own);
    let model = reply.model.as_deref().unwrap_or(&identity.model);
    let first = reply.choices().first();
    let stand = Stand::Over(first.and_then(|choice| choice.finish).unwrap_or(Finish::Stop));
    let output = Output::of(first.map_or(&[], |choice| &choice.parts), id, stand);
    let head = (id, model, identity.created);
    Bytes::from(object(|o| output::response(o, head, stand, &output, reply.usage)))
}

/// The id of a response that Weir writes.
fn made_id(id: &str) -> String {
    format!("resp_{id}")
}

/// How many parts of one item are told apart, and how many items: both stand in a block's index.
const PARTS: u32 = 1 << 12;
const ITEMS: u32 = 1 << 20;

/// The block of a text: of which item, and which part of it. `None` if there are more than can be told apart.
fn block_of(kind: BlockKind, item: u32, part: u32) -> Option<Block> {
    (item < ITEMS && part < PARTS).then(|| Block { choice: 0, kind, index: item * PARTS + part })
}

/// The item and the part that a block is.
fn place_of(block: Block) -> (u32, u32) {
    (block.index / PARTS, block.index % PARTS)
}
