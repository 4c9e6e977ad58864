//! Rows are kept once each, sums are those of rows, and nothing is lost unsaid.

use super::*;
use crate::database::words;
use file::{OPENING, ROWS, SUMS, first_id};
use proptest::prelude::*;
use redb::{ReadableDatabase, ReadableTable};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use weir_message::{Caller, Cause, Money, Operation, Usage};

/// 2026-11-24T10:00:00Z, in seconds.
const NOW: i64 = 1_795_514_400;

fn caller(key: &str, team: &str, project: Option<&str>) -> Arc<Caller> {
    let tags = BTreeMap::from([("centre".into(), serde_json::json!(7))]);
    Arc::new(Caller {
        key: Some(key.into()),
        team: Some(team.into()),
        project: project.map(Into::into),
        tags,
        ..Caller::default()
    })
}

/// An attempt that cost so many nano-dollars, so many seconds from now.
fn row(team: &str, after: i64, nanos: i64) -> Row {
    Row {
        time: (NOW + after) * 1_000_000_000,
        request: "01936f0e-9c1a-7abc-8def-0123456789ab".into(),
        attempt: 1,
        caller: Some(caller("k", team, None)),
        pipeline: "chat".into(),
        revision: "r1".into(),
        operation: Operation::Chat,
        model: "fast".into(),
        provider: "lab".into(),
        target: "m-1".into(),
        usage: Usage { input: 10, output: 20, ..Usage::default() },
        price: Some(r#"{"output":"1"}"#.into()),
        cost: Some(Money::from_nanos(nanos)),
        saved: None,
        before: Duration::from_millis(1),
        first_byte: Some(Duration::from_millis(20)),
        took: Duration::from_millis(50),
        ending: Ending::Done,
        status: Some(200),
    }
}

fn keeping() -> Keeping {
    Keeping { grace: Duration::from_millis(2), rows: None, ..Keeping::default() }
}

struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.ledger")
    }

    fn open(&self, keeping: Keeping) -> Ledger {
        let ledger = Ledger::default();
        ledger.open(&self.path(), keeping, 7).unwrap();
        ledger
    }

    /// Writes rows and closes.
    fn write(&self, keeping: Keeping, rows: impl IntoIterator<Item = Row>) {
        let ledger = self.open(keeping);
        rows.into_iter().for_each(|row| book(&ledger, row));
        ledger.close().unwrap();
    }

    fn report(&self, pairs: &[(&str, &str)]) -> Report {
        Books::open(&self.path()).unwrap().report(&Query::parse(pairs, NOW).unwrap()).unwrap()
    }

    /// Lines as window, names and nano-dollars.
    fn lines(&self, pairs: &[(&str, &str)]) -> Vec<(String, String, i64)> {
        let lines = self.report(pairs).lines.into_iter();
        lines.map(|line| (line.bucket, line.by.join(" "), line.amounts.cost.nanos())).collect()
    }

    fn singles(&self, pairs: &[(&str, &str)]) -> Vec<Single> {
        let mut all = Vec::new();
        let query = Query::parse(pairs, NOW).unwrap();
        Books::open(&self.path())
            .unwrap()
            .rows(&query, |single| {
                all.push(single);
                true
            })
            .unwrap();
        all
    }
}

fn book(ledger: &Ledger, row: Row) {
    ledger.place().unwrap().unwrap().book(row);
}

fn line(bucket: &str, by: &str, nanos: i64) -> (String, String, i64) {
    (bucket.to_owned(), by.to_owned(), nanos)
}

