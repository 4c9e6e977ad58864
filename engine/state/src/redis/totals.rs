//! Totals in Redis: one hash for each, with what every gateway spent and leased in it.

use super::link::Link;
use super::script::Script;
use super::{Names, whole};
use crate::StateError;
use crate::totals::{Row, Store, Total};
use ::redis::{Value, from_redis_value};

/// A window is remembered for a day after its end, in seconds: clocks differ, and may be set back.
const KEPT: i64 = 86_400;
/// No part of a gateway is larger: a sum of such parts stays below 2^63.
const MOST: u64 = 1 << 60;

pub(super) struct Totals {
    link: Link,
    script: Script,
    names: Names,
    written: u64,
}

impl Totals {
    pub(super) fn new(link: Link, names: Names) -> Self {
        Self { link, script: Script::new(include_str!("total.lua")), names, written: 0 }
    }

    fn key(&self, total: &Total) -> String {
        let account = total.key.as_account();
        let kind = [total.key.kind()];
        let number = account.window.number.to_le_bytes();
        self.names.key("total", &[account.meter.as_bytes(), account.subject.as_bytes(), &kind, &number])
    }
}

impl Store for Totals {
    fn commit(&mut self, rows: &mut [Row], now: i64, _: bool) -> Result<(), StateError> {
        self.written += 1;
        let calls: Vec<_> = rows
            .iter()
            .map(|row| {
                let ends = row.total.key.window.ends;
                // By the gateway's clock, which may have been set back; at least for a day.
                let lives = ends.map_or(0, |ends| ends.saturating_sub(now).max(0).saturating_add(KEPT));
                let mut call = self.script.call(&self.key(&row.total));
                call.arg(&*self.names.gateway)
                    .arg(self.written)
                    .arg(row.goal.min(MOST))
                    .arg(row.told)
                    .arg(lives)
                    .arg(u8::from(row.is_last));
                call
            })
            .collect();
        let answers = self.link.runtime().block_on(self.script.run(&self.link, &calls))?;
        for (row, answer) in rows.iter_mut().zip(answers) {
            let answer = answer.and_then(|value| Ok(from_redis_value::<Vec<Value>>(value)?));
            let answer = answer.map_err(|error| self.link.error(&error.to_string()))?;
            let [sum, own, last, told] = &answer[..] else {
                return Err(self.link.error("its answer is not understood"));
            };
            let number = |value| whole(value).ok_or_else(|| self.link.error("a number in it is none"));
            let (sum, own, last, told) = (number(sum)?, number(own)?, number(last)?, number(told)?);
            row.others = sum.saturating_sub(own);
            row.told = row.told.max(told);
            row.is_lost = last < row.acknowledged;
            row.number = self.written;
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn error(&self, reason: &str) -> StateError {
        self.link.error(reason)
    }
}
