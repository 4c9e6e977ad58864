//! Replies of Gemini's API to messages, whole or an event of a stream (ai.google.dev/api/generate-content#v1beta.GenerateContentResponse).

use super::grounding::{self, Sources};
use super::{minted, parts};
use crate::ReplySummary;
use crate::scan::{Next, Scan, Scanned, place, set_count};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{Choice, Finish, Operation, Part, Reply, ReplyBody, Text, TextForm, Usage};

/// How much of a reply is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Why it ended, what was spent, and whether tools are called.
    Usage,
    /// Its texts too, and all that goes to a client of another dialect.
    All,
}

/// What a reply, or an event of a stream, says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) usage: Option<Usage>,
    pub(crate) model: Option<ByteString>,
    pub(crate) id: Option<ByteString>,
    pub(crate) has_error: bool,
}

/// One alternative answer.
#[derive(Debug, Default)]
pub(crate) struct Candidate {
    pub(crate) index: u32,
    pub(crate) parts: Vec<Part>,
    /// Why it ended; calls of tools do not tell it from a usual end.
    pub(crate) finish: Option<Finish>,
    pub(crate) calls_tools: bool,
    pub(crate) sources: Sources,
    /// Where its words are spelt once more.
    pub(crate) repeats: Option<Range<u32>>,
}

impl Candidate {
    /// Why it ended, given whether it calls tools.
    pub(crate) fn end(&self, calls_tools: bool) -> Option<Finish> {
        self.finish.map(|finish| match finish {
            Finish::Stop if calls_tools => Finish::ToolCalls,
            other => other,
        })
    }
}

/// Reads all of a reply.
pub(crate) fn decode(reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
    if operation == Operation::Embedding {
        return embedding(reply, whole);
    }
    if operation == Operation::Count {
        return count(reply, whole);
    }
    let said = read(whole, 0..whole.len(), Want::All)?;
    let id = said.id;
    let repeats = said.candidates.iter().enumerate();
    reply.repeats = repeats.filter_map(|(n, candidate)| Some((n, candidate.repeats.clone()?))).collect();
    let choice = |mut candidate: Candidate| {
        let finish = candidate.end(candidate.calls_tools);
        name_calls(&mut candidate, id.as_deref(), 0);
        let Candidate { index, mut parts, sources, .. } = candidate;
        grounding::place(sources, &mut parts);
        Choice { index, parts, finish, stop: None }
    };
    reply.body = ReplyBody::Choices(said.candidates.into_iter().map(choice).collect());
    reply.usage = said.usage.or(reply.usage);
    reply.model = said.model.or(reply.model.take());
    reply.id = id.or(reply.id.take());
    Ok(())
}

/// Gives calls without an id one. `before` is how many calls the choice had before; returns how many it has now.
pub(crate) fn name_calls(candidate: &mut Candidate, reply: Option<&str>, before: u32) -> u32 {
    let mut n = before;
    for part in &mut candidate.parts {
        let Part::ToolCall(call) = part else { continue };
        if call.id.is_empty() {
            call.id = minted::of_reply(reply, candidate.index, n, &call.name, call.arguments.as_str());
        }
        n += 1;
    }
    n
}

/// Reads usage, model and the first finish reason.
pub(crate) fn summary(operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
    if operation == Operation::Count {
        // Counting spends nothing.
        return Ok(ReplySummary { usage: Some(Usage::default()), ..ReplySummary::default() });
    }
    let said = read(whole, 0..whole.len(), Want::Usage)?;
    let finish = said.candidates.first().and_then(|first| first.end(first.calls_tools));
    Ok(ReplySummary { usage: said.usage, model: said.model, id: said.id, finish })
}