#[test]
fn a_row_comes_back_as_it_was_left() {
    let world = World::new();
    let failed = Row {
        attempt: 2,
        request: "mine".into(),
        caller: None,
        price: None,
        cost: None,
        first_byte: None,
        status: None,
        usage: Usage { input: 1, counted: true, ..Usage::default() },
        ending: Ending::Failed(Cause::Timeout),
        ..row("x", 1, 0)
    };
    let hit = Row {
        attempt: 0,
        provider: "".into(),
        target: "".into(),
        saved: Some(Money::from_nanos(9)),
        cost: None,
        ending: Ending::Cached,
        ..row("web", 2, 0)
    };
    world.write(keeping(), [row("web", 0, 5), failed, hit]);
    let all = world.singles(&[]);
    let [first, failed, hit] = &all[..] else { panic!("{all:?}") };
    let name =
        |single: &Single, of: &str| single.names.iter().find(|(name, _)| *name == of).unwrap().1.clone();
    assert_eq!(
        (first.time, first.cost, first.took),
        (NOW * 1_000_000_000, Some(Money::from_nanos(5)), 50_000)
    );
    assert_eq!((&*first.revision, first.price.as_deref()), ("r1", Some(r#"{"output":"1"}"#)));
    assert_eq!((&*first.tags, &*name(first, "target")), (r#"{"centre":7}"#, "lab/m-1"));
    assert_eq!((&*failed.request, failed.attempt, failed.usage.counted), ("mine", 2, true));
    assert_eq!((&*name(failed, "outcome"), failed.cost, failed.price.clone()), ("timeout", None, None));
    assert_eq!(
        (&*name(hit, "outcome"), hit.saved, &*name(hit, "target")),
        ("cached", Some(Money::from_nanos(9)), "")
    );
    let total = world.report(&[]).total;
    assert_eq!((total.requests, total.attempts, total.hits, total.unpriced), (2, 2, 1, 1));
    assert_eq!((total.cost.nanos(), total.saved.nanos()), (5, 9));
}

#[test]
fn usage_is_told_apart_by_what_is_asked_and_windows_come_in_order() {
    let world = World::new();
    let day = 86_400;
    let gold =
        Row { caller: Some(caller("k", "web", Some("gold"))), revision: "r2".into(), ..row("web", day, 4) };
    world.write(keeping(), [row("web", 0, 1), row("web", 3_600, 2), row("ops", day, 8), gold]);
    let (one, two) = ("2026-11-24", "2026-11-25");
    for (pairs, want) in [
        (&[][..], vec![line("", "", 15)]),
        (&[("by", "team")], vec![line("", "ops", 8), line("", "web", 7)]),
        (&[("bucket", "day")], vec![line(one, "", 3), line(two, "", 12)]),
        (
            &[("bucket", "day"), ("by", "team,project")],
            vec![line(one, "web ", 3), line(two, "ops ", 8), line(two, "web gold", 4)],
        ),
        (&[("by", "tag.centre"), ("where", "team!=ops")], vec![line("", "7", 7)]),
        (&[("since", "2026-11-25")], vec![line("", "", 12)]),
        (&[("until", "2026-11-24T10:30:00Z")], vec![line("", "", 1)]),
        (&[("by", "revision")], vec![line("", "r1", 11), line("", "r2", 4)]),
        (&[("where", "revision=r2"), ("by", "team")], vec![line("", "web", 4)]),
        (&[("bucket", "day"), ("time_zone", "Asia/Kolkata")], vec![line(one, "", 3), line(two, "", 12)]),
    ] {
        assert_eq!(world.lines(pairs), want, "{pairs:?}");
    }
}

#[test]
fn a_report_is_made_while_rows_come_in() {
    let world = World::new();
    let ledger = world.open(keeping());
    for n in 1..=20 {
        book(&ledger, row("web", n, 1));
        while ledger.figures().unwrap().written < n.unsigned_abs() {
            std::thread::yield_now();
        }
        // By another handle, as another process has it, and by the writer's own.
        assert_eq!(world.report(&[]).total.requests, n.unsigned_abs());
        let own = ledger.books().unwrap().report(&Query::default()).unwrap();
        assert_eq!(own.total.requests, n.unsigned_abs());
    }
    assert_eq!(ledger.figures().unwrap(), LedgerFigures { written: 20, ..LedgerFigures::default() });
}

#[test]
fn what_was_spent_today_is_known_after_a_restart_and_yesterday_is_over() {
    let world = World::new();
    world.write(keeping(), [row("web", -86_400, 1), row("web", 0, 2), row("ops", 3_600, 4)]);
    let state = crate::State::default();
    state.ledger.open(&world.path(), keeping(), 8).unwrap();
    state.recall_today(NOW).unwrap();
    let day = u32::try_from(NOW / 86_400).unwrap();
    for (by, name, nanos, input) in [
        (crate::SumBy::Everyone, "", 6, 20),
        (crate::SumBy::Team, "web", 2, 10),
        (crate::SumBy::Team, "ops", 4, 10),
        (crate::SumBy::Key, "k", 6, 20),
        (crate::SumBy::User, "", 0, 0),
    ] {
        let sum = state.spending.sum(day, by, name);
        assert_eq!((sum.cost.nanos(), sum.input), (nanos, input), "{by:?} {name}");
    }
    assert_eq!(state.spending.sum(day - 1, crate::SumBy::Everyone, "").input, 0);
}

#[test]
fn processes_share_a_file_and_their_rows_are_told_apart() {
    let world = World::new();
    let (one, other) = (world.open(keeping()), Ledger::default());
    other.open(&world.path(), keeping(), 8).unwrap();
    for n in 0..50 {
        // The same moment, and names that both see first.
        let named = |process: &str| Row { model: format!("{process}{n}").into(), ..row("web", 0, 1) };
        book(&one, named("a"));
        book(&other, named("b"));
    }
    one.close().unwrap();
    other.close().unwrap();
    assert_eq!(world.report(&[]).total.requests, 100);
    assert_eq!(world.lines(&[("by", "model")]).len(), 100);
}

#[test]
fn where_there_is_no_room_nobody_gets_a_place_and_it_is_counted() {
    let world = World::new();
    let small = Keeping { room: 2, ..keeping() };
    let ledger = world.open(small);
    let held = (ledger.place().unwrap().unwrap(), ledger.place().unwrap().unwrap());
    assert!(matches!(ledger.place(), Err(Full)));
    drop(held.0);
    held.1.book(row("web", 0, 1));
    let place = loop {
        // Free again once the row is on disk.
        if let Ok(Some(place)) = ledger.place() {
            break place;
        }
    };
    drop(place);
    assert_eq!(ledger.figures().unwrap().lost, 0);
    let skipping = World::new();
    let ledger = skipping.open(Keeping { skips: true, ..small });
    let held = (ledger.place().unwrap().unwrap(), ledger.place().unwrap().unwrap());
    assert!(ledger.place().unwrap().is_none());
    assert_eq!(ledger.figures().unwrap().lost, 1);
    drop(held);
    ledger.close().unwrap();
    book(&ledger, row("web", 0, 1));
    assert_eq!(ledger.figures().unwrap().lost, 2);
}

#[test]
fn what_is_too_old_goes_and_sums_stay_for_longer() {
    let world = World::new();
    let day = 86_400;
    let kept = Keeping {
        rows: Some(Duration::from_secs(10 * 86_400)),
        sums: Some(Duration::from_secs(100 * 86_400)),
        ..keeping()
    };
    world.write(keeping(), (0..120).map(|n| row("web", n * day, 1)));
    world.write(kept, [row("web", 120 * day, 1)]);
    assert_eq!(world.singles(&[]).len(), 11);
    assert_eq!(world.report(&[]).total.requests, 101);
    // Rows alone can tell revisions, and those from before are gone.
    let report = world.report(&[("by", "revision")]);
    assert_eq!((report.total.requests, report.rows_since), (11, Some(NOW + 110 * day)));
    assert_eq!(world.report(&[("by", "revision"), ("since", "2027-03-20")]).rows_since, None);
}

#[test]
fn a_file_that_is_damaged_or_another_is_refused_and_stays_as_it_is() {
    let world = World::new();
    for (text, want) in [("", "it is empty"), ("no database", "damaged")] {
        std::fs::write(world.path(), text).unwrap();
        let error = Ledger::default().open(&world.path(), keeping(), 1).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
        assert!(Books::open(&world.path()).is_err());
        assert_eq!(std::fs::read_to_string(world.path()).unwrap(), text);
    }
    std::fs::remove_file(world.path()).unwrap();
    crate::Totals::new().open(&world.path()).unwrap();
    let error = Ledger::default().open(&world.path(), keeping(), 1).unwrap_err().to_string();
    assert!(error.contains("it keeps something else"), "{error}");
    assert!(Books::open(&world.folder.path().join("none")).is_err());
}

/// Everything in the file, summed anew from its rows.
fn sums_agree_with_rows(path: &Path) -> Result<u64, String> {
    let database = crate::database::read(path, OPENING)?.ok_or("not closed")?;
    let reading = database.begin_read().map_err(words)?;
    let mut of_rows: BTreeMap<(u32, u32), Amounts> = BTreeMap::new();
    for entry in reading.open_table(ROWS).map_err(words)?.iter().map_err(words)? {
        let (id, bytes) = entry.map_err(words)?;
        let kept = row::Kept::unpack(bytes.value()).ok_or("no row")?;
        let hour = file::hour(i64::try_from(id.value() >> 64).unwrap());
        of_rows.entry((hour, kept.series)).or_default().add(&Amounts::of(&kept));
    }
    let mut of_sums = BTreeMap::new();
    for entry in reading.open_table(SUMS).map_err(words)?.iter().map_err(words)? {
        let (key, bytes) = entry.map_err(words)?;
        of_sums.insert(key.value(), Amounts::unpack(bytes.value()).ok_or("no sum")?);
    }
    if of_rows != of_sums {
        return Err(format!("{of_rows:?}\n{of_sums:?}"));
    }
    Ok(of_sums.values().map(|amounts| amounts.requests).sum())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However rows come, and however often a commit is tried again, each is there once and the sums are those of the rows.
    #[test]
    fn sums_are_those_of_rows_whatever_is_written_twice(
        rows in prop::collection::vec((0..3_usize, 0..20_000_i64, -5..50_i64, any::<[u32; 3]>(), 0..4_u32), 1..60),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let world = World::new();
        let mut made = Vec::new();
        for (n, (team, after, nanos, [input, output, reasoning], attempt)) in rows.into_iter().enumerate() {
            let usage = Usage { input: input.into(), output: output.into(), reasoning: reasoning.into(), ..Usage::default() };
            let row = Row { usage, attempt, ..row(["web", "ops", ""][team], after, nanos) };
            made.push((first_id(row.time) | n as u128, row));
        }
        let database = crate::database::open(&world.path(), OPENING, file::make_tables).unwrap();
        let mut names = Default::default();
        file::commit(&database, &made, &mut names).unwrap();
        for from in again {
            file::commit(&database, &made[from.index(made.len())..], &mut Default::default()).unwrap();
        }
        drop(database);
        let requests = made.iter().filter(|(_, row)| row.attempt <= 1).count() as u64;
        prop_assert_eq!(sums_agree_with_rows(&world.path()).unwrap(), requests);
    }
}
