//! What the fields of Converse requests mean.

use crate::fields::{is_base64, typed, wrong};
use crate::settings::{Effort, Format, Settings, Thinking, ToolChoice};
use bytestring::ByteString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use weir_message::{Chat, ErrorCode, Fault, Media, Part, Request, Role, Source};

/// Fields that other dialects have no name for, and whether the answer may mean something else without them.
const OTHERS: &[(&str, bool)] = &[
    ("additionalModelResponseFieldPaths", false),
    ("guardrailConfig", true),
    ("projectIdentifier", false),
    ("promptVariables", true),
];

/// Reads the wishes of a decoded request, on its way to another dialect.
pub(super) fn read(request: &Request) -> Result<Settings, Fault> {
    let mut out = Settings::default();
    for param in &request.params.0 {
        let json = &param.json;
        if &**json == "null" {
            continue;
        }
        match &*param.name {
            "inferenceConfig" => inference(json, &mut out)?,
            "toolConfig" => {
                // What a model is told of it under its maker's name goes before.
                let said = tool_choice(json)?;
                out.tool_choice = out.tool_choice.take().or(said);
            }
            "outputConfig" => output(json, &mut out)?,
            "additionalModelRequestFields" => additional(json, &mut out)?,
            "serviceTier" => {
                let said: Typed<'_> = typed(json, "serviceTier")?;
                out.service_tier = Some(said.kind.into_owned().into());
            }
            "performanceConfig" => {
                let said: Performance<'_> = typed(json, "performanceConfig")?;
                if said.latency.is_some_and(|latency| latency == "optimized") {
                    out.others.push(("performanceConfig", false));
                }
            }
            "requestMetadata" => out.others.push(("metadata", false)),
            name => match OTHERS.iter().find(|other| other.0 == name) {
                Some(other) => out.others.push(*other),
                None => out.others.push(("unknown fields", false)),
            },
        }
    }
    if let Some(chat) = request.chat() {
        check(chat)?;
    }
    Ok(out)
}

/// `{"type":…}`.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Performance<'a> {
    #[serde(borrow, default)]
    latency: Option<Cow<'a, str>>,
}

fn inference(json: &str, out: &mut Settings) -> Result<(), Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Said<'a> {
        #[serde(default)]
        max_tokens: Option<u64>,
        #[serde(borrow, default)]
        temperature: Option<&'a RawValue>,
        #[serde(borrow, default)]
        top_p: Option<&'a RawValue>,
        #[serde(default)]
        stop_sequences: Option<Vec<String>>,
        #[serde(borrow, flatten)]
        more: BTreeMap<Cow<'a, str>, IgnoredAny>,
    }
    const FIELD: &str = "inferenceConfig";
    let said: Said<'_> = typed(json, FIELD)?;
    if !said.more.is_empty() {
        out.others.push(("unknown fields", false));
    }
    out.max_tokens = said.max_tokens;
    out.temperature = said.temperature.map(|json| number(json, FIELD)).transpose()?;
    out.top_p = said.top_p.map(|json| number(json, FIELD)).transpose()?;
    out.stop = said.stop_sequences.unwrap_or_default().into_iter().map(ByteString::from).collect();
    Ok(())
}

/// A number, as spelt.
fn number(json: &RawValue, field: &str) -> Result<ByteString, Fault> {
    typed::<f64>(json.get(), field).map(|_| json.get().into())
}

fn tool_choice(json: &str) -> Result<Option<ToolChoice>, Fault> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Choice {
        auto: Option<IgnoredAny>,
        any: Option<IgnoredAny>,
        tool: Option<Named>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Said {
        tool_choice: Option<Choice>,
    }
    let said: Said = typed(json, "toolConfig")?;
    Ok(match said.tool_choice {
        None => None,
        Some(Choice { tool: Some(Named { name }), .. }) => Some(ToolChoice::Tool(name.into())),
        Some(Choice { any: Some(_), .. }) => Some(ToolChoice::Any),
        Some(Choice { auto: Some(_), .. }) => Some(ToolChoice::Auto),
        Some(_) => return Err(wrong("toolConfig")),
    })
}

