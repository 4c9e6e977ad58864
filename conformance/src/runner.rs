//! Runs cases in this process: the real pipeline, scripted providers, time that moves only as the case says, no sockets.

use crate::case::{self, Case, Cases, ClientRequest, Step};
use crate::clock::{VirtualClock, drive};
use crate::counts::Counts;
use crate::coverage::Tally;
use crate::outcome::{Came, sent};
use crate::report::{CaseReport, Failure, FileReport, Outcome, Report};
use crate::upstream::Scripted;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::HeaderMap;
use regex::Regex;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use weir_diagnostic::{Code, Diagnostics, Severity, Sources};
use weir_message::{ErrorCode, Fault, Operation, Trace};
use weir_pipeline::{
    Clock, Exchange, Gateway, Plan, Refused, Response, ResponseBody, Shown, Sink, SystemClock, Upstream,
    handle, refuse,
};
use weir_script::Ledger;
use weir_state::State;

/// Loads and compiles the set in a folder over the given state (each case has its own).
pub type Compiler<'a> = dyn Fn(&Path, &Arc<State>) -> Result<Arc<Plan>, NotLoaded> + 'a;

/// Why a set was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotLoaded {
    /// All that is wrong with it, for people.
    Bad(String),
    /// It needs a model, and this run does without models: its cases are left out.
    NeedsModels,
}

/// How cases are run.
pub struct Options<'a> {
    /// Loads and compiles sets. Secrets need not be known.
    pub compile: &'a Compiler<'a>,
    /// Only cases whose note matches.
    pub run: Option<Regex>,
    /// Whether to tell what the cases never reached.
    pub coverage: bool,
}

/// A filter as people type it: a regular expression, or the words themselves where it is none.
pub fn filter(text: &str) -> Option<Regex> {
    Regex::new(text).or_else(|_| Regex::new(&regex::escape(text))).ok()
}

/// Runs the cases of all files at `paths` (files, or folders with `*.test.yaml` below). A path that cannot be read is an error
/// before any case is run; its text is for people.
pub fn run(paths: &[PathBuf], options: &Options<'_>) -> Result<Report, String> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(case::find(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?);
    }
    let mut report = Report::default();
    let mut tally = Tally::default();
    for file in files {
        report.files.extend(run_file(&file, options, &mut tally));
    }
    if options.coverage {
        report.coverage = Some(tally.finish());
    }
    Ok(report)
}

/// Reads a file's cases; what is wrong with it as a report, and what can be run all the same.
pub(crate) fn read_file(file: &Path) -> (FileReport, Option<Cases>) {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::new());
    let cases = case::read(file, &mut sources, &mut diagnostics);
    let mut report = FileReport { file: file.to_owned(), error: None, is_vacuous: false, cases: Vec::new() };
    if diagnostics.has_errors() {
        let rendered = weir_diagnostic::render(&sources, &diagnostics, false);
        report.error = Some(rendered.trim_end().to_owned());
        report.is_vacuous =
            diagnostics.iter().filter(|d| d.severity == Severity::Error).all(|d| d.code == Code::VacuousCase);
    }
    (report, cases)
}

fn run_file(file: &Path, options: &Options<'_>, tally: &mut Tally) -> Option<FileReport> {
    let (mut report, cases) = read_file(file);
    let Some(cases) = cases else { return Some(report) };
    let picked: Vec<&Case> = cases
        .cases
        .iter()
        .filter(|case| options.run.as_ref().is_none_or(|run| run.is_match(&case.note)))
        .collect();
    if picked.is_empty() && options.run.is_some() {
        return report.error.is_some().then_some(report);
    }
    let set = cases.policy.display().to_string();
    for case in picked {
        let state = Arc::new(State::default());
        match (options.compile)(&cases.policy, &state) {
            Ok(plan) => {
                tally.outline(&set, &plan);
                report.cases.push(run_case(case, &plan, &state, &set, tally));
            }
            Err(NotLoaded::NeedsModels) => {
                let why = "the policy needs a model, and WEIR_MODELS=none leaves them out";
                report.cases.push(CaseReport::new(case).ended(Outcome::Skip, why));
            }
            Err(NotLoaded::Bad(error)) => {
                let error = format!("the policy set {set} does not load:\n{}", error.trim_end());
                report.error = Some(match report.error {
                    Some(before) => format!("{before}\n{error}"),
                    None => error,
                });
                report.is_vacuous = false;
                break;
            }
        }
    }
    Some(report)
}

