//! Who calls: what a client shows, judged by the ways that the listener names, before a pipeline is picked.

mod allow;
mod claims;
mod external;
mod fetch;
mod jwt;
mod shown;

pub(crate) use allow::AllowWay;
pub(crate) use claims::{Given, Mapping};
pub(crate) use external::ExternalWay;
pub(crate) use fetch::{Origin, read_bounded};
pub(crate) use jwt::{JwtWay, Keys};
pub use shown::Shown;

use crate::{Gateway, Plan};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Caller, ErrorCode, Fault};
use weir_state::GuessLimit;

/// How a listener tells callers apart.
pub(crate) struct Identity {
    pub ways: Vec<Way>,
    pub guesses: Option<GuessLimit>,
}

/// One way to tell callers apart.
pub(crate) enum Way {
    Key,
    Basic,
    Mtls(Mapping),
    Jwt(Arc<JwtWay>),
    Allow(Box<AllowWay>),
    External(Box<ExternalWay>),
    Any(Vec<Way>),
    All(Vec<Way>),
}

/// What one way finds.
enum Found {
    /// The client shows nothing that it reads.
    Nothing,
    /// It does not take what the client shows. Of several refusals the client is told the gravest.
    Refused(Grade, Fault),
    /// It knows the caller.
    Known(Arc<Caller>),
}

/// How much a way has made of what it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// Nothing: it may be meant for another way.
    Unknown,
    /// It is of the right kind, and of somebody who is not known here.
    Stranger,
    /// It is meant for this way, and wrong.
    Wrong,
}

impl Found {
    fn or(self, later: Self) -> Self {
        match (&self, &later) {
            (Self::Known(_), _) | (_, Self::Nothing) => self,
            (Self::Refused(first, _), Self::Refused(second, _)) if first >= second => self,
            _ => later,
        }
    }
}

/// What a way judges by.
#[derive(Clone, Copy)]
struct Scene<'a> {
    gateway: &'a Arc<Gateway>,
    plan: &'a Arc<Plan>,
    shown: &'a Shown<'a>,
    /// Seconds since 1970 UTC.
    seconds: i64,
    /// Whom the ways above have found (`all:`).
    so_far: Option<&'a Arc<Caller>>,
}

impl Scene<'_> {
    /// Whose key this is: one of the set's, or one that was made while the process serves.
    fn lookup(&self, key: &str, from: Option<IpAddr>) -> Option<Arc<Caller>> {
        let declared = self.plan.keys.lookup(key, from, self.seconds);
        declared.or_else(|| self.gateway.state.keys.lookup(key, from, self.seconds))
    }
}

/// Who sends a request: `None` if its listener identifies nobody or the client shows no credential.
///
/// # Errors
/// It shows a wrong one (401), has shown too many of these (429), or it cannot be said now (503).
pub async fn identify(
    gateway: &Arc<Gateway>,
    plan: &Arc<Plan>,
    shown: &Shown<'_>,
) -> Result<Option<Arc<Caller>>, Fault> {
    let Some(identity) = plan.identities.get(shown.listener).filter(|identity| !identity.ways.is_empty())
    else {
        return Ok(None);
    };
    let now = gateway.clock.now();
    let from = shown.source.map(|source| source.ip());
    let limited = identity.guesses.zip(from);
    if let Some((_, from)) = limited
        && let Some(left) = gateway.state.guesses.closed(from, now)
    {
        return Err(too_many(left));
    }
    let seconds = gateway.clock.unix_nanos() / 1_000_000_000;
    let scene = Scene { gateway, plan, shown, seconds, so_far: None };
    match first(&identity.ways, scene).await {
        Found::Known(caller) => Ok(Some(caller)),
        Found::Nothing => Ok(None),
        Found::Refused(_, fault) => {
            if let Some((limit, from)) = limited.filter(|_| fault.status() == 401) {
                gateway.state.guesses.wrong(from, limit, now);
            }
            Err(fault)
        }
    }
}

