//! Pieces of a stream put together to one whole reply.

use crate::piece::Piece;
use bytestring::ByteString;
use std::collections::BTreeMap;
use weir_message::{
    Block, BlockKind, Choice, Citation, Finish, Part, Reasoning, Reply, ReplyBody, Text, TextForm, ToolCall,
    Usage,
};

/// What one piece weighs besides its text: it may open an entry of its own, so none is free.
const ENTRY: usize = 64;

/// What a stream said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    pub(crate) id: Option<ByteString>,
    pub(crate) model: Option<ByteString>,
    pub(crate) created: Option<u64>,
    usage: Option<Usage>,
    choices: BTreeMap<u32, Said>,
}

#[derive(Clone, Debug, Default)]
struct Said {
    /// In the order they began; what has no place in any block has none.
    blocks: Vec<(Option<Block>, Held)>,
    finish: Option<Finish>,
    stop: Option<ByteString>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    text: String,
    /// A call's id and name.
    call: Option<(ByteString, ByteString)>,
    signature: Option<ByteString>,
    sealed: Option<ByteString>,
    citations: Vec<Citation>,
    /// A kind that only one dialect has, and all of it.
    other: Option<(ByteString, ByteString)>,
}

impl Collected {
    /// Adds a piece. Returns about how many bytes it keeps.
    pub(crate) fn add(&mut self, piece: Piece) -> usize {
        match piece {
            Piece::Start { id, model, created } => {
                self.id = self.id.take().or(id);
                self.model = self.model.take().or(model);
                self.created = self.created.or(created);
            }
            Piece::Call { choice, index, id, name, signature } => {
                let held = self.held(Block { choice, kind: BlockKind::Arguments, index });
                let (had_id, had_name) = held.call.take().unwrap_or_default();
                let later = |had: ByteString, now: ByteString| if now.is_empty() { had } else { now };
                held.call = Some((later(had_id, id), later(had_name, name)));
                held.signature = signature.or(held.signature.take());
            }
            Piece::Text { block, text } => {
                let held = self.held(block);
                held.text.push_str(&text);
                return ENTRY + text.len();
            }
            Piece::Signature { choice, index, signature } => {
                let held = self.held(Block { choice, kind: BlockKind::Reasoning, index });
                let weight = signature.len();
                held.signature = Some(match held.signature.take() {
                    Some(begun) => format!("{begun}{signature}").into(),
                    None => signature,
                });
                return ENTRY + weight;
            }
            Piece::Sealed { choice, index, data } => {
                let weight = data.len();
                self.held(Block { choice, kind: BlockKind::Reasoning, index }).sealed = Some(data);
                return ENTRY + weight;
            }
            Piece::Citation { choice, index, citation } => {
                let held = self.held(Block { choice, kind: BlockKind::Text, index });
                held.citations.push(citation);
                return 4 * ENTRY;
            }
            Piece::Other { choice, kind, raw } => {
                let weight = raw.len();
                let held = Held { other: Some((kind, raw)), ..Held::default() };
                self.choices.entry(choice).or_default().blocks.push((None, held));
                return ENTRY + weight;
            }
            Piece::Finish { choice, why, stop } => {
                let said = self.choices.entry(choice).or_default();
                said.finish = Some(why);
                said.stop = stop.or(said.stop.take());
            }
            Piece::Usage(usage) => self.usage = Some(usage),
            Piece::Done => {}
        }
        ENTRY
    }

    fn held(&mut self, block: Block) -> &mut Held {
        let blocks = &mut self.choices.entry(block.choice).or_default().blocks;
        let at = blocks.iter().rposition(|(known, _)| *known == Some(block)).unwrap_or_else(|| {
            blocks.push((Some(block), Held::default()));
            blocks.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "it was found or just pushed")]
        &mut blocks[at].1
    }

