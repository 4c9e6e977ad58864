//! Requests of other dialects in Anthropic's words (platform.claude.com/docs/en/api/messages).

use super::abilities::{Abilities, AsksThinking, StopsThinking};
use super::turns::{self, Turns};
use super::{ANSWER, schema};
use crate::carry::Loss;
use crate::compose::{Array, Object, object};
use crate::scan::{Next, Scan};
use crate::settings::{Effort, Format, Settings, Thinking, ToolChoice};
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{Chat, ErrorCode, Fault, Operation, Part, Request, Tool, ToolKind};

/// The fewest tokens of thinking that may be asked for.
const LEAST_BUDGET: u64 = 1024;

/// The body.
pub(crate) fn encode(
    request: &Request,
    settings: &Settings,
    model: &str,
    loss: &mut Loss,
) -> Result<Bytes, Fault> {
    let Some(chat) = request.chat() else {
        let message = format!("{} requests have no form in this target's dialect", request.operation);
        return Err(Fault::new(ErrorCode::Unsupported, message));
    };
    let abilities = Abilities::of(model);
    let turns = Turns::of(chat, abilities, loss)?;
    let tools = Tools::of(chat, settings, abilities, loss);
    let max_tokens = settings.max_tokens.unwrap_or(abilities.usual_max_tokens);
    let thought = Thought::of(settings, abilities, &tools, &turns, max_tokens, loss);
    let is_asked = request.operation == Operation::Chat;
    Ok(Bytes::from(object(|o| {
        o.string("model", model);
        if is_asked {
            o.number("max_tokens", max_tokens);
        }
        turns.write(o, loss);
        tools.write(o, loss);
        thought.write(o, tools.native.as_deref());
        if is_asked {
            wishes(o, settings, abilities, &thought, loss);
            if request.head.stream {
                o.bool("stream", true);
            }
        }
    })))
}

/// The tools and how they are used, an answer in a form included.
pub(crate) struct Tools<'a> {
    abilities: Abilities,
    pub(crate) own: &'a [Tool],
    /// Tools of earlier turns that are not offered now: the API wants to know them.
    pub(crate) earlier: Vec<&'a str>,
    /// The tool that takes an answer in a form: its description and schema.
    pub(crate) answer: Option<(String, ByteString)>,
    /// The schema of an answer where the model takes one.
    pub(crate) native: Option<String>,
    pub(crate) choice: Option<ToolChoice>,
    pub(crate) one_at_a_time: bool,
}

impl<'a> Tools<'a> {
    pub(crate) fn of(chat: &'a Chat, settings: &Settings, abilities: Abilities, loss: &mut Loss) -> Self {
        let mut out = Self {
            abilities,
            own: &chat.tools,
            earlier: Vec::new(),
            answer: None,
            native: None,
            choice: settings.tool_choice.clone(),
            one_at_a_time: settings.parallel_tools == Some(false),
        };
        let has_own = chat.tools.iter().any(|tool| tool.kind == ToolKind::Function);
        if !has_own {
            out.earlier = earlier(chat);
            out.choice = (!out.earlier.is_empty()).then_some(ToolChoice::None);
        }
        out.format(settings.format.as_ref(), has_own, loss);
        if out.is_forced() && !abilities.forced_tools {
            if out.answer.is_none() {
                loss.matters("tool_choice");
            }
            out.choice = Some(ToolChoice::Auto);
        }
        out
    }

    /// Whether the model is made to call a tool.
    fn is_forced(&self) -> bool {
        matches!(self.choice, Some(ToolChoice::Any | ToolChoice::Tool(_)))
    }

    /// An answer in a form: where the model takes no schema, or not this one, it calls a tool with it.
    fn format(&mut self, format: Option<&Format>, has_own: bool, loss: &mut Loss) {
        let (description, schema) = match format {
            None | Some(Format::Text) => return,
            Some(Format::Json) => (None, ByteString::from_static("{\"type\":\"object\"}")),
            Some(Format::Schema { description, schema, .. }) => {
                self.native = schema::closed(schema).filter(|_| self.abilities.schemas);
                (description.as_deref(), schema.clone())
            }
        };
        // A turn that must call one of the client's tools has no answer yet.
        if self.native.is_some() || (has_own && self.is_forced()) {
            return;
        }
        let Some(schema) = of_object(&schema) else { return loss.matters("response_format") };
        let how = "Gives the final answer: its input is the answer. Always answer by calling this tool.";
        let space = description.map_or("", |_| " ");
        self.answer = Some((format!("{how}{space}{}", description.unwrap_or("")), schema));
        match self.choice {
            None | Some(ToolChoice::Auto) if has_own => self.choice = Some(ToolChoice::Any),
            _ => {
                self.choice = Some(ToolChoice::Tool(ByteString::from_static(ANSWER)));
                self.one_at_a_time = true;
            }
        }
    }

