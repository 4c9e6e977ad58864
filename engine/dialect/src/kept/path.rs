//! Paths of what is passed on.

use crate::classify;
use weir_message::{Dialect, Request};

/// Path and query behind a provider's base URL; `None` if the path is not one that its API has.
pub(crate) fn path(request: &Request) -> Option<String> {
    let own = classify::own_path(&request.path);
    let own = match request.dialect {
        Dialect::OpenAi => own.strip_prefix("/v1")?,
        Dialect::Gemini => {
            ["/v1beta", "/v1alpha", "/v1"].iter().find_map(|version| own.strip_prefix(version))?
        }
        _ => own,
    };
    if !own.starts_with('/') {
        return None;
    }
    Some(match &request.query {
        Some(query) => format!("{own}?{query}"),
        None => own.to_owned(),
    })
}

/// Whether a path could be read as another by a server that mends paths: dots, empty segments, escapes of what parts them, or
/// the path of an operation that Weir serves, spelt otherwise.
pub fn is_disguised(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_odd = |segment: &str| {
        let plain = segment.replace("%2e", ".");
        segment.is_empty()
            || matches!(&*plain, "." | "..")
            || segment.contains(['\\', ';'])
            || ["%2f", "%5c", "%00", "%25"].iter().any(|escape| segment.contains(escape))
    };
    if !path.starts_with('/') || lower.split('/').skip(1).any(is_odd) {
        return true;
    }
    match crate::percent_decoded(&lower) {
        None => true,
        Some(plain) => classify::is_known(&plain),
    }
}
