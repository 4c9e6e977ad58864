//! Functions over texts.

use crate::budget::LONGEST_TEXT;
use crate::fault::Trouble;
use crate::function::{Answer, bad, texts, wrong};
use crate::object::Context;
use crate::value::{List, Text, Value};
use regex::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::net::IpAddr;
use weir_diagnostic::units::Network;

/// A regular expression and how many bytes it may scan for one unit of work: small automata are fast, large ones are
/// charged as if they had to run state by state.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    stride: usize,
}

impl Pattern {
    pub(crate) fn compile(pattern: &str) -> Result<Pattern, String> {
        for (size, stride) in [(64 << 10, 32), (256 << 10, 8), (1 << 20, 2)] {
            match RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(2 << 20).build() {
                Ok(regex) => return Ok(Pattern { regex, stride }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("the pattern compiles to more than 1 MiB".to_owned())
    }

    pub(crate) fn is_match(&self, cx: &Context<'_>, text: &str) -> Result<bool, Trouble> {
        cx.budget.scan(text.len(), self.stride)?;
        Ok(self.regex.is_match(text))
    }
}

fn limited(len: usize) -> Result<(), Trouble> {
    if len > LONGEST_TEXT { Err(Trouble::costly()) } else { Ok(()) }
}

/// A piece of a text: borrowed if the text is.
fn piece<'a>(text: &Text<'a>, cut: impl Fn(&str) -> Option<&str>) -> Option<Value<'a>> {
    match text {
        Text::Borrowed(text) => {
            let part = cut(text)?;
            // The piece is found again in the longer-lived text by its place.
            let start = part.as_ptr() as usize - text.as_ptr() as usize;
            text.get(start..start + part.len()).map(Value::str)
        }
        Text::Shared(text) => cut(text).map(Value::string),
    }
}

pub(crate) fn contains<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text), Value::Text(part)] = args else { return wrong("contains", args) };
    cx.budget.scan(text.as_str().len(), 128)?;
    Ok(Value::Bool(text.as_str().contains(part.as_str())))
}

pub(crate) fn starts_with<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text), Value::Text(part)] = args else { return wrong("startsWith", args) };
    Ok(Value::Bool(text.as_str().starts_with(part.as_str())))
}

pub(crate) fn ends_with<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text), Value::Text(part)] = args else { return wrong("endsWith", args) };
    Ok(Value::Bool(text.as_str().ends_with(part.as_str())))
}

/// Reached only where the checker could not see the pattern, which it refuses.
pub(crate) fn matches<'a>(_: &Context<'a>, _: &[Value<'a>]) -> Answer<'a> {
    bad("a pattern must be written out")
}

pub(crate) fn lower_ascii<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text)] = args else { return wrong("lowerAscii", args) };
    cx.budget.scan(text.as_str().len(), 64)?;
    Ok(Value::string(text.as_str().to_ascii_lowercase()))
}

pub(crate) fn upper_ascii<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text)] = args else { return wrong("upperAscii", args) };
    cx.budget.scan(text.as_str().len(), 64)?;
    Ok(Value::string(text.as_str().to_ascii_uppercase()))
}

pub(crate) fn trim<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text)] = args else { return wrong("trim", args) };
    cx.budget.scan(text.as_str().len(), 64)?;
    Ok(piece(text, |text| Some(text.trim())).unwrap_or(Value::Null))
}

pub(crate) fn replace<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (text, from, to, most) = match args {
        [Value::Text(text), Value::Text(from), Value::Text(to)] => (text, from, to, usize::MAX),
        [Value::Text(text), Value::Text(from), Value::Text(to), Value::Int(n)] => {
            (text, from, to, usize::try_from(*n).unwrap_or(usize::MAX))
        }
        _ => return wrong("replace", args),
    };
    let (text, from, to) = (text.as_str(), from.as_str(), to.as_str());
    cx.budget.scan(text.len(), 16)?;
    let found = text.matches(from).take(most).count();
    limited(text.len().saturating_add(found.saturating_mul(to.len())))?;
    cx.budget.scan(found.saturating_mul(to.len()), 64)?;
    Ok(Value::string(text.replacen(from, to, most)))
}

pub(crate) fn split<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (text, by, most) = match args {
        [Value::Text(text), Value::Text(by)] => (text, by, usize::MAX),
        [Value::Text(text), Value::Text(by), Value::Int(n)] => {
            (text, by, usize::try_from(*n).unwrap_or(usize::MAX))
        }
        _ => return wrong("split", args),
    };
    cx.budget.scan(text.as_str().len(), 16)?;
    let mut pieces = Vec::new();
    let mut keep = |piece: Value<'a>| {
        pieces.push(piece);
        cx.budget.spend(4)
    };
    // An empty separator splits into characters; the standard library's would add empty ends.
    let chars = by.as_str().is_empty();
    match text {
        Text::Borrowed(text) if chars => {
            text.split("").filter(|p| !p.is_empty()).try_for_each(|p| keep(Value::str(p)))?
        }
        Text::Shared(text) if chars => {
            text.split("").filter(|p| !p.is_empty()).try_for_each(|p| keep(Value::string(p)))?
        }
        Text::Borrowed(text) => text.splitn(most, by.as_str()).try_for_each(|p| keep(Value::str(p)))?,
        Text::Shared(text) => text.splitn(most, by.as_str()).try_for_each(|p| keep(Value::string(p)))?,
    }
    Ok(Value::list(pieces))
}

