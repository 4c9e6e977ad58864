//! What two questions have in common and what not, as numbers for the trees to judge.
//!
//! Content words are paired: first equal stems, then words that WordNet or their spelling hold for the same. What is left over
//! is compared by the model's word vectors. The same for both orders of the two.

use super::asked::kinds;
use super::axes::poles;
use super::question::{Kind, Question, Word};
use super::rules::Mark;
use super::wordnet::{Relation, relation};
use super::words::{ASKS, OPPOSITES, QUANTIFIERS, SIDES, TENSES};
use ahash::AHashSet;

/// The numbers by name; the trees know them by place.
pub(super) const NAMES: [&str; 69] = [
    "cosine",
    "shared",
    "covered_least",
    "covered_most",
    "left_least",
    "left_most",
    "left_weight_least",
    "left_weight_most",
    "near_least",
    "near_most",
    "worst",
    "worst_weighted",
    "left_cosine",
    "one_sided",
    "swapped",
    "swapped_weight",
    "swapped_cosine",
    "opposites",
    "sisters",
    "synonyms",
    "akin",
    "left_names",
    "left_names_one_sided",
    "left_trigrams",
    "turned_pairs",
    "turned_share",
    "in_line",
    "asks_same",
    "asks_differ",
    "tenses",
    "quantifiers",
    "sides",
    "sides_turned",
    "little_shared",
    "length_ratio",
    "content_least",
    "frames",
    "after_numbers",
    "code",
    "quotes",
    "numbers",
    "dates",
    "negation",
    "names",
    "marked_opposites",
    "direction",
    "asked",
    "cosine_of_content",
    "poles_opposed",
    "poles_one_sided",
    "poles_agreed",
    "missing",
    "kinds_shared",
    "kinds_conflict",
    "kinds_one_sided",
    "kinds_way",
    "kinds_whether",
    "kinds_made",
    "past",
    "future",
    "exchanged",
    "exchanged_around",
    "from_one_sided",
    "quantifiers_conflict",
    "swapped_name",
    "left_numbers",
    "worst_name",
    "than_turned",
    "personal",
];

/// As many numbers as there are [`NAMES`].
pub(super) type Features = [f32; NAMES.len()];

/// How two words were paired.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bond {
    Equal,
    Synonyms,
    Akin,
}

#[allow(clippy::cast_precision_loss, reason = "counts of words")]
fn count(number: usize) -> f32 {
    number as f32
}

