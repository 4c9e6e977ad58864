//! `/admin/v1/keys` and `/admin/v1/audit`.

use super::problem::{Problem, problem};
use super::{Asked, V1};
use crate::admin::{JSON, reply};
use http::header::{ETAG, IF_MATCH, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::{NoContext, Timestamp, Uuid};
use weir_diagnostic::units::Duration;
use weir_state::{Act, AuditEntry, Chain, Created, KeySettings, StoredKey, generate, rfc3339};

/// Keys of a page, where none is said, and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// A key.
#[derive(Serialize, JsonSchema)]
pub(super) struct Key {
    /// Its id.
    id: String,
    /// Its first letters.
    prefix: String,
    /// What it stands for.
    settings: KeySettings,
    /// The key itself: told when it is made or rotated, this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Until when the key that it took the place of is good (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_until: Option<String>,
    /// When it was made (RFC 3339).
    created: String,
    /// When it was changed last (RFC 3339).
    updated: String,
}

/// A page of keys.
#[derive(Serialize, JsonSchema)]
pub(super) struct KeyPage {
    /// The keys, in the order in which they were made.
    items: Vec<Key>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What is changed about a key; what is left out stays, and null takes away.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(clippy::option_option, reason = "absent, null, a value")]
pub(super) struct KeyChange {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    user: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    team: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    project: Option<Option<String>>,
    #[serde(default)]
    tags: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    models: Option<Vec<String>>,
    #[serde(default)]
    operations: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    expires: Option<Option<String>>,
    #[serde(default)]
    networks: Option<Vec<String>>,
    #[serde(default)]
    disabled: Option<bool>,
}

#[allow(clippy::option_option, reason = "absent, null, a value")]
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(value).map(Some)
}

/// How a key is rotated.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// How long the key that it has now stays good: `24h`. Unset: it is refused at once.
    #[serde(default)]
    overlap: Option<Duration>,
}

/// A page of what was done.
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditPage {
    /// What was done, oldest first.
    items: Vec<AuditEntry>,
    /// Whether these are bound to each other, and to the one before them, as they were written.
    intact: bool,
    /// The number of the first that is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_at: Option<u64>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Key {
    fn of(stored: &StoredKey, key: Option<String>) -> Self {
        Self {
            id: stored.id.clone(),
            prefix: stored.prefix.clone(),
            settings: stored.settings.clone(),
            key,
            previous_until: stored.previous_until().map(rfc3339),
            created: rfc3339(stored.created),
            updated: rfc3339(stored.updated),
        }
    }
}

impl V1 {
    fn seconds(&self) -> i64 {
        self.gateway.clock.unix_nanos().div_euclid(1_000_000_000)
    }

