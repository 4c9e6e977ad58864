//! Requests of Gemini's API (ai.google.dev/api/generate-content, /tokens, /embeddings) to messages.

use super::{minted, parts, route, schema};
use crate::fields::Fields;
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{
    Body, Chat, Embedding, Head, JsonOp, Message, Operation, Part, Request, Role, Text, Tool, ToolKind,
    TurnWriter,
};

/// Reads the few fields that every plan reads. Model and stream stand in the path.
pub(crate) fn read_head(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let asked = route::asked(&request.path);
    let mut scan = Scan::all(whole)?;
    let inside = models(&mut scan, asked.as_ref().map(|asked| &*asked.model), &mut |_| {})?;
    scan.end()?;
    set_head(request, asked, inside);
    Ok(())
}

/// Reads the top level of a body for the models that it names. Where the path names one, they must be the same.
pub(crate) fn models(
    scan: &mut Scan<'_>,
    asked: Option<&str>,
    found: &mut dyn FnMut(Range<usize>),
) -> Scanned<Range<usize>> {
    scan.object(
        &["model", "requests", "generateContentRequest", "generate_content_request"],
        |scan, field, _| match (field, scan.next()?) {
            ("model", _) => model(scan, asked, found),
            ("requests", Next::Array | Next::Object) => parts::several(scan, |scan, _| {
                scan.object(&["model"], |scan, field, _| match field {
                    "model" => model(scan, asked, found),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ())
            }),
            ("generateContentRequest" | "generate_content_request", Next::Object) => scan
                .object(&["model"], |scan, field, _| match field {
                    "model" => model(scan, asked, found),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            _ => scan.skip().map(|_| ()),
        },
    )
}

fn model(scan: &mut Scan<'_>, asked: Option<&str>, found: &mut dyn FnMut(Range<usize>)) -> Scanned<()> {
    let Some(lit) = scan.string_or_null()? else { return Ok(()) };
    let value = lit.value()?;
    if asked.is_some_and(|asked| asked != value.strip_prefix("models/").unwrap_or(&value)) {
        return Err(Flaw::new(What::Want("the model that the path names"), lit.at.start));
    }
    found(lit.at);
    Ok(())
}

/// Takes over the head. A model that a stage chose stays.
fn set_head(request: &mut Request, asked: Option<route::Asked>, inside: Range<usize>) {
    let stream = asked.as_ref().is_some_and(|asked| asked.verb == route::Verb::Stream);
    let model = request.head.model.take().or_else(|| asked.map(|asked| Text::added(asked.model)));
    // Usage is always told.
    request.head = Head { model, stream, include_usage: true, object_at: Some(place(inside)) };
}

/// Reads everything.
pub(crate) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let asked = route::asked(&request.path);
    let mut reader = Reader { model: asked.as_ref().map(|asked| asked.model.clone()), ..Reader::default() };
    let mut scan = Scan::all(whole)?;
    let inside = match request.operation {
        Operation::Chat => scan.object(CHAT, |scan, name, key| reader.chat_field(scan, name, &key))?,
        Operation::Count => scan.object(COUNT, |scan, name, key| match (name, scan.next()?) {
            ("generateContentRequest" | "generate_content_request", Next::Object) => {
                reader.nested = Some(name);
                scan.object(CHAT, |scan, name, key| reader.chat_field(scan, name, &key)).map(|_| ())
            }
            _ => reader.chat_field(scan, name, &key),
        })?,
        Operation::Embedding => {
            scan.object(EMBEDDING, |scan, name, key| reader.embedding_field(scan, name, &key))?
        }
        _ => {
            request.body = Body::Opaque;
            return Ok(());
        }
    };
    scan.end()?;
    let missing = |want| Err(Flaw::new(What::Want(want), 0));
    request.body = match request.operation {
        Operation::Embedding if !reader.is_complete => return missing("a field `content` or `requests`"),
        Operation::Embedding => Body::Embedding(reader.embedding),
        _ if !reader.is_complete => return missing("a field `contents`"),
        _ => Body::Chat(reader.chat()),
    };
    reader.fields.settle(request);
    set_head(request, asked, inside);
    Ok(())
}

const CHAT: &[&str] = &["model", "contents", "systemInstruction", "system_instruction", "tools"];

const COUNT: &[&str] = &[
    "model",
    "contents",
    "systemInstruction",
    "system_instruction",
    "tools",
    "generateContentRequest",
    "generate_content_request",
];

const EMBEDDING: &[&str] = &["model", "content", "requests"];

/// What was read of a request so far.
#[derive(Default)]
struct Reader {
    /// The model that the path names.
    model: Option<ByteString>,
    system: Option<Vec<Part>>,
    /// How the field of the standing instructions is spelt.
    spelling: Option<&'static str>,
    /// How the field is spelt that holds the request to count.
    nested: Option<&'static str>,
    messages: Vec<Message>,
    tools: Vec<Tool>,
    embedding: Embedding,
    is_complete: bool,
    fields: Fields,
}

impl Reader {
    fn chat_field<'a>(&mut self, scan: &mut Scan<'a>, name: &'static str, key: &Lit<'a>) -> Scanned<()> {
        match (name, scan.next()?) {
            ("model", _) => model(scan, self.model.as_deref(), &mut |_| {}),
            ("contents", next) => {
                if std::mem::replace(&mut self.is_complete, next != Next::Null) {
                    return Err(Flaw::new(What::Repeated, scan.place()));
                }
                let messages = &mut self.messages;
                parts::several(scan, |scan, _| {
                    messages.push(turn(scan)?);
                    Ok(())
                })
            }
            ("systemInstruction" | "system_instruction", next) => {
                if self.spelling.replace(name).is_some() {
                    return Err(Flaw::new(What::Repeated, scan.place()));
                }
                if next == Next::Null {
                    return scan.skip().map(|_| ());
                }
                self.system = Some(content(scan)?.1);
                Ok(())
            }
            ("tools", _) => {
                let tools = &mut self.tools;
                parts::several(scan, |scan, _| tool(scan, tools))
            }
            _ => {
                let range = scan.skip()?;
                self.fields.add(scan, key, range)
            }
        }
    }

    fn embedding_field<'a>(&mut self, scan: &mut Scan<'a>, name: &'static str, key: &Lit<'a>) -> Scanned<()> {
        match name {
            "model" => model(scan, self.model.as_deref(), &mut |_| {}),
            "content" => self.input(scan),
            "requests" => {
                self.is_complete |= scan.next()? == Next::Array;
                self.requests(scan)
            }
            _ => {
                let range = scan.skip()?;
                self.fields.add(scan, key, range)
            }
        }
    }

    /// Several things to embed.
    fn requests(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        parts::several(scan, |scan, _| {
            let mut has_content = false;
            scan.next()?;
            let start = scan.place();
            scan.object(&["model", "content"], |scan, name, _| match name {
                "model" => model(scan, self.model.as_deref(), &mut |_| {}),
                "content" => {
                    has_content = true;
                    self.input(scan)
                }
                _ => scan.skip().map(|_| ()),
            })?;
            match has_content {
                true => Ok(()),
                false => Err(Flaw::new(What::Want("a field `content`"), start)),
            }
        })
    }

    /// One thing to embed.
    fn input(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        self.is_complete = true;
        let (_, parts) = content(scan)?;
        let is_one_text = matches!(parts.as_slice(), [Part::Text(_)]);
        self.embedding.has_media |= !is_one_text;
        self.embedding.inputs.extend(parts.into_iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            _ => None,
        }));
        Ok(())
    }

    fn chat(&mut self) -> Chat {
        let mut messages = std::mem::take(&mut self.messages);
        if let Some(parts) = self.system.take().filter(|parts| !parts.is_empty()) {
            messages.insert(0, Message { role: Role::System, parts, name: None });
        }
        minted::settle(&mut messages);
        let writer = match (self.spelling, self.nested) {
            (Some("system_instruction"), None) => add_turn::<true, 0>,
            (_, None) => add_turn::<false, 0>,
            (Some("system_instruction"), Some("generate_content_request")) => add_turn::<true, 2>,
            (_, Some("generate_content_request")) => add_turn::<false, 2>,
            (Some("system_instruction"), Some(_)) => add_turn::<true, 1>,
            (_, Some(_)) => add_turn::<false, 1>,
        };
        Chat {
            messages,
            tools: std::mem::take(&mut self.tools),
            messages_at: None,
            writer: Some(TurnWriter(writer)),
        }
    }
}

