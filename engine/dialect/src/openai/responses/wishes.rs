//! What the other fields of a request for a response mean.

use crate::fields::{number, text, typed, wrong};
use crate::openai::wishes::effort;
use crate::settings::{Format, Settings, ToolChoice};
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use weir_message::{Fault, Request};

/// Fields that have no name elsewhere, and whether the answer may mean something else without them.
const OTHERS: &[(&str, bool)] = &[
    ("access_programs", true),
    ("background", true),
    ("context_management", false),
    ("conversation", true),
    ("image", true),
    ("max_tool_calls", false),
    ("metadata", false),
    ("moderation", true),
    ("previous_response_id", true),
    ("prompt", true),
    ("prompt_cache_key", false),
    ("prompt_cache_options", false),
    ("prompt_cache_retention", false),
    ("store", false),
    ("truncation", false),
];

/// Reads the wishes of a decoded request.
pub(super) fn read(request: &Request) -> Result<Settings, Fault> {
    let mut out = Settings::default();
    for param in &request.params.0 {
        let json = &param.json;
        if &**json == "null" {
            continue;
        }
        match &*param.name {
            "max_output_tokens" => out.max_tokens = Some(typed(json, "max_output_tokens")?),
            "temperature" => out.temperature = Some(number(json, "temperature")?),
            "top_p" => out.top_p = Some(number(json, "top_p")?),
            "tool_choice" => tool_choice(json, &mut out)?,
            "parallel_tool_calls" => out.parallel_tools = Some(typed(json, "parallel_tool_calls")?),
            "text" => words(json, &mut out)?,
            "reasoning" => reasoning(json, &mut out)?,
            "user" | "safety_identifier" => out.user = Some(text(json, &param.name)?),
            "service_tier" => out.service_tier = Some(text(json, "service_tier")?),
            // What it does by default.
            "background" if &**json == "false" => {}
            "truncation" if text(json, "truncation")? == "disabled" => {}
            // Replies that are written anew tell none.
            "top_logprobs" if typed::<u64>(json, "top_logprobs")? > 0 => out.others.push(("logprobs", true)),
            "top_logprobs" => {}
            "include" => include(json, &mut out)?,
            // How deltas are padded.
            "stream_options" => {}
            name => match OTHERS.iter().find(|other| other.0 == name) {
                Some(other) => out.others.push(*other),
                None => out.others.push(("unknown fields", false)),
            },
        }
    }
    Ok(out)
}

/// What a client wants to see besides. What seals reasoning is told wherever a provider tells it.
fn include(json: &str, out: &mut Settings) -> Result<(), Fault> {
    let names: Vec<Cow<'_, str>> = typed(json, "include")?;
    for name in names {
        match &*name {
            "reasoning.encrypted_content" => {}
            "message.output_text.logprobs" => out.others.push(("logprobs", true)),
            _ => out.others.push(("include", false)),
        }
    }
    Ok(())
}

fn tool_choice(json: &str, out: &mut Settings) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
    }
    if let Ok(word) = serde_json::from_str::<Cow<'_, str>>(json) {
        out.tool_choice = Some(match &*word {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Any,
            _ => return Err(wrong("tool_choice")),
        });
        return Ok(());
    }
    let choice: Choice<'_> = typed(json, "tool_choice")?;
    match (&*choice.kind, choice.name) {
        ("function" | "custom", Some(name)) => {
            out.tool_choice = Some(ToolChoice::Tool(name.into_owned().into()));
        }
        ("function" | "custom", None) => return Err(wrong("tool_choice")),
        // One of the provider's own, or a choice among some.
        _ => out.others.push(("tool_choice", true)),
    }
    Ok(())
}

/// `text`: the form of the answer, and how many words to make.
fn words(json: &str, out: &mut Settings) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        format: Option<Wanted<'a>>,
        #[serde(borrow)]
        verbosity: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
        #[serde(borrow)]
        description: Option<Cow<'a, str>>,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
        strict: Option<bool>,
    }
    let said: Said<'_> = typed(json, "text")?;
    if said.verbosity.is_some() {
        out.others.push(("verbosity", false));
    }
    let Some(wanted) = said.format else { return Ok(()) };
    out.format = Some(match (&*wanted.kind, wanted.schema) {
        ("json_schema", Some(schema)) => Format::Schema {
            name: wanted.name.map_or(ByteString::from_static("answer"), |name| name.into_owned().into()),
            description: wanted.description.map(|text| text.into_owned().into()),
            schema: schema.get().into(),
            strict: wanted.strict,
        },
        ("json_object", _) => Format::Json,
        ("text", _) => Format::Text,
        _ => return Err(wrong("text.format")),
    });
    Ok(())
}

fn reasoning(json: &str, out: &mut Settings) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        effort: Option<&'a RawValue>,
    }
    let said: Said<'_> = typed(json, "reasoning")?;
    // Summaries are told wherever a provider tells its reasoning.
    if let Some(json) = said.effort {
        out.thinking = Some(effort(json.get(), "reasoning.effort")?);
    }
    Ok(())
}
