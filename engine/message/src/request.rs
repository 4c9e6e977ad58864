//! A request on its way through a pipeline.

use crate::edit::{quoted, replaced};
use crate::{
    Beside, Body, Caller, Chat, Dialect, JsonOp, JsonPatchError, Message, Operation, Param, Params, Replace,
    Role, Splices, Text, TextAt, TextForm, TextRole, TurnWriter, chat, patch,
};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderValue, Method};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// The few fields that every plan reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The model asked for, and where it stands.
    pub model: Option<Text>,
    /// Whether the reply is to be streamed.
    pub stream: bool,
    /// Whether the client asked for usage at the end of the stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Just inside the outermost braces of the body: where an added field goes.
    pub object_at: Option<Range<u32>>,
}

/// A body as it was sent, compressed.
#[derive(Clone, Debug)]
pub struct Packed {
    /// What `content-encoding` calls it.
    pub coding: HeaderValue,
    /// Its bytes.
    pub bytes: Bytes,
    /// What was unpacked of them.
    pub plain: Bytes,
}

impl Packed {
    /// Whether these bytes are what was unpacked, and not a copy with changes.
    pub fn holds(&self, bytes: &Bytes) -> bool {
        self.plain.as_ptr() == bytes.as_ptr() && self.plain.len() == bytes.len()
    }
}

/// A request: an envelope, and a body that is decoded only if the plan reads it. Cloning shares the texts' memory.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request's id (`x-request-id`).
    pub id: Arc<str>,
    /// Who sends it, if they were identified.
    pub caller: Option<Arc<Caller>>,
    /// The wire format it came in.
    pub dialect: Dialect,
    /// What it asks for.
    pub operation: Operation,
    /// The HTTP method.
    pub method: Method,
    /// The path, without the query.
    pub path: ByteString,
    /// The query, without `?`.
    pub query: Option<ByteString>,
    /// The client's headers; stages may change those that go upstream.
    pub headers: HeaderMap,
    /// The client's address.
    pub source: Option<SocketAddr>,
    /// The name of the listener it came in by.
    pub listener: Arc<str>,
    /// The body as it came, decompressed.
    pub raw: Bytes,
    /// The same as it was sent, if it was compressed.
    pub packed: Option<Box<Packed>>,
    /// The few fields that every plan reads.
    pub head: Head,
    /// The typed body.
    pub body: Body,
    /// The other top-level fields; empty until the body is decoded.
    pub params: Params,
    /// Every other string of the body, in the order in which they stand there; empty until the body is decoded.
    pub beside: Vec<Beside>,
    /// Changes to `raw` so far.
    splices: Splices,
    /// Changes by pointer, made after the splices.
    ops: Vec<JsonOp>,
    /// Whether the typed form is not what is sent: a stage added words, which stand nowhere in `raw`, or edited a text beside it.
    is_unsettled: bool,
    /// How many changes stages made, headers included.
    edits: u32,
}

impl Request {
    /// A request with an empty body and no headers.
    pub fn new(
        id: impl Into<Arc<str>>,
        dialect: Dialect,
        operation: Operation,
        path: impl Into<ByteString>,
    ) -> Self {
        Self {
            id: id.into(),
            caller: None,
            dialect,
            operation,
            method: Method::POST,
            path: path.into(),
            query: None,
            headers: HeaderMap::new(),
            source: None,
            listener: Arc::from(""),
            raw: Bytes::new(),
            packed: None,
            head: Head::default(),
            body: Body::Unread,
            params: Params::default(),
            beside: Vec::new(),
            splices: Splices::default(),
            ops: Vec::new(),
            is_unsettled: false,
            edits: 0,
        }
    }

    /// The model asked for; empty if the request names none.
    pub fn model(&self) -> &str {
        self.head.model.as_ref().map_or("", Text::as_str)
    }

    /// The conversation, if it is one and was decoded.
    pub fn chat(&self) -> Option<&Chat> {
        match &self.body {
            Body::Chat(chat) => Some(chat),
            _ => None,
        }
    }

    /// The turns; empty for other operations.
    pub fn messages(&self) -> &[Message] {
        self.chat().map_or(&[], |chat| &chat.messages)
    }

    /// The last turn of the user.
    pub fn last_user(&self) -> Option<&Message> {
        self.messages().iter().rev().find(|message| message.role == Role::User)
    }

    /// The words of the last user turn; for other operations all inputs, one a line.
    pub fn text(&self) -> String {
        match &self.body {
            Body::Chat(_) => self.last_user().map(Message::text).unwrap_or_default(),
            _ => self.all_text(),
        }
    }

