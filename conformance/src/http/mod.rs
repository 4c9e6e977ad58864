//! Runs case files over HTTP: a `weir serve` of its own for each case, the scripted upstream as its own process.
//!
//! What cannot be had there is skipped with its reason: another time of day, long waits, a refused connection. Expectations
//! that read what no client or operator can see (the caller, counters) are counted as unseen.

mod relocate;
mod trace;

use crate::case::{Case, ClientRequest, FaultSpec, Step};
use crate::harness::{Gateway, Provider, Set, eventually};
use crate::outcome::{Came, sent};
use crate::report::{CaseReport, Outcome, Report};
use crate::runner::{place, read_file, request_id};
use crate::upstream::{Reaction, Record};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use regex::Regex;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weir_message::Request;
use weir_script::{Expression, Reads, Services};

/// The longest that one case may wait in real time.
const LONGEST: Duration = Duration::from_secs(2);

/// The most requests in a row: over a socket they take time, in which limits recover.
const MOST: u32 = 20;

/// Runs all cases of these files.
pub fn run(files: &[PathBuf]) -> Report {
    let provider = Provider::start();
    let mut report = Report::default();
    for file in files {
        let (mut file_report, cases) = read_file(file);
        if let Some(cases) = cases {
            file_report.cases =
                cases.cases.iter().map(|case| run_case(case, &cases.policy, &provider)).collect();
        }
        report.files.push(file_report);
    }
    report
}

/// Tokens are not counted here: expectations that read them are unseen.
struct NoServices;

impl Services for NoServices {
    fn count_tokens(&self, _model: &str, text: &str) -> u64 {
        text.len() as u64 / 4
    }

    fn request_tokens(&self, request: &Request) -> u64 {
        request.raw.len() as u64 / 4
    }
}

/// Why a case cannot be run over HTTP.
fn unfit(case: &Case) -> Option<String> {
    if let Some(why) = case.skip.as_ref().or(case.only_in_process.as_ref()) {
        return Some(why.clone());
    }
    if case.has_time {
        return Some("needs a time of day of its own".to_owned());
    }
    let mut waits = Duration::ZERO;
    for step in &case.steps {
        if step.repeat > MOST {
            return Some(format!("sends {} requests while time stands still", step.repeat));
        }
        waits += step.wait;
        for entry in &step.upstream {
            match entry.fault {
                Some(FaultSpec::Connect) => return Some("needs a connection that is refused".to_owned()),
                Some(FaultSpec::Timeout | FaultSpec::Stall) => {
                    return Some("waits until a timeout".to_owned());
                }
                Some(FaultSpec::Cut) | None => {}
            }
            waits += entry.delay.map(|delay| delay.0).unwrap_or_default();
        }
    }
    (waits > LONGEST).then(|| format!("waits {} s", waits.as_secs_f64()))
}

/// Whether a set, or a policy of the library that it uses, reads the time of day: a served process has its own.
fn reads_clock(policy: &Path) -> bool {
    let (Ok(now), Ok(uses)) = (Regex::new(r"\bnow(\.|\s*[<>=-])"), Regex::new(r"use:\s*weir/([\w-]+)"))
    else {
        return false;
    };
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let texts: Vec<String> = match weir_policy::snapshot(policy) {
        Ok(set) => {
            set.files.into_iter().filter_map(|file| file.content.ok()).map(|text| text.to_string()).collect()
        }
        Err(_) => return false,
    };
    texts.iter().any(|text| {
        now.is_match(text)
            || uses.captures_iter(text).filter_map(|found| found.get(1)).any(|name| {
                let file = library.join(name.as_str()).join(format!("{}.yaml", name.as_str()));
                std::fs::read_to_string(file).is_ok_and(|text| now.is_match(&text))
            })
    })
}

/// Whether what an expectation reads can be seen over HTTP.
fn sees(expression: &Expression) -> bool {
    let reads = expression.reads();
    ![Reads::TOKENS, Reads::CALLER, Reads::LIMITS, Reads::SPENT, Reads::NOW]
        .iter()
        .any(|hidden| reads.meets(*hidden))
}

