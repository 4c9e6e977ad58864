//! Permits in Redis: one hash for each subject, with every gateway's share.

use super::link::Link;
use super::script::Script;
use super::{Names, whole};
use crate::StateError;
use crate::permits::{PermitAsk, PermitStore};
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a gateway's word counts, in milliseconds: three times as long as it takes to say it again.
const LIVES: u64 = 15_000;

pub(super) struct Permits {
    link: Link,
    script: Script,
    names: Names,
    written: AtomicU64,
}

impl Permits {
    pub(super) fn new(link: Link, names: Names) -> Self {
        Self { link, script: Script::new(include_str!("permits.lua")), names, written: AtomicU64::new(0) }
    }
}

impl PermitStore for Permits {
    fn round<'a>(&'a self, asks: &'a [PermitAsk]) -> BoxFuture<'a, Vec<Result<u64, StateError>>> {
        Box::pin(async move {
            let write = self.written.fetch_add(1, Ordering::Relaxed) + 1;
            let calls: Vec<_> = asks
                .iter()
                .map(|ask| {
                    let mut call = self.script.call(&self.names.key("permits", &[&ask.key]));
                    call.arg(&*self.names.gateway).arg(write).arg(ask.out).arg(ask.wanted);
                    call.arg(ask.limit).arg(LIVES);
                    call
                })
                .collect();
            match self.script.run(&self.link, &calls).await {
                Err(error) => asks.iter().map(|_| Err(error.clone())).collect(),
                Ok(answers) => answers
                    .into_iter()
                    .map(|answer| {
                        let value = answer.map_err(|error| self.link.error(&error.to_string()))?;
                        whole(&value).ok_or_else(|| self.link.error("its answer is not understood"))
                    })
                    .collect(),
            }
        })
    }
}
