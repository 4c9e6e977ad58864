//! Where a cloud offers an API at other paths than its maker does.

use crate::{Outgoing, WireFormat};
use std::sync::Arc;
use weir_message::{Dialect, ErrorCode, Fault, JsonOp, Operation, patch};

/// Whose paths a provider has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosting {
    /// Those of the API's maker.
    #[default]
    Maker,
    /// Azure's: a model is asked for at its deployment, by a version of the API
    /// (learn.microsoft.com/azure/ai-foundry/openai/reference).
    Deployments {
        /// The version (`2024-10-21`).
        api_version: Arc<str>,
    },
    /// Google Cloud's Vertex AI: a model stands below its publisher
    /// (cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models).
    Vertex,
}

/// What Azure has at a model's deployment; the rest stands beside them.
const DEPLOYED: &[Operation] = &[
    Operation::Chat,
    Operation::Completion,
    Operation::Embedding,
    Operation::Image,
    Operation::Speech,
    Operation::Transcription,
];

/// The version of Anthropic's API that Vertex AI speaks; it stands in the body there.
const ANTHROPIC_VERSION: &str = "vertex-2023-10-16";

impl Hosting {
    /// Changes a request as the maker takes it into one as it is taken here.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] if the body is not JSON and would have to be changed.
    pub fn shape(&self, out: &mut Outgoing, to: WireFormat, model: &str, streams: bool) -> Result<(), Fault> {
        match self {
            Self::Maker => Ok(()),
            Self::Deployments { api_version } => {
                let (path, query) = out.path.split_once('?').unwrap_or((&out.path, ""));
                let place = match DEPLOYED.contains(&to.operation) {
                    true => format!("/deployments/{}", segment(model)),
                    false => String::new(),
                };
                let and = if query.is_empty() { "" } else { "&" };
                out.path = format!("{place}{path}?{query}{and}api-version={}", segment(api_version));
                Ok(())
            }
            Self::Vertex => match to.dialect {
                Dialect::Gemini => {
                    if out.path.starts_with("/models/") {
                        out.path.insert_str(0, "/publishers/google");
                    }
                    Ok(())
                }
                Dialect::Anthropic => anthropic_on_vertex(out, to.operation, model, streams),
                // Others' models stand behind an API like OpenAI's.
                Dialect::OpenAi => {
                    out.path.insert_str(0, "/endpoints/openapi");
                    Ok(())
                }
                Dialect::Bedrock | Dialect::Cohere | Dialect::Native => Ok(()),
            },
        }
    }
}

/// Anthropic's models: the path says which one and whether to stream, the body which version.
fn anthropic_on_vertex(
    out: &mut Outgoing,
    operation: Operation,
    model: &str,
    streams: bool,
) -> Result<(), Fault> {
    let verb = if streams { "streamRawPredict" } else { "rawPredict" };
    let version = JsonOp::Default("/anthropic_version".to_owned(), ANTHROPIC_VERSION.into());
    let mut changes = vec![version];
    out.path = match operation {
        // Which model counts is said in the body.
        Operation::Count => "/publishers/anthropic/models/count-tokens:rawPredict".to_owned(),
        _ => {
            changes.push(JsonOp::Remove("/model".to_owned()));
            format!("/publishers/anthropic/models/{}:{verb}", segment(model))
        }
    };
    out.headers.retain(|(name, _)| name != "anthropic-version");
    out.body = patch(&out.body, &changes).map_err(|error| {
        Fault::new(ErrorCode::BadRequest, "the body cannot be put together").detail(error.to_string())
    })?;
    Ok(())
}

/// A name as one segment of a path; none leads out of it.
fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn shaped(
        hosting: &Hosting,
        to: (Dialect, Operation),
        path: &str,
        model: &str,
        streams: bool,
        body: &'static str,
    ) -> (String, String, bool) {
        let version = (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        let mut out = Outgoing {
            path: path.to_owned(),
            headers: vec![version],
            body: body.into(),
            dropped: Vec::new(),
        };
        hosting.shape(&mut out, WireFormat { dialect: to.0, operation: to.1 }, model, streams).unwrap();
        (out.path, String::from_utf8(out.body.to_vec()).unwrap(), out.headers.is_empty())
    }

    #[test]
    fn deployments_stand_in_azures_paths_with_the_version() {
        let azure = Hosting::Deployments { api_version: "2024-10-21".into() };
        let chat = r#"{"model":"my gpt/5","x":1}"#;
        let cases = [
            (
                Operation::Chat,
                "/chat/completions",
                "/deployments/my%20gpt%2F5/chat/completions?api-version=2024-10-21",
            ),
            (Operation::Response, "/responses", "/responses?api-version=2024-10-21"),
            (Operation::File, "/files?limit=2", "/files?limit=2&api-version=2024-10-21"),
        ];
        for (operation, path, want) in cases {
            let (got, body, _) = shaped(&azure, (Dialect::OpenAi, operation), path, "my gpt/5", false, chat);
            assert_eq!((got.as_str(), body.as_str()), (want, chat));
        }
    }

    #[test]
    fn models_of_vertex_stand_below_their_publishers() {
        let gemini = (Dialect::Gemini, Operation::Chat);
        let (path, ..) = shaped(
            &Hosting::Vertex,
            gemini,
            "/models/gemini-3-pro:streamGenerateContent?alt=sse",
            "gemini-3-pro",
            true,
            "{}",
        );
        assert_eq!(path, "/publishers/google/models/gemini-3-pro:streamGenerateContent?alt=sse");
        let (path, ..) = shaped(
            &Hosting::Vertex,
            (Dialect::OpenAi, Operation::Chat),
            "/chat/completions",
            "m",
            false,
            "{}",
        );
        assert_eq!(path, "/endpoints/openapi/chat/completions");
        let told = r#"{"model":"claude-sonnet-4-5@20250929","max_tokens":1}"#;
        let chat = (Dialect::Anthropic, Operation::Chat);
        for (streams, verb) in [(false, "rawPredict"), (true, "streamRawPredict")] {
            let (path, body, is_bare) =
                shaped(&Hosting::Vertex, chat, "/v1/messages", "claude-sonnet-4-5@20250929", streams, told);
            assert_eq!(path, format!("/publishers/anthropic/models/claude-sonnet-4-5@20250929:{verb}"));
            assert_eq!(body, r#"{"max_tokens":1,"anthropic_version":"vertex-2023-10-16"}"#);
            assert!(is_bare, "the version stands in the body");
        }
        let count = (Dialect::Anthropic, Operation::Count);
        let (path, body, _) =
            shaped(&Hosting::Vertex, count, "/v1/messages/count_tokens", "m", false, r#"{"model":"m"}"#);
        assert_eq!(path, "/publishers/anthropic/models/count-tokens:rawPredict");
        assert_eq!(body, r#"{"model":"m","anthropic_version":"vertex-2023-10-16"}"#);
    }
}