/// The numbers of a pair of questions whose embeddings have this cosine.
pub(super) fn features(one: &Question, other: &Question, cosine: f32) -> Features {
    let paired = Paired::of(one, other);
    let (a, b) = (&paired.one, &paired.other);
    let least = |f: &dyn Fn(&Side<'_>) -> f32| f(a).min(f(b));
    let most = |f: &dyn Fn(&Side<'_>) -> f32| f(a).max(f(b));
    let total = count(a.content.len() + b.content.len());
    let covered = |side: &Side<'_>| 1.0 - side.left_weight() / side.weight().max(1e-3);
    let left = |side: &Side<'_>| count(side.left.len());
    let (near_one, near_other) = (a.near(other), b.near(one));
    let swapped = paired.swapped();
    let bonds = |wanted: Bond| count(paired.bonds.iter().filter(|(_, _, bond)| *bond == wanted).count());
    let names = |side: &Side<'_>| side.left_words().filter(|word| word.name).count();
    let (turned, pairs) = (paired.turned(), paired.bonds.len());
    let (asks_one, asks_other) = (asked(one), asked(other));
    let (sides, sides_turned) = paired.sides();
    let content = |side: &Side<'_>| count(side.content.len());
    let frames = |question: &Question| question.places(Kind::Frame).len();
    let (poles, kinds) = (poles(one, other), kinds(one, other));
    let tenses = (classes(one, TENSES), classes(other, TENSES));
    let tense_differs =
        |class: &str| tenses.0.iter().any(|one| one == class) != tenses.1.iter().any(|one| one == class);
    let quantities = (classes(one, QUANTIFIERS), classes(other, QUANTIFIERS));
    let marked = |mark: Mark| f32::from(mark.differs(&one.marks, &other.marks));
    [
        cosine,
        if total > 0.0 { 2.0 * count(pairs) / total } else { 0.0 },
        least(&covered),
        most(&covered),
        least(&left),
        most(&left),
        least(&|side| side.left_weight()),
        most(&|side| side.left_weight()),
        near_one.mean.min(near_other.mean),
        near_one.mean.max(near_other.mean),
        near_one.worst.min(near_other.worst),
        near_one.missing.max(near_other.missing),
        mean_cosine(a, b),
        f32::from(a.left.is_empty() != b.left.is_empty()),
        count(swapped.count),
        swapped.weight,
        swapped.cosine,
        count(paired.related(Relation::Opposite)),
        count(paired.related(Relation::Sisters)),
        bonds(Bond::Synonyms),
        bonds(Bond::Akin),
        count(names(a) + names(b)),
        count(names(a).abs_diff(names(b))),
        paired.trigrams(),
        count(turned),
        count(turned) / count(pairs * pairs.saturating_sub(1) / 2).max(1.0),
        in_line(one, other),
        f32::from(asks_one.is_some() && asks_one == asks_other),
        f32::from(asks_one.is_some() && asks_other.is_some() && asks_one != asks_other),
        count(differing(&classes(one, TENSES), &classes(other, TENSES))),
        count(differing(&classes(one, QUANTIFIERS), &classes(other, QUANTIFIERS))),
        count(sides),
        count(sides_turned),
        little_shared(one, other),
        least(&content) / most(&content).max(1.0),
        least(&content),
        count(frames(one).abs_diff(frames(other))),
        count(differing(&after_numbers(one), &after_numbers(other))),
        marked(Mark::Code),
        marked(Mark::Quotes),
        marked(Mark::Numbers),
        marked(Mark::Dates),
        marked(Mark::Negation),
        marked(Mark::Names),
        marked(Mark::Opposites),
        marked(Mark::Direction),
        marked(Mark::Asked),
        cosine_of_content(one, other),
        count(poles.opposed),
        count(poles.one_sided),
        count(poles.agreed),
        f32::from(poles.missing),
        count(kinds.shared),
        count(kinds.conflict),
        count(kinds.one_sided),
        f32::from(kinds.way),
        f32::from(kinds.whether),
        f32::from(kinds.made),
        f32::from(tense_differs("0")),
        f32::from(tense_differs("2")),
        count(paired.exchanged()),
        count(paired.exchanged_around()),
        count(paired.one_sided_from()),
        f32::from(
            !quantities.0.is_empty()
                && !quantities.1.is_empty()
                && differing(&quantities.0, &quantities.1) > 0,
        ),
        f32::from(swapped.name),
        count(a.left_words().chain(b.left_words()).filter(|word| word.kind == Kind::Number).count()),
        a.nearest_name(other).min(b.nearest_name(one)),
        f32::from(paired.than_turned()),
        count(differing(&persons(one), &persons(other))),
    ]
}

/// One of two questions, beside the other.
struct Side<'a> {
    question: &'a Question,
    /// Places of its content words and numbers.
    content: Vec<usize>,
    /// Those that found no pair.
    left: Vec<usize>,
}

/// How near the words of a question come to those of another.
struct Near {
    mean: f32,
    worst: f32,
    missing: f32,
}

impl<'a> Side<'a> {
    fn of(question: &'a Question) -> Self {
        let mut content = question.places(Kind::Content);
        content.extend(question.places(Kind::Number));
        content.sort_unstable();
        Self { question, left: content.clone(), content }
    }

    fn word(&self, place: usize) -> Option<&'a Word> {
        self.question.words.get(place)
    }

    fn left_words(&self) -> impl Iterator<Item = &'a Word> {
        self.left.iter().filter_map(|place| self.question.words.get(*place))
    }

    fn weight(&self) -> f32 {
        self.content.iter().filter_map(|place| self.word(*place)).map(weight).sum()
    }

    fn left_weight(&self) -> f32 {
        self.left_words().map(weight).sum()
    }

    /// How near the other question comes to the name here that it comes to least; 1 without names.
    fn nearest_name(&self, other: &Question) -> f32 {
        let near =
            |word: &Word| other.words.iter().filter_map(|far| word.cosine(far)).fold(-1.0_f32, f32::max);
        self.left_words().filter(|word| word.name).map(near).fold(1.0, f32::min)
    }

    /// Each content word against the nearest of all words of the other question.
    fn near(&self, other: &Question) -> Near {
        let nearest = |word: &Word| {
            other.words.iter().filter_map(|far| word.cosine(far)).fold(-1.0_f32, f32::max).clamp(-1.0, 1.0)
        };
        let (mut sum, mut weights) = (0.0, 0.0);
        for place in &self.content {
            if let Some(word) = self.word(*place) {
                sum += weight(word) * nearest(word);
                weights += weight(word);
            }
        }
        let left: Vec<(f32, f32)> = self.left_words().map(|word| (nearest(word), weight(word))).collect();
        Near {
            mean: if weights > 0.0 { sum / weights } else { 0.0 },
            worst: left.iter().fold(1.0, |worst, (near, _)| near.min(worst)),
            missing: left.iter().map(|(near, weight)| (1.0 - near) * weight).sum(),
        }
    }
}

