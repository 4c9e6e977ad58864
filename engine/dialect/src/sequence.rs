//! The pieces of a stream in the order that a dialect of blocks wants them: one tool call after the other.

use crate::piece::Piece;
use std::collections::VecDeque;
use weir_message::BlockKind;

/// Lines pieces up. Some providers mix the pieces of several calls; what does not belong to the call under way waits until its
/// arguments are complete.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// The index of the call under way.
    call: Option<u32>,
    /// How far its arguments are complete.
    arguments: Depth,
    waiting: VecDeque<Piece>,
    /// Whether no more comes.
    is_over: bool,
}

impl Sequence {
    /// Adds a piece. Take all out with [`Sequence::next`] before the next one.
    pub(crate) fn push(&mut self, piece: Piece) {
        self.is_over |= matches!(piece, Piece::Finish { .. } | Piece::Done);
        self.waiting.push_back(piece);
    }

    /// The next piece whose turn it is.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        // A piece of the call under way may stand behind one of another's.
        let at = match self.waiting.iter().position(|piece| !self.waits(piece)) {
            Some(at) => at,
            None if self.is_over && !self.waiting.is_empty() => 0,
            None => return None,
        };
        let piece = self.waiting.remove(at)?;
        match &piece {
            Piece::Call { index, .. } if self.call != Some(*index) => {
                self.call = Some(*index);
                self.arguments = Depth::default();
            }
            Piece::Text { block, text } if block.kind == BlockKind::Arguments => self.arguments.read(text),
            Piece::Finish { .. } | Piece::Done => self.call = None,
            _ => {}
        }
        Some(piece)
    }

    fn waits(&self, piece: &Piece) -> bool {
        let Some(open) = self.call.filter(|_| !self.arguments.is_complete()) else { return false };
        match piece {
            Piece::Text { block, .. } => block.kind != BlockKind::Arguments || block.index != open,
            Piece::Call { index, .. } => *index != open,
            Piece::Start { .. } | Piece::Usage(_) => false,
            Piece::Signature { .. }
            | Piece::Sealed { .. }
            | Piece::Citation { .. }
            | Piece::Other { .. }
            | Piece::Finish { .. }
            | Piece::Done => true,
        }
    }
}

/// How deep a JSON text stands that comes in pieces.
#[derive(Debug, Default)]
struct Depth {
    depth: u32,
    has_begun: bool,
    in_string: bool,
    is_escaped: bool,
}

impl Depth {
    fn is_complete(&self) -> bool {
        self.has_begun && self.depth == 0
    }

    fn read(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if std::mem::take(&mut self.is_escaped) => {}
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.has_begun = true;
                    self.depth += 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_message::{Block, Finish};

    fn call(index: u32) -> Piece {
        Piece::Call { choice: 0, index, id: "".into(), name: "".into(), signature: None }
    }

    fn text(kind: BlockKind, index: u32, text: &'static str) -> Piece {
        Piece::Text { block: Block { choice: 0, kind, index }, text: text.into() }
    }

    fn lined_up(pieces: Vec<Piece>) -> String {
        let (mut sequence, mut out) = (Sequence::default(), Vec::new());
        for piece in pieces {
            sequence.push(piece);
            out.extend(std::iter::from_fn(|| sequence.next()).map(|piece| match piece {
                Piece::Call { index, .. } => format!("call {index}"),
                Piece::Text { block, text } => format!("{} {text}", block.index),
                Piece::Finish { .. } => "end".into(),
                other => format!("{other:?}"),
            }));
        }
        out.join("; ")
    }

    #[test]
    fn calls_come_one_after_the_other_however_their_pieces_are_mixed() {
        use BlockKind::{Arguments, Text};
        let end = || Piece::Finish { choice: 0, why: Finish::ToolCalls, stop: None };
        let mixed = vec![
            call(0),
            call(1),
            text(Arguments, 1, "{\"a\":"),
            text(Arguments, 0, "{\"}\\\"\":[1]"),
            text(Text, 0, "hi"),
            text(Arguments, 0, "}"),
            text(Arguments, 1, "1}"),
            end(),
        ];
        assert_eq!(lined_up(mixed), "call 0; 0 {\"}\\\"\":[1]; 0 }; call 1; 1 {\"a\":; 1 1}; 0 hi; end");
        // A call whose arguments never end, or that has none, holds nothing back for ever.
        let cut = vec![call(0), text(Arguments, 0, "{"), call(1), text(Text, 0, "hi"), end()];
        assert_eq!(lined_up(cut), "call 0; 0 {; call 1; 0 hi; end");
    }
}
