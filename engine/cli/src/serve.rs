//! `weir serve`: serves a set, and each saved change of it.

use crate::out::{BAD, COULD_NOT, complain, fail, say};
use crate::set::{Compiled, Shop};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use weir_pipeline::{Clock, Gateway, Plan, Secrets, SystemClock};
use weir_policy::{LedgerError, LedgerKeeping, PolicySet, Snapshot, StateSection};
use weir_proxy::{ListenerSpec, Loader, NetUpstream, Parts, Ready, Rejected, ServeOptions, Started, Traces};
use weir_state::{Keeping, KeyStore, Ledger, MintedIds, State, StateError};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the policy set
    dir: PathBuf,
    /// Where the admin API listens, or `none`
    #[arg(long, default_value = "127.0.0.1:9090")]
    admin: String,
    /// Threads that serve; 0 is one per core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// How long requests under way may take to end after SIGTERM
    #[arg(long, default_value = "30s")]
    grace: weir_diagnostic::units::Duration,
    /// Takes over the sockets of the process that serves now; then send that one SIGQUIT
    #[arg(long)]
    upgrade: bool,
    /// The socket through which listening sockets are handed over
    #[arg(long)]
    upgrade_socket: Option<PathBuf>,
    /// Serves the set as it is now, whatever is saved later
    #[arg(long)]
    no_watch: bool,
    /// The form of the log on standard error
    #[arg(long, value_enum, default_value_t)]
    log: Log,
}

/// The form of the log.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Log {
    /// Lines for people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    start_logs(args.log);
    let shop = Arc::new(Shop::open());
    let snapshot = match weir_policy::snapshot(&args.dir) {
        Ok(snapshot) => snapshot,
        Err(error) => return fail(COULD_NOT, &error.to_string()),
    };
    let revision = snapshot.revision;
    let loader = Arc::new(FolderLoader {
        shop: Arc::clone(&shop),
        root: args.dir.clone(),
        in_force: Mutex::default(),
        mark: RandomState::new(),
        state: OnceLock::new(),
    });
    let ready = match loader.load(snapshot) {
        Ok(ready) => ready,
        Err(rejected) => {
            complain(&rejected.diagnostics);
            return ExitCode::from(BAD);
        }
    };
    let clock = SystemClock::new();
    if let Some(Some(state)) = loader.state.get()
        && let Err(error) = open_state(&shop.state, state, loader.root(), clock.unix_nanos() / 1_000_000_000)
    {
        return fail(COULD_NOT, &error);
    }
    let traces = Arc::new(Traces::new());
    let gateway = Arc::new(Gateway {
        upstream: Arc::new(NetUpstream::new(Arc::new(clock))),
        seed: u64::from_le_bytes(clock.unix_nanos().to_le_bytes()),
        clock: Arc::new(clock),
        state: Arc::clone(&shop.state),
        sink: Arc::clone(&traces) as Arc<dyn weir_pipeline::Sink>,
    });
    let mut options = ServeOptions::new(&args.dir);
    options.admin = (args.admin != "none").then(|| args.admin.clone());
    options.threads = args.threads;
    options.grace = args.grace.0;
    options.upgrade = args.upgrade;
    options.watch = !args.no_watch;
    if let Some(socket) = &args.upgrade_socket {
        options.upgrade_socket.clone_from(socket);
    }
    let metrics = shop.metrics.clone();
    let state = Arc::clone(&shop.state);
    let example = example_of(&ready.plan, clock.unix_nanos() / 1_000_000_000);
    let parts = Parts {
        ready,
        revision,
        loader,
        gateway,
        traces,
        metrics: Arc::new(move |out: &mut String| out.push_str(&metrics.render())),
        purge: Arc::new(move |per: Option<&str>| match per {
            None => state.purge(),
            Some(subject) => state.purge_partition(&weir_stage::cache_partition(subject)),
        }),
        started: Box::new(move |started| say(&greeting(started, &example))),
    };
    let served = weir_proxy::serve(options, parts).map_err(|error| error.to_string());
    let closed = [shop.state.totals.close(), shop.state.ledger.close()];
    let closed = closed.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string());
    match served.and(closed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(COULD_NOT, &error),
    }
}

/// Opens what a set's `state:` names. `now`: seconds since 1970 UTC.
fn open_state(state: &State, section: &StateSection, root: &Path, now: i64) -> Result<(), String> {
    if let Some(redis) = &section.redis {
        let settings = crate::redis::settings(redis, &env, root)?;
        state.share(&settings).map_err(|error| error.to_string())?;
    }
    let Some(file) = &section.file else { return Ok(()) };
    open_file(state, &root.join(file), section, now).map_err(|error| error.to_string())
}

