//! What a script changed of what passed through it, for the trace: names and counts, never what stood there.

use crate::script_handle::{Answer, Try};
use bytestring::ByteString;
use http::HeaderMap;
use serde_json::Value;
use std::collections::HashSet;
use weir_message::{Request, TextRole};

/// Facts by name.
pub type Changes = Vec<(&'static str, Value)>;

type Texts = Vec<(usize, TextRole, ByteString)>;

pub(crate) fn of_request(before: &Request, after: &Request) -> Changes {
    let mut out = Changes::new();
    if before.model() != after.model() {
        out.push(("model", after.model().into()));
    }
    texts(&before.texts(), &after.texts(), ["texts_changed", "texts_added"], &mut out);
    headers(&before.headers, &after.headers, ["headers_set", "headers_removed"], &mut out);
    let params = |request: &Request, other: &Request, is_set: bool| -> Vec<Value> {
        let params = request.params.0.iter();
        let differs = params.filter(|one| match other.params.get(&one.name) {
            Some(json) => is_set && *json != one.json,
            None => true,
        });
        differs.map(|one| Value::from(&*one.name)).collect()
    };
    named("params_set", params(after, before, true), &mut out);
    named("params_removed", params(before, after, false), &mut out);
    out
}

pub(crate) fn of_reply(before: &Answer, after: &Answer) -> Changes {
    let mut out = Changes::new();
    let (before, after) = (&before.reply, &after.reply);
    texts(&before.texts(), &after.texts(), ["reply_texts_changed", "reply_texts_added"], &mut out);
    let names = ["reply_headers_set", "reply_headers_removed"];
    headers(&before.headers, &after.headers, names, &mut out);
    out
}

pub(crate) fn of_attempt(before: &Try, after: &Try) -> Changes {
    let mut out = Changes::new();
    headers(&before.headers, &after.headers, ["headers_set", "headers_removed"], &mut out);
    out
}

/// How many texts were not there before: those beyond the number that there were are added, the others changed.
fn texts(before: &Texts, after: &Texts, names: [&'static str; 2], out: &mut Changes) {
    let known: HashSet<&str> = before.iter().map(|(_, _, text)| &**text).collect();
    let new = after.iter().filter(|(_, _, text)| !known.contains(&**text)).count();
    let added = after.len().saturating_sub(before.len());
    for (name, count) in names.into_iter().zip([new.saturating_sub(added), added]) {
        if count > 0 {
            out.push((name, count.into()));
        }
    }
}

fn headers(before: &HeaderMap, after: &HeaderMap, names: [&'static str; 2], out: &mut Changes) {
    let [set, removed] = names;
    let differs = after.keys().filter(|name| !before.get_all(*name).iter().eq(after.get_all(*name)));
    named(set, differs.map(|name| name.as_str().into()).collect(), out);
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    named(removed, gone.map(|name| name.as_str().into()).collect(), out);
}

fn named(fact: &'static str, names: Vec<Value>, out: &mut Changes) {
    if !names.is_empty() {
        out.push((fact, names.into()));
    }
}