fn run_case(case: &Case, policy: &Path, provider: &Provider) -> CaseReport {
    let mut report = CaseReport::new(case);
    if let Some(why) =
        unfit(case).or_else(|| reads_clock(policy).then(|| "depends on the time of day".to_owned()))
    {
        return report.ended(Outcome::Skip, why);
    }
    let set = Set::new(Some(provider.address));
    let relocate::Relocated { variables, keys } = match relocate::relocate(policy, &set) {
        Ok(relocated) => relocated,
        Err(why) => return report.ended(Outcome::Error, why),
    };
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let gateway = Gateway::start_with(set, &[], &variables);
    let mut n = 0;
    for (index, step) in case.steps.iter().enumerate() {
        let mut step = step.clone();
        if let Err(name) = show_key(&mut step.request, &keys) {
            return report.ended(Outcome::Skip, format!("only the hash of the key `{name}` is known"));
        }
        let step = &step;
        std::thread::sleep(step.wait);
        for _ in 0..step.repeat {
            n += 1;
            provider.answers(
                step.upstream.iter().map(|entry| Reaction::Entry(Box::new(entry.clone()))).collect(),
            );
            let came = match exchange(&gateway, provider, step, n) {
                Ok(came) => came,
                Err(error) => {
                    return report.ended(Outcome::Error, format!("{}: {error}", place(case, index, n)));
                }
            };
            let (failures, unseen) = came.judge(step, &place(case, index, n), &NoServices, &sees);
            report.failures.extend(failures);
            report.unseen += unseen;
        }
        if !report.failures.is_empty() {
            break;
        }
    }
    if !report.failures.is_empty() {
        report.outcome = Outcome::Fail;
    }
    report
}

fn exchange(gateway: &Gateway, provider: &Provider, step: &Step, n: usize) -> std::io::Result<Came> {
    let mut wire = gateway.wire();
    wire.send(&bytes_of(&step.request))?;
    let head = wire.head()?;
    let mut body = Vec::new();
    match step.leave_after {
        Some(leave) => {
            let mut events = 0;
            while events < leave {
                let Some(chunk) = wire.chunk()? else { break };
                events +=
                    u32::try_from(chunk.windows(2).filter(|w| w == b"\n\n").count()).unwrap_or(u32::MAX);
                body.extend(chunk);
            }
        }
        None => body = wire.body(&head)?,
    }
    drop(wire);
    let mut headers = HeaderMap::new();
    for (name, value) in &head.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let id = head.header("x-request-id").map_or_else(|| request_id(&step.request, n), str::to_owned);
    let mut came = Came::new(sent(&step.request, &id), head.status, headers, &Bytes::from(body));
    // What needs no pipeline has no trace.
    let outside = came.request.operation == weir_message::Operation::Model && came.client.error.is_none();
    if !outside {
        let json = gateway.trace(&id);
        came.trace = Some(trace::read(&json));
        came.ledger = Some(trace::ledger(&json));
    } else {
        came.trace = Some(came.blank_trace());
        came.ledger = Some(Came::no_ledger());
    }
    let record = settled(provider);
    came.problems = record.problems;
    if record.left > 0 {
        came.problems.push(format!("{} scripted answers were not asked for", record.left));
    }
    for call in record.calls {
        let mut headers = HeaderMap::new();
        for (name, value) in &call.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
        let body: serde_json::Value = serde_json::from_str(&call.body).unwrap_or_default();
        let model = body.get("model").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
        let seen = crate::upstream::upstream_call(
            &call.provider,
            &model,
            &call.path,
            headers,
            Bytes::from(call.body),
        );
        came.upstream.push(seen);
    }
    Ok(came)
}

/// What the providers saw, once every call has ended.
fn settled(provider: &Provider) -> Record {
    eventually("the end of all calls", || {
        let record = provider.seen();
        record.calls.iter().all(|call| call.is_finished || call.gone_at.is_some()).then_some(record)
    })
}

/// Where a request names a key of the set, it shows the key itself. An error names the one that is not known.
fn show_key(request: &mut ClientRequest, keys: &[(String, Option<String>)]) -> Result<(), String> {
    let shown = request.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let named = shown.and_then(|shown| shown.strip_prefix("Bearer "));
    let Some((name, key)) = keys.iter().find(|(name, _)| Some(name.as_str()) == named) else { return Ok(()) };
    let key = key.as_ref().ok_or_else(|| name.clone())?;
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer {key}")) {
        request.headers.insert(http::header::AUTHORIZATION, value);
    }
    Ok(())
}

fn bytes_of(request: &ClientRequest) -> Vec<u8> {
    let pairs: Vec<(&str, &str)> = request
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    crate::harness::request(request.method.as_str(), &request.path, &pairs, &request.body)
}
