//! Latencies and their quantiles.

use std::fmt;
use std::time::Duration;

/// Latencies, in any order.
#[derive(Default, Clone)]
pub struct Latencies(Vec<Duration>);

/// The quantiles that are reported.
#[derive(Clone, Copy, Default)]
pub struct Quantiles {
    pub p50: Duration,
    pub p99: Duration,
    pub p999: Duration,
}

impl Latencies {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The quantiles by nearest rank; zeros where there are no latencies.
    pub fn quantiles(&self) -> Quantiles {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Quantiles { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

impl Quantiles {
    /// The differences from `base`, in microseconds. The difference of two quantiles is not the quantile of differences,
    /// which can't be measured, as no request takes both ways.
    pub fn over(&self, base: &Self) -> [f64; 3] {
        let difference = |mine: Duration, other: Duration| micros(mine) - micros(other);
        [difference(self.p50, base.p50), difference(self.p99, base.p99), difference(self.p999, base.p999)]
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} | {:.0} | {:.0}", micros(self.p50), micros(self.p99), micros(self.p999))
    }
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
