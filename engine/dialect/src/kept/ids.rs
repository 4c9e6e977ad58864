//! Ids that providers mint: where they stand in bodies.
//!
//! An id is a string under `id`, `…_id` or `…_ids` that begins as those of things that providers keep do.

use super::read::lines;
use crate::form;
use crate::scan::{Lit, Next, Scan, Scanned, place};
use crate::sse::{Data, fields};
use crate::{bad_request, whole};
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memmem::find;
use std::ops::Range;
use weir_message::{Dialect, Fault, Operation, Request, Splices};

/// How ids of things begin that a provider keeps for an account. Those of parts (messages, steps, calls) are good only below the
/// thing that they are part of.
const SORTS: &[&str] = &[
    "file-",
    "file_",
    "assistant-",
    "batch_",
    "msgbatch_",
    "resp_",
    "conv_",
    "upload_",
    "vs_",
    "vsfb_",
    "ftjob-",
    "asst_",
    "thread_",
    "run_",
    "eval_",
    "evalrun_",
    "cntr_",
    "skill_",
    "video_",
];

/// What stands behind the prefix of an id that is sealed.
const MARK: &str = "w1";

/// An id in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// Where its literal stands, quotes included where it has them.
    pub at: Range<u32>,
    /// The id.
    pub id: ByteString,
    /// Whether it stands in quotes.
    pub is_quoted: bool,
}

/// Whether an id is of a thing that a provider keeps, sealed or not.
pub fn is_minted(id: &str) -> bool {
    SORTS.iter().any(|sort| id.starts_with(sort))
}

/// The bytes with other ids in the place of these, where `other` has one.
pub fn with_ids(raw: &Bytes, ids: &[Id], mut other: impl FnMut(&str) -> Option<String>) -> Bytes {
    let mut splices = Splices::default();
    for id in ids {
        if let Some(other) = other(&id.id) {
            splices.set(id.at.clone(), if id.is_quoted { format!("\"{other}\"") } else { other });
        }
    }
    splices.apply(raw)
}

/// Whether an id looks as if it were sealed.
fn is_sealed(id: &str) -> bool {
    id.split_once(['-', '_']).is_some_and(|(_, rest)| rest.len() > 40 && rest.starts_with(MARK))
}

/// Whether a key names something by its id.
fn names(key: &str) -> bool {
    key == "id" || key.ends_with("_id") || key.ends_with("_ids")
}

/// The ids that a request for what is kept names in its body.
///
/// # Errors
/// The body is a form or JSON that cannot be read.
pub fn request_ids(request: &Request) -> Result<Vec<Id>, Fault> {
    let mut out = Vec::new();
    let any = |id: &str, _: &str| is_minted(id);
    if let Some(boundary) = form::boundary(&request.headers) {
        for field in form::read(&request.raw, &boundary).map_err(bad_request)? {
            let Ok(value) = ByteString::try_from(request.raw.slice(field.at.clone())) else { continue };
            if !field.is_file {
                if is_minted(&value) {
                    out.push(Id { at: place(field.at), id: value, is_quoted: false });
                }
                continue;
            }
            for (start, line) in lines(&value) {
                // Whether a line must be JSON is asked elsewhere.
                let _ = walk(&line, field.at.start + start, &any, &mut out);
            }
        }
        return Ok(out);
    }
    if let Ok(whole) = whole(&request.raw)
        && whole.trim_ascii_start().starts_with(['{', '['])
    {
        walk(&whole, 0, &any, &mut out).map_err(bad_request)?;
    }
    Ok(out)
}

