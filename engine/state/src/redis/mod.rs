//! Redis, or Valkey: state that several gateways share.
//!
//! Limits, permits and totals live in the server and change there by scripts, each one step that nothing comes between. Names
//! and amounts go to scripts as keys and arguments; a key is a digest, so nobody's name becomes part of a command, or can be read in
//! the server. What is asked of the server goes over one connection, from a thread of its own.

mod link;
mod permits;
mod rates;
mod script;
#[cfg(test)]
pub(crate) mod server;
mod totals;

use crate::StateError;
use crate::limits::RateStore;
use crate::permits::PermitStore;
use crate::totals::Store;
use link::Link;
pub use link::LinkHealth;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Where Redis is, and how one is let in.
#[derive(Clone)]
pub struct RedisSettings {
    /// Where it is.
    pub place: RedisPlace,
    /// The user's name, if not the default one's.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// Certificates, for addresses that begin with `rediss://`.
    pub tls: RedisTls,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What all keys begin with.
    pub prefix: String,
}

/// Where Redis is. Addresses are written `redis://host:port/database`, with TLS `rediss://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
    /// One server.
    Single(String),
    /// A master that sentinels name.
    Sentinel {
        /// The master's name.
        master: String,
        /// The sentinels' addresses.
        sentinels: Vec<String>,
    },
    /// A cluster, by some of its nodes.
    Cluster(Vec<String>),
}

/// Certificates, in PEM.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// Who signs the server's; without it, whoever the system trusts.
    pub ca: Option<Vec<u8>>,
    /// Ours, if the server asks for one.
    pub client: Option<RedisClientTls>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct RedisClientTls {
    /// The certificate, and those that lead to who is trusted.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl fmt::Display for RedisPlace {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |url: &String| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
            _ => url.clone(),
        };
        let list = |urls: &[String]| urls.iter().map(bare).collect::<Vec<_>>().join(", ");
        match self {
            Self::Single(url) => f.write_str(&bare(url)),
            Self::Sentinel { master, sentinels } => write!(f, "{master} ({})", list(sentinels)),
            Self::Cluster(nodes) => f.write_str(&list(nodes)),
        }
    }
}

/// A connection to Redis, and the thread that works for it. Dropped, both end.
pub(crate) struct Redis {
    link: Link,
    names: Names,
    over: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Redis {
    /// Connects. A server that cannot be reached is no error: it is tried for good.
    ///
    /// # Errors
    /// The settings are of no use.
    pub(crate) fn open(settings: &RedisSettings) -> Result<Self, StateError> {
        let place = settings.place.to_string();
        let broken = |error: std::io::Error| StateError::Unreachable {
            place: place.clone(),
            reason: format!("no thread to work for it: {error}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let link = Link::open(settings, runtime.handle().clone())?;
        let over = Arc::new(Notify::new());
        let ends = Arc::clone(&over);
        let thread = std::thread::Builder::new()
            .name("weir-redis".to_owned())
            .spawn(move || runtime.block_on(ends.notified()))
            .map_err(broken)?;
        link.runtime().block_on(link.tried());
        let gateway = own_name().ok_or_else(|| link.error("the system gives no random numbers"))?.into();
        let names = Names { prefix: settings.prefix.as_str().into(), gateway };
        Ok(Self { link, names, over, thread: Some(thread) })
    }

    /// Limits in it. `has_own_time`: by the server's clock; otherwise by what is told, for tests.
    pub(crate) fn rates(&self, has_own_time: bool) -> Arc<dyn RateStore> {
        Arc::new(rates::Rates::new(self.link.clone(), self.names.clone(), has_own_time))
    }

    /// Permits in it.
    pub(crate) fn permits(&self) -> Arc<dyn PermitStore> {
        Arc::new(permits::Permits::new(self.link.clone(), self.names.clone()))
    }

    /// The runtime of its thread.
    pub(crate) fn runtime(&self) -> &Handle {
        self.link.runtime()
    }

    /// Totals in it.
    pub(crate) fn totals(&self) -> Box<dyn Store> {
        Box::new(totals::Totals::new(self.link.clone(), self.names.clone()))
    }

    /// How it does.
    pub(crate) fn health(&self) -> LinkHealth {
        self.link.health()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.link.close();
        self.over.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// How things are called in the server.
#[derive(Clone)]
struct Names {
    prefix: Arc<str>,
    /// This process: each has a name that none had before.
    gateway: Arc<str>,
}

impl Names {
    /// The key of what these parts name.
    fn key(&self, kind: &str, parts: &[&[u8]]) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let digest = hasher.finalize().to_hex();
        format!("{}:{kind}:{}", self.prefix, digest.get(..32).unwrap_or_default())
    }
}

fn own_name() -> Option<String> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut name = [0_u8; 16];
    SystemRandom::new().fill(&mut name).ok()?;
    Some(format!("{:032x}", u128::from_le_bytes(name)))
}

/// A whole number in an answer.
fn whole(value: &::redis::Value) -> Option<u64> {
    match value {
        ::redis::Value::Int(number) => u64::try_from(*number).ok(),
        ::redis::Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        ::redis::Value::SimpleString(text) => text.parse().ok(),
        _ => None,
    }
}
