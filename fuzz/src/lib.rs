//! Inputs for the fuzz targets: seeds written by people, and what grows out of them by a recipe of bytes.
//!
//! Random bytes alone never get past the first brace of a parser. So an engine's bytes are a recipe: which seed, and which cuts,
//! copies, grafts and words to change it by. A shorter recipe is a smaller change, which is how failures shrink.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

/// The largest input grown, in bytes.
pub const LARGEST: usize = 64 * 1024;

/// The inputs of a target.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The seeds, sorted by name.
    pub seeds: Vec<Seed>,
    /// Pieces to put in: what the format is made of.
    words: &'static [&'static str],
}

/// An input written by people, or kept from a failure.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Its file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Corpus {
    /// The files below `fuzz/corpus/<target>/`; `words` are pieces that the format is made of.
    ///
    /// # Errors
    /// Whatever the file system says, and an empty folder: a target without seeds tries nothing.
    pub fn open(target: &str, words: &'static [&'static str]) -> std::io::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut seeds = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            seeds.push(Seed { bytes: std::fs::read(&path)?, path });
        }
        if seeds.is_empty() {
            return Err(std::io::Error::other(format!("{} holds no seed", folder.display())));
        }
        seeds.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { seeds, words })
    }

    /// The input that a recipe makes. Every recipe makes one; the empty recipe makes the first seed.
    pub fn grow(&self, recipe: &[u8]) -> Vec<u8> {
        let mut recipe = Recipe(recipe);
        let mut out = self.seed(recipe.number()).to_vec();
        while !recipe.0.is_empty() {
            let step = recipe.byte() % 8;
            let at = recipe.up_to(out.len());
            let end = at + recipe.up_to((out.len() - at).min(64));
            match step {
                0 => {
                    let bit = recipe.byte() % 8;
                    if let Some(byte) = out.get_mut(at) {
                        *byte ^= 1 << bit;
                    }
                }
                1 => insert(&mut out, at, self.word(recipe.number())),
                2 => drop(out.drain(at..end)),
                3 => {
                    let copy = out.get(at..end).unwrap_or_default().to_vec();
                    insert(&mut out, at, &copy);
                }
                4 => {
                    let other = self.seed(recipe.number());
                    let from = recipe.up_to(other.len());
                    let to = from + recipe.up_to((other.len() - from).min(256));
                    insert(&mut out, at, other.get(from..to).unwrap_or_default());
                }
                5 => {
                    drop(out.drain(at..end));
                    insert(&mut out, at, self.word(recipe.number()));
                }
                6 => insert(&mut out, at, &[recipe.byte()]),
                _ => out.truncate(end),
            }
            out.truncate(LARGEST);
        }
        out
    }

    fn seed(&self, number: usize) -> &[u8] {
        self.seeds.get(number % self.seeds.len().max(1)).map_or(&[], |seed| &seed.bytes)
    }

    fn word(&self, number: usize) -> &'static [u8] {
        self.words.get(number % self.words.len().max(1)).map_or(&[], |word| word.as_bytes())
    }
}

fn insert(out: &mut Vec<u8>, at: usize, what: &[u8]) {
    out.splice(at..at, what.iter().copied());
}

/// What is left of a recipe; past its end it reads as zeros.
struct Recipe<'a>(&'a [u8]);

impl Recipe<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// A number from 0 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        self.number() % (most + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        let seed = |text: &str| Seed { path: PathBuf::from(text), bytes: text.into() };
        Corpus { seeds: vec![seed("abc"), seed("xyz")], words: &["{}", "WORD"] }
    }

    #[test]
    fn a_recipe_says_what_is_grown() {
        let cases: [(&[u8], &str); 9] = [
            (&[], "abc"),
            (&[1], "xyz"),
            (&[0, 0, 0, 1, 0, 0, 0, 5], "aBc"),
            (&[0, 0, 1, 3, 0, 0, 0, 1, 0], "abcWORD"),
            (&[0, 0, 2, 1, 0, 1, 0], "ac"),
            (&[0, 0, 3, 0, 0, 2, 0], "ababc"),
            (&[0, 0, 4, 3, 0, 0, 0, 1, 0, 1, 0, 2, 0], "abcyz"),
            (&[0, 0, 6, 0, 0, 0, 0, b'!'], "!abc"),
            (&[0, 0, 7, 1, 0, 1, 0], "ab"),
        ];
        for (recipe, want) in cases {
            assert_eq!(String::from_utf8(corpus().grow(recipe)).unwrap(), want, "{recipe:?}");
        }
    }

    #[test]
    fn every_recipe_ends_within_the_bound() {
        for n in 0..=255_u8 {
            let recipe: Vec<u8> =
                (0..2_000_u32).map(|at| n.wrapping_mul(31).wrapping_add((at * at % 251) as u8)).collect();
            assert!(corpus().grow(&recipe).len() <= LARGEST);
        }
    }
}
