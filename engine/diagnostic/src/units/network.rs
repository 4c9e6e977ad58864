//! Networks of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use super::{Text, UnitError, error};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network (CIDR, RFC 4632 and RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// The length of its prefix, in bits.
    prefix: u32,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address that came by an IPv6 socket is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (address.to_canonical(), self.address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(n)) => {
                (a.to_bits() ^ n.to_bits()).checked_shr(32 - self.prefix.min(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(n)) => {
                (a.to_bits() ^ n.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let read = || {
            let (address, prefix) = match text.split_once('/') {
                Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
                None => (text, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.unwrap_or(most);
            (prefix <= most).then_some(Self { address, prefix })
        };
        read().ok_or_else(|| error(format!("`{text}` is no network"), "write one like 10.0.0.0/8"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

text_unit!(
    Network,
    "cidr",
    "a network such as 10.0.0.0/8",
    "A network of addresses (`10.0.0.0/8`, `2001:db8::/32`), or one address.",
    "10.0.0.0/8"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lies_in_its_networks_and_in_no_other() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "example.com"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
