//! Operations whose requests hold words and little else: images made, texts judged for harm, texts spoken
//! (platform.openai.com/docs/api-reference/images, …/moderations, …/audio/createSpeech).

use super::decode::head_field;
use crate::ReplySummary;
use crate::fields::{Fields, set_head, typed};
use crate::scan::{Flaw, Next, Scan, Scanned, What, place, set_count};
use crate::settings::Settings;
use bytestring::ByteString;
use weir_message::{
    Body, Choice, Fault, Finish, Head, Operation, Part, Reply, ReplyBody, Request, Text, TextForm, Usage,
};

/// Whether an operation is one of these.
pub(super) fn takes(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Image | Operation::Moderation | Operation::Speech | Operation::Transcription
    )
}

/// The fields that hold words; the first must be there.
fn said_in(operation: Operation) -> &'static [&'static str] {
    match operation {
        // Sound comes as a form, whose fields are read there.
        Operation::Image | Operation::Transcription => &["prompt"],
        Operation::Moderation => &["input"],
        _ => &["input", "instructions"],
    }
}

/// Reads the few fields that every plan reads.
pub(super) fn read_head(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    if request.operation == Operation::Transcription {
        return Err(no_form());
    }
    let mut head = Head::default();
    let mut scan = Scan::all(whole)?;
    let inside = scan.object(&["model", "stream", "stream_format"], |scan, name, _| match name {
        "" => scan.skip().map(|_| ()),
        _ => of_head(scan, name, &mut head),
    })?;
    scan.end()?;
    head.object_at = Some(place(inside));
    set_head(request, head);
    Ok(())
}

fn no_form() -> Flaw {
    Flaw::new(What::Want("a form (multipart/form-data, with its boundary)"), 0)
}

fn of_head(scan: &mut Scan<'_>, name: &str, head: &mut Head) -> Scanned<()> {
    match (name, scan.next()?) {
        ("stream", _) if scan.bool_or_null()? => {
            Err(scan.want("false: what these operations give is sent whole"))
        }
        ("stream", _) => Ok(()),
        ("stream_format", Next::String) => match scan.string()?.inner {
            "audio" => Ok(()),
            _ => Err(scan.want("`audio`: what these operations give is sent whole")),
        },
        ("stream_format", _) => scan.skip().map(|_| ()),
        _ => head_field(scan, name, head).map(|_| ()),
    }
}

/// Reads everything of a request.
pub(super) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    if request.operation == Operation::Transcription {
        return Err(no_form());
    }
    let said_in = said_in(request.operation);
    let (mut head, mut fields, mut texts) = (Head::default(), Fields::default(), Vec::new());
    let mut is_there = false;
    let mut scan = Scan::all(whole)?;
    let known = &["model", "stream", "stream_format", "prompt", "input", "instructions"];
    let inside = scan.object(known, |scan, name, key| {
        scan.next()?;
        let start = scan.place();
        match name {
            "model" => return head_field(scan, name, &mut head).map(|_| ()),
            "stream" | "stream_format" => of_head(scan, name, &mut head)?,
            _ if said_in.contains(&name) => {
                is_there |= said_in.first() == Some(&name);
                return words(scan, &mut texts);
            }
            _ => {
                scan.skip()?;
            }
        }
        fields.add(scan, &key, start..scan.place())
    })?;
    scan.end()?;
    head.object_at = Some(place(inside));
    if let (false, Some(first)) = (is_there, said_in.first()) {
        return Err(Flaw::new(What::Field(first), 0));
    }
    request.body = Body::Words(texts);
    fields.settle(request);
    set_head(request, head);
    Ok(())
}

/// A string, or several, or parts that may be images.
fn words(scan: &mut Scan<'_>, texts: &mut Vec<Text>) -> Scanned<()> {
    match scan.next()? {
        Next::String => {
            let lit = scan.string()?;
            texts.push(scan.text(&lit, TextForm::Plain)?);
            Ok(())
        }
        Next::Array => scan.array(|scan, _| part(scan, texts)).map(|_| ()),
        Next::Null => scan.skip().map(|_| ()),
        _ => Err(scan.want("a string or an array")),
    }
}

