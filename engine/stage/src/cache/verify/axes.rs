//! Meanings with two ends, and which end the words of a question name: on or off, more or less, buy or sell.
//!
//! Two questions that name opposite ends of one axis ask for different things, in whatever words: `activate` against `switch off`.

use super::question::{Question, Word, stem};

/// The ends of an axis: words, or two words one after the other, by their stems.
struct Axis {
    this: &'static [&'static str],
    that: &'static [&'static str],
}

const AXES: &[Axis] = &[
    Axis {
        this: &[
            "enable",
            "activate",
            "turn on",
            "switch on",
            "switched on",
            "reactivate",
            "unmute",
            "unblock",
        ],
        that: &[
            "disable",
            "deactivate",
            "turn off",
            "switch off",
            "switched off",
            "mute",
            "silence",
            "block",
        ],
    },
    Axis {
        this: &[
            "start", "begin", "open", "create", "launch", "found", "set up", "resume", "join", "build",
            "built", "add",
        ],
        that: &[
            "stop", "end", "close", "delete", "remove", "quit", "finish", "pause", "leave", "cancel",
            "destroy", "drop",
        ],
    },
    Axis { this: &["buy", "purchase", "buying"], that: &["sell", "sale"] },
    Axis { this: &["install", "reinstall"], that: &["uninstall"] },
    Axis {
        this: &["subscribe", "renew", "extend"],
        that: &["unsubscribe", "terminate", "cancel", "give up"],
    },
    Axis { this: &["hide", "invisible", "conceal"], that: &["unhide", "reveal", "visible", "unhidden"] },
    Axis { this: &["lock", "freeze", "encrypt"], that: &["unlock", "unfreeze", "decrypt"] },
    Axis {
        this: &["import", "upload", "inbound", "incoming"],
        that: &["export", "download", "outbound", "outgoing"],
    },
    Axis {
        this: &["connect", "attach", "pair", "link"],
        that: &["disconnect", "detach", "unpair", "unlink"],
    },
    Axis { this: &["send", "sent", "dispatch"], that: &["receive", "received"] },
    Axis { this: &["lend"], that: &["borrow"] },
    Axis { this: &["teach", "teaching"], that: &["learn", "learning"] },
    Axis {
        this: &[
            "increase", "raise", "improve", "grow", "gain", "speed up", "faster", "enlarge", "rise", "boost",
            "more",
        ],
        that: &[
            "decrease",
            "lower",
            "reduce",
            "worsen",
            "shrink",
            "lose",
            "slow down",
            "slower",
            "fall",
            "drop",
            "less",
            "cut",
        ],
    },
    Axis {
        this: &[
            "good",
            "safe",
            "benefit",
            "advantage",
            "healthy",
            "pro",
            "upside",
            "best",
            "better",
            "okay",
            "ok",
        ],
        that: &[
            "bad",
            "dangerous",
            "risk",
            "disadvantage",
            "unhealthy",
            "con",
            "downside",
            "worst",
            "worse",
            "harm",
            "harmful",
        ],
    },
    Axis {
        this: &["legal", "allowed", "permitted", "may", "allow", "lawful", "permissible"],
        that: &["illegal", "forbidden", "prohibited", "forbid", "prohibit", "ban", "banned", "unlawful"],
    },
    Axis { this: &["before", "prior"], that: &["after", "afterwards", "following"] },
    Axis { this: &["first", "earliest"], that: &["last", "latest", "final"] },
    Axis { this: &["max", "maximum", "most", "limit"], that: &["min", "minimum", "least"] },
    Axis { this: &["born", "birth", "birthplace"], that: &["die", "died", "death", "dead"] },
    Axis { this: &["read"], that: &["write", "unread"] },
    Axis {
        this: &["plus", "add", "sum"],
        that: &["minus", "subtract", "times", "multiply", "divided", "divide", "product"],
    },
    Axis { this: &["times", "multiply", "multiplied"], that: &["divide", "divided", "minus", "plus", "add"] },
    Axis { this: &["left"], that: &["right"] },
    Axis { this: &["big", "large", "tall", "huge", "grand"], that: &["small", "tiny", "little", "short"] },
    Axis { this: &["high", "tall"], that: &["low"] },
    Axis { this: &["long"], that: &["short", "brief"] },
    Axis { this: &["deep"], that: &["shallow"] },
    Axis { this: &["heavy"], that: &["light"] },
    Axis { this: &["old"], that: &["new", "young"] },
    Axis { this: &["hot", "warm"], that: &["cold", "cool"] },
    Axis { this: &["fast", "quick"], that: &["slow"] },
    Axis { this: &["hard", "difficult"], that: &["easy", "simple", "soft"] },
    Axis { this: &["strong", "durable"], that: &["weak", "fragile"] },
    Axis { this: &["expensive", "costly", "dear"], that: &["cheap", "affordable", "inexpensive"] },
    Axis { this: &["near", "close", "nearby", "closest", "next to"], that: &["far", "distant", "away"] },
    Axis { this: &["over", "above", "exceed"], that: &["under", "below", "within"] },
    Axis { this: &["arrive", "arrival"], that: &["depart", "departure"] },
    Axis { this: &["accept", "approve", "grant"], that: &["reject", "decline", "refuse", "revoke", "deny"] },
    Axis { this: &["win", "won"], that: &["lose", "lost", "defeat"] },
    Axis { this: &["hire"], that: &["fire", "dismiss"] },
    Axis { this: &["paid"], that: &["unpaid", "open"] },
    Axis {
        this: &["same", "common", "similar", "similarity"],
        that: &["different", "difference", "differ", "vs", "versus"],
    },
    Axis { this: &["merge", "combine", "join"], that: &["split", "separate", "divide"] },
    Axis { this: &["inside", "indoor", "internal"], that: &["outside", "outdoor", "external"] },
    Axis { this: &["online"], that: &["offline", "in store"] },
    Axis { this: &["avoid", "prevent", "stop", "against"], that: &["cause", "attract", "make"] },
    Axis { this: &["whole", "all", "every", "each", "everyone"], that: &["some", "few", "single", "part"] },
];