/// Keeps the record of the request that ended last.
#[derive(Default)]
pub(crate) struct LastEnded(Mutex<Option<Ended>>);

/// The record of a request.
pub(crate) struct Ended {
    pub trace: Trace,
    pub ledger: Ledger,
    pub counts: Counts,
}

impl Sink for LastEnded {
    fn ended(&self, exchange: &mut Exchange) {
        let ledger = Ledger { usage: exchange.usage, cost: exchange.cost };
        let counts = Counts::of(exchange);
        let ended = Ended { trace: std::mem::take(&mut exchange.trace), ledger, counts };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
    }

    fn refused(&self, refused: &Refused<'_>) {
        let ended = Ended { trace: refused.trace(), ledger: Came::no_ledger(), counts: Counts::default() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
    }

    fn tells_outside(&self) -> bool {
        false
    }

    fn waits_for_shadows(&self) -> bool {
        // A case reads what shadows would have done.
        true
    }
}

impl LastEnded {
    pub(crate) fn take(&self) -> Option<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn run_case(case: &Case, plan: &Arc<Plan>, state: &Arc<State>, set: &str, tally: &mut Tally) -> CaseReport {
    let stopwatch = SystemClock::new();
    let mut report = CaseReport::new(case);
    if let Some(why) = &case.skip {
        return report.ended(Outcome::Skip, why);
    }
    let clock = VirtualClock::new(case.at);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let upstream = Arc::new(Scripted::new(Arc::clone(&shared)));
    let sink = Arc::new(LastEnded::default());
    let gateway = Arc::new(Gateway {
        upstream: Arc::clone(&upstream) as Arc<dyn Upstream>,
        clock: shared,
        state: Arc::clone(state),
        sink: Arc::clone(&sink) as Arc<dyn Sink>,
        seed: 0,
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return report.ended(Outcome::Error, format!("no runtime: {error}")),
    };
    let mut n = 0;
    for (index, step) in case.steps.iter().enumerate() {
        clock.advance(step.wait);
        for _ in 0..step.repeat {
            n += 1;
            upstream.load(&step.upstream);
            let request = sent(&step.request, &request_id(&step.request, n));
            let now = clock.unix_nanos();
            let one = exchange(&gateway, plan, step, request.clone());
            let ((status, headers, body), caller) = match runtime.block_on(drive(&clock, one)) {
                Ok(came) => came,
                Err(stuck) => {
                    report.millis = stopwatch.now().as_secs_f64() * 1000.0;
                    return report.ended(Outcome::Error, format!("{}{stuck}", place(case, index, n)));
                }
            };
            let mut came = Came::new(request, status, headers, &body);
            came.request.caller = caller;
            let seen = upstream.take();
            came.upstream = seen.calls;
            came.problems = seen.problems;
            came.now = now;
            came.revision = plan.revision().to_string();
            let ended = sink.take();
            if let Some(ended) = &ended {
                tally.add(set, &ended.trace);
            }
            let ended = ended.unwrap_or_else(|| Ended {
                trace: came.blank_trace(),
                ledger: Came::no_ledger(),
                counts: Counts::default(),
            });
            came.trace = Some(ended.trace);
            came.ledger = Some(ended.ledger);
            came.counts = Some(ended.counts);
            let (failures, _) = came.judge(step, &place(case, index, n), &**plan.services(), &|_| true);
            report.failures.extend::<Vec<Failure>>(failures);
        }
        if !report.failures.is_empty() {
            break;
        }
    }
    if !report.failures.is_empty() {
        report.outcome = Outcome::Fail;
    }
    report.millis = stopwatch.now().as_secs_f64() * 1000.0;
    report
}

/// Which request of a case, for messages; empty where there is only one.
pub(crate) fn place(case: &Case, index: usize, n: usize) -> String {
    let several = case.steps.len() > 1 || case.steps.iter().any(|step| step.repeat > 1);
    match case.steps.get(index).and_then(|step| step.note.as_deref()) {
        _ if !several => String::new(),
        Some(note) => format!("request {n} ({note})"),
        None => format!("request {n}"),
    }
}

pub(crate) fn request_id(request: &ClientRequest, n: usize) -> String {
    let given = request.headers.get("x-request-id").and_then(|value| value.to_str().ok());
    given.map_or_else(|| format!("case-{n}"), str::to_owned)
}

/// The listener that a request comes in by.
pub(crate) fn listener(plan: &Plan, request: &ClientRequest) -> Arc<str> {
    match &request.listener {
        Some(name) => Arc::from(name.as_str()),
        None => plan
            .listeners()
            .first()
            .map_or_else(|| Arc::from(""), |listener| Arc::clone(&listener.name.value)),
    }
}

/// The front door without a network, then the pipeline, then the client reading all of the reply.
async fn exchange(
    gateway: &Arc<Gateway>,
    plan: &Arc<Plan>,
    step: &Step,
    mut request: weir_message::Request,
) -> ((u16, HeaderMap, Bytes), Option<Arc<weir_message::Caller>>) {
    let admitted = admit(gateway, plan, &step.request, &mut request).await;
    let caller = request.caller.clone();
    let response = answered(gateway, plan, request, admitted).await;
    let mut body = BytesMut::new();
    match response.body {
        ResponseBody::Whole(bytes) => body.extend_from_slice(&bytes),
        ResponseBody::Stream(mut pieces) => {
            let mut events = 0;
            while let Some(piece) = pieces.next().await {
                events += u32::from(piece.starts_with(b"data:"));
                body.extend_from_slice(&piece);
                if step.leave_after.is_some_and(|leave| events >= leave) {
                    break;
                }
            }
        }
    }
    ((response.status, response.headers, body.freeze()), caller)
}

/// The front door without a network, then the pipeline.
pub(crate) async fn respond(
    gateway: &Arc<Gateway>,
    plan: &Arc<Plan>,
    client: &ClientRequest,
    mut request: weir_message::Request,
) -> Response {
    let admitted = admit(gateway, plan, client, &mut request).await;
    answered(gateway, plan, request, admitted).await
}

async fn answered(
    gateway: &Arc<Gateway>,
    plan: &Arc<Plan>,
    request: weir_message::Request,
    admitted: Result<(), Fault>,
) -> Response {
    match admitted {
        Ok(()) => handle(gateway, Arc::clone(plan), request).await,
        Err(fault) => refuse(gateway, plan, &request, &fault),
    }
}

/// What the proxy does with a request before the pipeline: the path, who calls.
async fn admit(
    gateway: &Arc<Gateway>,
    plan: &Arc<Plan>,
    client: &ClientRequest,
    request: &mut weir_message::Request,
) -> Result<(), Fault> {
    request.listener = listener(plan, client);
    request.source = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    weir_dialect::classify(&request.method, &request.path, &request.headers).map_err(|why| match why {
        weir_dialect::Unclassified::UnknownPath => {
            Fault::new(ErrorCode::UnknownPath, "nothing answers this path")
        }
        weir_dialect::Unclassified::BadMethod { allow } => {
            Fault::new(ErrorCode::BadMethod, format!("this path takes {allow}"))
        }
    })?;
    let shown = Shown {
        listener: &request.listener,
        dialect: request.dialect,
        operation: request.operation,
        method: &request.method,
        path: &request.path,
        query: request.query.as_deref(),
        headers: &request.headers,
        source: request.source,
        certificate: None,
    };
    request.caller = weir_pipeline::identify(gateway, plan, &shown).await?;
    debug_assert!(request.operation != Operation::Http);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use weir_catalog::Catalogue;
    use weir_message::Verb;
    use weir_pipeline::{Registry, Secrets, Stage, Workbench, Workshop};
    use weir_policy::{Builtins, Environment, StageDecl};

    /// No built-ins: CEL and Rhai are enough here.
    struct Bare;

    impl Builtins for Bare {
        fn names(&self, _: Verb) -> Vec<&'static str> {
            Vec::new()
        }

        fn schema(&self, _: Verb, _: &str) -> Option<schemars::Schema> {
            None
        }
    }

    impl Registry for Bare {
        fn compile(&self, _: &StageDecl, _: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
            None
        }
    }

    impl weir_policy::Catalogue for Bare {
        fn row_names(&self) -> Vec<String> {
            vec!["echo".to_owned()]
        }
    }

    fn compile(folder: &Path, state: &Arc<State>) -> Result<Arc<Plan>, NotLoaded> {
        let snapshot = weir_policy::snapshot(folder).map_err(|error| NotLoaded::Bad(error.to_string()))?;
        let loaded =
            weir_policy::load(&snapshot, &Environment { builtins: &Bare, catalogue: &Bare, library: &[] });
        let workshop = Workshop {
            registry: Arc::new(Bare),
            catalogue: Catalogue::builtin(),
            inference: weir_inference::Models::open(Path::new("none")),
            state: Arc::clone(state),
        };
        let mut diagnostics = loaded.diagnostics;
        let plan = loaded
            .set
            .and_then(|set| weir_pipeline::compile(&set, &workshop, &Secrets::Ignored, &mut diagnostics));
        plan.map(Arc::new)
            .ok_or_else(|| NotLoaded::Bad(weir_diagnostic::render(&loaded.sources, &diagnostics, false)))
    }

    const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "127.0.0.1:0" }
providers:
  lab: { dialect: openai, base_url: "http://127.0.0.1:9/v1", timeouts: { connect: 1s, first_byte: 5s, between: 5s, total: 1h } }
models:
  fast: { targets: [{ provider: lab, model: m }] }
pipelines:
  - pipeline: chat
    anonymous: true
    when: request.operation == "chat"
    stages:
      - guard: office-hours
        cel: now.getHours("UTC") < 18
        deny: { status: 403, message: the assistant rests at night }
      - transform: sign
        stream: whole
        rhai: |
          fn request(q) { q.system("Be brief."); }
          fn reply(p) { p.text = p.text + " -- weir"; }
"#;

