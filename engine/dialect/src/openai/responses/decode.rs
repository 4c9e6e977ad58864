//! Requests for responses (platform.openai.com/docs/api-reference/responses/create) to messages.

use super::item::{self, Form, Item};
use crate::fields::{Fields, set_head};
use crate::openai::decode;
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use weir_message::{Body, Chat, Head, JsonOp, Message, Part, Request, Role, TextForm, TurnWriter};

/// Reads everything.
pub(super) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let mut reader = Reader { head: super::blank_head(), ..Reader::default() };
    let mut scan = Scan::all(whole)?;
    let known = &[
        "model",
        "stream",
        "input",
        "instructions",
        "prompt",
        "tools",
        "previous_response_id",
        "conversation",
    ];
    let inside = scan.object(known, |scan, name, key| reader.field(scan, name, &key))?;
    scan.end()?;
    reader.head.object_at = Some(place(inside));
    // What was said before may be kept at the provider.
    let is_told =
        ["prompt", "previous_response_id", "conversation"].iter().any(|name| reader.fields.has(name));
    if reader.input.is_none() && !is_told {
        return Err(Flaw::new(What::Want("a field `input`"), 0));
    }
    let first = reader.instructions.into_iter().chain(reader.prompt);
    let messages = first.chain(reader.input.unwrap_or_default()).collect();
    request.body =
        Body::Chat(Chat { messages, tools: reader.tools, messages_at: None, writer: Some(TurnWriter(turn)) });
    reader.fields.settle(request);
    set_head(request, reader.head);
    Ok(())
}

/// What was read of a request so far.
#[derive(Default)]
struct Reader {
    head: Head,
    instructions: Option<Message>,
    prompt: Option<Message>,
    input: Option<Vec<Message>>,
    tools: Vec<weir_message::Tool>,
    fields: Fields,
}

impl Reader {
    fn field<'a>(&mut self, scan: &mut Scan<'a>, name: &str, key: &Lit<'a>) -> Scanned<()> {
        scan.next()?;
        let start = scan.place();
        match name {
            "model" | "stream" => {
                decode::head_field(scan, name, &mut self.head)?;
                return Ok(());
            }
            "input" => {
                self.input = input(scan)?;
                return Ok(());
            }
            "instructions" => {
                if let Some(lit) = scan.string_or_null()? {
                    let parts = vec![Part::Text(scan.text(&lit, TextForm::Plain)?)];
                    self.instructions = Some(Message { role: Role::System, parts, name: None });
                }
                return Ok(());
            }
            "tools" => {
                if scan.next()? == Next::Null {
                    scan.skip()?;
                    return Ok(());
                }
                scan.array(|scan, _| {
                    self.tools.push(decode::tool(scan)?);
                    Ok(())
                })?;
                return Ok(());
            }
            "prompt" if scan.next()? == Next::Object => {
                let parts = variables(scan)?;
                self.prompt = Some(parts).filter(|parts| !parts.is_empty()).map(|parts| Message {
                    role: Role::User,
                    parts,
                    name: None,
                });
            }
            _ => {
                scan.skip()?;
            }
        }
        self.fields.add(scan, key, start..scan.place())
    }
}

/// What is put into the blanks of a prompt that the provider keeps.
fn variables(scan: &mut Scan<'_>) -> Scanned<Vec<Part>> {
    let mut parts = Vec::new();
    scan.object(&["variables"], |scan, field, _| {
        if field.is_empty() || scan.next()? != Next::Object {
            return scan.skip().map(|_| ());
        }
        scan.object(&[], |scan, _, _| match scan.next()? {
            Next::String | Next::Object => item::part(scan, &mut parts, &mut Vec::new()),
            _ => scan.skip().map(|_| ()),
        })
        .map(|_| ())
    })?;
    Ok(parts)
}

/// `input`: a user's words, or items; nothing if null.
fn input(scan: &mut Scan<'_>) -> Scanned<Option<Vec<Message>>> {
    let mut messages: Vec<Message> = Vec::new();
    match scan.next()? {
        Next::Null => {
            scan.skip()?;
            return Ok(None);
        }
        Next::String => {
            let lit = scan.string()?;
            let parts = vec![Part::Text(scan.text(&lit, TextForm::Plain)?)];
            messages.push(Message { role: Role::User, parts, name: None });
        }
        Next::Array => {
            scan.array(|scan, _| {
                add(item::read(scan)?, &mut messages);
                Ok(())
            })?;
        }
        _ => return Err(scan.want("a string or an array of items")),
    }
    Ok(Some(messages))
}

/// Adds an item to the turns. What the model did in a row (it reasoned, spoke, called tools) is one turn.
fn add(item: Item, messages: &mut Vec<Message>) {
    let role = match item.form {
        Form::Message => item.role.unwrap_or(Role::User),
        Form::Reasoning | Form::Call | Form::Custom => Role::Assistant,
        Form::Result | Form::Other => Role::Tool,
    };
    let parts = item.into_parts();
    match messages.last_mut() {
        Some(last) if role == Role::Assistant && last.role == role => last.parts.extend(parts),
        _ => messages.push(Message { role, parts, name: None }),
    }
}

/// How a turn is added: as an item of `input`, which then is an array. It does not become `instructions`: a response
/// repeats those to the client.
fn turn(_: &Chat, role: Role, text: &str, front: bool) -> Vec<JsonOp> {
    let role = if role == Role::Tool { Role::User } else { role };
    vec![
        JsonOp::Default("/input".into(), serde_json::json!([])),
        JsonOp::Wrap("/input".into(), [r#"{"role":"user","content":"#, "}"]),
        JsonOp::Insert(
            if front { "/input/0" } else { "/input/-" }.into(),
            serde_json::json!({ "role": role.name(), "content": text }),
        ),
    ]
}
