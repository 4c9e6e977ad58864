//! The sealing itself: an authenticated cipher whose nonce is drawn from what it seals (as RFC 5297 does), so that the same id
//! is the same to its caller each time it is seen.

use super::{Kind, Minted};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// What stands between an id's usual prefix and what is sealed: that it is, and in which form.
const MARK: &str = "w1";

/// Seals and opens.
pub(super) struct Sealer {
    /// `None`: the cipher takes no such key, which it always does. Then nothing is opened.
    key: Option<LessSafeKey>,
    nonces: [u8; 32],
}

impl Sealer {
    pub(super) fn new(secret: &[u8]) -> Self {
        let key = blake3::derive_key("weir ids of providers, v1: cipher", secret);
        Self {
            key: UnboundKey::new(&CHACHA20_POLY1305, &key).ok().map(LessSafeKey::new),
            nonces: blake3::derive_key("weir ids of providers, v1: nonces", secret),
        }
    }

    /// The id as this owner is shown it. `None` for what no seal holds: a name or an id longer than any.
    pub(super) fn seal(&self, owner: &[u8; 32], thing: &Minted) -> Option<String> {
        let mut sealed = Vec::with_capacity(3 + thing.provider.len() + thing.model.len() + thing.id.len());
        sealed.push(thing.kind as u8);
        for name in [&thing.provider, &thing.model] {
            sealed.push(u8::try_from(name.len()).ok()?);
            sealed.extend_from_slice(name.as_bytes());
        }
        sealed.extend_from_slice(thing.id.as_bytes());
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(owner).update(&sealed);
        let mut nonce = [0; NONCE_LEN];
        hasher.finalize_xof().fill(&mut nonce);
        let key = self.key.as_ref()?;
        let once = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(once, Aad::from(owner), &mut sealed).ok()?;
        let mut out = String::with_capacity(24 + (nonce.len() + sealed.len()) * 4 / 3);
        out.push_str(prefix(&thing.id));
        out.push_str(MARK);
        URL_SAFE_NO_PAD.encode_string([&nonce[..], &sealed].concat(), &mut out);
        Some(out)
    }

    /// What this owner was shown so. `None`: nobody was, or another.
    pub(super) fn open(&self, owner: &[u8; 32], shown: &str) -> Option<Minted> {
        let start = prefix(shown);
        let mut bytes = URL_SAFE_NO_PAD.decode(shown.strip_prefix(start)?.strip_prefix(MARK)?).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.as_ref()?.open_in_place(nonce, Aad::from(owner), sealed).ok()?;
        let (kind, rest) = plain.split_first()?;
        let (provider, rest) = name(rest)?;
        let (model, id) = name(rest)?;
        let id = std::str::from_utf8(id).ok()?;
        (prefix(id) == start).then(|| Minted {
            provider: provider.into(),
            model: model.into(),
            kind: Kind::from_byte(*kind),
            id: id.to_owned(),
        })
    }
}

fn name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

/// What an id begins with that says of what it is: `file-`, `resp_`. Empty where it says nothing.
pub(super) fn prefix(id: &str) -> &str {
    let end = id.find(['-', '_']).filter(|end| *end > 0 && *end <= 16);
    match end {
        Some(end) if id.bytes().take(end).all(|byte| byte.is_ascii_alphabetic()) => {
            id.get(..=end).unwrap_or("")
        }
        _ => "",
    }
}
