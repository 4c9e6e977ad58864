//! Where warnings of a limit are sent besides the log.

use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{Exchange, Place, Workbench, configured_header};
use weir_policy::{Spanned, TextOrSecret};

/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where warnings are sent: `POST` of a JSON object (`event: limit-warning`, `meter`, `subject`, `limit`, `threshold`, `spent`,
/// `revision`, `at`). It is tried four times in a little more than a minute.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    /// The URL.
    url: Spanned<String>,
    /// Headers that go along.
    #[serde(default)]
    headers: BTreeMap<String, TextOrSecret>,
}

/// The same, checked.
pub(super) struct Webhook {
    place: Place,
    headers: HeaderMap,
}

impl Webhook {
    pub(super) fn compile(settings: &Notify, bench: &mut Workbench<'_>) -> Option<Self> {
        let url = &settings.url;
        let Some(place) = Place::at(&url.value, None, PATIENCE) else {
            let found = Diagnostic::new(Code::BadValue, format!("`{}` is no URL", url.value)).at(url.span);
            bench.diagnostics.push(found.help("write `https://host/path`"));
            return None;
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let text = match value {
                TextOrSecret::Text(text) => text.clone(),
                // Where secrets are not needed, nothing is sent.
                TextOrSecret::Secret(secret) => match (bench.secret)(secret) {
                    Some(value) => value.expose().to_owned(),
                    None => continue,
                },
            };
            match configured_header(name, text) {
                Ok((name, value)) => {
                    headers.insert(name, value);
                }
                Err(message) => {
                    bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(url.span));
                    return None;
                }
            }
        }
        Some(Self { place, headers })
    }

    pub(super) fn send(&self, x: &Exchange, warning: &Value) {
        if x.gateway.sink.tells_outside() {
            self.place.tell(&x.gateway, self.headers.clone(), warning);
        }
    }
}
