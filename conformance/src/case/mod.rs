//! Cases: read from files, checked, ready to run.

mod expect;
mod format;

pub use expect::Expectation;
pub use format::{
    CaseFile, CaseSpec, EntrySpec, FaultSpec, MirrorSpec, OtherPiece, PieceSpec, RequestSpec, ShortSpec,
    StepSpec, case_schema,
};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Sources, Span};
use weir_message::Operation;
use weir_policy::{Node, bind, bind_as};

/// A case, ready to run.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub note: Arc<str>,
    /// Where it stands, counted from 1.
    pub line: usize,
    /// When it happens, in nanoseconds since 1970 UTC.
    pub at: i64,
    /// Whether the case itself says when it happens.
    pub has_time: bool,
    /// Why it is left out.
    pub skip: Option<String>,
    /// Why it is left out over HTTP.
    pub only_in_process: Option<String>,
    /// The requests, one after the other.
    pub steps: Vec<Step>,
}

/// One request of a case.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it shows, if it says.
    pub note: Option<String>,
    /// How much time passes before it.
    pub wait: Duration,
    /// The request.
    pub request: ClientRequest,
    /// What providers answer.
    pub upstream: Vec<EntrySpec>,
    /// What must hold.
    pub expect: Vec<Expectation>,
    /// How often it is sent.
    pub repeat: u32,
    /// After how many events the client leaves.
    pub leave_after: Option<u32>,
}

/// A request as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// The method.
    pub method: Method,
    /// The path, with its query.
    pub path: String,
    /// The listener's name; the first if not said.
    pub listener: Option<String>,
    /// Headers, credentials included.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The cases of one file.
#[derive(Clone, Debug)]
pub struct Cases {
    /// The file.
    pub file: PathBuf,
    /// The folder of the policy set.
    pub policy: PathBuf,
    /// The cases.
    pub cases: Vec<Case>,
}

/// A Monday at noon, UTC.
pub const DEFAULT_TIME: &str = "2026-01-05T12:00:00Z";

/// The case files at a path: itself if it is a file, else every `*.test.yaml` and `*.test.yml` below it, sorted. Hidden
/// folders are left out.
///
/// # Errors
/// Whatever the file system says of a folder that cannot be read.
pub fn find(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut out = Vec::new();
    walk(path, 0, &mut out)?;
    out.sort();
    Ok(out)
}

fn walk(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            if depth < 32 {
                walk(&path, depth + 1, out)?;
            }
        } else if name.ends_with(".test.yaml") || name.ends_with(".test.yml") {
            out.push(path);
        }
    }
    Ok(())
}

/// Reads the cases of a file. What is wrong is collected; a case that is wrong is left out.
pub fn read(file: &Path, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Option<Cases> {
    let text = std::fs::metadata(file).and_then(|about| {
        if about.len() > weir_policy::MAX_FILE {
            return Err(std::io::Error::other("the file is larger than 4 MiB"));
        }
        std::fs::read_to_string(file)
    });
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            diagnostics.push(Diagnostic::new(Code::UnreadableFile, format!("{}: {error}", file.display())));
            return None;
        }
    };
    read_text(file, &text, sources, diagnostics)
}

