//! Where state is kept: the section `state`.

use crate::{Secret, Spanned, TextOrSecret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_diagnostic::units::Duration;
use weir_diagnostic::{Code, Diagnostic, Diagnostics};

/// Where state is kept. Without it, counts live in the process and end with it, and no ledger is kept. It cannot change while a process
/// serves: start a new one with `--upgrade`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateSection {
    /// A file that keeps what quotas and budgets counted (unless `redis` does), relative to the set's folder; it is made if there is
    /// none. Processes of one machine may share it. Beside it, with `.ledger` behind its name, lies the ledger: what every attempt cost,
    /// for `weir usage`; with `.keys`, the keys that the admin API made; with `.minted`, whose files and batches at providers are, and
    /// what their ids are sealed with.
    #[serde(default)]
    pub file: Option<String>,
    /// The secret that ids of providers are sealed with, for processes that share no file. Unset: one that is made once and kept in
    /// the file. With another, ids that were given out are good no more.
    #[serde(default)]
    pub seal: Option<Secret>,
    /// A Redis or Valkey server that gateways share: then `rate`, `concurrency`, `quota` and `budget` count over all of them. Where it
    /// cannot be reached, these guards do as their `on_error` says: `deny` refuses, with `skip` requests go on and each gateway
    /// holds the limits for itself.
    #[serde(default)]
    pub redis: Option<RedisState>,
    /// How the ledger is kept.
    #[serde(default)]
    pub ledger: LedgerKeeping,
}

/// A Redis or Valkey server. Exactly one of `url`, `sentinel` and `cluster` is set.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisState {
    /// One server: `redis://host:6379/0`, or with TLS `rediss://host:6379/0`.
    #[serde(default)]
    pub url: Option<Spanned<TextOrSecret>>,
    /// A master that sentinels name.
    #[serde(default)]
    pub sentinel: Option<RedisSentinel>,
    /// A cluster, by some of its nodes: `[redis://a:6379, redis://b:6379]`.
    #[serde(default)]
    pub cluster: Vec<Spanned<String>>,
    /// The user that it knows us as. Unset: its default one.
    #[serde(default)]
    pub username: Option<String>,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Certificates, for addresses that begin with `rediss://`.
    #[serde(default)]
    pub tls: Option<RedisCertificates>,
    /// How long an answer may take; then it counts as not reached.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// What the names of all its keys begin with: gateways that share limits have the same.
    #[serde(default = "prefix")]
    pub prefix: String,
}

fn timeout() -> Duration {
    Duration(std::time::Duration::from_millis(250))
}

fn prefix() -> String {
    "weir".to_owned()
}

/// A master that sentinels name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSentinel {
    /// The name that the sentinels know it by.
    pub master: String,
    /// The sentinels' addresses: `[redis://a:26379, redis://b:26379]`.
    pub at: Vec<Spanned<String>>,
}

/// Certificates, as PEM files.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisCertificates {
    /// Path of the authorities that sign the server's certificate, relative to the set's folder. Unset: whom the system trusts.
    #[serde(default)]
    pub ca: Option<String>,
    /// Path of our own certificate, if the server asks for one.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Path of its key.
    #[serde(default)]
    pub key: Option<String>,
}

impl PartialEq for RedisState {
    /// Whether they say the same, wherever it stands in the file.
    fn eq(&self, other: &Self) -> bool {
        fn urls(list: &[Spanned<String>]) -> Vec<&str> {
            list.iter().map(|url| url.value.as_str()).collect()
        }
        let sentinel =
            |state: &Self| state.sentinel.as_ref().map(|s| (s.master.clone(), urls(&s.at).join(" ")));
        let is_url_same = match (&self.url, &other.url) {
            (Some(url), Some(other)) => url.value.says(&other.value),
            (url, other) => url.is_none() && other.is_none(),
        };
        let is_password_same = match (&self.password, &other.password) {
            (Some(password), Some(other)) => password.says(other),
            (password, other) => password.is_none() && other.is_none(),
        };
        is_url_same
            && is_password_same
            && sentinel(self) == sentinel(other)
            && urls(&self.cluster) == urls(&other.cluster)
            && (&self.username, &self.tls, self.timeout, &self.prefix)
                == (&other.username, &other.tls, other.timeout, &other.prefix)
    }
}

