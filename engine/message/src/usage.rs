//! Tokens spent.

use std::ops::AddAssign;

/// What one attempt or request spent, by class. Classes do not overlap with each other but where said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: u64,
    /// Of the input, those read from the provider's prompt cache.
    pub cached_input: u64,
    /// Of the input, those written to the provider's prompt cache.
    pub cache_write: u64,
    /// Of the cache writes, those kept for an hour or longer.
    pub cache_write_1h: u64,
    /// Of the input, tokens of sound.
    pub audio_input: u64,
    /// Of the input, tokens of images.
    pub image_input: u64,
    /// All output tokens, reasoning included.
    pub output: u64,
    /// Of the output, those spent on reasoning.
    pub reasoning: u64,
    /// Of the output, tokens of sound.
    pub audio_output: u64,
    /// Of the output, tokens of images.
    pub image_output: u64,
    /// Images made, where they are not counted in tokens.
    pub images: u64,
    /// Milliseconds of sound heard, or of sound or video made, where they are not counted in tokens.
    pub millis: u64,
    /// Characters spoken, where they are not counted in tokens.
    pub characters: u64,
    /// Pages read, where they are not counted in tokens.
    pub pages: u64,
    /// Whether Weir counted these because the provider did not say.
    pub counted: bool,
}

impl Usage {
    /// Input and output tokens together.
    pub fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl AddAssign for Usage {
    /// Sums every class, saturating; counted as soon as one part is.
    fn add_assign(&mut self, other: Usage) {
        // Taken apart, so that a new class cannot be forgotten here.
        let Usage {
            input,
            cached_input,
            cache_write,
            cache_write_1h,
            audio_input,
            image_input,
            output,
            reasoning,
            audio_output,
            image_output,
            images,
            millis,
            characters,
            pages,
            counted,
        } = other;
        for (sum, more) in [
            (&mut self.input, input),
            (&mut self.cached_input, cached_input),
            (&mut self.cache_write, cache_write),
            (&mut self.cache_write_1h, cache_write_1h),
            (&mut self.audio_input, audio_input),
            (&mut self.image_input, image_input),
            (&mut self.output, output),
            (&mut self.reasoning, reasoning),
            (&mut self.audio_output, audio_output),
            (&mut self.image_output, image_output),
            (&mut self.images, images),
            (&mut self.millis, millis),
            (&mut self.characters, characters),
            (&mut self.pages, pages),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.counted = self.counted || counted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_every_class_and_saturates() {
        let one = Usage { input: 5, cache_write_1h: 2, output: 3, images: 1, ..Usage::default() };
        let mut sum = Usage { input: u64::MAX, images: 1, ..Usage::default() };
        sum += one;
        sum += Usage { counted: true, ..Usage::default() };
        let want = Usage { input: u64::MAX, cache_write_1h: 2, output: 3, images: 2, counted: true, ..one };
        assert_eq!(sum, want);
    }
}
