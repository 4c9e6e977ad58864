//! A strict reader of OpenMetrics 1.0 text, as far as gateways write it.

use std::collections::{BTreeMap, BTreeSet};

/// A series: its name and its labels.
type Series = (String, BTreeMap<String, String>);

/// An exposition that keeps the rules.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    types: BTreeMap<String, String>,
    samples: BTreeMap<Series, f64>,
}

impl Exposition {
    /// Reads a text; the error says which line breaks which rule.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut out = Self::default();
        let body = text.strip_suffix("# EOF\n").ok_or("it does not end in # EOF")?;
        // Families come one after another, each with its metadata first.
        let mut family = String::new();
        let mut told = BTreeSet::new();
        let mut unit_of = None;
        for line in body.lines() {
            let fail = |why: &str| Err(format!("{why}: {line}"));
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (Some(kind), Some(name), Some(value)) = (words.next(), words.next(), words.next()) else {
                    return fail("metadata without a value");
                };
                if !is_name(name) {
                    return fail("no name of a family");
                }
                if name != family {
                    if !told.insert(name.to_owned()) {
                        return fail("a family told twice");
                    }
                    family = name.to_owned();
                    unit_of = None;
                }
                match kind {
                    "TYPE" if ["counter", "gauge", "histogram", "info"].contains(&value) => {
                        if out.types.insert(name.to_owned(), value.to_owned()).is_some() {
                            return fail("a type told twice");
                        }
                    }
                    "UNIT" if name.ends_with(&format!("_{value}")) => unit_of = Some(value.to_owned()),
                    "HELP" => {}
                    _ => return fail("metadata of an unknown kind"),
                }
                continue;
            }
            let (series, value) = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
            let Some(kind) = out.types.get(&family) else { return fail("a sample before its type") };
            let Some(suffix) = series.0.strip_prefix(&family) else {
                return fail("a sample outside its family");
            };
            let fits = match kind.as_str() {
                "counter" => suffix == "_total" && value >= 0.0,
                "gauge" => suffix.is_empty(),
                "info" => suffix == "_info" && value == 1.0,
                _ => match suffix {
                    "_bucket" => series.1.contains_key("le"),
                    _ => ["_sum", "_count"].contains(&suffix),
                },
            };
            if !fits {
                return fail("a sample that does not fit its type");
            }
            if kind == "histogram" && unit_of.is_none() && family.contains("duration") {
                return fail("a time without a unit");
            }
            if out.samples.insert(series, value).is_some() {
                return fail("a series told twice");
            }
        }
        out.histograms_add_up()?;
        Ok(out)
    }

    fn histograms_add_up(&self) -> Result<(), String> {
        for (family, kind) in &self.types {
            if kind != "histogram" {
                continue;
            }
            for ((name, labels), count) in &self.samples {
                if *name != format!("{family}_count") {
                    continue;
                }
                let mut buckets: Vec<(f64, f64)> = Vec::new();
                for ((bucket, with), value) in &self.samples {
                    let mut rest = with.clone();
                    let le = rest.remove("le");
                    if *bucket == format!("{family}_bucket") && rest == *labels {
                        let le = le.ok_or("a bucket without le")?;
                        let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().map_err(|_| le)? };
                        buckets.push((bound, *value));
                    }
                }
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
                if !grows || buckets.last() != Some(&(f64::INFINITY, *count)) {
                    return Err(format!("{family} {labels:?}: {buckets:?} do not add up to {count}"));
                }
            }
        }
        Ok(())
    }

    /// The sum of all series of a name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |have: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| have.get(*label).is_some_and(|have| have == value))
        };
        self.samples
            .iter()
            .filter(|((have, with), _)| have == name && has(with))
            .map(|(_, value)| value)
            .sum()
    }

    /// All values of a label.
    pub(crate) fn values(&self, label: &str) -> BTreeSet<&str> {
        self.samples.keys().filter_map(|(_, labels)| labels.get(label)).map(String::as_str).collect()
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Option<(Series, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let close = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        _ => return None,
                    }),
                    (_, c) => value.push(c),
                }
            };
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = after.get(close + 1..)?;
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    is_name(name).then(|| ((name.to_owned(), labels), value))
}

#[test]
fn the_reader_refuses_what_breaks_the_rules() {
    let good = "# HELP a_b Help.\n# TYPE a_b counter\na_b_total{x=\"1\\\"\\\\\\n\"} 1\n# EOF\n";
    assert_eq!(Exposition::read(good).unwrap().sum("a_b_total", &[("x", "1\"\\\n")]), 1.0);
    for bad in [
        "a_total 1\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a counter\na_total 1\n",
        "# TYPE a counter\na_total 1\na_total 2\n# EOF\n",
        "# TYPE a counter\na_total{x=\"\n\"} 1\n# EOF\n",
        "# TYPE a counter\n# TYPE b gauge\nb 1\na_total 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\n# EOF\n",
    ] {
        assert!(Exposition::read(bad).is_err(), "{bad}");
    }
}
