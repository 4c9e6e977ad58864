//! What the fields of Cohere's requests mean (docs.cohere.com/reference: chat, embed), and those fields written.

use crate::carry::Loss;
use crate::compose::Object;
use crate::fields::{number, text, texts, typed, wrong};
use crate::settings::{Format, Settings, Thinking, ToolChoice};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use weir_message::{Fault, Operation, Request, Tool};

/// Fields that other dialects have no name for, and whether the answer may mean something else without them.
const OTHERS: &[(&str, bool)] =
    &[("citation_options", false), ("priority", false), ("raw_prompting", true), ("truncate", false)];

/// Reads the wishes of a decoded request.
pub(crate) fn read(request: &Request) -> Result<Settings, Fault> {
    let mut out = Settings::default();
    if request.operation == Operation::Rerank {
        // Its fields have no meaning but in their own shape.
        return Ok(out);
    }
    for param in &request.params.0 {
        let json = &param.json;
        if &**json == "null" {
            continue;
        }
        match &*param.name {
            "max_tokens" => out.max_tokens = Some(typed(json, "max_tokens")?),
            "temperature" => out.temperature = Some(number(json, "temperature")?),
            "p" => out.top_p = Some(number(json, "p")?),
            "k" => out.top_k = Some(typed(json, "k")?).filter(|k| *k > 0),
            "stop_sequences" => out.stop = texts(json, "stop_sequences")?,
            "seed" => out.seed = Some(number(json, "seed")?),
            "presence_penalty" => out.presence_penalty = Some(number(json, "presence_penalty")?),
            "frequency_penalty" => out.frequency_penalty = Some(number(json, "frequency_penalty")?),
            "logprobs" => out.logprobs = typed::<bool>(json, "logprobs")?.then_some(0),
            "tool_choice" => out.tool_choice = Some(tool_choice(json)?),
            "response_format" => out.format = Some(format(json)?),
            "thinking" => out.thinking = Some(thinking(json)?),
            "safety_mode" => match &*text(json, "safety_mode")? {
                "STRICT" => out.others.push(("safety_mode", true)),
                "CONTEXTUAL" => {}
                _ => out.others.push(("safety_mode", false)),
            },
            "output_dimension" => out.dimensions = Some(typed(json, "output_dimension")?),
            "input_type" => out.input_type = Some(text(json, "input_type")?),
            "embedding_types" => {
                let is_other = |kind: &bytestring::ByteString| &**kind != "float";
                if texts(json, "embedding_types")?.iter().any(is_other) {
                    out.others.push(("embedding_types", true));
                }
            }
            // It stands with each tool.
            "strict_tools" => {}
            name => match OTHERS.iter().find(|other| other.0 == name) {
                Some(other) => out.others.push(*other),
                None => out.others.push(("unknown fields", false)),
            },
        }
    }
    Ok(out)
}

fn tool_choice(json: &str) -> Result<ToolChoice, Fault> {
    match &*text(json, "tool_choice")? {
        "REQUIRED" => Ok(ToolChoice::Any),
        "NONE" => Ok(ToolChoice::None),
        _ => Err(wrong("tool_choice")),
    }
}

fn format(json: &str) -> Result<Format, Fault> {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow, alias = "schema")]
        json_schema: Option<&'a RawValue>,
    }
    let wanted: Wanted<'_> = typed(json, "response_format")?;
    Ok(match (&*wanted.kind, wanted.json_schema) {
        ("json_object", Some(schema)) => Format::Schema {
            name: "answer".into(),
            description: None,
            schema: schema.get().into(),
            strict: Some(true),
        },
        ("json_object", None) => Format::Json,
        ("text", _) => Format::Text,
        _ => return Err(wrong("response_format")),
    })
}

fn thinking(json: &str) -> Result<Thinking, Fault> {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        token_budget: Option<u64>,
    }
    let wanted: Wanted<'_> = typed(json, "thinking")?;
    Ok(match (&*wanted.kind, wanted.token_budget) {
        ("disabled", _) => Thinking::Off,
        ("enabled", None) => Thinking::Auto,
        ("enabled", Some(tokens)) => Thinking::Budget(tokens),
        _ => return Err(wrong("thinking")),
    })
}

/// Writes the wishes of a chat of another dialect, but for the choice of a tool, which goes with the tools.
pub(crate) fn write(o: &mut Object<'_>, wishes: &Settings, tools: &[Tool], loss: &mut Loss) {
    o.number_if("max_tokens", wishes.max_tokens);
    o.raw_if("temperature", wishes.temperature.as_deref());
    o.raw_if("p", wishes.top_p.as_deref());
    o.number_if("k", wishes.top_k);
    if !wishes.stop.is_empty() {
        o.array("stop_sequences", |a| wishes.stop.iter().for_each(|stop| a.string(stop)));
    }
    o.raw_if("seed", wishes.seed.as_deref());
    o.raw_if("presence_penalty", wishes.presence_penalty.as_deref());
    o.raw_if("frequency_penalty", wishes.frequency_penalty.as_deref());
    match &wishes.format {
        None | Some(Format::Text) => {}
        Some(Format::Json) => {
            o.object("response_format", |o| {
                o.string("type", "json_object");
            });
        }
        Some(Format::Schema { schema, .. }) => {
            o.object("response_format", |o| {
                o.string("type", "json_object").raw("json_schema", schema);
            });
        }
    }
    let budget = match wishes.thinking {
        Some(Thinking::Effort(effort)) => Some(effort.budget()),
        Some(Thinking::Budget(tokens)) => Some(tokens),
        _ => None,
    };
    if let Some(thinking) = wishes.thinking {
        let is_off = thinking == Thinking::Off;
        o.object("thinking", |o| {
            o.string("type", if is_off { "disabled" } else { "enabled" }).number_if("token_budget", budget);
        });
    }
    if wishes.choices.is_some_and(|n| n != 1) {
        loss.matters("n");
    }
    wishes.lose_single_calls(tools, loss);
    if wishes.logprobs.is_some() {
        loss.matters("logprobs");
    }
    if wishes.user.is_some() {
        loss.hint("user");
    }
    if wishes.service_tier.is_some() {
        loss.hint("service_tier");
    }
    others(wishes, loss);
}

/// What has no name here.
pub(crate) fn others(wishes: &Settings, loss: &mut Loss) {
    for (name, matters) in &wishes.others {
        if *matters { loss.matters(name) } else { loss.hint(name) }
    }
}