fn too_many(left: Duration) -> Fault {
    let message = "too many wrong credentials came from this address; come back later";
    let mut fault = Fault::new(ErrorCode::RateLimited, message);
    fault.retry_after = Some(left);
    fault
}

/// The first way that knows the caller.
async fn first(ways: &[Way], scene: Scene<'_>) -> Found {
    let mut found = Found::Nothing;
    for way in ways {
        found = found.or(way.ask(scene).await);
        if matches!(found, Found::Known(_)) {
            break;
        }
    }
    found
}

/// All ways together.
async fn together(ways: &[Way], scene: Scene<'_>) -> Found {
    let mut so_far: Option<Arc<Caller>> = None;
    let (mut is_short, mut has_shown) = (false, false);
    for way in ways {
        // Without one of the credentials before it, an expression has nobody to judge.
        if is_short && matches!(way, Way::Allow(_)) {
            continue;
        }
        match way.ask(Scene { so_far: so_far.as_ref().or(scene.so_far), ..scene }).await {
            Found::Nothing => is_short = true,
            Found::Known(caller) => {
                has_shown |= !matches!(way, Way::Allow(_));
                so_far = match so_far {
                    None => Some(caller),
                    Some(before) => match before.with(&caller) {
                        Some(both) => Some(Arc::new(both)),
                        None => return not_enough("the credentials together allow nothing"),
                    },
                };
            }
            refused @ Found::Refused(..) => return refused,
        }
    }
    match so_far {
        Some(caller) if !is_short => Found::Known(caller),
        Some(_) if has_shown => not_enough("what the request shows is not enough to be known here"),
        _ => Found::Nothing,
    }
}

fn not_enough(message: &'static str) -> Found {
    Found::Refused(Grade::Wrong, Fault::new(ErrorCode::InvalidKey, message))
}

impl Way {
    async fn ask(&self, scene: Scene<'_>) -> Found {
        match self {
            Self::Key => key(scene),
            Self::Basic => basic(scene),
            Self::Mtls(mapping) => match scene.shown.certificate {
                None => Found::Nothing,
                Some(claims) => Found::Known(Arc::new(mapping.caller("mtls", (**claims).clone()))),
            },
            // Fetching keys makes their futures large, and they are not everyone's.
            Self::Jwt(way) => Box::pin(way.ask(scene)).await,
            Self::Allow(way) => way.ask(scene),
            Self::External(way) => Box::pin(way.ask(scene)).await,
            Self::Any(ways) => Box::pin(first(ways, scene)).await,
            Self::All(ways) => Box::pin(together(ways, scene)).await,
        }
    }
}

/// By an API key.
fn key(scene: Scene<'_>) -> Found {
    let Some(shown) = scene.shown.key() else { return Found::Nothing };
    let from = scene.shown.source.map(|source| source.ip());
    match shown.and_then(|key| scene.lookup(&key, from)) {
        Some(caller) => Found::Known(caller),
        None => Found::Refused(Grade::Unknown, Fault::new(ErrorCode::InvalidKey, scene.shown.unknown())),
    }
}

/// By an API key as a password (RFC 7617).
fn basic(scene: Scene<'_>) -> Found {
    let Some(shown) = scene.shown.user_and_password() else { return Found::Nothing };
    let from = scene.shown.source.map(|source| source.ip());
    let caller = shown.and_then(|(user, password)| {
        let caller = scene.lookup(&password, from)?;
        let is_theirs = [&caller.key, &caller.user].into_iter().flatten().any(|name| **name == *user);
        is_theirs.then_some(caller)
    });
    match caller {
        Some(caller) => Found::Known(caller),
        None => {
            let message = "the user name or the password is wrong";
            Found::Refused(Grade::Wrong, Fault::new(ErrorCode::InvalidKey, message))
        }
    }
}