    fn report(cases: &str) -> Report {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
        std::fs::write(folder.path().join("a.test.yaml"), cases).unwrap();
        let options = Options { compile: &compile, run: None, coverage: true };
        run(&[folder.path().to_owned()], &options).unwrap()
    }

    const PASSING: &str = r#"
cases:
  - note: a reply is signed, plain and streamed
    request: { model: fast, messages: [{ role: user, content: hi }] }
    upstream: [{ reply: "hello you", delay: 1s }]
    expect:
      - reply.text == "hello you -- weir"
      - upstream[0].request.system == "Be brief."
      - trace.stage("sign").decision == "edited"
      - { status: 200, calls: 1, contains: "hello" }
    then:
      - request: { stream: true }
        upstream: [{ events: ["he", { delay: 2s }, "llo"] }]
        expect:
          - client.text == "hello -- weir"
          - client.events[size(client.events) - 1] == "[DONE]"
  - note: nobody is served at night
    at: 2026-01-05T22:00:00Z
    request: { model: fast, messages: [{ role: user, content: hi }] }
    expect: [{ status: 403, error: denied, calls: 0, stages: { office-hours: denied } }]
  - note: a provider that says nothing times out in no time
    request: { model: fast, messages: [{ role: user, content: hi }] }
    upstream: [{ fault: timeout }]
    expect: [{ status: 504, error: upstream-timeout }]
  - note: a client may leave
    request: { model: fast, stream: true, messages: [{ role: user, content: hi }] }
    upstream: [{ reply: "one two three" }]
    leave_after: 1
    expect: [ 'trace.outcome in ["cancelled", "replied"]' ]
  - note: other operations find no pipeline
    request: { operation: embedding, model: fast, input: x }
    expect: [{ status: 404, error: no-pipeline }]
  - note: left out for now
    skip: waits for a fix
    request: { model: fast }
    expect: [{ status: 200 }]
"#;

