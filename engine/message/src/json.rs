//! Changes to JSON by JSON Pointer (RFC 6901) on its bytes: what is not named keeps its spelling.

use bytes::{Bytes, BytesMut};
use std::borrow::Cow;
use std::ops::Range;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonOp {
    /// Puts a value there, in place of what stands there or anew; objects that are missing on the way are made. `-` appends to an
    /// array.
    Set(String, serde_json::Value),
    /// Puts a value there unless one stands there.
    Default(String, serde_json::Value),
    /// Inserts into an array before that place.
    Insert(String, serde_json::Value),
    /// Takes the value out, if it stands there.
    Remove(String),
    /// Makes an array of what stands there, if it is none: its only item is the value, as it is spelt, between these two.
    Wrap(String, [&'static str; 2]),
}

/// Why a change could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPatchError {
    /// The document is not JSON at this offset.
    #[error("the body is not JSON at byte {0}")]
    NotJson(usize),
    /// The pointer's parent does not exist or holds no members.
    #[error("nothing at \"{0}\" can hold the value")]
    NoParent(String),
}

/// Where the value at `pointer` stands; `None` if there is none. A repeated key counts at its first place.
pub fn locate(json: &[u8], pointer: &str) -> Result<Option<Range<usize>>, JsonPatchError> {
    let mut value = Scan { json, at: 0 }.value()?;
    for token in tokens(pointer) {
        match (Scan { json, at: value.start }).child(&token)? {
            Some(child) => value = child.value,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// `json` with `ops` made, in order.
pub fn patch(json: &Bytes, ops: &[JsonOp]) -> Result<Bytes, JsonPatchError> {
    let mut out = json.clone();
    for op in ops {
        out = apply(&out, op)?;
    }
    Ok(out)
}

fn apply(json: &Bytes, op: &JsonOp) -> Result<Bytes, JsonPatchError> {
    let (pointer, value) = match op {
        JsonOp::Set(pointer, value) | JsonOp::Default(pointer, value) | JsonOp::Insert(pointer, value) => {
            (pointer, Some(value))
        }
        JsonOp::Remove(pointer) | JsonOp::Wrap(pointer, _) => (pointer, None),
    };
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        // The empty pointer names the whole document.
        let (Some(value), false) = (value, matches!(op, JsonOp::Default(..))) else {
            return Ok(json.clone());
        };
        return Ok(Bytes::from(value.to_string()));
    };
    let last = unescape(last);
    let no_parent = || JsonPatchError::NoParent(pointer.clone());
    let Some(parent) = locate(json, parent)? else {
        return match (op, value) {
            (_, None) => Ok(json.clone()),
            (JsonOp::Set(..) | JsonOp::Default(..), Some(value)) if !is_place(&last) => {
                let object = serde_json::Map::from_iter([(last.into_owned(), value.clone())]);
                apply(json, &JsonOp::Set(parent.to_owned(), object.into()))
            }
            _ => Err(no_parent()),
        };
    };
    let is_object = match json.get(parent.start) {
        Some(b'{') => true,
        Some(b'[') => false,
        _ if value.is_none() => return Ok(json.clone()),
        _ => return Err(no_parent()),
    };
    let child = Scan { json, at: parent.start }.child(&last)?;
    let inside_end = parent.end - 1;
    let is_empty = Scan { json, at: parent.start + 1 }.skip_space() >= inside_end;
    let spell = |value: &serde_json::Value| match is_object {
        true => format!("{}:{value}", serde_json::Value::from(last.as_ref())),
        false => value.to_string(),
    };
    Ok(match (op, child) {
        (JsonOp::Remove(_) | JsonOp::Wrap(..), None) | (JsonOp::Default(..), Some(_)) => json.clone(),
        (JsonOp::Wrap(_, around), Some(child)) => wrapped(json, child.value, around),
        (JsonOp::Remove(_), Some(child)) => {
            let member = child.member;
            // One comma goes too: the one behind, or for the last member the one before.
            let after = Scan { json, at: member.end }.skip_space();
            let range = if json.get(after) == Some(&b',') {
                member.start..Scan { json, at: after + 1 }.skip_space()
            } else {
                let before = json.get(..member.start).unwrap_or_default();
                let trimmed = before.trim_ascii_end().len();
                let comma = before.get(..trimmed).is_some_and(|b| b.ends_with(b","));
                if comma { trimmed - 1..member.end } else { member }
            };
            splice(json, range, "")
        }
        (JsonOp::Insert(_, value), Some(child)) if !is_object => {
            splice(json, child.value.start..child.value.start, &format!("{value},"))
        }
        (JsonOp::Set(_, value) | JsonOp::Insert(_, value), Some(child)) => {
            splice(json, child.value, &value.to_string())
        }
        (JsonOp::Set(_, value) | JsonOp::Default(_, value) | JsonOp::Insert(_, value), None) => {
            if !is_object && !is_place(&last) {
                return Err(no_parent());
            }
            let comma = if is_empty { "" } else { "," };
            splice(json, inside_end..inside_end, &format!("{comma}{}", spell(value)))
        }
    })
}

/// Whether the last part of a pointer names a place in an array.
fn is_place(last: &str) -> bool {
    last == "-" || last.parse::<usize>().is_ok()
}

fn wrapped(json: &Bytes, value: Range<usize>, [before, behind]: &[&str; 2]) -> Bytes {
    if json.get(value.start) == Some(&b'[') {
        return json.clone();
    }
    let (before, behind) = (["[", before].concat(), [behind, "]"].concat());
    splice(&splice(json, value.end..value.end, &behind), value.start..value.start, &before)
}

fn splice(json: &Bytes, range: Range<usize>, with: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(json.len() + with.len());
    out.extend_from_slice(json.get(..range.start).unwrap_or_default());
    out.extend_from_slice(with.as_bytes());
    out.extend_from_slice(json.get(range.end..).unwrap_or_default());
    out.freeze()
}

fn tokens(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(unescape)
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// A member of an object or array.
struct Child {
    /// Its value.
    value: Range<usize>,
    /// The value with its key.
    member: Range<usize>,
}

/// Walks over JSON without building it. Trusts structure only as far as it needs to find its way.
struct Scan<'a> {
    json: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn skip_space(&mut self) -> usize {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.at
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonPatchError> {
        self.skip_space();
        if self.peek() != Some(byte) {
            return Err(JsonPatchError::NotJson(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<Range<usize>, JsonPatchError> {
        let start = self.skip_space();
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at);
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(JsonPatchError::NotJson(self.at)),
            }
        }
    }

    /// Passes over one value of any depth, without recursion.
    fn value(&mut self) -> Result<Range<usize>, JsonPatchError> {
        let start = self.skip_space();
        let mut depth = 0usize;
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                Some(b'}' | b']') => {
                    depth = depth.checked_sub(1).ok_or(JsonPatchError::NotJson(self.at))?;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'-' | b'0'..=b'9' | b'a'..=b'z') => {
                    while self
                        .peek()
                        .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
                    {
                        self.at += 1;
                    }
                }
                _ => return Err(JsonPatchError::NotJson(self.at)),
            }
            if depth == 0 {
                return Ok(start..self.at);
            }
        }
    }

    /// The member `token` of the object or array that starts here.
    fn child(&mut self, token: &str) -> Result<Option<Child>, JsonPatchError> {
        self.skip_space();
        let is_object = match self.peek() {
            Some(b'{') => true,
            Some(b'[') => false,
            _ => return Ok(None),
        };
        self.at += 1;
        for n in 0usize.. {
            self.skip_space();
            if matches!(self.peek(), Some(b'}' | b']') | None) {
                break;
            }
            let start = self.at;
            let found = if is_object {
                let key = self.string()?;
                self.expect(b':')?;
                self.json
                    .get(key)
                    .and_then(|key| serde_json::from_slice::<Cow<'_, str>>(key).ok())
                    .is_some_and(|key| key == token)
            } else {
                token.parse::<usize>().is_ok_and(|index| index == n)
            };
            let value = self.value()?;
            if found {
                return Ok(Some(Child { member: start..value.end, value }));
            }
            self.skip_space();
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(json: &'static str, op: JsonOp) -> String {
        let out = patch(&Bytes::from_static(json.as_bytes()), &[op]).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn changes_what_is_named_and_keeps_the_spelling_of_the_rest() {
        let doc = r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"}], "d": {} }"#;
        let cases = [
            (JsonOp::Set("/a".into(), json!(2)), r#"{ "a": 2, "b/c": [1, {"x": "\u00e9"}], "d": {} }"#),
            (
                JsonOp::Set("/b~1c/1/x".into(), json!("y")),
                r#"{ "a": 1.0e0, "b/c": [1, {"x": "y"}], "d": {} }"#,
            ),
            (
                JsonOp::Set("/x/y/z".into(), json!(true)),
                r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"}], "d": {} ,"x":{"y":{"z":true}}}"#,
            ),
            (
                JsonOp::Default("/d/y/z".into(), json!(1)),
                r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"}], "d": {"y":{"z":1}} }"#,
            ),
            (
                JsonOp::Set("/d/e".into(), json!(true)),
                r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"}], "d": {"e":true} }"#,
            ),
            (
                JsonOp::Set("/b~1c/-".into(), json!(3)),
                r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"},3], "d": {} }"#,
            ),
            (
                JsonOp::Insert("/b~1c/0".into(), json!(0)),
                r#"{ "a": 1.0e0, "b/c": [0,1, {"x": "\u00e9"}], "d": {} }"#,
            ),
            (JsonOp::Default("/a".into(), json!(9)), doc),
            (
                JsonOp::Default("/z".into(), json!(9)),
                r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"}], "d": {} ,"z":9}"#,
            ),
            (JsonOp::Remove("/a".into()), r#"{ "b/c": [1, {"x": "\u00e9"}], "d": {} }"#),
            (JsonOp::Remove("/d".into()), r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"}] }"#),
            (JsonOp::Remove("/b~1c/0".into()), r#"{ "a": 1.0e0, "b/c": [{"x": "\u00e9"}], "d": {} }"#),
            (JsonOp::Remove("/nope/deeper".into()), doc),
            (
                JsonOp::Wrap("/d".into(), ["", ""]),
                r#"{ "a": 1.0e0, "b/c": [1, {"x": "\u00e9"}], "d": [{}] }"#,
            ),
            (
                JsonOp::Wrap("/a".into(), [r#"{"x":"#, "}"]),
                r#"{ "a": [{"x":1.0e0}], "b/c": [1, {"x": "\u00e9"}], "d": {} }"#,
            ),
            (JsonOp::Wrap("/b~1c".into(), ["", ""]), doc),
            (JsonOp::Wrap("/nope".into(), ["", ""]), doc),
        ];
        for (op, want) in cases {
            assert_eq!(patched(doc, op.clone()), want, "{op:?}");
        }
    }

    #[test]
    fn a_value_without_a_place_is_an_error() {
        let doc = Bytes::from_static(br#"{"a":1}"#);
        assert_eq!(
            patch(&doc, &[JsonOp::Set("/x/0".into(), json!(1))]),
            Err(JsonPatchError::NoParent("/x/0".into()))
        );
        assert_eq!(
            patch(&doc, &[JsonOp::Set("/a/y".into(), json!(1))]),
            Err(JsonPatchError::NoParent("/a/y".into()))
        );
        assert!(patch(&Bytes::from_static(b"{\"a\":"), &[JsonOp::Remove("/b".into())]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_set_is_found_again(text in "[\\[\\]{}:,\" a-c0-9\\\\]{0,40}") {
            let doc = Bytes::from(text);
            if let Ok(out) = patch(&doc, &[JsonOp::Set("/a".into(), json!("v"))])
                && serde_json::from_slice::<serde_json::Value>(&doc).is_ok()
            {
                let found = locate(&out, "/a").unwrap().unwrap();
                proptest::prop_assert_eq!(&out[found], b"\"v\"");
            }
        }
    }
}