    fn act<'a>(&self, once: Option<(&'a str, [u8; 32])>) -> Act<'a> {
        Act { actor: "admin", now: self.seconds(), once }
    }

    pub(super) fn list_keys(&self, asked: &Asked) -> Result<Response<Vec<u8>>, Problem> {
        let mut limit = PAGE;
        let (mut after, mut team, mut prefix, mut name) = (String::new(), None, None, None);
        for (field, value) in pairs(&asked.query)? {
            match field.as_str() {
                "limit" => limit = page_size(&value)?,
                "cursor" => after = value,
                "team" => team = Some(value),
                "prefix" => prefix = Some(value),
                "name" => name = Some(value),
                _ => {
                    return Err(problem(StatusCode::BAD_REQUEST, format!("there is no parameter `{field}`")));
                }
            }
        }
        // A key is found by its first letters however many are shown of it.
        let begins = |key: &StoredKey, prefix: &String| {
            key.prefix.starts_with(prefix.as_str()) || prefix.starts_with(&key.prefix)
        };
        let wanted = |key: &StoredKey| {
            team.as_ref().is_none_or(|team| key.settings.team.as_ref() == Some(team))
                && name.as_ref().is_none_or(|name| key.settings.name == *name)
                && prefix.as_ref().is_none_or(|prefix| begins(key, prefix))
        };
        let mut found = self.gateway.state.keys.list(&after, limit + 1, wanted)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|key| key.id.clone());
        let items = found.iter().map(|key| Key::of(key, None)).collect();
        Ok(json(StatusCode::OK, &KeyPage { items, next }))
    }

    pub(super) fn create_key(&self, asked: &Asked) -> Result<Response<Vec<u8>>, Problem> {
        let settings: KeySettings = body(asked)?;
        if self.current.plan().has_key(&settings.name) {
            let told = "the policy set declares a key of this name: it is changed there";
            return Err(problem(StatusCode::CONFLICT, told));
        }
        let once = match asked.headers.get("idempotency-key") {
            None => None,
            Some(value) => match value.to_str() {
                Ok(text) if (1..=255).contains(&text.len()) => {
                    Some((text, weir_state::digest_of(&asked.body)))
                }
                _ => {
                    let told = "`idempotency-key` has from 1 to 255 visible characters";
                    return Err(problem(StatusCode::BAD_REQUEST, told));
                }
            },
        };
        let (id, key) = (self.fresh_id(), fresh_key()?);
        let created = self.gateway.state.keys.create(&id, settings, &key, self.act(once))?;
        let (status, stored, key) = match created {
            Created::New(stored) => (StatusCode::CREATED, stored, Some(key)),
            // The key itself was told when it was made, and nobody here knows it any more.
            Created::Before(stored) => (StatusCode::OK, stored, None),
        };
        let mut response = tagged(status, &stored, key);
        if let Ok(place) = HeaderValue::try_from(format!("{}keys/{}", super::BASE, stored.id)) {
            response.headers_mut().insert(LOCATION, place);
        }
        Ok(response)
    }

    pub(super) fn read_key(&self, id: &str) -> Result<Response<Vec<u8>>, Problem> {
        Ok(tagged(StatusCode::OK, &self.gateway.state.keys.get(id)?, None))
    }

    pub(super) fn change_key(&self, id: &str, asked: &Asked) -> Result<Response<Vec<u8>>, Problem> {
        let change: KeyChange = body(asked)?;
        if change.name.as_ref().is_some_and(|name| self.current.plan().has_key(name)) {
            return Err(problem(StatusCode::CONFLICT, "the policy set declares a key of this name"));
        }
        let version = version(asked)?;
        let stored =
            self.gateway.state.keys.change(id, version, self.act(None), |settings| change.make(settings))?;
        Ok(tagged(StatusCode::OK, &stored, None))
    }

    pub(super) fn rotate_key(&self, id: &str, asked: &Asked) -> Result<Response<Vec<u8>>, Problem> {
        let rotation: Rotation = if asked.body.is_empty() { Rotation::default() } else { body(asked)? };
        let overlap =
            rotation.overlap.map_or(0, |overlap| i64::try_from(overlap.0.as_secs()).unwrap_or(i64::MAX));
        let (version, key) = (version(asked)?, fresh_key()?);
        let stored = self.gateway.state.keys.rotate(id, version, &key, overlap, self.act(None))?;
        Ok(tagged(StatusCode::OK, &stored, Some(key)))
    }

    pub(super) fn delete_key(&self, id: &str, asked: &Asked) -> Result<Response<Vec<u8>>, Problem> {
        self.gateway.state.keys.delete(id, version(asked)?, self.act(None))?;
        let mut response = reply(StatusCode::NO_CONTENT, JSON, "");
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
        Ok(response)
    }

    pub(super) fn list_audit(&self, asked: &Asked) -> Result<Response<Vec<u8>>, Problem> {
        let (mut limit, mut after) = (PAGE, 0);
        for (field, value) in pairs(&asked.query)? {
            match field.as_str() {
                "limit" => limit = page_size(&value)?,
                "cursor" => {
                    after = value
                        .parse()
                        .map_err(|_| problem(StatusCode::BAD_REQUEST, "this is no cursor of this list"))?;
                }
                _ => {
                    return Err(problem(StatusCode::BAD_REQUEST, format!("there is no parameter `{field}`")));
                }
            }
        }
        let (mut items, chain) = self.gateway.state.keys.audit(after, limit + 1)?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|entry| entry.seq.to_string());
        let broken_at = match chain {
            Chain::Holds => None,
            Chain::BrokenAt(seq) => Some(seq),
        };
        Ok(json(StatusCode::OK, &AuditPage { items, intact: broken_at.is_none(), broken_at, next }))
    }

    fn fresh_id(&self) -> String {
        let nanos = self.gateway.clock.unix_nanos();
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(0);
        let rest = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
        format!("key_{}", Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, rest)).simple())
    }
}

impl KeyChange {
    fn make(self, settings: &mut KeySettings) {
        let Self { name, user, team, project, tags, models, operations, expires, networks, disabled } = self;
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut settings.name, name);
        set(&mut settings.user, user);
        set(&mut settings.team, team);
        set(&mut settings.project, project);
        set(&mut settings.tags, tags);
        set(&mut settings.models, models);
        set(&mut settings.operations, operations);
        set(&mut settings.expires, expires);
        set(&mut settings.networks, networks);
        set(&mut settings.disabled, disabled);
    }
}

fn fresh_key() -> Result<String, Problem> {
    let mut random = [0; 32];
    match SystemRandom::new().fill(&mut random) {
        Ok(()) => Ok(generate(random)),
        Err(_) => Err(problem(StatusCode::SERVICE_UNAVAILABLE, "there are no random numbers")),
    }
}

/// The version that the client knows (RFC 9110, 13.1.1).
fn version(asked: &Asked) -> Result<Option<u64>, Problem> {
    let Some(value) = asked.headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number =
        text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    // A tag that none of ours is matches none.
    number.map(Some).ok_or_else(|| weir_state::StateError::Outdated.into())
}

fn tagged(status: StatusCode, stored: &StoredKey, key: Option<String>) -> Response<Vec<u8>> {
    let mut response = json(status, &Key::of(stored, key));
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", stored.version)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Vec<u8>> {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            reply(status, JSON, body)
        }
        Err(failure) => problem(StatusCode::INTERNAL_SERVER_ERROR, failure.to_string()).response(),
    }
}

fn body<T: serde::de::DeserializeOwned>(asked: &Asked) -> Result<T, Problem> {
    serde_json::from_slice(&asked.body).map_err(|why| {
        problem(StatusCode::BAD_REQUEST, format!("the body is not what this path takes: {why}"))
    })
}

fn page_size(text: &str) -> Result<usize, Problem> {
    let size = text.parse().ok().filter(|size| (1..=LARGEST_PAGE).contains(size));
    size.ok_or_else(|| problem(StatusCode::BAD_REQUEST, format!("`limit` is from 1 to {LARGEST_PAGE}")))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let decoded = |text: &str| {
        let text = weir_dialect::percent_decoded(text).map(|text| text.to_string());
        text.ok_or_else(|| problem(StatusCode::BAD_REQUEST, "the query is not percent-encoded UTF-8"))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}
