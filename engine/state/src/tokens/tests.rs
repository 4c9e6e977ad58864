//! Which tokens prove somebody, and which do not.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use ring::{hmac, signature};
use serde_json::{Value, json};

/// Made for these tests; it opens nothing.
const RSA: &[u8] = include_bytes!("testdata/rsa.der");
const NOW: i64 = 1_000_000;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The keys of an issuer, and what signs with them.
struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            rsa: RsaKeyPair::from_der(RSA).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    fn modulus(&self) -> String {
        encoded(signature::RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public()).n)
    }

    fn set(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": "r", "use": "sig", "n": self.modulus(), "e": "AQAB" },
            { "kty": "EC", "kid": "e", "alg": "ES256", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..]) },
            { "kty": "OKP", "kid": "d", "crv": "Ed25519", "x": encoded(self.ed.public_key()) },
            { "kty": "RSA", "kid": "enc", "use": "enc", "n": self.modulus(), "e": "AQAB" },
            { "kty": "oct", "kid": "s", "k": encoded(b"shared") },
            { "kty": "new", "kid": "n" },
        ] })
    }

    fn keys(&self) -> TokenKeys {
        TokenKeys::parse(self.set().to_string().as_bytes()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let said = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let random = SystemRandom::new();
        let rsa = |by: &'static dyn signature::RsaEncoding| {
            let mut out = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(by, &random, said.as_bytes(), &mut out).unwrap();
            out
        };
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "ES256" => self.ec.sign(&random, said.as_bytes()).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(said.as_bytes()).as_ref().to_vec(),
            // As one who mistakes the public key for a secret would.
            "HS256" => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.modulus().as_bytes()), said.as_bytes())
                    .as_ref()
                    .to_vec()
            }
            _ => Vec::new(),
        };
        format!("{said}.{}", encoded(signature))
    }
}

fn rules() -> TokenRules {
    use SignatureAlgorithm as A;
    TokenRules {
        issuer: "https://idp.example".to_owned(),
        audience: vec!["weir".to_owned(), "weir-2".to_owned()],
        algorithms: vec![A::RS256, A::PS256, A::ES256, A::EdDSA],
        skew: 60,
    }
}

fn claims() -> Value {
    json!({ "iss": "https://idp.example", "aud": "weir", "sub": "u", "exp": NOW + 100 })
}

#[test]
fn a_token_of_each_family_is_proven_by_its_own_key_alone() {
    let issuer = Issuer::new();
    for (algorithm, own) in [("RS256", "r"), ("PS256", "r"), ("ES256", "e"), ("EdDSA", "d")] {
        for kid in ["r", "e", "d", "enc", "s", "n", "gone"] {
            let token = issuer.sign(&json!({ "alg": algorithm, "kid": kid }), &claims());
            let checked = rules().check(&token, &issuer.keys(), NOW);
            match kid == own {
                true => assert_eq!(
                    checked.map(|(claims, ends)| (claims["sub"].clone(), ends)),
                    Ok((json!("u"), NOW + 160))
                ),
                false => assert_eq!(checked, Err(TokenFlaw::UnknownKey), "{algorithm} {kid}"),
            }
        }
        let unnamed = issuer.sign(&json!({ "alg": algorithm }), &claims());
        assert!(rules().check(&unnamed, &issuer.keys(), NOW).is_ok(), "{algorithm}");
        let other = Issuer::new().keys();
        if algorithm != "RS256" && algorithm != "PS256" {
            assert_eq!(rules().check(&unnamed, &other, NOW), Err(TokenFlaw::Signature), "{algorithm}");
        }
    }
}