/// How much a word says: rare ones say more, names too.
fn weight(word: &Word) -> f32 {
    word.rarity + if word.name || word.kind == Kind::Number { 0.5 } else { 0.0 }
}

/// Two questions and which of their words belong together.
struct Paired<'a> {
    one: Side<'a>,
    other: Side<'a>,
    bonds: Vec<(usize, usize, Bond)>,
}

impl<'a> Paired<'a> {
    fn of(one: &'a Question, other: &'a Question) -> Self {
        let mut paired = Self { one: Side::of(one), other: Side::of(other), bonds: Vec::new() };
        for bond in [Bond::Equal, Bond::Synonyms, Bond::Akin] {
            paired.bind(bond);
        }
        paired
    }

    fn bind(&mut self, bond: Bond) {
        for place in self.one.left.clone() {
            let Some(word) = self.one.word(place) else { continue };
            let found = self.other.left.iter().copied().find(|far| {
                self.other.word(*far).is_some_and(|far| match bond {
                    Bond::Equal => word.stem == far.stem,
                    Bond::Synonyms => related(word, far) == Some(Relation::Same),
                    Bond::Akin => akin(word, far),
                })
            });
            if let Some(far) = found {
                self.bonds.push((place, far, bond));
                self.one.left.retain(|left| *left != place);
                self.other.left.retain(|left| *left != far);
            }
        }
    }

