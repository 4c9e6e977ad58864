//! Requests of other dialects in Cohere's words (docs.cohere.com/reference: chat, embed).

use super::{rerank, wishes};
use crate::carry::Loss;
use crate::compose::{Array, Object, object};
use crate::openai::encode::tool_calls;
use crate::settings::{Format, Settings, ToolChoice};
use bytes::Bytes;
use weir_message::{
    Body, Chat, Embedding, ErrorCode, Fault, Media, MediaKind, Message, Part, Request, Role, Source, Text,
    TextForm, Tool, ToolKind, ToolResult,
};

/// The body.
pub(crate) fn encode(
    request: &Request,
    settings: &Settings,
    model: &str,
    loss: &mut Loss,
) -> Result<Bytes, Fault> {
    Ok(match &request.body {
        Body::Chat(chat) => chat_body(chat, request.head.stream, settings, model, loss),
        Body::Embedding(embedding) => embed(embedding, settings, model, loss),
        Body::Rerank(body) => rerank::encode(request, body, model),
        Body::Unread | Body::Opaque | Body::Completion(_) | Body::Words(_) => {
            let message = format!("{} requests have no form in this target's dialect", request.operation);
            return Err(Fault::new(ErrorCode::Unsupported, message));
        }
    })
}

fn embed(embedding: &Embedding, settings: &Settings, model: &str, loss: &mut Loss) -> Bytes {
    if embedding.has_token_ids {
        loss.matters("input");
    }
    if embedding.has_media {
        loss.matters("images");
    }
    if settings.user.is_some() {
        loss.hint("user");
    }
    wishes::others(settings, loss);
    Bytes::from(object(|o| {
        o.string("model", model);
        o.array("texts", |a| embedding.inputs.iter().for_each(|input| a.string(input.as_str())));
        // It must be said; what is embedded without a word of its purpose is mostly to be found later.
        o.string("input_type", settings.input_type.as_deref().unwrap_or("search_document"));
        o.array("embedding_types", |a| a.string("float"));
        o.number_if("output_dimension", settings.dimensions);
    }))
}

fn chat_body(chat: &Chat, stream: bool, settings: &Settings, model: &str, loss: &mut Loss) -> Bytes {
    // Documents have a field of their own, which does not go together with a form of the answer.
    let has_form = matches!(settings.format, Some(Format::Json | Format::Schema { .. }));
    let mut writer = Writer { documents: (!has_form).then(Vec::new), loss };
    Bytes::from(object(|o| {
        o.string("model", model);
        o.array("messages", |a| chat.messages.iter().for_each(|turn| writer.message(a, turn)));
        let documents = writer.documents.take().unwrap_or_default();
        if !documents.is_empty() {
            o.array("documents", |a| {
                documents.iter().for_each(|(text, name)| a.object(|o| document(o, text, *name)));
            });
        }
        tools(o, chat, settings, writer.loss);
        wishes::write(o, settings, &chat.tools, writer.loss);
        if stream {
            o.bool("stream", true);
        }
    }))
}

/// Writes turns.
struct Writer<'a, 'b> {
    /// The documents put aside so far, with their names; none where they stay in their turns.
    documents: Option<Vec<(&'a Text, Option<&'a str>)>>,
    loss: &'b mut Loss,
}

