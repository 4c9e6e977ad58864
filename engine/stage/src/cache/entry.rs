//! What caches keep: which replies, and when a kept one may be used.

use crate::guard::pii::placeholders;
use http::{HeaderValue, header};
use std::time::Duration;
use weir_message::{Dialect, Finish, Operation, Part, Reply, Request};
use weir_pipeline::{CacheSaid, Exchange};
use weir_state::CachedReply;

/// Which replies are kept, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) ttl: Duration,
    /// The largest reply kept, in bytes.
    pub(crate) max_entry: usize,
    /// Whether replies that call tools are kept.
    pub(crate) tool_calls: bool,
}

impl Rules {
    /// Why a reply is not kept: only what ended normally is.
    pub(crate) fn refuse(&self, reply: &Reply, operation: Operation) -> Option<&'static str> {
        if reply.status != 200 {
            return Some("the reply is an error");
        }
        if reply.cached {
            return Some("the reply comes from a cache below");
        }
        if reply.raw.len() > self.max_entry {
            return Some("the reply is larger than max_entry");
        }
        if matches!(operation, Operation::Embedding | Operation::Rerank | Operation::Moderation) {
            return None;
        }
        if operation == Operation::Image {
            return Some("images are made anew each time");
        }
        if reply.choices().is_empty() {
            return Some("the reply holds no answer");
        }
        for choice in reply.choices() {
            match choice.finish {
                Some(Finish::Stop) => {}
                Some(Finish::ToolCalls) if self.tool_calls => {}
                Some(Finish::ToolCalls) => return Some("the reply calls tools"),
                Some(Finish::Length) => return Some("the reply was cut at its token limit"),
                Some(Finish::ContentFilter) => return Some("a content filter stopped the reply"),
                Some(Finish::Paused | Finish::Other) | None => return Some("the reply did not end normally"),
            }
            let mut says = false;
            for part in &choice.parts {
                match part {
                    Part::Refusal(_) => return Some("the model refused"),
                    Part::Text(text) => says |= !text.as_str().trim().is_empty(),
                    Part::ToolCall(_) => says = true,
                    Part::Media(_) => says = true,
                    Part::Other { kind, .. } if &**kind == "audio" => return Some("the reply is spoken"),
                    Part::Reasoning(_)
                    | Part::Sealed(_)
                    | Part::ToolResult(_)
                    | Part::Citation(_)
                    | Part::CachePoint(_)
                    | Part::Other { .. } => {}
                }
            }
            if !says {
                return Some("the reply is empty");
            }
        }
        None
    }
}

/// A reply as it is kept: as it was at the cache's place, without a provider's headers.
pub(crate) fn kept(reply: &Reply, dialect: Dialect, operation: Operation) -> Result<Reply, String> {
    let mut kept = Reply::new(reply.status, reply.outgoing());
    kept.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(weir_dialect::JSON));
    weir_dialect::decode_reply(&mut kept, dialect, operation).map_err(|fault| fault.message.to_string())?;
    kept.usage = kept.usage.or(reply.usage);
    Ok(kept)
}

/// What an entry weighs, in bytes.
pub(crate) fn weight(reply: &Reply, question: &str) -> usize {
    let mut texts = 0;
    reply.each_text(|at| texts += at.text.value.len());
    reply.raw.len() + texts + question.len() + 512
}

/// Whether an entry may answer this request: young enough, and of placeholders it holds only such as this request made.
pub(crate) fn usable(entry: &CachedReply, x: &Exchange, max_age: Option<Duration>) -> bool {
    let age = x.now().saturating_sub(entry.stored);
    max_age.is_none_or(|most| age <= most) && knows_placeholders(&entry.reply, &x.request)
}

fn knows_placeholders(reply: &Reply, request: &Request) -> bool {
    let mut unknown = Vec::new();
    reply.each_text(|at| {
        for range in placeholders(at.text.as_str()) {
            unknown.extend(at.text.as_str().get(range).map(str::to_ascii_uppercase));
        }
    });
    if !unknown.is_empty() {
        request.each_text(|at| {
            for range in placeholders(at.text.as_str()) {
                let found = at.text.as_str().get(range).unwrap_or_default();
                unknown.retain(|one| !one.eq_ignore_ascii_case(found));
            }
        });
    }
    unknown.is_empty()
}

