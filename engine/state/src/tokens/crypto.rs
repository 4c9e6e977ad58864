//! How signatures are checked: by `ring`, which is here anyway. Nothing is signed.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature as check;
use ring::{hmac, signature::VerificationAlgorithm};
use std::sync::Once;

/// Makes `ring` the one that checks, once per process. Another choice made earlier stays.
pub(super) fn install() {
    static DONE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    DONE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(Ring { algorithm: *algorithm, key: key.kind().clone() }))
}

/// One key, for one algorithm of its family.
struct Ring {
    algorithm: Algorithm,
    key: DecodingKeyKind,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let holds = match (&self.key, self.algorithm) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, algorithm) => rsa(algorithm)
                .and_then(|by| check::RsaPublicKeyComponents { n, e }.verify(by, message, signature).ok()),
            (DecodingKeyKind::SecretOrDer(secret), algorithm) => match keyed_hash(algorithm) {
                Some(by) => hmac::verify(&hmac::Key::new(by, secret), message, signature).ok(),
                None => public(algorithm)
                    .and_then(|by| check::UnparsedPublicKey::new(by, secret).verify(message, signature).ok()),
            },
        };
        holds.ok_or_else(signature::Error::new)
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static check::RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &check::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &check::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &check::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &check::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &check::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &check::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn public(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &check::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &check::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &check::ED25519,
        _ => return None,
    })
}

fn keyed_hash(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    Some(match algorithm {
        Algorithm::HS256 => hmac::HMAC_SHA256,
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => return None,
    })
}
