//! Numbers with limits of their own.

use std::time::Duration;

use strongroom_api::rest::RateLimit;
use strongroom_objects::DataKeyOptions;
use strongroom_store::KeyLimits;

use super::Mistake;
use super::file::{Api, Keys};

/// For how long keys of the KMS are kept in memory; the defaults are those of [`DataKeyOptions`].
pub(super) fn data_keys(
    fresh: Option<u64>,
    kept: Option<u64>,
    mistakes: &mut Vec<Mistake>,
) -> DataKeyOptions {
    const SECONDS_MAX: u64 = 24 * 3600;
    let mut options = DataKeyOptions::default();
    for (name, given, place) in
        [("fresh_seconds", fresh, &mut options.fresh_for), ("kept_seconds", kept, &mut options.kept_for)]
    {
        match given {
            Some(seconds) if seconds > SECONDS_MAX => mistakes.push(Mistake {
                key: format!("kms.{name}"),
                problem: format!("must be at most {SECONDS_MAX}, which is a day"),
            }),
            Some(seconds) => *place = Duration::from_secs(seconds),
            None => {}
        }
    }
    if options.kept_for < options.fresh_for {
        mistakes.push(Mistake {
            key: "kms.kept_seconds".into(),
            problem: format!("must not be less than fresh_seconds ({})", options.fresh_for.as_secs()),
        });
    }
    options
}

/// When a key of a bucket changes by itself. The store's limits are the most: they are what its ciphers are safe for.
pub(super) fn key_limits(keys: &Keys, mistakes: &mut Vec<Mistake>) -> KeyLimits {
    const DAY_SECONDS: u64 = 86_400;
    let most = KeyLimits::default();
    let mut limit = |key: &str, given: Option<u64>, unit: u64, most: u64| match given {
        None => most,
        Some(0) => {
            mistakes.push(Mistake {
                key: format!("keys.{key}"),
                problem: format!("0 would rotate all the time; leave it out for the most, {}", most / unit),
            });
            most
        }
        Some(given) if given > most / unit => {
            let problem = format!("must be at most {}, which is what one key may seal", most / unit);
            mistakes.push(Mistake { key: format!("keys.{key}"), problem });
            most
        }
        Some(given) => given * unit,
    };
    let seals = limit("rotate_after_seals", keys.rotate_after_seals, 1, most.seals);
    let bytes = limit("rotate_after_gib", keys.rotate_after_gib, 1 << 30, most.bytes);
    let days = keys.rotate_after_days.unwrap_or(0);
    if days > 36_500 {
        mistakes.push(Mistake {
            key: "keys.rotate_after_days".into(),
            problem: "must be at most 36500; 0 rotates for no key's age".into(),
        });
    }
    KeyLimits { seals, bytes, age_seconds: days.saturating_mul(DAY_SECONDS) }
}

/// How often one identity may change or read configuration over the API.
pub(super) fn api_rate(api: &Api, mistakes: &mut Vec<Mistake>) -> RateLimit {
    let default = RateLimit::default();
    let per_second = api.config_requests_per_second.unwrap_or(default.per_second);
    let burst = api.config_requests_burst.unwrap_or(default.burst);
    if burst == 0 && per_second > 0 {
        mistakes.push(Mistake {
            key: "api.config_requests_burst".into(),
            problem: "0 would refuse everything; for no limit set config_requests_per_second to 0".into(),
        });
    }
    RateLimit { per_second, burst }
}
