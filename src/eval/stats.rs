//! Means and their confidence intervals.

/// Bootstrap resamples for an interval.
const RESAMPLES: usize = 2000;

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The 2.5 % quantile of the resamples' means.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

impl Mean {
    /// The mean with its interval, to so many digits; a dash for the mean of nothing.
    pub fn shown(self, digits: usize) -> String {
        let Self { mean, low, high } = self;
        if mean.is_nan() { "–".to_owned() } else { format!("{mean:.digits$} [{low:.digits$}, {high:.digits$}]") }
    }

    /// A difference with its interval, to three digits and with signs.
    pub fn signed(self) -> String {
        let Self { mean, low, high } = self;
        if mean.is_nan() { "–".to_owned() } else { format!("{mean:+.3} [{low:+.3}, {high:+.3}]") }
    }
}

/// The mean of `values` with its 95 % interval by bootstrap (percentile method; Efron and Tibshirani, 1993), the same for
/// the same values. NaN for none.
pub fn mean(values: &[f64]) -> Mean {
    let average = |sum: f64| sum / values.len() as f64;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        values[((mixed ^ (mixed >> 31)) % values.len() as u64) as usize]
    };
    let mut means: Vec<f64> = match values {
        [] => vec![f64::NAN],
        _ => (0..RESAMPLES).map(|_| average((0..values.len()).map(|_| draw()).sum())).collect(),
    };
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
    Mean { mean: average(values.iter().sum()), low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_mean() {
        let yes_and_no: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let Mean { mean: middle, low, high } = mean(&yes_and_no);
        assert_eq!(middle, 0.5);
        // The normal interval is ±0.098.
        assert!((low - 0.402).abs() < 0.03 && (high - 0.598).abs() < 0.03, "{low} {high}");
        assert_eq!(mean(&[2.0; 5]), Mean { mean: 2.0, low: 2.0, high: 2.0 });
        assert!(mean(&[]).mean.is_nan());
    }
}
