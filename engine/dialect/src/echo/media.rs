//! What `echo` makes of words besides words: images, judgements, sound.

use super::{CREATED, first, tokens};
use crate::compose::object;
use bytes::Bytes;
use weir_message::{Operation, Request};

/// A white picture of one pixel (PNG, Base64).
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==";

/// The body for one of these operations, and its media type.
pub(super) fn made(request: &Request, model: &str) -> (Bytes, &'static str) {
    match request.operation {
        Operation::Image => (images(request), crate::JSON),
        Operation::Transcription => (heard(request), crate::JSON),
        Operation::Moderation => (judgements(request, model), crate::JSON),
        _ => (sound(request), "audio/wav"),
    }
}

/// The prompt, as if it was said.
fn heard(request: &Request) -> Bytes {
    Bytes::from(object(|o| {
        o.string("text", &format!("echo: {}", first(request)));
        o.object("usage", |o| {
            o.string("type", "duration").number("seconds", 1);
        });
    }))
}

/// As many pixels as are asked for, each with the prompt.
fn images(request: &Request) -> Bytes {
    let said = first(request);
    let count = request.params.get("n").and_then(|json| json.parse::<u64>().ok()).unwrap_or(1).clamp(1, 10);
    let input = tokens(&said).count() as u64;
    Bytes::from(object(|o| {
        o.number("created", CREATED);
        o.array("data", |a| {
            for _ in 0..count {
                a.object(|o| {
                    o.string("b64_json", PIXEL).string("revised_prompt", &format!("echo: {said}"));
                });
            }
        });
        o.object("usage", |o| {
            o.number("input_tokens", input).number("output_tokens", count);
            o.number("total_tokens", input + count);
            o.object("input_tokens_details", |o| {
                o.number("text_tokens", input).number("image_tokens", 0);
            });
        });
    }))
}

/// A text that says `violence` is flagged.
fn judgements(request: &Request, model: &str) -> Bytes {
    Bytes::from(object(|o| {
        o.string("id", "modr-echo").string("model", model);
        o.array("results", |a| {
            request.each_text(|at| {
                let is_violent = at.text.as_str().to_lowercase().contains("violence");
                let score = if is_violent { "1.0" } else { "0.0" };
                a.object(|o| {
                    o.bool("flagged", is_violent);
                    o.object("categories", |o| {
                        o.bool("violence", is_violent);
                    });
                    o.object("category_scores", |o| {
                        o.raw("violence", score);
                    });
                });
            });
        });
    }))
}

/// Silence: 8,000 samples of 8 bits a second, a tenth of a second for each word (RIFF WAVE, PCM).
fn sound(request: &Request) -> Bytes {
    let words = tokens(&first(request)).count().min(600);
    let samples = u32::try_from(words * 800).unwrap_or(0);
    let mut out = Vec::with_capacity(44 + words * 800);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + samples).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16u32.to_le_bytes());
    for half in [1u16, 1] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    for rate in [8000u32, 8000] {
        out.extend_from_slice(&rate.to_le_bytes());
    }
    for half in [1u16, 8] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    out.extend_from_slice(b"data");
    out.extend_from_slice(&samples.to_le_bytes());
    out.resize(out.len() + words * 800, 0x80);
    Bytes::from(out)
}
