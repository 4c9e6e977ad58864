//! Requests of OpenAI's API (platform.openai.com/docs/api-reference: chat, completions, embeddings) to messages.

use super::parts;
use crate::fields::{Fields, set_head};
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use weir_message::{
    Body, CachePoint, Chat, Completion, Embedding, Head, Message, Operation, Part, Request, Role, Text,
    TextForm, Tool, ToolKind, ToolResult,
};

/// Reads the few fields that every plan reads.
pub(crate) fn read_head(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let mut head = Head::default();
    let mut scan = Scan::all(whole)?;
    let inside = scan.object(&["model", "stream", "stream_options"], |scan, name, _| {
        head_field(scan, name, &mut head).map(|_| ())
    })?;
    scan.end()?;
    head.object_at = Some(place(inside));
    set_head(request, head);
    Ok(())
}

/// Reads everything.
pub(crate) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let mut reader = Reader::default();
    let mut scan = Scan::all(whole)?;
    let known: &'static [&'static str] = match request.operation {
        Operation::Chat => &["model", "stream", "stream_options", "messages", "tools", "functions"],
        Operation::Completion => &["model", "stream", "stream_options", "prompt", "suffix"],
        Operation::Embedding => &["model", "stream", "stream_options", "input"],
        _ => {
            request.body = Body::Opaque;
            return Ok(());
        }
    };
    let inside = scan.object(known, |scan, name, key| reader.field(scan, name, &key))?;
    scan.end()?;
    reader.head.object_at = Some(place(inside));
    let missing = |name| Err(Flaw::new(What::Field(name), 0));
    request.body = match request.operation {
        Operation::Chat => match reader.chat.messages_at {
            Some(_) => Body::Chat(reader.chat),
            None => return missing("messages"),
        },
        Operation::Completion => {
            let mut prompts = reader.inputs.texts;
            prompts.extend(reader.suffix);
            Body::Completion(Completion { prompts, has_token_ids: reader.inputs.has_others })
        }
        _ if !reader.inputs.is_there => return missing("input"),
        _ => Body::Embedding(Embedding {
            inputs: reader.inputs.texts,
            has_token_ids: reader.inputs.has_others,
            has_media: false,
        }),
    };
    reader.fields.settle(request);
    set_head(request, reader.head);
    Ok(())
}

