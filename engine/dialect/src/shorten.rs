//! Shorter answers: a request is made to ask for fewer tokens.

use weir_message::{Dialect, Operation, Request};

/// Lets each answer to a decoded request have at most so many tokens, in the field that its dialect has for it. Whether it has one
/// for this operation.
pub fn limit_output(request: &mut Request, tokens: u64) -> bool {
    let value = serde_json::Value::from(tokens);
    match (request.dialect, request.operation) {
        (Dialect::OpenAi, Operation::Response) => request.set_param("max_output_tokens", &value),
        (Dialect::OpenAi, Operation::Completion)
        | (Dialect::Anthropic | Dialect::Cohere, Operation::Chat) => {
            request.set_param("max_tokens", &value);
        }
        (Dialect::OpenAi, Operation::Chat) => {
            let names = ["max_completion_tokens", "max_tokens"];
            let said: Vec<&str> =
                names.into_iter().filter(|name| request.params.get(name).is_some()).collect();
            for name in if said.is_empty() { &names[..1] } else { &said[..] } {
                request.set_param(name, &value);
            }
        }
        (Dialect::Gemini, Operation::Chat) => {
            set_inside(request, "generationConfig", "maxOutputTokens", value)
        }
        (Dialect::Bedrock, Operation::Chat) => set_inside(request, "inferenceConfig", "maxTokens", value),
        _ => return false,
    }
    true
}

fn set_inside(request: &mut Request, outer: &str, inner: &str, value: serde_json::Value) {
    let said = request.params.get(outer).and_then(|json| serde_json::from_str(json).ok());
    let mut fields = match said {
        Some(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    fields.insert(inner.to_owned(), value);
    request.set_param(outer, &fields.into());
}

#[cfg(test)]
mod tests {
    use crate::{decode, most_output};
    use bytes::Bytes;
    use weir_message::{Dialect, Operation, Request};

    #[test]
    fn each_dialect_is_told_in_its_own_field_and_keeps_the_others() {
        for (dialect, operation, path, body, want) in [
            (
                Dialect::OpenAi,
                Operation::Chat,
                "/v1/chat/completions",
                r#"{"model":"m","messages":[]}"#,
                r#""max_completion_tokens":7"#,
            ),
            (
                Dialect::OpenAi,
                Operation::Chat,
                "/v1/chat/completions",
                r#"{"model":"m","messages":[],"max_tokens":99}"#,
                r#""max_tokens":7"#,
            ),
            (
                Dialect::OpenAi,
                Operation::Completion,
                "/v1/completions",
                r#"{"model":"m","prompt":"a"}"#,
                r#""max_tokens":7"#,
            ),
            (
                Dialect::OpenAi,
                Operation::Response,
                "/v1/responses",
                r#"{"model":"m","input":"a"}"#,
                r#""max_output_tokens":7"#,
            ),
            (
                Dialect::Anthropic,
                Operation::Chat,
                "/v1/messages",
                r#"{"model":"m","messages":[],"max_tokens":99}"#,
                r#""max_tokens":7"#,
            ),
            (
                Dialect::Cohere,
                Operation::Chat,
                "/cohere/v2/chat",
                r#"{"model":"m","messages":[]}"#,
                r#""max_tokens":7"#,
            ),
            (
                Dialect::Gemini,
                Operation::Chat,
                "/v1beta/models/m:generateContent",
                r#"{"contents":[],"generationConfig":{"temperature":0.5,"maxOutputTokens":99}}"#,
                r#""temperature":0.5"#,
            ),
            (
                Dialect::Bedrock,
                Operation::Chat,
                "/model/m/converse",
                r#"{"messages":[],"inferenceConfig":{"topP":0.5}}"#,
                r#""topP":0.5"#,
            ),
        ] {
            let mut request = Request::new("r", dialect, operation, path);
            request.raw = Bytes::from_static(body.as_bytes());
            decode(&mut request).unwrap();
            assert!(super::limit_output(&mut request, 7));
            assert_eq!(most_output(&request).unwrap().tokens, Some(7), "{body}");
            let sent = String::from_utf8(request.outgoing().unwrap().to_vec()).unwrap();
            assert!(sent.contains(want) && !sent.contains("99"), "{sent}");
            // As it is read anew.
            let mut again = Request::new("r", dialect, operation, path);
            again.raw = Bytes::from(sent);
            decode(&mut again).unwrap();
            assert_eq!(most_output(&again).unwrap().tokens, Some(7), "{body}");
        }
        let mut embedding = Request::new("r", Dialect::OpenAi, Operation::Embedding, "/v1/embeddings");
        embedding.raw = Bytes::from_static(br#"{"model":"m","input":"a"}"#);
        decode(&mut embedding).unwrap();
        assert!(!super::limit_output(&mut embedding, 7));
    }
}