    /// Leftover words of both sides.
    fn leftovers(&self) -> impl Iterator<Item = (usize, usize, &'a Word, &'a Word)> + '_ {
        self.one.left.iter().flat_map(move |a| {
            self.other
                .left
                .iter()
                .filter_map(move |b| Some((*a, *b, self.one.word(*a)?, self.other.word(*b)?)))
        })
    }

    /// Leftover words that stand in the same place: the words before them or behind them are the same.
    fn swapped(&self) -> Swapped {
        let mut found = Swapped { count: 0, weight: 0.0, cosine: 1.0, name: false };
        let beside = |question: &Question, place: usize, step: isize| {
            place.checked_add_signed(step).and_then(|at| question.words.get(at)).map(|word| word.stem.clone())
        };
        for (a, b, word, far) in self.leftovers() {
            let (one, other) = (self.one.question, self.other.question);
            let same = |step| beside(one, a, step) == beside(other, b, step);
            if same(-1) && same(1) || same(-1) && same(-2) || same(1) && same(2) {
                found.count += 1;
                found.name |= word.name && far.name;
                found.weight = found.weight.max(weight(word).max(weight(far)));
                found.cosine = found.cosine.min(word.cosine(far).unwrap_or(0.0));
            }
        }
        found
    }

    /// How many leftover pairs relate in a way. Opposites are looked for among all words.
    fn related(&self, wanted: Relation) -> usize {
        let among_left = self.leftovers().filter(|(_, _, a, b)| related(a, b) == Some(wanted)).count();
        if wanted != Relation::Opposite {
            return among_left;
        }
        let only = |here: &Question, there: &Question| -> Vec<String> {
            let known: AHashSet<&str> = there.words.iter().map(|word| word.stem.as_str()).collect();
            let words = here.words.iter().filter(|word| word.kind != Kind::Content);
            words.filter(|word| !known.contains(word.stem.as_str())).map(|word| word.text.clone()).collect()
        };
        let (one, other) = (self.one.question, self.other.question);
        let (here, there) = (only(one, other), only(other, one));
        let opposed =
            |a: &String, b: &String| OPPOSITES.iter().any(|(x, y)| (a == x && b == y) || (a == y && b == x));
        among_left + here.iter().filter(|a| there.iter().any(|b| opposed(a, b))).count()
    }

    /// How alike the most alike leftover words are in spelling: typing errors and forms of a word.
    fn trigrams(&self) -> f32 {
        self.leftovers().map(|(_, _, a, b)| alike(&a.text, &b.text)).fold(0.0, f32::max)
    }

    /// Pairs of bonds whose words come in the other order.
    fn turned(&self) -> usize {
        let mut turned = 0;
        for (n, (a, b, _)) in self.bonds.iter().enumerate() {
            for (c, d, _) in self.bonds.iter().skip(n + 1) {
                turned += usize::from((a < c) != (b < d));
            }
        }
        turned
    }

    /// Pairs of bonds whose words have each the other's preposition: `a list into a tuple`, `a tuple to a list`.
    fn exchanged(&self) -> usize {
        let sides: Vec<_> = self
            .bonds
            .iter()
            .map(|(a, b, _)| (side(self.one.question, *a), side(self.other.question, *b)))
            .collect();
        let mut found = 0;
        for (n, (a_here, a_there)) in sides.iter().enumerate() {
            for (b_here, b_there) in sides.iter().skip(n + 1) {
                let apart = a_here != b_here && a_there != b_there;
                found += usize::from(apart && a_here == b_there && b_here == a_there);
            }
        }
        found
    }

    /// Words that stand on the other side of a word that both have: `a thanks b`, `b thanks a`.
    fn exchanged_around(&self) -> usize {
        let mut found = 0;
        for (a, x, _) in &self.bonds {
            for (b, y, _) in &self.bonds {
                if a < b && y < x {
                    found += usize::from(self.bonds.iter().any(|(v, w, _)| a < v && v < b && y < w && w < x));
                }
            }
        }
        found
    }

    /// Bonds of which one word stands behind `from`, and the other does not.
    fn one_sided_from(&self) -> usize {
        let from = |question: &Question, place: usize| side(question, place) == Some(0);
        let apart =
            |(a, b, _): &&(usize, usize, Bond)| from(self.one.question, *a) != from(self.other.question, *b);
        self.bonds.iter().filter(apart).count()
    }

    /// Whether another word stands behind `than` or `compared to`.
    fn than_turned(&self) -> bool {
        let behind = |question: &Question| -> Option<usize> {
            let than =
                question.words.iter().rposition(|word| matches!(word.text.as_str(), "than" | "compared"))?;
            (than + 1..question.words.len())
                .find(|at| question.words.get(*at).is_some_and(|word| word.kind == Kind::Content))
        };
        let (Some(a), Some(b)) = (behind(self.one.question), behind(self.other.question)) else {
            return false;
        };
        let bond = self.bonds.iter().find(|(x, _, _)| *x == a);
        bond.is_some_and(|(_, y, _)| *y != b)
    }

    /// Bonds whose words follow different prepositions, and those that follow the opposite one.
    fn sides(&self) -> (usize, usize) {
        let (mut differ, mut turned) = (0, 0);
        for (a, b, _) in &self.bonds {
            let (one, other) = (side(self.one.question, *a), side(self.other.question, *b));
            differ += usize::from(one != other);
            let opposite =
                |x, y| matches!((x, y), (Some(0), Some(1)) | (Some(4), Some(5)) | (Some(6), Some(7)));
            turned += usize::from(opposite(one, other) || opposite(other, one));
        }
        (differ, turned)
    }
}