    fn write(&self, o: &mut Object<'_>, loss: &mut Loss) {
        let is_known = |tool: &&Tool| tool.kind == ToolKind::Function;
        for tool in self.own.iter().filter(|tool| !is_known(tool)) {
            loss.matters(if tool.kind == ToolKind::Custom { "custom tools" } else { "provider tools" });
        }
        let mut own = self.own.iter().filter(is_known).peekable();
        if own.peek().is_none() && self.earlier.is_empty() && self.answer.is_none() {
            return;
        }
        o.array("tools", |a| {
            own.for_each(|tool| self.tool(a, tool, loss));
            for name in &self.earlier {
                a.object(|o| {
                    o.string("name", name).raw("input_schema", "{\"type\":\"object\"}");
                });
            }
            if let Some((description, schema)) = &self.answer {
                a.object(|o| {
                    o.string("name", ANSWER).string("description", description).raw("input_schema", schema);
                });
            }
        });
        let (kind, name) = match &self.choice {
            None if !self.one_at_a_time => return,
            None | Some(ToolChoice::Auto) => ("auto", None),
            Some(ToolChoice::None) => ("none", None),
            Some(ToolChoice::Any) => ("any", None),
            Some(ToolChoice::Tool(name)) => ("tool", Some(&**name)),
        };
        o.object("tool_choice", |o| {
            o.string("type", kind).string_if("name", name);
            if self.one_at_a_time && kind != "none" {
                o.bool("disable_parallel_tool_use", true);
            }
        });
    }

    fn tool(&self, a: &mut Array<'_>, tool: &Tool, loss: &mut Loss) {
        let empty = ByteString::from_static("{\"type\":\"object\"}");
        let given = tool.schema.as_ref().unwrap_or(&empty);
        let closed = schema::closed(given).filter(|_| self.abilities.schemas && tool.strict == Some(true));
        a.object(|o| {
            o.string("name", &tool.name).string_if("description", tool.description.as_deref());
            match (closed, of_object(given)) {
                (Some(closed), _) => {
                    o.raw("input_schema", &closed).bool("strict", true);
                }
                (None, schema) => {
                    if tool.strict == Some(true) {
                        loss.hint("strict");
                    }
                    o.raw("input_schema", &schema.unwrap_or(empty.clone()));
                }
            }
            turns::cache_control(o, tool.cache.as_ref());
        });
    }
}

/// The names of tools that turns call and that nobody offers.
fn earlier(chat: &Chat) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for part in chat.messages.iter().flat_map(|message| &message.parts) {
        if let Part::ToolCall(call) = part
            && !names.contains(&&*call.name)
        {
            names.push(&call.name);
        }
    }
    names
}

/// The schema if it is one of objects; one that does not say of what is.
pub(crate) fn of_object(schema: &ByteString) -> Option<ByteString> {
    let mut kind = None;
    let mut scan = Scan::all(schema).ok()?;
    let inside = scan.object(&["type"], |scan, name, _| {
        let next = scan.next()?;
        let at = scan.skip()?;
        if name == "type" {
            kind = Some(next == Next::String && scan.spelt(at) == "\"object\"");
        }
        Ok(())
    });
    let inside = inside.ok().and_then(|inside| schema.get(inside))?;
    match kind {
        Some(is_object) => is_object.then(|| schema.clone()),
        None if inside.trim().is_empty() => Some(ByteString::from_static("{\"type\":\"object\"}")),
        None => Some(format!("{{\"type\":\"object\",{inside}}}").into()),
    }
}

/// How the model is asked to think.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Thought {
    pub(crate) kind: Option<&'static str>,
    pub(crate) budget: Option<u64>,
    pub(crate) effort: Option<&'static str>,
}

