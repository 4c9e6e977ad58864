//! What was done to keys: appended, never changed, each entry bound to the one before by its hash.

use super::{Act, StoredKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number, from 1.
    pub seq: u64,
    /// When, in seconds since 1970 UTC.
    pub at: i64,
    /// Who did it.
    pub actor: String,
    /// What: `key.create`, `key.change`, `key.rotate`, `key.delete`.
    pub action: String,
    /// The id of the key.
    pub id: String,
    /// The key's settings after it (before it, where the key was deleted).
    pub settings: Value,
    /// The hash of the entry before; empty for the first.
    pub before: String,
    /// BLAKE3 of all of the above, as JSON without this field.
    pub hash: String,
}

/// Whether entries are bound to each other as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// They are.
    Holds,
    /// The entry of this number does not follow from the one before it, or was changed.
    BrokenAt(u64),
}

impl AuditEntry {
    pub(super) fn after(last: Option<&Self>, action: &str, key: &StoredKey, act: Act<'_>) -> Self {
        let mut entry = Self {
            seq: last.map_or(1, |last| last.seq + 1),
            at: act.now,
            actor: act.actor.to_owned(),
            action: action.to_owned(),
            id: key.id.clone(),
            settings: serde_json::to_value(&key.settings).unwrap_or_default(),
            before: last.map(|last| last.hash.clone()).unwrap_or_default(),
            hash: String::new(),
        };
        entry.hash = entry.own_hash();
        entry
    }

    fn own_hash(&self) -> String {
        let bare = Self { hash: String::new(), ..self.clone() };
        let json = serde_json::to_vec(&bare).unwrap_or_default();
        blake3::hash(&json).to_hex().to_string()
    }
}

pub(super) fn parse(json: &[u8]) -> Result<AuditEntry, String> {
    serde_json::from_slice(json).map_err(|error| format!("an entry of its audit log cannot be read: {error}"))
}

/// Whether entries in a row are bound to each other; the first is the one numbered `after`, or where the log begins if that is 0.
pub(super) fn holds(entries: &[AuditEntry], after: u64) -> Chain {
    let mut before: Option<&AuditEntry> = None;
    for entry in entries {
        let follows = match before {
            Some(before) => entry.seq == before.seq + 1 && entry.before == before.hash,
            None if after > 0 => entry.seq == after,
            None => entry.seq == 1 && entry.before.is_empty(),
        };
        if !follows || entry.hash != entry.own_hash() {
            return Chain::BrokenAt(entry.seq);
        }
        before = Some(entry);
    }
    Chain::Holds
}