struct Swapped {
    count: usize,
    weight: f32,
    cosine: f32,
    /// Whether both are names.
    name: bool,
}

/// The preposition that a word stands behind, at most three words before it.
fn side(question: &Question, place: usize) -> Option<u8> {
    for back in 1..=3 {
        let word = question.words.get(place.checked_sub(back)?)?;
        if let Some(side) = class(SIDES, &word.text) {
            return Some(side);
        }
        if word.kind != Kind::Little && word.kind != Kind::Number {
            return None;
        }
    }
    None
}

fn class(table: &[(&str, u8)], text: &str) -> Option<u8> {
    table.iter().find(|(name, _)| *name == text).map(|(_, class)| *class)
}

fn related(one: &Word, other: &Word) -> Option<Relation> {
    let forms = |word: &Word| [word.text.clone(), word.stem.clone(), format!("{}e", word.stem)];
    let (a, b) = (forms(one), forms(other));
    let (a, b) = (a.each_ref().map(String::as_str), b.each_ref().map(String::as_str));
    let in_table =
        |x: &&str, y: &&str| OPPOSITES.iter().any(|(l, r)| (x == l && y == r) || (x == r && y == l));
    if a.iter().any(|x| b.iter().any(|y| in_table(x, y))) || by_prefix(&one.stem, &other.stem) {
        return Some(Relation::Opposite);
    }
    relation(&a, &b)
}

/// Opposites by a prefix: `install`, `uninstall`.
fn by_prefix(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    let before = long.strip_suffix(short).filter(|_| short.len() >= 4);
    before.is_some_and(|before| matches!(before, "un" | "dis" | "de" | "in" | "im" | "il" | "ir" | "non"))
}

/// Derived from the same word: a long beginning in common.
fn akin(one: &Word, other: &Word) -> bool {
    if one.kind != Kind::Content || other.kind != Kind::Content {
        return false;
    }
    let common = one.stem.chars().zip(other.stem.chars()).take_while(|(a, b)| a == b).count();
    let (a, b) = (one.stem.chars().count(), other.stem.chars().count());
    common >= 4 && common + 2 >= a.min(b) && common + 6 >= a.max(b)
}

/// Dice's coefficient of the trigrams of two words.
fn alike(one: &str, other: &str) -> f32 {
    let grams = |word: &str| -> AHashSet<[char; 3]> {
        let letters: Vec<char> = format!(" {word} ").chars().collect();
        letters.array_windows::<3>().copied().collect()
    };
    let (one, other) = (grams(one), grams(other));
    2.0 * count(one.intersection(&other).count()) / count(one.len() + other.len()).max(1.0)
}

/// The cosine of the means of what is left on both sides; 1 where nothing is left on either, 0 where on one.
fn mean_cosine(one: &Side<'_>, other: &Side<'_>) -> f32 {
    if one.left.is_empty() && other.left.is_empty() {
        return 1.0;
    }
    cosine_of(one.left_words(), other.left_words())
}

fn cosine_of_content(one: &Question, other: &Question) -> f32 {
    let content = |word: &&Word| word.kind == Kind::Content || word.kind == Kind::Number;
    cosine_of(one.words.iter().filter(content), other.words.iter().filter(content))
}