impl Thought {
    pub(crate) fn of(
        settings: &Settings,
        abilities: Abilities,
        tools: &Tools<'_>,
        turns: &Turns<'_>,
        max_tokens: u64,
        loss: &mut Loss,
    ) -> Self {
        let off = match abilities.no_thinking {
            StopsThinking::Unasked | StopsThinking::Never => Self::default(),
            StopsThinking::Told(kind) => Self { kind: Some(kind), ..Self::default() },
        };
        let wish = match settings.thinking {
            None if tools.is_forced() => return off,
            None => return Self::default(),
            Some(Thinking::Off) if abilities.no_thinking == StopsThinking::Never => {
                loss.hint("reasoning_effort");
                return Self { effort: Some("low"), ..Self::default() };
            }
            Some(Thinking::Off) => return off,
            // A model that is made to call a tool cannot think first.
            Some(_) if tools.is_forced() => {
                loss.hint("reasoning_effort");
                return off;
            }
            Some(wish) => wish,
        };
        let budget = match (abilities.thinking, wish) {
            (AsksThinking::Effort(highest), wish) => {
                let effort = match wish {
                    Thinking::Effort(effort) => Some(effort),
                    Thinking::Budget(tokens) => Some(Effort::of_budget(tokens)),
                    Thinking::Auto | Thinking::Off => None,
                };
                let name = |effort| match effort {
                    Effort::Minimal | Effort::Low => "low",
                    Effort::Medium => "medium",
                    Effort::High => "high",
                    Effort::Max => highest,
                };
                return Self { kind: Some("adaptive"), budget: None, effort: effort.map(name) };
            }
            (AsksThinking::Budget, Thinking::Budget(tokens)) => tokens,
            (AsksThinking::Budget, Thinking::Effort(effort)) => effort.budget(),
            (AsksThinking::Budget, Thinking::Auto | Thinking::Off) => Effort::Medium.budget(),
        };
        // Thinking counts as output, and something must be left for the answer.
        let room = max_tokens.saturating_sub(1);
        if room < LEAST_BUDGET || turns.continues_unsigned() {
            loss.hint("reasoning_effort");
            return Self::default();
        }
        Self { kind: Some("enabled"), budget: Some(budget.clamp(LEAST_BUDGET, room)), effort: None }
    }

    pub(crate) fn thinks(&self) -> bool {
        matches!(self.kind, Some("enabled" | "adaptive"))
    }

    pub(crate) fn write(&self, o: &mut Object<'_>, schema: Option<&str>) {
        if let Some(kind) = self.kind {
            o.object("thinking", |o| {
                o.string("type", kind).number_if("budget_tokens", self.budget);
            });
        }
        if self.effort.is_some() || schema.is_some() {
            o.object("output_config", |o| {
                o.string_if("effort", self.effort);
                if let Some(schema) = schema {
                    o.object("format", |o| {
                        o.string("type", "json_schema").raw("schema", schema);
                    });
                }
            });
        }
    }
}

/// The other wishes.
fn wishes(o: &mut Object<'_>, settings: &Settings, abilities: Abilities, thought: &Thought, loss: &mut Loss) {
    sampling(o, settings, abilities, thought, loss);
    let says = |stop: &&ByteString| !stop.trim().is_empty();
    if settings.stop.iter().any(|stop| !says(&stop)) {
        // A stop sequence must have something to see.
        loss.matters("stop");
    }
    if settings.stop.iter().any(|stop| says(&stop)) {
        o.array("stop_sequences", |a| settings.stop.iter().filter(says).for_each(|stop| a.string(stop)));
    }
    if let Some(user) = &settings.user {
        o.object("metadata", |o| {
            o.string("user_id", user);
        });
    }
    match settings.service_tier.as_deref() {
        None => {}
        Some("auto" | "priority") => {
            o.string("service_tier", "auto");
        }
        Some("default" | "standard") => {
            o.string("service_tier", "standard_only");
        }
        Some(_) => loss.hint("service_tier"),
    }
    settings.lose_sampling(loss);
    settings.lose_others(loss);
}

/// How freely to choose. The API's temperatures end at 1; a model that thinks, and every newer one, is not told; and it is told
/// either the temperature or the share. What goes beyond is a hint, for the answer may still be had.
fn sampling(
    o: &mut Object<'_>,
    settings: &Settings,
    abilities: Abilities,
    thought: &Thought,
    loss: &mut Loss,
) {
    let mut is_told = false;
    if let Some(spelt) = settings.temperature.as_deref() {
        let value = number(spelt);
        if !abilities.sampling || thought.thinks() {
            if value != 1.0 {
                loss.hint("temperature");
            }
        } else if value > 1.0 {
            loss.hint("temperature");
            o.raw("temperature", "1");
            is_told = true;
        } else {
            o.raw("temperature", spelt);
            is_told = true;
        }
    }
    if let Some(spelt) = settings.top_p.as_deref() {
        let value = number(spelt);
        if value != 1.0 {
            if !abilities.sampling || is_told || (thought.thinks() && value < 0.95) {
                loss.hint("top_p");
            } else {
                o.raw("top_p", spelt);
            }
        }
    }
    if let Some(top_k) = settings.top_k {
        if !abilities.sampling || thought.thinks() {
            loss.hint("top_k");
        } else {
            o.number("top_k", top_k);
        }
    }
}

/// A number as spelt in JSON.
#[allow(clippy::float_cmp, reason = "defaults are compared as they are spelt")]
fn number(spelt: &str) -> f64 {
    spelt.parse().unwrap_or(1.0)
}
