//! What usage costs: the one place of pricing.

use serde_json::{Map, Value};
use weir_message::{Money, Usage};

/// Prices: of a million tokens by class, and of what is not counted in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Of the prompt.
    pub input: Money,
    /// Of the prompt, where the provider's cache had it; otherwise as [`Price::input`].
    pub cached_input: Option<Money>,
    /// Of the prompt, written to the provider's cache; otherwise as [`Price::input`].
    pub cache_write: Option<Money>,
    /// Of the prompt, written to the cache for an hour or longer; otherwise as [`Price::cache_write`].
    pub cache_write_1h: Option<Money>,
    /// Of sound in the prompt; otherwise as [`Price::input`].
    pub audio_input: Option<Money>,
    /// Of images in the prompt; otherwise as [`Price::input`].
    pub image_input: Option<Money>,
    /// Of the answer.
    pub output: Money,
    /// Of reasoning; otherwise as [`Price::output`].
    pub reasoning: Option<Money>,
    /// Of sound in the answer; otherwise as [`Price::output`].
    pub audio_output: Option<Money>,
    /// Of images in the answer; otherwise as [`Price::output`].
    pub image_output: Option<Money>,
    /// Of an image made.
    pub per_image: Option<Money>,
    /// Of a second of sound heard, or of sound or video made.
    pub per_second: Option<Money>,
    /// Of a million characters spoken.
    pub per_million_characters: Option<Money>,
    /// Of a page read.
    pub per_page: Option<Money>,
    /// Of a request, whatever else it costs.
    pub per_request: Option<Money>,
    /// Other prices for long prompts, in the order of their length.
    pub above: Vec<Tier>,
    /// Prices of the same in a batch.
    pub batch: Option<Box<Price>>,
}

/// Prices of a million tokens where the prompt is longer than so many; of all its tokens, not of the rest alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    /// Prompts with more tokens than these, cached ones included.
    pub tokens: u64,
    /// Of the prompt.
    pub input: Money,
    /// As [`Price::cached_input`].
    pub cached_input: Option<Money>,
    /// As [`Price::cache_write`].
    pub cache_write: Option<Money>,
    /// As [`Price::cache_write_1h`].
    pub cache_write_1h: Option<Money>,
    /// Of the answer.
    pub output: Money,
}

impl Price {
    /// What one request's usage costs. Each class is rounded up to a whole nano-dollar.
    pub fn of(&self, usage: &Usage) -> Money {
        let tier = self.tier(usage.input);
        let class = |price: Option<Money>, or: Money, tokens: u64| price.unwrap_or(or).per_million(tokens);

        // Of the prompt, what the cache had comes first; where sound came from the cache, nobody says so.
        let mut left = usage.input;
        let mut take = |tokens: u64| {
            let taken = tokens.min(left);
            left -= taken;
            taken
        };
        let cached = take(usage.cached_input);
        let written = take(usage.cache_write);
        let long = usage.cache_write_1h.min(written);
        let (heard, seen) = (take(usage.audio_input), take(usage.image_input));
        let write = tier.cache_write.unwrap_or(tier.input);
        let prompt = tier.input.per_million(left)
            + class(tier.cached_input, tier.input, cached)
            + write.per_million(written - long)
            + class(tier.cache_write_1h, write, long)
            + class(self.audio_input, tier.input, heard)
            + class(self.image_input, tier.input, seen);

        let mut left = usage.output;
        let mut take = |tokens: u64| {
            let taken = tokens.min(left);
            left -= taken;
            taken
        };
        let (spoken, drawn, thought) =
            (take(usage.audio_output), take(usage.image_output), take(usage.reasoning));
        let answer = tier.output.per_million(left)
            + class(self.audio_output, tier.output, spoken)
            + class(self.image_output, tier.output, drawn)
            + class(self.reasoning, tier.output, thought);

        // `per_million` of a price a thousand times as high is the price a thousand.
        let each = |price: Option<Money>, count: u64, by: u64| {
            price.unwrap_or_default().per_million(count.saturating_mul(1_000_000 / by))
        };
        prompt
            + answer
            + each(self.per_image, usage.images, 1)
            + each(self.per_second, usage.millis, 1_000)
            + each(self.per_million_characters, usage.characters, 1_000_000)
            + each(self.per_page, usage.pages, 1)
            + self.per_request.unwrap_or_default()
    }

    /// What one request's usage costs in a batch; as ever where there is no price for it.
    pub fn of_batch(&self, usage: &Usage) -> Money {
        self.batch.as_deref().unwrap_or(self).of(usage)
    }

    /// The price as its row says it: decimals as text, and only what is said.
    pub fn to_json(&self) -> Value {
        let mut out = classes(&[
            ("input", Some(self.input).filter(|money| *money != Money::ZERO)),
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("audio_input", self.audio_input),
            ("image_input", self.image_input),
            ("output", Some(self.output).filter(|money| *money != Money::ZERO)),
            ("reasoning", self.reasoning),
            ("audio_output", self.audio_output),
            ("image_output", self.image_output),
            ("per_image", self.per_image),
            ("per_second", self.per_second),
            ("per_million_characters", self.per_million_characters),
            ("per_page", self.per_page),
            ("per_request", self.per_request),
        ]);
        if !self.above.is_empty() {
            out.insert("above".to_owned(), self.above.iter().map(|tier| tier.to_json()).collect());
        }
        if let Some(batch) = &self.batch {
            out.insert("batch".to_owned(), batch.to_json());
        }
        Value::Object(out)
    }

