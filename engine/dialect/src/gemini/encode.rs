//! What Weir itself writes in Gemini's format: bodies with another model's name, replies, errors, lists of models.

use super::grounding::{self, Cited};
use super::request::write_arguments;
use super::{decode, route, signature};
use crate::compose::{Array, Object, object, write_string};
use crate::scan::{Scan, place};
use crate::{ErrorBody, Identity};
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memmem;
use weir_message::{
    Choice, ErrorCode, Fault, Finish, Media, Operation, Part, Reply, ReplyBody, Request, Source, Splices,
    ToolCall, Usage,
};

/// The bytes to send upstream. The model stands in the path; where the body names it too, it must be the same.
pub(crate) fn outgoing(request: &Request, model: &str) -> Result<Bytes, Fault> {
    let bytes = request.outgoing().map_err(|error| {
        Fault::new(ErrorCode::BadRequest, "the edited body cannot be put together").detail(error.to_string())
    })?;
    let asked = route::asked(&request.path);
    let is_same = asked.is_some_and(|asked| *asked.model == *model);
    if is_same || !names_model(&bytes) {
        return Ok(bytes);
    }
    let Ok(whole) = ByteString::try_from(bytes.clone()) else { return Ok(bytes) };
    let mut splices = Splices::default();
    let mut name = Vec::new();
    write_string(&mut name, &route::resource(model));
    let name = String::from_utf8(name).unwrap_or_default();
    Scan::all(&whole)
        .and_then(|mut scan| decode::models(&mut scan, None, &mut |at| splices.set(place(at), name.as_str())))
        .map_err(crate::bad_request)?;
    Ok(splices.apply(&bytes))
}

/// Whether a body may have a field `model`; the role of that name is none.
fn names_model(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"\"model\"";
    memmem::find_iter(bytes, NAME)
        .any(|at| bytes.get(at + NAME.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":")))
}

/// A whole reply.
pub(crate) fn reply(reply: &Reply, operation: Operation, identity: &Identity) -> Bytes {
    let bytes = match (&reply.body, operation) {
        (ReplyBody::Vectors(vectors), _) => embeddings(vectors, reply.usage, identity),
        (ReplyBody::Count(tokens), _) => object(|o| {
            o.number("totalTokens", *tokens);
        }),
        _ => object(|o| {
            o.array("candidates", |a| {
                reply.choices().iter().for_each(|choice| a.object(|o| candidate(o, choice)));
            });
            if let Some(spent) = &reply.usage {
                o.object("usageMetadata", |o| usage(o, spent));
            }
            o.string("modelVersion", reply.model.as_deref().unwrap_or(&identity.model));
            o.string("responseId", reply.id.as_deref().unwrap_or(&identity.id));
        }),
    };
    Bytes::from(bytes)
}

/// Vectors, each as spelt: of one text or of several, as the client asked.
fn embeddings(vectors: &[ByteString], spent: Option<Usage>, identity: &Identity) -> Vec<u8> {
    let asked = identity.asked.split('?').next().unwrap_or_default();
    let is_one = route::asked(asked).is_some_and(|asked| asked.verb == route::Verb::Embed);
    object(|o| {
        match vectors {
            [vector] if is_one => {
                o.object("embedding", |o| {
                    o.raw("values", vector);
                });
            }
            vectors => {
                o.array("embeddings", |a| {
                    vectors.iter().for_each(|vector| {
                        a.object(|o| {
                            o.raw("values", vector);
                        })
                    });
                });
            }
        }
        if let Some(spent) = spent {
            o.object("usageMetadata", |o| {
                o.number("promptTokenCount", spent.input);
            });
        }
    })
}

