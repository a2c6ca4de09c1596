//! How long things took, in quantiles.

use serde::Serialize;

/// Quantiles of times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half are shorter.
    pub p50: f64,
    /// Nine in ten are.
    pub p90: f64,
    /// All but one in a hundred are.
    pub p99: f64,
}

impl Quantiles {
    /// Those of `times` (nearest rank); none where there are none.
    pub fn of(times: impl Iterator<Item = f64>) -> Option<Self> {
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        let rank = |share: f64| Some(times[((times.len() as f64 * share).ceil() as usize).checked_sub(1)?]);
        Some(Self { p50: rank(0.5)?, p90: rank(0.9)?, p99: rank(0.99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let of = Quantiles::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!((of.p50, of.p90, of.p99), (50.0, 90.0, 99.0));
        assert_eq!(Quantiles::of([7.0].into_iter()).map(|of| (of.p50, of.p99)), Some((7.0, 7.0)));
        assert_eq!(Quantiles::of(std::iter::empty()), None);
    }
}
