//! How many questions in other words `cache: semantic` answers, and how many that need an answer of their own.

use crate::room::{Outcome, Room};
use crate::table::{Row, Shown, Table, share};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;
use weir_inference::{DEFAULT_EMBEDDER, Embedder};
use weir_stage::{Asked, Verify};

const ABOUT: &str = "Pairs: `eval/cache/heldout`, written by us; a part by hand, the other made of templates. None of their texts, \
    and nothing nearly the same, is in the training set of the judge (`eval/cache/expand.py --check`). The cosines are those of the \
    same embedding model: 0.8 is the threshold that GPTCache is configured with by default and that LiteLLM's documentation sets; both come \
    with other models of their own. Not shown: questions of real users, other languages than English, long questions.";

/// Two questions and whether one answer serves both.
pub(crate) struct Pair {
    pub(crate) origin: String,
    pub(crate) kind: String,
    pub(crate) same: bool,
    pub(crate) one: String,
    pub(crate) other: String,
}

/// The pairs of a table that `eval/cache/expand.py` wrote.
pub(crate) fn pairs(text: &str) -> Outcome<Vec<Pair>> {
    let pair = |line: &str| -> Outcome<Pair> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [origin, group, kind, same, one, other] = *fields.as_slice() else {
            return Err(format!("not a pair: {line}").into());
        };
        Ok(Pair {
            origin: format!("{origin}/{group}"),
            kind: kind.to_owned(),
            same: same == "1",
            one: one.to_owned(),
            other: other.to_owned(),
        })
    };
    text.lines().map(pair).collect()
}

/// All questions of the pairs as the verifier reads them.
pub(crate) fn read(embedder: &Embedder, pairs: &[Pair], room: &Room) -> Outcome<HashMap<String, Asked>> {
    let mut known = HashMap::new();
    for text in pairs.iter().flat_map(|pair| [&pair.one, &pair.other]) {
        if !known.contains_key(text) {
            known.insert(text.clone(), room.runtime.block_on(Asked::read(embedder, text))?);
        }
    }
    Ok(known)
}

/// A way to decide, and how it did: hits and all, of paraphrases and near misses, by kind.
struct Way<'a> {
    name: &'static str,
    hits: &'a dyn Fn(&Asked, &Asked) -> bool,
    counts: BTreeMap<(bool, String), (usize, usize)>,
}

impl Way<'_> {
    fn share(&self, same: bool, kind: Option<&str>) -> f64 {
        let of = self
            .counts
            .iter()
            .filter(|((one, name), _)| *one == same && kind.is_none_or(|kind| kind == name));
        let (hits, all) = of.fold((0, 0), |(hits, all), (_, count)| (hits + count.0, all + count.1));
        share(hits, all)
    }
}

