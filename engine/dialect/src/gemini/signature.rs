//! Signatures of reasoning (ai.google.dev/gemini-api/docs/thought-signatures) on their way through other dialects.
//!
//! Each provider refuses a proof that another one wrote. So while one of Gemini's is a message, it bears a mark, and only
//! marked ones are sent to Gemini; clients of Gemini's dialect, who expect Base64, get another provider's wrapped in it.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytestring::ByteString;
use std::borrow::Cow;

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
    unwrapped(signature).unwrap_or_else(|| format!("{MARK}{signature}").into())
}

/// A message's signature for Gemini; nothing if it is another's.
pub(crate) fn own(signature: &str) -> Option<&str> {
    signature.strip_prefix(MARK)
}

/// A message's signature for a client of this dialect.
pub(crate) fn written(signature: &str) -> String {
    own(signature).map_or_else(|| format!("{WRAPPED}{}", BASE64.encode(signature)), str::to_owned)
}

/// What seals a message's reasoning, for clients whose API has bytes for it: Base64 as it is if it would come back the same, and
/// else wrapped in it.
pub(crate) fn as_bytes(data: &str) -> Cow<'_, str> {
    match BASE64.decode(data).is_ok_and(|bytes| BASE64.encode(bytes) == data) {
        true => Cow::Borrowed(data),
        false => Cow::Owned(format!("{WRAPPED}{}", BASE64.encode(data))),
    }
}

/// The same as such a client sends it back.
pub(crate) fn of_bytes(data: ByteString) -> ByteString {
    unwrapped(&data).unwrap_or(data)
}

/// What was wrapped in Base64.
fn unwrapped(data: &str) -> Option<ByteString> {
    let bytes = BASE64.decode(plain(data.strip_prefix(WRAPPED)?).as_bytes()).ok()?;
    String::from_utf8(bytes).ok().map(ByteString::from)
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
    fn what_seals_reasoning_passes_clients_that_have_bytes_for_it() {
        assert_eq!(as_bytes("c2lnbmVk"), "c2lnbmVk");
        for sealed in ["c2lnbmVk", "gemini:c2lnbmVk", "gAAAA_-=", "ü?>~"] {
            let sent = as_bytes(sealed).into_owned();
            // As such a client has it in between.
            let again = BASE64.encode(BASE64.decode(&sent).unwrap());
            assert_eq!((again == sent, &*of_bytes(again.into())), (true, sealed));
        }
    }

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
