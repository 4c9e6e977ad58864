//! Items of `input` and `output`, and the parts of what they say.

use super::walk;
use crate::openai::parts;
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{
    BlockKind, CachePoint, Citation, Media, MediaKind, Part, Reasoning, Role, Source, Text, TextForm,
    ToolCall, ToolResult,
};

/// What an item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    Message,
    Reasoning,
    /// A call of a tool of the client's that takes JSON.
    Call,
    /// A call of one that takes words.
    Custom,
    /// What such a tool gave back.
    Result,
    /// A tool of the provider's own at work, or something else without a form here.
    #[default]
    Other,
}

/// An item as it stands in a body.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) form: Form,
    /// The API's name of what it is.
    pub(super) kind: ByteString,
    pub(super) id: ByteString,
    pub(super) role: Option<Role>,
    /// The id of the call that it is or answers.
    pub(super) call: ByteString,
    /// The tool's name.
    pub(super) name: ByteString,
    /// What it says, by the numbers of its parts.
    pub(super) content: Vec<Vec<Part>>,
    /// Summaries of reasoning.
    pub(super) summary: Vec<Text>,
    /// What a tool is called with.
    pub(super) arguments: Option<Text>,
    /// Reasoning that only the provider can read.
    pub(super) sealed: Option<ByteString>,
    /// Texts of what has no form here.
    texts: Vec<Text>,
    /// Where log-probabilities spell its words once more.
    pub(super) repeats: Vec<Range<u32>>,
    /// All of it (JSON).
    pub(super) raw: ByteString,
}

/// Where the parts of reasoning itself are numbered from, behind its summaries.
pub(super) const BEHIND_SUMMARIES: u32 = 2048;

/// Fields of an item that may be passed over until its type is known: it need not come first.
type Passed<'a> = Vec<(&'static str, Lit<'a>, Range<usize>)>;

/// Reads an item.
pub(super) fn read(scan: &mut Scan<'_>) -> Scanned<Item> {
    let mut item = Item::default();
    let mut role = None;
    let mut passed: Passed<'_> = Vec::new();
    scan.next()?;
    let start = scan.place();
    scan.object(
        &[
            "type",
            "id",
            "role",
            "call_id",
            "name",
            "encrypted_content",
            "content",
            "summary",
            "arguments",
            "input",
            "output",
        ],
        |scan, field, key| {
            let known = match (field, scan.next()?) {
                ("type", Next::String) => &mut item.kind,
                ("id", Next::String) => &mut item.id,
                ("call_id", Next::String) => &mut item.call,
                ("name", Next::String) => &mut item.name,
                ("encrypted_content", Next::String) => item.sealed.insert(ByteString::new()),
                ("role", Next::String) => {
                    role = Some(scan.string()?);
                    return Ok(());
                }
                _ => {
                    passed.push((field, key, scan.skip()?));
                    return Ok(());
                }
            };
            let lit = scan.string()?;
            *known = scan.shared(&lit)?;
            Ok(())
        },
    )?;
    item.raw = scan.share(scan.spelt(start..scan.place()));
    item.form = match &*item.kind {
        "message" => Form::Message,
        "" if role.is_some() => Form::Message,
        "reasoning" => Form::Reasoning,
        "function_call" => Form::Call,
        "custom_tool_call" => Form::Custom,
        "function_call_output" | "custom_tool_call_output" => Form::Result,
        _ => Form::Other,
    };
    if item.form == Form::Message {
        let wants = |at| Flaw::new(What::Want("`user`, `assistant`, `system` or `developer`"), at);
        let Some(lit) = role else { return Err(Flaw::new(What::Want("a field `role`"), start)) };
        let named = Role::from_name(&lit.value()?).filter(|role| *role != Role::Tool);
        item.role = Some(named.ok_or_else(|| wants(lit.at.start).under("role"))?);
    }
    for (field, key, at) in passed {
        let mut value = scan.inside(at)?;
        let read = item.field(&mut value, field, &key);
        read.map_err(|flaw| if field.is_empty() { flaw } else { flaw.under(field) })?;
    }
    Ok(item)
}

impl Item {
    fn field(&mut self, scan: &mut Scan<'_>, field: &str, key: &Lit<'_>) -> Scanned<()> {
        match (self.form, field) {
            (Form::Message | Form::Reasoning, "content") | (Form::Result, "output") => self.content(scan),
            (Form::Reasoning, "summary") if scan.next()? == Next::Array => scan
                .array(|scan, _| {
                    let mut said = Vec::new();
                    part(scan, &mut said, &mut self.repeats)?;
                    self.summary.extend(said.into_iter().filter_map(|part| match part {
                        Part::Text(text) | Part::Reasoning(Reasoning { text, .. }) => Some(text),
                        _ => None,
                    }));
                    Ok(())
                })
                .map(|_| ()),
            (Form::Call, "arguments") => {
                self.arguments = Some(parts::arguments(scan)?);
                Ok(())
            }
            (Form::Custom, "input") => {
                let lit = scan.string()?;
                self.arguments = Some(scan.text(&lit, TextForm::Plain)?);
                Ok(())
            }
            // The bytes of an image.
            (Form::Other, "") if key.inner == "result" && &*self.kind == "image_generation_call" => Ok(()),
            (Form::Other, _) if !walk::is_quiet(key) => walk::texts(scan, &mut self.texts),
            _ => Ok(()),
        }
    }

