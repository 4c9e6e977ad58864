//! Requests of other dialects in OpenAI's words (platform.openai.com/docs/api-reference/chat/create).

use super::encode::{thoughts, tool_calls};
use super::wishes;
use crate::carry::Loss;
use crate::cohere;
use crate::compose::{Array, Object, object};
use crate::settings::Settings;
use bytes::Bytes;
use weir_message::{
    Body, Chat, Embedding, ErrorCode, Fault, Media, MediaKind, Message, Part, Request, Role, Source, Tool,
    ToolKind,
};

/// The body.
pub(crate) fn encode(
    request: &Request,
    settings: &Settings,
    model: &str,
    loss: &mut Loss,
) -> Result<Bytes, Fault> {
    let bytes = match &request.body {
        Body::Chat(chat) => object(|o| {
            o.string("model", model);
            o.array("messages", |a| chat.messages.iter().for_each(|turn| message(a, turn, loss)));
            tools(o, chat, loss);
            wishes::write(o, settings, loss);
            if request.head.stream {
                o.bool("stream", true).object("stream_options", |o| {
                    o.bool("include_usage", true);
                });
            }
        }),
        Body::Embedding(embedding) => embed(embedding, settings, model, loss),
        Body::Rerank(rerank) => return Ok(cohere::rerank::encode(request, rerank, model)),
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
    if embedding.has_media {
        loss.matters("images");
    }
    if settings.input_type.is_some() {
        loss.hint("input_type");
    }
    settings.lose_others(loss);
    object(|o| {
        o.string("model", model);
        o.array("input", |a| embedding.inputs.iter().for_each(|input| a.string(input.as_str())));
        o.number_if("dimensions", settings.dimensions).string_if("user", settings.user.as_deref());
    })
}

/// A turn. What tools gave back is a turn of its own for each call.
fn message(a: &mut Array<'_>, turn: &Message, loss: &mut Loss) {
    let mut rest: Vec<&Part> = Vec::new();
    for part in &turn.parts {
        match part {
            Part::ToolResult(result) => a.object(|o| {
                o.string("role", "tool").string("tool_call_id", &result.call);
                let parts: Vec<&Part> = result.parts.iter().collect();
                // There is no field that says that a tool failed; what it said says so.
                let is_seen = |part: &&Part| match part {
                    Part::Media(media) => !matches!(media.source, Source::Text(_)),
                    _ => false,
                };
                if parts.iter().any(is_seen) {
                    loss.matters("images in tool results");
                }
                let words: Vec<&Part> = parts.into_iter().filter(|part| !is_seen(part)).collect();
                content(o, &words, loss);
            }),
            other => rest.push(other),
        }
    }
    let is_mark = |part: &&Part| matches!(part, Part::CachePoint(_));
    if rest.iter().all(is_mark) && rest.len() < turn.parts.len() {
        rest.iter().for_each(|_| loss.hint("cache_control"));
        return;
    }
    let role = match turn.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    };
    a.object(|o| {
        o.string("role", role).string_if("name", turn.name.as_deref());
        if role != "assistant" {
            return content(o, &rest, loss);
        }
        let is_call = |part: &&Part| matches!(part, Part::ToolCall(_));
        let said: Vec<&Part> = rest.iter().copied().filter(|part| matches!(part, Part::Text(_))).collect();
        if said.is_empty() && rest.iter().any(is_call) {
            o.null("content");
        } else {
            content(o, &said, loss);
        }
        for part in &rest {
            match part {
                Part::Refusal(text) => {
                    o.string("refusal", text.as_str());
                }
                Part::Reasoning(_) | Part::Text(_) | Part::ToolCall(_) | Part::Sealed(_) => {}
                Part::Citation(_) => loss.hint("annotations"),
                Part::CachePoint(_) => loss.hint("cache_control"),
                Part::Media(_) | Part::ToolResult(_) | Part::Other { .. } => loss.matters("content"),
            }
        }
        let reasoning: String = rest
            .iter()
            .filter_map(|part| match part {
                Part::Reasoning(reasoning) => Some(reasoning.text.as_str()),
                _ => None,
            })
            .collect();
        if !reasoning.is_empty() {
            o.string("reasoning_content", &reasoning);
        }
        thoughts(o, &turn.parts);
        if rest.iter().any(is_call) {
            o.array("tool_calls", |a| tool_calls(a, &turn.parts));
        }
    });
}

