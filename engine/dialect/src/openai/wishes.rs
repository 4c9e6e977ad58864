//! What the fields of OpenAI's requests mean (platform.openai.com/docs/api-reference/chat/create), and those fields written.

use crate::compose::Object;
use crate::fields::{number, text, texts, typed, wrong};
use crate::settings::{Effort, Format, Settings, Thinking, ToolChoice};
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use weir_message::{Fault, Request};

/// Fields that other dialects have no name for, and whether the answer may mean something else without them.
const OTHERS: &[(&str, bool)] = &[
    ("audio", true),
    ("logit_bias", true),
    ("modalities", true),
    ("prediction", false),
    ("prompt_cache_key", false),
    ("prompt_cache_retention", false),
    ("store", false),
    ("metadata", false),
    ("verbosity", false),
    ("web_search_options", true),
];

/// Reads the wishes of a decoded request.
pub(crate) fn read(request: &Request) -> Result<Settings, Fault> {
    let mut out = Settings::default();
    for param in &request.params.0 {
        let json = &param.json;
        if &**json == "null" {
            continue;
        }
        match &*param.name {
            "max_completion_tokens" => out.max_tokens = Some(typed(json, &param.name)?),
            "max_tokens" => out.max_tokens = out.max_tokens.or(Some(typed(json, &param.name)?)),
            "temperature" => out.temperature = Some(number(json, "temperature")?),
            "top_p" => out.top_p = Some(number(json, "top_p")?),
            "top_k" => out.top_k = Some(typed(json, "top_k")?),
            "stop" => out.stop = texts(json, "stop")?,
            "seed" => out.seed = Some(number(json, "seed")?),
            "n" => out.choices = Some(typed(json, "n")?),
            "presence_penalty" => out.presence_penalty = Some(number(json, "presence_penalty")?),
            "frequency_penalty" => out.frequency_penalty = Some(number(json, "frequency_penalty")?),
            "logprobs" if &**json == "true" => out.logprobs = out.logprobs.or(Some(0)),
            "top_logprobs" => out.logprobs = Some(typed(json, "top_logprobs")?),
            "tool_choice" | "function_call" => out.tool_choice = Some(tool_choice(json, &param.name)?),
            "parallel_tool_calls" => out.parallel_tools = Some(typed(json, "parallel_tool_calls")?),
            "response_format" => out.format = Some(format(json)?),
            "reasoning_effort" => out.thinking = Some(effort(json, "reasoning_effort")?),
            "reasoning" => out.thinking = reasoning(json)?,
            "user" | "safety_identifier" => out.user = Some(text(json, &param.name)?),
            "service_tier" => out.service_tier = Some(text(json, "service_tier")?),
            "dimensions" => out.dimensions = Some(typed(json, "dimensions")?),
            "encoding_format" if text(json, "encoding_format")? == "base64" => {
                out.others.push(("encoding_format", false));
            }
            "stream_options" | "encoding_format" | "logprobs" => {}
            name => match OTHERS.iter().find(|other| other.0 == name) {
                Some(other) => out.others.push(*other),
                // Nobody knows what it is for; a field that OpenAI's API does not have cannot be meant for another's.
                None => out.others.push(("unknown fields", false)),
            },
        }
    }
    Ok(out)
}

fn tool_choice(json: &str, field: &str) -> Result<ToolChoice, Fault> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow, alias = "custom")]
        function: Option<Named<'a>>,
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
    }
    if let Ok(word) = serde_json::from_str::<Cow<'_, str>>(json) {
        return match &*word {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Any),
            _ => Err(wrong(field)),
        };
    }
    let choice: Choice<'_> = typed(json, field)?;
    match choice.function.map(|named| named.name).or(choice.name) {
        Some(name) => Ok(ToolChoice::Tool(name.into_owned().into())),
        None => Err(wrong(field)),
    }
}

fn format(json: &str) -> Result<Format, Fault> {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        json_schema: Option<Schema<'a>>,
    }
    #[derive(Deserialize)]
    struct Schema<'a> {
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
        #[serde(borrow)]
        description: Option<Cow<'a, str>>,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
        strict: Option<bool>,
    }
    let wanted: Wanted<'_> = typed(json, "response_format")?;
    Ok(match (&*wanted.kind, wanted.json_schema) {
        ("json_schema", Some(said)) => Format::Schema {
            name: said
                .name
                .map_or_else(|| ByteString::from_static("answer"), |name| name.into_owned().into()),
            description: said.description.map(|text| text.into_owned().into()),
            schema: said.schema.map_or_else(|| ByteString::from_static("{}"), |json| json.get().into()),
            strict: said.strict,
        },
        ("json_object", _) => Format::Json,
        ("text", _) => Format::Text,
        _ => return Err(wrong("response_format")),
    })
}

