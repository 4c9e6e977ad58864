//! Conversations of other dialects as Converse's turns.

use super::family::{Family, Model};
use super::media::{format, format_of_name, image_format};
use crate::anthropic::turns::{Block, Turn, Turns, input};
use crate::carry::Loss;
use crate::compose::{Array, Object};
use crate::fields::is_base64;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;
use weir_message::{CachePoint, Media, MediaKind, Part, Reasoning, Source, TextForm, ToolResult};

/// Writes turns.
pub(super) struct Writer<'b> {
    model: Model,
    loss: &'b mut Loss,
    /// Names of documents so far: no two may be the same.
    names: HashSet<String>,
}

impl<'b> Writer<'b> {
    pub(super) fn new(model: Model, loss: &'b mut Loss) -> Self {
        Self { model, loss, names: HashSet::new() }
    }

    /// Writes `messages` and `system`.
    pub(super) fn write(&mut self, o: &mut Object<'_>, turns: &Turns<'_>) {
        o.array("messages", |a| {
            for turn in &turns.turns {
                if !self.says_something(turn) {
                    continue;
                }
                a.object(|o| {
                    o.string("role", turn.role).array("content", |a| {
                        turn.blocks.iter().for_each(|block| self.block(a, block, turn.role));
                    });
                });
            }
        });
        let says = |part: &&Part| matches!(part, Part::Text(text) if !text.value.is_empty());
        if turns.system.iter().any(says) {
            o.array("system", |a| turns.system.iter().for_each(|part| self.instruction(a, part)));
        }
    }

    fn instruction(&mut self, a: &mut Array<'_>, part: &Part) {
        match part {
            Part::Text(text) if text.value.is_empty() => {}
            Part::Text(text) => a.object(|o| {
                o.string("text", text.as_str());
            }),
            Part::CachePoint(mark) => self.mark(a, mark),
            _ => self.loss.matters("content"),
        }
    }

    /// Whether anything of a turn is written: no text may be empty, and no turn.
    fn says_something(&self, turn: &Turn<'_>) -> bool {
        turn.blocks.iter().any(|block| match block.part {
            Part::Text(text) | Part::Refusal(text) => !text.value.is_empty(),
            Part::Reasoning(reasoning) => reasoning.signature.is_some(),
            Part::Sealed(data) => self.model.is_claude() && is_base64(data),
            Part::ToolCall(_) | Part::ToolResult(_) | Part::Media(_) => true,
            Part::Citation(_) | Part::CachePoint(_) | Part::Other { .. } => false,
        })
    }

    fn block(&mut self, a: &mut Array<'_>, block: &Block<'_>, role: &str) {
        let of_model = role == "assistant";
        match block.part {
            Part::Text(text) | Part::Refusal(text) => {
                if !text.value.is_empty() {
                    a.object(|o| {
                        o.string("text", text.as_str());
                    });
                }
            }
            Part::Media(media) if !of_model => self.media(a, media),
            Part::ToolResult(result) if !of_model => self.result(a, result, &block.id),
            Part::ToolCall(call) if of_model => a.object(|o| {
                o.object("toolUse", |o| {
                    o.string("toolUseId", &block.id).string("name", &call.name);
                    o.raw("input", &input(&call.arguments));
                });
            }),
            Part::Reasoning(Reasoning { text, signature: Some(signature) }) if of_model => a.object(|o| {
                o.object("reasoningContent", |o| {
                    o.object("reasoningText", |o| {
                        o.string("text", text.as_str()).string("signature", signature);
                    });
                });
            }),
            // Models take back only what they can prove to be their own, or none.
            Part::Reasoning(_) => self.loss.hint("reasoning_content"),
            Part::Sealed(data) if of_model && self.model.is_claude() && is_base64(data) => a.object(|o| {
                o.object("reasoningContent", |o| {
                    o.base64("redactedContent", "", data);
                });
            }),
            Part::Sealed(_) => self.loss.hint("reasoning_content"),
            Part::Citation(_) => self.loss.hint("annotations"),
            Part::CachePoint(mark) => self.mark(a, mark),
            Part::Other { .. } | Part::Media(_) | Part::ToolCall(_) | Part::ToolResult(_) => {
                self.loss.matters("content");
            }
        }
    }

