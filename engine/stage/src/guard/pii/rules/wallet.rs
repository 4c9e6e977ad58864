//! Addresses of cryptocurrencies, by their checksums: Base58Check (Bitcoin, Litecoin, Dogecoin, Tron), Bech32 and Bech32m (BIP 173, 350),
//! and Ethereum's, which are told by their form alone.

use super::{before, byte};
use ring::digest::{SHA256, digest};
use std::ops::Range;

/// The address that a word of letters and digits is.
pub(super) fn address(bytes: &[u8], word: &Range<usize>) -> bool {
    let Some(chars) = bytes.get(word.clone()) else { return false };
    if before(bytes, word.start) == b'_' || byte(bytes, word.end) == b'_' {
        return false;
    }
    match chars {
        [b'0', b'x' | b'X', rest @ ..] => {
            rest.len() == 40 && rest.iter().all(u8::is_ascii_hexdigit) && varies(rest)
        }
        [b'b' | b'B', b'c' | b'C', b'1', data @ ..] => bech32(b"bc", data),
        [b'l' | b'L', b't' | b'T', b'c' | b'C', b'1', data @ ..] => bech32(b"ltc", data),
        _ => (26..=35).contains(&chars.len()) && base58(chars),
    }
}

/// Whether it is no row of the same few signs, as in examples of code.
fn varies(hex: &[u8]) -> bool {
    let mut seen = [false; 256];
    hex.iter().for_each(|byte| {
        if let Some(slot) = seen.get_mut(usize::from(byte.to_ascii_lowercase())) {
            *slot = true;
        }
    });
    seen.iter().filter(|seen| **seen).count() > 4
}

/// What an address of 20 bytes begins with: Bitcoin's two kinds, Dogecoin's, Litecoin's two, Tron's.
const VERSIONS: [u8; 6] = [0x00, 0x05, 0x1e, 0x30, 0x32, 0x41];

/// Whether it is a version, 20 bytes and their checksum in base 58.
fn base58(chars: &[u8]) -> bool {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut whole = [0_u8; 25];
    for char in chars {
        let Some(digit) = ALPHABET.iter().position(|known| known == char) else { return false };
        let mut carry = digit;
        for byte in whole.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            return false;
        }
    }
    // A leading 1 is a leading zero.
    let ones = chars.iter().take_while(|char| **char == b'1').count();
    let zeros = whole.iter().take_while(|byte| **byte == 0).count();
    let (body, sum) = whole.split_at(21);
    let twice = digest(&SHA256, digest(&SHA256, body).as_ref());
    ones == zeros && VERSIONS.contains(&whole[0]) && twice.as_ref().starts_with(sum)
}

/// Whether data behind a prefix has the right checksum.
fn bech32(prefix: &[u8], data: &[u8]) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const BECH32M: u32 = 0x2bc8_30a3;
    let (upper, lower) = (data.iter().any(u8::is_ascii_uppercase), data.iter().any(u8::is_ascii_lowercase));
    if !(38..=59).contains(&data.len()) || (upper && lower) {
        return false;
    }
    let high = prefix.iter().map(|char| u32::from(char >> 5));
    let low = prefix.iter().map(|char| u32::from(char & 31));
    let mut sum = high.chain([0]).chain(low).fold(1, step);
    for char in data {
        let lower = char.to_ascii_lowercase();
        let Some(value) = ALPHABET.iter().position(|known| *known == lower) else { return false };
        sum = step(sum, u32::try_from(value).unwrap_or(0));
    }
    sum == 1 || sum == BECH32M
}

/// A step of the checksum of BIP 173.
fn step(sum: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = sum >> 25;
    let next = ((sum & 0x01ff_ffff) << 5) ^ value;
    GENERATOR
        .iter()
        .enumerate()
        .filter(|(bit, _)| (top >> bit) & 1 == 1)
        .fold(next, |sum, (_, part)| sum ^ part)
}