/// The table of the semantic cache.
pub(crate) fn tables(room: &Room) -> Outcome<Vec<Table>> {
    if room.quick {
        return Ok(Vec::new()); // A figure for optimised code, and minutes for any other.
    }
    let models = room.models.as_ref().ok_or("no models")?;
    let embedder = models.embedder(DEFAULT_EMBEDDER)?;
    let pairs = pairs(&std::fs::read_to_string(Room::repository().join("eval/cache/heldout/pairs.tsv"))?)?;
    let known = read(&embedder, &pairs, room)?;
    let mut ways = [
        (
            "balanced",
            &(|a: &Asked, b: &Asked| a.answers(b, Verify::Balanced)) as &dyn Fn(&Asked, &Asked) -> bool,
        ),
        ("strict", &|a: &Asked, b: &Asked| a.answers(b, Verify::Strict)),
        ("cosine ≥ 0.8", &|a: &Asked, b: &Asked| a.cosine(b) >= 0.8),
        ("cosine ≥ 0.93", &|a: &Asked, b: &Asked| a.cosine(b) >= 0.93),
    ]
    .map(|(name, hits)| Way { name, hits, counts: BTreeMap::new() });
    for pair in &pairs {
        let (Some(one), Some(other)) = (known.get(&pair.one), known.get(&pair.other)) else { continue };
        let by_hand = if pair.origin.starts_with("hand/") { "by hand" } else { "from templates" };
        let kind = if pair.same { by_hand.to_owned() } else { pair.kind.clone() };
        for way in &mut ways {
            let hit = (way.hits)(one, other);
            let count = way.counts.entry((pair.same, kind.clone())).or_default();
            *count = (count.0 + usize::from(hit), count.1 + 1);
            if hit != pair.same && way.name == "balanced" {
                let what = if hit { "false hit" } else { "missed" };
                let why = one.judge(other, Verify::Balanced);
                room.say(|| format!("{what}: {} ({}) / {} {why:?}", pair.one, pair.kind, pair.other));
            }
        }
    }
    let [balanced, strict, peer, old] = &ways;
    let rows = vec![
        Row::at_least("balanced: paraphrases answered", balanced.share(true, None), 0.47, Shown::Share),
        Row::at_most("balanced: false hits", balanced.share(false, None), 0.01, Shown::Share),
        Row::at_least("strict: paraphrases answered", strict.share(true, None), 0.20, Shown::Share),
        Row::at_most("strict: false hits", strict.share(false, None), 0.006, Shown::Share),
        Row::at_most(
            "a verified hit adds to the embedding, median, ms",
            added(&embedder, &pairs, room)?,
            3.0,
            Shown::Number,
        ),
        Row::told("cosine ≥ 0.8: answered, false hits", two(peer)),
        Row::told("cosine ≥ 0.93: answered, false hits", two(old)),
        Row::told(
            "pairs, of them the same",
            format!("{}, {}", pairs.len(), pairs.iter().filter(|pair| pair.same).count()),
        ),
    ];
    let mut head = vec!["share of hits", "pairs"];
    head.extend(ways.iter().map(|way| way.name));
    let lines = balanced.counts.iter().rev().map(|((same, kind), (_, all))| {
        let name = if *same { format!("paraphrases {kind}") } else { format!("near misses: {kind}") };
        let shares = ways.iter().map(|way| Shown::Share.of(way.share(*same, Some(kind))));
        [name, all.to_string()].into_iter().chain(shares).collect()
    });
    let lines = lines.collect();
    Ok(vec![Table::new("Semantic cache", ABOUT, rows).with(&head, lines)])
}

/// Prints, for each pair of a file, where it comes from, its kind, whether it is the same, what it must differ in, and its features.
pub(crate) fn features(room: &Room, path: &Path) -> Outcome<()> {
    let models = room.models.as_ref().ok_or("no models")?;
    let pairs = pairs(&std::fs::read_to_string(path)?)?;
    let embedder = models.embedder(DEFAULT_EMBEDDER)?;
    let known = read(&embedder, &pairs, room)?;
    println!("origin\tkind\tsame\tdiffers\t{}", Asked::FEATURES.join("\t"));
    for pair in &pairs {
        let (Some(one), Some(other)) = (known.get(&pair.one), known.get(&pair.other)) else { continue };
        let differs = one.judge(other, Verify::Strict).differs_in.unwrap_or("");
        let features: Vec<String> = one.features(other).iter().map(f32::to_string).collect();
        println!(
            "{}\t{}\t{}\t{differs}\t{}",
            pair.origin,
            pair.kind,
            u8::from(pair.same),
            features.join("\t")
        );
    }
    Ok(())
}

/// Candidates that a look into the cache judges at most.
const CANDIDATES: f64 = 8.0;

/// What reading a question's words and judging eight candidates take, in milliseconds, beside embedding it.
fn added(embedder: &Embedder, pairs: &[Pair], room: &Room) -> Outcome<f64> {
    let (mut whole, mut words, mut judged) = (Vec::new(), Vec::new(), Vec::new());
    let millis = |began: Instant| began.elapsed().as_secs_f64() * 1e3;
    for pair in pairs.iter().step_by(pairs.len().div_ceil(200).max(1)) {
        let (one, other) = (format!("Well: {}", pair.one), format!("Well: {}", pair.other));
        let began = Instant::now();
        room.runtime.block_on(embedder.embed(&one))?;
        whole.push(millis(began));
        let began = Instant::now();
        let one = room.runtime.block_on(Asked::read(embedder, &one))?;
        words.push(millis(began));
        let other = room.runtime.block_on(Asked::read(embedder, &other))?;
        let began = Instant::now();
        std::hint::black_box(one.judge(&other, Verify::Balanced));
        judged.push(millis(began));
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Ok(median(&mut words) - median(&mut whole) + CANDIDATES * median(&mut judged))
}

fn two(way: &Way<'_>) -> String {
    format!("{}, {}", Shown::Share.of(way.share(true, None)), Shown::Share.of(way.share(false, None)))
}
