//! What Gemini's paths ask for (ai.google.dev/api/all-methods): model, method and whether to stream stand there.

use crate::classify::own_path;
use crate::percent_decoded;
use crate::wire::Path;
use bytestring::ByteString;
use http::Method;
use weir_message::Operation;

/// A method of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Generate,
    Stream,
    Count,
    Embed,
    EmbedSeveral,
}

impl Verb {
    const ALL: [(Verb, &'static str); 5] = [
        (Verb::Generate, "generateContent"),
        (Verb::Stream, "streamGenerateContent"),
        (Verb::Count, "countTokens"),
        (Verb::Embed, "embedContent"),
        (Verb::EmbedSeveral, "batchEmbedContents"),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|one| one.1 == name).map(|one| one.0)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|one| one.0 == self).map_or("", |one| one.1)
    }

    /// The method for an operation.
    pub(crate) fn of(operation: Operation, stream: bool) -> Option<Self> {
        Some(match operation {
            Operation::Chat if stream => Self::Stream,
            Operation::Chat => Self::Generate,
            Operation::Count => Self::Count,
            Operation::Embedding => Self::EmbedSeveral,
            _ => return None,
        })
    }

    fn operation(self) -> Operation {
        match self {
            Self::Generate | Self::Stream => Operation::Chat,
            Self::Count => Operation::Count,
            Self::Embed | Self::EmbedSeveral => Operation::Embedding,
        }
    }
}

/// A model's method, asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) model: ByteString,
    pub(crate) verb: Verb,
}

/// The versions of the API, which differ in nothing that is read here.
const VERSIONS: [&str; 3] = ["/v1beta/", "/v1alpha/", "/v1/"];

/// What clients ask for.
pub(crate) fn classify(path: &str) -> Option<Path> {
    let rest = VERSIONS.iter().find_map(|version| path.strip_prefix(version))?;
    if let Some(asked) = method(rest) {
        return Some(Path {
            operation: asked.verb.operation(),
            methods: &[Method::POST],
            item: Some(asked.model),
            stream: asked.verb == Verb::Stream,
        });
    }
    let item = match rest {
        "models" => None,
        _ => Some(percent_decoded(rest.strip_prefix("models/").filter(|id| !id.is_empty())?)?),
    };
    Some(Path { operation: Operation::Model, methods: &[Method::GET], item, stream: false })
}

/// What a request's path asks, with or without the dialect's prefix and the API's version.
pub(crate) fn asked(path: &str) -> Option<Asked> {
    let path = own_path(path);
    let rest = VERSIONS.iter().find_map(|version| path.strip_prefix(version));
    method(rest.or_else(|| path.strip_prefix('/'))?)
}

/// `models/{model}:{method}`. A tuned model's name keeps the collection that it is in.
fn method(rest: &str) -> Option<Asked> {
    let (name, verb) = rest.rsplit_once(':')?;
    let verb = Verb::from_name(verb)?;
    let name = match name.strip_prefix("models/") {
        Some(name) => name,
        None => Some(name).filter(|name| name.starts_with(TUNED))?,
    };
    Some(Asked { model: percent_decoded(name).filter(|name| !name.is_empty())?, verb })
}

const TUNED: &str = "tunedModels/";

/// The path of a model's method behind a provider's base URL.
pub(crate) fn path(verb: Verb, model: &str) -> String {
    let mut out = String::with_capacity(model.len() + 48);
    let name = resource(model);
    let (collection, name) = name.split_once('/').unwrap_or(("models", &name));
    out.push('/');
    out.push_str(collection);
    out.push('/');
    for byte in name.bytes() {
        // No name leads out of its segment.
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.push(':');
    out.push_str(verb.name());
    if verb == Verb::Stream {
        out.push_str("?alt=sse");
    }
    out
}

/// A model's name as bodies have it: with its collection.
pub(crate) fn resource(model: &str) -> String {
    match model.starts_with(TUNED) || model.starts_with("models/") {
        true => model.to_owned(),
        false => format!("models/{model}"),
    }
}

/// Whether a client wants its stream as the items of one JSON array: it does unless it asks for events.
pub(crate) fn wants_array(asked_for: &str) -> bool {
    let (path, query) = asked_for.split_once('?').unwrap_or((asked_for, ""));
    let streams = asked(path).is_some_and(|asked| asked.verb == Verb::Stream);
    streams && !query.split('&').any(|pair| pair.eq_ignore_ascii_case("alt=sse"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_model_and_method() {
        let cases = [
            ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", Verb::Generate),
            ("/gemini/v1beta/models/m:streamGenerateContent", "m", Verb::Stream),
            ("/v1/models/llama3:8b:countTokens", "llama3:8b", Verb::Count),
            ("/v1alpha/models/org%2Fname:embedContent", "org/name", Verb::Embed),
            ("/v1beta/models/org/name:batchEmbedContents", "org/name", Verb::EmbedSeveral),
            ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine", Verb::Generate),
            ("/models/m:generateContent", "m", Verb::Generate),
        ];
        for (given, model, verb) in cases {
            assert_eq!(asked(given), Some(Asked { model: model.into(), verb }), "{given}");
        }
        for given in
            ["", "/", "/v1beta/models", "/v1beta/models/:generateContent", "/v1beta/models/m:predict"]
        {
            assert_eq!(asked(given), None, "{given}");
        }
        assert_eq!(
            path(Verb::Stream, "gemini-2.5-pro"),
            "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
        );
        assert_eq!(path(Verb::Count, "tunedModels/a b"), "/tunedModels/a%20b:countTokens");
        assert_eq!(path(Verb::Generate, "../../x?y#z"), "/models/..%2F..%2Fx%3Fy%23z:generateContent");
    }

    #[test]
    fn a_stream_is_an_array_unless_events_are_asked_for() {
        for (asked, want) in [
            ("/v1beta/models/m:streamGenerateContent", true),
            ("/v1beta/models/m:streamGenerateContent?prettyPrint=false", true),
            ("/gemini/v1beta/models/m:streamGenerateContent?x=1&alt=sse", false),
            ("/v1beta/models/m:generateContent", false),
            ("", false),
        ] {
            assert_eq!(wants_array(asked), want, "{asked}");
        }
    }
}
