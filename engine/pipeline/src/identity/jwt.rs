//! `jwt`: tokens that an issuer signed.

use super::fetch::Origin;
use super::{Found, Grade, Mapping, Scene};
use crate::Gateway;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use weir_message::{ErrorCode, Fault};
use weir_state::{Flight, KeptKeys, Proven, TokenFlaw, TokenKeys, TokenRules, claims_unproven};

/// How long nobody asks again after a fetch that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// How often a token that names an unknown key may have the keys fetched.
const UNKNOWN_EVERY: Duration = Duration::from_secs(10);

/// How long keys serve on that cannot be fetched again.
const STALE: Duration = Duration::from_secs(86_400);

/// Tokens of one issuer.
pub(crate) struct JwtWay {
    pub rules: TokenRules,
    pub keys: Keys,
    pub mapping: Mapping,
    /// Tokens that were proven, with the keys of that time.
    pub proven: Proven,
}

/// What proves tokens.
pub(crate) enum Keys {
    /// A secret that is shared with the issuer.
    Shared(Arc<TokenKeys>),
    /// Keys that the issuer publishes.
    Published { kept: Arc<KeptKeys>, origin: Origin, keep: Duration },
    /// Nothing: the set is checked or tried, and no token is real. What a token says of itself is believed, if it does not speak
    /// against the rules.
    Believed,
}

impl JwtWay {
    pub(super) async fn ask(self: &Arc<Self>, scene: Scene<'_>) -> Found {
        let Some(shown) = scene.shown.key() else { return Found::Nothing };
        let Some((token, claims)) =
            shown.and_then(|token| claims_unproven(&token).map(|claims| (token, claims)))
        else {
            let message = "the credential is no token that is known here";
            return Found::Refused(Grade::Unknown, Fault::new(ErrorCode::InvalidKey, message));
        };
        if matches!(self.keys, Keys::Believed) {
            return match self.rules.check_claims(&claims, scene.seconds, false) {
                Ok(_) => Found::Known(Arc::new(self.mapping.caller("jwt", claims))),
                Err(flaw) => refused(flaw),
            };
        }
        // Of another issuer: no key of this one is asked for.
        if claims.get("iss").and_then(serde_json::Value::as_str) != Some(&self.rules.issuer) {
            return refused(TokenFlaw::Issuer);
        }
        let (keys, got) = match self.keys(scene.gateway).await {
            Ok(keys) => keys,
            Err(why) => return unavailable(why),
        };
        let now = scene.gateway.clock.now();
        let id = Proven::id(&token, got);
        if let Some(caller) = self.proven.get(&id, now) {
            return Found::Known(caller);
        }
        let mut checked = self.rules.check(&token, &keys, scene.seconds);
        if checked == Err(TokenFlaw::UnknownKey)
            && let Some(newer) = Box::pin(self.newer(scene.gateway, got)).await
        {
            checked = self.rules.check(&token, &newer, scene.seconds);
        }
        match checked {
            Ok((claims, ends)) => {
                let caller = Arc::new(self.mapping.caller("jwt", claims));
                let left =
                    Duration::from_secs(u64::try_from(ends.saturating_sub(scene.seconds)).unwrap_or(0));
                self.proven.put(id, Arc::clone(&caller), now.saturating_add(left));
                Found::Known(caller)
            }
            Err(flaw) => refused(flaw),
        }
    }

    /// The issuer's keys, and when they were fetched.
    async fn keys(self: &Arc<Self>, gateway: &Arc<Gateway>) -> Result<(Arc<TokenKeys>, Duration), String> {
        let (kept, keep) = match &self.keys {
            Keys::Shared(keys) => return Ok((Arc::clone(keys), Duration::ZERO)),
            Keys::Published { kept, keep, .. } => (kept, *keep),
            Keys::Believed => return Err("this set is not served".to_owned()),
        };
        let now = gateway.clock.now();
        if let Some((keys, got)) = kept.get() {
            let age = now.saturating_sub(got);
            if age >= keep {
                self.renew_behind(gateway);
            }
            if age < keep.saturating_add(STALE) {
                return Ok((keys, got));
            }
        }
        Box::pin(self.first_keys(gateway)).await
    }

