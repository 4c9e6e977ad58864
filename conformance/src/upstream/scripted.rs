//! Providers that answer by script, in this process and on the gateway's clock.

use super::{Act, Got, play};
use crate::case::EntrySpec;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weir_message::{Cause, Dialect, Request};
use weir_pipeline::{Answer, Call, CallError, Clock, Upstream};
use weir_script::UpstreamCall;

/// What happened at the scripted upstream during one request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The calls, in order.
    pub calls: Vec<UpstreamCall>,
    /// Whether each call was dropped before its answer's end.
    pub cancelled: Vec<bool>,
    /// What does not agree with the script.
    pub problems: Vec<String>,
}

/// Providers that answer by script.
pub struct Scripted {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    entries: VecDeque<EntrySpec>,
    /// What to say when the script has nothing; `None`: that is a problem.
    otherwise: Option<EntrySpec>,
    seen: Seen,
}

impl Scripted {
    /// Providers without a script yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Providers that answer everything alike.
    pub fn always(clock: Arc<dyn Clock>, entry: EntrySpec) -> Self {
        let script = Script { otherwise: Some(entry), ..Script::default() };
        Self { clock, state: Arc::new(Mutex::new(script)) }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a script in place of what is left of the one before.
    pub fn load(&self, entries: &[EntrySpec]) {
        let mut script = self.script();
        script.entries = entries.iter().cloned().collect();
        script.seen = Seen::default();
    }

    /// What happened since the script was loaded. Entries that nobody called for are a problem.
    pub fn take(&self) -> Seen {
        let mut script = self.script();
        let mut seen = std::mem::take(&mut script.seen);
        if !script.entries.is_empty() {
            let (left, calls) = (script.entries.len(), seen.calls.len());
            seen.problems.push(format!(
                "{left} scripted answer{} not asked for ({calls} call{} made)",
                if left == 1 { " was" } else { "s were" },
                if calls == 1 { " was" } else { "s were" },
            ));
        }
        seen
    }
}

/// What a provider got, for the view of a case.
pub(crate) fn upstream_call(
    provider: &str,
    model: &str,
    path: &str,
    headers: HeaderMap,
    body: Bytes,
) -> UpstreamCall {
    let got = Got::read(path, &body);
    let operation = got.operation.unwrap_or(weir_message::Operation::Http);
    let mut request = Request::new(
        "scripted",
        got.format.map_or(Dialect::OpenAi, |format| format.dialect),
        operation,
        path.to_owned(),
    );
    request.raw = body;
    request.headers = headers.clone();
    // A body that cannot be read stays unread; expectations on it then say so.
    let _ = weir_dialect::decode(&mut request);
    UpstreamCall {
        provider: provider.to_owned(),
        model: model.to_owned(),
        request,
        path: path.to_owned(),
        headers,
    }
}

impl Upstream for Scripted {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        // A service has no model.
        let target = match &*call.model {
            "" => call.provider.name.to_string(),
            model => format!("{}/{model}", call.provider.name),
        };
        let got = Got::read(&call.path, &call.body);
        let mut script = self.script();
        let seen = upstream_call(
            &call.provider.name,
            &call.model,
            &call.path,
            call.headers.clone(),
            call.body.clone(),
        );
        script.seen.calls.push(seen);
        script.seen.cancelled.push(true);
        let n = script.seen.calls.len();
        let entry = script.entries.pop_front().or_else(|| script.otherwise.clone());
        let acts = match &entry {
            None => {
                script.seen.problems.push(format!("call {n} to {target} is not in the script"));
                vec![Act::Refuse]
            }
            Some(entry) => {
                if let Some(wanted) = entry.target.as_ref().filter(|wanted| **wanted != target) {
                    script.seen.problems.push(format!("call {n} went to {target}, the script says {wanted}"));
                }
                play(entry, &got, n)
            }
        };
        drop(script);
        let player = Player {
            clock: Arc::clone(&self.clock),
            acts: acts.into(),
            call,
            began: self.clock.now(),
            left: Left { state: Arc::clone(&self.state), n: n - 1 },
        };
        Box::pin(player.head())
    }
}

/// Marks a call as cancelled unless it was played to its end.
struct Left {
    state: Arc<Mutex<Script>>,
    n: usize,
}

impl Left {
    fn done(&self) {
        let mut script = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancelled) = script.seen.cancelled.get_mut(self.n) {
            *cancelled = false;
        }
    }
}

/// One answer being played.
struct Player {
    clock: Arc<dyn Clock>,
    acts: VecDeque<Act>,
    call: Call,
    began: Duration,
    left: Left,
}

impl Player {
    async fn head(mut self) -> Result<Answer, CallError> {
        let limit = self.call.timeouts.first_byte;
        let since = self.clock.now();
        loop {
            match self.acts.pop_front() {
                Some(Act::Wait(millis)) => self.wait(Duration::from_millis(millis), since, limit).await?,
                Some(Act::Stall) => self.wait(Duration::MAX, since, limit).await?,
                Some(Act::Head { status, headers }) => {
                    let headers = header_map(&headers);
                    return Ok(Answer { status, headers, body: self.body() });
                }
                Some(Act::Refuse) => {
                    self.left.done();
                    return Err(CallError::new(Cause::Connect, "scripted: no connection"));
                }
                Some(Act::Cut) => {
                    self.left.done();
                    return Err(CallError::new(
                        Cause::Broken,
                        "scripted: the connection ended before an answer",
                    ));
                }
                Some(_) | None => {
                    self.left.done();
                    return Err(CallError::new(Cause::Invalid, "scripted: the answer has no head"));
                }
            }
        }
    }

    fn body(self) -> stream::BoxStream<'static, Result<Bytes, CallError>> {
        Box::pin(stream::unfold(Some(self), |player| async move {
            let mut player = player?;
            match player.piece().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(player))),
                Ok(None) => {
                    player.left.done();
                    None
                }
                Err(error) => {
                    player.left.done();
                    Some((Err(error), None))
                }
            }
        }))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, CallError> {
        let (since, limit) = (self.clock.now(), self.call.timeouts.between);
        loop {
            match self.acts.pop_front() {
                Some(Act::Wait(millis)) => self.wait(Duration::from_millis(millis), since, limit).await?,
                Some(Act::Stall) => self.wait(Duration::MAX, since, limit).await?,
                Some(Act::Data(text)) => return Ok(Some(text.into())),
                Some(Act::Binary(bytes) | Act::Raw(bytes)) => return Ok(Some(bytes.into())),
                Some(Act::Cut) => {
                    return Err(CallError::new(
                        Cause::Broken,
                        "scripted: the connection ended before the answer did",
                    ));
                }
                Some(Act::Head { .. } | Act::Refuse) => {}
                Some(Act::End) | None => return Ok(None),
            }
        }
    }

    /// Waits, but not past a limit counted from `since` nor past the attempt's end.
    async fn wait(&self, time: Duration, since: Duration, limit: Duration) -> Result<(), CallError> {
        let now = self.clock.now();
        let ends = (since + limit).min(self.began + self.call.timeouts.total);
        let until = now.checked_add(time).unwrap_or(Duration::MAX);
        let sleep = |to: Duration| self.clock.sleep(to.saturating_sub(now));
        if until <= ends {
            sleep(until).await;
            return Ok(());
        }
        sleep(ends).await;
        self.left.done();
        Err(CallError::new(Cause::Timeout, "scripted: no answer in time"))
    }
}

fn header_map(pairs: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        // Framing is the transport's; there is none here.
        if matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
            continue;
        }
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}