    /// The whole reply (status 200) without bytes.
    pub(crate) fn reply(self) -> Reply {
        let mut reply = Reply::new(200, "");
        reply.usage = self.usage;
        reply.model = self.model;
        reply.id = self.id;
        let choice = |(index, said): (u32, Said)| {
            let mut parts = Vec::new();
            for (block, held) in said.blocks {
                held.parts(block, &mut parts);
            }
            Choice { index, parts, finish: said.finish, stop: said.stop }
        };
        reply.body = ReplyBody::Choices(self.choices.into_iter().map(choice).collect());
        reply
    }
}

impl Held {
    fn parts(self, block: Option<Block>, out: &mut Vec<Part>) {
        if let Some((kind, raw)) = self.other {
            out.push(Part::Other { kind, texts: Vec::new(), raw });
        }
        let Some(Block { kind, .. }) = block else { return };
        let text = Text::added(self.text);
        match kind {
            BlockKind::Text => out.push(Part::Text(text)),
            BlockKind::Refusal => out.push(Part::Refusal(text)),
            BlockKind::Reasoning => {
                if !text.value.is_empty() || self.signature.is_some() {
                    out.push(Part::Reasoning(Reasoning { text, signature: self.signature }));
                }
                out.extend(self.sealed.map(Part::Sealed));
            }
            BlockKind::Arguments => {
                let (id, name) = self.call.unwrap_or_default();
                let arguments = Text { form: TextForm::Json, ..text };
                out.push(Part::ToolCall(ToolCall { id, name, arguments, signature: self.signature }));
            }
        }
        out.extend(self.citations.into_iter().map(Part::Citation));
    }
}

/// A decoded reply in pieces, without its beginning, usage and end. Texts are cut into pieces of bounded size.
pub(crate) fn pieces_of(choice: &Choice, out: &mut Vec<Piece>) {
    let number = choice.index;
    let (mut text_index, mut thought, mut call_index) = (0, 0, 0);
    let mut last_text = 0;
    for part in &choice.parts {
        let mut text = |kind, index, text: &Text| {
            let block = Block { choice: number, kind, index };
            out.extend(cut(text).map(|text| Piece::Text { block, text }));
        };
        match part {
            Part::Text(words) => {
                text(BlockKind::Text, text_index, words);
                last_text = text_index;
                text_index += 1;
            }
            Part::Refusal(words) => text(BlockKind::Refusal, 0, words),
            Part::Reasoning(reasoning) => {
                text(BlockKind::Reasoning, thought, &reasoning.text);
                let sign = |signature: &ByteString| Piece::Signature {
                    choice: number,
                    index: thought,
                    signature: signature.clone(),
                };
                out.extend(reasoning.signature.as_ref().map(sign));
                thought += 1;
            }
            Part::Sealed(data) => {
                out.push(Piece::Sealed { choice: number, index: thought, data: data.clone() });
                thought += 1;
            }
            Part::ToolCall(call) => {
                out.push(Piece::Call {
                    choice: number,
                    index: call_index,
                    id: call.id.clone(),
                    name: call.name.clone(),
                    signature: call.signature.clone(),
                });
                let block = Block { choice: number, kind: BlockKind::Arguments, index: call_index };
                out.extend(cut(&call.arguments).map(|text| Piece::Text { block, text }));
                call_index += 1;
            }
            Part::Citation(citation) => {
                out.push(Piece::Citation { choice: number, index: last_text, citation: citation.clone() });
            }
            Part::Other { kind, raw, .. } if !raw.is_empty() => {
                out.push(Piece::Other { choice: number, kind: kind.clone(), raw: raw.clone() });
            }
            Part::ToolResult(_) | Part::Media(_) | Part::CachePoint(_) | Part::Other { .. } => {}
        }
    }
    let why = choice.finish.unwrap_or(Finish::Stop);
    out.push(Piece::Finish { choice: number, why, stop: choice.stop.clone() });
}

/// The longest piece of text put into one event, in bytes.
const PIECE: usize = 4096;

/// A text in pieces of bounded size, cut between characters.
fn cut(text: &Text) -> impl Iterator<Item = ByteString> + '_ {
    let mut rest = text.as_str();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, behind) = rest.split_at_checked(rest.floor_char_boundary(PIECE)).unwrap_or((rest, ""));
        rest = behind;
        Some(text.value.slice_ref(piece))
    })
}
