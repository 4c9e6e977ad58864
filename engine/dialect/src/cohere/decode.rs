//! Requests of Cohere's API (docs.cohere.com/reference: chat, embed) to messages.

use super::{parts, rerank};
use crate::fields::{Fields, set_head};
use crate::openai::decode::tool;
use crate::scan::{Flaw, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use weir_message::{
    Body, Chat, Embedding, Head, JsonOp, Media, Message, Operation, Part, Request, Role, TextForm,
    ToolResult, TurnWriter,
};

/// Reads the few fields that every plan reads.
pub(crate) fn read_head(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let mut head = Head::default();
    let mut scan = Scan::all(whole)?;
    let inside =
        scan.object(&["model", "stream"], |scan, name, _| head_field(scan, name, &mut head).map(|_| ()))?;
    scan.end()?;
    finish(request, head, inside);
    Ok(())
}

/// Reads everything.
pub(crate) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    match request.operation {
        Operation::Chat => chat(request, whole),
        Operation::Embedding => embed(request, whole),
        Operation::Rerank => rerank::decode(request, whole),
        _ => {
            request.body = Body::Opaque;
            Ok(())
        }
    }
}

/// Reads a field of the head; whether it was one.
pub(super) fn head_field(scan: &mut Scan<'_>, name: &str, head: &mut Head) -> Scanned<bool> {
    match name {
        "model" => {
            head.model = scan.string_or_null()?.map(|lit| scan.text(&lit, TextForm::Plain)).transpose()?
        }
        "stream" => head.stream = scan.bool_or_null()?,
        _ => {
            scan.skip()?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Hands the head to the request. Usage is told without asking.
pub(super) fn finish(request: &mut Request, head: Head, inside: std::ops::Range<usize>) {
    set_head(request, Head { include_usage: true, object_at: Some(place(inside)), ..head });
}

fn chat(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let (mut head, mut fields, mut chat) = (Head::default(), Fields::default(), Chat::default());
    let mut documents: Vec<Media> = Vec::new();
    let (mut has_messages, mut is_strict, mut cites) = (false, false, true);
    let mut scan = Scan::all(whole)?;
    let known = &["model", "stream", "messages", "tools", "documents", "strict_tools", "citation_options"];
    let inside = scan.object(known, |scan, name, key| match name {
        "messages" => {
            has_messages = true;
            let inside = scan.array(|scan, _| {
                chat.messages.push(message(scan)?);
                Ok(())
            })?;
            chat.messages_at = Some(place(inside)).filter(|_| !chat.messages.is_empty());
            Ok(())
        }
        "tools" if scan.next()? == Next::Array => scan
            .array(|scan, _| {
                chat.tools.push(tool(scan)?);
                Ok(())
            })
            .map(|_| ()),
        "documents" if scan.next()? == Next::Array => scan
            .array(|scan, _| {
                documents.push(parts::document(scan)?);
                Ok(())
            })
            .map(|_| ()),
        "tools" | "documents" => match scan.next()? {
            Next::Null => scan.skip().map(|_| ()),
            _ => Err(scan.want("an array")),
        },
        "model" | "stream" => head_field(scan, name, &mut head).map(|_| ()),
        _ => {
            scan.next()?;
            let start = scan.place();
            match name {
                "strict_tools" => is_strict = scan.bool_or_null()?,
                "citation_options" => cites = citations(scan)?,
                _ => {
                    scan.skip()?;
                }
            }
            fields.add(scan, &key, start..scan.place())
        }
    })?;
    scan.end()?;
    if !has_messages {
        return Err(Flaw::new(What::Field("messages"), 0));
    }
    if is_strict {
        chat.tools.iter_mut().for_each(|tool| tool.strict = Some(true));
    }
    if !documents.is_empty() {
        // What is to be looked up stands in front of the question.
        let at =
            chat.messages.iter().rposition(|turn| turn.role == Role::User).unwrap_or(chat.messages.len());
        let cited = documents.into_iter().map(|document| Part::Media(Media { cite: cites, ..document }));
        chat.messages.insert(at, Message { role: Role::User, parts: cited.collect(), name: None });
    }
    chat.writer = Some(TurnWriter(added));
    request.body = Body::Chat(chat);
    fields.settle(request);
    finish(request, head, inside);
    Ok(())
}

/// Whether `citation_options` leave citations on, as they are by default.
fn citations(scan: &mut Scan<'_>) -> Scanned<bool> {
    let mut is_on = true;
    if scan.next()? != Next::Object {
        scan.skip()?;
        return Ok(is_on);
    }
    scan.object(&["mode"], |scan, field, _| {
        if field == "mode" && scan.next()? == Next::String {
            is_on = !matches!(scan.string()?.inner, "OFF" | "DISABLED");
            return Ok(());
        }
        scan.skip().map(|_| ())
    })?;
    Ok(is_on)
}

/// An added turn. Nobody is called `developer` here.
fn added(_: &Chat, role: Role, text: &str, front: bool) -> Vec<JsonOp> {
    let role = if role == Role::Developer { Role::System } else { role };
    let turn = serde_json::json!({ "role": role.name(), "content": text });
    vec![JsonOp::Insert(format!("/messages/{}", if front { "0" } else { "-" }), turn)]
}

/// One turn.
fn message(scan: &mut Scan<'_>) -> Scanned<Message> {
    let (mut role, mut call) = (None, None);
    let mut said = parts::Said::default();
    scan.next()?;
    let start = scan.place();
    let known = &["role", "content", "tool_calls", "tool_call_id", "tool_plan", "citations"];
    scan.object(known, |scan, field, _| match field {
        "role" => {
            let lit = scan.string()?;
            role = match &*lit.value()? {
                "system" => Some(Role::System),
                "user" => Some(Role::User),
                "assistant" => Some(Role::Assistant),
                "tool" => Some(Role::Tool),
                _ => {
                    let want = What::Want("`system`, `user`, `assistant` or `tool`");
                    return Err(Flaw::new(want, lit.at.start));
                }
            };
            Ok(())
        }
        "tool_call_id" => {
            call = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?;
            Ok(())
        }
        _ => said.field(scan, field),
    })?;
    let Some(role) = role else { return Err(Flaw::new(What::Field("role"), start)) };
    let parts = match (role, call) {
        (Role::Tool, None) => return Err(Flaw::new(What::Field("tool_call_id"), start)),
        (Role::Tool, Some(call)) => {
            vec![Part::ToolResult(ToolResult { call, parts: said.parts(), is_error: false })]
        }
        _ => said.parts(),
    };
    Ok(Message { role, parts, name: None })
}

fn embed(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let (mut head, mut fields, mut body) = (Head::default(), Fields::default(), Embedding::default());
    let mut has_inputs = false;
    let mut scan = Scan::all(whole)?;
    let inside = scan.object(&["model", "texts", "images", "inputs"], |scan, name, key| match name {
        "texts" | "images" | "inputs" if scan.next()? == Next::Array => {
            has_inputs = true;
            scan.array(|scan, _| input(scan, name, &mut body)).map(|_| ())
        }
        "texts" | "images" | "inputs" => match scan.next()? {
            Next::Null => scan.skip().map(|_| ()),
            _ => Err(scan.want("an array")),
        },
        "model" => head_field(scan, name, &mut head).map(|_| ()),
        _ => {
            let at = scan.skip()?;
            fields.add(scan, &key, at)
        }
    })?;
    scan.end()?;
    if !has_inputs {
        return Err(Flaw::new(What::Want("a field `texts`, `images` or `inputs`"), 0));
    }
    request.body = Body::Embedding(body);
    fields.settle(request);
    finish(request, head, inside);
    Ok(())
}

/// An item of `texts`, `images` (data URLs) or `inputs` (texts and images together).
fn input(scan: &mut Scan<'_>, field: &str, out: &mut Embedding) -> Scanned<()> {
    match field {
        "texts" => {
            let lit = scan.string()?;
            out.inputs.push(scan.text(&lit, TextForm::Plain)?);
        }
        "images" => {
            out.has_media = true;
            scan.string()?;
        }
        _ => {
            let (before, mut others) = (out.inputs.len(), false);
            scan.object(&["content"], |scan, name, _| match name {
                "content" => {
                    let mut said = Vec::new();
                    parts::content(scan, &mut said)?;
                    for part in said {
                        match part {
                            Part::Text(text) => out.inputs.push(text),
                            _ => others = true,
                        }
                    }
                    Ok(())
                }
                _ => scan.skip().map(|_| ()),
            })?;
            out.has_media |= others || out.inputs.len() != before + 1;
        }
    }
    Ok(())
}
