//! Weir beside other gateways: the same requests, the same upstream, one core.
//!
//! What they are asked to do is not the same, and Weir does the most: it counts against a rate, judges by CEL and chooses
//! between two weighted targets, where the others forward to the one that they have. None writes a log of requests.

use crate::load::{Until, closed};
use crate::process::{Core, Process, free_port};
use crate::table::median;
use crate::{Outcome, prompts, sets};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The binary that is measured
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Where `bench/peers/install.sh` put the others
    #[arg(long)]
    installed: PathBuf,
    /// Where the table is written
    #[arg(long, default_value = "target/bench/peers.md")]
    out: PathBuf,
}

/// A key that the gateways which want one are given.
const KEY: &str = "fgw_0123456789abcdef0123456789abcdef";
/// Events of one stream, 1 ms apart.
const EVENTS: u64 = 100;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;

/// What starts a gateway, in a folder for its files, before an upstream's port.
type Start = fn(&Args, &Path, u16) -> Outcome<Gateway>;

/// A gateway under test.
struct Gateway {
    name: &'static str,
    process: Process,
    /// What its clients send besides.
    headers: String,
}

/// What was measured of one: medians over the rounds.
struct Figures {
    name: &'static str,
    request: f64,
    /// `None`: it answers no stream on this machine.
    event: Option<f64>,
    rate: f64,
    alone: f64,
    memory: u64,
}

/// Measures all, prints the table and writes it.
pub(crate) fn run(args: &Args) -> Outcome<()> {
    let upstream = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("upstream").arg(upstream.to_string());
    let _upstream = Process::start(command, upstream, Core::Load)?;
    let folder = tempfile::tempdir()?;
    let starts: [Start; 5] = [weir, envoy, ferro, portkey, litellm];
    let mut all = Vec::new();
    for start in starts {
        // One at a time: the others would take their share of the core.
        let gateway = start(args, folder.path(), upstream)?;
        let figures = measure(&gateway).map_err(|error| format!("{}: {error}", gateway.name))?;
        eprintln!("{}: {:.0} µs", figures.name, figures.request);
        all.push(figures);
    }
    let table = table(&all);
    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&args.out, &table)?;
    println!("{table}");
    Ok(())
}

