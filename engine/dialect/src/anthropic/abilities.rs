//! What a model of Anthropic's takes, told by its name: the API refuses what a model does not take
//! (platform.claude.com/docs: build-with-claude/thinking, effort, structured-outputs, mid-conversation-system-messages; and the
//! migration guide of each model).

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// How it is asked to think.
    pub(crate) thinking: AsksThinking,
    /// How it is asked not to.
    pub(crate) no_thinking: StopsThinking,
    /// Whether it can be made to call a tool.
    pub(crate) forced_tools: bool,
    /// `temperature`, `top_p` and `top_k`.
    pub(crate) sampling: bool,
    /// `output_config.format`, and tools whose arguments must fit (`strict`).
    pub(crate) schemas: bool,
    /// Turns of the role `system` amid the conversation.
    pub(crate) later_system: bool,
    /// The `max_tokens` for a client that names none: the API wants one. Models have larger limits, but each has this much.
    pub(crate) usual_max_tokens: u64,
}

/// How a model is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsksThinking {
    /// By a number of tokens.
    Budget,
    /// As it sees fit, by an effort whose highest degree has this name.
    Effort(&'static str),
}

/// How a model is asked not to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopsThinking {
    /// By not asking for it.
    Unasked,
    /// By `thinking` of this type.
    Told(&'static str),
    /// It always thinks; the least is a low effort.
    Never,
}

impl Abilities {
    /// Of the model with this name, as Anthropic, AWS and Google spell it. A name without `claude` is another maker's model
    /// behind an API like Anthropic's; such servers take the oldest forms.
    pub(crate) fn of(model: &str) -> Self {
        let Some(name) = model.find("claude").and_then(|at| model.get(at..)) else {
            return Self { usual_max_tokens: 8192, ..Self::since((3, 0), "") };
        };
        let family =
            ["opus", "sonnet", "haiku", "fable", "mythos"].into_iter().find(|one| name.contains(one));
        Self::since(version(name).unwrap_or((u32::MAX, 0)), family.unwrap_or(""))
    }

    fn since(version: (u32, u32), family: &str) -> Self {
        let always_thinks = matches!(family, "fable" | "mythos") || (family == "opus" && version >= (5, 5));
        Self {
            thinking: match version {
                (..4, _) | (4, ..6) => AsksThinking::Budget,
                (4, 6) => AsksThinking::Effort("max"),
                _ => AsksThinking::Effort("xhigh"),
            },
            no_thinking: match version {
                _ if always_thinks => StopsThinking::Never,
                (..5, _) => StopsThinking::Unasked,
                _ if family == "sonnet" && version >= (5, 5) => StopsThinking::Told("between_tools"),
                _ => StopsThinking::Told("disabled"),
            },
            forced_tools: !(always_thinks && version >= (5, 1)),
            sampling: version < (4, 7),
            schemas: version >= (4, 5),
            later_system: match family {
                "opus" => version >= (4, 8),
                "fable" | "mythos" => true,
                _ => version >= (5, 5),
            },
            usual_max_tokens: if version >= (3, 7) { 32_000 } else { 4096 },
        }
    }
}

/// The version in a name: `claude-opus-4-5-20251101` and `claude-3-7-sonnet` have it in different places, dates are none.
fn version(name: &str) -> Option<(u32, u32)> {
    let mut words = name.split(['-', '.', '@', ':']);
    let number = |word: &str| word.parse().ok().filter(|_| word.len() <= 2);
    let major = words.by_ref().find_map(number)?;
    Some((major, words.next().and_then(number).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_version_wherever_it_stands() {
        let cases = [
            ("claude-3-haiku-20240307", Some((3, 0))),
            ("claude-3-5-haiku-latest", Some((3, 5))),
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("claude-2.1", Some((2, 1))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-4-sonnet-20250514", Some((4, 0))),
            ("claude-opus-4-1@20250805", Some((4, 1))),
            ("claude-sonnet-4-5-20250929-v1:0", Some((4, 5))),
            ("claude-opus-4-6-v1", Some((4, 6))),
            ("claude-opus-5", Some((5, 0))),
            ("claude-fable-5-1", Some((5, 1))),
            ("claude-mythos-preview", None),
        ];
        for (name, want) in cases {
            assert_eq!(version(name), want, "{name}");
        }
    }

    #[test]
    fn models_differ_in_what_they_take() {
        use AsksThinking::{Budget, Effort};
        use StopsThinking::{Never, Told, Unasked};
        let cases = [
            ("eu.anthropic.claude-3-opus-20240229-v1:0", Budget, Unasked, true, true, false, false, 4096),
            ("claude-sonnet-4-5", Budget, Unasked, true, true, true, false, 32_000),
            ("claude-opus-4-6", Effort("max"), Unasked, true, true, true, false, 32_000),
            ("claude-opus-4-8", Effort("xhigh"), Unasked, true, false, true, true, 32_000),
            ("claude-sonnet-5", Effort("xhigh"), Told("disabled"), true, false, true, false, 32_000),
            ("claude-sonnet-5-5", Effort("xhigh"), Told("between_tools"), true, false, true, true, 32_000),
            ("claude-opus-5-5", Effort("xhigh"), Never, false, false, true, true, 32_000),
            ("claude-mythos-preview", Effort("xhigh"), Never, false, false, true, true, 32_000),
            ("deepseek-chat", Budget, Unasked, true, true, false, false, 8192),
        ];
        for (name, thinking, no_thinking, forced_tools, sampling, schemas, later_system, usual_max_tokens) in
            cases
        {
            let want = Abilities {
                thinking,
                no_thinking,
                forced_tools,
                sampling,
                schemas,
                later_system,
                usual_max_tokens,
            };
            assert_eq!(Abilities::of(name), want, "{name}");
        }
    }
}