/// Reads one reply that stands in `range` of `whole`.
pub(crate) fn read(whole: &ByteString, range: Range<usize>, want: Want) -> Scanned<Said> {
    let mut out = Said::default();
    let mut blocked = None;
    let mut scan = Scan::new(whole, range)?;
    scan.object(
        &["candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "error"],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("candidates", Next::Array) => {
                    scan.array(|scan, n| {
                        out.candidates.push(candidate(scan, n, want)?);
                        Ok(())
                    })?;
                }
                ("promptFeedback", Next::Object) => blocked = feedback(scan)?,
                ("usageMetadata", Next::Object) => out.usage = Some(usage(scan)?),
                ("modelVersion", Next::String) => {
                    let lit = scan.string()?;
                    out.model = Some(scan.shared(&lit)?);
                }
                ("responseId", Next::String) => {
                    let lit = scan.string()?;
                    out.id = Some(scan.shared(&lit)?);
                }
                ("error", next) => {
                    out.has_error = next != Next::Null;
                    scan.skip()?;
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    scan.end()?;
    // A prompt that is refused has no candidates.
    if let Some(why) = blocked.filter(|_| out.candidates.is_empty()) {
        let parts = why.map(Part::Refusal).into_iter().collect();
        out.candidates.push(Candidate { parts, finish: Some(Finish::ContentFilter), ..Candidate::default() });
    }
    Ok(out)
}

/// `promptFeedback`: whether the prompt was refused, and why in words.
fn feedback(scan: &mut Scan<'_>) -> Scanned<Option<Option<Text>>> {
    let (mut is_blocked, mut why) = (false, None);
    scan.object(&["blockReason", "blockReasonMessage"], |scan, field, _| {
        match (field, scan.next()?) {
            ("blockReason", Next::String) => is_blocked = scan.string()?.inner != "BLOCK_REASON_UNSPECIFIED",
            ("blockReasonMessage", Next::String) => {
                let lit = scan.string()?;
                why = Some(scan.text(&lit, TextForm::Plain)?);
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(is_blocked.then_some(why))
}

fn candidate(scan: &mut Scan<'_>, n: usize, want: Want) -> Scanned<Candidate> {
    let mut out = Candidate { index: u32::try_from(n).unwrap_or(u32::MAX), ..Candidate::default() };
    scan.object(
        &[
            "index",
            "content",
            "finishReason",
            "finishMessage",
            "groundingMetadata",
            "citationMetadata",
            "logprobsResult",
        ],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("index", _) => {
                    if let Some(index) = scan.count()? {
                        out.index = u32::try_from(index).unwrap_or(u32::MAX);
                    }
                }
                ("content", Next::Object) => {
                    scan.object(&["parts"], |scan, field, _| match (field, scan.next()?) {
                        ("parts", Next::Array) => {
                            scan.array(|scan, _| part(scan, want, &mut out)).map(|_| ())
                        }
                        _ => scan.skip().map(|_| ()),
                    })?;
                }
                ("finishReason", Next::String) => out.finish = finish_reason(scan.string()?.inner),
                // What it says may quote what the model said.
                ("finishMessage", Next::String) if want == Want::All => {
                    let lit = scan.string()?;
                    out.parts.push(Part::Other {
                        kind: ByteString::from_static("finishMessage"),
                        texts: vec![scan.text(&lit, TextForm::Plain)?],
                        raw: scan.share(scan.spelt(lit.at)),
                    });
                }
                ("groundingMetadata", Next::Object) if want == Want::All => {
                    out.parts.push(grounding::metadata(scan, &mut out.sources)?);
                }
                ("citationMetadata", Next::Object) if want == Want::All => {
                    grounding::citations(scan, &mut out.sources)?;
                }
                ("logprobsResult", Next::Object) if want == Want::All => {
                    let range = scan.skip()?;
                    out.repeats = Some(place(range.clone()));
                    out.parts.push(Part::Other {
                        kind: ByteString::from_static("logprobsResult"),
                        texts: Vec::new(),
                        raw: scan.share(scan.spelt(range)),
                    });
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    Ok(out)
}

fn part(scan: &mut Scan<'_>, want: Want, out: &mut Candidate) -> Scanned<()> {
    if want == Want::Usage {
        return scan
            .object(&["functionCall"], |scan, field, _| {
                out.calls_tools |= !field.is_empty();
                scan.skip().map(|_| ())
            })
            .map(|_| ());
    }
    let before = out.parts.len();
    parts::part(scan, &mut out.parts)?;
    let new = out.parts.get(before..).unwrap_or_default();
    out.calls_tools |= new.iter().any(|part| matches!(part, Part::ToolCall(_)));
    // Sources name the words that they back by the number of their part.
    let text = new.iter().find_map(|part| match part {
        Part::Text(text) => Some(text.value.clone()),
        _ => None,
    });
    out.sources.parts.push(text);
    Ok(())
}

/// `finishReason`; nothing where it says that it goes on.
fn finish_reason(name: &str) -> Option<Finish> {
    Some(match name {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" | "CONTINUATION" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION" => Finish::ContentFilter,
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        _ => Finish::Other,
    })
}

/// `usageMetadata`. The prompt's count has the cached tokens in it, the candidates' not those of thoughts.
pub(crate) fn usage(scan: &mut Scan<'_>) -> Scanned<Usage> {
    let (mut prompt, mut tools, mut cached, mut said, mut thought) = (0, 0, 0, 0, 0);
    scan.object(
        &[
            "promptTokenCount",
            "toolUsePromptTokenCount",
            "cachedContentTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
        ],
        |scan, field, _| match field {
            "promptTokenCount" => set_count(scan, &mut prompt),
            "toolUsePromptTokenCount" => set_count(scan, &mut tools),
            "cachedContentTokenCount" => set_count(scan, &mut cached),
            "candidatesTokenCount" => set_count(scan, &mut said),
            "thoughtsTokenCount" => set_count(scan, &mut thought),
            _ => scan.skip().map(|_| ()),
        },
    )?;
    Ok(Usage {
        input: prompt.saturating_add(tools),
        cached_input: cached,
        output: said.saturating_add(thought),
        reasoning: thought,
        ..Usage::default()
    })
}

/// A reply to `embedContent` or `batchEmbedContents`.
fn embedding(reply: &mut Reply, whole: &ByteString) -> Scanned<()> {
    let mut vectors = Vec::new();
    let mut vector = |scan: &mut Scan<'_>| {
        scan.object(&["values"], |scan, field, _| {
            let range = scan.skip()?;
            if !field.is_empty() {
                vectors.push(scan.share(scan.spelt(range)));
            }
            Ok(())
        })
        .map(|_| ())
    };
    let mut scan = Scan::all(whole)?;
    let mut spent = None;
    scan.object(&["embedding", "embeddings", "usageMetadata"], |scan, field, _| {
        match (field, scan.next()?) {
            ("embedding", Next::Object) => vector(scan),
            ("embeddings", Next::Array) => scan.array(|scan, _| vector(scan)).map(|_| ()),
            ("usageMetadata", Next::Object) => usage(scan).map(|said| spent = Some(said)),
            _ => scan.skip().map(|_| ()),
        }
    })?;
    scan.end()?;
    reply.body = ReplyBody::Vectors(vectors);
    reply.usage = spent.or(reply.usage);
    Ok(())
}

/// A reply to `countTokens`.
fn count(reply: &mut Reply, whole: &ByteString) -> Scanned<()> {
    let mut tokens = 0;
    let mut scan = Scan::all(whole)?;
    scan.object(&["totalTokens"], |scan, field, _| match field {
        "totalTokens" => set_count(scan, &mut tokens),
        _ => scan.skip().map(|_| ()),
    })?;
    scan.end()?;
    reply.body = ReplyBody::Count(tokens);
    reply.usage = Some(Usage::default());
    Ok(())
}
