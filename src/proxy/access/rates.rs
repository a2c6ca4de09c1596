//! Limits on how many requests come in: at once, and per client and minute.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client::Client;
use crate::pipeline::Allowance;

/// Counts requests in progress, and what each client asks for in a minute. A minute's amount may come at once; it fills up
/// again evenly.
pub struct Rates {
    at_once: Arc<Semaphore>,
    requests: Option<Limiter>,
    tokens: Option<Limiter>,
    counted: AtomicUsize,
}

type Limiter = RateLimiter<Client, DashMapStateStore<Client>, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// Requests after which clients that were silent for a minute are forgotten.
const CLEANUP_INTERVAL: usize = 4096;

impl Rates {
    /// Limits requests in progress, requests of one client in a minute, and tokens of code scored for it in a minute.
    /// `None` and 0 are no limit on the latter two.
    pub fn new(at_once: usize, requests_per_minute: Option<u32>, tokens_per_minute: Option<u32>) -> Self {
        let limiter = |limit: Option<u32>| {
            let quota = Quota::per_minute(NonZeroU32::new(limit?)?);
            Some(Limiter::new(quota, DashMapStateStore::default(), MonotonicClock))
        };
        Self {
            at_once: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            requests: limiter(requests_per_minute),
            tokens: limiter(tokens_per_minute),
            counted: AtomicUsize::new(0),
        }
    }

    /// A permit for one request; `None` if the limit on requests in progress is reached. Dropping it ends the request.
    pub(crate) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.at_once.clone().try_acquire_owned().ok()
    }

    /// Counts a request of `client`.
    ///
    /// # Errors
    /// The client is over its limit, for this long.
    pub(crate) fn count(&self, client: Client) -> Result<(), Duration> {
        if self.counted.fetch_add(1, Ordering::Relaxed) % CLEANUP_INTERVAL == CLEANUP_INTERVAL - 1 {
            [&self.requests, &self.tokens].into_iter().flatten().for_each(Limiter::retain_recent);
        }
        let Some(limiter) = &self.requests else { return Ok(()) };
        limiter.check_key(&client).map_err(|refused| refused.wait_time_from(limiter.clock().now()))
    }

    /// The code of `client` that may be scored; `None`: any amount.
    pub(crate) fn allowance(self: &Arc<Self>, client: Client) -> Option<Allowance> {
        self.tokens.as_ref()?;
        let rates = self.clone();
        Some(Allowance::new(move |tokens| {
            let Some(limiter) = &rates.tokens else { return true };
            let Some(tokens) = u32::try_from(tokens.0).ok().and_then(NonZeroU32::new) else { return tokens.0 == 0 };
            // More than a minute's amount at once never fits.
            matches!(limiter.check_key_n(&client, tokens), Ok(Ok(())))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::Tokens;

    #[test]
    fn each_client_has_a_minutes_amount() {
        let rates = Arc::new(Rates::new(1, Some(2), Some(100)));
        let [one, other] = [Client::Key(0), Client::Key(1)];
        assert!(rates.count(one).is_ok() && rates.count(one).is_ok());
        let wait = rates.count(one).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(30), "{wait:?}");
        assert!(rates.count(other).is_ok());
        let allowance = rates.allowance(one).unwrap();
        assert!(!allowance.take(Tokens(101)) && allowance.take(Tokens(90)) && allowance.take(Tokens(0)));
        assert!(!allowance.take(Tokens(90)));
        assert!(rates.allowance(other).unwrap().take(Tokens(90)));
        assert!(!rates.allowance(other).unwrap().take(Tokens(usize::MAX)));
    }

    #[test]
    fn without_numbers_there_is_no_limit() {
        let rates = Arc::new(Rates::new(1, None, None));
        assert!((0..2 * CLEANUP_INTERVAL).all(|_| rates.count(Client::Key(0)).is_ok()));
        assert!(rates.allowance(Client::Key(0)).is_none());
    }

    #[test]
    fn a_permit_is_free_again_once_it_is_dropped() {
        let rates = Rates::new(1, None, None);
        let permit = rates.permit();
        assert!(permit.is_some() && rates.permit().is_none());
        drop(permit);
        assert!(rates.permit().is_some());
    }
}
