//! Tokens that prove who asks: got once, kept until shortly before they end, renewed by one call at a time (OAuth 2.0, RFC 6749).

mod statement;
#[cfg(test)]
mod tests;

use super::http::Http;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_message::Cause;
use weir_pipeline::{Answer, Call, CallError, Grant, Provider, Timeouts, TokenSource};

/// How long the token endpoint may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer of a token endpoint that is read, in bytes.
const LARGEST: u64 = 64 << 10;

/// How long before its end a token is renewed, at most, while calls still go on with it.
const AHEAD: Duration = Duration::from_secs(300);

/// How long a renewal ahead of time is left alone after one that failed.
const PAUSE: Duration = Duration::from_secs(10);

/// How long a token holds whose endpoint does not say.
const UNSAID: u64 = 300;

/// Tokens by where they come from, so that a reload keeps them.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Arc<TokenSource>, Arc<Kept>>>);

/// What is known of one source.
#[derive(Default)]
struct Kept {
    token: ArcSwapOption<Token>,
    /// Who holds it asks; it says when the last one who did failed, and why.
    flight: Arc<tokio::sync::Mutex<Option<(Duration, CallError)>>>,
}

/// A token.
#[derive(Debug)]
struct Token {
    /// As a header, marked sensitive.
    shown: HeaderValue,
    /// From when it is renewed, and when it ends, on the gateway's clock.
    renew: Duration,
    ends: Duration,
}

impl Kept {
    fn token_at(&self, now: Duration) -> Option<Arc<Token>> {
        self.token.load_full().filter(|token| now < token.ends)
    }

    /// Drops a token that the provider does not take.
    fn forget(&self, token: &Arc<Token>) {
        let current = self.token.load_full();
        if current.is_some_and(|current| Arc::ptr_eq(&current, token)) {
            self.token.store(None);
        }
    }
}

impl Tokens {
    fn of(&self, source: &Arc<TokenSource>, now: Duration) -> Arc<Kept> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get(source) {
            return Arc::clone(kept);
        }
        // A new one comes with a changed policy or secret; those before it go once their tokens have ended and nobody asks.
        all.retain(|_, kept| Arc::strong_count(kept) > 1 || kept.token_at(now).is_some());
        Arc::clone(all.entry(Arc::clone(source)).or_default())
    }
}

impl Http {
    /// Sends one attempt with a token. One that was kept and is refused may have been revoked: once more with a new one.
    pub(super) async fn send_with_token(
        self: &Arc<Self>,
        mut call: Call,
        source: Arc<TokenSource>,
    ) -> Result<Answer, CallError> {
        let kept = self.tokens.of(&source, self.clock.now());
        let (token, is_new) = self.token(&kept, &source).await?;
        call.headers.insert(AUTHORIZATION, token.shown.clone());
        let answer = self.send_as_it_is(&call).await?;
        if answer.status != 401 || is_new {
            return Ok(answer);
        }
        kept.forget(&token);
        let (token, _) = self.token(&kept, &source).await?;
        call.headers.insert(AUTHORIZATION, token.shown.clone());
        self.send_as_it_is(&call).await
    }

    /// A token that holds, and whether it was got just now. Of several calls without one a single one asks; a token that ends
    /// soon is renewed behind the calls that go on with it.
    async fn token(
        self: &Arc<Self>,
        kept: &Arc<Kept>,
        source: &Arc<TokenSource>,
    ) -> Result<(Arc<Token>, bool), CallError> {
        let since = self.clock.now();
        if let Some(token) = kept.token_at(since) {
            if since >= token.renew {
                self.renew_behind(kept, source, since);
            }
            return Ok((token, false));
        }
        let mut flight = Arc::clone(&kept.flight).lock_owned().await;
        if let Some(token) = kept.token_at(self.clock.now()) {
            return Ok((token, true));
        }
        // Who waited for one that failed does not ask the same again.
        if let Some((_, error)) = flight.as_ref().filter(|(when, _)| *when > since) {
            return Err(error.clone());
        }
        let got = self.renew(kept, source, &mut flight).await?;
        Ok((got, true))
    }

