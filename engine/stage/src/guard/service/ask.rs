//! The way to a service: where it is, what it is shown, how often and how long it is asked.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::units::{self, ByteSize};
use weir_diagnostic::{Code, Diagnostic};
use weir_message::Cause;
use weir_pipeline::{AuthScheme, Credential, Gateway, Place, Workbench, configured_header};
use weir_policy::{Secret, Spanned, StageDecl, TextOrSecret};

/// How a service is asked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asks {
    /// How long it may take in all to judge a request, a reply or a part of a stream, further tries included.
    #[serde(default = "deadline")]
    pub(crate) deadline: units::Duration,
    /// How often it is asked, the first time included, where it is not reached, is overloaded (429) or fails (5xx).
    #[serde(default = "tries")]
    pub(crate) tries: u32,
    /// Headers that go along.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, TextOrSecret>,
    /// Certificates to trust instead of the system's: a PEM file, relative to the set.
    pub(crate) ca: Option<Spanned<String>>,
    /// Of a stream so much is held back until it is asked about, cut behind a sentence where there is one. With `hold: sentence` on
    /// the guard each sentence is asked about, with `hold: all` the whole reply at its end.
    #[serde(default = "window")]
    pub(crate) window: ByteSize,
}

impl Default for Asks {
    fn default() -> Self {
        let (headers, ca) = (BTreeMap::new(), None);
        Self { deadline: deadline(), tries: tries(), headers, ca, window: window() }
    }
}

fn deadline() -> units::Duration {
    units::Duration(Duration::from_secs(3))
}

fn tries() -> u32 {
    2
}

fn window() -> ByteSize {
    ByteSize(512)
}

/// A service is asked at most so often.
const MOST_TRIES: u32 = 10;

/// How long it is left alone before it is asked again; twice as long each time.
const PAUSE: Duration = Duration::from_millis(100);

/// How a service is shown who asks.
pub(crate) enum Proof<'a> {
    /// By what stands in headers, if anything does.
    Headers(Vec<(&'a str, &'a str, &'a Secret)>),
    /// By a signature of AWS.
    Signed(AuthScheme, Credential),
    /// By a token that is got with this.
    Token(Credential),
}

/// The way to one service.
pub(crate) struct Line {
    place: Place,
    headers: HeaderMap,
    pub(super) deadline: Duration,
    tries: u32,
    pub(super) window: usize,
}

impl Line {
    /// Checks what settings say of it. `span` is where the URL stands.
    pub(crate) fn compile(
        url: &str,
        span: weir_diagnostic::Span,
        asks: &Asks,
        proof: Proof<'_>,
        decl: &StageDecl,
        bench: &mut Workbench<'_>,
    ) -> Option<Self> {
        let before = bench.diagnostics.len();
        let mut wrong = |message: String, help: &str| {
            bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
        };
        if !(1..=MOST_TRIES).contains(&asks.tries) {
            wrong("`tries` is out of range".to_owned(), "give a number from 1 to 10");
        }
        if asks.deadline.0.is_zero() || asks.deadline.0 > Duration::from_secs(300) {
            wrong("`deadline` is out of range".to_owned(), "give a time of up to 5m");
        }
        if decl.timeout.is_some_and(|timeout| timeout < asks.deadline.0) {
            let message = "`timeout` ends the stage before `deadline` ends the question".to_owned();
            wrong(message, "leave out `timeout`, or make it longer than `deadline`");
        }
        if !(16..=65_536).contains(&asks.window.0) {
            wrong("`window` is out of range".to_owned(), "give a number of bytes from 16 to 64KiB");
        }
        let mut headers = HeaderMap::new();
        let mut put = |name: &str, value: String| match configured_header(name, value) {
            Ok((name, value)) => drop(headers.insert(name, value)),
            Err(message) => wrong(message, "header names are letters, digits and `-`; values are one line"),
        };
        for (name, value) in &asks.headers {
            match value {
                TextOrSecret::Text(text) => put(name, text.clone()),
                TextOrSecret::Secret(secret) => {
                    // Where secrets are not needed, none is sent.
                    if let Some(value) = (bench.secret)(secret) {
                        put(name, value.expose().to_owned());
                    }
                }
            }
        }
        let (auth, credential) = match proof {
            Proof::Headers(shown) => {
                for (name, word, secret) in shown {
                    if let Some(value) = (bench.secret)(secret) {
                        put(name, format!("{word}{}", value.expose()));
                    }
                }
                (AuthScheme::None, Credential::default())
            }
            Proof::Signed(scheme, credential) => (scheme, credential),
            Proof::Token(credential) => (AuthScheme::Bearer, credential),
        };
        let ca = asks.ca.as_ref().map(|path| match bench.root {
            Some(root) => root.join(&path.value),
            None => path.value.clone().into(),
        });
        let Some(place) = Place::service(&decl.name, url, ca, auth, credential) else {
            let found = Diagnostic::new(Code::BadValue, format!("`{url}` is no URL")).at(span);
            bench.diagnostics.push(found.help("write `https://host/path`"));
            return None;
        };
        let window = usize::try_from(asks.window.0).unwrap_or(usize::MAX);
        let line = Self { place, headers, deadline: asks.deadline.0, tries: asks.tries, window };
        (bench.diagnostics.len() == before).then_some(line)
    }

    /// Begins to ask; all questions of this together end at the deadline.
    pub(crate) fn begin<'a>(&'a self, gateway: &'a Arc<Gateway>) -> Ask<'a> {
        Ask { line: self, gateway, until: gateway.clock.now().saturating_add(self.deadline) }
    }
}

/// Questions under way.
pub(crate) struct Ask<'a> {
    line: &'a Line,
    gateway: &'a Arc<Gateway>,
    until: Duration,
}

