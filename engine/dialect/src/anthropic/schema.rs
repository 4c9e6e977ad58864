//! JSON Schemas in the part of the language that Anthropic's structured outputs take
//! (platform.claude.com/docs/en/build-with-claude/structured-outputs).

use crate::compose::{Array, Object, object};
use crate::scan::{Lit, Next, Scan, Scanned};
use bytestring::ByteString;

/// Keywords that are taken, and what they hold.
const KEYWORDS: &[&str] = &[
    "additionalProperties",
    "description",
    "properties",
    "$defs",
    "definitions",
    "items",
    "anyOf",
    "oneOf",
    "allOf",
    "type",
    "required",
    "enum",
    "const",
    "$ref",
    "title",
    "default",
    "format",
    "$schema",
    "$id",
    "$comment",
];

/// Formats of strings that are taken.
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema with each object closed, and with what cannot be enforced told in descriptions: what fits it fits the original.
/// `None` if it takes objects with fields of any name, which cannot be asked for.
pub(crate) fn closed(schema: &ByteString) -> Option<String> {
    let mut fits = false;
    let bytes = object(|o| fits = Scan::all(schema).and_then(|mut scan| node(&mut scan, o)).unwrap_or(false));
    String::from_utf8(bytes).ok().filter(|_| fits)
}

/// A schema; whether it can be asked for.
fn node(scan: &mut Scan<'_>, o: &mut Object<'_>) -> Scanned<bool> {
    let (mut fits, mut is_object, mut is_closed, mut has_fields) = (true, false, false, false);
    let (mut description, mut told) = (String::new(), Vec::new());
    scan.object(KEYWORDS, |scan, keyword, key| {
        match (keyword, scan.next()?) {
            ("additionalProperties", _) => {
                let at = scan.skip()?;
                is_closed = scan.spelt(at) == "false";
                fits &= is_closed;
            }
            ("description", Next::String) => description = scan.string()?.value()?.into_owned(),
            ("properties" | "$defs" | "definitions", Next::Object) => {
                has_fields |= keyword == "properties";
                let mut read = Ok(true);
                o.object(keyword, |o| read = named(scan, o));
                fits &= read?;
            }
            ("items", Next::Object) => {
                let mut read = Ok(true);
                o.object(keyword, |o| read = node(scan, o));
                fits &= read?;
            }
            ("anyOf" | "oneOf" | "allOf", Next::Array) => {
                let mut read = Ok(true);
                let name = if keyword == "oneOf" { "anyOf" } else { keyword };
                o.array(name, |a| read = each(scan, a));
                fits &= read?;
            }
            _ => {
                let at = scan.skip()?;
                let spelt = scan.spelt(at);
                is_object |= keyword == "type" && spelt.contains("\"object\"");
                let is_known_format = || FORMATS.iter().any(|format| spelt.trim_matches('"') == *format);
                match keyword {
                    // Of the schema, not of what it takes.
                    "$schema" | "$id" | "$comment" => {}
                    "format" if !is_known_format() => told.push(format!("format: {spelt}")),
                    "" => told.push(format!("{}: {spelt}", key.inner)),
                    _ => {
                        o.raw(keyword, spelt);
                    }
                }
            }
        }
        Ok(())
    })?;
    if is_object && !is_closed && !has_fields {
        return Ok(false);
    }
    if is_object || has_fields {
        o.bool("additionalProperties", false);
    }
    if !told.is_empty() {
        let space = if description.is_empty() { "" } else { " " };
        description.push_str(&format!("{space}({})", told.join(", ")));
    }
    if !description.is_empty() {
        o.string("description", &description);
    }
    Ok(fits)
}

/// Schemas by name.
fn named(scan: &mut Scan<'_>, o: &mut Object<'_>) -> Scanned<bool> {
    let mut fits = true;
    scan.object(&[], |scan, _, key: Lit<'_>| {
        let mut read = Ok(true);
        o.object(&key.value()?, |o| read = node(scan, o));
        fits &= read?;
        Ok(())
    })?;
    Ok(fits)
}

/// Schemas in a row.
fn each(scan: &mut Scan<'_>, a: &mut Array<'_>) -> Scanned<bool> {
    let mut fits = true;
    scan.array(|scan, _| {
        let mut read = Ok(true);
        a.object(|o| read = node(scan, o));
        fits &= read?;
        Ok(())
    })?;
    Ok(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_objects_in_the_order_of_their_fields_and_tells_what_cannot_be_enforced() {
        let cases = [
            (r#"{"type":"string"}"#, Some(r#"{"type":"string"}"#)),
            (
                r#"{"type":"object","properties":{"z":{"type":"integer","minimum":1.0,"maximum":9},"a":{"type":"array","items":{"type":"string","format":"uri"}}},"required":["z"]}"#,
                Some(
                    r#"{"type":"object","properties":{"z":{"type":"integer","description":"(minimum: 1.0, maximum: 9)"},"a":{"type":"array","items":{"type":"string","format":"uri"}}},"required":["z"],"additionalProperties":false}"#,
                ),
            ),
            (
                r##"{"$defs":{"n":{"type":["object","null"],"properties":{"x":{"oneOf":[{"type":"string","format":"regex","description":"An \"x\"."},{"type":"null"}]}},"additionalProperties":false}},"$ref":"#/$defs/n"}"##,
                Some(
                    r##"{"$defs":{"n":{"type":["object","null"],"properties":{"x":{"anyOf":[{"type":"string","description":"An \"x\". (format: \"regex\")"},{"type":"null"}]}},"additionalProperties":false}},"$ref":"#/$defs/n"}"##,
                ),
            ),
            (r#"{"type":"object"}"#, None),
            (r#"{"type":"object","additionalProperties":{"type":"integer"}}"#, None),
            (r#"{"type":"object","properties":{"m":{"type":"object","additionalProperties":true}}}"#, None),
            (r#"{"type":"array","items":true}"#, Some(r#"{"type":"array","items":true}"#)),
            ("true", None),
            ("{", None),
        ];
        for (schema, want) in cases {
            assert_eq!(closed(&ByteString::from_static(schema)).as_deref(), want, "{schema}");
        }
    }
}
