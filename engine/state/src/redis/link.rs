//! The connection to Redis: kept up by a task of its own, and known to be down while it is.
//!
//! While it is down every question fails at once, so that no request waits for a server that is not there. A question has an end
//! too: a server that stands still is as good as none. `tokio`'s clock ends it, as it does for all connections.

use super::{RedisPlace, RedisSettings};
use crate::StateError;
use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster::{ClusterClient, ClusterClientBuilder};
use ::redis::cluster_async::ClusterConnection;
use ::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates, TlsMode,
    Value,
};
use arc_swap::ArcSwapOption;
use futures::future::join_all;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// How long it takes to try again, at first and at most.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_AT_MOST: Duration = Duration::from_secs(1);
/// How often an idle connection is tried.
const PING: Duration = Duration::from_secs(1);

/// The connection. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    way: tokio::sync::Mutex<Way>,
    place: String,
    timeout: Duration,
    runtime: Handle,
    line: ArcSwapOption<Line>,
    /// Why there is none.
    why: Mutex<String>,
    broke: Notify,
    /// Rung when it was reached, or not.
    tried: Notify,
    is_over: AtomicBool,
    figures: Figures,
}

/// How it did since the process began.
#[derive(Default)]
struct Figures {
    asked: AtomicU64,
    failed: AtomicU64,
    connected: AtomicU64,
}

/// How the connection does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkHealth {
    /// Where the server is.
    pub place: String,
    /// Why it cannot be reached; `None` if it can.
    pub down: Option<String>,
    /// Commands sent since the process began.
    pub asked: u64,
    /// Commands that came to nothing.
    pub failed: u64,
    /// How often it was connected.
    pub connected: u64,
}

/// How one connects.
enum Way {
    Single(Client),
    Sentinel(SentinelClient),
    Cluster(ClusterClient),
}

/// A connection that stands.
enum Line {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Begins to connect, and goes on trying for good.
    ///
    /// # Errors
    /// The settings are of no use.
    pub(crate) fn open(settings: &RedisSettings, runtime: Handle) -> Result<Self, StateError> {
        let place = settings.place.to_string();
        let way = Way::of(settings).map_err(|error| failed(&place, &words(&error)))?;
        let link = Self(Arc::new(Inner {
            way: tokio::sync::Mutex::new(way),
            place,
            timeout: settings.timeout,
            runtime,
            line: ArcSwapOption::empty(),
            why: Mutex::new("it was not reached yet".to_owned()),
            broke: Notify::new(),
            tried: Notify::new(),
            is_over: AtomicBool::new(false),
            figures: Figures::default(),
        }));
        link.0.runtime.spawn(Arc::clone(&link.0).keep());
        Ok(link)
    }

    /// Waits until the server was reached for the first time, or could not be.
    pub(crate) async fn tried(&self) {
        self.0.tried.notified().await;
    }

    /// The runtime that its work belongs to.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Sends commands together. Each has its own answer.
    ///
    /// # Errors
    /// The server cannot be reached, or did not answer in time: whether the commands were done is not known.
    pub(crate) async fn run(&self, commands: &[Cmd]) -> Result<Vec<Result<Value, RedisError>>, StateError> {
        let inner = &self.0;
        let Some(line) = inner.line.load_full() else {
            return Err(failed(&inner.place, &inner.why()));
        };
        let count = commands.len() as u64;
        inner.figures.asked.fetch_add(count, Ordering::Relaxed);
        let answered = tokio::time::timeout(inner.timeout, line.run(commands)).await;
        let why = match answered {
            Ok(Ok(answers)) => match answers.iter().find_map(|answer| line.is_broken_by(answer)) {
                None => return Ok(answers),
                Some(why) => why,
            },
            Ok(Err(error)) => words(&error),
            Err(_) => format!("it did not answer within {} ms", inner.timeout.as_millis()),
        };
        inner.figures.failed.fetch_add(count, Ordering::Relaxed);
        inner.give_up(&line, &why);
        Err(failed(&inner.place, &why))
    }

    /// An error as this place tells it.
    pub(crate) fn error(&self, reason: &str) -> StateError {
        failed(&self.0.place, reason)
    }

    /// How it does.
    pub(crate) fn health(&self) -> LinkHealth {
        let Inner { place, line, figures, .. } = &*self.0;
        LinkHealth {
            place: place.clone(),
            down: line.load().is_none().then(|| self.0.why()),
            asked: figures.asked.load(Ordering::Relaxed),
            failed: figures.failed.load(Ordering::Relaxed),
            connected: figures.connected.load(Ordering::Relaxed),
        }
    }

    /// Ends it: later questions fail.
    pub(crate) fn close(&self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.broke.notify_one();
    }
}

impl Inner {
    fn why(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection is of no use any more. Only the first to say so is heard.
    fn give_up(&self, line: &Arc<Line>, why: &str) {
        let before = self.line.compare_and_swap(&Some(Arc::clone(line)), None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, line)) {
            self.is_down(why);
            self.broke.notify_one();
        }
    }

    fn is_down(&self, why: &str) {
        let mut last = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != why {
            tracing::error!(place = self.place, "Redis cannot be reached: {why}");
            why.clone_into(&mut last);
        }
    }

