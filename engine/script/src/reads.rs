//! What an expression or a script reads, so that a plan pays for nothing else.

use std::ops::{BitOr, BitOrAssign};

/// A set of things read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reads(u32);

impl Reads {
    /// Nothing beyond the head of the request (model, stream, operation, path …).
    pub const NONE: Reads = Reads(0);
    /// Headers of the request.
    pub const HEADERS: Reads = Reads(1);
    /// The decoded body of the request: messages, texts, tools, parameters.
    pub const BODY: Reads = Reads(1 << 1);
    /// The request as it came in.
    pub const ORIGINAL: Reads = Reads(1 << 2);
    /// Who calls.
    pub const CALLER: Reads = Reads(1 << 3);
    /// The head of the reply: status, headers, usage.
    pub const REPLY: Reads = Reads(1 << 4);
    /// The decoded body of the reply.
    pub const REPLY_BODY: Reads = Reads(1 << 5);
    /// The event of a stream.
    pub const EVENT: Reads = Reads(1 << 6);
    /// Attempts, and what was spent on them.
    pub const ATTEMPTS: Reads = Reads(1 << 7);
    /// Token counts.
    pub const TOKENS: Reads = Reads(1 << 8);
    /// The trace.
    pub const TRACE: Reads = Reads(1 << 9);
    /// The clock.
    pub const NOW: Reads = Reads(1 << 10);
    /// What is left of limits.
    pub const LIMITS: Reads = Reads(1 << 11);
    /// The turns of a conversation and what belongs to it; other operations have none.
    pub const TURNS: Reads = Reads(1 << 14);
    /// The texts of any operation.
    pub const TEXTS: Reads = Reads(1 << 15);
    /// Tokens spent as the provider tells them.
    pub const USAGE: Reads = Reads(1 << 12);

    /// What callers spent today.
    pub const SPENT: Reads = Reads(1 << 13);

    /// Whether it reads the turns of conversations and no text of other operations, to which it is blind.
    pub fn only_turns(self) -> bool {
        self.meets(Self::TURNS) && !self.meets(Self::TEXTS)
    }

    /// Whether all of `other` is read.
    pub fn contains(self, other: Reads) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is read.
    pub fn meets(self, other: Reads) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Reads) -> Reads {
        Reads(self.0 | other.0)
    }
}

impl BitOr for Reads {
    type Output = Reads;

    fn bitor(self, other: Reads) -> Reads {
        self.and(other)
    }
}

impl BitOrAssign for Reads {
    fn bitor_assign(&mut self, other: Reads) {
        self.0 |= other.0;
    }
}