fn candidate(o: &mut Object<'_>, choice: &Choice) {
    let (mut cited, mut front): (Vec<Cited<'_>>, (usize, &str)) = (Vec::new(), (0, ""));
    o.object("content", |o| {
        o.array("parts", |a| {
            let mut written = 0;
            let mut parts = choice.parts.iter().peekable();
            while let Some(part) = parts.next() {
                match part {
                    Part::Citation(citation) => {
                        cited.push((citation, front.0, front.1));
                        continue;
                    }
                    Part::Text(text) => {
                        front = (written, text.as_str());
                        // A signature behind words is that of their part.
                        let seal = match parts.peek() {
                            Some(Part::Sealed(data)) => Some(signature::written(data)),
                            _ => None,
                        };
                        if seal.is_some() {
                            parts.next();
                        }
                        a.object(|o| {
                            o.string("text", text.as_str()).string_if("thoughtSignature", seal.as_deref());
                        });
                    }
                    part if !write_part(a, part) => continue,
                    _ => {}
                }
                written += 1;
            }
        });
        o.string("role", "model");
    });
    if let Some(finish) = choice.finish {
        o.string("finishReason", finish_reason(finish));
    }
    o.number("index", u64::from(choice.index));
    let mut has_metadata = false;
    for part in &choice.parts {
        if let Part::Other { kind, raw, .. } = part
            && BESIDE.contains(&&**kind)
            && !raw.is_empty()
        {
            has_metadata |= **kind == *grounding::METADATA;
            o.raw(kind, raw);
        }
    }
    if !cited.is_empty() && !has_metadata {
        grounding::write(o, &cited);
    }
}

/// What a candidate says beside its content.
pub(crate) const BESIDE: [&str; 3] = [grounding::METADATA, "finishMessage", "logprobsResult"];

/// What a part may be that no other dialect has.
pub(crate) const ALONE: [&str; 4] = ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"];

/// Writes a part of what a model said; whether it has a form here.
fn write_part(a: &mut Array<'_>, part: &Part) -> bool {
    match part {
        Part::Text(text) | Part::Refusal(text) => a.object(|o| {
            o.string("text", text.as_str());
        }),
        Part::Reasoning(reasoning) => a.object(|o| {
            o.string("text", reasoning.text.as_str()).bool("thought", true);
            let seal = reasoning.signature.as_deref().map(signature::written);
            o.string_if("thoughtSignature", seal.as_deref());
        }),
        Part::Sealed(data) => a.object(|o| seal(o, data)),
        Part::ToolCall(call) => a.object(|o| self::call(o, call)),
        Part::Media(Media { source: Source::Base64(data), media_type, .. }) => a.object(|o| {
            o.object("inlineData", |o| {
                o.string_if("mimeType", media_type.as_deref()).base64("data", "", data);
            });
        }),
        Part::Other { kind, raw, .. } if ALONE.contains(&&**kind) && !raw.is_empty() => a.raw(raw),
        _ => return false,
    }
    true
}

/// A part that only keeps a signature.
pub(crate) fn seal(o: &mut Object<'_>, data: &str) {
    o.string("text", "").string("thoughtSignature", &signature::written(data));
}

/// A part that calls a tool.
pub(crate) fn call(o: &mut Object<'_>, call: &ToolCall) {
    o.object("functionCall", |o| {
        o.string_if("id", Some(&*call.id).filter(|id| !id.is_empty())).string("name", &call.name);
        write_arguments(o, call.arguments.form, call.arguments.as_str());
    });
    let seal = call.signature.as_deref().map(signature::written);
    o.string_if("thoughtSignature", seal.as_deref());
}

/// `finishReason`. A call of tools is a usual end.
pub(crate) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter => "SAFETY",
        Finish::Paused | Finish::Other => "OTHER",
    }
}

/// The fields of `usageMetadata`.
pub(crate) fn usage(o: &mut Object<'_>, usage: &Usage) {
    let some = |count: u64| Some(count).filter(|count| *count > 0);
    o.number("promptTokenCount", usage.input);
    o.number("candidatesTokenCount", usage.output.saturating_sub(usage.reasoning));
    o.number("totalTokenCount", usage.total());
    o.number_if("cachedContentTokenCount", some(usage.cached_input));
    o.number_if("thoughtsTokenCount", some(usage.reasoning));
}

/// An error body: a `google.rpc.Status`, with what else Weir knows in its details (google.aip.dev/193).
pub(crate) fn error_body(error: &ErrorBody<'_>) -> Bytes {
    Bytes::from(object(|o| {
        o.object("error", |o| {
            o.number("code", u64::from(error.status)).string("message", error.message);
            o.string("status", status_name(error.status));
            o.array("details", |a| {
                a.object(|o| {
                    o.string("@type", "type.googleapis.com/google.rpc.ErrorInfo");
                    o.string("reason", error.code).string("domain", "weir");
                    o.object("metadata", |o| {
                        o.string("requestId", error.request_id).string_if("field", error.param);
                    });
                });
            });
        });
    }))
}

/// The canonical code of an HTTP status (google.rpc.Code).
fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 | 405 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 => "UNAVAILABLE",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

/// A model of the list.
pub(crate) fn model(o: &mut Object<'_>, name: &str) {
    o.string("name", &route::resource(name)).string("version", "weir").string("displayName", name);
    o.array("supportedGenerationMethods", |a| {
        ["generateContent", "countTokens", "embedContent", "batchEmbedContents"]
            .iter()
            .for_each(|one| a.string(one));
    });
}
