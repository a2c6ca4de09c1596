//! How much a client may ask for in a minute.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::pipeline::Allowance;

/// Whom requests are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// Who has the key of this number.
    Key(usize),
    /// Who asks from this address, or, of IPv6, from this network of 64 bits: that is what one subscriber has.
    Address(IpAddr),
}

impl Client {
    /// Who asks from `address`.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
            }
            other => other,
        })
    }
}

/// Counts what clients ask for. A minute's amount may come at once; it fills up again evenly.
pub struct Rates {
    requests: Option<Limiter>,
    tokens: Option<Limiter>,
    counted: AtomicUsize,
}

type Limiter = RateLimiter<Client, DashMapStateStore<Client>, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// So many requests after each other, those who have not asked for a minute are forgotten.
const UPKEEP: usize = 4096;

impl Rates {
    /// A client may send so many requests a minute, and have so many tokens of code judged; none: any number. 0 is no number
    /// here and counts as none.
    pub fn new(requests_per_minute: Option<u32>, tokens_per_minute: Option<u32>) -> Self {
        let limiter = |most: Option<u32>| {
            let quota = Quota::per_minute(NonZeroU32::new(most?)?);
            Some(Limiter::new(quota, DashMapStateStore::default(), MonotonicClock))
        };
        Self {
            requests: limiter(requests_per_minute),
            tokens: limiter(tokens_per_minute),
            counted: AtomicUsize::new(0),
        }
    }

    /// Counts a request of `client`.
    ///
    /// # Errors
    /// It is one too many; after this time there may be another.
    pub(crate) fn request(&self, client: Client) -> Result<(), Duration> {
        if self.counted.fetch_add(1, Ordering::Relaxed) % UPKEEP == UPKEEP - 1 {
            [&self.requests, &self.tokens].into_iter().flatten().for_each(Limiter::retain_recent);
        }
        let Some(limiter) = &self.requests else { return Ok(()) };
        limiter.check_key(&client).map_err(|refused| refused.wait_time_from(limiter.clock().now()))
    }

    /// How much code of `client` may be judged; `None`: any.
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

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rates({}, {})", self.requests.is_some(), self.tokens.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::Tokens;

    #[test]
    fn each_client_has_a_minutes_amount() {
        let rates = Arc::new(Rates::new(Some(2), Some(100)));
        let [one, other] = [Client::Key(0), Client::Key(1)];
        assert!(rates.request(one).is_ok() && rates.request(one).is_ok());
        let wait = rates.request(one).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(30), "{wait:?}");
        assert!(rates.request(other).is_ok());
        let allowance = rates.allowance(one).unwrap();
        assert!(!allowance.take(Tokens(101)) && allowance.take(Tokens(90)) && allowance.take(Tokens(0)));
        assert!(!allowance.take(Tokens(90)));
        assert!(rates.allowance(other).unwrap().take(Tokens(90)));
        assert!(!rates.allowance(other).unwrap().take(Tokens(usize::MAX)));
    }

    #[test]
    fn without_numbers_there_is_no_limit() {
        let rates = Arc::new(Rates::new(None, None));
        assert!((0..2 * UPKEEP).all(|_| rates.request(Client::Key(0)).is_ok()));
        assert!(rates.allowance(Client::Key(0)).is_none());
    }

    #[test]
    fn an_address_is_that_of_a_subscriber() {
        let at = |address: &str| Client::at(address.parse().unwrap());
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_ne!(at("::1"), at("::"));
    }
}