/// How the ledger is kept: one row for each attempt, and the sums of each hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerKeeping {
    /// How long single rows are kept.
    pub rows: Duration,
    /// How long the sums of each hour are kept. Unset: for good.
    pub sums: Option<Duration>,
    /// Within how long a row is on disk: what is lost if the process is killed.
    pub grace: Duration,
    /// What becomes of requests while rows cannot be written and those that wait (65,536) fill their room.
    pub on_error: LedgerError,
}

impl Default for LedgerKeeping {
    fn default() -> Self {
        Self {
            rows: Duration(std::time::Duration::from_secs(90 * 86_400)),
            sums: None,
            grace: Duration(std::time::Duration::from_millis(100)),
            on_error: LedgerError::Fail,
        }
    }
}

/// What becomes of requests whose cost cannot be written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerError {
    /// They are refused (503 `ledger-unavailable`).
    #[default]
    Fail,
    /// They go on, and the metric `weir_ledger_rows_lost` counts the rows that are missing.
    Skip,
}

/// Checks the section `state`.
pub(crate) fn check(section: &Spanned<StateSection>, diagnostics: &mut Diagnostics) {
    let state = &section.value;
    if state.file.is_none() && state.redis.is_none() {
        let found = Diagnostic::new(Code::MissingField, "`state` does not say where").at(section.span);
        diagnostics.push(found.help("name a file, a Redis server, or both: state: { file: weir.db }"));
    }
    if state.file.is_none() && state.ledger != LedgerKeeping::default() {
        let found = Diagnostic::new(Code::MissingField, "`ledger` says how a ledger is kept, and none is");
        diagnostics.push(found.at(section.span).help("name the file that it lies beside: `file: weir.db`"));
    }
    let Some(redis) = &state.redis else { return };
    let ways = [redis.url.is_some(), redis.sentinel.is_some(), !redis.cluster.is_empty()];
    if ways.iter().filter(|way| **way).count() != 1 {
        let message = "`redis` takes one of `url`, `sentinel` and `cluster`";
        let found = Diagnostic::new(Code::BadValue, message).at(section.span);
        diagnostics.push(found.help("write `url: redis://127.0.0.1:6379/0` for one server"));
    }
    if let Some(url) = &redis.url
        && let TextOrSecret::Text(text) = &url.value
    {
        check_url(text, url.span, diagnostics);
    }
    let sentinels = redis.sentinel.iter().flat_map(|sentinel| &sentinel.at);
    redis.cluster.iter().chain(sentinels).for_each(|url| check_url(&url.value, url.span, diagnostics));
    if let Some(tls) = &redis.tls
        && tls.certificate.is_some() != tls.key.is_some()
    {
        let found =
            Diagnostic::new(Code::MissingField, "a certificate needs its key, and a key its certificate");
        diagnostics.push(found.at(section.span).help("give both `certificate` and `key`, or neither"));
    }
    if redis.timeout.0.is_zero() {
        let found = Diagnostic::new(Code::BadValue, "no server answers in no time").at(section.span);
        diagnostics.push(found.help("write `timeout: 250ms`"));
    }
}

fn check_url(url: &str, span: weir_diagnostic::Span, diagnostics: &mut Diagnostics) {
    let help = "write `redis://host:6379/0`, or with TLS `rediss://host:6379/0`";
    let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "redis" | "rediss"))
    else {
        let message = format!("`{}` is no address of Redis", url.rsplit('@').next().unwrap_or_default());
        diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help(help));
        return;
    };
    let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
    if place.contains('@') {
        let found = Diagnostic::new(Code::BadValue, "a password stands here by reference, never as text");
        diagnostics
            .push(found.at(span).help("write `password: \"${env:REDIS_PASSWORD}\"` beside the address"));
        return;
    }
    let port = place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    let is_port = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
    let host = port.map_or(place, |(host, _)| host);
    if host.is_empty() || !is_port || !database.is_empty() && database.parse::<u16>().is_err() {
        let message = format!("`{url}` is no address of Redis");
        diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help(help));
    }
}
