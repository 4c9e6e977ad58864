//! Tokens spent.

/// The tokens of one attempt or request, by class. Classes do not overlap with each other but where said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: u64,
    /// Of the input, those read from the provider's prompt cache.
    pub cached_input: u64,
    /// Tokens written to the provider's prompt cache.
    pub cache_write: u64,
    /// All output tokens, reasoning included.
    pub output: u64,
    /// Of the output, those spent on reasoning.
    pub reasoning: u64,
    /// Whether Weir counted these because the provider did not say.
    pub counted: bool,
}

impl Usage {
    /// Input and output together.
    pub fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}
