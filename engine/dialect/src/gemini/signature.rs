//! Signatures of reasoning (ai.google.dev/gemini-api/docs/thought-signatures) on their way through other dialects.
//!
//! Each provider refuses a proof that another one wrote. So while one of Gemini's is a message, it bears a mark, and only
//! marked ones are sent to Gemini; clients of Gemini's dialect, who expect Base64, get another provider's wrapped in it.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytestring::ByteString;

/// In front of a signature that Gemini wrote.
const MARK: &str = "gemini:";

/// In front of another's, as a client of this dialect has it: Base64 for `weir::`.
const WRAPPED: &str = "d2Vpcjo6";

/// What Gemini takes for a signature of a call that another model made.
pub(crate) const NONE: &str = "skip_thought_signature_validator";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A signature that a provider or client of this dialect sends, as messages have it.
pub(crate) fn read(signature: &str) -> ByteString {
    let foreign = signature.strip_prefix(WRAPPED).and_then(|rest| {
        let bytes = BASE64.decode(plain(rest).as_bytes()).ok()?;
        String::from_utf8(bytes).ok()
    });
    foreign.unwrap_or_else(|| format!("{MARK}{signature}")).into()
}

/// A message's signature for Gemini; nothing if it is another's.
pub(crate) fn own(signature: &str) -> Option<&str> {
    signature.strip_prefix(MARK)
}

/// A message's signature for a client of this dialect.
pub(crate) fn written(signature: &str) -> String {
    own(signature).map_or_else(|| format!("{WRAPPED}{}", BASE64.encode(signature)), str::to_owned)
}

/// Base64 in the usual alphabet, in whichever it came (RFC 4648, 4 and 5).
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_comes_back_whoever_wrote_it() {
        assert_eq!(own(&read("CiQB+w==")), Some("CiQB+w=="));
        assert_eq!(written(&read("CiQB+w==")), "CiQB+w==");
        for foreign in ["EqQB/+", "gAAAA_-=", "ü?>~"] {
            let sent = written(foreign);
            assert_eq!(own(foreign), None);
            assert_eq!(read(&sent), foreign);
            // Clients may spell it in the other alphabet, without padding.
            assert_eq!(read(sent.replace('+', "-").replace('/', "_").trim_end_matches('=')), foreign);
        }
    }
}
