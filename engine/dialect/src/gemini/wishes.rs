//! What the fields of Gemini's requests mean (ai.google.dev/api/generate-content), and those fields written.

use super::{parts, schema};
use crate::carry::Loss;
use crate::compose::Object;
use crate::fields::{is_base64, texts, typed, wrong};
use crate::scan::{Next, Scan, Scanned};
use crate::settings::{Effort, Format, Settings, Thinking, ToolChoice};
use bytestring::ByteString;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use weir_message::{Body, Chat, ErrorCode, Fault, Media, Part, Request, Source, Tool, ToolKind};

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads the wishes of a decoded request, which leaves for another dialect.
pub(crate) fn read(request: &Request) -> Result<Settings, Fault> {
    let mut out = Settings::default();
    match &request.body {
        Body::Embedding(body) => {
            if body.has_media {
                out.others.push(("input", true));
            }
            embedding(request, &mut out);
        }
        Body::Chat(chat) => {
            check(chat)?;
            for param in &request.params.0 {
                chat_field(&camel(&param.name), &param.json, chat, &mut out)?;
            }
        }
        _ => {}
    }
    Ok(out)
}

/// Refuses what Gemini would refuse too: the target's words for it would be those of another API.
fn check(chat: &Chat) -> Result<(), Fault> {
    let bad = |what: &'static str| Fault::new(ErrorCode::BadRequest, what).param("contents");
    let is_sound = |parts: &[Part]| {
        parts.iter().all(|part| match part {
            Part::Media(Media { source: Source::Base64(data), .. }) => is_base64(data),
            _ => true,
        })
    };
    let mut calls = HashSet::new();
    for message in &chat.messages {
        for part in &message.parts {
            match part {
                Part::ToolCall(call) => {
                    calls.insert(&call.id);
                }
                Part::ToolResult(result) if !calls.contains(&result.call) => {
                    return Err(bad("a `functionResponse` answers no `functionCall` in front of it"));
                }
                Part::ToolResult(result) if !is_sound(&result.parts) => return Err(bad(NO_BASE64)),
                _ => {}
            }
        }
        if !is_sound(&message.parts) {
            return Err(bad(NO_BASE64));
        }
    }
    Ok(())
}

const NO_BASE64: &str = "`inlineData` has data that is not Base64";

fn chat_field(name: &str, json: &ByteString, chat: &Chat, out: &mut Settings) -> Result<(), Fault> {
    if &**json == "null" {
        return Ok(());
    }
    match name {
        "generationConfig" => {
            for (name, value) in typed::<Fields<'_>>(json, name)? {
                generation(&camel(&name), json.slice_ref(value.get()), out)?;
            }
        }
        "toolConfig" => tool_config(json, chat, out)?,
        "safetySettings" => out.others.push(("safety_settings", !is_all_off(json)?)),
        "cachedContent" => out.others.push(("cached_content", true)),
        "serviceTier" => {
            let tier = typed::<String>(json, "serviceTier")?.to_ascii_lowercase();
            out.service_tier = match &*tier {
                "unspecified" => None,
                "standard" => Some(ByteString::from_static("default")),
                _ => Some(tier.into()),
            };
        }
        "labels" => out.others.push(("metadata", false)),
        "store" => out.others.push(("store", false)),
        _ => out.others.push(("unknown fields", false)),
    }
    Ok(())
}

/// A field's name in one spelling.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' if !out.is_empty() => upper = true,
            c if std::mem::take(&mut upper) => out.push(c.to_ascii_uppercase()),
            c => out.push(c),
        }
    }
    out
}

/// Whether nothing is filtered that the model says.
fn is_all_off(json: &str) -> Result<bool, Fault> {
    let settings: Vec<BTreeMap<String, serde_json::Value>> = typed(json, "safetySettings")?;
    let is_off = |setting: &BTreeMap<String, serde_json::Value>| {
        matches!(setting.get("threshold").and_then(|value| value.as_str()), Some("BLOCK_NONE" | "OFF"))
    };
    Ok(settings.iter().all(is_off))
}