    fn renew_behind(self: &Arc<Self>, kept: &Arc<Kept>, source: &Arc<TokenSource>, now: Duration) {
        let Ok(mut flight) = Arc::clone(&kept.flight).try_lock_owned() else { return };
        if flight.as_ref().is_some_and(|(when, _)| now < *when + PAUSE) {
            return;
        }
        let (http, kept, source) = (Arc::clone(self), Arc::clone(kept), Arc::clone(source));
        tokio::spawn(async move {
            if let Err(error) = http.renew(&kept, &source, &mut flight).await {
                tracing::warn!(
                    host = source.endpoint.host,
                    "a token could not be renewed ahead of time: {error}"
                );
            }
        });
    }

    async fn renew(
        &self,
        kept: &Kept,
        source: &TokenSource,
        flight: &mut Option<(Duration, CallError)>,
    ) -> Result<Arc<Token>, CallError> {
        match self.fetch(source).await {
            Ok(token) => {
                let token = Arc::new(token);
                kept.token.store(Some(Arc::clone(&token)));
                *flight = None;
                Ok(token)
            }
            Err(error) => {
                *flight = Some((self.clock.now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Asks for a token.
    async fn fetch(&self, source: &TokenSource) -> Result<Token, CallError> {
        let asked = self.clock.now();
        let seconds = u64::try_from(self.clock.unix_nanos() / 1_000_000_000).unwrap_or_default();
        let call = question(source, seconds)?;
        let answer = self.send_as_it_is(&call).await.map_err(|error| told(&error.detail, error.cause))?;
        let status = answer.status;
        let mut body = Vec::new();
        let mut pieces = answer.body;
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|error| told(&error.detail, error.cause))?);
        }
        if status != 200 {
            return Err(refused(status, &body));
        }
        let no_token = || told("no `access_token` in it that a header can hold", Cause::Invalid);
        let said: Said = serde_json::from_slice(&body).map_err(|_| no_token())?;
        let mut shown =
            HeaderValue::try_from(format!("Bearer {}", said.access_token)).map_err(|_| no_token())?;
        shown.set_sensitive(true);
        let life = Duration::from_secs(said.expires_in.map_or(UNSAID, Seconds::get));
        // A little earlier than it says: the way there takes time.
        let ends = asked + life.saturating_sub((life / 10).min(Duration::from_secs(10)));
        Ok(Token { shown, renew: ends.saturating_sub((life / 4).min(AHEAD)), ends })
    }
}

/// What a token endpoint answers (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Said {
    access_token: String,
    expires_in: Option<Seconds>,
}

/// A count of seconds, which some write as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn get(self) -> u64 {
        match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => text.parse().unwrap_or(UNSAID),
        }
    }
}

fn told(what: &str, cause: Cause) -> CallError {
    CallError::new(cause, format!("getting a token: {what}"))
}

/// What a refusal means. Its code is told (RFC 6749, 5.2), its words are not: they may name what is secret.
fn refused(status: u16, body: &[u8]) -> CallError {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let cause = match status {
        429 => Cause::RateLimited,
        500.. => Cause::ServerError,
        _ => Cause::Unauthorized,
    };
    let code = serde_json::from_slice::<Refusal>(body).map(|said| format!(" `{}`", said.error));
    told(&format!("the status {status}{}", code.unwrap_or_default()), cause)
}

/// The request for a token, at so many seconds after 1970 UTC.
fn question(source: &TokenSource, now: u64) -> Result<Call, CallError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(weir_dialect::JSON));
    let form = match &source.grant {
        Grant::Client { id, secret, scope } => Some(form(&[
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", scope),
        ])),
        Grant::Signed { issuer, key_id, private_key, audience, scope } => {
            let statement =
                statement::signed(issuer, key_id.as_deref(), private_key, audience, scope, now)
                    .ok_or_else(|| told("the service account's key cannot sign", Cause::Unauthorized))?;
            Some(form(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", &statement),
            ]))
        }
        Grant::Machine => {
            headers.insert(HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
            None
        }
    };
    if form.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    let timeouts =
        Timeouts { first_byte: PATIENCE, between: PATIENCE, total: PATIENCE, ..Timeouts::default() };
    Ok(Call {
        provider: Arc::new(Provider::plain("token", source.endpoint.clone(), timeouts)),
        model: "".into(),
        attempt: 1,
        method: if form.is_some() { Method::POST } else { Method::GET },
        path: String::new(),
        headers,
        body: form.map(Bytes::from).unwrap_or_default(),
        timeouts,
        decode: true,
        body_limit: LARGEST,
    })
}

/// Fields of a form (WHATWG URL, application/x-www-form-urlencoded).
fn form(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                b' ' => out.push('+'),
                _ if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}
