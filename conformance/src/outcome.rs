//! What came of one request of a case, and whether it is what the case expects.

use crate::case::{ClientRequest, Step};
use crate::counts::Counts;
use crate::report::Failure;
use bytes::Bytes;
use http::HeaderMap;
use weir_message::{Money, Operation, Outcome, Reply, Request, Trace, Usage};
use weir_script::{Client, Counters, Ledger, Services, UpstreamCall, View};

/// What came of one request, however it was sent.
pub(crate) struct Came {
    /// The request as the client sent it, decoded where it can be.
    pub request: Request,
    /// What the client got.
    pub client: Client,
    /// The same, decoded.
    pub reply: Option<Reply>,
    /// All decisions; `None` where they cannot be seen.
    pub trace: Option<Trace>,
    /// What providers got.
    pub upstream: Vec<UpstreamCall>,
    /// What was booked; `None` where it cannot be seen.
    pub ledger: Option<Ledger>,
    /// What limits had left and callers had spent; `None` where it cannot be seen.
    pub counts: Option<Counts>,
    /// The revision that served it.
    pub revision: String,
    /// When it was sent, in nanoseconds since 1970 UTC.
    pub now: i64,
    /// What does not agree with the script.
    pub problems: Vec<String>,
}

/// What a request's envelope asks for, as the front door reads it.
pub(crate) fn sent(request: &ClientRequest, id: &str) -> Request {
    let (path, query) = match request.path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.path.as_str(), None),
    };
    let (dialect, operation) = match weir_dialect::classify(&request.method, path, &request.headers) {
        Ok(route) => (route.dialect, route.operation),
        Err(_) => (weir_dialect::dialect_at(path, &request.headers), Operation::Http),
    };
    let mut out = Request::new(id, dialect, operation, path.to_owned());
    out.method = request.method.clone();
    out.query = query.map(Into::into);
    out.headers = request.headers.clone();
    out.raw = request.body.clone();
    out
}

impl Came {
    /// Puts together what can be seen of a request from both of its ends.
    pub(crate) fn new(sent: Request, status: u16, headers: HeaderMap, body: &Bytes) -> Self {
        let mut request = sent;
        // A body that cannot be read stays unread: what is expected of the refusal does not read it.
        let _ = weir_dialect::decode(&mut request);
        let revision =
            headers.get("x-weir-revision").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let (client, reply) =
            crate::client::received(status, headers, body, request.dialect, request.operation);
        Self {
            request,
            client,
            reply,
            trace: None,
            upstream: Vec::new(),
            ledger: None,
            counts: None,
            revision,
            now: 0,
            problems: Vec::new(),
        }
    }

    /// The record of a request that needs no pipeline, such as one for the list of models.
    pub(crate) fn blank_trace(&self) -> Trace {
        let error = self.client.error.as_ref().map(|error| error.code.clone());
        let outcome = if error.is_some() { Outcome::Failed } else { Outcome::Replied };
        Trace { outcome, error, ..Trace::default() }
    }

    /// What was booked for nothing.
    pub(crate) fn no_ledger() -> Ledger {
        Ledger { usage: Usage::default(), cost: Money::ZERO }
    }

    /// Everything that is not as the step expects. `sees` says whether an expectation can be decided here.
    pub(crate) fn judge(
        &self,
        step: &Step,
        place: &str,
        services: &dyn Services,
        sees: &dyn Fn(&weir_script::Expression) -> bool,
    ) -> (Vec<Failure>, usize) {
        let mut failures: Vec<Failure> =
            self.problems.iter().map(|problem| Failure::problem(place, problem.clone())).collect();
        let mut unseen = 0;
        let blank = self.blank_trace();
        let view = View {
            original: Some(&self.request),
            reply: self.reply.as_ref(),
            trace: Some(self.trace.as_ref().unwrap_or(&blank)),
            attempts: self.trace.as_ref().map_or(&[], |trace| &trace.attempts),
            attempt: self.trace.as_ref().and_then(|trace| trace.attempts.last()),
            client: Some(&self.client),
            upstream: &self.upstream,
            ledger: self.ledger.as_ref(),
            counters: self.counts.as_ref().map(|counts| counts as &dyn Counters),
            ..View::new(&self.request, &self.revision, self.now)
        };
        for expectation in &step.expect {
            if !sees(&expectation.expression) {
                unseen += 1;
                continue;
            }
            match expectation.expression.eval_bool(&view, services) {
                Ok(true) => {}
                Ok(false) => {
                    let explained = expectation.expression.eval_explained(&view, services);
                    failures.push(Failure::unmet(place, &expectation.text, explained.parts));
                }
                Err(fault) => {
                    let explained = expectation.expression.eval_explained(&view, services);
                    let mut failure = Failure::unmet(place, &expectation.text, explained.parts);
                    failure.fault = Some(fault.to_string());
                    failures.push(failure);
                }
            }
        }
        if !failures.is_empty()
            && let Some(trace) = &self.trace
        {
            for text in [&trace.detail, &trace.said].into_iter().flatten() {
                failures.push(Failure::problem(place, format!("the trace says: {text}")));
            }
        }
        (failures, unseen)
    }
}