/// The reply of an entry, as it goes out.
pub(crate) fn answer(entry: &CachedReply, now: Duration) -> Box<Reply> {
    let mut reply = Box::new(entry.reply.clone());
    reply.cached = true;
    let age = now.saturating_sub(entry.stored).as_secs();
    reply.headers.insert(header::AGE, HeaderValue::from(age));
    reply
}

/// Notes what a cache said. Of several caches the one that knew most is heard.
pub(crate) fn said(x: &mut Exchange, said: CacheSaid) {
    let rank = |said: CacheSaid| match said {
        CacheSaid::Bypass => 0,
        CacheSaid::Miss => 1,
        CacheSaid::Hit => 2,
    };
    if x.cache.is_none_or(|before| rank(said) >= rank(before)) {
        x.cache = Some(said);
    }
}

/// How alike two answers are in their words, from 0 to 1 (Dice's coefficient over sets of words).
pub(crate) fn likeness(one: &str, other: &str) -> f64 {
    if one == other {
        return 1.0;
    }
    let words = |text: &str| -> ahash::AHashSet<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let (one, other) = (words(one), words(other));
    let all = one.len() + other.len();
    #[allow(clippy::cast_precision_loss, reason = "counts of words")]
    let share = |part: usize| if all == 0 { 1.0 } else { 2.0 * part as f64 / all as f64 };
    share(one.intersection(&other).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        let mut reply = Reply::new(status, body.to_owned());
        if status == 200 {
            weir_dialect::decode_reply(&mut reply, Dialect::OpenAi, Operation::Chat).unwrap();
        }
        reply
    }

    fn chat(message: &str, finish: &str) -> Reply {
        reply(
            200,
            &format!(
                r#"{{"id":"c","choices":[{{"index":0,"message":{message},"finish_reason":"{finish}"}}]}}"#
            ),
        )
    }

    #[test]
    fn keeps_only_what_ended_normally() {
        let says = r#"{"role":"assistant","content":"yes"}"#;
        let calls = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
        let refuses = r#"{"role":"assistant","content":null,"refusal":"no"}"#;
        let empty = r#"{"role":"assistant","content":""}"#;
        for (reply, with_tools, without) in [
            (chat(says, "stop"), true, true),
            (chat(calls, "tool_calls"), true, false),
            (chat(says, "length"), false, false),
            (chat(says, "content_filter"), false, false),
            (chat(refuses, "stop"), false, false),
            (chat(empty, "stop"), false, false),
            (reply(500, r#"{"error":{"message":"x"}}"#), false, false),
        ] {
            let rules = Rules { ttl: Duration::from_secs(1), max_entry: 10_000, tool_calls: true };
            assert_eq!(rules.refuse(&reply, Operation::Chat).is_none(), with_tools, "{:?}", reply.raw);
            let rules = Rules { tool_calls: false, ..rules };
            assert_eq!(rules.refuse(&reply, Operation::Chat).is_none(), without, "{:?}", reply.raw);
            let rules = Rules { max_entry: 10, ..rules };
            assert!(rules.refuse(&reply, Operation::Chat).is_some());
        }
    }

    #[test]
    fn an_unknown_placeholder_makes_an_entry_useless() {
        let mut request = Request::new("id", Dialect::OpenAi, Operation::Chat, "/v1/chat/completions");
        request.raw =
            br#"{"model":"m","messages":[{"role":"user","content":"mail <EMAIL_1>"}]}"#.as_slice().into();
        weir_dialect::decode(&mut request).unwrap();
        for (content, known) in [
            ("done", true),
            ("mailed <EMAIL_1>", true),
            ("mailed <email_1>", true),
            ("mailed <EMAIL_2>", false),
        ] {
            let reply = chat(&format!(r#"{{"role":"assistant","content":"{content}"}}"#), "stop");
            assert_eq!(knows_placeholders(&reply, &request), known, "{content}");
        }
    }

    #[test]
    fn likeness_goes_from_none_to_all() {
        assert_eq!(likeness("Paris.", "Paris."), 1.0);
        assert_eq!(likeness("It is Paris", "it is paris!"), 1.0);
        assert_eq!(likeness("yes", "no"), 0.0);
        assert!((0.4..0.8).contains(&likeness("It is Paris", "It is Rome")));
    }
}
