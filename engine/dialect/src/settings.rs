//! How an answer is wanted, in no dialect: what the top-level fields of a request mean.

use crate::carry::Loss;
use bytestring::ByteString;
use weir_message::Tool;

/// The wishes of a request. A client's dialect reads them from its fields ([`crate::wire::Wire::settings`]), a provider's
/// writes those that it knows and tells the loss of the others. Numbers stay as they are spelt.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    /// The most tokens of the answer.
    pub(crate) max_tokens: Option<u64>,
    /// How freely to choose; as spelt.
    pub(crate) temperature: Option<ByteString>,
    /// The share of likely tokens to choose from; as spelt.
    pub(crate) top_p: Option<ByteString>,
    /// The number of likely tokens to choose from.
    pub(crate) top_k: Option<u64>,
    /// Texts that end the answer.
    pub(crate) stop: Vec<ByteString>,
    /// For answers that repeat; as spelt.
    pub(crate) seed: Option<ByteString>,
    /// How many answers.
    pub(crate) choices: Option<u64>,
    /// As spelt.
    pub(crate) presence_penalty: Option<ByteString>,
    /// As spelt.
    pub(crate) frequency_penalty: Option<ByteString>,
    /// How many alternatives of each token to tell; `Some(0)`: the tokens' own probabilities alone.
    pub(crate) logprobs: Option<u64>,
    /// Which tools to call.
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called at once.
    pub(crate) parallel_tools: Option<bool>,
    /// The form of the answer.
    pub(crate) format: Option<Format>,
    /// How much to reason.
    pub(crate) thinking: Option<Thinking>,
    /// Who the end user is, for the provider's abuse checks.
    pub(crate) user: Option<ByteString>,
    /// The class of service (`auto`, `default`, `priority`, `flex` …).
    pub(crate) service_tier: Option<ByteString>,
    /// The embedding's length.
    pub(crate) dimensions: Option<u64>,
    /// What an embedding is for (`search_query` …), in Cohere's words.
    pub(crate) input_type: Option<ByteString>,
    /// Fields that have no name here, by their names in OpenAI's API or else the dialect's own; and whether they matter.
    pub(crate) others: Vec<(&'static str, bool)>,
}

impl Settings {
    /// Leaves out what has no name here.
    pub(crate) fn lose_others(&self, loss: &mut Loss) {
        for (name, matters) in &self.others {
            if *matters { loss.matters(name) } else { loss.hint(name) }
        }
    }

    /// Leaves out that tools are called one at a time. Where but one can be called, and must be, it changes nothing: so
    /// frameworks ask for an answer in a form.
    pub(crate) fn lose_single_calls(&self, tools: &[Tool], loss: &mut Loss) {
        match (self.parallel_tools, &self.tool_choice) {
            (None | Some(true), _) => {}
            (_, Some(ToolChoice::Tool(_))) => loss.hint("parallel_tool_calls"),
            (_, Some(ToolChoice::Any)) if tools.len() == 1 => loss.hint("parallel_tool_calls"),
            _ => loss.matters("parallel_tool_calls"),
        }
    }

    /// Leaves out several answers, their probabilities and what bends the choice of tokens, for dialects without these.
    pub(crate) fn lose_sampling(&self, loss: &mut Loss) {
        if self.choices.is_some_and(|n| n > 1) {
            loss.matters("n");
        }
        if self.logprobs.is_some() {
            loss.matters("logprobs");
        }
        if self.seed.is_some() {
            loss.hint("seed");
        }
        let penalties =
            [("presence_penalty", &self.presence_penalty), ("frequency_penalty", &self.frequency_penalty)];
        for (name, penalty) in penalties {
            if penalty.as_deref().is_some_and(|spelt| spelt.parse() != Ok(0.0)) {
                loss.hint(name);
            }
        }
    }
}

/// Which tools to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// As the model sees fit.
    Auto,
    /// None.
    None,
    /// At least one.
    Any,
    /// This one.
    Tool(ByteString),
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Words.
    Text,
    /// Any JSON object.
    Json,
    /// JSON that fits a schema.
    Schema {
        /// The schema's name.
        name: ByteString,
        /// What it is for.
        description: Option<ByteString>,
        /// The schema (JSON).
        schema: ByteString,
        /// Whether the answer must fit exactly.
        strict: Option<bool>,
    },
}

/// How much to reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Not at all.
    Off,
    /// As the model sees fit.
    Auto,
    /// So much.
    Effort(Effort),
    /// At most so many tokens.
    Budget(u64),
}

/// A degree of effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    Max,
}

impl Effort {
    /// The effort with this name in OpenAI's `reasoning_effort`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" | "max" => Self::Max,
            _ => return None,
        })
    }

    /// Its name in OpenAI's `reasoning_effort`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Max => "xhigh",
        }
    }

    /// The tokens of reasoning that it stands for where a dialect wants a number. The steps are those of Google's table of
    /// efforts for its OpenAI endpoint (ai.google.dev/gemini-api/docs/openai).
    pub(crate) fn budget(self) -> u64 {
        match self {
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 8192,
            Self::High => 24_576,
            Self::Max => 32_768,
        }
    }

    /// The effort whose budget is at least so large.
    pub(crate) fn of_budget(tokens: u64) -> Self {
        match tokens {
            0..=1024 => Self::Low,
            1025..=8192 => Self::Medium,
            8193..=24_576 => Self::High,
            _ => Self::Max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_message::ToolKind;

    #[test]
    fn one_call_at_a_time_matters_unless_but_one_can_be_called_and_must_be() {
        let tool = || Tool {
            kind: ToolKind::Function,
            name: "look".into(),
            description: None,
            schema: None,
            strict: None,
            raw: "".into(),
            cache: None,
        };
        let named = || Some(ToolChoice::Tool("look".into()));
        let cases = [
            (None, named(), 1, None),
            (Some(true), Some(ToolChoice::Any), 1, None),
            (Some(false), named(), 2, Some(false)),
            (Some(false), Some(ToolChoice::Any), 1, Some(false)),
            (Some(false), Some(ToolChoice::Any), 2, Some(true)),
            (Some(false), Some(ToolChoice::Auto), 1, Some(true)),
            (Some(false), None, 1, Some(true)),
        ];
        for (parallel_tools, tool_choice, count, matters) in cases {
            let settings = Settings { parallel_tools, tool_choice, ..Settings::default() };
            let tools: Vec<Tool> = (0..count).map(|_| tool()).collect();
            let mut loss = Loss::default();
            settings.lose_single_calls(&tools, &mut loss);
            let lost = loss.list();
            assert_eq!(lost.first().map(|one| one.matters), matters, "{settings:?} of {count}");
        }
    }
}
