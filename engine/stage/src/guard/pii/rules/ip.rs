//! IP addresses.

use super::{before, byte};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// An IPv4 address that starts here; loopback and 0.0.0.0 name nobody.
pub(super) fn v4(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let left = before(bytes, start);
    if left == b'.' || left == b'_' || left.is_ascii_alphanumeric() {
        return None;
    }
    let shown = bytes.get(start..bytes.len().min(start + 15))?;
    let len = shown.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let text = std::str::from_utf8(shown.get(..len)?).ok()?;
    let text = text.strip_suffix('.').unwrap_or(text);
    let address: Ipv4Addr = text.parse().ok()?;
    let end = start + text.len();
    let ends = match byte(bytes, end) {
        b'.' => !byte(bytes, end + 1).is_ascii_digit(),
        next => next != b'_' && !next.is_ascii_alphanumeric(),
    };
    (ends && names_somebody(address.into())).then_some(start..end)
}

/// The IPv6 address around a colon.
pub(super) fn v6(bytes: &[u8], colon: usize) -> Option<Range<usize>> {
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let behind = bytes.get(colon.saturating_sub(40)..colon)?;
    let start = colon - behind.iter().rev().take_while(is_part).count();
    let ahead = bytes.get(colon..bytes.len().min(colon + 46))?;
    let end = colon + ahead.iter().take_while(is_part).count();
    let left = before(bytes, start);
    if left == b'_' || left.is_ascii_alphanumeric() || byte(bytes, end).is_ascii_alphanumeric() {
        return None;
    }
    let text = std::str::from_utf8(bytes.get(start..end)?).ok()?;
    let trimmed = text.trim_end_matches('.');
    let trimmed = if trimmed.ends_with("::") { trimmed } else { trimmed.trim_end_matches(':') };
    let address: Ipv6Addr = trimmed.parse().ok()?;
    // `a::b` is a path in several languages; an address has more to it.
    let groups = trimmed.split(':').filter(|group| !group.is_empty()).count();
    let long = trimmed.split(':').next().is_some_and(|group| group.len() == 4);
    let digits = trimmed.bytes().any(|byte| byte.is_ascii_digit());
    (digits && (groups > 2 || long) && names_somebody(address.into())).then_some(start..start + trimmed.len())
}

fn names_somebody(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}
