//! What a client asks of caches: `cache-control` of a request (RFC 9111, section 5.2.1).

use http::{HeaderMap, header};
use std::time::Duration;

/// What a client asks of caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// Neither look nor store.
    pub(crate) no_store: bool,
    /// Do not look.
    pub(crate) no_cache: bool,
    /// Answer from the cache or not at all.
    pub(crate) only_if_cached: bool,
    /// How old a reply may be.
    pub(crate) max_age: Option<Duration>,
}

impl Control {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            for directive in value.to_str().unwrap_or_default().split(',') {
                let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
                match name.trim().to_ascii_lowercase().as_str() {
                    "no-store" => control.no_store = true,
                    "no-cache" => control.no_cache = true,
                    "only-if-cached" => control.only_if_cached = true,
                    "max-age" => {
                        control.max_age =
                            value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
                    }
                    _ => {}
                }
            }
        }
        control
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_ask() {
        let none = Control::default();
        for (value, want) in [
            ("", none),
            ("no-cache", Control { no_cache: true, ..none }),
            (
                "No-Store , max-age=60",
                Control { no_store: true, max_age: Some(Duration::from_secs(60)), ..none },
            ),
            ("only-if-cached, max-age=x", Control { only_if_cached: true, ..none }),
            ("private", none),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(Control::of(&headers), want, "{value}");
        }
    }
}
