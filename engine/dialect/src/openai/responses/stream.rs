//! Events of a response's stream (platform.openai.com/docs/api-reference/responses-streaming), which ends with the event that
//! holds the whole response.

use super::item::{self, BEHIND_SUMMARIES, Form, Item};
use super::reply::{self, Response};
use super::{ITEMS, block_of, walk};
use crate::Level;
use crate::piece::{Piece, ReadEvents};
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What};
use crate::sse::{Data, Fields, fields};
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::HashSet;
use std::ops::Range;
use weir_message::{
    Block, BlockKind, Citation, Delta, ErrorCode, Event, EventKind, Fault, Part, Text, TextForm,
};

/// The most texts of one stream.
const MOST_TEXTS: usize = 1 << 16;

/// Where texts are numbered from that have neither a name nor a number of their own.
const UNNAMED: u32 = 3072;

/// Texts by the type of their events, without `.delta` or `.done`; the field of the latter that repeats them.
const FAMILIES: &[(&str, BlockKind, TextForm, &str)] = &[
    ("response.output_text", BlockKind::Text, TextForm::Plain, "text"),
    ("response.refusal", BlockKind::Refusal, TextForm::Plain, "refusal"),
    ("response.reasoning_summary_text", BlockKind::Reasoning, TextForm::Plain, "text"),
    ("response.reasoning_text", BlockKind::Reasoning, TextForm::Plain, "text"),
    ("response.function_call_arguments", BlockKind::Arguments, TextForm::Json, "arguments"),
    ("response.mcp_call_arguments", BlockKind::Arguments, TextForm::Json, "arguments"),
    ("response.custom_tool_call_input", BlockKind::Arguments, TextForm::Plain, "input"),
];

/// Events that hold sound or images.
const WITHOUT_TEXT: &[&str] = &["response.audio.delta", "response.image_generation_call.partial_image"];

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The texts told so far. An event that repeats one tells nothing new.
    told: HashSet<Block>,
    /// The calls told so far, by the numbers of their items.
    calls: HashSet<u32>,
    /// The sealed reasoning and the work of the provider's own tools told so far.
    seals: HashSet<u32>,
    has_begun: bool,
    is_over: bool,
}

impl Reader {
    /// The texts of an event that were not told before. A text that only ever stands in an event that otherwise repeats is
    /// told by that one.
    fn news(&mut self, said: &mut Said) -> Scanned<Vec<(Block, Text)>> {
        let mut news = Vec::new();
        for (block, text) in said.texts.drain(..) {
            if text.value.is_empty() {
                continue;
            }
            if self.told.insert(block) || said.is_delta {
                news.push((block, text));
            }
        }
        match self.told.len() > MOST_TEXTS {
            true => Err(Flaw::new(What::TooMany, 0)),
            false => Ok(news),
        }
    }
}

