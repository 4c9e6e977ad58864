//! Requests of Anthropic's API (platform.claude.com/docs/en/api/messages) to messages.

use super::blocks;
use crate::fields::{Fields, set_head};
use crate::openai::parts::cache_point;
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use serde_json::json;
use weir_message::{
    Body, CachePoint, Chat, Head, JsonOp, Message, Part, Request, Role, TextForm, Tool, ToolKind, TurnWriter,
};

/// Reads the few fields that every plan reads.
pub(crate) fn read_head(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let mut head = new_head();
    let mut scan = Scan::all(whole)?;
    let inside = scan.object(&["model", "stream"], |scan, name, _| match name {
        "" => scan.skip().map(|_| ()),
        _ => head_field(scan, name, &mut head),
    })?;
    scan.end()?;
    head.object_at = Some(place(inside));
    set_head(request, head);
    Ok(())
}

/// Reads everything.
pub(crate) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let mut reader =
        Reader { head: new_head(), chat: Chat::default(), system: Vec::new(), fields: Fields::default() };
    let mut has_messages = false;
    let mut scan = Scan::all(whole)?;
    let inside = scan.object(&["model", "stream", "system", "messages", "tools"], |scan, name, key| {
        has_messages |= name == "messages";
        reader.field(scan, name, &key)
    })?;
    scan.end()?;
    if !has_messages {
        return Err(Flaw::new(What::Want("a field `messages`"), 0));
    }
    reader.head.object_at = Some(place(inside));
    let mut chat = reader.chat;
    if !reader.system.is_empty() {
        chat.messages.insert(0, Message { role: Role::System, parts: reader.system, name: None });
    }
    chat.writer = Some(TurnWriter(add_turn));
    request.body = Body::Chat(chat);
    reader.fields.settle(request);
    set_head(request, reader.head);
    Ok(())
}

/// Streams of this API tell usage to everyone.
fn new_head() -> Head {
    Head { include_usage: true, ..Head::default() }
}

fn head_field(scan: &mut Scan<'_>, name: &str, head: &mut Head) -> Scanned<()> {
    match name {
        "model" => {
            head.model = scan.string_or_null()?.map(|lit| scan.text(&lit, TextForm::Plain)).transpose()?;
        }
        _ => head.stream = scan.bool_or_null()?,
    }
    Ok(())
}

/// What was read of a request so far.
struct Reader {
    head: Head,
    chat: Chat,
    system: Vec<Part>,
    fields: Fields,
}

impl Reader {
    fn field<'a>(&mut self, scan: &mut Scan<'a>, name: &str, key: &Lit<'a>) -> Scanned<()> {
        match name {
            "system" => blocks::content(scan, &mut self.system)?,
            "messages" => {
                let messages = &mut self.chat.messages;
                scan.array(|scan, _| {
                    messages.push(message(scan)?);
                    Ok(())
                })?;
            }
            "tools" => {
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
            "model" | "stream" => head_field(scan, name, &mut self.head)?,
            _ => {
                let at = scan.skip()?;
                self.fields.add(scan, key, at)?;
            }
        }
        Ok(())
    }
}

/// One turn. A turn of the user that only hands back what tools gave is a tool's.
fn message(scan: &mut Scan<'_>) -> Scanned<Message> {
    let (mut role, mut parts, mut has_content) = (None, Vec::new(), false);
    scan.next()?;
    let start = scan.place();
    scan.object(&["role", "content"], |scan, field, _| match field {
        "role" => {
            let lit = scan.string()?;
            role = Some(match &*lit.value()? {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" => Role::System,
                _ => return Err(Flaw::new(What::Want("`user`, `assistant` or `system`"), lit.at.start)),
            });
            Ok(())
        }
        "content" => {
            has_content = true;
            match scan.next()? {
                Next::String | Next::Array => blocks::content(scan, &mut parts),
                _ => Err(scan.want("a string or an array of blocks")),
            }
        }
        _ => scan.skip().map(|_| ()),
    })?;
    let missing = |want| Flaw::new(What::Want(want), start);
    let role = role.ok_or(missing("a field `role`"))?;
    if !has_content {
        return Err(missing("a field `content`"));
    }
    let is_result = |part: &Part| matches!(part, Part::ToolResult(_) | Part::CachePoint(_));
    let hands_back =
        parts.iter().all(is_result) && parts.iter().any(|part| matches!(part, Part::ToolResult(_)));
    let role = if role == Role::User && hands_back { Role::Tool } else { role };
    Ok(Message { role, parts, name: None })
}

/// A tool offered: the client's, or one that the provider runs.
fn tool(scan: &mut Scan<'_>) -> Scanned<Tool> {
    let (mut kind, mut name, mut description, mut schema) = (None, None, None, None);
    let (mut strict, mut cache): (Option<bool>, Option<CachePoint>) = (None, None);
    scan.next()?;
    let start = scan.place();
    scan.object(
        &["type", "name", "description", "input_schema", "strict", "cache_control"],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("type", _) => kind = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?,
                ("name", _) => name = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?,
                ("description", _) => {
                    description = scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()?;
                }
                ("input_schema", Next::Object) => {
                    let at = scan.skip()?;
                    schema = Some(scan.share(scan.spelt(at)));
                }
                ("input_schema", _) => return Err(scan.want("an object")),
                ("strict", Next::Bool) => strict = Some(scan.bool_or_null()?),
                ("cache_control", _) => cache = cache_point(scan)?,
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    let raw = scan.share(scan.spelt(start..scan.place()));
    let own = kind.filter(|kind| kind != "custom");
    let (kind, name) = match (own, name) {
        (Some(kind), name) => (ToolKind::Provider, name.unwrap_or(kind)),
        (None, Some(name)) => (ToolKind::Function, name),
        (None, None) => return Err(Flaw::new(What::Want("a field `name`"), start)),
    };
    Ok(Tool { kind, name, description, schema, strict, raw, cache })
}

/// Adds a turn. Instructions go into the field `system`, which becomes an array of blocks if it is none.
fn add_turn(chat: &Chat, role: Role, words: &str, front: bool) -> Vec<JsonOp> {
    let end = if front { "0" } else { "-" };
    let instructs = |role| matches!(role, Role::System | Role::Developer);
    if !instructs(role) {
        let role = if role == Role::Assistant { "assistant" } else { "user" };
        let turn = json!({ "role": role, "content": words });
        return vec![JsonOp::Insert(format!("/messages/{end}"), turn)];
    }
    let block = json!({ "type": "text", "text": words });
    let standing = chat.messages.first().filter(|message| instructs(message.role));
    if standing.is_none_or(|message| message.text().is_empty()) {
        // No block may be empty.
        return vec![JsonOp::Set("/system".into(), json!([block]))];
    }
    vec![
        JsonOp::Default("/system".into(), json!([])),
        JsonOp::Wrap("/system".into(), [r#"{"type":"text","text":"#, "}"]),
        JsonOp::Insert(format!("/system/{end}"), block),
    ]
}