pub(crate) fn join<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (list, with): (&List<'a>, &str) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::Text(with)] => (list, with.as_str()),
        _ => return wrong("join", args),
    };
    let mut out = String::new();
    for (n, item) in texts(list).enumerate() {
        let Some(item) = item else { return wrong("join", args) };
        if n > 0 {
            out.push_str(with);
        }
        out.push_str(item.as_str().unwrap_or(""));
        limited(out.len())?;
        cx.budget.spend(1 + (item.weight() + with.len() as u64 / 256))?;
    }
    Ok(Value::string(out))
}

/// The byte offset of a character; the end for one past the last.
fn offset(text: &str, chars: i64) -> Option<usize> {
    let n = usize::try_from(chars).ok()?;
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(n)
}

pub(crate) fn substring<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (text, from, to) = match args {
        [Value::Text(text), Value::Int(from)] => (text, *from, None),
        [Value::Text(text), Value::Int(from), Value::Int(to)] => (text, *from, Some(*to)),
        _ => return wrong("substring", args),
    };
    cx.budget.scan(text.as_str().len(), 16)?;
    let cut = |text: &str| {
        let start = offset(text, from)?;
        let end = to.map_or(Some(text.len()), |to| offset(text, to))?;
        (start <= end).then_some(start..end)
    };
    piece(text, |text| text.get(cut(text)?)).map_or_else(|| bad("the text is shorter than that"), Ok)
}

fn place_in_chars<'a>(text: &str, byte: Option<usize>) -> Value<'a> {
    byte.map_or(Value::Int(-1), |byte| {
        Value::uint_as_int(text.get(..byte).unwrap_or("").chars().count() as u64)
    })
}

pub(crate) fn index_of<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text), Value::Text(part)] = args else { return wrong("indexOf", args) };
    cx.budget.scan(text.as_str().len(), 64)?;
    Ok(place_in_chars(text.as_str(), text.as_str().find(part.as_str())))
}

pub(crate) fn last_index_of<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text), Value::Text(part)] = args else { return wrong("lastIndexOf", args) };
    cx.budget.scan(text.as_str().len(), 64)?;
    Ok(place_in_chars(text.as_str(), text.as_str().rfind(part.as_str())))
}

pub(crate) fn string<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::Text(text.clone())),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::string(text)),
            Err(_) => bad("the bytes are not UTF-8"),
        },
        [
            Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Timestamp(_)
            | Value::Duration(_),
        ] => Ok(Value::string(args.first().map(scalar).unwrap_or_default())),
        _ => wrong("string", args),
    }
}

/// A scalar as people write it.
pub(crate) fn scalar(value: &Value<'_>) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        Value::Timestamp(nanos) => crate::function_time::rfc3339(*nanos),
        Value::Duration(nanos) => crate::function_time::seconds_text(*nanos),
        _ => String::new(),
    }
}

pub(crate) fn bytes<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text)] = args else { return wrong("bytes", args) };
    cx.budget.scan(text.as_str().len(), 128)?;
    Ok(Value::Bytes(text.as_str().as_bytes().into()))
}

pub(crate) fn sha256<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let bytes = match args {
        [Value::Text(text)] => text.as_str().as_bytes(),
        [Value::Bytes(bytes)] => bytes,
        _ => return wrong("sha256", args),
    };
    cx.budget.scan(bytes.len(), 8)?;
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    Ok(Value::string(out))
}

pub(crate) fn json_parse<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text)] = args else { return wrong("json.parse", args) };
    cx.budget.scan(text.as_str().len(), 4)?;
    match serde_json::from_str(text.as_str()) {
        Ok(json) => Ok(Value::json_owned(json)),
        Err(_) => bad("the text is not JSON"),
    }
}

pub(crate) fn check_cidr(text: &str) -> Result<(), String> {
    match text.parse::<Network>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("\"{text}\" is no network; write one like \"10.0.0.0/8\"")),
    }
}

pub(crate) fn in_cidr<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(address), Value::Text(network)] = args else { return wrong("inCidr", args) };
    let Ok(address) = address.as_str().parse::<IpAddr>() else { return bad("the text is no IP address") };
    let Ok(network) = network.as_str().parse::<Network>() else { return bad("the text is no network") };
    Ok(Value::Bool(network.contains(address)))
}
