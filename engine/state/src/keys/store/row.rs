//! A key as it is kept.

use crate::keys::{KeyRow, digest, parse_digest, print_digest};
use crate::{StateError, unix_time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::units::Network;
use weir_message::{Caller, Operation};

/// How many letters of a key are kept to find it by, `wr_` included: of 256 bits, 45 are told.
const PREFIX: usize = 12;

/// What a key stands for, as whoever makes it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// Its name, which no other key has: `caller.key`.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// The user that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The team that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The project that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Free-form attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Value>,
    /// Models that it may ask for: names, or patterns ending in `*`. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Operations that it may ask for: `chat`, `embedding` … Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// From when on it is refused: a day (`2027-01-01`, as it begins in UTC) or a moment (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Networks that it may be shown from: `10.0.0.0/8`. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Whether it is refused for now.
    #[serde(default)]
    pub disabled: bool,
}

/// A key as it is kept: by its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredKey {
    /// Its id.
    pub id: String,
    /// Its first letters.
    pub prefix: String,
    /// What it stands for.
    pub settings: KeySettings,
    /// Its digest.
    pub(super) hash: String,
    /// The one that it took the place of, while that is good.
    pub(super) previous: Option<Previous>,
    /// When it was made, in seconds since 1970 UTC.
    pub created: i64,
    /// When it was changed last.
    pub updated: i64,
    /// How often it was changed, and one.
    pub version: u64,
}

/// A key that another took the place of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Previous {
    pub hash: String,
    pub until: i64,
}

impl KeySettings {
    /// # Errors
    /// What is wrong with them.
    pub(super) fn check(&self) -> Result<(), StateError> {
        let bad = |what: String| Err(StateError::BadKey(what));
        if self.name.is_empty() || self.name.chars().count() > 128 || self.name.chars().any(char::is_control)
        {
            return bad("`name` has from 1 to 128 characters, none of them a control".to_owned());
        }
        if let Some(expires) = self.expires.as_ref().filter(|text| unix_time(text).is_none()) {
            return bad(format!("`expires`: `{expires}` is no day and no moment"));
        }
        if let Some(operation) = self.operations.iter().find(|name| Operation::from_name(name).is_none()) {
            return bad(format!("`operations`: there is no operation `{operation}`"));
        }
        if let Some(network) = self.networks.iter().find(|text| text.parse::<Network>().is_err()) {
            return bad(format!("`networks`: `{network}` is no network"));
        }
        if let Some(pattern) =
            self.models.iter().find(|name| name.strip_suffix('*').unwrap_or(name).contains('*'))
        {
            return bad(format!("`models`: `{pattern}`: a pattern has one `*`, at its end"));
        }
        Ok(())
    }

    fn caller(&self) -> Caller {
        Caller {
            by: Arc::from("key"),
            key: Some(Arc::from(self.name.as_str())),
            user: self.user.as_deref().map(Arc::from),
            team: self.team.as_deref().map(Arc::from),
            project: self.project.as_deref().map(Arc::from),
            tags: self.tags.iter().map(|(name, value)| (Arc::from(name.as_str()), value.clone())).collect(),
            claims: serde_json::Map::new(),
            models: self.models.iter().map(|model| Arc::from(model.as_str())).collect(),
            operations: self.operations.iter().filter_map(|name| Operation::from_name(name)).collect(),
        }
    }
}

impl StoredKey {
    pub(super) fn new(id: &str, settings: KeySettings, key: &str, now: i64) -> Self {
        Self {
            id: id.to_owned(),
            prefix: Self::prefix_of(key),
            settings,
            hash: print_digest(&digest(key)),
            previous: None,
            created: now,
            updated: now,
            version: 1,
        }
    }

    pub(super) fn prefix_of(key: &str) -> String {
        key.chars().take(PREFIX).collect()
    }

    /// Until when the key that it took the place of is good, in seconds since 1970 UTC.
    pub fn previous_until(&self) -> Option<i64> {
        self.previous.as_ref().map(|previous| previous.until)
    }

    /// # Errors
    /// It is at another version.
    pub(super) fn is_at(&self, version: Option<u64>) -> Result<(), StateError> {
        match version {
            Some(version) if version != self.version => Err(StateError::Outdated),
            _ => Ok(()),
        }
    }

    /// As the way of a request finds it: itself, and the one that it took the place of. A digest that cannot be read is no key.
    pub(super) fn rows(&self) -> Vec<KeyRow> {
        let expires = self.settings.expires.as_deref().and_then(unix_time);
        let caller = Arc::new(self.settings.caller());
        let row = |hash: &str, expires: Option<i64>| {
            Some(KeyRow {
                name: Arc::from(self.settings.name.as_str()),
                digest: parse_digest(hash).ok()?,
                caller: Arc::clone(&caller),
                disabled: self.settings.disabled,
                expires,
                networks: self.settings.networks.iter().filter_map(|text| text.parse().ok()).collect(),
            })
        };
        let previous = self.previous.iter().filter_map(|previous| {
            let until = expires.map_or(previous.until, |expires| expires.min(previous.until));
            row(&previous.hash, Some(until))
        });
        row(&self.hash, expires).into_iter().chain(previous).collect()
    }
}