    /// A mark behind what may be cached.
    pub(super) fn mark(&mut self, a: &mut Array<'_>, mark: &CachePoint) {
        if !self.model.caches() {
            return self.loss.hint("cache_control");
        }
        a.object(|o| {
            o.object("cachePoint", |o| {
                let ttl = mark.ttl.as_deref().filter(|_| self.model.family == Family::Claude);
                o.string("type", "default").string_if("ttl", ttl);
            });
        });
    }

    fn result(&mut self, a: &mut Array<'_>, result: &ToolResult, id: &str) {
        a.object(|o| {
            o.object("toolResult", |o| {
                o.string("toolUseId", id).array("content", |a| {
                    result.parts.iter().for_each(|part| self.result_part(a, part));
                });
                if result.is_error {
                    o.string("status", "error");
                }
            });
        });
    }

    fn result_part(&mut self, a: &mut Array<'_>, part: &Part) {
        match part {
            Part::Text(text) if text.form == TextForm::Document => a.object(|o| {
                o.raw("json", text.as_str());
            }),
            Part::Text(text) | Part::Refusal(text) => {
                if !text.value.is_empty() {
                    a.object(|o| {
                        o.string("text", text.as_str());
                    });
                }
            }
            Part::Media(media) if media.kind == MediaKind::Audio => self.loss.matters("audio"),
            Part::Media(media) => self.media(a, media),
            Part::CachePoint(_) => self.loss.hint("cache_control"),
            Part::Citation(_) => self.loss.hint("annotations"),
            Part::Reasoning(_)
            | Part::Sealed(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Other { .. } => self.loss.matters("content"),
        }
    }

    fn media(&mut self, a: &mut Array<'_>, media: &Media) {
        if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.loss.hint("detail");
        }
        let (feature, kind) = match media.kind {
            MediaKind::Image => ("images", "image"),
            MediaKind::Audio => ("audio", "audio"),
            MediaKind::Video => ("video", "video"),
            MediaKind::Document => ("documents", "document"),
        };
        let told = media.media_type.as_deref().map(|media_type| format(media.kind, media_type));
        let by_name = || media.name.as_deref().and_then(format_of_name);
        let format = match (media.kind, &media.source, told) {
            (_, Source::Text(_), _) => Some("txt"),
            (_, _, Some(format)) => format,
            (MediaKind::Image, Source::Base64(data), None) => Some(image_format(data)),
            (MediaKind::Document, _, None) => by_name().or(Some("pdf")),
            _ => None,
        };
        let is_here = match &media.source {
            Source::Base64(_) | Source::Text(_) => true,
            Source::Url(at) | Source::File(at) => at.starts_with("s3://"),
        };
        // An address is not fetched, and the id of a file at one provider means nothing to another.
        let Some(format) = format.filter(|_| is_here) else { return self.loss.matters(feature) };
        let kind = if matches!(media.source, Source::Text(_)) { "document" } else { kind };
        let name = (kind == "document").then(|| self.name(media.name.as_deref()));
        a.object(|o| {
            o.object(kind, |o| {
                o.string("format", format).string_if("name", name.as_deref());
                o.object("source", |o| match &media.source {
                    Source::Base64(data) => {
                        o.base64("bytes", "", data);
                    }
                    Source::Text(text) => {
                        o.string("bytes", &STANDARD.encode(text.as_str()));
                    }
                    Source::Url(at) | Source::File(at) => {
                        o.object("s3Location", |o| {
                            o.string("uri", at);
                        });
                    }
                });
                if media.cite {
                    o.object("citations", |o| {
                        o.bool("enabled", true);
                    });
                }
            });
        });
    }

    /// A name for a document, in the letters that names may have, and not given before.
    fn name(&mut self, said: Option<&str>) -> String {
        let stem = said.map(|said| said.rsplit_once('.').map_or(said, |(stem, _)| stem)).unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-()[]".contains(c) { c } else { ' ' };
        let words: Vec<String> =
            stem.split_whitespace().map(|word| word.chars().map(plain).collect::<String>()).collect();
        // Runs of spaces are refused.
        let mut name = words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            name.push_str("document");
        }
        let base = name.clone();
        for n in 2.. {
            if self.names.insert(name.clone()) {
                break;
            }
            name = format!("{base} {n}");
        }
        name
    }
}