#[test]
fn a_token_cannot_choose_how_it_is_checked() {
    let issuer = Issuer::new();
    let mut jwk = issuer.set()["keys"][1].clone();
    jwk["kid"] = json!("mine");
    for (header, want) in [
        (json!({ "alg": "none" }), TokenFlaw::Algorithm),
        (json!({ "alg": "None" }), TokenFlaw::Algorithm),
        (json!({ "alg": "HS256", "kid": "r" }), TokenFlaw::Algorithm),
        (json!({ "alg": "HS256" }), TokenFlaw::Algorithm),
        (json!({ "alg": "XX256" }), TokenFlaw::Algorithm),
        (json!({ "alg": "RS512" }), TokenFlaw::Algorithm),
        (json!({ "alg": "ES256", "kid": "mine", "jwk": jwk }), TokenFlaw::UnknownKey),
        (json!({ "alg": "ES256", "kid": "mine", "jku": "http://127.0.0.1/keys" }), TokenFlaw::UnknownKey),
        (json!({ "alg": "RS256", "kid": "r", "crit": ["b64"], "b64": false }), TokenFlaw::Critical),
    ] {
        let token = issuer.sign(&header, &claims());
        assert_eq!(rules().check(&token, &issuer.keys(), NOW), Err(want), "{header}");
    }
    // A signature taken off, or of another text.
    let good = issuer.sign(&json!({ "alg": "RS256", "kid": "r" }), &claims());
    let (said, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(rules().check(&format!("{said}."), &issuer.keys(), NOW), Err(TokenFlaw::Signature));
    let mut other = claims();
    other["sub"] = json!("admin");
    let forged = format!("{}.{}.{signature}", said.split_once('.').unwrap().0, encoded(other.to_string()));
    assert_eq!(rules().check(&forged, &issuer.keys(), NOW), Err(TokenFlaw::Signature));
    for garbage in ["", ".", "..", "a.b.c", "a.b", &format!("{good}.x"), "e30.e30.", "wr_key"] {
        assert!(rules().check(garbage, &issuer.keys(), NOW).is_err(), "{garbage}");
    }
}

#[test]
fn a_shared_secret_proves_its_own_kind_alone() {
    let issuer = Issuer::new();
    let shared = TokenKeys::shared(&issuer.modulus());
    let hashed = TokenRules { algorithms: vec![SignatureAlgorithm::HS256], ..rules() };
    for (algorithm, want) in
        [("HS256", Ok(())), ("RS256", Err(TokenFlaw::Algorithm)), ("none", Err(TokenFlaw::Algorithm))]
    {
        let token = issuer.sign(&json!({ "alg": algorithm, "kid": "any" }), &claims());
        assert_eq!(hashed.check(&token, &shared, NOW).map(|_| ()), want, "{algorithm}");
    }
    // Were both kinds allowed, a public key would still check no secret's signature.
    let both =
        TokenRules { algorithms: vec![SignatureAlgorithm::HS256, SignatureAlgorithm::RS256], ..rules() };
    let confused = issuer.sign(&json!({ "alg": "HS256", "kid": "r" }), &claims());
    assert_eq!(both.check(&confused, &issuer.keys(), NOW), Err(TokenFlaw::UnknownKey));
}

#[test]
fn a_token_is_for_here_and_holds_now_or_is_refused() {
    let issuer = Issuer::new();
    let at = |seconds: i64| json!(NOW + seconds);
    for (field, value, want) in [
        ("iss", json!("https://other.example"), Err(TokenFlaw::Issuer)),
        ("iss", json!("https://idp.example/"), Err(TokenFlaw::Issuer)),
        ("iss", json!(["https://idp.example"]), Err(TokenFlaw::Issuer)),
        ("iss", Value::Null, Err(TokenFlaw::Issuer)),
        ("aud", json!("other"), Err(TokenFlaw::Audience)),
        ("aud", json!(["other", "weir-2"]), Ok(())),
        ("aud", json!([]), Err(TokenFlaw::Audience)),
        ("aud", Value::Null, Err(TokenFlaw::Audience)),
        ("exp", at(-59), Ok(())),
        ("exp", at(-60), Err(TokenFlaw::Expired)),
        ("exp", json!(NOW as f64 + 0.5), Ok(())),
        ("exp", json!("soon"), Err(TokenFlaw::Expired)),
        ("exp", json!(1e300), Err(TokenFlaw::Expired)),
        ("exp", json!(-1e300), Err(TokenFlaw::Expired)),
        ("exp", Value::Null, Err(TokenFlaw::Expired)),
        ("nbf", at(60), Ok(())),
        ("nbf", at(61), Err(TokenFlaw::NotYet)),
        ("nbf", json!("then"), Err(TokenFlaw::NotYet)),
    ] {
        let mut claims = claims();
        claims[field] = value.clone();
        let token = issuer.sign(&json!({ "alg": "EdDSA", "kid": "d" }), &claims);
        assert_eq!(rules().check(&token, &issuer.keys(), NOW).map(|_| ()), want, "{field} {value}");
    }
}

#[test]
fn what_is_no_key_set_is_said_to_be_none() {
    let one = json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded([7; 32]) });
    let many = json!({ "keys": vec![one; 65] }).to_string();
    for wrong in [
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
        &many,
    ] {
        assert!(TokenKeys::parse(wrong.as_bytes()).is_err(), "{wrong:.40}");
    }
    let shown = format!("{:?}", Issuer::new().keys());
    assert_eq!(shown, "[Some(\"r\"), Some(\"e\"), Some(\"d\")]");
}