    #[test]
    fn runs_cases_against_the_real_pipeline() {
        let report = report(PASSING);
        let text = report.to_text(false);
        assert_eq!(report.counts().passed, 5, "{text}");
        assert_eq!((report.counts().skipped, report.exit_code()), (1, 0), "{text}");
        assert!(text.contains("all 2 stages ran, and all that can act did"), "{text}");
    }

    #[test]
    fn says_what_came_instead() {
        let report = report(
            "cases:\n  - note: wrong words\n    request: { model: fast, messages: [{ role: user, content: hi }] }\n    \
             upstream: [{ reply: x }, { reply: never }]\n    expect: ['reply.text == \"y\"']\n  - note: no script\n    \
             request: { model: fast, messages: [{ role: user, content: hi }] }\n    expect: [{ status: 200 }]\n",
        );
        let text = report.to_text(false);
        assert_eq!((report.counts().failed, report.exit_code()), (2, 1), "{text}");
        for line in [
            "1 scripted answer was not asked for (1 call was made)",
            "expected reply.text == \"y\"",
            "reply.text = \"x -- weir\"",
            "call 1 to lab/m is not in the script",
        ] {
            assert!(text.contains(line), "{line:?} is missing:\n{text}");
        }
    }

    #[test]
    fn refuses_what_cannot_fail_or_cannot_be_read() {
        for (cases, code, words) in [
            ("cases: []\n", 3, "vacuous-case"),
            ("cases:\n  - note: n\n    request: { model: fast }\n", 3, "expects nothing"),
            ("cases:\n  - note: n\n    request: { model: fast }\n    expect: ['true']\n", 3, "reads nothing"),
            (
                "cases:\n  - note: n\n    request: { model: fast }\n    expect: ['1 == 1']\n",
                3,
                "reads nothing",
            ),
            (
                "cases:\n  - note: n\n    request: { model: fast }\n    expect: ['[1, 2].exists(n, n > 1)']\n",
                3,
                "reads nothing",
            ),
            ("cases:\n  - note: n\n    request: { model: fast }\n    expcet: []\n", 1, "expcet"),
            (
                "cases:\n  - note: n\n    request: { model: fast }\n    expect: [repyl.text == '']\n",
                1,
                "repyl",
            ),
            (
                "cases:\n  - note: n\n    request: { model: fast }\n    upstream: [{ reply: a, body: b }]\n    expect: [{ status: 200 }]\n",
                1,
                "one answer",
            ),
            (
                "policy: nowhere\ncases:\n  - note: n\n    request: { model: fast }\n    expect: [{ status: 200 }]\n",
                1,
                "nowhere",
            ),
        ] {
            let report = report(cases);
            let text = report.to_text(false);
            assert_eq!(report.exit_code(), code, "{text}");
            assert!(text.contains(words), "{words:?} is missing:\n{text}");
        }
    }

