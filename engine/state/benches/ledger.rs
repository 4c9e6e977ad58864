//! What the ledger costs a request, how fast rows are written, what they weigh, and how long reports take:
//! `cargo bench -p weir-state --bench ledger -- 1000000`, in a folder `WEIR_BENCH` if the temporary one is in memory.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    unreachable_pub,
    reason = "a benchmark reads the clock and prints"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_message::{Caller, Money, Operation, Usage};
use weir_state::{Books, Ending, Keeping, Ledger, Query, Row};

/// 2026-11-01T00:00:00Z
const BEGIN: i64 = 1_793_491_200;
/// Rows are spread over so many seconds.
const MONTH: i64 = 30 * 86_400;

fn main() {
    let rows: i64 = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(1_000_000);
    let folder = std::env::var_os("WEIR_BENCH").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let path = folder.path().join("ledger");
    let callers: Vec<Arc<Caller>> = (0..200).map(caller).collect();
    let models: Vec<Arc<str>> = (0..5).map(|n| format!("model-{n}").into()).collect();
    let make = |n: i64| row(n, rows, &callers, &models);

    let ledger = Ledger::default();
    let keeping = Keeping { rows: None, ..Keeping::default() };
    ledger.open(&path, keeping, 1).unwrap();
    let began = Instant::now();
    let mut in_requests = Duration::ZERO;
    for n in 0..rows {
        let row = make(n);
        let before = Instant::now();
        // Full: a request would be refused. Here it waits, so that what is measured is the writing.
        let mut place = ledger.place();
        while place.is_err() {
            std::thread::sleep(Duration::from_millis(1));
            place = ledger.place();
        }
        let taken = Instant::now();
        place.unwrap().unwrap().book(row);
        in_requests +=
            if before.elapsed() < Duration::from_millis(1) { before.elapsed() } else { taken.elapsed() };
    }
    ledger.close().unwrap();
    let took = began.elapsed();
    let size = path.metadata().unwrap().len();
    println!(
        "{rows} rows, written in {:.1} s: {:.0} a second",
        took.as_secs_f64(),
        rows as f64 / took.as_secs_f64()
    );
    println!("in the request's thread: {:.0} ns a row", in_requests.as_nanos() as f64 / rows as f64);
    println!(
        "{:.0} bytes a row on disk, {:.0} MiB",
        size as f64 / rows as f64,
        size as f64 / f64::from(1 << 20)
    );

    let again = Instant::now();
    let ledger = Ledger::default();
    ledger.open(&path, keeping, 2).unwrap();
    println!("opened in {:.1} ms", millis(again.elapsed()));
    let again = Instant::now();
    for n in 0..500 {
        let place = ledger.place().unwrap().unwrap();
        place.book(Row { time: (BEGIN + MONTH) * 1_000_000_000 + n, ..make(n) });
    }
    ledger.close().unwrap();
    println!("500 more written in {:.1} ms", millis(again.elapsed()));

    let books = Books::open(&path).unwrap();
    for pairs in [
        &[][..],
        &[("by", "team")],
        &[("by", "team,model"), ("bucket", "day")],
        &[("by", "key"), ("since", "2026-11-30")],
        &[("by", "revision")],
    ] {
        let began = Instant::now();
        let report = books.report(&Query::parse(pairs, BEGIN + MONTH).unwrap()).unwrap();
        let shown = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        println!("report {shown:<28} {:>8.1} ms, {} lines", millis(began.elapsed()), report.lines.len());
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn caller(n: i64) -> Arc<Caller> {
    Arc::new(Caller {
        key: Some(format!("key-{n}").into()),
        team: Some(format!("team-{}", n % 20).into()),
        ..Caller::default()
    })
}

fn row(n: i64, of: i64, callers: &[Arc<Caller>], models: &[Arc<str>]) -> Row {
    let pick = usize::try_from(n.wrapping_mul(7_919).rem_euclid(1_000)).unwrap();
    let (caller, model) = (&callers[pick / 5], &models[pick % 5]);
    let tokens = n.unsigned_abs() % 4_000;
    Row {
        time: BEGIN * 1_000_000_000
            + i64::try_from(i128::from(n) * i128::from(MONTH) * 1_000_000_000 / i128::from(of)).unwrap(),
        request: format!("01936f0e-9c1a-7abc-8def-{n:012x}").into(),
        attempt: 1,
        caller: Some(Arc::clone(caller)),
        pipeline: "chat".into(),
        revision: "0123456789abcdef".into(),
        operation: Operation::Chat,
        model: Arc::clone(model),
        provider: "lab".into(),
        target: Arc::clone(model),
        usage: Usage { input: tokens, output: tokens / 4, cached_input: tokens / 2, ..Usage::default() },
        price: Some(r#"{"input":"0.25","output":"2"}"#.into()),
        cost: Some(Money::from_nanos(n % 100_000_000)),
        saved: None,
        before: Duration::from_micros(180),
        first_byte: Some(Duration::from_millis(400)),
        took: Duration::from_millis(2_500),
        ending: Ending::Done,
        status: Some(200),
    }
}
