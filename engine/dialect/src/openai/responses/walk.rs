//! The texts of what has no form here.

use crate::scan::{Lit, Next, Scan, Scanned};
use weir_message::{Text, TextForm};

/// Fields whose strings name things or hold bytes, and say nothing.
const QUIET: &[&str] = &[
    "type",
    "id",
    "status",
    "role",
    "name",
    "server_label",
    "namespace",
    "fingerprint",
    "encrypted_content",
    "image_url",
    "file_data",
    "obfuscation",
];

/// Whether what stands under a key says nothing.
pub(super) fn is_quiet(key: &Lit<'_>) -> bool {
    !key.escaped && (QUIET.contains(&key.inner) || key.inner.ends_with("_id"))
}

/// Reads every string of a value of any shape, but those of fields that say nothing. Their order is their number: empty ones
/// count.
pub(super) fn texts(scan: &mut Scan<'_>, out: &mut Vec<Text>) -> Scanned<()> {
    match scan.next()? {
        Next::String => {
            let lit = scan.string()?;
            out.push(scan.text(&lit, TextForm::Plain)?);
        }
        Next::Array => {
            scan.array(|scan, _| texts(scan, out))?;
        }
        Next::Object => {
            scan.object(&[], |scan, _, key| match is_quiet(&key) {
                true => scan.skip().map(|_| ()),
                false => texts(scan, out),
            })?;
        }
        Next::Number | Next::Bool | Next::Null => {
            scan.skip()?;
        }
    }
    Ok(())
}
