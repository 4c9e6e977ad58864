//! The most that a request may spend: what limits reserve before it goes out, and what is booked where nobody learns what it
//! came to.

use crate::{Exchange, Target};
use weir_dialect::MostOutput;
use weir_message::{Operation, Part, Request, Usage};

/// What a part that is no text counts as until its true usage is known, in tokens.
const MEDIA: u64 = 2_000;

/// The longest answer to assume, in tokens, where neither the client nor the catalogue says.
pub const ASSUMED_OUTPUT: u64 = 4_096;

/// The most that a request may spend, at whichever target. Its body must be decoded.
#[derive(Clone, Copy, Debug)]
pub struct Worst {
    input: u64,
    /// Of the answers; nothing where the operation has none.
    output: Option<MostOutput>,
    images: u64,
    characters: u64,
    millis: u64,
}

impl Worst {
    /// Counts what a request may spend.
    ///
    /// # Errors
    /// It asks for an answer of a length that cannot be read.
    pub fn of(x: &Exchange) -> Result<Self, String> {
        let request = &x.request;
        let output = match request.operation {
            Operation::Chat
            | Operation::Completion
            | Operation::Response
            | Operation::Image
            | Operation::Transcription => {
                Some(weir_dialect::most_output(request).map_err(|fault| fault.message.to_string())?)
            }
            _ => None,
        };
        let images = match output {
            Some(most) if request.operation == Operation::Image => most.answers,
            _ => 0,
        };
        let millis = heard(request);
        // A model hears no more than ten tokens in a second.
        let input = input(x).saturating_add(millis / 100);
        Ok(Self { input, output, images, characters: spoken(request), millis })
    }

    /// The same, were no answer longer than this.
    #[must_use]
    pub fn within(self, tokens: u64) -> Self {
        let output = self.output.map(|most| MostOutput {
            tokens: Some(most.tokens.map_or(tokens, |asked| asked.min(tokens))),
            ..most
        });
        Self { output, ..self }
    }

    /// What it comes to at a target, with so long an answer where nobody says how long it may be.
    pub fn at(&self, target: &Target, assume_output: u64) -> Usage {
        let output = self.output.map_or(0, |most| {
            let longest = match (most.tokens, target.output_limit) {
                (Some(asked), Some(limit)) => asked.min(limit),
                (Some(asked), None) => asked,
                (None, limit) => limit.unwrap_or(assume_output),
            };
            longest.saturating_mul(most.answers)
        });
        let Self { input, images, characters, millis, .. } = *self;
        Usage { input, output, images, characters, millis, ..Usage::default() }
    }
}

/// The tokens of a prompt, whatever is no text counted high.
fn input(x: &Exchange) -> u64 {
    match x.request.body.has_token_ids() {
        // An id takes two bytes at least.
        true => x.request.raw.len() as u64 / 2 + 1,
        // Counting tokens is free.
        false if x.request.operation == Operation::Count => 0,
        false => x.plan.services().request_tokens(&x.request) + media(&x.request) * MEDIA,
    }
}

/// How many characters a decoded request wants spoken.
pub(crate) fn spoken(request: &Request) -> u64 {
    let mut characters = 0;
    if request.operation == Operation::Speech {
        // Behind them stands how to speak.
        request.each_text(|at| {
            if at.index == 0 {
                characters = at.text.as_str().chars().count() as u64;
            }
        });
    }
    characters
}

/// How long the sound of a request may last: it is hardly ever packed closer than 16 kbit/s.
fn heard(request: &Request) -> u64 {
    if request.operation == Operation::Transcription { request.raw.len() as u64 / 2 } else { 0 }
}

/// How many parts of a request are no text.
fn media(request: &Request) -> u64 {
    let parts = request.messages().iter().flat_map(|message| &message.parts);
    parts.filter(|part| matches!(part, Part::Media(_))).count() as u64
}