    /// The prices of tokens for a prompt of this length.
    fn tier(&self, input: u64) -> Tier {
        self.above.iter().rev().find(|tier| input > tier.tokens).copied().unwrap_or(Tier {
            tokens: 0,
            input: self.input,
            cached_input: self.cached_input,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            output: self.output,
        })
    }
}

impl Tier {
    fn to_json(self) -> Value {
        let mut out = classes(&[
            ("input", Some(self.input)),
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("output", Some(self.output)),
        ]);
        out.insert("tokens".to_owned(), self.tokens.into());
        Value::Object(out)
    }
}

fn classes(classes: &[(&str, Option<Money>)]) -> Map<String, Value> {
    let said =
        classes.iter().filter_map(|(name, money)| Some(((*name).to_owned(), (*money)?.decimal().into())));
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dollars(cents: i64) -> Money {
        Money::from_nanos(cents * 10_000_000)
    }

    /// Every class at another price, in cents a million.
    fn price() -> Price {
        Price {
            input: dollars(100),
            cached_input: Some(dollars(10)),
            cache_write: Some(dollars(125)),
            cache_write_1h: Some(dollars(200)),
            audio_input: Some(dollars(300)),
            image_input: Some(dollars(400)),
            output: dollars(500),
            reasoning: Some(dollars(600)),
            audio_output: Some(dollars(700)),
            image_output: Some(dollars(800)),
            per_image: Some(dollars(4)),
            per_second: Some(dollars(2)),
            per_million_characters: Some(dollars(1500)),
            per_page: Some(dollars(3)),
            per_request: None,
            above: vec![
                Tier { tokens: 2_000_000, input: dollars(150), output: dollars(550), ..Tier::default() },
                Tier { tokens: 3_000_000, input: dollars(175), output: dollars(575), ..Tier::default() },
            ],
            batch: Some(Box::new(Price { input: dollars(50), output: dollars(250), ..Price::default() })),
        }
    }

    #[test]
    fn each_class_has_its_price() {
        const M: u64 = 1_000_000;
        let none = Usage::default();
        let cases = [
            ("nothing", none, 0),
            ("prompt", Usage { input: M, ..none }, 100),
            ("cached", Usage { input: M, cached_input: M / 2, ..none }, 55),
            ("written", Usage { input: M, cache_write: M, ..none }, 125),
            ("written for long", Usage { input: M, cache_write: M, cache_write_1h: M / 2, ..none }, 162),
            ("heard", Usage { input: M, audio_input: M / 2, ..none }, 200),
            ("seen", Usage { input: M, image_input: M, ..none }, 400),
            ("answer", Usage { output: M, ..none }, 500),
            ("thought", Usage { output: M, reasoning: M / 2, ..none }, 550),
            ("spoken", Usage { output: M, audio_output: M, ..none }, 700),
            ("drawn", Usage { output: M, image_output: M, ..none }, 800),
            ("images", Usage { images: 3, ..none }, 12),
            ("seconds", Usage { millis: 1_500, ..none }, 3),
            ("characters", Usage { characters: 20_000, ..none }, 30),
            ("pages", Usage { pages: 2, ..none }, 6),
            ("at the limit", Usage { input: 2 * M, ..none }, 200),
            ("above the first limit", Usage { input: 3 * M, output: M, ..none }, 450 + 550),
            ("above the second limit", Usage { input: 4 * M, output: M, ..none }, 700 + 575),
            ("a part is never more than the whole", Usage { input: M, cached_input: 5 * M, ..none }, 10),
            ("nor are parts together", Usage { input: M, cached_input: M, audio_input: M, ..none }, 10),
        ];
        for (what, usage, cents) in cases {
            let rounded = Money::from_nanos(price().of(&usage).nanos() / 10_000_000 * 10_000_000);
            assert_eq!(rounded, dollars(cents), "{what}");
        }
    }

    #[test]
    fn a_class_without_a_price_costs_what_it_is_part_of() {
        let flat = Price { input: dollars(100), output: dollars(500), ..Price::default() };
        let usage = Usage {
            input: 1_000_000,
            cached_input: 100_000,
            cache_write: 100_000,
            cache_write_1h: 50_000,
            audio_input: 100_000,
            image_input: 100_000,
            output: 1_000_000,
            reasoning: 100_000,
            audio_output: 100_000,
            image_output: 100_000,
            images: 9,
            millis: 9,
            characters: 9,
            pages: 9,
            counted: false,
        };
        assert_eq!(flat.of(&usage), dollars(600));
        assert_eq!(flat.of_batch(&usage), dollars(600), "no price for batches");
    }

    #[test]
    fn a_batch_and_a_request_have_their_own_price() {
        let usage = Usage { input: 1_000_000, output: 1_000_000, ..Usage::default() };
        assert_eq!(price().of_batch(&usage), dollars(300));
        let search = Price { per_request: Some(dollars(1)), ..Price::default() };
        assert_eq!(search.of(&Usage::default()), dollars(1));
    }

    #[test]
    fn parts_of_a_nano_dollar_are_rounded_up() {
        let price = Price { per_million_characters: Some(Money::from_nanos(1)), ..Price::default() };
        assert_eq!(price.of(&Usage { characters: 1, ..Usage::default() }).nanos(), 1);
        let price = Price { per_second: Some(Money::from_nanos(1_500)), ..Price::default() };
        assert_eq!(price.of(&Usage { millis: 1, ..Usage::default() }).nanos(), 2);
    }
}