/// The effort that a field asks for.
pub(super) fn effort(json: &str, field: &str) -> Result<Thinking, Fault> {
    let name: Cow<'_, str> = typed(json, field)?;
    match Effort::from_name(&name) {
        _ if name == "none" => Ok(Thinking::Off),
        Some(effort) => Ok(Thinking::Effort(effort)),
        None => Err(wrong(field)),
    }
}

/// `reasoning` as OpenRouter has it: `effort`, `max_tokens`, `enabled`.
fn reasoning(json: &str) -> Result<Option<Thinking>, Fault> {
    #[derive(Deserialize)]
    struct Reasoning<'a> {
        #[serde(borrow)]
        effort: Option<&'a RawValue>,
        max_tokens: Option<u64>,
        enabled: Option<bool>,
    }
    let said: Reasoning<'_> = typed(json, "reasoning")?;
    Ok(match said {
        Reasoning { max_tokens: Some(tokens), .. } => Some(Thinking::Budget(tokens)),
        Reasoning { effort: Some(json), .. } => Some(effort(json.get(), "reasoning")?),
        Reasoning { enabled: Some(true), .. } => Some(Thinking::Auto),
        Reasoning { enabled: Some(false), .. } => Some(Thinking::Off),
        _ => None,
    })
}

/// Writes the wishes of a chat of another dialect.
pub(crate) fn write(o: &mut Object<'_>, wishes: &Settings, loss: &mut crate::carry::Loss) {
    o.number_if("max_completion_tokens", wishes.max_tokens);
    o.raw_if("temperature", wishes.temperature.as_deref());
    o.raw_if("top_p", wishes.top_p.as_deref());
    if wishes.top_k.is_some() {
        loss.hint("top_k");
    }
    if !wishes.stop.is_empty() {
        o.array("stop", |a| wishes.stop.iter().for_each(|stop| a.string(stop)));
    }
    o.raw_if("seed", wishes.seed.as_deref());
    o.number_if("n", wishes.choices.filter(|n| *n != 1));
    o.raw_if("presence_penalty", wishes.presence_penalty.as_deref());
    o.raw_if("frequency_penalty", wishes.frequency_penalty.as_deref());
    if let Some(alternatives) = wishes.logprobs {
        o.bool("logprobs", true).number_if("top_logprobs", Some(alternatives).filter(|n| *n > 0));
    }
    match &wishes.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => {
            o.string("tool_choice", "auto");
        }
        Some(ToolChoice::None) => {
            o.string("tool_choice", "none");
        }
        Some(ToolChoice::Any) => {
            o.string("tool_choice", "required");
        }
        Some(ToolChoice::Tool(name)) => {
            o.object("tool_choice", |o| {
                o.string("type", "function").object("function", |o| {
                    o.string("name", name);
                });
            });
        }
    }
    if let Some(parallel) = wishes.parallel_tools {
        o.bool("parallel_tool_calls", parallel);
    }
    match &wishes.format {
        None | Some(Format::Text) => {}
        Some(Format::Json) => {
            o.object("response_format", |o| {
                o.string("type", "json_object");
            });
        }
        Some(Format::Schema { name, description, schema, strict }) => {
            o.object("response_format", |o| {
                o.string("type", "json_schema").object("json_schema", |o| {
                    o.string("name", name).string_if("description", description.as_deref());
                    o.raw("schema", schema);
                    if let Some(strict) = strict {
                        o.bool("strict", *strict);
                    }
                });
            });
        }
    }
    match wishes.thinking {
        None | Some(Thinking::Auto) => {}
        Some(Thinking::Off) => {
            o.string("reasoning_effort", "none");
        }
        Some(Thinking::Effort(effort)) => {
            o.string("reasoning_effort", effort.name());
        }
        Some(Thinking::Budget(tokens)) => {
            o.string("reasoning_effort", Effort::of_budget(tokens).name());
        }
    }
    o.string_if("user", wishes.user.as_deref());
    o.string_if("service_tier", wishes.service_tier.as_deref());
    wishes.lose_others(loss);
}
