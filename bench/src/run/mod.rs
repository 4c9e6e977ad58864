//! The run: starts what is measured, measures row by row, prints the table.

mod cpu;
mod latency;
mod memory;
mod reload;
mod semantic;
mod streams;

use crate::load::{self, Until};
use crate::process::{Core, Process, free_port};
use crate::table::{Row, markdown};
use crate::{Outcome, prompts};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A short run: fewer and shorter rounds, and less load for the memory rows
    #[arg(long)]
    quick: bool,
    /// The binary that is measured
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Where the table is written
    #[arg(long, default_value = "target/bench/results.md")]
    out: PathBuf,
    /// Only these groups of rows
    #[arg(long, value_delimiter = ',')]
    only: Vec<Group>,
}

/// A group of rows.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    Cpu,
    Stream,
    Latency,
    Semantic,
    Search,
    Memory,
    Reload,
}

/// What measures a group.
type Measure = fn(&Bench) -> Outcome<Vec<Row>>;

/// How to load one port.
#[derive(clap::Args)]
pub(crate) struct LoadArgs {
    /// The port on the loopback address
    port: u16,
    /// Connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// The size of the request's body in bytes
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// How many replies
    #[arg(long, default_value_t = 10_000)]
    replies: u64,
    /// Ask for streams of so many events, 1 ms apart
    #[arg(long)]
    events: Option<u64>,
}

/// What rows are measured with.
struct Bench {
    quick: bool,
    weir: PathBuf,
    folder: tempfile::TempDir,
    upstream: Process,
    bare: Process,
}

impl Bench {
    fn new(args: &Args) -> Outcome<Self> {
        let this = std::env::current_exe()?;
        let start = |name: &str, port: u16, more: &[String], core| {
            let mut command = Command::new(&this);
            command.arg(name).arg(port.to_string()).args(more);
            Process::start(command, port, core)
        };
        let upstream = start("upstream", free_port()?, &[], Core::Load)?;
        let bare = start("bare", free_port()?, &[upstream.port.to_string()], Core::Measured)?;
        let weir = args.weir.canonicalize().map_err(|error| format!("{}: {error}", args.weir.display()))?;
        Ok(Self { quick: args.quick, weir, folder: tempfile::tempdir()?, upstream, bare })
    }

    /// One of two, by the kind of the run.
    fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A `weir serve` with one thread over a set of one file.
    fn weir(&self, name: &str, set: fn(u16, u16) -> String) -> Outcome<Process> {
        let port = free_port()?;
        let dir = self.folder.path().join(name);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("policy.yaml"), set(port, self.upstream.port))?;
        self.serve(&dir, port, Core::Measured, &["--no-watch"])
    }

    fn serve(&self, dir: &Path, port: u16, core: Core, more: &[&str]) -> Outcome<Process> {
        let mut command = Command::new(&self.weir);
        command.arg("serve").arg(dir).args(["--admin", "none", "--threads", "1"]).args(more);
        command.arg("--upgrade-socket").arg(self.folder.path().join("upgrade.sock"));
        command.env("WEIR_LOG", "error");
        Process::start(command, port, core)
    }
}

/// Measures what is asked for, prints the table and writes it.
pub(crate) fn run(args: &Args) -> Outcome<()> {
    let bench = Bench::new(args)?;
    let mut rows = Vec::new();
    let groups: [(Group, Measure); 7] = [
        (Group::Cpu, cpu::rows),
        (Group::Stream, streams::rows),
        (Group::Latency, latency::rows),
        (Group::Semantic, semantic::hit),
        (Group::Search, semantic::search),
        (Group::Memory, memory::rows),
        (Group::Reload, reload::rows),
    ];
    for (group, measure) in groups {
        if args.only.is_empty() || args.only.contains(&group) {
            for row in measure(&bench)? {
                eprintln!("{}", row.line());
                rows.push(row);
            }
        }
    }
    let table = markdown(&rows);
    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&args.out, &table)?;
    println!("{table}");
    Ok(())
}

/// Loads one port and says what came.
pub(crate) fn load(args: &LoadArgs) -> Outcome<()> {
    let request = match args.events {
        Some(events) => prompts::stream(events, 1000),
        None => prompts::plain(args.size),
    };
    let got = load::closed(args.port, &request, args.connections, Until::Replies(args.replies))?;
    println!(
        "{} replies, {} events, {:.0} a second, p50 {:?}, p99 {:?}",
        got.replies,
        got.events,
        got.rate(),
        got.quantile(0.5),
        got.quantile(0.99)
    );
    Ok(())
}

/// Microseconds.
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A count as a number to divide by.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