/// Adds a turn: `SNAKE` if the standing instructions are spelt so, `OUTER` which field holds the request.
fn add_turn<const SNAKE: bool, const OUTER: u8>(
    chat: &Chat,
    role: Role,
    text: &str,
    front: bool,
) -> Vec<JsonOp> {
    let outer = match OUTER {
        0 => "",
        1 => "/generateContentRequest",
        _ => "/generate_content_request",
    };
    let part = serde_json::json!({ "text": text });
    let put = |array: String, value: serde_json::Value| {
        let place = if front { "0" } else { "-" };
        vec![JsonOp::Wrap(array.clone(), ["", ""]), JsonOp::Insert(format!("{array}/{place}"), value)]
    };
    match role {
        Role::System | Role::Developer => {
            let system = if SNAKE { "system_instruction" } else { "systemInstruction" };
            let system = format!("{outer}/{system}");
            match chat.messages.iter().any(|message| message.role == Role::System) {
                true => put(format!("{system}/parts"), part),
                false => vec![JsonOp::Set(system, serde_json::json!({ "parts": [part] }))],
            }
        }
        Role::Assistant => {
            put(format!("{outer}/contents"), serde_json::json!({ "role": "model", "parts": [part] }))
        }
        Role::User | Role::Tool => {
            put(format!("{outer}/contents"), serde_json::json!({ "role": "user", "parts": [part] }))
        }
    }
}