/// `content`: a string if one will do, else parts.
fn content(o: &mut Object<'_>, parts: &[&Part], loss: &mut Loss) {
    let mut parts: Vec<&Part> = parts.to_vec();
    parts.retain(|part| {
        match part {
            Part::CachePoint(_) => loss.hint("cache_control"),
            Part::Citation(_) => loss.hint("annotations"),
            _ => return true,
        }
        false
    });
    match parts.as_slice() {
        [] => {
            o.string("content", "");
        }
        [Part::Text(text)] => {
            o.string("content", text.as_str());
        }
        parts => {
            o.array("content", |a| parts.iter().for_each(|one| part(a, one, loss)));
        }
    }
}

fn part(a: &mut Array<'_>, part: &Part, loss: &mut Loss) {
    match part {
        Part::Text(text) => a.object(|o| {
            o.string("type", "text").string("text", text.as_str());
        }),
        Part::Refusal(text) => {
            a.object(|o| {
                o.string("type", "refusal").string("refusal", text.as_str());
            });
        }
        Part::Media(media) => write_media(a, media, loss),
        _ => loss.matters("content"),
    }
}

fn write_media(a: &mut Array<'_>, media: &Media, loss: &mut Loss) {
    let media_type = media.media_type.as_deref();
    if media.cite {
        loss.hint("citations");
    }
    match (media.kind, &media.source) {
        (MediaKind::Image, Source::Url(url)) => a.object(|o| {
            o.string("type", "image_url").object("image_url", |o| {
                o.string("url", url).string_if("detail", media.detail.as_deref());
            });
        }),
        (MediaKind::Image, Source::Base64(data)) => a.object(|o| {
            o.string("type", "image_url").object("image_url", |o| {
                o.base64("url", &format!("data:{};base64,", media_type.unwrap_or("image/png")), data);
                o.string_if("detail", media.detail.as_deref());
            });
        }),
        (MediaKind::Audio, Source::Base64(data)) => a.object(|o| {
            o.string("type", "input_audio").object("input_audio", |o| {
                let format = media_type.map_or("wav", |said| match said.rsplit('/').next().unwrap_or(said) {
                    "mpeg" => "mp3",
                    "x-wav" | "wave" => "wav",
                    other => other,
                });
                o.base64("data", "", data).string("format", format);
            });
        }),
        (MediaKind::Document, Source::Base64(data)) => a.object(|o| {
            o.string("type", "file").object("file", |o| {
                o.string("filename", media.name.as_deref().unwrap_or("document.pdf"));
                let media_type = media_type.unwrap_or("application/pdf");
                o.base64("file_data", &format!("data:{media_type};base64,"), data);
            });
        }),
        (_, Source::Text(text)) => {
            a.object(|o| {
                o.string("type", "text").string("text", text.as_str());
            });
        }
        // The id of a file at one provider means nothing to another.
        _ => loss.matters(match media.kind {
            MediaKind::Image => "images",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::Document => "documents",
        }),
    }
}

fn tools(o: &mut Object<'_>, chat: &Chat, loss: &mut Loss) {
    if chat.tools.is_empty() {
        return;
    }
    o.array("tools", |a| {
        for tool in &chat.tools {
            if tool.cache.is_some() {
                loss.hint("cache_control");
            }
            match tool.kind {
                ToolKind::Function => a.object(|o| {
                    o.string("type", "function").object("function", |o| function(o, tool));
                }),
                ToolKind::Custom => a.object(|o| {
                    o.string("type", "custom").object("custom", |o| {
                        o.string("name", &tool.name).string_if("description", tool.description.as_deref());
                    });
                }),
                ToolKind::Provider => loss.matters("provider tools"),
            }
        }
    });
}

fn function(o: &mut Object<'_>, tool: &Tool) {
    o.string("name", &tool.name).string_if("description", tool.description.as_deref());
    o.raw_if("parameters", tool.schema.as_deref());
    if let Some(strict) = tool.strict {
        o.bool("strict", strict);
    }
}
