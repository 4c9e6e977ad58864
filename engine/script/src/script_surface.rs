//! What scripts can call: one table of handles and members that the checker, the engine's registrations and the
//! reference agree on (a test compares them with the engine).

use weir_message::Verb;

/// What a stage must be allowed to do for a member to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Reading: every verb.
    Nothing,
    /// Editing: guards and transforms.
    Edit,
    /// Denying: guards.
    Deny,
}

impl Needs {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Needs::Nothing => "all",
            Needs::Edit => "guard, transform",
            Needs::Deny => "guard",
        }
    }

    pub(crate) fn met_by(self, verb: Verb) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::Edit => matches!(verb, Verb::Guard | Verb::Transform),
            Needs::Deny => verb == Verb::Guard,
        }
    }
}

/// How a member is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// `r.name`
    Get,
    /// `r.name = value`
    Set,
    /// `r.name(args)`, with the names of its arguments.
    Call(&'static [&'static str]),
}

/// A member of a handle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) by: Use,
    pub(crate) needs: Needs,
    pub(crate) doc: &'static str,
}

impl Member {
    pub(crate) fn spelling(&self, letter: &str) -> String {
        match self.by {
            Use::Get => format!("{letter}.{}", self.name),
            Use::Set => format!("{letter}.{} = …", self.name),
            Use::Call(args) => format!("{letter}.{}({})", self.name, args.join(", ")),
        }
    }
}

/// A handle: what a hook gets.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) hook: &'static str,
    pub(crate) letter: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) members: &'static [Member],
}

impl Handle {
    pub(crate) fn of(hook: &str) -> Option<&'static Handle> {
        HANDLES.iter().find(|handle| handle.hook == hook)
    }
}

const fn get(name: &'static str, doc: &'static str) -> Member {
    Member { name, by: Use::Get, needs: Needs::Nothing, doc }
}

const fn set(name: &'static str, doc: &'static str) -> Member {
    Member { name, by: Use::Set, needs: Needs::Edit, doc }
}

const fn call(name: &'static str, args: &'static [&'static str], needs: Needs, doc: &'static str) -> Member {
    Member { name, by: Use::Call(args), needs, doc }
}

use Needs::{Deny, Edit, Nothing};

const DENY: Member =
    call("deny", &["message"], Deny, "Denies, with the status that the stage's `deny:` gives.");
const DENY_STATUS: Member =
    call("deny", &["status", "message"], Deny, "Denies with a status from 400 to 599.");
const HEADER: Member = call("header", &["name"], Nothing, "A header's value; `()` if it is not there.");
const SET_HEADER: Member = call("set_header", &["name", "value"], Edit, "Sets a header.");
const REMOVE_HEADER: Member = call("remove_header", &["name"], Edit, "Takes a header out.");
const PARAMS: Member = get("params", "The parameters of the policy, as a map.");
const CALLER: Member = get(
    "caller",
    "Who calls, as a map (`key`, `user`, `team`, `tags`, `claims`); `()` if nobody was identified.",
);

/// Every handle.
pub(crate) static HANDLES: &[Handle] = &[
    Handle {
        hook: "request",
        letter: "r",
        doc: "The request on its way down.",
        members: &[
            get("id", "The request's id."),
            get("operation", "What it asks for: `chat` …"),
            get("dialect", "The wire format it came in."),
            get("path", "The path."),
            get("stream", "Whether the reply is to be streamed."),
            get("model", "The model asked for."),
            set("model", "Asks for another model."),
            get("text", "The words of the last user turn."),
            set("text", "Replaces the words of the last user turn."),
            get(
                "all_text",
                "Every text of the request, one a line, those beside its turns (descriptions, names, metadata) last.",
            ),
            get("system", "The words of all system turns."),
            call("system", &["text"], Edit, "Puts a system turn in front of all others."),
            call("add_user", &["text"], Edit, "Adds a user turn behind all others."),
            call("add_assistant", &["text"], Edit, "Adds an assistant turn behind all others."),
            get("messages", "The turns, as an array of maps (`role`, `text`, `name`); reading only."),
            get("tools", "The names of the tools offered."),
            call(
                "param",
                &["name"],
                Nothing,
                "A top-level field such as `temperature`; `()` if it is not set.",
            ),
            call("set_param", &["name", "value"], Edit, "Sets a top-level field."),
            call("remove_param", &["name"], Edit, "Takes a top-level field out."),
            HEADER,
            SET_HEADER,
            REMOVE_HEADER,
            CALLER,
            PARAMS,
            DENY,
            DENY_STATUS,
        ],
    },
    Handle {
        hook: "reply",
        letter: "r",
        doc: "The whole reply on its way up.",
        members: &[
            get("status", "The HTTP status."),
            get("text", "The words of the first choice."),
            set("text", "Replaces the words of the first choice."),
            get("finish", "Why the first choice ended; `()` if not said."),
            get("model", "The model that answered; `()` if not said."),
            get("usage", "Tokens spent, as a map (`input`, `output`, `total` …); `()` if not known."),
            get("cached", "Whether it came from a cache."),
            get(
                "tool_calls",
                "The tool calls of the first choice, as an array of maps (`id`, `name`, `arguments`); reading only.",
            ),
            HEADER,
            SET_HEADER,
            REMOVE_HEADER,
            get(
                "request",
                "The request, as a map (`id`, `model`, `operation`, `stream`, `text`); reading only.",
            ),
            CALLER,
            PARAMS,
            DENY,
            DENY_STATUS,
        ],
    },
    Handle {
        hook: "event",
        letter: "e",
        doc: "One event of a stream.",
        members: &[
            get("kind", "`content`, `usage`, `done`, `keep-alive`, `error` or `other`."),
            get("text", "Its piece of text; empty if it has none."),
            set("text", "Replaces the piece of text."),
            get(
                "block",
                "What the text belongs to: `text`, `reasoning`, `refusal`, `arguments`; `()` if it has none.",
            ),
            get("choice", "The choice that the text belongs to, from 0."),
            CALLER,
            PARAMS,
            DENY,
            DENY_STATUS,
        ],
    },
    Handle {
        hook: "attempt",
        letter: "a",
        doc: "One try at one target, before it is sent.",
        members: &[
            get("n", "Its number, from 1."),
            get("provider", "The provider's name."),
            get("region", "The provider's region; `()` if the set states none."),
            get("model", "The upstream model's name."),
            HEADER,
            SET_HEADER,
            REMOVE_HEADER,
            call("rule_out", &["why"], Deny, "Rules this target out, not the request."),
            CALLER,
            PARAMS,
        ],
    },
    Handle {
        hook: "end",
        letter: "t",
        doc: "The record of a request that has ended; reading only.",
        members: &[
            get("pipeline", "The pipeline's name."),
            get("outcome", "`replied`, `answered`, `denied`, `failed` or `cancelled`."),
            get("error", "The code of the refusal; `()` if it was not refused."),
            get("usage", "Tokens spent over all attempts, as a map."),
            get("cost", "Dollars spent over all attempts."),
            get(
                "attempts",
                "The attempts, as an array of maps (`n`, `provider`, `model`, `cause`, `status`).",
            ),
            get("stages", "What the stages did, as an array of maps (`name`, `verb`, `decision`, `reason`)."),
            CALLER,
            PARAMS,
        ],
    },
];