    #[test]
    fn a_policy_that_needs_a_model_is_passed_over_where_models_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.test.yaml"), PASSING).unwrap();
        let compile = |_: &Path, _: &Arc<State>| Err(NotLoaded::NeedsModels);
        let options = Options { compile: &compile, run: None, coverage: false };
        let report = run(&[folder.path().to_owned()], &options).unwrap();
        let text = report.to_text(false);
        assert_eq!((report.counts().skipped, report.exit_code()), (6, 3), "{text}");
        assert!(text.contains("needs a model"), "{text}");
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_before_any_case_is_run() {
        let options = Options { compile: &compile, run: None, coverage: false };
        let error = run(&["nowhere".into()], &options).unwrap_err();
        assert!(error.starts_with("cannot read nowhere: "), "{error}");
    }

    #[test]
    fn explains_a_request_without_calling_a_provider() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
        let plan = compile(folder.path(), &Arc::default()).unwrap();
        let (mut sources, mut found) = (Sources::default(), Diagnostics::new());
        let text = "{ model: fast, messages: [{ role: user, content: hi }] }";
        let request = case::read_request("request.yaml", text, &mut sources, &mut found).unwrap();
        let options =
            crate::ExplainOptions { at: case::unix_nanos("2026-01-05T09:00:00Z"), ..Default::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let explanation = runtime.block_on(crate::explain(&plan, &request, options));
        let text = explanation.to_text();
        assert!(text.contains("sign") && text.contains("would send to lab/m /chat/completions"), "{text}");
        assert_eq!(explanation.to_json()["stages"][1]["decision"], "edited");
    }
}