fn part(scan: &mut Scan<'_>, texts: &mut Vec<Text>) -> Scanned<()> {
    match scan.next()? {
        Next::Object => scan
            .object(&["text"], |scan, field, _| match field {
                "text" => words(scan, texts),
                _ => scan.skip().map(|_| ()),
            })
            .map(|_| ()),
        Next::String => words(scan, texts),
        _ => Err(scan.want("a string or an object")),
    }
}

/// What the other fields of a decoded request mean.
pub(super) fn settings(request: &Request) -> Result<Settings, Fault> {
    let choices = request.params.get("n").filter(|json| &***json != "null");
    let choices = choices.map(|json| typed(json, "n")).transpose()?;
    Ok(Settings { choices, ..Settings::default() })
}

/// Reads all of a whole reply: the words that a prompt for images was changed to. What sound says is not read.
pub(super) fn decode_reply(reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
    let mut choices = Vec::new();
    let said = read(whole, |text| {
        let index = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        choices.push(Choice {
            index,
            parts: text.map(Part::Text).into_iter().collect(),
            finish: Some(Finish::Stop),
            stop: None,
        });
    })?;
    reply.body = match operation {
        Operation::Image => ReplyBody::Choices(choices),
        _ => ReplyBody::Opaque,
    };
    reply.usage = said.usage.or(reply.usage);
    reply.model = said.model.or(reply.model.take());
    reply.id = said.id.or(reply.id.take());
    Ok(())
}

/// Reads usage and model.
pub(super) fn summary(whole: &ByteString) -> Scanned<ReplySummary> {
    read(whole, |_| {})
}

/// Reads a reply; `image` takes what is said of each image.
fn read(whole: &ByteString, mut image: impl FnMut(Option<Text>)) -> Scanned<ReplySummary> {
    let mut out = ReplySummary::default();
    let mut images = 0;
    let mut scan = Scan::all(whole)?;
    scan.object(&["id", "model", "data", "usage"], |scan, field, _| {
        match (field, scan.next()?) {
            ("id" | "model", Next::String) => {
                let lit = scan.string()?;
                let value = Some(scan.shared(&lit)?);
                *(if field == "id" { &mut out.id } else { &mut out.model }) = value;
            }
            ("data", Next::Array) => {
                scan.array(|scan, _| {
                    let mut said = None;
                    scan.object(&["revised_prompt"], |scan, field, _| match (field, scan.next()?) {
                        ("revised_prompt", Next::String) => {
                            let lit = scan.string()?;
                            said = Some(scan.text(&lit, TextForm::Plain)?);
                            Ok(())
                        }
                        _ => scan.skip().map(|_| ()),
                    })?;
                    images += 1;
                    image(said);
                    Ok(())
                })?;
            }
            ("usage", Next::Object) => out.usage = Some(usage(scan)?),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    // Where tokens are not told, images are what is paid.
    if out.usage.is_none() && images > 0 {
        out.usage = Some(Usage { images, ..Usage::default() });
    }
    Ok(out)
}

/// `usage`, in tokens.
fn usage(scan: &mut Scan<'_>) -> Scanned<Usage> {
    let mut out = Usage::default();
    let mut drawn = None;
    scan.object(
        &["input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"],
        |scan, field, _| match (field, scan.next()?) {
            ("input_tokens", _) => set_count(scan, &mut out.input),
            ("output_tokens", _) => set_count(scan, &mut out.output),
            ("input_tokens_details", Next::Object) => scan
                .object(&["image_tokens"], |scan, field, _| match field {
                    "image_tokens" => set_count(scan, &mut out.image_input),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            ("output_tokens_details", Next::Object) => scan
                .object(&["image_tokens"], |scan, field, _| match field {
                    "image_tokens" => {
                        drawn = scan.count()?;
                        Ok(())
                    }
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            _ => scan.skip().map(|_| ()),
        },
    )?;
    out.image_output = drawn.unwrap_or(out.output);
    Ok(out)
}

#[cfg(test)]
mod tests;
