//! What a model behind Bedrock takes beyond what Converse has a field for, told by its id.

use crate::anthropic::abilities::Abilities;

/// Whose model it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's.
    Claude,
    /// Amazon's.
    Nova,
    /// OpenAI's open ones.
    Gpt,
    /// Another's; or it is not told, as in the ARN of a profile.
    Other,
}

/// A model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    pub(super) family: Family,
    /// What it takes, if it is Claude; otherwise what can be taken for granted.
    pub(super) abilities: Abilities,
}

impl Model {
    /// The model with this id.
    pub(super) fn of(id: &str) -> Self {
        let family = match id {
            _ if id.contains("claude") => Family::Claude,
            _ if id.contains("nova") => Family::Nova,
            _ if id.contains("gpt-oss") => Family::Gpt,
            _ => Family::Other,
        };
        Self { family, abilities: Abilities::of(id) }
    }

    pub(super) fn is_claude(self) -> bool {
        self.family == Family::Claude
    }

    /// Whether it knows a prompt cache.
    pub(super) fn caches(self) -> bool {
        matches!(self.family, Family::Claude | Family::Nova)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_the_family_with_and_without_a_region() {
        let cases = [
            ("anthropic.claude-3-haiku-20240307-v1:0", Family::Claude, true),
            ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", Family::Claude, true),
            ("us.amazon.nova-pro-v1:0", Family::Nova, true),
            ("openai.gpt-oss-120b-1:0", Family::Gpt, false),
            ("meta.llama3-1-70b-instruct-v1:0", Family::Other, false),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x1", Family::Other, false),
        ];
        for (id, family, caches) in cases {
            let model = Model::of(id);
            assert_eq!((model.family, model.caches()), (family, caches), "{id}");
        }
    }
}