impl ReadEvents for Reader {
    fn event(&mut self, raw: Bytes, level: Level) -> Result<Event, Fault> {
        let fields = fields(&raw);
        let Some(data) = fields.data.clone() else {
            let kind = match (fields.is_error, fields.has_other) {
                (true, _) => EventKind::Error,
                (_, true) => EventKind::Other,
                _ => EventKind::KeepAlive,
            };
            return Ok(Event::new(raw, kind));
        };
        let bytes = raw.get(data).unwrap_or_default().trim_ascii();
        if fields.more.is_empty() && (bytes.is_empty() || bytes == b"[DONE]") && !fields.is_error {
            let kind = if bytes.is_empty() { EventKind::KeepAlive } else { EventKind::Done };
            return Ok(Event::new(raw, kind));
        }
        let want = if level == Level::Text { Want::All } else { Want::End };
        let read = read(&raw, &fields, want).and_then(|mut said| {
            let news = self.news(&mut said)?;
            Ok((said, news))
        });
        match read {
            _ if fields.is_error => Ok(Event::new(raw, EventKind::Error)),
            Ok((said, news)) => {
                self.is_over |= said.is_end();
                let mut event = Event::new(raw, said.kind());
                event.deltas = news.into_iter().map(|(block, text)| Delta { block, text }).collect();
                if said.is_delta {
                    // Those of events that repeat follow what they repeat (`Encoder::send`).
                    event.set_repeats(said.repeats.iter().map(|at| (0, at.clone())).collect());
                }
                if let Some(response) = said.response.filter(|_| event.kind != EventKind::Error) {
                    event.finish = response.finish();
                    event.usage = response.usage;
                }
                Ok(event)
            }
            Err(_) if level < Level::Text => Ok(Event::new(raw, EventKind::Other)),
            Err(flaw) => Err(flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream")),
        }
    }

    fn pieces(&mut self, raw: &Bytes, out: &mut Vec<Piece>) -> Scanned<()> {
        let fields = fields(raw);
        let data = fields.data.clone().and_then(|data| raw.get(data)).unwrap_or_default();
        match data.trim_ascii() {
            b"" => return Ok(()),
            b"[DONE]" => {
                out.push(Piece::Done);
                return Ok(());
            }
            _ => {}
        }
        let mut said = read(raw, &fields, Want::All)?;
        if let Some(response) = &said.response
            && !std::mem::replace(&mut self.has_begun, true)
        {
            let Response { id, model, created, .. } = response;
            out.push(Piece::Start { id: id.clone(), model: model.clone(), created: *created });
        }
        let news = self.news(&mut said)?;
        let items: Vec<(u32, &Item)> = said.items().collect();
        for (n, item) in &items {
            if matches!(item.form, Form::Call | Form::Custom) && self.calls.insert(*n) {
                let index = block_of(BlockKind::Arguments, *n, 0).map_or(0, |block| block.index);
                let (id, name) = (item.call.clone(), item.name.clone());
                out.push(Piece::Call { choice: 0, index, id, name, signature: None });
            }
        }
        for (block, text) in news {
            // What the provider's own tools say is no part of the answer.
            let (n, _) = super::place_of(block);
            if block.kind != BlockKind::Arguments || self.calls.contains(&n) {
                out.push(Piece::Text { block, text: text.value });
            }
        }
        if said.is_repeat() {
            for (n, item) in &items {
                let piece = match (item.form, &item.sealed) {
                    (Form::Reasoning, Some(sealed)) => sealing(item, *n, sealed.clone()),
                    (Form::Other, _) => {
                        Piece::Other { choice: 0, kind: item.kind.clone(), raw: item.raw.clone() }
                    }
                    _ => continue,
                };
                if self.seals.insert(*n) {
                    out.push(piece);
                }
            }
        }
        out.extend(said.citation.take().map(|(block, citation)| Piece::Citation {
            choice: 0,
            index: block.index,
            citation,
        }));
        if said.is_end()
            && let Some(response) = &said.response
        {
            let why = response.finish();
            out.extend(why.map(|why| Piece::Finish { choice: 0, why, stop: None }));
            out.extend(response.usage.map(Piece::Usage));
            out.push(Piece::Done);
        }
        Ok(())
    }

    fn whole(&self, raw: &Bytes) -> Option<Bytes> {
        let said = read(raw, &fields(raw), Want::End).ok().filter(Said::is_end)?;
        said.response_json.map(ByteString::into_bytes)
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

/// What seals an item of reasoning: it signs the words, if there are any.
fn sealing(item: &Item, n: u32, sealed: ByteString) -> Piece {
    let last = item.numbered().into_iter().rev().find(|(_, _, text)| !text.value.is_empty());
    let part = last.map_or(0, |(_, part, _)| part);
    let index = block_of(BlockKind::Reasoning, n, part).map_or(0, |block| block.index);
    match last {
        Some(_) => Piece::Signature { choice: 0, index, signature: sealed },
        None => Piece::Sealed { choice: 0, index, data: sealed },
    }
}

/// How much of an event is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Its type and, if it is the last, why and at what cost.
    End,
    /// Everything.
    All,
}

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Said {
    kind: ByteString,
    is_delta: bool,
    pub(super) number: Option<u64>,
    /// The number of its item.
    index: u32,
    item: Option<Item>,
    pub(super) response: Option<Response>,
    /// The response as it stands (JSON).
    response_json: Option<ByteString>,
    citation: Option<(Block, Citation)>,
    /// The part of the item that it is about.
    part: Option<Block>,
    /// Its texts and where they stand in the event.
    pub(super) texts: Vec<(Block, Text)>,
    /// Where log-probabilities in the event spell words once more.
    pub(super) repeats: Vec<Range<u32>>,
    /// How many of them have no name.
    unnamed: u32,
}

/// What an event changes besides texts.
pub(super) enum Step<'a> {
    /// An item begins.
    Begin(u32, &'a Item),
    /// An item ends.
    End(u32, &'a Item),
    /// A part of an item begins.
    PartBegin(Block),
    /// A part of an item ends.
    PartEnd(Block),
    /// A source is told.
    Citation(Block, &'a Citation),
}

impl Said {
    fn kind(&self) -> EventKind {
        match &*self.kind {
            "error" | "response.failed" => EventKind::Error,
            _ if self.is_delta => EventKind::Content,
            _ => EventKind::Other,
        }
    }

    /// Whether it is the last event.
    fn is_end(&self) -> bool {
        matches!(&*self.kind, "response.completed" | "response.incomplete")
    }

    /// Whether it tells once more, in full, what was told.
    fn is_repeat(&self) -> bool {
        self.is_end() || self.kind.ends_with(".done")
    }

    fn items(&self) -> impl Iterator<Item = (u32, &Item)> {
        let output = self.response.iter().flat_map(|response| &response.output);
        let listed = (0u32..).zip(output);
        self.item.iter().map(|item| (self.index, item)).chain(listed)
    }

    /// What it changes besides texts.
    pub(super) fn step(&self) -> Option<Step<'_>> {
        let is_done = self.is_repeat();
        if let Some((block, citation)) = &self.citation {
            return Some(Step::Citation(*block, citation));
        }
        if let Some(item) = &self.item {
            return Some(match is_done {
                true => Step::End(self.index, item),
                false => Step::Begin(self.index, item),
            });
        }
        match self.part {
            Some(block) if is_done => Some(Step::PartEnd(block)),
            Some(block) if !self.is_delta => Some(Step::PartBegin(block)),
            _ => None,
        }
    }
}

/// Reads an event; the places of its texts are places in `raw`.
pub(super) fn read(raw: &Bytes, fields: &Fields, want: Want) -> Scanned<Said> {
    let data = Data::of(raw, fields)?;
    let mut said = said(&data, want)?;
    for (_, text) in &mut said.texts {
        text.at = text.at.take().map(|at| data.place(at));
    }
    for at in &mut said.repeats {
        *at = data.span(at.clone());
    }
    Ok(said)
}

/// Fields that may be passed over until the event's type is known.
type Passed<'a> = Vec<(&'static str, Lit<'a>, Range<usize>)>;

/// Which part of its item an event is about.
#[derive(Default)]
struct Numbers {
    content: u32,
    summary: Option<u32>,
    command: u32,
}

fn said(data: &Data, want: Want) -> Scanned<Said> {
    let mut said = Said::default();
    let mut numbers = Numbers::default();
    let mut passed: Passed<'_> = Vec::new();
    let mut scan = Scan::new(&data.whole, data.range.clone())?;
    let known = &[
        "type",
        "sequence_number",
        "output_index",
        "content_index",
        "summary_index",
        "command_index",
        "item",
        "part",
        "response",
        "annotation",
        "delta",
        "text",
        "refusal",
        "arguments",
        "input",
        "logprobs",
    ];
    scan.object(known, |scan, field, key| {
        match (field, scan.next()?) {
            ("type", Next::String) => {
                let lit = scan.string()?;
                said.kind = scan.shared(&lit)?;
            }
            ("sequence_number", _) => said.number = scan.count()?,
            ("output_index", _) => said.index = number(scan)?.unwrap_or(0),
            ("content_index", _) => numbers.content = number(scan)?.unwrap_or(0),
            ("summary_index", _) => numbers.summary = number(scan)?,
            ("command_index", _) => numbers.command = number(scan)?.unwrap_or(0),
            _ => passed.push((field, key, scan.skip()?)),
        }
        Ok(())
    })?;
    scan.end()?;
    said.is_delta = said.kind.ends_with(".delta");
    let is_read = match want {
        Want::End => said.is_end(),
        Want::All => said.kind() != EventKind::Error && !WITHOUT_TEXT.contains(&&*said.kind),
    };
    if is_read {
        for (field, key, at) in passed {
            said.field(Scan::new(&data.whole, at)?, (field, &key), &numbers, want)
                .map_err(|flaw| if field.is_empty() { flaw } else { flaw.under(field) })?;
        }
    }
    Ok(said)
}

fn number(scan: &mut Scan<'_>) -> Scanned<Option<u32>> {
    Ok(scan.count()?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

impl Said {
    fn field(
        &mut self,
        mut scan: Scan<'_>,
        (field, key): (&str, &Lit<'_>),
        numbers: &Numbers,
        want: Want,
    ) -> Scanned<()> {
        let family =
            FAMILIES.iter().find_map(|(stem, kind, form, repeats)| match self.kind.strip_prefix(stem)? {
                ".delta" => Some((*kind, *form, "delta")),
                ".done" => Some((*kind, *form, *repeats)),
                _ => None,
            });
        let next = scan.next()?;
        let start = scan.place();
        match (field, next, family) {
            ("response", Next::Object, _) => {
                let response = reply::read(&mut scan, want == Want::All)?;
                self.response_json = Some(scan.share(scan.spelt(start..scan.place())));
                for (n, item) in (0u32..).zip(&response.output) {
                    self.texts_of(item, n, &scan)?;
                    self.repeats.extend(item.repeats.iter().cloned());
                }
                for (n, text) in (0u32..).zip(&response.asides) {
                    self.text(&scan, BlockKind::Text, (ITEMS - 1, n), text.clone())?;
                }
                self.response = Some(response);
            }
            ("item", Next::Object, _) => {
                let item = item::read(&mut scan)?;
                self.texts_of(&item, self.index, &scan)?;
                self.repeats.extend(item.repeats.iter().cloned());
                self.item = Some(item);
            }
            ("part", Next::Object, _) => self.part(&mut scan, numbers)?,
            ("logprobs", ..) => self.repeats.extend(item::log_probabilities(&mut scan)?),
            ("annotation", Next::Object, _) => {
                let block = self.block(&scan, BlockKind::Text, (self.index, numbers.content))?;
                self.citation = item::citation(&mut scan)?.map(|citation| (block, citation));
            }
            (_, Next::String, Some((kind, form, name))) if name == field => {
                let lit = scan.string()?;
                let part = numbers.part(kind, self.kind.starts_with("response.reasoning_text"));
                let text = scan.text(&lit, form)?;
                self.part = Some(self.text(&scan, kind, (self.index, part), text)?);
            }
            (_, _, None) if !walk::is_quiet(key) => {
                let mut texts = Vec::new();
                walk::texts(&mut scan, &mut texts)?;
                for text in texts {
                    let part = UNNAMED + numbers.command.min(60) * 16 + self.unnamed.min(15);
                    self.unnamed += 1;
                    self.text(&scan, BlockKind::Arguments, (self.index, part), text)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A part of a message, or a summary of reasoning.
    fn part(&mut self, scan: &mut Scan<'_>, numbers: &Numbers) -> Scanned<()> {
        let mut parts = Vec::new();
        item::part(scan, &mut parts, &mut self.repeats)?;
        let texts = parts.into_iter().flat_map(|part| match part {
            Part::Text(text) => vec![(BlockKind::Text, text)],
            Part::Refusal(text) => vec![(BlockKind::Refusal, text)],
            Part::Reasoning(reasoning) => vec![(BlockKind::Reasoning, reasoning.text)],
            Part::Other { texts, .. } => texts.into_iter().map(|text| (BlockKind::Arguments, text)).collect(),
            _ => Vec::new(),
        });
        for (kind, text) in texts {
            let part = numbers.part(kind, numbers.summary.is_none());
            self.part = Some(self.text(scan, kind, (self.index, part), text)?);
        }
        Ok(())
    }

    fn texts_of(&mut self, item: &Item, n: u32, scan: &Scan<'_>) -> Scanned<()> {
        for (kind, part, text) in item.numbered() {
            self.text(scan, kind, (n, part), text.clone())?;
        }
        Ok(())
    }

    fn text(&mut self, scan: &Scan<'_>, kind: BlockKind, at: (u32, u32), text: Text) -> Scanned<Block> {
        let block = self.block(scan, kind, at)?;
        self.texts.push((block, text));
        Ok(block)
    }

    fn block(&self, scan: &Scan<'_>, kind: BlockKind, (item, part): (u32, u32)) -> Scanned<Block> {
        block_of(kind, item, part).ok_or_else(|| scan.want("an item and a part of lower numbers"))
    }
}

impl Numbers {
    /// The number of a text in its item.
    fn part(&self, kind: BlockKind, is_behind: bool) -> u32 {
        match kind {
            BlockKind::Text | BlockKind::Refusal => self.content,
            BlockKind::Reasoning if is_behind => self.content.saturating_add(BEHIND_SUMMARIES),
            BlockKind::Reasoning => self.summary.unwrap_or(0),
            BlockKind::Arguments => 0,
        }
    }
}
