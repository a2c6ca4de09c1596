//! Notices when requests have code and none is made smaller.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::served::{Alarm, ReasonCount};
use crate::base::status::Status;

/// Requests in a row after which something is wrong.
const ALARMING: u64 = 100;

/// Requests in a row that had code and were not made smaller, and their reasons.
#[derive(Default)]
pub struct Streak {
    length: u64,
    reasons: BTreeMap<String, u64>,
}

impl Streak {
    /// Adds a request. Returns an alarm every [`ALARMING`] requests.
    pub fn add(&mut self, outcome: &Status) -> Option<Alarm> {
        if matches!(outcome, Status::Compressed | Status::Audited) {
            *self = Self::default();
        } else if outcome.had_code() {
            self.length += 1;
            let reason = outcome.reason().map_or_else(|| outcome.to_string(), |reason| reason.to_string());
            *self.reasons.entry(reason).or_default() += 1;
            return self.alarm().filter(|alarm| alarm.requests % ALARMING == 0);
        }
        None
    }

    /// Number of requests.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The alarm, while there is reason for one.
    pub fn alarm(&self) -> Option<Alarm> {
        let count = |(reason, &count): (&String, &u64)| ReasonCount { reason: reason.clone(), count };
        let mut reasons: Vec<ReasonCount> = self.reasons.iter().map(count).collect();
        reasons.sort_by_key(|reason| Reverse(reason.count));
        (self.length >= ALARMING).then_some(Alarm { requests: self.length, reasons })
    }
}
