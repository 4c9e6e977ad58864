//! Requests of other dialects in Gemini's words (ai.google.dev/api/generate-content, /tokens, /embeddings).

use super::wishes::{self, Generation};
use super::{minted, parts, route, signature};
use crate::carry::Loss;
use crate::compose::{Array, Object, object};
use crate::fields::is_base64;
use crate::settings::Settings;
use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::ops::Range;
use weir_message::{
    Body, Chat, Dialect, Embedding, ErrorCode, Fault, Media, MediaKind, Message, Operation, Part, Request,
    Role, Source, TextForm, Tool, ToolCall, ToolKind, ToolResult,
};

/// The body.
pub(crate) fn encode(
    request: &Request,
    settings: &Settings,
    model: &str,
    loss: &mut Loss,
) -> Result<Bytes, Fault> {
    let bytes = match &request.body {
        Body::Chat(chat) => {
            let writer = Writer {
                names: names(chat)?,
                generation: Generation::of(model),
                is_own: request.dialect == Dialect::Gemini,
                thinks_last: request.dialect == Dialect::OpenAi,
                loss,
            };
            writer.request(request, chat, settings, model)
        }
        Body::Embedding(embedding) => embed(embedding, settings, model, loss),
        _ => {
            let message = format!("{} requests have no form in this target's dialect", request.operation);
            return Err(Fault::new(ErrorCode::Unsupported, message));
        }
    };
    Ok(Bytes::from(bytes))
}

fn embed(embedding: &Embedding, settings: &Settings, model: &str, loss: &mut Loss) -> Vec<u8> {
    if embedding.has_token_ids {
        loss.matters("input");
    }
    settings.lose_others(loss);
    if settings.user.is_some() {
        loss.hint("user");
    }
    let name = route::resource(model);
    object(|o| {
        o.array("requests", |a| {
            for input in &embedding.inputs {
                a.object(|o| {
                    o.string("model", &name).object("content", |o| {
                        o.array("parts", |a| {
                            a.object(|o| {
                                o.string("text", input.as_str());
                            })
                        });
                    });
                    wishes::write_embedding(o, settings);
                });
            }
        });
    })
}

/// The tool that each call calls, by its id: Gemini wants results to name it. A result of no call is a fault, and so is
/// what claims to be Base64 and is not.
fn names(chat: &Chat) -> Result<HashMap<ByteString, ByteString>, Fault> {
    let mut names: HashMap<ByteString, ByteString> = HashMap::new();
    for (turn, message) in chat.messages.iter().enumerate() {
        for part in &message.parts {
            match part {
                Part::ToolCall(call) => {
                    names.insert(call.id.clone(), call.name.clone());
                }
                Part::ToolResult(result) if !names.contains_key(&result.call) => {
                    // The old form of results has the tool's name alone.
                    if !names.values().any(|name| *name == result.call) {
                        let message = "a tool's result answers no call in front of it";
                        let field = format!("messages[{turn}].tool_call_id");
                        return Err(Fault::new(ErrorCode::BadRequest, message).param(field));
                    }
                    names.insert(result.call.clone(), result.call.clone());
                }
                Part::Media(Media { source: Source::Base64(data), .. }) if !is_base64(data) => {
                    let field = format!("messages[{turn}].content");
                    let message = format!("`{field}` has data that is not Base64");
                    return Err(Fault::new(ErrorCode::BadRequest, message).param(field));
                }
                _ => {}
            }
        }
    }
    Ok(names)
}

struct Writer<'a> {
    names: HashMap<ByteString, ByteString>,
    generation: Generation,
    /// Whether the request is of this dialect itself.
    is_own: bool,
    /// Whether reasoning stands behind the words that it led to.
    thinks_last: bool,
    loss: &'a mut Loss,
}