fn output(json: &str, out: &mut Settings) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Schema {
        /// The schema, JSON in a string.
        schema: String,
        name: Option<String>,
        description: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Structure {
        json_schema: Schema,
    }
    #[derive(Deserialize)]
    struct TextFormat {
        structure: Structure,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Said {
        text_format: Option<TextFormat>,
        effort: Option<String>,
    }
    const FIELD: &str = "outputConfig";
    let said: Said = typed(json, FIELD)?;
    if let Some(TextFormat { structure: Structure { json_schema } }) = said.text_format {
        typed::<IgnoredAny>(&json_schema.schema, FIELD)?;
        out.format = Some(Format::Schema {
            name: json_schema.name.unwrap_or_else(|| "answer".to_owned()).into(),
            description: json_schema.description.map(ByteString::from),
            schema: json_schema.schema.into(),
            strict: Some(true),
        });
    }
    if let Some(name) = said.effort {
        out.thinking = Some(effort(&name, FIELD)?);
    }
    Ok(())
}

fn effort(name: &str, field: &str) -> Result<Thinking, Fault> {
    match Effort::from_name(name) {
        Some(effort) => Ok(Thinking::Effort(effort)),
        None if name == "none" => Ok(Thinking::Off),
        None => Err(wrong(field)),
    }
}

/// What a model takes beyond what Converse has a field for, under the names of its maker.
fn additional(json: &str, out: &mut Settings) -> Result<(), Fault> {
    const FIELD: &str = "additionalModelRequestFields";
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = typed(json, FIELD)?;
    for (name, json) in fields {
        let json = json.get();
        match &*name {
            "top_k" | "topK" | "k" => out.top_k = Some(typed(json, FIELD)?),
            "inferenceConfig" => {
                #[derive(Deserialize)]
                struct Said {
                    #[serde(rename = "topK")]
                    top_k: Option<u64>,
                }
                out.top_k = typed::<Said>(json, FIELD)?.top_k.or(out.top_k);
            }
            "thinking" | "reasoning_config" | "reasoningConfig" => out.thinking = Some(thinking(json)?),
            "reasoning_effort" => out.thinking = Some(effort(&typed::<String>(json, FIELD)?, FIELD)?),
            "output_config" => {
                #[derive(Deserialize)]
                struct Said {
                    effort: Option<String>,
                }
                if let Some(name) = typed::<Said>(json, FIELD)?.effort {
                    out.thinking = Some(effort(&name, FIELD)?);
                }
            }
            "tool_choice" => {
                #[derive(Deserialize)]
                struct Said<'a> {
                    #[serde(borrow, default, rename = "type")]
                    kind: Option<Cow<'a, str>>,
                    name: Option<String>,
                    disable_parallel_tool_use: Option<bool>,
                }
                let said: Said<'_> = typed(json, FIELD)?;
                out.parallel_tools = said.disable_parallel_tool_use.map(|is_off| !is_off);
                out.tool_choice = match (said.kind.as_deref(), said.name) {
                    (Some("none"), _) => Some(ToolChoice::None),
                    (Some("auto"), _) => Some(ToolChoice::Auto),
                    (Some("any"), _) => Some(ToolChoice::Any),
                    (Some("tool"), Some(name)) => Some(ToolChoice::Tool(name.into())),
                    (None, _) => out.tool_choice.take(),
                    _ => return Err(wrong(FIELD)),
                };
            }
            "metadata" => {
                #[derive(Deserialize)]
                struct Said {
                    user_id: Option<String>,
                }
                out.user = typed::<Said>(json, FIELD)?.user_id.map(ByteString::from);
            }
            "anthropic_beta" => out.others.push(("anthropic_beta", false)),
            _ => out.others.push((FIELD, true)),
        }
    }
    Ok(())
}

/// `thinking` of Claude, `reasoningConfig` of Nova.
fn thinking(json: &str) -> Result<Thinking, Fault> {
    const FIELD: &str = "additionalModelRequestFields";
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        budget_tokens: Option<u64>,
        #[serde(rename = "maxReasoningEffort")]
        effort: Option<String>,
    }
    let said: Said<'_> = typed(json, FIELD)?;
    match (&*said.kind, said.budget_tokens, said.effort) {
        ("disabled", ..) => Ok(Thinking::Off),
        ("enabled", Some(tokens), _) => Ok(Thinking::Budget(tokens)),
        ("enabled", None, Some(name)) => effort(&name, FIELD),
        ("enabled" | "adaptive" | "between_tools", None, None) => Ok(Thinking::Auto),
        _ => Err(wrong(FIELD)),
    }
}

/// Refuses what Bedrock would refuse too: the target's words for it would be those of another API.
fn check(chat: &Chat) -> Result<(), Fault> {
    let mut calls: HashSet<&str> = HashSet::new();
    // Instructions stand in a field of their own.
    let turns = chat.messages.iter().filter(|turn| turn.role != Role::System);
    for (n, turn) in turns.enumerate() {
        for part in &turn.parts {
            match part {
                Part::ToolCall(call) => {
                    calls.insert(&call.id);
                }
                Part::ToolResult(result) if !calls.contains(&*result.call) => {
                    return Err(bad(n, "has a `toolResult` for no `toolUse` in front of it"));
                }
                Part::ToolResult(result) => check_media(&result.parts, n)?,
                _ => {}
            }
        }
        check_media(&turn.parts, n)?;
    }
    Ok(())
}

fn check_media(parts: &[Part], n: usize) -> Result<(), Fault> {
    let is_bad = |part: &Part| match part {
        Part::Media(Media { source: Source::Base64(data), .. }) => !is_base64(data),
        _ => false,
    };
    if parts.iter().any(is_bad) { Err(bad(n, "has `bytes` that are not Base64")) } else { Ok(()) }
}

fn bad(n: usize, what: &str) -> Fault {
    let field = format!("messages[{n}].content");
    Fault::new(ErrorCode::BadRequest, format!("`{field}` {what}")).param(field)
}