fn open_file(state: &State, path: &Path, section: &StateSection, now: i64) -> Result<(), StateError> {
    if section.redis.is_none() {
        state.totals.open(path)?;
    }
    state.keys.open(&KeyStore::beside(path))?;
    state.minted.open(&MintedIds::beside(path))?;
    let LedgerKeeping { rows, sums, grace, on_error } = &section.ledger;
    let keeping = Keeping {
        grace: grace.0,
        rows: Some(rows.0),
        sums: sums.map(|sums| sums.0),
        skips: *on_error == LedgerError::Skip,
        ..Keeping::default()
    };
    state.ledger.open(&Ledger::beside(path), keeping, std::process::id())?;
    state.recall_today(now)
}

/// The gateway's own log goes to standard error, filtered by `WEIR_LOG`; what `observe: log` writes is one JSON object a line on
/// standard output, whatever the form and the filter.
fn start_logs(form: Log) {
    use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
    use tracing_subscriber::prelude::*;
    let is_access = || filter_fn(|metadata| metadata.target() == weir_stage::ACCESS_LOG);
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new("warn,weir=info"));
    let access = tracing_subscriber::fmt::layer()
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stdout)
        .with_filter(is_access());
    let own = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(crate::out::colours());
    let own = match form {
        Log::Pretty => own.with_target(false).boxed(),
        Log::Json => own.json().flatten_event(true).boxed(),
    };
    // A second subscriber in one process would be a defect, and then the first goes on.
    let _ = tracing_subscriber::registry()
        .with(access)
        .with(own.with_filter(filter.and(is_access().not())))
        .try_init();
}

/// What a first `curl` needs to know of a set: words of its line, as a shell reads them within single quotes.
struct Example {
    model: String,
    /// The header with the key, if the first listener asks for one.
    key: String,
}

/// The key of the quickstart.
const DEMO: &str = "wr_demo";

/// `now`: seconds since 1970 UTC.
fn example_of(plan: &Plan, now: i64) -> Example {
    let models = plan.models();
    let model = match (models.names().first(), models.patterns().next()) {
        (Some(name), _) => name.to_string(),
        (None, Some(prefix)) => asked_for("WEIR_MODEL", &format!("a name that fits {prefix}*")),
        (None, None) => asked_for("WEIR_MODEL", "a model of the policy"),
    };
    let listener = plan.listeners().first().filter(|listener| !listener.value.identify.is_empty());
    let key = listener.map(|listener| match plan.takes_key(&listener.name.value, DEMO, now) {
        true => format!("'\"${{WEIR_KEY:-{DEMO}}}\"'"),
        false => asked_for("WEIR_KEY", "a key of the policy"),
    });
    Example { model, key: key.map(|key| format!(" -H 'authorization: Bearer {key}'")).unwrap_or_default() }
}

/// A variable in the place of what nobody here can know; a shell that has none says what to put into it.
fn asked_for(variable: &str, what: &str) -> String {
    format!("'\"${{{variable}:?set it to {what}}}\"'")
}

fn greeting(started: &Started, example: &Example) -> String {
    let mut out = format!("weir serves revision {}\n", started.revision);
    for (name, address, tls) in &started.listeners {
        let scheme = if *tls { "https" } else { "http" };
        out.push_str(&format!("  {name:<10} {scheme}://{address}\n"));
    }
    if let Some(admin) = started.admin {
        out.push_str(&format!("  {:<10} http://{admin}  (/metrics, /revision, /traces)\n", "admin"));
    }
    if let Some((_, address, tls)) = started.listeners.first() {
        let url = format!("{}://{address}", if *tls { "https" } else { "http" });
        let key = &example.key;
        let ask = |extra: &str| {
            format!(
                "  curl -s {extra}{url}/v1/chat/completions{key} -H 'content-type: application/json' \\\n    -d '{{\"model\":\"{}\",{}\"messages\":[{{\"role\":\"user\",\"content\":\"write to bob@example.com\"}}]}}'\n",
                example.model,
                if extra.is_empty() { "" } else { "\"stream\":true," },
            )
        };
        out.push_str("\nTry:\n");
        out.push_str(&ask(""));
        out.push_str(&ask("-N "));
        out.push_str(&format!("  curl -s {url}/v1/models{key}\n"));
    }
    out
}