/// The ids of kept things that a request to a model names: what was answered before, and files, where `files` may be named.
/// Where there can be none, the body is not read.
///
/// # Errors
/// The body is no JSON.
pub fn sealed_ids(request: &Request, files: bool) -> Result<Vec<Id>, Fault> {
    let raw = &request.raw;
    let is_response = request.dialect == Dialect::OpenAi && request.operation == Operation::Response;
    let may_follow = is_response && find(raw, b"\"previous_response_id\"").is_some();
    // A key may be spelt in escapes.
    let may_name = files
        && [&b"file_id"[..], b"vector_store_id", b"conversation", b"\\u00"]
            .iter()
            .any(|key| find(raw, key).is_some());
    let mut out = Vec::new();
    if (may_follow || may_name)
        && form::boundary(&request.headers).is_none()
        && let Ok(whole) = whole(raw)
    {
        // Vector stores may be an account's own, which policies share; a sealed one is somebody's.
        let strict = |id: &str, key: &str| match key {
            "previous_response_id" => is_response,
            // Where nothing is passed on, none of these was given out here.
            "conversation" | "file_id" | "file_ids" => files && is_minted(id),
            _ => is_sealed(id) && is_minted(id),
        };
        walk(&whole, 0, &strict, &mut out).map_err(bad_request)?;
    }
    Ok(out)
}

/// The ids in a reply that are sealed before anybody sees it.
pub fn reply_ids(operation: Operation, raw: &Bytes) -> Vec<Id> {
    let mut out = Vec::new();
    let Ok(whole) = whole(raw) else { return out };
    let read = match operation {
        Operation::Response => {
            let scan = Scan::all(&whole);
            scan.and_then(|mut scan| response(&mut scan, &mut out))
        }
        _ if whole.trim_ascii_start().starts_with('{') => walk(&whole, 0, &|id, _| is_minted(id), &mut out),
        // What a file holds is nobody's ids.
        _ => Ok(()),
    };
    if read.is_err() {
        out.clear();
    }
    out
}

/// The ids in an event of a response's stream: most have none.
pub(crate) fn event_ids(raw: &Bytes) -> Vec<Id> {
    let mut out = Vec::new();
    if find(raw, b"\"response\"").is_none() {
        return out;
    }
    let said = fields(raw);
    // Several lines of data have no one place for what stands in them; no provider sends them so.
    let (true, Ok(data)) = (said.more.is_empty(), Data::of(raw, &said)) else { return out };
    let read = Scan::new(&data.whole, data.range.clone()).and_then(|mut scan| {
        scan.object(&["response"], |scan, name, _| match (name, scan.next()?) {
            ("response", Next::Object) => response(scan, &mut out),
            _ => scan.skip().map(|_| ()),
        })
    });
    if read.is_err() {
        out.clear();
    }
    out
}

/// The ids of a response and of what it follows.
fn response(scan: &mut Scan<'_>, out: &mut Vec<Id>) -> Scanned<()> {
    let inside = scan.object(&["id", "previous_response_id"], |scan, name, _| match (name, scan.next()?) {
        ("id" | "previous_response_id", Next::String) => {
            let lit = scan.string()?;
            if is_minted(&lit.value()?) {
                out.push(id(scan, &lit, 0)?);
            }
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    });
    inside.map(|_| ())
}

fn id<'a>(scan: &Scan<'a>, lit: &Lit<'a>, at: usize) -> Scanned<Id> {
    Ok(Id { at: place(lit.at.start + at..lit.at.end + at), id: scan.shared(lit)?, is_quoted: true })
}

/// Which strings are wanted: by their value and their key.
type Wanted<'w> = &'w dyn Fn(&str, &str) -> bool;

/// All wanted ids of a JSON text that stands `at` in what is edited.
fn walk(whole: &ByteString, at: usize, wanted: Wanted<'_>, out: &mut Vec<Id>) -> Scanned<()> {
    let mut scan = Scan::all(whole)?;
    value(&mut scan, "", at, wanted, out)?;
    scan.end()
}

fn value(scan: &mut Scan<'_>, key: &str, at: usize, wanted: Wanted<'_>, out: &mut Vec<Id>) -> Scanned<()> {
    match scan.next()? {
        Next::Object => scan
            .object(&[], |scan, _, name| {
                let name = name.value()?;
                // The conversation is named by itself, or by an object with its id.
                let is_id = key == "conversation" && &*name == "id";
                value(scan, if is_id { "conversation" } else { &name }, at, wanted, out)
            })
            .map(|_| ()),
        Next::Array => scan.array(|scan, _| value(scan, key, at, wanted, out)).map(|_| ()),
        Next::String if names(key) || key == "conversation" => {
            let lit = scan.string()?;
            let told = lit.value()?;
            if wanted(&told, key) {
                out.push(id(scan, &lit, at)?);
            }
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    }
}
