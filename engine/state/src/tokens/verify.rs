//! What a token proves.

use super::crypto;
use super::keys::TokenKeys;
use jsonwebtoken::{Algorithm, Validation, dangerous};
use serde_json::{Map, Value};
use std::fmt;

/// What a token must say to be taken.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// `iss`, to the letter.
    pub issuer: String,
    /// `aud` holds one of these.
    pub audience: Vec<String>,
    /// It is signed by one of these.
    pub algorithms: Vec<Algorithm>,
    /// By how many seconds the clocks of issuer and gateway may differ.
    pub skew: i64,
}

/// Why a token proves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFlaw {
    /// It is no token.
    Unreadable,
    /// It is signed by no algorithm that the policy allows, or not at all.
    Algorithm,
    /// It asks for what is not understood here (`crit`).
    Critical,
    /// The issuer has no key of the name that it says, for its algorithm.
    UnknownKey,
    /// Its signature does not hold.
    Signature,
    /// Another issuer made it.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// It has ended, or does not say when it ends.
    Expired,
    /// It does not hold yet.
    NotYet,
}

impl TokenFlaw {
    /// As clients are told.
    pub fn told(self) -> &'static str {
        match self {
            Self::Unreadable => "the token cannot be read",
            Self::Algorithm => "the token is signed in a way that is not allowed here",
            Self::Critical => "the token asks for what is not understood here (`crit`)",
            Self::UnknownKey => "the token is signed by a key that its issuer does not publish",
            Self::Signature => "the token's signature does not hold",
            Self::Issuer => "the token is of an issuer that is not known here",
            Self::Audience => "the token is for another audience",
            Self::Expired => "the token has expired, or does not say when it does",
            Self::NotYet => "the token does not hold yet",
        }
    }
}

impl fmt::Display for TokenFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told())
    }
}

impl TokenRules {
    /// What the token says, and until when it holds (seconds since 1970 UTC, skew included), if all of it is proven at `now`.
    ///
    /// # Errors
    /// Why it proves nobody.
    pub fn check(
        &self,
        token: &str,
        keys: &TokenKeys,
        now: i64,
    ) -> Result<(Map<String, Value>, i64), TokenFlaw> {
        crypto::install();
        // `none`, and what else is not known, is no algorithm to the reader.
        let header = match jsonwebtoken::decode_header(token) {
            Ok(header) => header,
            Err(_) if claims_unproven(token).is_some() => return Err(TokenFlaw::Algorithm),
            Err(_) => return Err(TokenFlaw::Unreadable),
        };
        if !self.algorithms.contains(&header.alg) {
            return Err(TokenFlaw::Algorithm);
        }
        if header.crit.is_some() {
            return Err(TokenFlaw::Critical);
        }
        // The time is the gateway's, so it is checked below.
        let mut by = Validation::new(header.alg);
        by.validate_exp = false;
        by.validate_aud = false;
        by.required_spec_claims.clear();
        let mut keys = keys.fitting(header.kid.as_deref(), header.alg).peekable();
        if keys.peek().is_none() {
            return Err(TokenFlaw::UnknownKey);
        }
        let claims = keys
            .find_map(|key| jsonwebtoken::decode::<Map<String, Value>>(token, key, &by).ok())
            .ok_or(TokenFlaw::Signature)?
            .claims;
        let ends = self.check_claims(&claims, now, true)?;
        Ok((claims, ends))
    }

    /// Whether these claims are for here and hold at `now`; until when. What is missing is a flaw only if all is `required`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_claims(
        &self,
        claims: &Map<String, Value>,
        now: i64,
        required: bool,
    ) -> Result<i64, TokenFlaw> {
        let absent_is_fine = |name: &str| !required && !claims.contains_key(name);
        if !absent_is_fine("iss") && claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenFlaw::Issuer);
        }
        let is_ours =
            |value: &Value| value.as_str().is_some_and(|name| self.audience.iter().any(|own| own == name));
        let for_us = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => !required,
        };
        if !for_us {
            return Err(TokenFlaw::Audience);
        }
        if let Some(from) = claims.get("nbf")
            && moment(from).is_none_or(|from| from > now.saturating_add(self.skew))
        {
            return Err(TokenFlaw::NotYet);
        }
        let ends = match claims.get("exp") {
            None if !required => i64::MAX,
            said => said.and_then(moment).map_or(i64::MIN, |ends| ends.saturating_add(self.skew)),
        };
        if now >= ends { Err(TokenFlaw::Expired) } else { Ok(ends) }
    }
}

/// A `NumericDate` in whole seconds: it may have a fraction (RFC 7519, 2). One that no clock reaches is none.
fn moment(value: &Value) -> Option<i64> {
    let seconds = value.as_f64()?;
    (seconds.abs() < 1e15).then_some(seconds as i64)
}

/// What a token says, proven by nothing; `None` if it is no token.
pub fn claims_unproven(token: &str) -> Option<Map<String, Value>> {
    dangerous::insecure_decode_claims(token).ok()
}
