//! Requests of other dialects in Converse's words.

use super::family::{Family, Model};
use super::turns::Writer;
use crate::anthropic::ANSWER;
use crate::anthropic::request::{Thought, Tools, of_object};
use crate::anthropic::turns::Turns;
use crate::carry::Loss;
use crate::compose::{Object, object};
use crate::settings::{Effort, Format, Settings, Thinking, ToolChoice};
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{Chat, ErrorCode, Fault, Operation, Part, Request, Tool, ToolKind};

/// The schema of a tool that has none.
const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// The body.
pub(super) fn encode(
    request: &Request,
    settings: &Settings,
    model: &str,
    loss: &mut Loss,
) -> Result<Bytes, Fault> {
    let Some(chat) = request.chat() else {
        let message = format!("{} requests have no form in this target's dialect", request.operation);
        return Err(Fault::new(ErrorCode::Unsupported, message));
    };
    let model = Model::of(model);
    let turns = Turns::of(chat, model.abilities, loss)?;
    let tools = Tools::of(chat, settings, model.abilities, loss);
    if request.operation == Operation::Count {
        return Ok(Bytes::from(object(|o| {
            o.object("input", |o| {
                o.object("converse", |o| {
                    Writer::new(model, loss).write(o, &turns);
                    ToolConfig::of(&tools, chat, settings, model, loss).write(o, model, loss);
                });
            });
        })));
    }
    let max_tokens = settings.max_tokens.unwrap_or(model.abilities.usual_max_tokens);
    let thought = match model.family {
        Family::Claude => Thought::of(settings, model.abilities, &tools, &turns, max_tokens, loss),
        _ => Thought::default(),
    };
    Ok(Bytes::from(object(|o| {
        Writer::new(model, loss).write(o, &turns);
        let config = ToolConfig::of(&tools, chat, settings, model, loss);
        config.write(o, model, loss);
        inference(o, settings, model, &thought, loss);
        output(o, settings, &tools);
        additional(o, settings, model, &thought, &config, loss);
        others(o, settings, loss);
    })))
}

/// The tools, and which of them to call where.
struct ToolConfig<'t> {
    tools: &'t Tools<'t>,
    own: Vec<&'t Tool>,
    /// Whether any is written.
    is_there: bool,
    /// `toolChoice`.
    choice: Option<ToolChoice>,
    /// What Claude is told of its choice beside it: not to call any, or not several at once.
    beside: Option<(&'static str, bool)>,
}

impl<'t> ToolConfig<'t> {
    fn of(tools: &'t Tools<'t>, chat: &Chat, settings: &Settings, model: Model, loss: &mut Loss) -> Self {
        let mut out = Self { tools, own: Vec::new(), is_there: true, choice: None, beside: None };
        for tool in tools.own {
            match tool.kind {
                ToolKind::Function => out.own.push(tool),
                ToolKind::Custom => loss.matters("custom tools"),
                ToolKind::Provider => loss.matters("provider tools"),
            }
        }
        let is_used = |part: &Part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_));
        let has_calls = chat.messages.iter().flat_map(|turn| &turn.parts).any(is_used);
        match &tools.choice {
            // Tools that must not be called need not be known, unless turns speak of them.
            Some(ToolChoice::None) if !has_calls => out.is_there = false,
            Some(ToolChoice::None) if model.is_claude() => out.beside = Some(("none", false)),
            // Nobody offered any: they are those of earlier turns.
            Some(ToolChoice::None) if out.own.is_empty() => loss.hint("tool_choice"),
            Some(ToolChoice::None) => loss.matters("tool_choice"),
            choice => out.choice.clone_from(choice),
        }
        out.is_there &= !(out.own.is_empty() && tools.earlier.is_empty() && tools.answer.is_none());
        if tools.one_at_a_time && out.is_there && out.beside.is_none() {
            match model.family {
                Family::Claude => {
                    let kind = match &out.choice {
                        Some(ToolChoice::Any) => "any",
                        Some(ToolChoice::Tool(_)) => "tool",
                        _ => "auto",
                    };
                    out.beside = Some((kind, true));
                }
                // One that takes the answer is called once.
                _ if tools.answer.is_some() => {}
                _ => settings.lose_single_calls(&chat.tools, loss),
            }
        }
        out
    }

    fn write(&self, o: &mut Object<'_>, model: Model, loss: &mut Loss) {
        if !self.is_there {
            return;
        }
        o.object("toolConfig", |o| {
            o.array("tools", |a| {
                for tool in &self.own {
                    a.object(|o| {
                        o.object("toolSpec", |o| specification(o, tool, model, loss));
                    });
                    if let Some(mark) = &tool.cache {
                        Writer::new(model, loss).mark(a, mark);
                    }
                }
                let more = self.tools.earlier.iter().map(|name| (*name, None, ANY_OBJECT));
                let answer = self.tools.answer.iter().map(|(how, schema)| (ANSWER, Some(&**how), &**schema));
                for (name, how, schema) in more.chain(answer) {
                    a.object(|o| {
                        o.object("toolSpec", |o| {
                            o.string("name", name).string_if("description", how);
                            o.object("inputSchema", |o| {
                                o.raw("json", schema);
                            });
                        });
                    });
                }
            });
            // Told beside, it is not told here.
            let choice = self.choice.as_ref().filter(|_| self.beside.is_none());
            if let Some(choice) = choice {
                o.object("toolChoice", |o| match choice {
                    ToolChoice::Any => {
                        o.object("any", |_| {});
                    }
                    ToolChoice::Tool(name) => {
                        o.object("tool", |o| {
                            o.string("name", name);
                        });
                    }
                    ToolChoice::Auto | ToolChoice::None => {
                        o.object("auto", |_| {});
                    }
                });
            }
        });
    }
}

