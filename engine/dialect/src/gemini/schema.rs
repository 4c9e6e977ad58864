//! Gemini's own form of schemas (ai.google.dev/api/caching#Schema) in the words of JSON Schema, which all others speak.

use crate::compose::write_string;
use crate::scan::{Next, Scan, Scanned};
use bytestring::ByteString;

/// A schema in the words of JSON Schema; itself if it is in those already, or cannot be read.
pub(crate) fn standard(schema: ByteString) -> ByteString {
    let mut out = Vec::with_capacity(schema.len());
    let read = Scan::all(&schema).and_then(|mut scan| {
        write(&mut scan, &mut out)?;
        scan.end()
    });
    match (read, String::from_utf8(out)) {
        (Ok(()), Ok(out)) if out != *schema => out.into(),
        _ => schema,
    }
}

/// One schema.
fn write(scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Scanned<()> {
    if scan.next()? != Next::Object {
        // `additionalProperties: false`.
        return copy(scan, out);
    }
    out.push(b'{');
    let mut is_first = true;
    let mut may_be_null = false;
    // Where the type and the end of the values stand in what is written.
    let (mut kind, mut values) = (None, None);
    scan.object(&[], |scan, _, key| {
        let name = key.value()?;
        let next = scan.next()?;
        let spelling = match &*name {
            "nullable" => {
                may_be_null = scan.bool_or_null()?;
                return Ok(());
            }
            // How to order what is made, and what it may look like, is said to nobody else.
            "propertyOrdering" | "property_ordering" | "example" => return scan.skip().map(|_| ()),
            name => standard_name(name),
        };
        if !std::mem::replace(&mut is_first, false) {
            out.push(b',');
        }
        write_string(out, spelling);
        out.push(b':');
        let start = out.len();
        match (spelling, next) {
            ("type", Next::String) => {
                write_string(out, &scan.string()?.value()?.to_ascii_lowercase());
                kind = Some(start..out.len());
                Ok(())
            }
            ("enum", Next::Array) => {
                copy(scan, out)?;
                values = Some(out.len() - 1);
                Ok(())
            }
            ("properties" | "$defs" | "definitions", Next::Object) => named(scan, out),
            ("items" | "additionalProperties", _) => write(scan, out),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Next::Array) => {
                out.push(b'[');
                scan.array(|scan, n| {
                    if n > 0 {
                        out.push(b',');
                    }
                    write(scan, out)
                })?;
                out.push(b']');
                Ok(())
            }
            // Google spells 64 bits as a string.
            (name, Next::String) if COUNTS.contains(&name) => {
                let count = scan.string()?.inner;
                let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
                out.extend_from_slice(if is_count { count.as_bytes() } else { b"0" });
                Ok(())
            }
            _ => copy(scan, out),
        }
    })?;
    if may_be_null && let Some(kind) = kind {
        let mut places = vec![(kind.end, &b",\"null\"]"[..]), (kind.start, b"[")];
        let is_empty = |end| out.get(..end).is_some_and(|before| before.trim_ascii_end().ends_with(b"["));
        places.extend(values.map(|end| (end, if is_empty(end) { &b"null"[..] } else { b",null" })));
        places.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, what) in places {
            out.splice(at..at, what.iter().copied());
        }
    }
    out.push(b'}');
    Ok(())
}

/// A value as it is spelt.
fn copy(scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Scanned<()> {
    let range = scan.skip()?;
    out.extend_from_slice(scan.spelt(range).as_bytes());
    Ok(())
}

/// Schemas by name.
fn named(scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Scanned<()> {
    out.push(b'{');
    let mut is_first = true;
    scan.object(&[], |scan, _, key| {
        if !std::mem::replace(&mut is_first, false) {
            out.push(b',');
        }
        out.extend_from_slice(scan.spelt(key.at).as_bytes());
        out.push(b':');
        write(scan, out)
    })?;
    out.push(b'}');
    Ok(())
}

/// A keyword as JSON Schema spells it.
fn standard_name(name: &str) -> &str {
    const OTHERS: &[(&str, &str)] = &[
        ("additional_properties", "additionalProperties"),
        ("any_of", "anyOf"),
        ("prefix_items", "prefixItems"),
        ("min_items", "minItems"),
        ("max_items", "maxItems"),
        ("min_length", "minLength"),
        ("max_length", "maxLength"),
        ("min_properties", "minProperties"),
        ("max_properties", "maxProperties"),
        ("defs", "$defs"),
        ("ref", "$ref"),
    ];
    OTHERS.iter().find(|other| other.0 == name).map_or(name, |other| other.1)
}

const COUNTS: [&str; 6] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_read_the_same_in_other_words() {
        let cases = [
            (
                r#"{"type":"OBJECT","properties":{"Type":{"type":"STRING","nullable":true,"enum":["a","b"]},"n":{"type":"ARRAY","items":{"type":"INTEGER","format":"int32"},"minItems":"2"}},"required":["n"],"propertyOrdering":["n","Type"]}"#,
                r#"{"type":"object","properties":{"Type":{"type":["string","null"],"enum":["a","b",null]},"n":{"type":"array","items":{"type":"integer","format":"int32"},"minItems":2}},"required":["n"]}"#,
            ),
            (
                r#"{"any_of":[{"type":"NUMBER","minimum":1.0e0},{"type":"BOOLEAN"}],"description":"x \"y\""}"#,
                r#"{"anyOf":[{"type":"number","minimum":1.0e0},{"type":"boolean"}],"description":"x \"y\""}"#,
            ),
            (r#"{"nullable":true,"type":"STRING"}"#, r#"{"type":["string","null"]}"#),
            (
                r#"{"type":"object","additionalProperties":false}"#,
                r#"{"type":"object","additionalProperties":false}"#,
            ),
            (r#"{"type":["string","null"]}"#, r#"{"type":["string","null"]}"#),
            ("{", "{"),
        ];
        for (given, want) in cases {
            assert_eq!(standard(given.into()), want);
            assert_eq!(standard(want.into()), want);
        }
    }
}
