//! Tokens that issuers sign (JWT, RFC 7519), and the keys that prove them (JWKS, RFC 7517).
//!
//! `jsonwebtoken` reads tokens and keys; signatures are checked by `ring`. A token's own word on how to check it counts for
//! nothing beyond a choice among what the policy allows: keys of its header (`jwk`, `jku`, `x5u`) are never looked at, a key of a
//! key set checks its own family of algorithms alone, and a shared secret never stands beside public keys.

mod crypto;
mod kept;
mod keys;
mod proven;
mod verify;

pub use jsonwebtoken::Algorithm as SignatureAlgorithm;
pub use kept::{Flight, IssuerKeys, KeptKeys};
pub use keys::TokenKeys;
pub use proven::Proven;
pub use verify::{TokenFlaw, TokenRules, claims_unproven};

#[cfg(test)]
mod tests;
