//! What the fields of Anthropic's requests mean (platform.claude.com/docs/en/api/messages), and what no other API would take.

use crate::fields::{is_base64, number, text, typed, wrong};
use crate::settings::{Effort, Format, Settings, Thinking, ToolChoice};
use bytestring::ByteString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use weir_message::{Chat, ErrorCode, Fault, Media, Part, Request, Role, Source};

/// Fields that other dialects have no name for, and whether the answer may mean something else without them.
const OTHERS: &[(&str, bool)] = &[
    ("cache_control", false),
    ("container", true),
    ("context_management", true),
    ("diagnostics", false),
    ("fallbacks", false),
    ("inference_geo", true),
    ("mcp_servers", true),
    ("speed", false),
    ("user_profile_id", false),
];

/// Reads the wishes of a decoded request, on its way to another dialect.
pub(crate) fn read(request: &Request) -> Result<Settings, Fault> {
    let mut out = Settings::default();
    let mut effort = None;
    for param in &request.params.0 {
        let json = &param.json;
        if &**json == "null" {
            continue;
        }
        match &*param.name {
            "max_tokens" => out.max_tokens = Some(typed(json, "max_tokens")?),
            "temperature" => out.temperature = Some(number(json, "temperature")?),
            "top_p" => out.top_p = Some(number(json, "top_p")?),
            "top_k" => out.top_k = Some(typed(json, "top_k")?),
            "stop_sequences" => {
                let stops: Vec<String> = typed(json, "stop_sequences")?;
                out.stop = stops.into_iter().map(ByteString::from).collect();
            }
            "tool_choice" => tool_choice(json, &mut out)?,
            "thinking" => out.thinking = Some(thinking(json)?),
            "output_config" => {
                let said: OutputConfig<'_> = typed(json, "output_config")?;
                effort = said
                    .effort
                    .map(|name| Effort::from_name(&name).ok_or(wrong("output_config")))
                    .transpose()?;
                out.format = said.format.map(|json| format(json.get(), "output_config")).transpose()?;
            }
            // The place that `output_config.format` had at first.
            "output_format" => out.format = Some(format(json, "output_format")?),
            "metadata" => {
                let said: Metadata = typed(json, "metadata")?;
                out.user = said.user_id.map(ByteString::from);
            }
            "service_tier" => {
                let said = text(json, "service_tier")?;
                out.service_tier = Some(if said == "standard_only" { "default".into() } else { said });
            }
            name => match OTHERS.iter().find(|other| other.0 == name) {
                Some(other) => out.others.push(*other),
                None => out.others.push(("unknown fields", false)),
            },
        }
    }
    match (out.thinking, effort) {
        (None | Some(Thinking::Auto), Some(effort)) => out.thinking = Some(Thinking::Effort(effort)),
        (Some(_), Some(_)) => out.others.push(("output_config.effort", false)),
        (_, None) => {}
    }
    if let Some(chat) = request.chat() {
        tools(chat, &mut out)?;
        check(chat)?;
    }
    Ok(out)
}

fn tool_choice(json: &str, out: &mut Settings) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        name: Option<String>,
        disable_parallel_tool_use: Option<bool>,
    }
    let said: Choice<'_> = typed(json, "tool_choice")?;
    out.tool_choice = Some(match (&*said.kind, said.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Any,
        ("none", _) => ToolChoice::None,
        ("tool", Some(name)) => ToolChoice::Tool(name.into()),
        _ => return Err(wrong("tool_choice")),
    });
    out.parallel_tools = said.disable_parallel_tool_use.map(|is_off| !is_off);
    Ok(())
}

fn thinking(json: &str) -> Result<Thinking, Fault> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        budget_tokens: Option<u64>,
    }
    let said: Said<'_> = typed(json, "thinking")?;
    match (&*said.kind, said.budget_tokens) {
        ("enabled", Some(tokens)) => Ok(Thinking::Budget(tokens)),
        ("disabled", _) => Ok(Thinking::Off),
        ("adaptive" | "between_tools", _) => Ok(Thinking::Auto),
        _ => Err(wrong("thinking")),
    }
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    effort: Option<Cow<'a, str>>,
    #[serde(borrow)]
    format: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata {
    user_id: Option<String>,
}

fn format(json: &str, field: &str) -> Result<Format, Fault> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
    }
    let said: Said<'_> = typed(json, field)?;
    match (&*said.kind, said.schema) {
        ("json_schema", Some(schema)) => Ok(Format::Schema {
            name: ByteString::from_static("answer"),
            description: None,
            schema: schema.get().into(),
            strict: Some(true),
        }),
        _ => Err(wrong(field)),
    }
}

/// What tools say that no other dialect has a name for.
fn tools(chat: &Chat, out: &mut Settings) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Said {
        input_examples: Option<IgnoredAny>,
        defer_loading: Option<bool>,
        allowed_callers: Option<Vec<String>>,
    }
    for tool in &chat.tools {
        let said: Said = typed(&tool.raw, "tools")?;
        if said.input_examples.is_some() {
            out.others.push(("input_examples", false));
        }
        if said.defer_loading == Some(true) {
            out.others.push(("defer_loading", false));
        }
        if said.allowed_callers.is_some_and(|callers| callers.iter().all(|caller| caller != "direct")) {
            out.others.push(("allowed_callers", true));
        }
    }
    Ok(())
}

/// Refuses what Anthropic would refuse too: the target's words for it would be those of another API.
fn check(chat: &Chat) -> Result<(), Fault> {
    let mut calls: HashSet<&str> = HashSet::new();
    // The field `system` is the first turn; others stand one place earlier in the client's array.
    let standing = chat.messages.first().is_some_and(|message| message.role == Role::System);
    for (n, message) in chat.messages.iter().enumerate() {
        let n = n.saturating_sub(usize::from(standing));
        for part in &message.parts {
            match part {
                Part::ToolCall(call) => {
                    calls.insert(&call.id);
                }
                Part::ToolResult(result) => {
                    if !calls.contains(&*result.call) {
                        return Err(bad(n, "has a `tool_result` for no `tool_use` in front of it"));
                    }
                    check_media(&result.parts, n)?;
                }
                _ => {}
            }
        }
        check_media(&message.parts, n)?;
    }
    Ok(())
}

fn check_media(parts: &[Part], n: usize) -> Result<(), Fault> {
    let is_bad = |part: &Part| match part {
        Part::Media(Media { source: Source::Base64(data), .. }) => !is_base64(data),
        _ => false,
    };
    if parts.iter().any(is_bad) { Err(bad(n, "has data that is not Base64")) } else { Ok(()) }
}

fn bad(n: usize, what: &str) -> Fault {
    let field = format!("messages[{n}].content");
    Fault::new(ErrorCode::BadRequest, format!("`{field}` {what}")).param(field)
}
