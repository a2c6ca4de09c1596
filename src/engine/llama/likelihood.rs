//! Log-likelihoods from logits.

/// Negative log-likelihood (nats) of `token` under `logits` (unnormalized, one a vocabulary entry):
/// ln Σ exp(l − max) + max − l\[token\].
pub fn negative_log_likelihood(logits: &[f32], token: usize) -> f32 {
    let max = maximum(logits);
    let sum = sum_of_exponentials(logits, max);
    sum.ln() + max - logits[token]
}

/// Floats processed side by side: a multiple of every common vector width.
const LANES: usize = 32;

fn maximum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

fn sum_of_exponentials(values: &[f32], max: f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += exp(value - max);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&value| exp(value - max)).sum::<f32>()
}

/// exp for x ≤ 0, without branches so that the compiler turns loops over it into vector code; relative error below 1e-6.
///
/// exp(x) = 2^n · 2^f with n the nearest whole number to x·log2(e); 2^f for |f| ≤ ½ is its Taylor polynomial of degree 6,
/// and 2^n is made by writing n into the exponent bits.
#[inline]
fn exp(x: f32) -> f32 {
    /// Below this the result is under 1e-37; the clamp keeps the exponent bits in range.
    const LOWEST: f32 = -85.0;
    /// Adding and subtracting 1.5·2^23 rounds to the nearest whole number.
    const ROUNDER: f32 = 12_582_912.0;
    let power = x.max(LOWEST) * std::f32::consts::LOG2_E;
    let shifted = power + ROUNDER;
    let whole = shifted - ROUNDER;
    let t = (power - whole) * std::f32::consts::LN_2;
    let poly = 1.0 + t * (1.0 + t * (0.5 + t * (1.0 / 6.0 + t * (1.0 / 24.0 + t * (1.0 / 120.0 + t / 720.0)))));
    // The low bits of `shifted` hold n; moved into the exponent's place they multiply by 2^n.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    poly * scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exp_is_close(x in -84.0f32..0.0) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - exact).abs() <= 2e-5 * exact, "{} {}", exp(x), exact);
        }

        #[test]
        fn likelihood_is_the_log_softmax(logits in prop::collection::vec(-30.0f32..30.0, 1..200), pick in any::<prop::sample::Index>()) {
            let token = pick.index(logits.len());
            let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let exact = sum.ln() - f64::from(logits[token]);
            prop_assert!((f64::from(negative_log_likelihood(&logits, token)) - exact).abs() < 1e-4);
        }
    }
}
