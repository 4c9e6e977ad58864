//! What Bedrock's paths ask for (docs.aws.amazon.com/bedrock/latest/APIReference: Amazon Bedrock Runtime): model, method and
//! whether to stream stand there.

use crate::classify::own_path;
use crate::percent_decoded;
use bytestring::ByteString;
use weir_message::Operation;

/// A method of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Converse,
    ConverseStream,
    Count,
}

impl Verb {
    const ALL: [(Verb, &'static str); 3] = [
        (Verb::Converse, "converse"),
        (Verb::ConverseStream, "converse-stream"),
        (Verb::Count, "count-tokens"),
    ];

    /// The method for an operation.
    pub(super) fn of(operation: Operation, stream: bool) -> Option<Self> {
        Some(match operation {
            Operation::Chat if stream => Self::ConverseStream,
            Operation::Chat => Self::Converse,
            Operation::Count => Self::Count,
            _ => return None,
        })
    }

    pub(super) fn operation(self) -> Operation {
        match self {
            Self::Converse | Self::ConverseStream => Operation::Chat,
            Self::Count => Operation::Count,
        }
    }
}

/// A model's method, asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) model: ByteString,
    pub(super) verb: Verb,
}

/// What a path asks, with or without the dialect's prefix: `/model/{id}/converse`. An id may be an ARN; clients write its
/// slashes as they are or escaped.
pub(super) fn asked(path: &str) -> Option<Asked> {
    let (model, verb) = own_path(path).strip_prefix("/model/")?.rsplit_once('/')?;
    let verb = Verb::ALL.iter().find(|one| one.1 == verb)?.0;
    Some(Asked { model: percent_decoded(model).filter(|model| !model.is_empty())?, verb })
}

/// The path of a model's method behind a provider's base URL.
pub(super) fn path(verb: Verb, model: &str) -> String {
    let mut out = String::with_capacity(model.len() + 32);
    out.push_str("/model/");
    for byte in model.bytes() {
        // As AWS's own clients escape it; no id leads out of its segment.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.push('/');
    out.push_str(Verb::ALL.iter().find(|one| one.0 == verb).map_or("", |one| one.1));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_model_and_method() {
        let arn =
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-v1:0";
        let cases = [
            ("/model/amazon.nova-pro-v1%3A0/converse", "amazon.nova-pro-v1:0", Verb::Converse),
            ("/bedrock/model/m/converse-stream", "m", Verb::ConverseStream),
            ("/model/m/count-tokens", "m", Verb::Count),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-5-v1%3A0/converse",
                arn,
                Verb::Converse,
            ),
            (
                "/model/arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-v1:0/converse",
                arn,
                Verb::Converse,
            ),
        ];
        for (given, model, verb) in cases {
            assert_eq!(asked(given), Some(Asked { model: model.into(), verb }), "{given}");
        }
        for given in [
            "",
            "/",
            "/model/m",
            "/model//converse",
            "/model/m/invoke",
            "/model/%zz/converse",
            "/models/m/converse",
        ] {
            assert_eq!(asked(given), None, "{given}");
        }
        assert_eq!(path(Verb::Converse, "amazon.nova-pro-v1:0"), "/model/amazon.nova-pro-v1%3A0/converse");
        assert_eq!(path(Verb::ConverseStream, "../x?y#z"), "/model/..%2Fx%3Fy%23z/converse-stream");
        assert_eq!(asked(&path(Verb::Count, arn)).unwrap().model, arn);
    }
}
