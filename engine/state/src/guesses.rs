//! Wrong credentials by the address that shows them.

use moka::sync::Cache;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Addresses that are remembered at a time; those that were quiet for longest are forgotten first.
const MOST: u64 = 100_000;

/// How many wrong credentials an address may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimit {
    /// So many …
    pub wrong: u32,
    /// … within this time …
    pub within: Duration,
    /// … close the door to it for this long.
    pub pause: Duration,
}

/// Wrong credentials by the address that shows them; IPv6 by its network (/64), of which one client has all.
pub struct Guesses(Cache<IpAddr, Arc<Mutex<Guessed>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Guessed {
    since: Duration,
    wrong: u32,
    closed_until: Duration,
}

impl Default for Guesses {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Guesses {
    /// How long the door is still closed to an address.
    pub fn closed(&self, from: IpAddr, now: Duration) -> Option<Duration> {
        let guessed = self.0.get(&network(from))?;
        let guessed = guessed.lock().unwrap_or_else(PoisonError::into_inner);
        guessed.closed_until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// An address has shown a wrong credential.
    pub fn wrong(&self, from: IpAddr, limit: GuessLimit, now: Duration) {
        let guessed = self.0.get_with(network(from), Arc::default);
        let mut guessed = guessed.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(guessed.since) >= limit.within {
            *guessed = Guessed { since: now, wrong: 0, ..*guessed };
        }
        guessed.wrong = guessed.wrong.saturating_add(1);
        if guessed.wrong >= limit.wrong {
            guessed.closed_until = now.saturating_add(limit.pause);
            guessed.wrong = 0;
        }
    }
}

fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: GuessLimit =
        GuessLimit { wrong: 3, within: Duration::from_secs(60), pause: Duration::from_secs(300) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn so_many_wrong_ones_close_the_door_to_that_address_alone_and_for_a_time() {
        let guesses = Guesses::default();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        for now in [10, 20] {
            guesses.wrong(one, LIMIT, at(now));
            assert_eq!(guesses.closed(one, at(now)), None);
        }
        guesses.wrong(one, LIMIT, at(30));
        assert_eq!(guesses.closed(one, at(30)), Some(at(300)));
        assert_eq!(guesses.closed(one, at(329)), Some(at(1)));
        assert_eq!(guesses.closed(one, at(330)), None);
        assert_eq!(guesses.closed(other, at(30)), None);
    }

    #[test]
    fn wrong_ones_that_lie_far_apart_close_nothing() {
        let guesses = Guesses::default();
        let one = "192.0.2.1".parse().unwrap();
        for now in [0, 30, 61, 92, 130, 155] {
            guesses.wrong(one, LIMIT, at(now));
            assert_eq!(guesses.closed(one, at(now)), None, "{now}");
        }
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_client() {
        let guesses = Guesses::default();
        for host in 1..=3 {
            guesses.wrong(format!("2001:db8::{host}").parse().unwrap(), LIMIT, at(0));
        }
        assert!(guesses.closed("2001:db8::ffff".parse().unwrap(), at(0)).is_some());
        assert!(guesses.closed("2001:db8:0:1::1".parse().unwrap(), at(0)).is_none());
        for _ in 0..3 {
            guesses.wrong("::ffff:192.0.2.1".parse().unwrap(), LIMIT, at(0));
        }
        assert!(guesses.closed("192.0.2.1".parse().unwrap(), at(0)).is_some());
    }
}
