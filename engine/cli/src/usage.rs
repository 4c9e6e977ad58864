//! `weir usage`: what was spent, from the ledger of a set.

use crate::out::{BAD, COULD_NOT, USAGE, complain, fail, say};
use crate::set::Shop;
use clap::ValueEnum;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_message::Money;
use weir_pipeline::{Clock, SystemClock};
use weir_state::{Books, Ledger, Query, Report, Single};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the policy set, whose `state:` names the file
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The file of `state:` itself, instead of a set
    #[arg(long, conflicts_with = "dir")]
    file: Option<PathBuf>,
    /// What is told apart: key, user, team, project, tag.NAME, pipeline, operation, model, provider, target, outcome, counted, revision
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    by: Vec<String>,
    /// Windows of the calendar: hour, day, week, month
    #[arg(long)]
    bucket: Option<String>,
    /// From when on: a day, a moment (RFC 3339), or how long ago (7d)
    #[arg(long)]
    since: Option<String>,
    /// Before when
    #[arg(long)]
    until: Option<String>,
    /// Only these: team=web, model!=gpt-5*,o3; all conditions hold together
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Where days begin: a name of the IANA database
    #[arg(long)]
    time_zone: Option<String>,
    /// Single rows instead of sums
    #[arg(long, conflicts_with_all = ["by", "bucket"])]
    rows: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// For people, spreadsheets or programs.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Pretty,
    /// For spreadsheets (RFC 4180).
    Csv,
    /// For programs; rows as one object a line.
    Json,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let query = match query(args) {
        Ok(query) => query,
        Err(why) => return fail(USAGE, &why),
    };
    let file = match &args.file {
        Some(file) => file.clone(),
        None => match file_of(&args.dir) {
            Ok(file) => file,
            Err(why) => return fail(BAD, &why),
        },
    };
    let books = Books::open(&Ledger::beside(&file));
    let done = books.and_then(|books| match args.rows {
        true => print_rows(&books, &query, args.format),
        false => books.report(&query).map(|report| print(&report, &query, args.format)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(COULD_NOT, &error.to_string()),
    }
}

fn query(args: &Args) -> Result<Query, String> {
    let mut pairs: Vec<(&str, &str)> = args.by.iter().map(|name| ("by", name.as_str())).collect();
    let single = [
        ("bucket", &args.bucket),
        ("since", &args.since),
        ("until", &args.until),
        ("time_zone", &args.time_zone),
    ];
    pairs.extend(single.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    pairs.extend(args.conditions.iter().map(|condition| ("where", condition.as_str())));
    Query::parse(&pairs, SystemClock::new().unix_nanos() / 1_000_000_000)
}

/// The file that a set's `state:` names.
fn file_of(dir: &Path) -> Result<PathBuf, String> {
    let shop = Shop::open();
    let compiled = shop.folder(dir, &shop.state)?;
    let rendered = compiled.rendered(crate::out::colours());
    let set = compiled.set.ok_or(rendered)?;
    let file = set.state.and_then(|state| state.file);
    let file = file.ok_or("the set keeps no ledger: name a file under `state:`")?;
    let root = if dir.is_dir() { dir } else { dir.parent().unwrap_or(dir) };
    Ok(root.join(file))
}

fn print(report: &Report, query: &Query, format: Format) {
    match format {
        Format::Pretty => say(&table(report, query)),
        Format::Csv => say(&report.to_csv(query)),
        Format::Json => say(&format!("{:#}", report.to_json(query))),
    }
    if report.rows_since.is_some() {
        complain(
            "Only single rows can answer this, and the oldest are no longer kept (`state: { ledger: { rows } }`).",
        );
    }
    if report.total.unpriced > 0 && format == Format::Pretty {
        complain(&format!("Of {} attempts no price is known.", report.total.unpriced));
    }
}

fn print_rows(books: &Books, query: &Query, format: Format) -> Result<(), weir_state::StateError> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut is_first = true;
    books.rows(query, |row| {
        let head = std::mem::take(&mut is_first);
        let text = match format {
            Format::Json => format!("{}\n", row.to_json()),
            Format::Csv if head => format!("{}{}", row.csv_head(), row.to_csv()),
            Format::Csv => row.to_csv(),
            Format::Pretty if head => format!("{}\n{}\n", cells(&HEAD), row_line(&row)),
            Format::Pretty => format!("{}\n", row_line(&row)),
        };
        // A reader that went away (`| head`) wants no more.
        out.write_all(text.as_bytes()).is_ok()
    })?;
    let _ = out.flush();
    Ok(())
}

const HEAD: [&str; 8] = ["TIME", "KEY", "TEAM", "TARGET", "OUTCOME", "IN", "OUT", "COST USD"];

fn row_line(row: &Single) -> String {
    let name =
        |of: &str| row.names.iter().find(|(name, _)| *name == of).map_or("", |(_, name)| name.as_str());
    let time = row.to_json()["time"].as_str().unwrap_or_default().to_owned();
    let cost = row.cost.map_or_else(|| "-".to_owned(), dollars);
    let (input, output) = (row.usage.input.to_string(), row.usage.output.to_string());
    cells(&[&time, name("key"), name("team"), name("target"), name("outcome"), &input, &output, &cost])
}

fn cells([time, key, team, target, outcome, input, output, cost]: &[&str; 8]) -> String {
    format!("{time:<28} {key:<16} {team:<12} {target:<36} {outcome:<12} {input:>8} {output:>8} {cost:>14}")
}

/// A table for people: windows and names to the left, numbers to the right.
fn table(report: &Report, query: &Query) -> String {
    let mut head: Vec<String> = query.bucket.iter().map(|bucket| bucket.name().to_uppercase()).collect();
    head.extend(query.by.iter().map(|dimension| dimension.name().to_uppercase()));
    let names = head.len();
    head.extend(["REQUESTS", "HITS", "IN", "OUT", "COST USD", "SAVED USD"].map(str::to_owned));
    let numbers = |amounts: &weir_state::Amounts| {
        let usage = &amounts.usage;
        let counts = [amounts.requests, amounts.hits, usage.input, usage.output].map(|n| n.to_string());
        counts.into_iter().chain([dollars(amounts.cost), dollars(amounts.saved)])
    };
    let mut rows = vec![head];
    for line in &report.lines {
        let mut row: Vec<String> = query.bucket.iter().map(|_| line.bucket.clone()).collect();
        row.extend(line.by.iter().map(|name| if name.is_empty() { "-".to_owned() } else { name.clone() }));
        row.extend(numbers(&line.amounts));
        rows.push(row);
    }
    if report.lines.len() != 1 || names > 0 {
        let mut total: Vec<String> =
            (0..names).map(|n| if n == 0 { "total" } else { "" }.to_owned()).collect();
        total.extend(numbers(&report.total));
        rows.push(total);
    }
    let columns = rows.first().map_or(0, Vec::len);
    let width = |n: usize| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match n < names {
                true => line.push_str(&format!("{cell:<width$}  ")),
                false => line.push_str(&format!("{cell:>width$}  ")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Dollars with two places at least.
fn dollars(money: Money) -> String {
    let text = money.decimal();
    match text.split_once('.') {
        None => format!("{text}.00"),
        Some((_, places)) if places.len() < 2 => format!("{text}0"),
        Some(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_state::{Amounts, Line};

    #[test]
    fn a_table_has_a_line_for_each_window_and_name_and_one_for_all() {
        let query = Query::parse(&[("by", "team"), ("bucket", "day")], 0).unwrap();
        let amounts =
            |requests, nanos| Amounts { requests, cost: Money::from_nanos(nanos), ..Amounts::default() };
        let line = |team: &str, amounts| Line { bucket: "2026-11-24".into(), by: vec![team.into()], amounts };
        let report = Report {
            lines: vec![line("web", amounts(1_000, 12_500_000_000)), line("", amounts(2, 100_000_000))],
            total: amounts(1_002, 12_600_000_001),
            rows_since: None,
        };
        let table = table(&report, &query);
        let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[0][..4], ["DAY", "TEAM", "REQUESTS", "HITS"]);
        assert_eq!(cells[1], ["2026-11-24", "web", "1000", "0", "0", "0", "12.50", "0.00"]);
        assert_eq!(cells[2][1..3], ["-", "2"]);
        assert_eq!(cells[3], ["total", "1002", "0", "0", "0", "12.600000001", "0.00"]);
    }
}