    /// A string, parts, or nothing.
    fn content(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        let (content, repeats) = (&mut self.content, &mut self.repeats);
        match scan.next()? {
            Next::Null => {}
            Next::String => {
                let lit = scan.string()?;
                content.push(vec![Part::Text(scan.text(&lit, TextForm::Plain)?)]);
            }
            Next::Array => {
                scan.array(|scan, _| {
                    let mut said = Vec::new();
                    part(scan, &mut said, repeats)?;
                    content.push(said);
                    Ok(())
                })?;
            }
            _ => return Err(scan.want("a string or an array of parts")),
        }
        Ok(())
    }

    /// As parts of a turn.
    pub(super) fn into_parts(self) -> Vec<Part> {
        let said = self.content.into_iter().flatten();
        match self.form {
            Form::Message => said.collect(),
            Form::Reasoning => {
                let summaries = self.summary.into_iter().map(|text| Part::Reasoning(text.into()));
                let mut parts: Vec<Part> = summaries.chain(said).collect();
                // What seals the whole signs the words, if there are any.
                match (parts.last_mut(), self.sealed) {
                    (Some(Part::Reasoning(last)), Some(sealed)) => last.signature = Some(sealed),
                    (_, Some(sealed)) => parts.push(Part::Sealed(sealed)),
                    (_, None) => {}
                }
                parts
            }
            Form::Call | Form::Custom => {
                let form = if self.form == Form::Call { TextForm::Json } else { TextForm::Plain };
                let nothing = || Text { value: ByteString::new(), at: None, form };
                vec![Part::ToolCall(ToolCall {
                    id: self.call,
                    name: self.name,
                    arguments: self.arguments.unwrap_or_else(nothing),
                    signature: None,
                })]
            }
            Form::Result => {
                vec![Part::ToolResult(ToolResult { call: self.call, parts: said.collect(), is_error: false })]
            }
            Form::Other => vec![Part::Other { kind: self.kind, texts: self.texts, raw: self.raw }],
        }
    }

    /// Each text with the kind of its block and its number in the item.
    pub(super) fn numbered(&self) -> Vec<(BlockKind, u32, &Text)> {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut out = Vec::new();
        let mut others: Vec<&Text> = self.texts.iter().collect();
        for (n, said) in self.content.iter().enumerate() {
            let n = number(n);
            out.extend(said.iter().filter_map(|part| match part {
                Part::Text(text) if self.form == Form::Result => Some((BlockKind::Arguments, n, text)),
                Part::Text(text) => Some((BlockKind::Text, n, text)),
                Part::Refusal(text) => Some((BlockKind::Refusal, n, text)),
                Part::Reasoning(reasoning) => {
                    Some((BlockKind::Reasoning, n.saturating_add(BEHIND_SUMMARIES), &reasoning.text))
                }
                Part::Other { texts, .. } => {
                    others.extend(texts);
                    None
                }
                _ => None,
            }));
        }
        let summaries = self.summary.iter().enumerate();
        out.extend(summaries.map(|(n, text)| (BlockKind::Reasoning, number(n), text)));
        out.extend(self.arguments.iter().map(|text| (BlockKind::Arguments, 0, text)));
        let others = others.into_iter().enumerate();
        out.extend(others.map(|(n, text)| (BlockKind::Arguments, number(n).saturating_add(1), text)));
        out
    }
}

/// What a part says.
#[derive(Default)]
struct PartSaid {
    kind: ByteString,
    text: Option<Text>,
    refusal: Option<Text>,
    image: Option<ByteString>,
    file: Option<ByteString>,
    address: Option<ByteString>,
    data: Option<ByteString>,
    name: Option<ByteString>,
    detail: Option<ByteString>,
}