impl Writer<'_> {
    fn request(mut self, request: &Request, chat: &Chat, settings: &Settings, model: &str) -> Vec<u8> {
        object(|o| match request.operation {
            Operation::Count => {
                o.object("generateContentRequest", |o| {
                    o.string("model", &route::resource(model));
                    self.chat(o, chat);
                });
            }
            _ => {
                self.chat(o, chat);
                wishes::write(o, settings, &chat.tools, model, self.loss);
            }
        })
    }

    fn chat(&mut self, o: &mut Object<'_>, chat: &Chat) {
        let is_system = |message: &Message| matches!(message.role, Role::System | Role::Developer);
        let first = chat.messages.iter().position(|message| !is_system(message));
        if chat.messages.iter().skip(first.unwrap_or(chat.messages.len())).any(is_system) {
            // Standing instructions have one place, in front of all turns.
            self.loss.hint("system messages between turns");
        }
        if chat.messages.iter().any(is_system) {
            o.object("systemInstruction", |o| {
                o.array("parts", |a| {
                    for message in chat.messages.iter().filter(|message| is_system(message)) {
                        self.parts(a, &message.parts);
                    }
                });
            });
        }
        o.array("contents", |a| {
            let turns: Vec<&Message> = chat.messages.iter().filter(|message| !is_system(message)).collect();
            // What the tools of one turn gave back is one turn.
            let together =
                |one: &&Message, next: &&Message| one.role == Role::Tool && next.role == Role::Tool;
            for turns in turns.chunk_by(together) {
                a.object(|o| self.turn(o, turns));
            }
        });
        self.tools(o, chat);
    }

    fn turn(&mut self, o: &mut Object<'_>, turns: &[&Message]) {
        let role = match turns.first().map(|turn| turn.role) {
            Some(Role::Assistant) => "model",
            _ => "user",
        };
        if turns.iter().any(|turn| turn.name.is_some()) {
            self.loss.hint("name");
        }
        o.string("role", role);
        o.array("parts", |a| {
            for turn in turns {
                self.parts(a, &turn.parts);
            }
            if a.is_empty() {
                // A turn without parts is none.
                a.object(|o| {
                    o.string("text", "");
                });
            }
        });
    }

    fn parts(&mut self, a: &mut Array<'_>, parts: &[Part]) {
        let is_first = |part: &&Part| self.thinks_last && matches!(part, Part::Reasoning(_));
        let (first, rest): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(is_first);
        let mut parts = first.into_iter().chain(rest).peekable();
        let mut is_first_call = true;
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => {
                    // A signature behind words is that of their part.
                    let seal = match parts.peek() {
                        Some(Part::Sealed(data)) => self.seal(data),
                        _ => None,
                    };
                    if seal.is_some() {
                        parts.next();
                    }
                    a.object(|o| {
                        o.string("text", text.as_str()).string_if("thoughtSignature", seal.as_deref());
                    });
                }
                Part::Refusal(text) => a.object(|o| {
                    o.string("text", text.as_str());
                }),
                Part::Reasoning(reasoning) => {
                    let seal = reasoning.signature.as_deref().and_then(|signature| self.seal(signature));
                    if reasoning.signature.is_some() && seal.is_none() {
                        self.loss.hint("reasoning signatures");
                    }
                    a.object(|o| {
                        o.string("text", reasoning.text.as_str()).bool("thought", true);
                        o.string_if("thoughtSignature", seal.as_deref());
                    });
                }
                Part::Sealed(data) => match self.seal(data) {
                    Some(seal) => a.object(|o| {
                        o.string("text", "").string("thoughtSignature", &seal);
                    }),
                    None => self.loss.hint("reasoning signatures"),
                },
                Part::ToolCall(call) => {
                    self.call(a, call, std::mem::take(&mut is_first_call));
                }
                Part::ToolResult(result) => self.result(a, result),
                Part::Media(media) => self.media(a, media),
                Part::Citation(_) => self.loss.hint("annotations"),
                Part::CachePoint(_) => self.loss.hint("cache_control"),
                Part::Other { raw, .. } if self.is_own && raw.starts_with('{') => a.raw(raw),
                Part::Other { .. } => self.loss.matters("content"),
            }
        }
    }

    fn call(&mut self, a: &mut Array<'_>, call: &ToolCall, is_first: bool) {
        let own = call.signature.as_deref().and_then(|signature| self.seal(signature));
        // The third generation refuses a call that nobody signed, unless told that it is another model's.
        let is_wanted = is_first && self.generation == Generation::Third;
        let seal = own.or_else(|| is_wanted.then(|| signature::NONE.to_owned()));
        a.object(|o| {
            o.object("functionCall", |o| {
                if minted::is_real(&call.id) {
                    o.string("id", &call.id);
                }
                o.string("name", &call.name);
                write_arguments(o, call.arguments.form, call.arguments.as_str());
            });
            o.string_if("thoughtSignature", seal.as_deref());
        });
    }

    /// A signature as Gemini takes it: its own alone, but what its own clients send.
    fn seal(&self, signature: &str) -> Option<String> {
        match self.is_own {
            true => Some(signature::written(signature)),
            false => signature::own(signature).map(str::to_owned),
        }
    }

    fn result(&mut self, a: &mut Array<'_>, result: &ToolResult) {
        let name = self.names.get(&result.call).unwrap_or(&result.call).clone();
        let (mut words, mut media) = (Vec::new(), Vec::new());
        for part in &result.parts {
            match part {
                Part::Text(text) | Part::Refusal(text) => words.push(text.as_str()),
                Part::Media(Media { source: Source::Text(text), .. }) => words.push(text.as_str()),
                Part::Media(one) => media.push(one),
                Part::CachePoint(_) | Part::Citation(_) => self.loss.hint("cache_control"),
                _ => self.loss.matters("content of tool results"),
            }
        }
        // The second generation looks at what stands beside a result, not in it.
        let (inside, beside) = match self.generation {
            Generation::Second if !self.is_own => (Vec::new(), media),
            _ => (media, Vec::new()),
        };
        a.object(|o| {
            o.object("functionResponse", |o| {
                if minted::is_real(&result.call) && result.call != name {
                    o.string("id", &result.call);
                }
                o.string("name", &name);
                response(o, &words, result.is_error);
                if !inside.is_empty() {
                    o.array("parts", |a| inside.into_iter().for_each(|one| self.media(a, one)));
                }
            });
        });
        beside.into_iter().for_each(|one| self.media(a, one));
    }

    fn media(&mut self, a: &mut Array<'_>, media: &Media) {
        if media.cite {
            self.loss.hint("citations");
        }
        let media_type = media_type(media);
        match &media.source {
            Source::Text(text) => a.object(|o| {
                o.string("text", text.as_str());
            }),
            Source::Base64(data) => a.object(|o| {
                o.object("inlineData", |o| {
                    o.string("mimeType", &media_type).base64("data", "", data);
                    o.string_if("displayName", media.name.as_deref());
                });
                self.resolution(o, media);
            }),
            // The id of a file at one provider means nothing to another.
            Source::File(id) if !parts::is_file(id) => self.loss.matters(match media.kind {
                MediaKind::Image => "images",
                MediaKind::Audio => "audio",
                MediaKind::Video => "video",
                MediaKind::Document => "documents",
            }),
            Source::Url(uri) | Source::File(uri) => a.object(|o| {
                o.object("fileData", |o| {
                    o.string("mimeType", &media_type).string("fileUri", uri);
                    o.string_if("displayName", media.name.as_deref());
                });
                self.resolution(o, media);
            }),
        }
    }

    /// How closely to look; only Google's own clients know which models take it.
    fn resolution(&mut self, o: &mut Object<'_>, media: &Media) {
        let level = match media.detail.as_deref() {
            None | Some("auto") => return,
            Some("low") => "MEDIA_RESOLUTION_LOW",
            Some(_) => "MEDIA_RESOLUTION_HIGH",
        };
        if !self.is_own {
            return self.loss.hint("detail");
        }
        o.object("mediaResolution", |o| {
            o.string("level", level);
        });
    }

    fn tools(&mut self, o: &mut Object<'_>, chat: &Chat) {
        let is_function = |tool: &&Tool| tool.kind == ToolKind::Function;
        let has_functions = chat.tools.iter().any(|tool| is_function(&tool));
        let provided = |tool: &&Tool| self.is_own && tool.kind == ToolKind::Provider;
        if has_functions || chat.tools.iter().any(|tool| provided(&tool)) {
            o.array("tools", |a| {
                if has_functions {
                    a.object(|o| {
                        o.array("functionDeclarations", |a| {
                            chat.tools
                                .iter()
                                .filter(is_function)
                                .for_each(|tool| a.object(|o| function(o, tool)));
                        });
                    });
                }
                for tool in chat.tools.iter().filter(provided) {
                    a.object(|o| {
                        o.raw(&tool.name, &tool.raw);
                    });
                }
            });
        }
        for tool in &chat.tools {
            match tool.kind {
                ToolKind::Function if tool.strict == Some(true) => self.loss.hint("strict"),
                ToolKind::Function => {}
                ToolKind::Custom => self.loss.matters("custom tools"),
                ToolKind::Provider if self.is_own => {}
                ToolKind::Provider => self.loss.matters("provider tools"),
            }
            if tool.cache.is_some() {
                self.loss.hint("cache_control");
            }
        }
    }
}