/// A field of `generationConfig`.
fn generation(name: &str, json: ByteString, out: &mut Settings) -> Result<(), Fault> {
    if &*json == "null" {
        return Ok(());
    }
    let field = format!("generationConfig.{name}");
    match name {
        "maxOutputTokens" => out.max_tokens = Some(count(&json, &field)?),
        "temperature" => out.temperature = Some(number(json, &field)?),
        "topP" => out.top_p = Some(number(json, &field)?),
        "topK" => out.top_k = Some(count(&json, &field)?),
        "stopSequences" => out.stop = texts(&json, &field)?,
        "seed" => out.seed = Some(number(json, &field)?),
        "candidateCount" => out.choices = Some(count(&json, &field)?),
        "presencePenalty" => out.presence_penalty = Some(number(json, &field)?),
        "frequencyPenalty" => out.frequency_penalty = Some(number(json, &field)?),
        "responseLogprobs" if typed(&json, &field)? => out.logprobs = out.logprobs.or(Some(0)),
        "responseLogprobs" => {}
        "logprobs" => out.logprobs = Some(count(&json, &field)?),
        "responseMimeType" => match &*typed::<String>(&json, &field)? {
            "application/json" => out.format = out.format.take().or(Some(Format::Json)),
            "text/plain" | "" => {}
            _ => out.others.push(("response_format", true)),
        },
        "responseSchema" => out.format = Some(formatted(schema::standard(json))),
        "responseJsonSchema" | "_responseJsonSchema" => out.format = Some(formatted(json)),
        "thinkingConfig" => out.thinking = thinking(&json)?.or(out.thinking),
        "responseModalities" => {
            let kinds = texts(&json, &field)?;
            if kinds.iter().any(|kind| !kind.eq_ignore_ascii_case("text")) {
                out.others.push(("modalities", true));
            }
        }
        "speechConfig" => out.others.push(("audio", true)),
        "imageConfig" => out.others.push(("image_config", true)),
        "mediaResolution" => out.others.push(("detail", false)),
        _ => out.others.push(("unknown fields", false)),
    }
    Ok(())
}

/// A number as it is spelt; in Google's JSON it may stand in a string.
fn number(json: ByteString, field: &str) -> Result<ByteString, Fault> {
    let bare = json.trim_matches('"');
    typed::<f64>(bare, field).map(|_| json.slice_ref(bare))
}

/// A count; it may be spelt as a fraction of none (`40.0`), or stand in a string.
fn count(json: &ByteString, field: &str) -> Result<u64, Fault> {
    let value: f64 = typed(json.trim_matches('"'), field)?;
    if value.fract() != 0.0 || !(0.0..=9e15).contains(&value) {
        return Err(wrong(field));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number in range"
    )]
    Ok(value as u64)
}

fn formatted(schema: ByteString) -> Format {
    Format::Schema { name: ByteString::from_static("answer"), description: None, schema, strict: None }
}

fn thinking(json: &str) -> Result<Option<Thinking>, Fault> {
    let fields: BTreeMap<String, serde_json::Value> = typed(json, "generationConfig.thinkingConfig")?;
    let mut out = None;
    for (name, value) in &fields {
        let field = || wrong(&format!("generationConfig.thinkingConfig.{name}"));
        match (&*camel(name), value) {
            (_, serde_json::Value::Null) => {}
            ("thinkingBudget", value) => {
                out = Some(match value.as_i64().ok_or_else(field)? {
                    ..0 => Thinking::Auto,
                    0 => Thinking::Off,
                    tokens => Thinking::Budget(tokens.unsigned_abs()),
                });
            }
            ("thinkingLevel", value) => {
                let level = value.as_str().ok_or_else(field)?.to_ascii_lowercase();
                let effort = Effort::from_name(&level).map(Thinking::Effort);
                out = out.or(effort);
            }
            _ => {}
        }
    }
    Ok(out)
}

fn tool_config(json: &str, chat: &Chat, out: &mut Settings) -> Result<(), Fault> {
    let fields: Fields<'_> = typed(json, "toolConfig")?;
    for (name, value) in fields {
        match (&*camel(&name), value.get()) {
            (_, "null") => {}
            ("functionCallingConfig", json) => function_calling(json, chat, out)?,
            _ => out.others.push(("tool_config", false)),
        }
    }
    Ok(())
}