/// Compiles the set in a folder, with its secrets.
struct FolderLoader {
    shop: Arc<Shop>,
    root: PathBuf,
    /// The set in force, and its secrets in files as they were last looked at.
    in_force: Mutex<Option<InForce>>,
    /// What fingerprints of secrets are made with: nobody outside can make the same.
    mark: RandomState,
    /// The section `state` that this process began with.
    state: OnceLock<Option<StateSection>>,
}

/// A set in force.
struct InForce {
    snapshot: Snapshot,
    /// The files that its secrets stand in.
    files: BTreeSet<String>,
    /// The fingerprint of what stood there.
    seen: u64,
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl FolderLoader {
    fn root(&self) -> &Path {
        match self.root.is_dir() {
            true => &self.root,
            false => self.root.parent().unwrap_or(&self.root),
        }
    }
}

impl FolderLoader {
    /// Compiles a snapshot with its secrets; what is no error is told to `warn`.
    fn compile(&self, snapshot: &Snapshot, warn: impl Fn(&str)) -> Result<(Ready, PolicySet), Rejected> {
        let secrets = Secrets::From { env: &env, root: self.root() };
        let mut compiled: Compiled = self.shop.compile(snapshot, &secrets, &self.shop.state);
        let (plan, set) = (compiled.plan.take(), compiled.set.take());
        let mut listeners = Vec::new();
        for (name, listener) in set.iter().flat_map(|set| &set.listeners) {
            match ListenerSpec::of(name, &listener.value, self.root(), &env) {
                Ok(spec) => listeners.push(spec),
                Err(found) => compiled.diagnostics.push(found),
            }
        }
        let (Some(plan), Some(set), false) = (plan, set, compiled.diagnostics.has_errors()) else {
            let count = compiled
                .diagnostics
                .iter()
                .filter(|d| d.severity == weir_diagnostic::Severity::Error)
                .count();
            return Err(Rejected { diagnostics: compiled.rendered(false), count });
        };
        if !compiled.diagnostics.is_empty() {
            warn(&compiled.rendered(false));
        }
        Ok((Ready { plan: Arc::new(plan), listeners }, set))
    }

    /// The fingerprint of what stands in these files now.
    fn look(&self, files: &BTreeSet<String>) -> u64 {
        let texts = files.iter().map(|file| std::fs::read(self.root().join(file)).ok());
        self.mark.hash_one(texts.collect::<Vec<_>>())
    }

    fn in_force(&self) -> MutexGuard<'_, Option<InForce>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loader for FolderLoader {
    fn load(&self, snapshot: Snapshot) -> Result<Ready, Rejected> {
        let (ready, set) =
            self.compile(&snapshot, |found| tracing::warn!("the set has warnings:\n{found}"))?;
        if *self.state.get_or_init(|| set.state.clone()) != set.state {
            return Err(Rejected::one(
                "needs-upgrade: `state` changed; it is opened at the start, so start a new process with --upgrade",
            ));
        }
        if let Some(seal) = ready.plan.seal() {
            self.shop.state.minted.share(seal);
        }
        let files = set.secret_files();
        let seen = self.look(&files);
        *self.in_force() = Some(InForce { snapshot, files, seen });
        Ok(ready)
    }

    fn refreshed(&self) -> Option<Ready> {
        let mut held = self.in_force();
        let in_force = held.as_mut().filter(|set| !set.files.is_empty())?;
        let seen = self.look(&in_force.files);
        if std::mem::replace(&mut in_force.seen, seen) == seen {
            return None;
        }
        match self.compile(&in_force.snapshot, |_| ()) {
            Ok((ready, _)) => Some(ready),
            Err(rejected) => {
                tracing::warn!(
                    "secrets changed and cannot be taken; the last ones stay\n{}",
                    rejected.diagnostics
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_greeting_shows_three_lines_to_paste() {
        let started = Started {
            listeners: vec![(Arc::from("edge"), "127.0.0.1:8080".parse().unwrap(), false)],
            admin: None,
            revision: "abc".into(),
        };
        let text = greeting(&started, &Example { model: "fast".into(), key: String::new() });
        assert_eq!(text.matches("  curl -s").count(), 3, "{text}");
        assert!(text.contains("\"stream\":true"), "{text}");
    }

    #[test]
    fn a_grace_has_a_unit() {
        assert_eq!("30s".parse::<weir_diagnostic::units::Duration>().unwrap().0, Duration::from_secs(30));
    }
}