/// [`read`] of a text that is already there.
pub fn read_text(
    file: &Path,
    text: &str,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Cases> {
    let source = sources.add(file.display().to_string(), text);
    let node = weir_policy::read(source, text, diagnostics)?;
    let spec = bind_as::<CaseFile>(&node, "the case file", Span::new(source, 0..0), diagnostics)?;
    if spec.cases.is_empty() {
        let at = node.get("cases").map_or(node.span, |cases| cases.span);
        diagnostics.push(
            Diagnostic::new(Code::VacuousCase, "the file holds no cases")
                .at(at)
                .help("write a case, or remove the file"),
        );
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut cases = Vec::with_capacity(spec.cases.len());
    for node in &spec.cases {
        cases.extend(case(node, sources, diagnostics));
    }
    Some(Cases { file: file.to_owned(), policy: folder.join(spec.policy), cases })
}

fn case(node: &Node, sources: &Sources, diagnostics: &mut Diagnostics) -> Option<Case> {
    let spec = bind_as::<CaseSpec>(node, "the case", node.span, diagnostics)?;
    let before = diagnostics.len();
    let at = match &spec.at {
        Some(at) => unix_nanos(&at.value).unwrap_or_else(|| {
            diagnostics.push(
                Diagnostic::new(Code::BadCase, format!("`{}` is not a time", at.value))
                    .at(at.span)
                    .help("write RFC 3339: 2026-01-05T12:00:00Z"),
            );
            0
        }),
        None => unix_nanos(DEFAULT_TIME).unwrap_or(0),
    };
    let mut steps = vec![Step {
        note: None,
        wait: Duration::ZERO,
        request: request(&spec.request, None, node.span, diagnostics)?,
        upstream: entries(&spec.upstream, diagnostics),
        expect: expectations(&spec.expect, diagnostics),
        repeat: spec.repeat.max(1),
        leave_after: spec.leave_after,
    }];
    for more in &spec.then {
        steps.push(Step {
            note: more.note.clone(),
            wait: more.wait.map(Into::into).unwrap_or_default(),
            request: request(&more.request, Some(&spec.request), node.span, diagnostics)?,
            upstream: entries(&more.upstream, diagnostics),
            expect: expectations(&more.expect, diagnostics),
            repeat: more.repeat.max(1),
            leave_after: more.leave_after,
        });
    }
    if diagnostics.iter().skip(before).any(|d| d.severity == weir_diagnostic::Severity::Error) {
        return None;
    }
    if steps.iter().all(|step| step.expect.is_empty()) {
        diagnostics.push(
            Diagnostic::new(Code::VacuousCase, format!("the case \"{}\" expects nothing", spec.note.value))
                .at(spec.note.span)
                .help("add `expect:` with at least one line, for example `- client.status == 200`"),
        );
        return None;
    }
    let line = sources.line_column(node.span.source, node.span.start).0;
    Some(Case {
        note: spec.note.value.into(),
        line,
        at,
        has_time: spec.at.is_some(),
        skip: spec.skip,
        only_in_process: spec.only_in_process,
        steps,
    })
}

fn expectations(nodes: &[Node], diagnostics: &mut Diagnostics) -> Vec<Expectation> {
    let mut out = Vec::with_capacity(nodes.len());
    nodes.iter().for_each(|node| expect::read(node, &mut out, diagnostics));
    out
}

fn entries(nodes: &[Node], diagnostics: &mut Diagnostics) -> Vec<EntrySpec> {
    nodes.iter().filter_map(|node| entry(node, diagnostics)).collect()
}

/// One scripted answer; it says exactly one kind of answer.
fn entry(node: &Node, diagnostics: &mut Diagnostics) -> Option<EntrySpec> {
    let spec = bind::<EntrySpec>(node, diagnostics)?;
    let answers = [
        spec.reply.is_some(),
        spec.mirror.is_some(),
        spec.events.is_some(),
        spec.tool_call.is_some(),
        spec.body.is_some(),
    ];
    let said = answers.iter().filter(|said| **said).count();
    let silent = matches!(spec.fault, Some(FaultSpec::Connect | FaultSpec::Timeout));
    let problem = if said > 1 {
        Some("an entry has one answer: reply, mirror, events, tool_call or body")
    } else if silent && (said > 0 || spec.status.is_some()) {
        Some("where nothing answers there is no reply or status")
    } else if said == 0 && !silent && spec.status.is_none() {
        Some("an entry says what the provider answers")
    } else if spec.status.is_some_and(|status| !(200..600).contains(&status)) {
        Some("a status is between 200 and 599")
    } else {
        None
    };
    if let Some(problem) = problem {
        diagnostics.push(
            Diagnostic::new(Code::BadCase, problem)
                .at(node.span)
                .help("write for example { reply: \"hello\" }, { status: 500 } or { fault: timeout }"),
        );
        return None;
    }
    Some(spec)
}

/// Reads a request as cases write it, from YAML or JSON (`weir explain`).
pub fn read_request(
    name: &str,
    text: &str,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<ClientRequest> {
    let source = sources.add(name, text);
    let node = weir_policy::read(source, text, diagnostics)?;
    let spec = bind_as::<RequestSpec>(&node, "the request", node.span, diagnostics)?;
    request(&spec, None, node.span, diagnostics)
}

fn request(
    spec: &RequestSpec,
    first: Option<&RequestSpec>,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<ClientRequest> {
    let mut bad = |message: String| {
        diagnostics.push(Diagnostic::new(Code::BadCase, message).at(span));
        None
    };
    let name =
        spec.operation.as_deref().or(first.and_then(|first| first.operation.as_deref())).unwrap_or("chat");
    let (method, path) = match Operation::from_name(name) {
        Some(Operation::Chat) => (Method::POST, "/v1/chat/completions"),
        Some(Operation::Completion) => (Method::POST, "/v1/completions"),
        Some(Operation::Response) => (Method::POST, "/v1/responses"),
        Some(Operation::Embedding) => (Method::POST, "/v1/embeddings"),
        Some(Operation::Moderation) => (Method::POST, "/v1/moderations"),
        Some(Operation::Image) => (Method::POST, "/v1/images/generations"),
        Some(Operation::Speech) => (Method::POST, "/v1/audio/speech"),
        Some(Operation::Model) => (Method::GET, "/v1/models"),
        _ => {
            return bad(format!(
                "`{name}` is not an operation that a case can ask for: chat, completion, response, embedding, moderation, image, speech, model"
            ));
        }
    };
    let method = match spec.method.as_ref().or(first.and_then(|first| first.method.as_ref())) {
        None => method,
        Some(text) => match text.parse() {
            Ok(method) => method,
            Err(_) => return bad(format!("`{text}` is not a method")),
        },
    };
    let path = spec
        .path
        .clone()
        .or_else(|| first.and_then(|first| first.path.clone()))
        .unwrap_or_else(|| path.to_owned());
    let mut headers = HeaderMap::new();
    let pairs = first.iter().flat_map(|first| &first.headers).chain(&spec.headers);
    for (name, value) in pairs {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => headers.insert(name, value),
            _ => return bad(format!("`{name}: {value}` is not a header")),
        };
    }
    let inherits = spec.key.is_none() && spec.claims.is_none();
    let before = first.filter(|_| inherits);
    if let Some(key) = spec.key.as_ref().or(before.and_then(|first| first.key.as_ref())) {
        let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {key}")) else {
            return bad("the key holds characters that a header cannot".to_owned());
        };
        value.set_sensitive(true);
        headers.insert(http::header::AUTHORIZATION, value);
    }
    if let Some(claims) = spec.claims.as_ref().or(before.and_then(|first| first.claims.as_ref())) {
        if headers.contains_key(http::header::AUTHORIZATION) {
            return bad("a request has `claims` or shows another credential, not both".to_owned());
        }
        if let Ok(value) = HeaderValue::from_str(&unsigned(claims)) {
            headers.insert(http::header::AUTHORIZATION, value);
        }
    }
    let raw =
        spec.raw_body.as_ref().or(first.and_then(|f| f.raw_body.as_ref().filter(|_| spec.body.is_empty())));
    let body = match raw {
        Some(_) if !spec.body.is_empty() => {
            return bad("a request has `raw_body` or fields of its own, not both".to_owned());
        }
        Some(raw) => Bytes::from(raw.clone()),
        None => {
            let mut fields = first.map(|first| first.body.clone()).unwrap_or_default();
            fields.extend(spec.body.clone());
            if fields.is_empty() {
                Bytes::new()
            } else {
                Bytes::from(serde_json::Value::Object(fields).to_string())
            }
        }
    };
    if !body.is_empty() && !headers.contains_key(http::header::CONTENT_TYPE) {
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let listener = spec.listener.clone().or_else(|| first.and_then(|first| first.listener.clone()));
    Some(ClientRequest { method, path, listener, headers, body })
}

/// A token that says this and that nobody has signed.
fn unsigned(claims: &serde_json::Map<String, serde_json::Value>) -> String {
    let claims = serde_json::Value::from(claims.clone()).to_string();
    format!("Bearer {}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#), URL_SAFE_NO_PAD.encode(claims))
}

/// Nanoseconds since 1970 UTC of an RFC 3339 time.
pub fn unix_nanos(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}
