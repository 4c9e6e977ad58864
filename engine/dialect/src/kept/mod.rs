//! What providers keep (files, batches, responses) and paths that are no operation's: passed on in their own dialect, with
//! every string that can be read open to the stages.
//!
//! A body is JSON, lines of JSON, a form, or plain text. What is none of these cannot be read ([`Body::Opaque`]), and where a
//! guard reads requests it does not pass.

mod batch;
mod ids;
mod lists;
mod path;
mod read;
#[cfg(test)]
mod tests;

pub use batch::{BatchLine, Spent, asks_many, renamed, spent};
pub(crate) use ids::event_ids;
pub use ids::{Id, is_minted, reply_ids, request_ids, sealed_ids, with_ids};
pub use lists::{List, list, only};
pub use path::is_disguised;

use crate::form;
use crate::scan::{Flaw, Scan, What};
use crate::{ReplySummary, bad_request, openai, whole};
use bytes::Bytes;
use bytestring::ByteString;
use http::Method;
pub(crate) use path::path;
use weir_message::{
    Body, Choice, Dialect, ErrorCode, Fault, Finish, Head, Operation, Part, Reply, ReplyBody, Request,
};

/// Whether a request is for what a provider keeps, or for a path that is no operation's.
pub fn is_kept(request: &Request) -> bool {
    match request.operation {
        Operation::Response => request.path.contains("/responses/"),
        operation => is_passed(operation),
    }
}

/// Whether requests of an operation name no model, and go to the account that a policy says.
pub fn is_passed(operation: Operation) -> bool {
    matches!(operation, Operation::File | Operation::Batch | Operation::Http)
}

/// Reads the few fields that every plan reads.
pub(crate) fn read_head(request: &mut Request) -> Result<(), Fault> {
    let model = request.head.model.take();
    request.head = Head { model, include_usage: true, ..Head::default() };
    if request.operation == Operation::Response && request.method == Method::GET {
        let asks = |pair: &str| pair == "stream=true";
        request.head.stream = request.query.as_deref().is_some_and(|query| query.split('&').any(asks));
    }
    if request.operation == Operation::Http
        && let Ok(whole) = ByteString::try_from(request.raw.clone())
        && whole.trim_ascii_start().starts_with('{')
    {
        let mut head = Head::default();
        let mut read = || {
            let mut scan = Scan::all(&whole)?;
            scan.object(&["model"], |scan, name, _| {
                openai::decode::head_field(scan, name, &mut head).map(|_| ())
            })?;
            scan.end()
        };
        read().map_err(bad_request)?;
        request.head.model = request.head.model.take().or(head.model);
    }
    Ok(())
}

/// Reads every string of a request.
pub(crate) fn decode(request: &mut Request) -> Result<(), Fault> {
    read_head(request)?;
    let found = match form::boundary(&request.headers) {
        Some(boundary) => read::form(&request.raw, &boundary),
        None => read::whole(&request.raw, 0, read::Kind::of(&request.headers)),
    };
    match found.map_err(bad_request)? {
        Some(found) => {
            request.body = Body::Words(found.words);
            request.beside = found.beside;
        }
        None => request.body = Body::Opaque,
    }
    Ok(())
}

/// Reads every string of a reply: the parts of its one choice.
pub(crate) fn decode_reply(reply: &mut Reply) -> Result<(), Flaw> {
    reply.body = match read::whole(&reply.raw, 0, read::Kind::of(&reply.headers))? {
        Some(found) => {
            let texts = found.words.into_iter().chain(found.beside.into_iter().map(|beside| beside.text));
            let parts = texts.map(Part::Text).collect();
            ReplyBody::Choices(vec![Choice { index: 0, parts, finish: Some(Finish::Stop), stop: None }])
        }
        None => ReplyBody::Opaque,
    };
    Ok(())
}

/// What a reply on a path that is no operation's tells of usage, in whichever of the usual shapes.
pub(crate) fn summary(dialect: Dialect, raw: &Bytes) -> ReplySummary {
    let Ok(whole) = whole(raw) else { return ReplySummary::default() };
    if !whole.trim_ascii_start().starts_with('{') {
        return ReplySummary::default();
    }
    batch::summary(dialect, &whole).unwrap_or_default()
}

/// The body with all changes. What a stage put into a form may not begin a field of its own.
pub(crate) fn outgoing(request: &Request) -> Result<Bytes, Fault> {
    let broken = || Fault::new(ErrorCode::BadRequest, "the edited body cannot be put together");
    let bytes = request.outgoing().map_err(|error| broken().detail(error.to_string()))?;
    if bytes.as_ptr() != request.raw.as_ptr()
        && let Some(boundary) = form::boundary(&request.headers)
    {
        let names = |bytes: &Bytes| -> Result<Vec<String>, Fault> {
            let fields = form::read(bytes, &boundary).map_err(|_| broken())?;
            Ok(fields.into_iter().map(|field| field.name).collect())
        };
        if names(&bytes)? != names(&request.raw)? {
            return Err(broken());
        }
    }
    Ok(bytes)
}

/// That a body should be something else.
fn want(what: &'static str, at: usize) -> Flaw {
    Flaw::new(What::Want(what), at)
}