    /// Keeps the connection up.
    async fn keep(self: Arc<Self>) {
        let mut pause = RETRY;
        while !self.is_over.load(Ordering::Acquire) {
            match self.connect().await {
                Ok(line) => {
                    let line = Arc::new(line);
                    self.line.store(Some(Arc::clone(&line)));
                    self.figures.connected.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(place = self.place, "Redis is reached");
                    self.why.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    pause = RETRY;
                    self.tried.notify_one();
                    self.watch(&line).await;
                    self.line.store(None);
                }
                Err(why) => {
                    self.is_down(&why);
                    self.tried.notify_one();
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_AT_MOST);
        }
        "it was closed".clone_into(&mut self.why.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns when the connection broke.
    async fn watch(&self, line: &Arc<Line>) {
        loop {
            if tokio::time::timeout(PING, self.broke.notified()).await.is_ok() {
                return;
            }
            let ping = [::redis::cmd("PING")];
            let answer = match tokio::time::timeout(self.timeout, line.run(&ping)).await {
                Ok(Ok(answers)) => answers.iter().find_map(|answer| line.is_broken_by(answer)),
                Ok(Err(error)) => Some(words(&error)),
                Err(_) => Some(format!("it did not answer within {} ms", self.timeout.as_millis())),
            };
            if let Some(why) = answer {
                self.give_up(line, &why);
            }
        }
    }

    async fn connect(&self) -> Result<Line, String> {
        let mut way = self.way.lock().await;
        let connecting = way.connect(self.timeout);
        // A new connection takes several round trips, and with sentinels several connections.
        match tokio::time::timeout(self.timeout.max(PING) * 2, connecting).await {
            Ok(line) => line.map_err(|error| words(&error)),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }
}

impl Line {
    async fn run(&self, commands: &[Cmd]) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                let mut connection = connection.clone();
                let values = connection.req_packed_commands(&pipeline, 0, commands.len()).await?;
                Ok(values.into_iter().map(Value::extract_error).collect())
            }
            Self::Cluster(connection) => {
                // Each goes to the node that keeps its key; all are under way at once.
                let asked = commands.iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { connection.req_packed_command(command).await }
                });
                Ok(join_all(asked).await)
            }
        }
    }

    /// Whether an answer says that this connection is of no use.
    fn is_broken_by(&self, answer: &Result<Value, RedisError>) -> Option<String> {
        let error = answer.as_ref().err()?;
        let breaks = match (self, error.kind()) {
            (_, ErrorKind::Io | ErrorKind::AuthenticationFailed | ErrorKind::ClusterConnectionNotFound) => {
                true
            }
            // It serves no more, or is no master any more.
            (
                Self::Single(_),
                ErrorKind::Server(
                    ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading,
                ),
            ) => true,
            _ => false,
        };
        breaks.then(|| words(error))
    }
}

impl Way {
    fn of(settings: &RedisSettings) -> Result<Self, RedisError> {
        let RedisSettings { place, username, password, tls, .. } = settings;
        let certificates = TlsCertificates {
            client_tls: tls.client.as_ref().map(|client| ClientTlsConfig {
                client_cert: client.certificate.clone(),
                client_key: client.key.clone(),
            }),
            root_cert: tls.ca.clone(),
        };
        let is_own = certificates.client_tls.is_some() || certificates.root_cert.is_some();
        let info = |url: &str| -> Result<ConnectionInfo, RedisError> {
            let info = url.into_connection_info()?;
            let mut redis = info.redis_settings().clone();
            if let Some(name) = username {
                redis = redis.set_username(name);
            }
            if let Some(password) = password {
                redis = redis.set_password(password);
            }
            Ok(info.set_redis_settings(redis))
        };
        Ok(match place {
            RedisPlace::Single(url) => {
                let info = info(url)?;
                let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
                Self::Single(match is_tls && is_own {
                    true => Client::build_with_tls(info, certificates)?,
                    false => Client::open(info)?,
                })
            }
            RedisPlace::Cluster(urls) => {
                let infos = urls.iter().map(|url| info(url)).collect::<Result<Vec<_>, _>>()?;
                let is_tls = infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
                let mut builder = ClusterClientBuilder::new(infos)
                    .connection_timeout(settings.timeout)
                    .response_timeout(settings.timeout)
                    .retries(2);
                if is_tls && is_own {
                    builder = builder.certs(certificates);
                }
                Self::Cluster(builder.build()?)
            }
            RedisPlace::Sentinel { master, sentinels } => {
                let infos = sentinels.iter().map(|url| info(url)).collect::<Result<Vec<_>, _>>()?;
                let redis: RedisConnectionInfo = match infos.first() {
                    Some(info) => info.redis_settings().clone(),
                    None => RedisConnectionInfo::default(),
                };
                let is_tls = infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
                let addresses = infos.iter().map(|info| info.addr().clone());
                let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
                    .set_client_to_redis_db(redis.db());
                if let Some(name) = redis.username() {
                    builder = builder.set_client_to_redis_username(name);
                }
                if let Some(password) = redis.password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                if is_tls {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                    if is_own {
                        builder = builder
                            .set_client_to_redis_certificates(certificates.clone())
                            .set_client_to_sentinel_certificates(certificates);
                    }
                }
                Self::Sentinel(builder.build()?)
            }
        })
    }

    async fn connect(&mut self, timeout: Duration) -> Result<Line, RedisError> {
        // The end of a question is ours to keep: a script that was sent is not taken back.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout.max(PING)))
            .set_response_timeout(None);
        Ok(match self {
            Self::Single(client) => {
                Line::Single(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Self::Sentinel(client) => Line::Single(client.get_async_connection_with_config(&config).await?),
            Self::Cluster(client) => Line::Cluster(client.get_async_connection().await?),
        })
    }
}

fn failed(place: &str, reason: &str) -> StateError {
    StateError::Unreachable { place: place.to_owned(), reason: reason.to_owned() }
}

/// What went wrong, in one line; no error of Redis quotes a password.
fn words(error: &RedisError) -> String {
    let told = error.to_string();
    told.lines().next().unwrap_or_default().to_owned()
}
