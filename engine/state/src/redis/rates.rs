//! Limits in Redis: one hash for each count.

use super::link::Link;
use super::script::Script;
use super::{Names, whole};
use crate::limits::{Answer, Ask, MeterKind, RateStore};
use crate::{Space, StateError};
use ::redis::{Value, from_redis_value};
use futures::future::BoxFuture;

pub(super) struct Rates {
    link: Link,
    script: Script,
    names: Names,
    /// Whether the time is the server's, which is one for all gateways, or what the gateway says, for tests.
    has_own_time: bool,
}

impl Rates {
    pub(super) fn new(link: Link, names: Names, has_own_time: bool) -> Self {
        Self { link, script: Script::new(include_str!("rate.lua")), names, has_own_time }
    }

    fn key(&self, ask: &Ask) -> String {
        let meter = ask.cell.key.as_meter();
        let kind = match (meter.kind, meter.space) {
            (MeterKind::Requests, Space::Live) => 0,
            (MeterKind::Tokens, Space::Live) => 1,
            (MeterKind::Requests, Space::Shadow) => 2,
            (MeterKind::Tokens, Space::Shadow) => 3,
        };
        let window = meter.window.as_nanos().to_le_bytes();
        self.names.key("rate", &[meter.name.as_bytes(), meter.subject.as_bytes(), &[kind], &window])
    }

    fn answer(&self, ask: &Ask, value: Value) -> Option<Answer> {
        let numbers: Vec<Value> = from_redis_value(value).ok()?;
        let numbers: Vec<u64> = numbers.iter().map(whole).collect::<Option<_>>()?;
        let (ahead, level, granted) = (*numbers.first()?, *numbers.get(1)?, numbers.get(2..)?.to_vec());
        (granted.len() == ask.wants.len()).then_some(Answer { ahead, level, granted })
    }
}

impl RateStore for Rates {
    fn round<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Answer, StateError>>> {
        Box::pin(async move {
            let calls: Vec<_> = asks
                .iter()
                .map(|ask| {
                    let mut call = self.script.call(&self.key(ask));
                    let window = ask.cell.key.window.as_micros().max(1);
                    call.arg(ask.limit).arg(u64::try_from(window).unwrap_or(u64::MAX));
                    match self.has_own_time {
                        true => call.arg(-1),
                        false => call.arg(u64::try_from(ask.now.as_micros()).unwrap_or(u64::MAX)),
                    };
                    call.arg(ask.back).arg(ask.charge).arg(ask.ahead);
                    for (amount, count) in &ask.wants {
                        call.arg(*amount).arg(*count);
                    }
                    call
                })
                .collect();
            match self.script.run(&self.link, &calls).await {
                Err(error) => asks.iter().map(|_| Err(error.clone())).collect(),
                Ok(answers) => asks
                    .iter()
                    .zip(answers)
                    .map(|(ask, answer)| {
                        let value = answer.map_err(|error| self.link.error(&error.to_string()))?;
                        self.answer(ask, value).ok_or_else(|| self.link.error("its answer is not understood"))
                    })
                    .collect(),
            }
        })
    }
}
