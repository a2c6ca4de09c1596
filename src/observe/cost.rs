//! Costs of requests by the prices of the settings, and estimated savings.

use super::usage::Usage;
use crate::config::Price;

/// Tokens that a price is for.
const MILLION: f64 = 1e6;

/// The cost of `usage`, in the prices' currency.
pub fn cost(price: &Price, usage: &Usage) -> f64 {
    prompt_cost(price, usage) + usage.output as f64 * price.output.unwrap_or_default() / MILLION
}

/// An estimate of the cost of `tokens` that were left out of the prompt: each as much as one that was sent on average, so
/// that little is saved where most of the prompt came from a cache. `None` where no usage is known.
pub fn saved(price: &Price, usage: &Usage, tokens: usize) -> Option<f64> {
    (usage.prompt > 0).then(|| prompt_cost(price, usage) / usage.prompt as f64 * tokens as f64)
}

fn prompt_cost(price: &Price, usage: &Usage) -> f64 {
    let input = price.input.unwrap_or_default();
    let Usage { prompt, cached, cache_write, .. } = *usage;
    let beside = prompt.saturating_sub(cached).saturating_sub(cache_write);
    let parts =
        [(beside, input), (cached, price.cached.unwrap_or(input)), (cache_write, price.cache_write.unwrap_or(input))];
    parts.into_iter().map(|(tokens, price)| tokens as f64 * price / MILLION).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_cost_their_own_price() {
        let price = Price { input: Some(2.0), cached: Some(0.5), output: Some(10.0), ..Price::default() };
        let usage = Usage { prompt: 1_000_000, cached: 600_000, cache_write: 100_000, output: 100_000 };
        assert!((cost(&price, &usage) - (0.6 + 0.3 + 0.2 + 1.0)).abs() < 1e-9);
        assert!((saved(&price, &usage, 500_000).unwrap() - 0.55).abs() < 1e-9);
        assert_eq!(saved(&price, &Usage::default(), 9), None);
        let dear = Price { cache_write: Some(4.0), cached: None, ..price };
        assert!((cost(&dear, &usage) - (1.2 + 0.6 + 0.4 + 1.0)).abs() < 1e-9);
    }
}