/// Reads a field of the head; whether it was one.
pub(crate) fn head_field<'a>(scan: &mut Scan<'a>, name: &str, head: &mut Head) -> Scanned<bool> {
    match name {
        "model" => {
            head.model = scan.string_or_null()?.map(|lit| scan.text(&lit, TextForm::Plain)).transpose()?
        }
        "stream" => head.stream = scan.bool_or_null()?,
        "stream_options" => {
            if scan.next()? == Next::Null {
                scan.skip()?;
            } else {
                scan.object(&["include_usage"], |scan, name, _| {
                    if name.is_empty() {
                        scan.skip()?;
                    } else {
                        head.include_usage = scan.bool_or_null()?;
                    }
                    Ok(())
                })?;
            }
        }
        _ => {
            scan.skip()?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Texts of a `prompt` or `input`.
#[derive(Default)]
struct Inputs {
    texts: Vec<Text>,
    has_others: bool,
    is_there: bool,
}

impl Inputs {
    fn read(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        self.is_there = true;
        match scan.next()? {
            Next::String => self.one(scan),
            Next::Array => scan.array(|scan, _| self.one(scan)).map(|_| ()),
            Next::Null => scan.skip().map(|_| ()),
            _ => Err(scan.want("a string or an array")),
        }
    }

    fn one(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        if scan.next()? == Next::String {
            let lit = scan.string()?;
            self.texts.push(scan.text(&lit, TextForm::Plain)?);
        } else {
            self.has_others = true;
            scan.skip()?;
        }
        Ok(())
    }
}

/// What was read of a request so far.
#[derive(Default)]
struct Reader {
    head: Head,
    chat: Chat,
    inputs: Inputs,
    suffix: Option<Text>,
    fields: Fields,
}

impl Reader {
    fn field<'a>(&mut self, scan: &mut Scan<'a>, name: &str, key: &Lit<'a>) -> Scanned<()> {
        match name {
            "messages" => {
                let messages = &mut self.chat.messages;
                let inside = scan.array(|scan, _| {
                    messages.push(message(scan)?);
                    Ok(())
                })?;
                self.chat.messages_at = Some(place(inside));
            }
            "tools" | "functions" => {
                let tools = &mut self.chat.tools;
                if scan.next()? == Next::Null {
                    scan.skip()?;
                } else {
                    scan.array(|scan, _| {
                        tools.push(tool(scan)?);
                        Ok(())
                    })?;
                }
            }
            "prompt" | "input" => self.inputs.read(scan)?,
            "suffix" => {
                self.suffix =
                    scan.string_or_null()?.map(|lit| scan.text(&lit, TextForm::Plain)).transpose()?
            }
            "model" | "stream" => {
                head_field(scan, name, &mut self.head)?;
            }
            _ => {
                let range = if name == "stream_options" {
                    scan.next()?;
                    let start = scan.place();
                    head_field(scan, name, &mut self.head)?;
                    start..scan.place()
                } else {
                    scan.skip()?
                };
                self.fields.add(scan, key, range)?;
            }
        }
        Ok(())
    }
}

/// One turn.
fn message(scan: &mut Scan<'_>) -> Scanned<Message> {
    let (mut role, mut name, mut call) = (None, None, ByteString::new());
    let (mut is_function, mut cache) = (false, None);
    let mut said = Vec::new();
    let start = scan.place();
    scan.object(
        &[
            "role",
            "content",
            "name",
            "tool_calls",
            "tool_call_id",
            "function_call",
            "refusal",
            "reasoning_content",
            "reasoning",
            "reasoning_details",
            "annotations",
            "audio",
            "cache_control",
        ],
        |scan, field, _| match field {
            "role" => {
                let lit = scan.string()?;
                let value = lit.value()?;
                is_function = value == "function";
                role = Role::from_name(if is_function { "tool" } else { &value });
                if role.is_none() {
                    return Err(Flaw::new(
                        What::Want("`system`, `developer`, `user`, `assistant` or `tool`"),
                        lit.at.start,
                    ));
                }
                Ok(())
            }
            "name" => {
                name = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?;
                Ok(())
            }
            "tool_call_id" => {
                if let Some(lit) = scan.string_or_null()? {
                    call = scan.shared(&lit)?;
                }
                Ok(())
            }
            "cache_control" => {
                cache = parts::cache_point(scan)?;
                Ok(())
            }
            _ => parts::said(scan, field, &mut said),
        },
    )?;
    said.extend(cache.map(Part::CachePoint));
    let Some(role) = role else { return Err(Flaw::new(What::Field("role"), start)) };
    let parts = if role == Role::Tool {
        if is_function {
            call = name.clone().unwrap_or_default();
        }
        vec![Part::ToolResult(ToolResult { call, parts: said, is_error: false })]
    } else {
        said
    };
    Ok(Message { role, parts, name })
}

/// A tool offered, or a function in the old form.
pub(crate) fn tool(scan: &mut Scan<'_>) -> Scanned<Tool> {
    let mut said = ToolSaid::default();
    scan.next()?;
    let start = scan.place();
    scan.object(
        &["type", "name", "description", "parameters", "strict", "function", "custom", "cache_control"],
        |scan, field, _| match field {
            "type" => {
                if let Some(lit) = scan.string_or_null()? {
                    said.kind = scan.shared(&lit)?;
                }
                Ok(())
            }
            "function" | "custom" => scan
                .object(&["name", "description", "parameters", "strict"], |scan, field, _| {
                    said.field(scan, field)
                })
                .map(|_| ()),
            "cache_control" => {
                said.cache = parts::cache_point(scan)?;
                Ok(())
            }
            _ => said.field(scan, field),
        },
    )?;
    let raw = scan.share(scan.spelt(start..scan.place()));
    Ok(Tool {
        kind: match &*said.kind {
            "custom" => ToolKind::Custom,
            "function" | "" => ToolKind::Function,
            _ => ToolKind::Provider,
        },
        name: said.name.unwrap_or(said.kind),
        description: said.description,
        schema: said.schema,
        strict: said.strict,
        raw,
        cache: said.cache,
    })
}

/// What a tool's definition says.
#[derive(Default)]
struct ToolSaid {
    kind: ByteString,
    name: Option<ByteString>,
    description: Option<ByteString>,
    schema: Option<ByteString>,
    strict: Option<bool>,
    cache: Option<CachePoint>,
}

impl ToolSaid {
    fn field(&mut self, scan: &mut Scan<'_>, field: &str) -> Scanned<()> {
        match (field, scan.next()?) {
            ("name", _) => self.name = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?,
            ("description", _) => {
                self.description = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?;
            }
            ("parameters", Next::Object) => {
                let range = scan.skip()?;
                self.schema = Some(scan.share(scan.spelt(range)));
            }
            ("strict", Next::Bool) => self.strict = Some(scan.bool_or_null()?),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    }
}