impl<'a> Writer<'a, '_> {
    /// A turn. What tools gave back is a turn of its own for each call.
    fn message(&mut self, a: &mut Array<'_>, turn: &'a Message) {
        if turn.name.is_some() {
            self.loss.hint("name");
        }
        let mut rest: Vec<&'a Part> = Vec::new();
        for part in &turn.parts {
            match part {
                Part::ToolResult(result) => a.object(|o| self.result(o, result)),
                Part::CachePoint(_) => self.loss.hint("cache_control"),
                Part::Citation(_) => self.loss.hint("annotations"),
                other => rest.push(other),
            }
        }
        if rest.is_empty() && !turn.parts.is_empty() {
            return;
        }
        a.object(|o| match turn.role {
            Role::Assistant => self.assistant(o, &rest),
            Role::System | Role::Developer => {
                o.string("role", "system");
                self.content(o, &rest);
            }
            Role::User | Role::Tool => {
                o.string("role", "user");
                let rest = self.put_aside(rest);
                self.content(o, &rest);
            }
        });
    }

    fn result(&mut self, o: &mut Object<'_>, result: &'a ToolResult) {
        o.string("role", "tool").string("tool_call_id", &result.call);
        // There is no field that says that a tool failed; what it said says so.
        let mut parts: Vec<&Part> = result.parts.iter().collect();
        parts.retain(|part| !matches!(part, Part::CachePoint(_) | Part::Citation(_)));
        if parts.iter().any(|part| matches!(part, Part::Media(media) if media.kind != MediaKind::Document)) {
            self.loss.matters("images in tool results");
            parts.retain(|part| !matches!(part, Part::Media(media) if media.kind != MediaKind::Document));
        }
        match parts.as_slice() {
            [] => {
                o.string("content", "");
            }
            [Part::Text(text)] => {
                o.string("content", text.as_str());
            }
            parts => {
                o.array("content", |a| {
                    for part in parts {
                        match part {
                            Part::Media(Media { source: Source::Text(text), name, .. }) => a.object(|o| {
                                o.string("type", "document");
                                o.object("document", |o| document(o, text, name.as_deref()));
                            }),
                            part => self.part(a, part),
                        }
                    }
                });
            }
        }
    }

    /// Takes the documents out of a turn that says something else too.
    fn put_aside(&mut self, mut parts: Vec<&'a Part>) -> Vec<&'a Part> {
        let is_document = |part: &&Part| matches!(part, Part::Media(Media { source: Source::Text(_), .. }));
        if let Some(documents) = self.documents.as_mut().filter(|_| !parts.iter().all(is_document)) {
            parts.retain(|part| match part {
                Part::Media(Media { source: Source::Text(text), name, .. }) => {
                    documents.push((text, name.as_deref()));
                    false
                }
                _ => true,
            });
        }
        parts
    }

    fn assistant(&mut self, o: &mut Object<'_>, parts: &[&'a Part]) {
        o.string("role", "assistant");
        let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let (mut plan, mut said) = (String::new(), Vec::new());
        for part in parts {
            match part {
                Part::Reasoning(reasoning) => {
                    if reasoning.signature.is_some() {
                        self.loss.hint("reasoning_details");
                    }
                    if calls {
                        plan.push_str(reasoning.text.as_str());
                    } else if !reasoning.text.value.is_empty() {
                        said.push(*part);
                    }
                }
                Part::Sealed(_) => self.loss.hint("reasoning_details"),
                Part::ToolCall(_) => {}
                other => said.push(other),
            }
        }
        if !plan.is_empty() {
            o.string("tool_plan", &plan);
        }
        if !said.is_empty() || !calls {
            self.content(o, &said);
        }
        if calls {
            o.array("tool_calls", |a| tool_calls(a, parts.iter().copied()));
        }
    }

    /// `content`: a string if one will do, else parts.
    fn content(&mut self, o: &mut Object<'_>, parts: &[&Part]) {
        match parts {
            [] => {
                o.string("content", "");
            }
            [Part::Text(text) | Part::Refusal(text)] => {
                o.string("content", text.as_str());
            }
            parts => {
                o.array("content", |a| parts.iter().for_each(|part| self.part(a, part)));
            }
        }
    }

    fn part(&mut self, a: &mut Array<'_>, part: &Part) {
        let text = |o: &mut Object<'_>, text: &Text| {
            o.string("type", "text").string("text", text.as_str());
        };
        match part {
            Part::Text(words) | Part::Refusal(words) => a.object(|o| text(o, words)),
            Part::Reasoning(reasoning) => a.object(|o| {
                o.string("type", "thinking").string("thinking", reasoning.text.as_str());
            }),
            Part::Media(Media { source: Source::Text(words), .. }) => a.object(|o| text(o, words)),
            Part::Media(media) => self.image(a, media),
            Part::Sealed(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Citation(_)
            | Part::CachePoint(_)
            | Part::Other { .. } => self.loss.matters("content"),
        }
    }

    fn image(&mut self, a: &mut Array<'_>, media: &Media) {
        let (before, url) = match (media.kind, &media.source) {
            (MediaKind::Image, Source::Url(url)) => (None, url),
            (MediaKind::Image, Source::Base64(data)) => {
                let media_type = media.media_type.as_deref().unwrap_or("image/png");
                (Some(format!("data:{media_type};base64,")), data)
            }
            // The id of a file at one provider means nothing to another.
            (MediaKind::Image, _) => return self.loss.matters("images"),
            (MediaKind::Audio, _) => return self.loss.matters("audio"),
            (MediaKind::Video, _) => return self.loss.matters("video"),
            (MediaKind::Document, _) => return self.loss.matters("documents"),
        };
        a.object(|o| {
            o.string("type", "image_url").object("image_url", |o| {
                match before {
                    None => o.string("url", url),
                    Some(before) => o.base64("url", &before, url),
                };
                o.string_if("detail", media.detail.as_deref());
            });
        });
    }
}

/// The fields of a document.
fn document(o: &mut Object<'_>, text: &Text, name: Option<&str>) {
    match text.form {
        TextForm::Document => {
            o.raw("data", text.as_str());
        }
        TextForm::Plain | TextForm::Json | TextForm::Bare => {
            o.object("data", |o| {
                o.string_if("title", name).string("text", text.as_str());
            });
        }
    }
}

/// The tools and which of them to call. One that must be called is offered alone.
fn tools(o: &mut Object<'_>, chat: &Chat, settings: &Settings, loss: &mut Loss) {
    let mut offered: Vec<&Tool> = Vec::new();
    for tool in &chat.tools {
        if tool.cache.is_some() {
            loss.hint("cache_control");
        }
        match tool.kind {
            ToolKind::Function => offered.push(tool),
            ToolKind::Custom => loss.matters("custom tools"),
            ToolKind::Provider => loss.matters("provider tools"),
        }
    }
    let choice = match &settings.tool_choice {
        Some(ToolChoice::Tool(name)) => {
            let is_it = |tool: &&Tool| tool.name == *name;
            if offered.iter().any(is_it) {
                offered.retain(is_it)
            } else {
                loss.matters("tool_choice")
            }
            Some("REQUIRED")
        }
        Some(ToolChoice::Any) => Some("REQUIRED"),
        Some(ToolChoice::None) => Some("NONE"),
        Some(ToolChoice::Auto) | None => None,
    };
    if offered.is_empty() {
        return;
    }
    o.array("tools", |a| {
        for tool in &offered {
            a.object(|o| {
                o.string("type", "function").object("function", |o| {
                    o.string("name", &tool.name).string_if("description", tool.description.as_deref());
                    o.raw(
                        "parameters",
                        tool.schema.as_deref().unwrap_or(r#"{"type":"object","properties":{}}"#),
                    );
                });
            });
        }
    });
    let strict = offered.iter().filter(|tool| tool.strict == Some(true)).count();
    if strict == offered.len() {
        o.bool("strict_tools", true);
    } else if strict > 0 {
        loss.hint("strict");
    }
    o.string_if("tool_choice", choice);
}
