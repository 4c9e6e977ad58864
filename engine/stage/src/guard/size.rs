//! Requests and replies that are larger than a policy allows: 413 `body-too-large`.
//!
//! It counts what it is told to: bytes of the body and of its texts, turns, parts, tools, levels of JSON; of replies the bytes of
//! their texts, also while they stream: what comes over the limit is not sent, and the provider is let go.
//!
//! ```yaml
//! - guard: size
//!   with: { body: 256 KiB, messages: 100, tools: 32, depth: 16, reply: 64 KiB }
//! ```

use super::action::{Action, Judged, both};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::units::ByteSize;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::{Denial, ErrorCode, Event, Part, Request};
use weir_pipeline::{
    CONTINUE, Declares, Flow, Hook, Needs, Notes, READABLE_OPERATIONS, Stage, StreamStage, StreamVerdict,
    Streaming, Verdict, Visit, Workbench,
};
use weir_policy::StageDecl;

/// The settings of `guard: size`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The most bytes of a request's body, as it came.
    body: Option<ByteSize>,
    /// The most bytes of all its texts together.
    text: Option<ByteSize>,
    /// The most bytes of one of its texts.
    longest_text: Option<ByteSize>,
    /// The most turns of a conversation, or inputs of another request.
    messages: Option<u64>,
    /// The most parts of one turn.
    parts: Option<u64>,
    /// The most tools that it offers.
    tools: Option<u64>,
    /// How deep objects and lists may lie in one another in its body.
    depth: Option<u64>,
    /// The most bytes of all texts of a reply.
    reply: Option<ByteSize>,
    /// What is done with what is larger.
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let bytes = |limit: Option<ByteSize>| limit.map(|limit| limit.0);
    let requests = [
        bytes(settings.body),
        bytes(settings.text),
        bytes(settings.longest_text),
        settings.messages,
        settings.parts,
        settings.tools,
        settings.depth,
    ];
    if requests.iter().all(Option::is_none) && settings.reply.is_none() {
        let found = Diagnostic::new(Code::BadValue, "the guard limits nothing").at(decl.span);
        bench.diagnostics.push(found.help("say how large what may be, such as `body: 256 KiB`"));
        return None;
    }
    let before = bench.diagnostics.len();
    let action = settings.then.action(&both(), settings.tag.clone(), |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    if bench.diagnostics.len() > before {
        return None;
    }
    let judges_request = requests.iter().any(Option::is_some);
    Some(Arc::new(Size { reply: bytes(settings.reply), settings, judges_request, action }))
}

struct Size {
    settings: Settings,
    judges_request: bool,
    reply: Option<u64>,
    action: Action,
}

/// Something that is larger than it may be.
struct Excess {
    what: &'static str,
    is: u64,
    most: u64,
}

impl Excess {
    fn over(what: &'static str, is: usize, most: Option<u64>) -> Option<Self> {
        let is = is as u64;
        most.filter(|most| is > *most).map(|most| Self { what, is, most })
    }

    fn denial(&self) -> Box<Denial> {
        let Self { what, is, most } = self;
        let message = format!("there are {is} {what}; at most {most} are allowed");
        Box::new(Denial::new(ErrorCode::BodyTooLarge, message))
    }
}

impl Size {
    fn excess(&self, request: &Request) -> Option<Excess> {
        let Settings { body, text, longest_text, messages, parts, tools, depth, .. } = &self.settings;
        let bytes = |limit: &Option<ByteSize>| limit.map(|limit| limit.0);
        let (mut all, mut longest, mut inputs) = (0, 0, 0);
        request.each_text(|at| {
            let len = at.text.as_str().len();
            all += len;
            longest = longest.max(len);
            inputs += usize::from(!at.is_beside());
        });
        let chat = request.chat();
        let turns = chat.map_or(inputs, |chat| chat.messages.len());
        let most_parts = request.messages().iter().map(|message| count(&message.parts)).max();
        Excess::over("bytes in the body", request.raw.len(), bytes(body))
            .or_else(|| Excess::over("bytes of text", all, bytes(text)))
            .or_else(|| Excess::over("bytes in one text", longest, bytes(longest_text)))
            .or_else(|| Excess::over("turns or inputs", turns, *messages))
            .or_else(|| Excess::over("parts in one turn", most_parts.unwrap_or(0), *parts))
            .or_else(|| Excess::over("tools", chat.map_or(0, |chat| chat.tools.len()), *tools))
            .or_else(|| {
                depth.and_then(|most| Excess::over("levels in the body", levels(&request.raw), Some(most)))
            })
    }
}

fn count(parts: &[Part]) -> usize {
    let inner = parts.iter().map(|part| match part {
        Part::ToolResult(result) => count(&result.parts),
        _ => 0,
    });
    parts.len() + inner.sum::<usize>()
}