fn function(o: &mut Object<'_>, tool: &Tool) {
    o.string("name", &tool.name).string_if("description", tool.description.as_deref());
    o.raw_if("parametersJsonSchema", tool.schema.as_deref());
}

/// Writes `args`, an object, and returns its place. What is none (a call that a model misspelt, the words for a tool that takes
/// words) is put into one.
pub(crate) fn write_arguments(o: &mut Object<'_>, form: TextForm, arguments: &str) -> Range<usize> {
    match arguments.trim() {
        "" => o.raw_place_of("args", "{}"),
        json if form.is_json() && is_object(json) => o.raw_place_of("args", json),
        words => {
            let wrapped = object(|o| {
                o.string("input", words);
            });
            o.raw_place_of("args", &String::from_utf8(wrapped).unwrap_or_default())
        }
    }
}

/// Whether a text is a JSON object.
fn is_object(json: &str) -> bool {
    json.starts_with('{') && serde_json::from_str::<&RawValue>(json).is_ok()
}

/// `response`: an object that a tool gave is itself; words, and what went wrong, have a field of their own.
fn response(o: &mut Object<'_>, words: &[&str], is_error: bool) {
    match words {
        [json] if !is_error && is_object(json.trim()) => {
            o.raw("response", json.trim());
        }
        words => {
            o.object("response", |o| {
                let name = if is_error { "error" } else { "output" };
                match words {
                    [one] => o.string(name, one),
                    several => o.string(name, &several.join("\n")),
                };
            });
        }
    }
}

/// The media type, which Gemini always wants.
fn media_type(media: &Media) -> String {
    if let Some(said) = media.media_type.as_deref() {
        return match (media.kind, said) {
            (_, said) if said.contains('/') => said.to_owned(),
            (MediaKind::Audio, format) => format!("audio/{format}"),
            (MediaKind::Image, format) => format!("image/{format}"),
            (MediaKind::Video, format) => format!("video/{format}"),
            (MediaKind::Document, format) => format!("application/{format}"),
        };
    }
    let address = match &media.source {
        Source::Url(address) => address.split(['?', '#']).next().unwrap_or_default(),
        _ => media.name.as_deref().unwrap_or_default(),
    };
    let ending = address.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let known = ENDINGS.iter().find(|(name, _)| *name == ending).map(|(_, media_type)| *media_type);
    let usual = match media.kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Audio => "audio/wav",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    };
    known.unwrap_or(usual).to_owned()
}

const ENDINGS: [(&str, &str); 20] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("wav", "audio/wav"),
    ("mp3", "audio/mp3"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("aac", "audio/aac"),
    ("mp4", "video/mp4"),
    ("mov", "video/mov"),
    ("webm", "video/webm"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
];
