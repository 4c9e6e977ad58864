//! What a request asks for, and in which wire format.

macro_rules! names {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The name in policies, logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use names;

names! {
    /// What a request asks for. Each has a body of its own shape.
    Operation {
        /// Chat completions: messages in, a message out.
        Chat = "chat",
        /// The tokens of a chat counted, and nothing generated.
        Count = "count",
        /// Text completions: a prompt in, its continuation out.
        Completion = "completion",
        /// The responses API.
        Response = "response",
        /// Texts to vectors.
        Embedding = "embedding",
        /// Texts ordered by relevance to a query.
        Rerank = "rerank",
        /// Texts judged for harm.
        Moderation = "moderation",
        /// Images made or edited.
        Image = "image",
        /// Text to sound.
        Speech = "speech",
        /// Sound to text.
        Transcription = "transcription",
        /// A two-way session.
        Realtime = "realtime",
        /// Files kept at a provider.
        File = "file",
        /// Many requests in one, later.
        Batch = "batch",
        /// The list of models, or one of it.
        Model = "model",
        /// A tool of an MCP server.
        Tool = "tool",
        /// Anything else.
        Http = "http",
    }
}

names! {
    /// A wire format.
    Dialect {
        /// OpenAI's API and all that speak it.
        OpenAi = "openai",
        /// Anthropic's messages.
        Anthropic = "anthropic",
        /// Google's Gemini.
        Gemini = "gemini",
        /// AWS Bedrock.
        Bedrock = "bedrock",
        /// Cohere v2.
        Cohere = "cohere",
        /// An API of the provider's own that no other speaks.
        Native = "native",
    }
}
