//! What the suites stand on: a running `weir serve`, the scripted upstream's process, a client of raw bytes.
//!
//! A panic here is a failed test, so it says what was expected and goes no further.
#![allow(clippy::expect_used, clippy::panic, reason = "a harness of tests: a panic is a failed test")]

mod gateway;
mod provider;
mod wire;

pub use gateway::{Gateway, Set, free_port, weir_binary};
pub use provider::{Provider, entry, whole};
pub use wire::{Head, Reply, Wire, chat, get, post, request};

use std::time::Duration;

/// Asks `probe` again and again, for up to 20 seconds, until it gives something.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    for _ in 0..4_000 {
        if let Some(value) = probe() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not within 20 seconds");
}
