//! Reports and rows for programs: JSON, and CSV (RFC 4180). Money is decimal text, so that no float stands between.

use super::row::classes_named;
use super::{Amounts, Line, Query, Report, Single};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};
use weir_message::Usage;

impl Report {
    /// The report as JSON: its lines, and all of them together.
    pub fn to_json(&self, query: &Query) -> Value {
        let lines: Vec<Value> = self.lines.iter().map(|line| line_json(line, query)).collect();
        let mut out = json!({ "lines": lines, "total": amounts_json(&self.total) });
        if let (Some(since), Some(out)) = (self.rows_since, out.as_object_mut()) {
            out.insert("rows_since".to_owned(), rfc3339(since.saturating_mul(1_000_000_000)).into());
        }
        out
    }

    /// The report's lines as CSV, the names of the columns first.
    pub fn to_csv(&self, query: &Query) -> String {
        let mut out = String::new();
        let mut head: Vec<String> = query.bucket.iter().map(|_| "bucket".to_owned()).collect();
        head.extend(query.by.iter().map(super::Dimension::name));
        head.extend(columns(&Amounts::default()).into_iter().map(|(name, _)| name.to_owned()));
        csv_line(&mut out, head.iter().map(String::as_str));
        for line in &self.lines {
            let mut cells: Vec<String> = query.bucket.iter().map(|_| line.bucket.clone()).collect();
            cells.extend(line.by.iter().cloned());
            cells.extend(columns(&line.amounts).into_iter().map(|(_, value)| value));
            csv_line(&mut out, cells.iter().map(String::as_str));
        }
        out
    }
}

impl Single {
    /// The row as JSON.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        for (name, value) in self.cells() {
            let value = match name {
                "tags" | "price" => serde_json::from_str(&value).unwrap_or(Value::Null),
                "cost" | "saved" if value.is_empty() => Value::Null,
                _ => Value::from(value),
            };
            out.insert(name.to_owned(), value);
        }
        for (name, number) in self.numbers() {
            out.insert(name.to_owned(), number.into());
        }
        out.insert("usage".to_owned(), usage_json(&self.usage));
        Value::Object(out)
    }

    /// The row as a line of CSV.
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        let usage = classes_named(&self.usage).map(|(_, number)| number.to_string());
        let numbers = self.numbers().map(|(_, number)| number.map_or_else(String::new, |n| n.to_string()));
        let texts = self.cells().into_iter().map(|(_, value)| value);
        let cells: Vec<String> = texts.chain(numbers).chain(usage).collect();
        csv_line(&mut out, cells.iter().map(String::as_str));
        out
    }

    /// The names of the columns of [`to_csv`](Self::to_csv).
    pub fn csv_head(&self) -> String {
        let mut out = String::new();
        let usage = classes_named(&self.usage).map(|(name, _)| name);
        let names = self.cells().into_iter().map(|(name, _)| name);
        let names: Vec<&str> = names.chain(self.numbers().map(|(name, _)| name)).chain(usage).collect();
        csv_line(&mut out, names.into_iter());
        out
    }

    fn cells(&self) -> Vec<(&'static str, String)> {
        let money =
            |money: Option<weir_message::Money>| money.map_or_else(String::new, |money| money.decimal());
        let mut out = vec![
            ("id", format!("{:032x}", self.id)),
            ("time", rfc3339(self.time)),
            ("request", self.request.to_string()),
        ];
        out.extend(self.names.iter().cloned());
        out.extend([
            ("tags", self.tags.clone()),
            ("revision", self.revision.clone()),
            ("price", self.price.clone().unwrap_or_default()),
            ("cost", money(self.cost)),
            ("saved", money(self.saved)),
        ]);
        out
    }

    fn numbers(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("attempt", Some(self.attempt.into())),
            ("status", self.status.map(u64::from)),
            ("before_us", Some(self.before)),
            ("first_byte_us", self.first_byte),
            ("took_us", Some(self.took)),
        ]
    }
}

fn line_json(line: &Line, query: &Query) -> Value {
    let mut out = Map::new();
    if query.bucket.is_some() {
        out.insert("bucket".to_owned(), line.bucket.as_str().into());
    }
    for (dimension, name) in query.by.iter().zip(&line.by) {
        out.insert(dimension.name(), name.as_str().into());
    }
    if let Value::Object(amounts) = amounts_json(&line.amounts) {
        out.extend(amounts);
    }
    Value::Object(out)
}

fn amounts_json(amounts: &Amounts) -> Value {
    json!({
        "requests": amounts.requests,
        "attempts": amounts.attempts,
        "hits": amounts.hits,
        "unpriced": amounts.unpriced,
        "cost": amounts.cost.decimal(),
        "saved": amounts.saved.decimal(),
        "usage": usage_json(&amounts.usage),
        "before_us": amounts.before,
        "first_byte_us": amounts.first_byte.0,
        "first_bytes": amounts.first_byte.1,
        "took_us": amounts.took,
    })
}

/// Usage by class, without the classes that nothing was spent of besides input and output.
fn usage_json(usage: &Usage) -> Value {
    let always = |name: &str| name == "input" || name == "output";
    let classes = classes_named(usage).filter(|(name, number)| *number > 0 || always(name));
    Value::Object(classes.map(|(name, number)| (name.to_owned(), number.into())).collect())
}

fn columns(amounts: &Amounts) -> Vec<(&'static str, String)> {
    let mut out = vec![
        ("requests", amounts.requests.to_string()),
        ("attempts", amounts.attempts.to_string()),
        ("hits", amounts.hits.to_string()),
        ("unpriced", amounts.unpriced.to_string()),
        ("cost", amounts.cost.decimal()),
        ("saved", amounts.saved.decimal()),
    ];
    out.extend(classes_named(&amounts.usage).map(|(name, number)| (name, number.to_string())));
    out.extend([
        ("before_us", amounts.before.to_string()),
        ("first_byte_us", amounts.first_byte.0.to_string()),
        ("first_bytes", amounts.first_byte.1.to_string()),
        ("took_us", amounts.took.to_string()),
    ]);
    out
}

fn rfc3339(nanos: i64) -> String {
    DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn csv_line<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            out.push(',');
        }
        match cell.contains([',', '"', '\n', '\r']) {
            true => {
                out.push('"');
                out.push_str(&cell.replace('"', "\"\""));
                out.push('"');
            }
            false => out.push_str(cell),
        }
    }
    out.push_str("\r\n");
}
