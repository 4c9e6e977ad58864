//! The keys that callers show, known only by their digests.
//!
//! A key is 256 random bits, so a fast hash is enough: there is nothing to guess. Looking one up compares digests, whose
//! bytes say nothing about the key, and does so in constant time all the same.

mod store;

pub use store::{Act, AuditEntry, Chain, Created, KeySettings, KeyStore, StoredKey};

use crate::StateError;
use ahash::AHashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use weir_diagnostic::units::Network;
use weir_message::Caller;

/// A key as a policy set declares it.
#[derive(Clone)]
pub struct KeyRow {
    /// Its name.
    pub name: Arc<str>,
    /// The BLAKE3 digest of the key.
    pub digest: [u8; 32],
    /// Who shows it.
    pub caller: Arc<Caller>,
    /// Whether it is refused all the same.
    pub disabled: bool,
    /// From when on it is refused, in seconds since 1970 UTC.
    pub expires: Option<i64>,
    /// The networks that it may be shown from; empty: all.
    pub networks: Vec<Network>,
}

impl KeyRow {
    fn is_good(&self, from: Option<IpAddr>, now: i64) -> bool {
        // An address that is not known lies in no network.
        let is_there = |from: IpAddr| self.networks.iter().any(|network| network.contains(from));
        !self.disabled
            && self.expires.is_none_or(|expires| now < expires)
            && (self.networks.is_empty() || from.is_some_and(is_there))
    }
}

impl fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRow")
            .field("name", &self.name)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// The keys of a policy set.
#[derive(Clone, Default)]
pub struct KeyRing {
    rows: AHashMap<[u8; 32], KeyRow>,
}

impl KeyRing {
    /// A ring of these keys.
    ///
    /// # Errors
    /// [`StateError::SameKey`] if two rows have the same digest.
    pub fn new(rows: Vec<KeyRow>) -> Result<Self, StateError> {
        let mut ring = Self::default();
        for row in rows {
            if let Some(first) = ring.rows.get(&row.digest) {
                return Err(StateError::SameKey { first: Arc::clone(&first.name), second: row.name });
            }
            ring.rows.insert(row.digest, row);
        }
        Ok(ring)
    }

    /// Who shows this key, from that address, at that time (seconds since 1970 UTC); `None` if it is unknown, disabled, expired
    /// or may not be shown from there.
    pub fn lookup(&self, presented: &str, from: Option<IpAddr>, now: i64) -> Option<Arc<Caller>> {
        let digest = digest(presented);
        lookup_in(self.rows.get(&digest)?, &digest, from, now)
    }

    /// Whether a key has this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.rows.values().any(|row| *row.name == *name)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows.values().map(|row| &row.name)).finish()
    }
}

/// Whose a key is that was found by its digest, if it is good.
fn lookup_in(row: &KeyRow, digest: &[u8; 32], from: Option<IpAddr>, now: i64) -> Option<Arc<Caller>> {
    let same = bool::from(row.digest.ct_eq(digest));
    (same && row.is_good(from, now)).then(|| Arc::clone(&row.caller))
}

/// The digest of a key: BLAKE3 of its bytes.
pub fn digest(key: &str) -> [u8; 32] {
    digest_of(key.as_bytes())
}

/// BLAKE3 of these bytes.
pub fn digest_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Whether this is the digest of that text; it takes as long whichever byte differs.
pub fn is_digest_of(known: &[u8; 32], shown: &str) -> bool {
    known.ct_eq(&digest(shown)).into()
}

/// A digest as policies write it: `blake3:` and 64 hexadecimal digits.
pub fn print_digest(digest: &[u8; 32]) -> String {
    format!("blake3:{}", blake3::Hash::from_bytes(*digest).to_hex())
}

/// Reads a digest as policies write it.
///
/// # Errors
/// [`StateError::NotADigest`].
pub fn parse_digest(text: &str) -> Result<[u8; 32], StateError> {
    let hex = text.strip_prefix("blake3:").ok_or(StateError::NotADigest)?;
    let hash = blake3::Hash::from_hex(hex).map_err(|_| StateError::NotADigest)?;
    Ok(*hash.as_bytes())
}

/// A key made of these random bytes: `wr_` and 52 letters and digits.
pub fn generate(random: [u8; 32]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut key = String::with_capacity(55);
    key.push_str("wr_");
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in random {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            key.push(letter(LETTERS, bits >> held));
        }
    }
    key.push(letter(LETTERS, bits << (5 - held)));
    key
}

fn letter(letters: &[u8; 32], five_bits: u32) -> char {
    letters.get((five_bits & 31) as usize).map_or('a', |&byte| char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, key: &str, disabled: bool) -> KeyRow {
        let caller = Caller { key: Some(name.into()), ..Caller::default() };
        let caller = Arc::new(caller);
        KeyRow {
            name: name.into(),
            digest: digest(key),
            caller,
            disabled,
            expires: None,
            networks: Vec::new(),
        }
    }

    #[test]
    fn finds_callers_by_their_keys_and_nobody_by_others() {
        let ring = KeyRing::new(vec![row("app", "wr_one", false), row("old", "wr_two", true)]).unwrap();
        let cases =
            [("wr_one", Some("app")), ("wr_two", None), ("wr_on", None), ("", None), ("WR_ONE", None)];
        for (presented, want) in cases {
            let found = ring.lookup(presented, None, 0);
            assert_eq!(found.as_ref().and_then(|caller| caller.key.as_deref()), want, "{presented}");
        }
    }

    #[test]
    fn a_key_is_good_until_it_expires_and_from_its_networks_alone() {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let ring = KeyRing::new(vec![KeyRow { expires: Some(100), networks, ..row("app", "wr_one", false) }])
            .unwrap();
        for (from, now, is_good) in [
            (Some("10.1.2.3"), 99, true),
            (Some("2001:db8::1"), 99, true),
            (Some("10.1.2.3"), 100, false),
            (Some("192.0.2.1"), 99, false),
            (None, 99, false),
        ] {
            let from = from.map(|from| from.parse().unwrap());
            assert_eq!(ring.lookup("wr_one", from, now).is_some(), is_good, "{from:?} {now}");
        }
    }

    #[test]
    fn refuses_a_ring_where_two_names_share_a_key() {
        let same = KeyRing::new(vec![row("a", "wr_one", false), row("b", "wr_one", false)]);
        assert_eq!(same.unwrap_err(), StateError::SameKey { first: "a".into(), second: "b".into() });
    }

    #[test]
    fn digests_read_back_as_written_and_nothing_else_does() {
        let printed = print_digest(&digest("wr_one"));
        assert_eq!(parse_digest(&printed), Ok(digest("wr_one")));
        for wrong in ["", "blake3:", "blake3:12", "sha256:00", &printed[7..], &format!("{printed}0")] {
            assert_eq!(parse_digest(wrong), Err(StateError::NotADigest), "{wrong}");
        }
    }

    #[test]
    fn keys_carry_all_their_random_bits() {
        let key = generate([0; 32]);
        assert_eq!(key.len(), 55);
        for bit in 0..256 {
            let mut random = [0; 32];
            random[bit / 8] = 1 << (bit % 8);
            assert_ne!(generate(random), key, "bit {bit}");
        }
    }

    #[test]
    fn printing_a_ring_shows_no_digest() {
        let ring = KeyRing::new(vec![row("app", "wr_one", false)]).unwrap();
        let hex = print_digest(&digest("wr_one"));
        let shown = format!("{ring:?} {:?}", row("app", "wr_one", false));
        assert!(shown.contains("app") && !shown.contains(&hex[7..]) && !shown.contains("digest"), "{shown}");
    }
}