fn cosine_of<'a>(one: impl Iterator<Item = &'a Word>, other: impl Iterator<Item = &'a Word>) -> f32 {
    let mean = |words: &mut dyn Iterator<Item = &'a Word>| {
        let mut sum = [0_f32; super::question::KEPT];
        for word in words {
            if let Some(vector) = &word.vector {
                sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight(word) * value);
            }
        }
        sum
    };
    let (mut one, mut other) = (one, other);
    let (a, b) = (mean(&mut one), mean(&mut other));
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    let lengths = (dot(&a, &a) * dot(&b, &b)).sqrt();
    if lengths > 0.0 { dot(&a, &b) / lengths } else { 0.0 }
}

/// The longest run of words, gaps allowed, that both have in the same order, to all words.
fn in_line(one: &Question, other: &Question) -> f32 {
    let (a, b) = (&one.words, &other.words);
    let mut row = vec![0_usize; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, far) in b.iter().enumerate() {
            let (above, left) = (row.get(at + 1).copied().unwrap_or(0), row.get(at).copied().unwrap_or(0));
            let value = if word.stem == far.stem { diagonal + 1 } else { above.max(left) };
            diagonal = above;
            if let Some(slot) = row.get_mut(at + 1) {
                *slot = value;
            }
        }
    }
    2.0 * count(row.last().copied().unwrap_or(0)) / count(a.len() + b.len()).max(1.0)
}

/// What kind of thing a question asks for.
#[derive(PartialEq, Eq)]
struct Asked(&'static str, Option<String>);

fn asked(question: &Question) -> Option<Asked> {
    for (place, word) in question.words.iter().enumerate() {
        let next = question.words.get(place + 1);
        if word.text == "how" {
            let measure = next
                .filter(|next| next.kind == Kind::Content || ["much", "many"].contains(&next.text.as_str()));
            return Some(Asked("how", measure.map(|next| next.stem.clone())));
        }
        if let Some((_, asks)) = ASKS.iter().find(|(name, _)| *name == word.text) {
            return Some(Asked(asks, None));
        }
    }
    None
}

fn classes(question: &Question, table: &[(&str, u8)]) -> Vec<String> {
    let mut found: Vec<String> = question
        .words
        .iter()
        .filter_map(|word| class(table, &word.text))
        .map(|class| class.to_string())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Who is spoken of: the one who asks, the one who is asked, somebody else.
fn persons(question: &Question) -> Vec<String> {
    const PERSONS: &[(&str, u8)] = &[
        ("i", 0),
        ("me", 0),
        ("my", 0),
        ("mine", 0),
        ("we", 0),
        ("our", 0),
        ("us", 0),
        ("you", 1),
        ("your", 1),
        ("he", 2),
        ("she", 2),
        ("they", 2),
        ("them", 2),
        ("their", 2),
        ("someone", 2),
        ("somebody", 2),
        ("his", 2),
        ("her", 2),
    ];
    classes(question, PERSONS)
}

/// The stems of the words behind numbers.
fn after_numbers(question: &Question) -> Vec<String> {
    let behind = question.places(Kind::Number).into_iter().filter_map(|place| question.words.get(place + 1));
    let mut found: Vec<String> =
        behind.filter(|word| word.kind == Kind::Content).map(|word| word.stem.clone()).collect();
    found.sort_unstable();
    found
}

/// How many of the one are not in the other, and the other way round.
fn differing(one: &[String], other: &[String]) -> usize {
    let only = |here: &[String], there: &[String]| here.iter().filter(|word| !there.contains(word)).count();
    only(one, other) + only(other, one)
}

fn little_shared(one: &Question, other: &Question) -> f32 {
    let little = |question: &Question| -> AHashSet<String> {
        question.words.iter().filter(|word| word.kind == Kind::Little).map(|word| word.text.clone()).collect()
    };
    let (one, other) = (little(one), little(other));
    let all = one.union(&other).count();
    if all == 0 { 1.0 } else { count(one.intersection(&other).count()) / count(all) }
}