fn function_calling(json: &str, chat: &Chat, out: &mut Settings) -> Result<(), Fault> {
    const FIELD: &str = "toolConfig.functionCallingConfig";
    let (mut mode, mut allowed) = (None, Vec::new());
    for (name, value) in typed::<Fields<'_>>(json, FIELD)? {
        match &*camel(&name) {
            "mode" => mode = typed::<Option<String>>(value.get(), FIELD)?,
            "allowedFunctionNames" => {
                allowed = typed::<Option<Vec<String>>>(value.get(), FIELD)?.unwrap_or_default()
            }
            _ => {}
        }
    }
    let functions = chat.tools.iter().filter(|tool| tool.kind == ToolKind::Function);
    let is_some_of_them =
        !allowed.is_empty() && functions.clone().any(|tool| !allowed.iter().any(|name| **name == *tool.name));
    out.tool_choice = match (mode.as_deref(), allowed.as_slice()) {
        (None | Some("MODE_UNSPECIFIED" | ""), _) => None,
        (Some("AUTO" | "VALIDATED"), _) => Some(ToolChoice::Auto),
        (Some("NONE"), _) => Some(ToolChoice::None),
        (Some("ANY"), [one]) => Some(ToolChoice::Tool(one.as_str().into())),
        (Some("ANY"), _) => Some(ToolChoice::Any),
        _ => return Err(wrong(FIELD)),
    };
    if is_some_of_them && !matches!(out.tool_choice, Some(ToolChoice::Tool(_))) {
        out.others.push(("allowed_tools", true));
    }
    Ok(())
}

/// The fields of things to embed. What is not the same for all has no place elsewhere.
fn embedding(request: &Request, out: &mut Settings) {
    let mut items: Vec<Item> = Vec::new();
    let read = ByteString::try_from(request.raw.clone()).ok().map(|whole| {
        let mut scan = Scan::all(&whole)?;
        let mut single = Item::default();
        scan.object(EMBEDDING, |scan, field, _| match (field, scan.next()?) {
            ("requests", Next::Array | Next::Object) => parts::several(scan, |scan, _| {
                let mut item = Item::default();
                scan.object(EMBEDDING, |scan, field, _| item.field(scan, field))?;
                items.push(item);
                Ok(())
            }),
            _ => single.field(scan, field),
        })?;
        if items.is_empty() {
            items.push(single);
        }
        Ok::<_, crate::scan::Flaw>(())
    });
    debug_assert!(read.is_some_and(|read| read.is_ok()), "it was decoded");
    let Some(first) = items.first() else { return };
    out.dimensions = first.dimensions;
    if items.iter().any(|item| item.dimensions != first.dimensions) {
        out.others.push(("dimensions", true));
    }
    if items.iter().any(|item| item.task != first.task) {
        out.others.push(("input_type", false));
    } else if let Some(task) = &first.task {
        match TASKS.iter().find(|(name, _)| name == task) {
            Some((_, name)) => out.input_type = Some(ByteString::from_static(name)),
            None => out.others.push(("input_type", false)),
        }
    }
    if items.iter().any(|item| item.has_title) {
        out.others.push(("title", false));
    }
}

const EMBEDDING: &[&str] =
    &["requests", "taskType", "task_type", "title", "outputDimensionality", "output_dimensionality"];

/// What embeddings are for, in Gemini's words and in Cohere's.
const TASKS: [(&str, &str); 4] = [
    ("RETRIEVAL_QUERY", "search_query"),
    ("RETRIEVAL_DOCUMENT", "search_document"),
    ("CLASSIFICATION", "classification"),
    ("CLUSTERING", "clustering"),
];

#[derive(Default)]
struct Item {
    task: Option<String>,
    dimensions: Option<u64>,
    has_title: bool,
}

impl Item {
    fn field(&mut self, scan: &mut Scan<'_>, field: &str) -> Scanned<()> {
        match (field, scan.next()?) {
            ("taskType" | "task_type", Next::String) => {
                self.task = Some(scan.string()?.value()?.into_owned())
            }
            ("outputDimensionality" | "output_dimensionality", _) => self.dimensions = scan.count()?,
            ("title", Next::String) => {
                scan.skip()?;
                self.has_title = true;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    }
}

/// Writes the fields of something to embed.
pub(crate) fn write_embedding(o: &mut Object<'_>, wishes: &Settings) {
    let task = wishes.input_type.as_deref().and_then(|said| TASKS.iter().find(|(_, name)| *name == said));
    o.string_if("taskType", task.map(|task| task.0)).number_if("outputDimensionality", wishes.dimensions);
}

/// Which generation of Gemini a model is of, by its name; later ones take other fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Before the third, or no Gemini.
    Second,
    /// The third or later.
    Third,
}

impl Generation {
    pub(crate) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let Some(rest) = name.strip_prefix("gemini-") else { return Self::Second };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        match digits.parse::<u32>() {
            Ok(number) if number < 3 => Self::Second,
            Ok(_) => Self::Third,
            Err(_) if rest.ends_with("-latest") => Self::Third,
            Err(_) => Self::Second,
        }
    }
}