/// A turn. One that only gives tools' results is the tools'.
fn turn(scan: &mut Scan<'_>) -> Scanned<Message> {
    let (role, parts) = content(scan)?;
    let answers = !parts.is_empty() && parts.iter().all(|part| matches!(part, Part::ToolResult(_)));
    let role = match role {
        None if answers => Role::Tool,
        None => Role::User,
        Some(role) => match &*role.value()? {
            "user" | "function" if answers => Role::Tool,
            "user" | "function" => Role::User,
            "model" => Role::Assistant,
            _ => return Err(Flaw::new(What::Want("`user` or `model`"), role.at.start).under("role")),
        },
    };
    Ok(Message { role, parts, name: None })
}

/// `Content`: who speaks, and what.
fn content<'a>(scan: &mut Scan<'a>) -> Scanned<(Option<Lit<'a>>, Vec<Part>)> {
    let (mut role, mut out) = (None, Vec::new());
    scan.object(&["role", "parts"], |scan, field, _| match field {
        "role" => scan.string_or_null().map(|lit| role = lit),
        "parts" => parts::several(scan, |scan, _| parts::part(scan, &mut out)),
        _ => scan.skip().map(|_| ()),
    })?;
    Ok((role, out))
}

/// An item of `tools`: functions of the client, tools of the provider.
fn tool(scan: &mut Scan<'_>, out: &mut Vec<Tool>) -> Scanned<()> {
    scan.object(&["functionDeclarations", "function_declarations"], |scan, field, key| {
        if !field.is_empty() {
            return parts::several(scan, |scan, _| {
                out.push(function(scan)?);
                Ok(())
            });
        }
        let range = scan.skip()?;
        out.push(Tool {
            kind: ToolKind::Provider,
            name: scan.shared(&key)?,
            description: None,
            schema: None,
            strict: None,
            raw: scan.share(scan.spelt(range)),
            cache: None,
        });
        Ok(())
    })
    .map(|_| ())
}

/// A function.
fn function(scan: &mut Scan<'_>) -> Scanned<Tool> {
    let (mut name, mut description, mut schema) = (ByteString::new(), None, None);
    scan.next()?;
    let start = scan.place();
    scan.object(
        &["name", "description", "parameters", "parametersJsonSchema", "parameters_json_schema"],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("name", _) => {
                    if let Some(lit) = scan.string_or_null()? {
                        name = scan.shared(&lit)?;
                    }
                }
                ("description", _) => {
                    description = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?;
                }
                ("parameters", Next::Object) => {
                    let range = scan.skip()?;
                    schema = Some(schema::standard(scan.share(scan.spelt(range))));
                }
                ("parametersJsonSchema" | "parameters_json_schema", Next::Object) => {
                    let range = scan.skip()?;
                    schema = Some(scan.share(scan.spelt(range)));
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    let raw = scan.share(scan.spelt(start..scan.place()));
    Ok(Tool { kind: ToolKind::Function, name, description, schema, strict: None, raw, cache: None })
}