/// How deep objects and lists lie in one another in a JSON text.
fn levels(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted) = (0usize, 0, false);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quoted => drop(bytes.next()),
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl Stage for Size {
    fn declares(&self) -> Declares {
        let reply = if self.reply.is_some() { Needs::REPLY | Needs::EVENTS } else { Needs::NONE };
        Declares {
            needs: if self.judges_request { Needs::BODY | reply } else { reply },
            streaming: if self.reply.is_some() { Streaming::Events } else { Streaming::None },
            judges_request: self.judges_request,
            only_judges: true,
            reads_reply: self.reply.is_some(),
            reads_operations: Some(READABLE_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.judges_request {
            return CONTINUE;
        }
        match self.excess(&visit.exchange.request) {
            None => CONTINUE,
            Some(excess) => Hook::Done(self.verdict(&excess, visit.notes)),
        }
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(reply) = &visit.exchange.reply else { return CONTINUE };
        let mut all = 0;
        reply.each_text(|at| all += at.text.as_str().len());
        match Excess::over("bytes of text in the reply", all, self.reply) {
            None => CONTINUE,
            Some(excess) => Hook::Done(self.verdict(&excess, visit.notes)),
        }
    }

    fn stream(&self, _visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        Some(Box::new(Counted { most: self.reply?, all: 0, action: self.action.clone() }))
    }
}

impl Size {
    fn verdict(&self, excess: &Excess, notes: &mut Notes) -> Verdict {
        notes.reason = Some(format!("there are more {} than the policy allows", excess.what));
        notes.fact("is", excess.is);
        notes.fact("most", excess.most);
        match &self.action {
            Action::Deny => return Verdict::Deny(excess.denial()),
            Action::Tag(tag) => notes.tag(tag),
            Action::Observe | Action::Replace(_) | Action::Rewrite => {}
        }
        Verdict::Continue
    }
}

/// The texts of a stream, counted as they pass.
struct Counted {
    most: u64,
    all: usize,
    action: Action,
}

impl StreamStage for Counted {
    fn event<'a>(&'a mut self, event: Event, out: &'a mut Vec<Event>) -> Flow<'a> {
        self.all += event.deltas.iter().map(|delta| delta.text.as_str().len()).sum::<usize>();
        let excess = Excess::over("bytes of text in the reply", self.all, Some(self.most));
        Flow::Done(match excess.filter(|_| self.action == Action::Deny) {
            Some(excess) => StreamVerdict::Deny(excess.denial()),
            None => {
                out.push(event);
                StreamVerdict::Continue
            }
        })
    }

    fn notes(&mut self, notes: &mut Notes) {
        notes.fact("reply_bytes", self.all);
        if self.all as u64 > self.most {
            notes.reason =
                Some("there are more bytes of text in the reply than the policy allows".to_owned());
            if let Action::Tag(tag) = &self.action {
                notes.tag(tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, refused, says, send, stream, user};
    use serde_json::{Value, json};
    use weir_message::Operation;

    fn chat(with: &str, body: &Value, reply: String) -> Went {
        send(&format!("{{ guard: size, with: {{ {with} }} }}"), Operation::Chat, body, reply)
    }

    #[test]
    fn levels_are_those_of_objects_and_lists() {
        for (json, want) in
            [("1", 0), ("{}", 1), (r#"{"a":[{"b":[]}],"c":{}}"#, 4), (r#"{"a":"[[[\"[["}"#, 1), ("}}[", 1)]
        {
            assert_eq!(levels(json.as_bytes()), want, "{json}");
        }
    }

    #[test]
    fn what_is_larger_than_allowed_is_refused_and_said() {
        let tool =
            json!({ "type": "function", "function": { "name": "look", "parameters": { "a": { "b": {} } } } });
        let mut body = user("four words are here");
        body["messages"] = json!([
            { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
            { "role": "user", "content": "four words are here" }
        ]);
        body["tools"] = json!([tool, tool]);
        for (with, message) in [
            ("body: 10 B", "bytes in the body; at most 10"),
            ("text: 20 B", "bytes of text; at most 20"),
            ("longest_text: 18 B", "there are 19 bytes in one text; at most 18"),
            ("messages: 1", "there are 2 turns or inputs; at most 1"),
            ("parts: 1", "there are 2 parts in one turn; at most 1"),
            ("tools: 1", "there are 2 tools; at most 1"),
            ("depth: 5", "levels in the body; at most 5"),
        ] {
            let went = chat(with, &body, says("ok"));
            assert_eq!((went.status, went.sent.is_none()), (413, true), "{with}: {}", went.body);
            assert!(
                went.body.contains(message) && went.body.contains("body-too-large"),
                "{with}: {}",
                went.body
            );
        }
        let fits = "body: 4 KiB, text: 1 KiB, longest_text: 19 B, messages: 2, parts: 2, tools: 2, depth: 9, reply: 2 B";
        assert_eq!(chat(fits, &body, says("ok")).status, 200);
    }

    #[test]
    fn a_reply_that_grows_too_large_is_refused_or_cut() {
        assert_eq!(chat("reply: 4 B", &user("hi"), says("hello")).status, 413);
        let mut body = user("hi");
        body["stream"] = json!(true);
        let went =
            chat("reply: 4 B", &body, stream([json!({ "content": "hell" }), json!({ "content": "o" })]));
        assert!(!went.text().contains("hello") && went.body.contains("body-too-large"), "{}", went.body);
        assert!(!went.body.contains("[DONE]"), "{}", went.body);
        let went =
            chat("reply: 5 B", &body, stream([json!({ "content": "hell" }), json!({ "content": "o" })]));
        assert_eq!((went.text().as_str(), went.fact("reply_bytes")), ("hello", json!(5)));
    }

    #[test]
    fn what_is_larger_may_be_tagged_and_pass() {
        let with = "messages: 1, reply: 1 B, then: tag, tag: large";
        let mut body = user("hi");
        body["messages"] = json!([{ "role": "user", "content": "a" }, { "role": "user", "content": "b" }]);
        let went = chat(with, &body, says("ok"));
        assert_eq!((went.status, went.trace.tags.len(), went.fact("is")), (200, 1, json!(2)));
        let mut body = user("hi");
        body["stream"] = json!(true);
        let went = chat(with, &body, stream([json!({ "content": "he" }), json!({ "content": "llo" })]));
        assert_eq!((went.text().as_str(), went.trace.tags.len()), ("hello", 1));
    }

    #[test]
    fn a_guard_that_limits_nothing_is_refused() {
        assert!(refused("{ guard: size }").contains("limits nothing"));
    }
}
