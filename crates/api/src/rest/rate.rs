//! How often one identity may ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many requests for configuration each identity may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// In the long run, per second; 0 is as many as it likes.
    pub per_second: u32,
    /// At once, after a rest.
    pub burst: u32,
}

impl Default for RateLimit {
    /// A script that sets up a hundred users does not notice it, and a loop that has gone wild does not keep the server from
    /// its work: each change is written durably, and each check of a policy document costs time.
    fn default() -> Self {
        Self { per_second: 20, burst: 200 }
    }
}

/// Past this many, identities that have rested long enough to have all they can have are forgotten.
const IDENTITIES_MAX: usize = 4096;

/// Counts for all identities: a bucket of tokens for each, which fills by the second.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// In thousandths.
    tokens: u64,
    at: Instant,
}

const ONE: u64 = 1000;

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// Takes one request of `who` into account, or says how long to wait.
    pub(super) fn take(&self, who: &str, now: Instant) -> Result<(), Duration> {
        let RateLimit { per_second, burst } = self.limit;
        if per_second == 0 {
            return Ok(());
        }
        let full = u64::from(burst.max(1)) * ONE;
        let filled = |bucket: &Bucket| {
            let passed =
                u64::try_from(now.saturating_duration_since(bucket.at).as_millis()).unwrap_or(u64::MAX);
            // A token is a thousand, so a millisecond gives as many as there are per second.
            bucket.tokens.saturating_add(passed.saturating_mul(u64::from(per_second))).min(full)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= IDENTITIES_MAX && !buckets.contains_key(who) {
            buckets.retain(|_, bucket| filled(bucket) < full);
        }
        let bucket = buckets.entry(who.to_owned()).or_insert(Bucket { tokens: full, at: now });
        (bucket.tokens, bucket.at) = (filled(bucket), now);
        match bucket.tokens.checked_sub(ONE) {
            Some(left) => {
                bucket.tokens = left;
                Ok(())
            }
            None => Err(Duration::from_millis((ONE - bucket.tokens).div_ceil(u64::from(per_second)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate_holds() {
        let limiter = Limiter::new(RateLimit { per_second: 10, burst: 3 });
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(limiter.take("a", start), Ok(()));
        }
        assert_eq!(limiter.take("a", start), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take("b", start), Ok(()), "each identity has its own");
        let later = start + Duration::from_millis(100);
        assert_eq!(limiter.take("a", later), Ok(()));
        assert_eq!(limiter.take("a", later), Err(Duration::from_millis(100)));
        let much_later = start + Duration::from_secs(3600);
        for _ in 0..3 {
            assert_eq!(limiter.take("a", much_later), Ok(()), "no more than the burst is saved up");
        }
        assert!(limiter.take("a", much_later).is_err());
    }

    #[test]
    fn no_rate_is_no_limit() {
        let limiter = Limiter::new(RateLimit { per_second: 0, burst: 0 });
        let now = Instant::now();
        assert!((0..1000).all(|_| limiter.take("a", now).is_ok()));
    }

    #[test]
    fn identities_that_rest_are_forgotten() {
        let limiter = Limiter::new(RateLimit { per_second: 1, burst: 1 });
        let start = Instant::now();
        for number in 0..IDENTITIES_MAX {
            limiter.take(&number.to_string(), start).unwrap();
        }
        limiter.take("another", start + Duration::from_secs(2)).unwrap();
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
