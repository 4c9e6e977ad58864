//! What a message says, in requests, whole replies and, in its fields, deltas of streams.

use crate::scan::{Next, Scan, Scanned};
use bytestring::ByteString;
use weir_message::{Part, Text, TextForm, ToolCall};

/// Reads one field of a message that may hold words.
pub(crate) fn said(scan: &mut Scan<'_>, field: &str, out: &mut Vec<Part>) -> Scanned<()> {
    match field {
        "content" => content(scan, out)?,
        "refusal" => {
            if let Some(lit) = scan.string_or_null()? {
                out.push(Part::Refusal(scan.text(&lit, TextForm::Plain)?));
            }
        }
        "reasoning_content" | "reasoning" => match scan.next()? {
            Next::String => {
                let lit = scan.string()?;
                out.push(Part::Reasoning(scan.text(&lit, TextForm::Plain)?));
            }
            _ => {
                scan.skip()?;
            }
        },
        "tool_calls" if scan.next()? == Next::Array => {
            scan.array(|scan, _| {
                out.push(Part::ToolCall(tool_call(scan)?));
                Ok(())
            })?;
        }
        "function_call" if scan.next()? == Next::Object => {
            let mut call = ToolCall { id: ByteString::new(), name: ByteString::new(), arguments: no_text() };
            function(scan, &mut call)?;
            out.push(Part::ToolCall(call));
        }
        "audio" if scan.next()? == Next::Object => {
            scan.skip()?;
            out.push(Part::Other { kind: ByteString::from_static("audio") });
        }
        _ => {
            scan.skip()?;
        }
    }
    Ok(())
}

/// `content`: a string, parts, or nothing.
pub(crate) fn content(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    match scan.next()? {
        Next::Null => scan.skip().map(|_| ()),
        Next::String => {
            let lit = scan.string()?;
            out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
            Ok(())
        }
        Next::Array => scan.array(|scan, _| part(scan, out)).map(|_| ()),
        _ => Err(scan.want("a string or an array of parts")),
    }
}

/// One part. Whatever its type says, a field `text` is read: who sends it elsewhere cannot hide it here.
fn part(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    if scan.next()? == Next::String {
        let lit = scan.string()?;
        out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
        return Ok(());
    }
    let mut kind = ByteString::new();
    scan.object(&["type", "text", "refusal", "thinking"], |scan, field, _| {
        match field {
            "type" => {
                let lit = scan.string()?;
                kind = scan.shared(&lit)?;
            }
            "text" => {
                if let Some(lit) = scan.string_or_null()? {
                    out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
                }
            }
            "refusal" => {
                if let Some(lit) = scan.string_or_null()? {
                    out.push(Part::Refusal(scan.text(&lit, TextForm::Plain)?));
                }
            }
            "thinking" => {
                // Mistral: a string, or parts of text.
                let mut thoughts = Vec::new();
                content(scan, &mut thoughts)?;
                out.extend(thoughts.into_iter().map(|part| match part {
                    Part::Text(text) => Part::Reasoning(text),
                    other => other,
                }));
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    if !matches!(&*kind, "text" | "input_text" | "output_text" | "refusal" | "thinking") {
        out.push(Part::Other { kind });
    }
    Ok(())
}

/// An item of `tool_calls`.
fn tool_call(scan: &mut Scan<'_>) -> Scanned<ToolCall> {
    let mut call = ToolCall { id: ByteString::new(), name: ByteString::new(), arguments: no_text() };
    scan.object(&["id", "function", "custom"], |scan, field, _| {
        match field {
            "id" => {
                if let Some(lit) = scan.string_or_null()? {
                    call.id = scan.shared(&lit)?;
                }
            }
            "function" | "custom" => function(scan, &mut call)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(call)
}

/// `function` of a call (or `custom`, whose `input` is prose).
fn function(scan: &mut Scan<'_>, call: &mut ToolCall) -> Scanned<()> {
    scan.object(&["name", "arguments", "input"], |scan, field, _| {
        match field {
            "name" => {
                if let Some(lit) = scan.string_or_null()? {
                    call.name = scan.shared(&lit)?;
                }
            }
            "arguments" => call.arguments = arguments(scan)?,
            "input" => {
                if let Some(lit) = scan.string_or_null()? {
                    call.arguments = scan.text(&lit, TextForm::Plain)?;
                }
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Arguments: JSON in a string. Some servers send the object itself; an edit of it makes it a string.
pub(crate) fn arguments(scan: &mut Scan<'_>) -> Scanned<Text> {
    match scan.next()? {
        Next::String => {
            let lit = scan.string()?;
            scan.text(&lit, TextForm::Json)
        }
        Next::Null => {
            scan.skip()?;
            Ok(no_text())
        }
        _ => {
            let range = scan.skip()?;
            let value = scan.share(scan.spelt(range.clone()));
            Ok(Text::at(value, crate::scan::place(range), TextForm::Json))
        }
    }
}

fn no_text() -> Text {
    Text { value: ByteString::new(), at: None, form: TextForm::Json }
}
