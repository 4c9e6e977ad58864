//! Requests of Converse and CountTokens to messages.

use super::{blocks, route};
use crate::fields::Fields;
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use serde_json::{Value, json};
use std::ops::Range;
use weir_message::{
    Body, Chat, Head, JsonOp, Message, Operation, Part, Request, Role, Text, Tool, ToolKind, TurnWriter,
};

/// The fields of a conversation that are no parameters.
const KNOWN: &[&str] = &["messages", "system", "toolConfig"];

/// Reads the few fields that every plan reads. Model and stream stand in the path.
pub(super) fn read_head(request: &mut Request, whole: &bytestring::ByteString) -> Scanned<()> {
    let mut scan = Scan::all(whole)?;
    let inside = scan.object(&[], |scan, _, _| scan.skip().map(|_| ()))?;
    scan.end()?;
    set_head(request, inside);
    Ok(())
}

/// Takes over the head. A model that a stage chose stays.
fn set_head(request: &mut Request, inside: Range<usize>) {
    let asked = route::asked(&request.path);
    let stream = asked.as_ref().is_some_and(|asked| asked.verb == route::Verb::ConverseStream);
    let model = request.head.model.take().or_else(|| asked.map(|asked| Text::added(asked.model)));
    // Usage is always told.
    request.head = Head { model, stream, include_usage: true, object_at: Some(place(inside)) };
}

/// Reads everything.
pub(super) fn decode(request: &mut Request, whole: &bytestring::ByteString) -> Scanned<()> {
    let mut reader = Reader::default();
    let mut scan = Scan::all(whole)?;
    let inside = match request.operation {
        Operation::Count => {
            // Of a body for InvokeModel nothing can be read here.
            let inside = scan.object(&["input"], |scan, name, _| match name {
                "input" => reader.counted(scan),
                _ => scan.skip().map(|_| ()),
            })?;
            if !reader.is_there {
                return Err(Flaw::new(What::Want("a field `input` with `converse`"), 0));
            }
            inside
        }
        _ => scan.object(KNOWN, |scan, name, key| reader.field(scan, name, &key))?,
    };
    scan.end()?;
    let mut chat = reader.chat;
    if !reader.system.is_empty() {
        chat.messages.insert(0, Message { role: Role::System, parts: reader.system, name: None });
    }
    let writer = if request.operation == Operation::Count { added_to_count } else { added };
    chat.writer = Some(TurnWriter(writer));
    request.body = Body::Chat(chat);
    reader.fields.settle(request);
    set_head(request, inside);
    Ok(())
}

/// What was read of a request so far.
#[derive(Default)]
struct Reader {
    chat: Chat,
    system: Vec<Part>,
    fields: Fields,
    /// Whether there is a conversation to count.
    is_there: bool,
}

impl Reader {
    fn counted(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        scan.object(&["converse"], |scan, name, _| match (name, scan.next()?) {
            ("converse", Next::Object) => {
                self.is_there = true;
                scan.object(KNOWN, |scan, name, key| self.field(scan, name, &key)).map(|_| ())
            }
            _ => scan.skip().map(|_| ()),
        })
        .map(|_| ())
    }

    fn field<'a>(&mut self, scan: &mut Scan<'a>, name: &str, key: &Lit<'a>) -> Scanned<()> {
        match (name, scan.next()?) {
            ("messages", Next::Array) => {
                let messages = &mut self.chat.messages;
                scan.array(|scan, _| {
                    messages.push(message(scan)?);
                    Ok(())
                })?;
            }
            ("system", Next::Array) => blocks::content(scan, &mut self.system)?,
            ("messages" | "system", Next::Null) => {
                scan.skip()?;
            }
            ("messages" | "system", _) => return Err(scan.want("an array")),
            ("toolConfig", Next::Object) => {
                let start = scan.place();
                let tools = &mut self.chat.tools;
                scan.object(&["tools"], |scan, name, _| match (name, scan.next()?) {
                    ("tools", Next::Array) => scan.array(|scan, _| tool(scan, tools)).map(|_| ()),
                    ("tools", next) if next != Next::Null => Err(scan.want("an array")),
                    _ => scan.skip().map(|_| ()),
                })?;
                // It says too which tool to call.
                self.fields.add(scan, key, start..scan.place())?;
            }
            _ => {
                let at = scan.skip()?;
                self.fields.add(scan, key, at)?;
            }
        }
        Ok(())
    }
}

/// One turn. A turn of the user that only hands back what tools gave is a tool's; instructions amid the conversation are told
/// from those in front of it as the developer's.
fn message(scan: &mut Scan<'_>) -> Scanned<Message> {
    let (mut role, mut parts) = (None, Vec::new());
    scan.next()?;
    let start = scan.place();
    scan.object(&["role", "content"], |scan, field, _| match (field, scan.next()?) {
        ("role", _) => {
            let lit = scan.string()?;
            role = Some(match &*lit.value()? {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" => Role::Developer,
                _ => return Err(Flaw::new(What::Want("`user` or `assistant`"), lit.at.start)),
            });
            Ok(())
        }
        ("content", Next::Array) => blocks::content(scan, &mut parts),
        ("content", _) => Err(scan.want("an array of blocks")),
        _ => scan.skip().map(|_| ()),
    })?;
    let role = role.ok_or(Flaw::new(What::Want("a field `role`"), start))?;
    let is_result = |part: &Part| matches!(part, Part::ToolResult(_));
    let is_back = |part: &Part| is_result(part) || matches!(part, Part::CachePoint(_));
    let hands_back = parts.iter().all(is_back) && parts.iter().any(is_result);
    let role = if role == Role::User && hands_back { Role::Tool } else { role };
    Ok(Message { role, parts, name: None })
}