fn specification(o: &mut Object<'_>, tool: &Tool, model: Model, loss: &mut Loss) {
    // A description must say something.
    let description = tool.description.as_deref().filter(|text| !text.trim().is_empty());
    o.string("name", &tool.name).string_if("description", description);
    let any = ByteString::from_static(ANY_OBJECT);
    let schema = of_object(tool.schema.as_ref().unwrap_or(&any)).unwrap_or(any);
    o.object("inputSchema", |o| {
        o.raw("json", &schema);
    });
    match tool.strict {
        Some(true) if model.abilities.schemas => {
            o.bool("strict", true);
        }
        Some(true) => loss.hint("strict"),
        _ => {}
    }
}

/// `inferenceConfig`.
fn inference(o: &mut Object<'_>, settings: &Settings, model: Model, thought: &Thought, loss: &mut Loss) {
    // Claude thinks within a limit that must be told.
    let needed = thought.budget.map(|_| model.abilities.usual_max_tokens);
    let max_tokens = settings.max_tokens.or(needed);
    let (temperature, top_p) = sampling(settings, model, thought, loss);
    let says = |stop: &&ByteString| !stop.trim().is_empty();
    if settings.stop.iter().any(|stop| !says(&stop)) {
        // A stop sequence must have something to see.
        loss.matters("stop");
    }
    let stops: Vec<&ByteString> = settings.stop.iter().filter(says).collect();
    if max_tokens.is_none() && temperature.is_none() && top_p.is_none() && stops.is_empty() {
        return;
    }
    o.object("inferenceConfig", |o| {
        o.number_if("maxTokens", max_tokens);
        o.raw_if("temperature", temperature).raw_if("topP", top_p);
        if !stops.is_empty() {
            o.array("stopSequences", |a| stops.iter().for_each(|stop| a.string(stop)));
        }
    });
}

/// Temperature and share. Temperatures end at 1 here; Claude is told neither while it thinks, and its newer ones never.
fn sampling<'s>(
    settings: &'s Settings,
    model: Model,
    thought: &Thought,
    loss: &mut Loss,
) -> (Option<&'s str>, Option<&'s str>) {
    let value = |spelt: &str| spelt.parse::<f64>().unwrap_or(1.0);
    let is_told = !model.is_claude() || (model.abilities.sampling && !thought.thinks());
    let mut temperature = settings.temperature.as_deref();
    if let Some(spelt) = temperature {
        if !is_told {
            if (value(spelt) - 1.0).abs() > f64::EPSILON {
                loss.hint("temperature");
            }
            temperature = None;
        } else if value(spelt) > 1.0 {
            loss.hint("temperature");
            temperature = Some("1");
        }
    }
    let mut top_p = settings.top_p.as_deref();
    if top_p.is_some() && (!is_told || (model.is_claude() && temperature.is_some())) {
        loss.hint("top_p");
        top_p = None;
    }
    (temperature, top_p)
}

