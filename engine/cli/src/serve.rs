//! `weir serve`: serves a set, and each saved change of it.

use crate::out::{BAD, COULD_NOT, complain, fail, say};
use crate::set::{Compiled, Shop};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use weir_pipeline::{Clock, Gateway, Plan, Secrets, SystemClock};
use weir_policy::{LedgerError, LedgerKeeping, PolicySet, Snapshot, StateFile};
use weir_proxy::{ListenerSpec, Loader, NetUpstream, Parts, Ready, Rejected, ServeOptions, Started, Traces};
use weir_state::{Keeping, Ledger, State, StateError};

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
        secrets: Mutex::default(),
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
        return fail(COULD_NOT, &error.to_string());
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
    let example = example_of(&ready.plan);
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

/// Opens the files that a set's `state:` names. `now`: seconds since 1970 UTC.
fn open_state(state: &State, file: &StateFile, root: &Path, now: i64) -> Result<(), StateError> {
    let path = root.join(&file.file);
    state.totals.open(&path)?;
    let LedgerKeeping { rows, sums, grace, on_error } = &file.ledger;
    let keeping = Keeping {
        grace: grace.0,
        rows: Some(rows.0),
        sums: sums.map(|sums| sums.0),
        skips: *on_error == LedgerError::Skip,
        ..Keeping::default()
    };
    state.ledger.open(&Ledger::beside(&path), keeping, std::process::id())?;
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

/// What a first `curl` needs to know of a set.
struct Example {
    model: String,
    wants_key: bool,
}

fn example_of(plan: &Plan) -> Example {
    let names = plan.models().names();
    Example {
        model: names.first().map_or_else(|| "MODEL".to_owned(), ToString::to_string),
        wants_key: plan.listeners().iter().any(|listener| !listener.value.identify.is_empty()),
    }
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
        let key = match example.wants_key {
            true => " -H 'authorization: Bearer '\"${WEIR_KEY:-wr_demo}\"",
            false => "",
        };
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
    /// The set in force and its plan, for secrets in files that change.
    secrets: Mutex<Option<(PolicySet, Arc<Plan>)>>,
    /// The section `state` that this process began with.
    state: OnceLock<Option<StateFile>>,
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

impl Loader for FolderLoader {
    fn load(&self, snapshot: Snapshot) -> Result<Ready, Rejected> {
        let secrets = Secrets::From { env: &env, root: self.root() };
        let mut compiled: Compiled = self.shop.compile(&snapshot, &secrets, &self.shop.state);
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
        if *self.state.get_or_init(|| set.state.clone()) != set.state {
            return Err(Rejected::one(
                "needs-upgrade: `state` changed; it is opened at the start, so start a new process with --upgrade",
            ));
        }
        if !compiled.diagnostics.is_empty() {
            tracing::warn!("the set has warnings:\n{}", compiled.rendered(false));
        }
        let plan = Arc::new(plan);
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = Some((set, Arc::clone(&plan)));
        Ok(Ready { plan, listeners })
    }

    fn refresh_secrets(&self) {
        let held = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((set, plan)) = &*held else { return };
        for provider in plan.providers() {
            let Some(decl) = set.providers.get(&provider.name) else { continue };
            let is_file = |reference: String| reference.starts_with("file:");
            if !decl.value.secrets().any(|secret| secret.references().any(is_file)) {
                continue;
            }
            if let Err(found) = provider.credential.resolve(&decl.value, &env, self.root()) {
                tracing::warn!(provider = &*provider.name, "{}; the last one stays", found.message);
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
        let text = greeting(&started, &Example { model: "fast".into(), wants_key: true });
        assert_eq!(text.matches("  curl -s").count(), 3, "{text}");
        assert!(text.contains("\"stream\":true"), "{text}");
    }

    #[test]
    fn a_grace_has_a_unit() {
        assert_eq!("30s".parse::<weir_diagnostic::units::Duration>().unwrap().0, Duration::from_secs(30));
    }
}
