//! `weir explain`: what every stage does with one request.

use crate::out::{BAD, COULD_NOT, Format, fail, say};
use crate::set::Shop;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use weir_conformance::{ExplainOptions, case, explain};
use weir_diagnostic::{Diagnostics, Sources};
use weir_proxy::NetUpstream;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the policy set
    #[arg(short, long, default_value = ".")]
    policy: PathBuf,
    /// A file with the request, written like `request:` of a case; `-` reads standard input
    request: PathBuf,
    /// When it happens, as 2026-11-24T09:30:00Z; now by default
    #[arg(long)]
    at: Option<String>,
    /// What the provider answers
    #[arg(long)]
    reply: Option<String>,
    /// Calls the providers for real, with their secrets from the environment
    #[arg(long, conflicts_with = "reply")]
    live: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let name = args.request.display().to_string();
    let text = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&args.request)
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => return fail(COULD_NOT, &format!("{name}: {error}")),
    };
    let (mut sources, mut found) = (Sources::default(), Diagnostics::new());
    let request = case::read_request(&name, &text, &mut sources, &mut found);
    let (Some(request), false) = (request, found.has_errors()) else {
        return fail(
            BAD,
            &format!("the request is malformed\n{}", weir_diagnostic::render(&sources, &found, false)),
        );
    };
    let at = match args.at.as_deref().map(|at| (at, case::unix_nanos(at))) {
        None => None,
        Some((_, Some(at))) => Some(at),
        Some((at, None)) => {
            return fail(crate::out::USAGE, &format!("`{at}` is no time; write 2026-11-24T09:30:00Z"));
        }
    };
    let shop = Shop::open();
    let plan = if args.live { shop.live_plan(&args.policy) } else { shop.plan(&args.policy) };
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => return fail(BAD, &error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(COULD_NOT, &error.to_string()),
    };
    let clock = || Arc::new(weir_pipeline::SystemClock::new());
    let live = args.live.then(|| Arc::new(NetUpstream::new(clock())) as Arc<dyn weir_pipeline::Upstream>);
    let options = ExplainOptions { at, reply: args.reply.clone(), live };
    let explanation = runtime.block_on(explain(&plan, &request, options));
    say(&match args.format {
        Format::Pretty => explanation.to_text(),
        Format::Json => format!("{:#}", explanation.to_json()),
    });
    ExitCode::SUCCESS
}