/// Writes the wishes of a chat of another dialect.
pub(crate) fn write(o: &mut Object<'_>, wishes: &Settings, tools: &[Tool], model: &str, loss: &mut Loss) {
    tool_choice(o, wishes);
    o.object("generationConfig", |o| {
        o.number_if("maxOutputTokens", wishes.max_tokens);
        o.raw_if("temperature", wishes.temperature.as_deref());
        o.raw_if("topP", wishes.top_p.as_deref()).number_if("topK", wishes.top_k);
        if !wishes.stop.is_empty() {
            o.array("stopSequences", |a| wishes.stop.iter().for_each(|stop| a.string(stop)));
        }
        o.raw_if("seed", wishes.seed.as_deref());
        o.number_if("candidateCount", wishes.choices.filter(|n| *n != 1));
        o.raw_if("presencePenalty", wishes.presence_penalty.as_deref());
        o.raw_if("frequencyPenalty", wishes.frequency_penalty.as_deref());
        if let Some(alternatives) = wishes.logprobs {
            o.bool("responseLogprobs", true).number_if("logprobs", Some(alternatives).filter(|n| *n > 0));
        }
        match &wishes.format {
            None | Some(Format::Text) => {}
            Some(Format::Json) => {
                o.string("responseMimeType", "application/json");
            }
            Some(Format::Schema { description, schema, .. }) => {
                if description.is_some() {
                    loss.hint("response_format.description");
                }
                o.string("responseMimeType", "application/json").raw("responseJsonSchema", schema);
            }
        }
        if let Some(wish) = wishes.thinking {
            o.object("thinkingConfig", |o| write_thinking(o, wish, model, loss));
        }
    });
    match wishes.service_tier.as_deref() {
        None => {}
        Some("auto" | "default" | "standard" | "standard_only") => {
            o.string("serviceTier", "standard");
        }
        Some(tier @ ("flex" | "priority")) => {
            o.string("serviceTier", tier);
        }
        Some(_) => loss.hint("service_tier"),
    }
    wishes.lose_single_calls(tools, loss);
    if wishes.user.is_some() {
        loss.hint("user");
    }
    wishes.lose_others(loss);
}

fn tool_choice(o: &mut Object<'_>, wishes: &Settings) {
    let (mode, name) = match &wishes.tool_choice {
        None => return,
        Some(ToolChoice::Auto) => ("AUTO", None),
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Any) => ("ANY", None),
        Some(ToolChoice::Tool(name)) => ("ANY", Some(name)),
    };
    o.object("toolConfig", |o| {
        o.object("functionCallingConfig", |o| {
            o.string("mode", mode);
            if let Some(name) = name {
                o.array("allowedFunctionNames", |a| a.string(name));
            }
        });
    });
}

/// `thinkingConfig`: the second generation takes a number of tokens, the third a level.
fn write_thinking(o: &mut Object<'_>, wish: Thinking, model: &str, loss: &mut Loss) {
    let is_pro = model.contains("pro");
    let level = |effort| match effort {
        Effort::Minimal if !is_pro => "MINIMAL",
        Effort::Minimal | Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::Max => "HIGH",
    };
    match (wish, Generation::of(model)) {
        (Thinking::Off, generation) => {
            // The large models cannot do without.
            if is_pro || generation == Generation::Third {
                loss.hint("reasoning_effort");
            }
            match generation {
                Generation::Third => o.string("thinkingLevel", level(Effort::Minimal)),
                Generation::Second if is_pro => o.number("thinkingBudget", SMALLEST),
                Generation::Second => o.number("thinkingBudget", 0),
            };
            return;
        }
        (Thinking::Auto, Generation::Second) => {
            o.raw("thinkingBudget", "-1");
        }
        (Thinking::Auto, Generation::Third) => {}
        (Thinking::Budget(tokens), _) => {
            o.number("thinkingBudget", tokens);
        }
        (Thinking::Effort(effort), Generation::Third) => {
            o.string("thinkingLevel", level(effort));
        }
        (Thinking::Effort(effort), Generation::Second) => {
            o.number("thinkingBudget", effort.budget().min(LARGEST));
        }
    }
    o.bool("includeThoughts", true);
}

/// The smallest number of tokens that `gemini-2.5-pro` takes for thinking.
const SMALLEST: u64 = 128;

/// The largest that all of the second generation take.
const LARGEST: u64 = 24_576;