/// `outputConfig`: an answer by a schema, where the model takes one.
fn output(o: &mut Object<'_>, settings: &Settings, tools: &Tools<'_>) {
    let (Some(schema), Some(Format::Schema { name, description, .. })) = (&tools.native, &settings.format)
    else {
        return;
    };
    o.object("outputConfig", |o| {
        o.object("textFormat", |o| {
            o.string("type", "json_schema").object("structure", |o| {
                o.object("jsonSchema", |o| {
                    o.string("schema", schema).string("name", name);
                    o.string_if("description", description.as_deref());
                });
            });
        });
    });
}

/// `additionalModelRequestFields`: what the model takes under the names of its maker.
fn additional(
    o: &mut Object<'_>,
    settings: &Settings,
    model: Model,
    thought: &Thought,
    config: &ToolConfig<'_>,
    loss: &mut Loss,
) {
    let fields = object(|o| {
        match model.family {
            Family::Claude => {
                thought.write(o, None);
                if let Some((kind, is_single)) = config.beside {
                    o.object("tool_choice", |o| {
                        o.string("type", kind);
                        if let Some(ToolChoice::Tool(name)) =
                            config.choice.as_ref().filter(|_| kind == "tool")
                        {
                            o.string("name", name);
                        }
                        if is_single {
                            o.bool("disable_parallel_tool_use", true);
                        }
                    });
                }
            }
            Family::Gpt => {
                if let Some(name) = effort(settings).map(Effort::name) {
                    o.string("reasoning_effort", name);
                }
            }
            Family::Nova => match (settings.thinking, effort(settings)) {
                (Some(Thinking::Off), _) => reasoning_config(o, "disabled", None),
                (Some(_), effort) => {
                    let name = match effort.unwrap_or(Effort::Medium) {
                        Effort::Minimal | Effort::Low => "low",
                        Effort::Medium => "medium",
                        Effort::High | Effort::Max => "high",
                    };
                    reasoning_config(o, "enabled", Some(name));
                }
                (None, _) => {}
            },
            Family::Other if settings.thinking.is_some_and(|wish| wish != Thinking::Off) => {
                loss.hint("reasoning_effort");
            }
            Family::Other => {}
        }
        if let Some(top_k) = settings.top_k {
            match model.family {
                Family::Claude if model.abilities.sampling && !thought.thinks() => {
                    o.number("top_k", top_k);
                }
                Family::Nova => {
                    o.object("inferenceConfig", |o| {
                        o.number("topK", top_k);
                    });
                }
                Family::Claude | Family::Gpt | Family::Other => loss.hint("top_k"),
            }
        }
        match (&settings.user, model.family) {
            (Some(user), Family::Claude) => {
                o.object("metadata", |o| {
                    o.string("user_id", user);
                });
            }
            (Some(_), _) => loss.hint("user"),
            (None, _) => {}
        }
    });
    if fields != b"{}" {
        o.raw("additionalModelRequestFields", std::str::from_utf8(&fields).unwrap_or("{}"));
    }
}

fn reasoning_config(o: &mut Object<'_>, kind: &str, effort: Option<&str>) {
    o.object("reasoningConfig", |o| {
        o.string("type", kind).string_if("maxReasoningEffort", effort);
    });
}

/// How much to reason, where that is told in degrees.
fn effort(settings: &Settings) -> Option<Effort> {
    match settings.thinking? {
        Thinking::Effort(effort) => Some(effort),
        Thinking::Budget(tokens) => Some(Effort::of_budget(tokens)),
        Thinking::Auto | Thinking::Off => None,
    }
}

/// The other wishes.
fn others(o: &mut Object<'_>, settings: &Settings, loss: &mut Loss) {
    match settings.service_tier.as_deref() {
        None => {}
        Some("auto" | "standard") => tier(o, "default"),
        Some(named @ ("default" | "priority" | "flex" | "reserved")) => tier(o, named),
        Some(_) => loss.hint("service_tier"),
    }
    settings.lose_sampling(loss);
    settings.lose_others(loss);
}

fn tier(o: &mut Object<'_>, name: &str) {
    o.object("serviceTier", |o| {
        o.string("type", name);
    });
}
