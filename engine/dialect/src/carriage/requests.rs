//! Features of requests.

use super::{Fate, RESPONSES, label, responses};
use crate::carry::Loss;
use crate::settings::{Effort, Format, Settings, Thinking, ToolChoice};
use crate::wire::wire;
use crate::{WireFormat, decode, outgoing};
use weir_message::{
    Body, CachePoint, Chat, Dialect, Media, MediaKind, Message, Part, Reasoning, Request, Role, Source, Text,
    TextForm, Tool, ToolCall, ToolKind, ToolResult,
};

/// A feature: put into a conversation, and looked for in what arrives.
struct Feature {
    name: &'static str,
    add: fn(&mut Chat, &mut Settings),
    arrives: fn(&Chat, &Settings) -> bool,
    /// Whether it arrives in another form.
    emulated: fn(&Chat, &Settings) -> bool,
}

const NEVER: fn(&Chat, &Settings) -> bool = |_, _| false;

pub(super) fn names() -> Vec<&'static str> {
    FEATURES.iter().map(|feature| feature.name).collect()
}

/// What becomes of a feature on its way from one format to another.
pub(super) fn fate(n: usize, from: WireFormat, to: WireFormat) -> Fate {
    let feature = &FEATURES[n];
    let Some(request) = written(feature, from) else { return Fate::Unsaid };
    let way = format!("{} {} → {}", feature.name, label(from), label(to));
    let out =
        outgoing(&request, to, model(to.dialect), false).unwrap_or_else(|fault| panic!("{way}: {fault:?}"));
    let arrived = read(to, &out.body);
    let settings = wire(to.dialect).unwrap().settings(&arrived).unwrap();
    let chat = arrived.chat().unwrap();
    match (out.dropped.iter().any(|lost| lost.matters), out.dropped.is_empty()) {
        (true, _) => Fate::Refused,
        _ if (feature.arrives)(chat, &settings) => Fate::Carried,
        _ if (feature.emulated)(chat, &settings) => Fate::Emulated,
        (false, false) => Fate::Dropped,
        (false, true) => Fate::Lost,
    }
}

/// The model asked. Bedrock takes what the model behind it takes.
fn model(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Bedrock { "anthropic.claude-sonnet-4-5-20250929-v1:0" } else { "m" }
}

/// A request with the feature in a client's format; `None` if it has no word for it.
fn written(feature: &Feature, format: WireFormat) -> Option<Request> {
    let wire = wire(format.dialect)?;
    let bytes = match format {
        RESPONSES => responses::body(feature.name)?,
        _ => {
            let mut chat = Chat { messages: vec![turn(Role::User, vec![words("hello")])], ..Chat::default() };
            let mut settings = Settings::default();
            (feature.add)(&mut chat, &mut settings);
            let mut neutral = Request::new("r", format.dialect, format.operation, "");
            neutral.body = Body::Chat(chat);
            let mut loss = Loss::default();
            let bytes = wire.encode(&neutral, &settings, model(format.dialect), &mut loss).ok()?;
            if !loss.list().is_empty() {
                return None;
            }
            bytes
        }
    };
    let request = read(format, &bytes);
    let settings = wire.settings(&request).unwrap();
    let arrives = (feature.arrives)(request.chat().unwrap(), &settings);
    // What has no name here is refused by its own.
    let is_said = arrives || format == RESPONSES && !settings.others.is_empty();
    assert!(is_said || format != RESPONSES, "{} is not read", feature.name);
    is_said.then_some(request)
}

