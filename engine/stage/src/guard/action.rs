//! What guards do with what they find, and what they tell the trace of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use weir_message::{Denial, ErrorCode, TextAt, TextRole};
use weir_pipeline::Notes;

/// A way through the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// What the client sends.
    Request,
    /// What the model says, whole or streamed.
    Reply,
}

/// Both ways: what guards look at unless they say.
pub(crate) fn both() -> Vec<Side> {
    vec![Side::Request, Side::Reply]
}

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// System and developer prompts.
    System,
    /// What users say.
    User,
    /// What the model says, reasoning and refusals too.
    Assistant,
    /// What tools gave back.
    Tool,
    /// Arguments of tool calls.
    Arguments,
    /// Inputs to embed, prompts to complete, and fields that the client's API does not have.
    Input,
    /// Descriptions of tools and of the form of the answer.
    Definition,
    /// Other strings beside what is said: names, words of schemas, metadata.
    Field,
}

impl Role {
    /// Whether texts for this are read where `roles` are named: all if there are none.
    pub(crate) fn reads(roles: &[Role], role: TextRole) -> bool {
        let role = match role {
            TextRole::System => Role::System,
            TextRole::User => Role::User,
            TextRole::Assistant | TextRole::Reasoning | TextRole::Refusal => Role::Assistant,
            TextRole::Tool => Role::Tool,
            TextRole::Arguments => Role::Arguments,
            TextRole::Input => Role::Input,
            TextRole::Definition => Role::Definition,
            TextRole::Field => Role::Field,
        };
        roles.is_empty() || roles.contains(&role)
    }
}

/// The denial of inputs that came as token ids, where the policy does not let them pass unread.
pub(crate) fn unreadable() -> Box<Denial> {
    let message = "the input came as token ids, which a guard of the policy cannot read: send it as text";
    Box::new(Denial::new(ErrorCode::ContentDenied, message))
}

/// What is done with a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Then {
    /// The request or reply is refused.
    #[default]
    Deny,
    /// `[REMOVED]` stands in its place.
    Mask,
    /// `replacement` stands in its place.
    Replace,
    /// It is counted in the trace and left as it is.
    Observe,
    /// It is left as it is, and the request gets the tag `tag`, which expressions below and the trace can read.
    Tag,
}

/// What is done with a request or reply that breaks a rule, by a guard that edits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Judged {
    /// It is refused.
    #[default]
    Deny,
    /// The trace tells, and it goes on as it is.
    Observe,
    /// It goes on as it is, and the request gets the tag `tag`, which expressions below and the trace can read.
    Tag,
}

/// What a guard does with a find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It refuses.
    Deny,
    /// This stands in its place.
    Replace(String),
    /// What the finder makes of it stands in its place.
    Rewrite,
    /// Only the trace tells.
    Observe,
    /// The request gets this tag.
    Tag(Arc<str>),
}

/// What a policy says beside `then`.
#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) replacement: Option<String>,
    pub(crate) tag: Option<String>,
}

impl Then {
    /// What the guard does; settings that cannot work together are told, each with its help.
    pub(crate) fn action(self, on: &[Side], beside: Beside, mut wrong: impl FnMut(&str, &str)) -> Action {
        if (self == Then::Replace) != beside.replacement.is_some() {
            wrong("`replacement` and `then: replace` go together", "set both or neither");
        }
        check(self == Then::Tag, on, beside.tag.as_deref(), wrong);
        match self {
            Then::Deny => Action::Deny,
            Then::Mask => Action::Replace("[REMOVED]".to_owned()),
            Then::Replace => Action::Replace(beside.replacement.unwrap_or_default()),
            Then::Observe => Action::Observe,
            Then::Tag => Action::Tag(Arc::from(beside.tag.unwrap_or_default())),
        }
    }
}

impl Judged {
    /// What the guard does; settings that cannot work together are told, each with its help.
    pub(crate) fn action(self, on: &[Side], tag: Option<String>, wrong: impl FnMut(&str, &str)) -> Action {
        check(self == Judged::Tag, on, tag.as_deref(), wrong);
        match self {
            Judged::Deny => Action::Deny,
            Judged::Observe => Action::Observe,
            Judged::Tag => Action::Tag(Arc::from(tag.unwrap_or_default())),
        }
    }
}

/// A tag has at most this many bytes.
const TAG: usize = 64;

/// Whether a text can be a tag.
pub(crate) fn is_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.len() <= TAG && !tag.chars().any(char::is_control)
}

/// Checks what all guards say: where they look, and their tag.
pub(crate) fn check(tags: bool, on: &[Side], tag: Option<&str>, mut wrong: impl FnMut(&str, &str)) {
    if on.is_empty() {
        wrong("the guard looks nowhere", "leave `on` out, or name `request` or `reply`");
    }
    if tags != tag.is_some() {
        wrong("`tag` and `then: tag` go together", "set both or neither");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        wrong("`tag` is no tag", "give a short name, such as `competitor`");
    }
}

/// Of one request or reply the trace tells at most this many places.
const TOLD: usize = 16;

/// What was found where, and how often; never the text. `W` says what a find is.
pub(crate) struct Findings<W> {
    all: Vec<Finding<W>>,
    count: u32,
}

struct Finding<W> {
    what: W,
    place: Place,
    count: u32,
}

/// Where something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the text is for; none for what is no text.
    pub(crate) role: Option<TextRole>,
    /// The message or choice, from 0; none for what stands beside them.
    pub(crate) message: Option<usize>,
}

impl Place {
    /// The request or reply as a whole.
    pub(crate) const WHOLE: Place = Place { role: None, message: None };

    /// The place of a text.
    pub(crate) fn of(at: &TextAt<'_>) -> Self {
        Self { role: Some(at.role), message: (!at.is_beside()).then_some(at.message) }
    }

    /// A message or choice.
    pub(crate) fn message(message: usize) -> Self {
        Self { role: None, message: Some(message) }
    }
}

impl<W> Default for Findings<W> {
    fn default() -> Self {
        Self { all: Vec::new(), count: 0 }
    }
}

impl<W: PartialEq> Findings<W> {
    /// Notes one find.
    pub(crate) fn add(&mut self, what: W, place: Place) {
        self.count = self.count.saturating_add(1);
        if let Some(known) = self.all.iter_mut().find(|known| known.what == what && known.place == place) {
            known.count += 1;
        } else if self.all.len() < TOLD {
            self.all.push(Finding { what, place, count: 1 });
        }
    }

    /// The first find.
    pub(crate) fn first(&self) -> Option<&W> {
        self.all.first().map(|found| &found.what)
    }

    /// Tells the trace. `says` says what a find is, behind `the request`: ``matches `a+` ``.
    pub(crate) fn tell(&self, says: impl Fn(&W) -> String, reply: bool, notes: &mut Notes) {
        let Some(first) = self.all.first() else { return };
        let side = if reply { "reply" } else { "request" };
        notes.reason.get_or_insert_with(|| format!("the {side} {}", says(&first.what)));
        let told = self.all.iter().map(|found| {
            let mut told = Map::new();
            told.insert("what".to_owned(), says(&found.what).into());
            if let Some(role) = found.place.role {
                told.insert("role".to_owned(), role.name().into());
            }
            if let Some(message) = found.place.message {
                told.insert(if reply { "choice" } else { "message" }.to_owned(), message.into());
            }
            told.insert("count".to_owned(), found.count.into());
            Value::Object(told)
        });
        let told: Vec<Value> = told.collect();
        notes.fact(if reply { "reply_matches" } else { "matches" }, self.count);
        notes.fact(if reply { "reply_found" } else { "found" }, told);
    }
}