/// What a try came to that may be made again.
struct Failed {
    why: String,
    after: Option<Duration>,
}

impl Ask<'_> {
    /// The same questions along another line, until the same deadline.
    pub(crate) fn along<'a>(&'a self, line: &'a Line) -> Ask<'a> {
        Ask { line, gateway: self.gateway, until: self.until }
    }

    /// Asks with a JSON document: what the service answers.
    pub(crate) async fn json(&self, path: &str, question: &Value) -> Result<Value, String> {
        self.bytes(path, Bytes::from(question.to_string()), &|_| HeaderMap::new()).await
    }

    /// Asks with these bytes of JSON; `more` makes headers for a try at a time, in seconds since 1970 UTC.
    pub(crate) async fn bytes(
        &self,
        path: &str,
        body: Bytes,
        more: &(dyn Fn(i64) -> HeaderMap + Sync),
    ) -> Result<Value, String> {
        let clock = &self.gateway.clock;
        let mut pause = PAUSE;
        let mut last = String::new();
        for n in 1..=self.line.tries {
            let left = self.until.saturating_sub(clock.now());
            if left.is_zero() {
                break;
            }
            let failed = match self.once(path, body.clone(), more, left).await? {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            last = failed.why;
            let wait = failed.after.unwrap_or(pause);
            if n == self.line.tries || wait >= self.until.saturating_sub(clock.now()) {
                break;
            }
            clock.sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
        Err(match last.as_str() {
            "" => "the service gives no answer in time".to_owned(),
            why => format!("the service gives no answer: {why}"),
        })
    }

    /// One try. The outer error is final.
    async fn once(
        &self,
        path: &str,
        body: Bytes,
        more: &(dyn Fn(i64) -> HeaderMap + Sync),
        left: Duration,
    ) -> Result<Result<Value, Failed>, String> {
        let mut headers = self.line.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(more(self.gateway.clock.unix_nanos().div_euclid(1_000_000_000)));
        match self.line.place.ask(self.gateway, path, headers, body, left).await {
            Ok((200..=299, _, body)) => match serde_json::from_slice(&body) {
                Ok(answer) => Ok(Ok(answer)),
                Err(_) => Err("the service's answer is no JSON".to_owned()),
            },
            Ok((status @ 300..=399, ..)) => {
                Err(format!("the service answers with a redirect ({status}), which is not followed"))
            }
            Ok((status @ (408 | 425 | 429 | 500..=599), headers, _)) => {
                Ok(Err(Failed { why: format!("the status is {status}"), after: retry_after(&headers) }))
            }
            Ok((status, ..)) => Err(format!("the service refuses the question with {status}")),
            Err(error) => match error.cause {
                Cause::Connect | Cause::Timeout | Cause::Broken => {
                    Ok(Err(Failed { why: error.to_string(), after: None }))
                }
                _ => Err(format!("the service cannot be asked: {error}")),
            },
        }
    }
}

/// The seconds of `retry-after`, if it gives them.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