    /// The words of all system and developer turns, one a line.
    pub fn system(&self) -> String {
        let mut out = String::new();
        for message in self.messages().iter().filter(|m| matches!(m.role, Role::System | Role::Developer)) {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&message.text());
        }
        out
    }

    /// Every text of the request, those beside its messages too, one a line.
    pub fn all_text(&self) -> String {
        let mut out = String::new();
        self.each_text(|at| {
            if at.index > 0 {
                out.push('\n');
            }
            out.push_str(at.text.as_str());
        });
        out
    }

    /// Calls `visit` with every text of the body: prompts, turns, tool results, arguments, inputs; then those beside them.
    pub fn each_text<'a>(&'a self, mut visit: impl FnMut(TextAt<'a>)) {
        let mut index = 0;
        let mut show = |message: usize, role: TextRole, text: &'a Text| {
            visit(TextAt { index, role, message, text });
            index += 1;
        };
        match &self.body {
            Body::Unread | Body::Opaque => {}
            Body::Chat(chat) => {
                for (n, message) in chat.messages.iter().enumerate() {
                    chat::each_text(&message.parts, message.role.into(), &mut |role, text| {
                        show(n, role, text)
                    });
                }
            }
            Body::Completion(body) => {
                body.prompts.iter().enumerate().for_each(|(n, t)| show(n, TextRole::Input, t))
            }
            Body::Embedding(body) => {
                body.inputs.iter().enumerate().for_each(|(n, t)| show(n, TextRole::Input, t))
            }
            Body::Rerank(body) => {
                let texts = std::iter::once(&body.query).chain(&body.documents);
                texts.enumerate().for_each(|(n, t)| show(n, TextRole::Input, t))
            }
            Body::Words(texts) => texts.iter().enumerate().for_each(|(n, t)| show(n, TextRole::Input, t)),
        }
        self.beside.iter().for_each(|beside| show(TextAt::BESIDE, beside.role, &beside.text));
    }

    /// All texts with their values (cheap clones), for work that must outlive a borrow.
    pub fn texts(&self) -> Vec<(usize, TextRole, ByteString)> {
        let mut out = Vec::new();
        self.each_text(|at| out.push((at.index, at.role, at.text.value.clone())));
        out
    }

    /// Makes changes inside the text with this number. Returns whether there is one and the ranges fit.
    pub fn edit_text(&mut self, index: usize, changes: &[Replace]) -> bool {
        let splices = &mut self.splices;
        let mut done = false;
        let mut n = 0;
        let mut change = |text: &mut Text| {
            if n == index {
                done = edit(text, changes, splices);
            }
            n += 1;
        };
        match &mut self.body {
            Body::Unread | Body::Opaque => {}
            Body::Chat(chat) => {
                for message in &mut chat.messages {
                    chat::each_text_mut(&mut message.parts, &mut change);
                }
            }
            Body::Completion(body) => body.prompts.iter_mut().for_each(change),
            Body::Embedding(body) => body.inputs.iter_mut().for_each(change),
            Body::Rerank(body) => {
                std::iter::once(&mut body.query).chain(&mut body.documents).for_each(change);
            }
            Body::Words(texts) => texts.iter_mut().for_each(change),
        }
        if let Some(beside) = index.checked_sub(n).and_then(|at| self.beside.get_mut(at)) {
            done = edit(&mut beside.text, changes, splices);
            self.is_unsettled |= done;
        }
        self.edits += u32::from(done);
        done
    }

    /// Puts `text` in place of the text with this number.
    pub fn set_text(&mut self, index: usize, text: &str) -> bool {
        let mut len = None;
        self.each_text(|at| {
            if at.index == index {
                len = Some(at.text.value.len());
            }
        });
        len.is_some_and(|len| self.edit_text(index, &[Replace::new(0..len, text)]))
    }

    /// Asks for another model.
    pub fn set_model(&mut self, model: &str) {
        match &mut self.head.model {
            Some(text) => {
                if let Some(at) = &text.at {
                    let literal = if text.form == TextForm::Bare { model.to_owned() } else { quoted(model) };
                    self.splices.set(at.clone(), literal);
                }
                text.value = model.into();
            }
            None => {
                self.head.model = Some(Text::added(model));
                self.ops.push(JsonOp::Set("/model".into(), model.into()));
            }
        }
        self.edits += 1;
    }

    /// Puts a turn in front of all others (`front`) or behind them.
    pub fn add_message(&mut self, role: Role, text: &str, front: bool) {
        let Body::Chat(chat) = &mut self.body else { return };
        self.is_unsettled = true;
        if let Some(TurnWriter(write)) = chat.writer {
            self.ops.extend(write(chat, role, text, front));
            chat.add(role, text, front);
            self.edits += 1;
            return;
        }
        let json = format!(r#"{{"role":"{}","content":{}}}"#, role.name(), quoted(text));
        match &chat.messages_at {
            Some(at) if !at.is_empty() && !chat.messages.is_empty() => {
                let (point, json) =
                    if front { (at.start, format!("{json},")) } else { (at.end, format!(",{json}")) };
                self.splices.set(point..point, json);
            }
            _ => self.ops.push(JsonOp::Insert(
                format!("/messages/{}", if front { "0" } else { "-" }),
                serde_json::json!({ "role": role.name(), "content": text }),
            )),
        }
        chat.add(role, text, front);
        self.edits += 1;
    }

    /// Sets a top-level parameter such as `temperature`. Messages, inputs, tools, model and stream are not parameters.
    pub fn set_param(&mut self, name: &str, value: &serde_json::Value) {
        let json = ByteString::from(value.to_string());
        match self.params.0.iter_mut().find(|param| param.name == name) {
            Some(param) => {
                match &param.at {
                    Some(at) => self.splices.set(at.clone(), json.clone()),
                    None => self.ops.push(JsonOp::Set(pointer(name), value.clone())),
                }
                param.json = json;
            }
            None => {
                self.params.0.push(Param { name: name.into(), json, at: None });
                self.ops.push(JsonOp::Set(pointer(name), value.clone()));
            }
        }
        self.edits += 1;
    }

    /// Takes a top-level parameter out.
    pub fn remove_param(&mut self, name: &str) {
        let before = self.params.0.len();
        self.params.0.retain(|param| param.name != name);
        if self.params.0.len() < before {
            self.ops.push(JsonOp::Remove(pointer(name)));
            self.edits += 1;
        }
    }

    /// Makes changes by pointer at once. Head and body must be decoded again before they are next read ([`Body::Unread`]); the
    /// executor does that after the stage.
    pub fn patch(&mut self, ops: &[JsonOp]) -> Result<(), JsonPatchError> {
        let raw = patch(&self.outgoing()?, ops)?;
        self.take_raw(raw);
        self.edits += 1;
        Ok(())
    }

    /// Lets words that a stage added stand in the bytes, where other stages can change them, and what it edited beside the typed
    /// form in that; otherwise nothing happens. Head and body must then be decoded again ([`Body::Unread`]); the executor does that after the stage.
    pub fn settle(&mut self) -> Result<(), JsonPatchError> {
        if self.is_unsettled {
            let raw = self.outgoing()?;
            self.take_raw(raw);
        }
        Ok(())
    }

    /// Takes bytes with all changes made as the original.
    fn take_raw(&mut self, raw: Bytes) {
        self.raw = raw;
        self.splices.clear();
        self.ops.clear();
        self.is_unsettled = false;
        // A model that does not stand in the body is not read from it again.
        let model = self.head.model.take().filter(|model| model.at.is_none());
        self.head = Head { model, ..Head::default() };
        self.body = Body::Unread;
        self.params = Params::default();
        self.beside.clear();
    }

    /// Notes that headers were changed by a stage.
    pub fn mark_edited(&mut self) {
        self.edits += 1;
    }

    /// How many changes were made so far.
    pub fn edits(&self) -> u32 {
        self.edits
    }

    /// Whether a stage changed anything so far.
    pub fn is_edited(&self) -> bool {
        self.edits > 0
    }

    /// Whether changes wait that the typed form does not show.
    pub fn has_untyped_edits(&self) -> bool {
        self.is_unsettled || !self.ops.is_empty()
    }

    /// The body with all changes made; the original bytes themselves when there are none.
    pub fn outgoing(&self) -> Result<Bytes, JsonPatchError> {
        let spliced = self.splices.apply(&self.raw);
        if self.ops.is_empty() { Ok(spliced) } else { patch(&spliced, &self.ops) }
    }
}

/// Makes changes inside a text and records them as a splice.
pub(crate) fn edit(text: &mut Text, changes: &[Replace], splices: &mut Splices) -> bool {
    let Some(value) = replaced(&text.value, changes, text.form.is_json()) else { return false };
    if let Some(at) = &text.at {
        let literal = match text.form {
            TextForm::Document | TextForm::Bare => value.clone(),
            TextForm::Plain | TextForm::Json => quoted(&value),
        };
        splices.set(at.clone(), literal);
    }
    text.value = value.into();
    true
}

/// The pointer of a top-level field.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