    /// Waits for keys where there are none.
    async fn first_keys(&self, gateway: &Gateway) -> Result<(Arc<TokenKeys>, Duration), String> {
        let Keys::Published { kept, keep, .. } = &self.keys else { return Err(String::new()) };
        let mut flight = kept.flight().lock_owned().await;
        let now = gateway.clock.now();
        if let Some((keys, got)) = kept.get().filter(|(_, got)| now.saturating_sub(*got) < *keep) {
            return Ok((keys, got));
        }
        match &flight.failed {
            Some((when, why)) if now < when.saturating_add(PAUSE) => Err(why.clone()),
            _ => self.fetch(gateway, &mut flight).await,
        }
    }

    /// Fetches keys while requests go on with those that are there.
    fn renew_behind(self: &Arc<Self>, gateway: &Arc<Gateway>) {
        let Keys::Published { kept, .. } = &self.keys else { return };
        let Ok(mut flight) = kept.flight().try_lock_owned() else { return };
        let now = gateway.clock.now();
        if flight.failed.as_ref().is_some_and(|(when, _)| now < when.saturating_add(PAUSE)) {
            return;
        }
        let (own, gateway) = (Arc::clone(self), Arc::clone(gateway));
        tokio::spawn(async move {
            if let Err(why) = own.fetch(&gateway, &mut flight).await {
                tracing::warn!(issuer = own.rules.issuer, "the issuer's keys stay as they were: {why}");
            }
        });
    }

    /// Keys fetched after `got`, for a token that names one which is not known; `None` if there are no newer ones.
    async fn newer(&self, gateway: &Gateway, got: Duration) -> Option<Arc<TokenKeys>> {
        let Keys::Published { kept, .. } = &self.keys else { return None };
        let mut flight = kept.flight().lock_owned().await;
        if let Some((keys, _)) = kept.get().filter(|(_, newer)| *newer > got) {
            return Some(keys);
        }
        let now = gateway.clock.now();
        if flight.for_unknown.is_some_and(|last| now < last.saturating_add(UNKNOWN_EVERY)) {
            return None;
        }
        flight.for_unknown = Some(now);
        match self.fetch(gateway, &mut flight).await {
            Ok((keys, _)) => Some(keys),
            Err(why) => {
                tracing::warn!(issuer = self.rules.issuer, "the issuer's keys stay as they were: {why}");
                None
            }
        }
    }

    async fn fetch(
        &self,
        gateway: &Gateway,
        flight: &mut OwnedMutexGuard<Flight>,
    ) -> Result<(Arc<TokenKeys>, Duration), String> {
        let Keys::Published { kept, origin, .. } = &self.keys else { return Err(String::new()) };
        let fetched = origin.fetch(gateway).await;
        let now = gateway.clock.now();
        match fetched {
            Ok(keys) => {
                flight.failed = None;
                Ok((kept.put(keys, now), now))
            }
            Err(why) => {
                flight.failed = Some((now, why.clone()));
                Err(why)
            }
        }
    }
}

fn refused(flaw: TokenFlaw) -> Found {
    let grade = if flaw == TokenFlaw::Issuer { Grade::Stranger } else { Grade::Wrong };
    Found::Refused(grade, Fault::new(ErrorCode::InvalidToken, flaw.told()))
}

fn unavailable(why: String) -> Found {
    let message = "the keys of the token's issuer cannot be had now";
    let mut fault = Fault::new(ErrorCode::IdentityUnavailable, message).detail(why);
    fault.retry_after = Some(PAUSE);
    Found::Refused(Grade::Wrong, fault)
}