/// An item of `tools`: the client's, one that Bedrock runs, or a mark behind the one in front.
fn tool(scan: &mut Scan<'_>, out: &mut Vec<Tool>) -> Scanned<()> {
    scan.next()?;
    let start = scan.place();
    let mut found = None;
    scan.object(&["toolSpec", "systemTool", "cachePoint"], |scan, kind, key| match (kind, scan.next()?) {
        (_, Next::Null) => scan.skip().map(|_| ()),
        ("toolSpec", _) => {
            found = Some(specified(scan)?);
            Ok(())
        }
        ("cachePoint", _) => {
            let mark = blocks::cache_point(scan)?;
            if let Some(last) = out.last_mut() {
                last.cache = Some(mark);
            }
            Ok(())
        }
        ("systemTool", _) => {
            let mut name = None;
            scan.object(&["name"], |scan, field, _| match field {
                "name" => {
                    name = blocks::optional(scan)?;
                    Ok(())
                }
                _ => scan.skip().map(|_| ()),
            })?;
            found = Some(provided(name.unwrap_or_default()));
            Ok(())
        }
        _ => {
            found = Some(provided(scan.shared(&key)?));
            scan.skip().map(|_| ())
        }
    })?;
    if let Some(tool) = found {
        let raw = scan.share(scan.spelt(start..scan.place()));
        out.push(Tool { raw, ..tool });
    }
    Ok(())
}

/// A tool that the provider runs.
fn provided(name: bytestring::ByteString) -> Tool {
    Tool {
        kind: ToolKind::Provider,
        name,
        description: None,
        schema: None,
        strict: None,
        raw: Default::default(),
        cache: None,
    }
}

fn specified(scan: &mut Scan<'_>) -> Scanned<Tool> {
    scan.next()?;
    let start = scan.place();
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    scan.object(&["name", "description", "inputSchema", "strict"], |scan, field, _| {
        match (field, scan.next()?) {
            ("name", _) => name = blocks::optional(scan)?,
            ("description", _) => description = blocks::optional(scan)?,
            ("strict", Next::Bool) => strict = Some(scan.bool_or_null()?),
            ("inputSchema", Next::Object) => {
                scan.object(&["json"], |scan, field, _| match (field, scan.next()?) {
                    ("json", Next::Object) => {
                        let at = scan.skip()?;
                        schema = Some(scan.share(scan.spelt(at)));
                        Ok(())
                    }
                    ("json", next) if next != Next::Null => Err(scan.want("an object")),
                    _ => scan.skip().map(|_| ()),
                })?;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    let name = name.ok_or(Flaw::new(What::Want("a field `name`"), start))?;
    let raw = Default::default();
    Ok(Tool { kind: ToolKind::Function, name, description, schema, strict, raw, cache: None })
}

/// An added turn.
fn added(chat: &Chat, role: Role, words: &str, front: bool) -> Vec<JsonOp> {
    added_below("", chat, role, words, front)
}

fn added_to_count(chat: &Chat, role: Role, words: &str, front: bool) -> Vec<JsonOp> {
    added_below("/input/converse", chat, role, words, front)
}

/// Adds a turn to the conversation at this place. Instructions go into `system`; words of whoever speaks at that end of the
/// conversation go into that turn, for roles must take turns.
fn added_below(at: &str, chat: &Chat, role: Role, words: &str, front: bool) -> Vec<JsonOp> {
    let end = if front { "0" } else { "-" };
    let block = json!({ "text": words });
    let nothing = |field: &str| JsonOp::Default(format!("{at}/{field}"), Value::Array(Vec::new()));
    if matches!(role, Role::System | Role::Developer) {
        return vec![nothing("system"), JsonOp::Insert(format!("{at}/system/{end}"), block)];
    }
    let role = if role == Role::Assistant { Role::Assistant } else { Role::User };
    let turns = turns_in_body(chat);
    let edge = if front { turns.first() } else { turns.last() };
    if edge == Some(&role) {
        let turn = if front { 0 } else { turns.len().saturating_sub(1) };
        return vec![JsonOp::Insert(format!("{at}/messages/{turn}/content/{end}"), block)];
    }
    let turn = json!({ "role": role.name(), "content": [block] });
    vec![nothing("messages"), JsonOp::Insert(format!("{at}/messages/{end}"), turn)]
}

/// Who speaks in each item of `messages`: a turn that a stage added is one with its neighbour of the same role.
fn turns_in_body(chat: &Chat) -> Vec<Role> {
    let mut out: Vec<(Role, bool)> = Vec::new();
    // Those of the role `system` stand in a field of their own.
    for turn in chat.messages.iter().filter(|turn| turn.role != Role::System) {
        let role = if turn.role == Role::Tool { Role::User } else { turn.role };
        let is_added = matches!(turn.parts.as_slice(), [Part::Text(Text { at: None, .. })]);
        match out.last_mut() {
            Some((last, was_added)) if *last == role && (is_added || *was_added) => *was_added &= is_added,
            _ => out.push((role, is_added)),
        }
    }
    out.into_iter().map(|(role, _)| role).collect()
}
