//! Scripts that the server runs, each as one step that nothing comes between.

use super::link::Link;
use crate::StateError;
use ::redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::fmt::Write as _;

/// A script, called by its digest. What it works on comes as keys and arguments.
pub(super) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        let mut name = String::with_capacity(40);
        for byte in digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref() {
            let _ = write!(name, "{byte:02x}");
        }
        Self { text, digest: name }
    }

    /// A call that works on this key. Its arguments follow.
    pub(super) fn call(&self, key: &str) -> Cmd {
        let mut call = ::redis::cmd("EVALSHA");
        call.arg(&self.digest).arg(1).arg(key);
        call
    }

    /// Makes these calls together. A server that does not know the script yet is told it.
    ///
    /// # Errors
    /// The server cannot be reached, or did not answer in time.
    pub(super) async fn run(
        &self,
        link: &Link,
        calls: &[Cmd],
    ) -> Result<Vec<Result<Value, RedisError>>, StateError> {
        let mut answers = link.run(calls).await?;
        let is_unknown = |answer: &Result<Value, RedisError>| {
            answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
        };
        if !answers.iter().any(is_unknown) {
            return Ok(answers);
        }
        let mut load = ::redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.text);
        link.run(&[load]).await?;
        let (places, left): (Vec<usize>, Vec<Cmd>) = answers
            .iter()
            .zip(calls)
            .enumerate()
            .filter(|(_, (answer, _))| is_unknown(answer))
            .map(|(place, (_, call))| (place, call.clone()))
            .unzip();
        for (place, again) in places.into_iter().zip(link.run(&left).await?) {
            if let Some(answer) = answers.get_mut(place) {
                *answer = again;
            }
        }
        Ok(answers)
    }
}