/// A part, and where log-probabilities spell its words once more. Whatever its type says, a field `text` is read: who sends it
/// elsewhere cannot hide it here.
pub(super) fn part(scan: &mut Scan<'_>, out: &mut Vec<Part>, repeats: &mut Vec<Range<u32>>) -> Scanned<()> {
    if scan.next()? == Next::String {
        let lit = scan.string()?;
        out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
        return Ok(());
    }
    let mut said = PartSaid::default();
    let mut passed: Passed<'_> = Vec::new();
    let mut marks = Vec::new();
    scan.object(
        &[
            "type",
            "text",
            "refusal",
            "image_url",
            "file_id",
            "file_url",
            "file_data",
            "filename",
            "detail",
            "input_audio",
            "annotations",
            "logprobs",
            "prompt_cache_breakpoint",
        ],
        |scan, field, key| {
            match (field, scan.next()?) {
                ("logprobs", _) => repeats.extend(log_probabilities(scan)?),
                ("text" | "refusal", _) => {
                    let text =
                        scan.string_or_null()?.map(|lit| scan.text(&lit, TextForm::Plain)).transpose()?;
                    *(if field == "text" { &mut said.text } else { &mut said.refusal }) = text;
                }
                ("input_audio", Next::Object) => {
                    marks.extend(parts::inline(scan, MediaKind::Audio)?.map(Part::Media));
                }
                ("annotations", Next::Array) => {
                    scan.array(|scan, _| {
                        marks.extend(citation(scan)?.map(Part::Citation));
                        Ok(())
                    })?;
                }
                ("prompt_cache_breakpoint", Next::Object) => {
                    let point = parts::cache_point(scan)?;
                    marks.extend(point.map(|CachePoint { ttl }| Part::CachePoint(CachePoint { ttl })));
                }
                ("", _) => passed.push(("", key, scan.skip()?)),
                (_, Next::String) => {
                    let lit = scan.string()?;
                    said.set(field, scan.shared(&lit)?);
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    let is_known = matches!(
        &*said.kind,
        "input_text"
            | "output_text"
            | "text"
            | "summary_text"
            | "reasoning_text"
            | "refusal"
            | "input_image"
            | "input_file"
            | "input_audio"
    );
    let mut texts = Vec::new();
    for (_, key, at) in passed {
        if !is_known && !walk::is_quiet(&key) {
            walk::texts(&mut scan.inside(at)?, &mut texts)?;
        }
    }
    said.into_parts((!is_known).then_some(texts), out);
    out.append(&mut marks);
    Ok(())
}

/// Where log-probabilities stand, if there are some.
pub(super) fn log_probabilities(scan: &mut Scan<'_>) -> Scanned<Option<Range<u32>>> {
    let is_list = scan.next()? == Next::Array;
    let at = scan.skip()?;
    let is_empty = scan.spelt(at.clone()).trim_matches(['[', ']', ' ']).is_empty();
    Ok((is_list && !is_empty).then(|| place(at)))
}

impl PartSaid {
    fn set(&mut self, field: &str, value: ByteString) {
        let slot = match field {
            "type" => {
                self.kind = value;
                return;
            }
            "image_url" => &mut self.image,
            "file_id" => &mut self.file,
            "file_url" => &mut self.address,
            "file_data" => &mut self.data,
            "filename" => &mut self.name,
            _ => &mut self.detail,
        };
        *slot = Some(value);
    }

    /// `others` are the texts of a part of a kind that is not known here.
    fn into_parts(self, others: Option<Vec<Text>>, out: &mut Vec<Part>) {
        let is_thought = matches!(&*self.kind, "summary_text" | "reasoning_text");
        let is_image = self.image.is_some() || &*self.kind == "input_image";
        out.extend(
            self.text.map(|text| if is_thought { Part::Reasoning(text.into()) } else { Part::Text(text) }),
        );
        out.extend(self.refusal.map(Part::Refusal));
        let located = match (self.image, self.data, self.address, self.file) {
            (Some(url), ..) => Some(parts::located(url)),
            (_, Some(data), ..) => Some(match parts::located(data) {
                (None, Source::Url(bare)) if !bare.contains(':') => (None, Source::Base64(bare)),
                other => other,
            }),
            (_, _, Some(url), _) => Some((None, Source::Url(url))),
            (_, _, _, Some(id)) => Some((None, Source::File(id))),
            _ => None,
        };
        match located {
            Some((media_type, source)) => out.push(Part::Media(Media {
                kind: if is_image { MediaKind::Image } else { MediaKind::Document },
                source,
                media_type,
                name: self.name,
                detail: self.detail,
                cite: false,
            })),
            None => {
                out.extend(others.map(|texts| Part::Other { kind: self.kind, texts, raw: ByteString::new() }))
            }
        }
    }
}

/// An annotation; none if it cites nothing.
pub(super) fn citation(scan: &mut Scan<'_>) -> Scanned<Option<Citation>> {
    let mut found = Citation::default();
    let (mut from, mut to) = (None, None);
    scan.object(&["url", "title", "filename", "start_index", "end_index"], |scan, field, _| {
        match (field, scan.next()?) {
            ("url", Next::String) => {
                let lit = scan.string()?;
                found.url = Some(scan.shared(&lit)?);
            }
            ("title" | "filename", Next::String) => {
                let lit = scan.string()?;
                found.title = Some(scan.shared(&lit)?);
            }
            ("start_index", _) => from = scan.count()?,
            ("end_index", _) => to = scan.count()?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    found.span = from.zip(to).map(|(from, to)| from..to);
    Ok(Some(found).filter(|found| found.url.is_some() || found.title.is_some()))
}