fn measure(gateway: &Gateway) -> Outcome<Figures> {
    let process = &gateway.process;
    let (whole, streamed) =
        (prompts::known(&gateway.headers, None), prompts::known(&gateway.headers, Some(EVENTS)));
    // The first requests warm what is warmed: compilers, pools, caches.
    let warm = |request| closed(process.port, request, CONNECTIONS, Until::Time(Duration::from_secs(2)));
    warm(&whole)?;
    let streams =
        warm(&streamed).inspect_err(|error| eprintln!("{}, streams: {error}", gateway.name)).is_ok();
    let (mut requests, mut events, mut rates, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let second = Until::Time(Duration::from_secs(1));
    for _ in 0..ROUNDS {
        let before = process.cpu()?;
        let got = closed(process.port, &whole, CONNECTIONS, second)?;
        requests.push(micros(process.cpu()?.saturating_sub(before)) / float(got.replies));
        rates.push(got.rate());
        if streams {
            let before = process.cpu()?;
            let got = closed(process.port, &streamed, CONNECTIONS, second)?;
            events.push(micros(process.cpu()?.saturating_sub(before)) / float(got.events));
        }
        alone.push(micros(closed(process.port, &whole, 1, second)?.quantile(0.5)));
    }
    Ok(Figures {
        name: gateway.name,
        request: median(requests).0,
        event: streams.then(|| median(events).0),
        rate: median(rates).0,
        alone: median(alone).0,
        memory: process.resident()? / 1024,
    })
}

fn table(all: &[Figures]) -> String {
    let mut out = String::from(
        "| gateway | CPU per request | to Weir's | CPU per streamed event | to Weir's | requests/s, one core | p50, one connection | memory |\n|---|---|---|---|---|---|---|---|\n",
    );
    let Some(weir) = all.first() else { return out };
    for one in all {
        let (event, share) = match (one.event, weir.event) {
            (Some(event), Some(weir)) => (format!("{event:.1} µs"), format!("{:.1}", event / weir)),
            _ => ("fails".to_owned(), "–".to_owned()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| {} | {:.0} µs | {:.1} | {event} | {share} | {:.0} | {:.0} µs | {} MiB |",
            one.name,
            one.request,
            one.request / weir.request,
            one.rate,
            one.alone,
            one.memory
        );
    }
    out
}

fn weir(args: &Args, folder: &Path, upstream: u16) -> Outcome<Gateway> {
    let port = free_port()?;
    let set = folder.join("set");
    std::fs::create_dir_all(&set)?;
    std::fs::write(set.join("policy.yaml"), sets::beside_peers(port, upstream))?;
    let mut command = Command::new(args.weir.canonicalize()?);
    command.arg("serve").arg(&set).args(["--admin", "none", "--threads", "1", "--no-watch"]);
    command.arg("--upgrade-socket").arg(folder.join("upgrade.sock")).env("WEIR_LOG", "error");
    start("Weir, four stages", command, port, String::new())
}

/// Envoy as a plain proxy of HTTP/1.1, which knows nothing of models.
fn envoy(args: &Args, folder: &Path, upstream: u16) -> Outcome<Gateway> {
    let port = free_port()?;
    let config = folder.join("envoy.yaml");
    std::fs::write(
        &config,
        include_str!("../peers/envoy.yaml")
            .replace("LISTEN", &port.to_string())
            .replace("UPSTREAM", &upstream.to_string()),
    )?;
    let mut command = Command::new(args.installed.join("python/bin/envoy"));
    command.arg("-c").arg(config).args([
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "--disable-hot-restart",
    ]);
    start("Envoy, a plain proxy", command, port, String::new())
}

fn ferro(args: &Args, folder: &Path, upstream: u16) -> Outcome<Gateway> {
    let port = free_port()?;
    let config = folder.join("ferro.yaml");
    std::fs::write(&config, "strategy: { mode: fallback }\ntargets: [{ virtual_key: openai }]\n")?;
    let mut command = Command::new(args.installed.join("python/bin/ferrogw"));
    command.arg("serve").current_dir(folder);
    command
        .env("GATEWAY_CONFIG", config)
        .env("PORT", port.to_string())
        .env("GOMAXPROCS", "1")
        .env("LOG_LEVEL", "error");
    command.env("RATE_LIMIT_RPS", "1000000").env("RATE_LIMIT_BURST", "1000000");
    command.env("MASTER_KEY", KEY).env("OPENAI_API_KEY", KEY).env("OPENAI_BASE_URL", base(upstream));
    start("Ferro Labs AI Gateway", command, port, format!("authorization: Bearer {KEY}\r\n"))
}

fn portkey(args: &Args, folder: &Path, upstream: u16) -> Outcome<Gateway> {
    let port = free_port()?;
    let mut command = Command::new("node");
    command.arg(args.installed.join("node/node_modules/@portkey-ai/gateway/build/start-server.js"));
    command.arg(format!("--port={port}")).arg("--headless").current_dir(folder).env("NODE_ENV", "production");
    let headers = format!(
        "authorization: Bearer {KEY}\r\nx-portkey-provider: openai\r\nx-portkey-custom-host: {}\r\n",
        base(upstream)
    );
    start("Portkey AI Gateway", command, port, headers)
}

fn litellm(args: &Args, folder: &Path, upstream: u16) -> Outcome<Gateway> {
    let port = free_port()?;
    let config = folder.join("litellm.yaml");
    let model = prompts::KNOWN;
    std::fs::write(
        &config,
        format!(
            "model_list:\n  - model_name: {model}\n    litellm_params: {{ model: openai/{model}, api_base: \"{}\", api_key: {KEY} }}\ngeneral_settings: {{ master_key: sk-{KEY} }}\n",
            base(upstream)
        ),
    )?;
    let mut command = Command::new(args.installed.join("python/bin/litellm"));
    command.arg("--config").arg(config).args(["--host", "127.0.0.1", "--port"]).arg(port.to_string());
    command
        .current_dir(folder)
        .env("LITELLM_LOG", "ERROR")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("LITELLM_MODE", "PRODUCTION");
    start("LiteLLM proxy", command, port, format!("authorization: Bearer sk-{KEY}\r\n"))
}

fn start(name: &'static str, mut command: Command, port: u16, headers: String) -> Outcome<Gateway> {
    command.stderr(std::process::Stdio::null());
    Ok(Gateway { name, process: Process::start(command, port, Core::Measured)?, headers })
}

fn base(upstream: u16) -> String {
    format!("http://127.0.0.1:{upstream}/v1")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
