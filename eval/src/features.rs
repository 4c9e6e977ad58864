//! What the trainer of `guard: injection` reads: the parts of texts as the guard sees them, their words and their meaning.

use crate::room::{Outcome, Room};
use serde::Deserialize;
use std::io::{BufRead, Write};
use weir_inference::DEFAULT_EMBEDDER;
use weir_stage::reading::{grams, parts};

/// A text, and whether it was given to the model to read.
#[derive(Deserialize)]
struct Text {
    text: String,
    given: bool,
}

/// So many texts are under way at once.
const TOGETHER: usize = 32;

/// Reads texts as lines of JSON on standard input; writes each part that is judged apart, little-endian: the number of its
/// text (u32), whether it was hidden (u8), how many words it has as numbers and those (u32 each), its embedding (384 f32;
/// zeros for a part that is too long).
pub(crate) fn write(room: &Room) -> Outcome<()> {
    let models = room.models.as_ref().ok_or("features need the models")?;
    let embedder = models.embedder(DEFAULT_EMBEDDER)?;
    let texts: Vec<Text> = std::io::stdin()
        .lock()
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<Outcome<_>>()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (chunk, texts) in texts.chunks(TOGETHER).enumerate() {
        let mut asked = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            for (part, hidden) in parts(&text.text, text.given) {
                let answer = embedder.embed(&part);
                asked.push((chunk * TOGETHER + number, hidden, grams(&part), answer));
            }
            // The queue of the model is bounded.
            if asked.len() > 96 {
                flush(room, &mut out, std::mem::take(&mut asked), embedder.dimensions())?;
            }
        }
        flush(room, &mut out, asked, embedder.dimensions())?;
    }
    Ok(out.flush()?)
}

type Asked<F> = (usize, Option<&'static str>, Vec<u32>, F);

fn flush<F, V, E>(room: &Room, out: &mut impl Write, asked: Vec<Asked<F>>, dimensions: usize) -> Outcome<()>
where
    F: Future<Output = Result<V, E>>,
    V: AsRef<[f32]>,
{
    for (number, hidden, grams, answer) in asked {
        out.write_all(&u32::try_from(number)?.to_le_bytes())?;
        out.write_all(&[u8::from(hidden.is_some())])?;
        out.write_all(&u32::try_from(grams.len())?.to_le_bytes())?;
        for gram in grams {
            out.write_all(&gram.to_le_bytes())?;
        }
        match room.runtime.block_on(answer) {
            Ok(vector) => vector.as_ref().iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?,
            Err(_) => out.write_all(&vec![0; 4 * dimensions])?,
        }
    }
    Ok(())
}