/// Words that say that something is missing.
const MISSING: &[&str] = &["without", "no", "minus", "lack", "lacking", "lost", "never", "none", "not"];

/// How two questions lie on the axes.
pub(super) struct Poles {
    /// Axes on which they name opposite ends.
    pub(super) opposed: usize,
    /// Axes of which only one of them names an end.
    pub(super) one_sided: usize,
    /// Axes on which they name the same end.
    pub(super) agreed: usize,
    /// Whether one of them says that something is missing and the other does not.
    pub(super) missing: bool,
}

/// How two questions lie on the axes.
pub(super) fn poles(one: &Question, other: &Question) -> Poles {
    let (a, b) = (Forms::of(one), Forms::of(other));
    let mut poles = Poles { opposed: 0, one_sided: 0, agreed: 0, missing: a.missing != b.missing };
    for axis in AXES {
        match (a.end(axis), b.end(axis)) {
            (0, 0) => {}
            (x, y) if x == y => poles.agreed += 1,
            (0, _) | (_, 0) => poles.one_sided += 1,
            _ => poles.opposed += 1,
        }
    }
    poles
}

/// The words of a question in the forms that the axes know.
struct Forms {
    words: Vec<String>,
    pairs: Vec<String>,
    missing: bool,
}

impl Forms {
    fn of(question: &Question) -> Self {
        let words: Vec<&Word> = question.words.iter().collect();
        let particles = ["on", "off", "up", "down"];
        let mut pairs = Vec::new();
        for (n, word) in words.iter().enumerate() {
            // `turn dark mode off`: the particle may stand some words behind its verb.
            let behind =
                words.iter().skip(n + 1).take(6).find(|next| particles.contains(&next.text.as_str()));
            if let Some(particle) = behind {
                pairs.push(format!("{} {}", word.stem, particle.text));
            }
            if let Some(next) = words.get(n + 1) {
                pairs.push(format!("{} {}", word.stem, next.text));
            }
        }
        let missing =
            words.iter().any(|word| MISSING.contains(&word.text.as_str()) || word.text.ends_with("n't"));
        let less = words.iter().any(|word| ["less", "least"].contains(&word.text.as_str()));
        let words = words
            .iter()
            .flat_map(|word| [Some(word.stem.clone()), graded(&word.text)])
            .flatten()
            // `less heavy` is no `heavy`.
            .filter(|word| !less || !graded_known(word))
            .collect();
        Self { words, pairs, missing }
    }

    /// 1 for this end, -1 for that, 0 for none or both.
    fn end(&self, axis: &Axis) -> i8 {
        let names = |words: &[&str]| {
            words.iter().any(|word| match word.split_once(' ') {
                Some((verb, particle)) => self.pairs.contains(&format!("{} {particle}", stem(verb))),
                None => self.words.contains(&stem(word)),
            })
        };
        i8::from(names(axis.this)) - i8::from(names(axis.that))
    }
}

/// The stem of an adjective that stands in a comparison: `heavier`, `biggest`.
fn graded(word: &str) -> Option<String> {
    let rest = word.strip_suffix("est").or_else(|| word.strip_suffix("er"))?;
    if rest.len() < 3 {
        return None;
    }
    let rest = rest.strip_suffix('i').map_or_else(|| rest.to_owned(), |rest| format!("{rest}y"));
    let mut last = rest.chars().rev();
    let doubled = matches!((last.next(), last.next()), (Some(a), Some(b)) if a == b && "gtnm".contains(a));
    Some(if doubled { rest.get(..rest.len() - 1).unwrap_or(&rest).to_owned() } else { stem(&rest) })
}

fn graded_known(word: &str) -> bool {
    ["heavy", "expensiv", "difficult", "hard", "big", "larg", "cheap", "easy", "strong"].contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_ends_are_seen_in_whatever_words() {
        for (one, other, opposed) in [
            ("activate airplane mode", "How can I switch off airplane mode?", true),
            ("turn cookies off", "turn cookies on", true),
            ("How do I buy a bike?", "selling a bike", true),
            ("Which is the biggest desert?", "name the smallest desert", true),
            ("Is a tablet heavier than a laptop?", "are tablets lighter than laptops", true),
            ("enable dark mode", "how do I turn on dark mode", false),
            ("Which is the highest tower?", "tallest tower?", false),
        ] {
            let poles = poles(&Question::of(one, &[]), &Question::of(other, &[]));
            assert_eq!(poles.opposed > 0, opposed, "{one} / {other}");
        }
    }
}