/// A request as a client of the format sends it.
fn read(format: WireFormat, body: &bytes::Bytes) -> Request {
    let path = match format.dialect {
        _ if format == RESPONSES => "/v1/responses",
        Dialect::OpenAi | Dialect::Native => "/v1/chat/completions",
        Dialect::Anthropic => "/v1/messages",
        Dialect::Gemini => "/gemini/v1beta/models/m:generateContent",
        Dialect::Bedrock => "/bedrock/model/m/converse",
        Dialect::Cohere => "/cohere/v2/chat",
    };
    let mut request = Request::new("r", format.dialect, format.operation, path);
    request.raw = body.clone();
    decode(&mut request)
        .unwrap_or_else(|fault| panic!("{}: {fault:?}: {}", label(format), String::from_utf8_lossy(body)));
    request
}

fn words(text: &'static str) -> Part {
    Part::Text(Text::added(text))
}

fn turn(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

fn media(kind: MediaKind, source: Source, media_type: &'static str) -> Part {
    Part::Media(Media {
        kind,
        source,
        media_type: Some(media_type.into()),
        name: None,
        detail: None,
        cite: false,
    })
}

fn tool() -> Tool {
    Tool {
        kind: ToolKind::Function,
        name: "look".into(),
        description: Some("Looks.".into()),
        schema: Some(SCHEMA.into()),
        strict: None,
        raw: "".into(),
        cache: None,
    }
}

pub(super) const SCHEMA: &str = r#"{"type":"object","properties":{"who":{"type":"string"}},"required":["who"],"additionalProperties":false}"#;

fn call(id: &'static str, who: &'static str) -> Part {
    let arguments = Text { form: TextForm::Json, ..Text::added(format!(r#"{{"who":"{who}"}}"#)) };
    Part::ToolCall(ToolCall { id: id.into(), name: "look".into(), arguments, signature: None })
}

fn result(id: &'static str, parts: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { call: id.into(), parts, is_error })
}

fn offer(chat: &mut Chat) {
    chat.tools.push(tool());
}

fn ask_and_answer(chat: &mut Chat, calls: Vec<Part>, results: Vec<Part>) {
    offer(chat);
    chat.messages.push(turn(Role::Assistant, calls));
    chat.messages.push(turn(Role::Tool, results));
}

fn parts(chat: &Chat) -> impl Iterator<Item = &Part> {
    chat.messages.iter().flat_map(|message| &message.parts)
}

fn calls(chat: &Chat) -> Vec<String> {
    let said = |part: &Part| match part {
        Part::ToolCall(call) => Some(call.arguments.as_str().replace(' ', "")),
        _ => None,
    };
    parts(chat).filter_map(said).collect()
}

fn results(chat: &Chat) -> Vec<&ToolResult> {
    let mut found = Vec::new();
    for part in parts(chat) {
        if let Part::ToolResult(result) = part {
            found.push(result);
        }
    }
    found
}

fn has_media(chat: &Chat, kind: MediaKind) -> bool {
    parts(chat).any(|part| matches!(part, Part::Media(media) if media.kind == kind))
}

fn reasons(chat: &Chat) -> Option<&Reasoning> {
    parts(chat).find_map(|part| match part {
        Part::Reasoning(reasoning) => Some(reasoning),
        _ => None,
    })
}

fn says(chat: &Chat, text: &str) -> bool {
    chat.messages.iter().any(|message| message.text().contains(text))
}

/// A picture of one pixel.
pub(super) const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

macro_rules! features {
    ($($name:literal: |$chat:ident, $settings:ident| $add:block, $arrives:expr $(, else $emulated:expr)?;)+) => {
        const FEATURES: &[Feature] = &[$(Feature {
            name: $name,
            add: |$chat, $settings| { let _ = (&$chat, &$settings); $add },
            arrives: $arrives,
            emulated: { #[allow(unused_mut, unused_assignments)] let mut emulated = NEVER; $(emulated = $emulated;)? emulated },
        },)+];
    };
}

features! {
    "system prompt": |chat, settings| { chat.messages.insert(0, turn(Role::System, vec![words("be brief")])) },
        |chat, _| chat.messages.first().is_some_and(|m| matches!(m.role, Role::System | Role::Developer) && m.text() == "be brief");
    "several turns": |chat, settings| {
        chat.messages.push(turn(Role::Assistant, vec![words("one")]));
        chat.messages.push(turn(Role::User, vec![words("two")]));
    }, |chat, _| says(chat, "one") && chat.messages.len() >= 3;
    "several texts in a turn": |chat, settings| { chat.messages[0].parts.push(words("there")) },
        |chat, _| says(chat, "hello") && says(chat, "there");
    "image by address": |chat, settings| {
        chat.messages[0].parts.push(media(MediaKind::Image, Source::Url("https://example.com/a.png".into()), "image/png"));
    }, |chat, _| has_media(chat, MediaKind::Image);
    "image inside": |chat, settings| {
        chat.messages[0].parts.push(media(MediaKind::Image, Source::Base64(PIXEL.into()), "image/png"));
    }, |chat, _| parts(chat).any(|part| matches!(part, Part::Media(Media { source: Source::Base64(data), .. }) if *data == *PIXEL));
    "document inside": |chat, settings| {
        chat.messages[0].parts.push(media(MediaKind::Document, Source::Base64("JVBERi0=".into()), "application/pdf"));
    }, |chat, _| has_media(chat, MediaKind::Document);
    "sound inside": |chat, settings| {
        chat.messages[0].parts.push(media(MediaKind::Audio, Source::Base64("UklGRg==".into()), "audio/wav"));
    }, |chat, _| has_media(chat, MediaKind::Audio);
    "tools": |chat, settings| { offer(chat) },
        |chat, _| chat.tools.iter().any(|tool| *tool.name == *"look" && tool.schema.as_ref().is_some_and(|schema| schema.contains("who")));
    "tool choice: none": |chat, settings| { offer(chat); settings.tool_choice = Some(ToolChoice::None) },
        |_, settings| settings.tool_choice == Some(ToolChoice::None), else |chat, _| chat.tools.is_empty();
    "tool choice: any": |chat, settings| { offer(chat); settings.tool_choice = Some(ToolChoice::Any) },
        |_, settings| settings.tool_choice == Some(ToolChoice::Any);
    "tool choice: one by name": |chat, settings| {
        offer(chat);
        chat.tools.push(Tool { name: "other".into(), ..tool() });
        settings.tool_choice = Some(ToolChoice::Tool("look".into()));
    }, |_, settings| settings.tool_choice == Some(ToolChoice::Tool("look".into())),
        // One must be called, and it is the only one offered.
        else |chat, settings| chat.tools.len() == 1 && settings.tool_choice == Some(ToolChoice::Any);
    "no parallel calls": |chat, settings| { offer(chat); settings.parallel_tools = Some(false) },
        |_, settings| settings.parallel_tools == Some(false);
    "tool calls and results": |chat, settings| {
        ask_and_answer(chat, vec![call("c1", "bob")], vec![result("c1", vec![words("tall")], false)]);
    }, |chat, _| calls(chat) == [r#"{"who":"bob"}"#] && results(chat).len() == 1 && says(chat, "tall");
    "parallel calls and results": |chat, settings| {
        let results = vec![result("c1", vec![words("tall")], false), result("c2", vec![words("small")], false)];
        ask_and_answer(chat, vec![call("c1", "bob"), call("c2", "eve")], results);
    }, |chat, _| calls(chat) == [r#"{"who":"bob"}"#, r#"{"who":"eve"}"#] && results(chat).len() == 2;
    "a tool that failed": |chat, settings| {
        ask_and_answer(chat, vec![call("c1", "bob")], vec![result("c1", vec![words("no such one")], true)]);
    }, |chat, _| results(chat).first().is_some_and(|result| result.is_error), else |chat, _| says(chat, "no such one");
    "image in a tool's result": |chat, settings| {
        let image = media(MediaKind::Image, Source::Base64(PIXEL.into()), "image/png");
        ask_and_answer(chat, vec![call("c1", "bob")], vec![result("c1", vec![words("see"), image], false)]);
    }, |chat, _| results(chat).first().is_some_and(|result| result.parts.iter().any(|part| matches!(part, Part::Media(_)))),
        // Beside the result, in the same turn.
        else |chat, _| has_media(chat, MediaKind::Image);
    "any JSON as the answer": |chat, settings| { settings.format = Some(Format::Json) },
        |_, settings| settings.format == Some(Format::Json),
        // A tool that must be called takes it.
        else |chat, settings| {
            chat.tools.len() == 1 && matches!(settings.tool_choice, Some(ToolChoice::Any | ToolChoice::Tool(_)))
        };
    "JSON by a schema as the answer": |chat, settings| {
        settings.format = Some(Format::Schema { name: "who".into(), description: None, schema: SCHEMA.into(), strict: Some(true) });
    }, |_, settings| matches!(&settings.format, Some(Format::Schema { schema, .. }) if schema.contains("who")),
        else |chat, _| chat.tools.iter().any(|tool| tool.schema.as_ref().is_some_and(|schema| schema.contains("who")));
    "reasoning: effort": |chat, settings| { settings.thinking = Some(Thinking::Effort(Effort::High)) },
        |_, settings| settings.thinking == Some(Thinking::Effort(Effort::High)),
        else |_, settings| matches!(settings.thinking, Some(Thinking::Budget(_) | Thinking::Auto));
    "reasoning: tokens": |chat, settings| { settings.thinking = Some(Thinking::Budget(8192)); settings.max_tokens = Some(20_000) },
        |_, settings| settings.thinking == Some(Thinking::Budget(8192)),
        else |_, settings| matches!(settings.thinking, Some(Thinking::Effort(_) | Thinking::Auto));
    "reasoning of earlier turns, signed": |chat, settings| {
        let reasoning = Reasoning { text: Text::added("hm"), signature: Some("c2ln".into()) };
        chat.messages.push(turn(Role::Assistant, vec![Part::Reasoning(reasoning), words("one")]));
        chat.messages.push(turn(Role::User, vec![words("two")]));
    }, |chat, _| reasons(chat).is_some_and(|reasoning| reasoning.signature.is_some());
    "cache hint": |chat, settings| { chat.messages[0].parts.push(Part::CachePoint(CachePoint::default())) },
        |chat, _| parts(chat).any(|part| matches!(part, Part::CachePoint(_)));
    "most tokens": |chat, settings| { settings.max_tokens = Some(77) }, |_, settings| settings.max_tokens == Some(77);
    "temperature": |chat, settings| { settings.temperature = Some("0.5".into()) },
        |_, settings| settings.temperature.as_deref() == Some("0.5");
    "top_p": |chat, settings| { settings.top_p = Some("0.5".into()) }, |_, settings| settings.top_p.as_deref() == Some("0.5");
    "top_k": |chat, settings| { settings.top_k = Some(7) }, |_, settings| settings.top_k == Some(7);
    "stop sequences": |chat, settings| { settings.stop = vec!["END".into()] },
        |_, settings| settings.stop.iter().any(|stop| **stop == *"END");
    "seed": |chat, settings| { settings.seed = Some("7".into()) }, |_, settings| settings.seed.as_deref() == Some("7");
    "several answers": |chat, settings| { settings.choices = Some(2) }, |_, settings| settings.choices == Some(2);
    "penalties": |chat, settings| { settings.presence_penalty = Some("0.5".into()) },
        |_, settings| settings.presence_penalty.as_deref() == Some("0.5");
    "log-probabilities": |chat, settings| { settings.logprobs = Some(2) }, |_, settings| settings.logprobs.is_some();
    "end user": |chat, settings| { settings.user = Some("u1".into()) }, |_, settings| settings.user.as_deref() == Some("u1");
    "service tier": |chat, settings| { settings.service_tier = Some("auto".into()) }, |_, settings| settings.service_tier.is_some();
}
