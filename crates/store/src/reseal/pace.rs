//! How fast bytes may be moved. Pure: whoever asks says what time it is.

use std::time::Duration;

/// What was not used for this long may be used later: an answer to a sleeper that woke late, and to a disk that was slow
/// for once. Longer, and the rate would not hold over seconds.
const CREDIT: Duration = Duration::from_millis(100);

/// A bucket of bytes that fills at the rate. Bytes are taken after they were moved, so it can be below empty; who comes
/// then waits until it is not.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Bytes per second; 0 if there is no limit.
    rate: u64,
    /// Bytes, in parts of a thousand million, so that nothing is lost however often one asks.
    level: i128,
    /// When `level` was right.
    at: Duration,
}

const PARTS: i128 = 1_000_000_000;

impl Pace {
    /// A full bucket.
    pub(crate) fn new(kib_per_second: u32, now: Duration) -> Self {
        let mut pace = Self { rate: u64::from(kib_per_second) << 10, level: 0, at: now };
        pace.level = pace.full();
        pace
    }

    /// Another rate from now on. What was taken too much is waited for at the new one, what was left over is gone.
    pub(crate) fn set_rate(&mut self, kib_per_second: u32, now: Duration) {
        self.fill(now);
        self.rate = u64::from(kib_per_second) << 10;
        self.level = if self.rate == 0 { 0 } else { self.level.min(0) };
    }

    /// Takes bytes that were moved.
    pub(crate) fn take(&mut self, bytes: u64, now: Duration) {
        self.fill(now);
        if self.rate > 0 {
            self.level -= i128::from(bytes) * PARTS;
        }
    }

    /// How long to wait before moving more; ask again then, since others take too.
    pub(crate) fn wait(&mut self, now: Duration) -> Duration {
        self.fill(now);
        if self.rate == 0 || self.level >= 0 {
            return Duration::ZERO;
        }
        let nanos = (-self.level).div_ceil_by(i128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        let filled = i128::from(self.rate) * i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX >> 64);
        self.level = (self.level + filled).min(self.full());
    }

    fn full(&self) -> i128 {
        i128::from(self.rate) * i128::try_from(CREDIT.as_nanos()).unwrap_or(0)
    }
}

trait DivCeil {
    fn div_ceil_by(self, by: Self) -> Self;
}

impl DivCeil for i128 {
    /// Of numbers that are not negative.
    fn div_ceil_by(self, by: Self) -> Self {
        (self + by - 1) / by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Dice;

    const SECOND: Duration = Duration::from_secs(1);

    /// Moves batches for `time`, by `movers` who each wait as told, sleep somewhat too long and take `cost` for a batch.
    /// How many bytes.
    fn run(
        pace: &mut Pace,
        from: Duration,
        time: Duration,
        batch: u64,
        movers: usize,
        dice: &mut Dice,
    ) -> u64 {
        let mut moved = 0;
        let mut next = vec![from; movers];
        loop {
            let (who, now) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
            if now >= from + time {
                return moved;
            }
            let wait = pace.wait(now);
            if wait > Duration::ZERO {
                next[who] = now + wait + Duration::from_micros(dice.under(3000));
                continue;
            }
            pace.take(batch, now);
            moved += batch;
            next[who] = now + Duration::from_micros(500 + dice.under(4000));
        }
    }

    #[test]
    fn the_rate_holds_within_a_tenth_over_a_few_seconds_whatever_it_is() {
        for kib in [16u32, 100, 1024, 10 << 10, 50 << 10] {
            for movers in [1, 2, 4] {
                for seed in 0..5 {
                    let mut dice = Dice::from_seed(seed);
                    let mut pace = Pace::new(kib, SECOND);
                    let rate = u64::from(kib) << 10;
                    let batch = (rate / 4).clamp(4096, 512 << 10) / 4096 * 4096;
                    let moved = run(&mut pace, SECOND, 10 * SECOND, batch, movers, &mut dice);
                    let off = moved.abs_diff(rate * 10) * 100 / (rate * 10);
                    assert!(off < 10, "{kib} KiB/s, {movers} movers: {moved} bytes, {off} % off");
                }
            }
        }
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let mut pace = Pace::new(0, SECOND);
        pace.take(u64::MAX, SECOND);
        assert_eq!(pace.wait(SECOND), Duration::ZERO);
    }

    #[test]
    fn another_rate_holds_from_the_moment_on() {
        let mut dice = Dice::from_seed(1);
        let mut pace = Pace::new(16, SECOND);
        pace.take(1 << 20, SECOND);
        assert!(pace.wait(SECOND) > 60 * SECOND);
        pace.set_rate(10 << 10, SECOND);
        assert!(pace.wait(SECOND) < SECOND / 9);
        let moved = run(&mut pace, 2 * SECOND, 5 * SECOND, 512 << 10, 2, &mut dice);
        assert!(moved.abs_diff(50 << 20) < 5 << 20, "{moved}");
        pace.set_rate(0, 7 * SECOND);
        assert_eq!(pace.wait(7 * SECOND), Duration::ZERO);
        pace.set_rate(1024, 7 * SECOND);
        let moved = run(&mut pace, 7 * SECOND, 5 * SECOND, 256 << 10, 2, &mut dice);
        assert!(moved.abs_diff(5 << 20) < 512 << 10, "{moved}");
    }

    #[test]
    fn what_was_not_used_for_long_is_gone() {
        let mut pace = Pace::new(1024, SECOND);
        let later = 1000 * SECOND;
        let mut taken = 0;
        while pace.wait(later) == Duration::ZERO {
            pace.take(4096, later);
            taken += 4096;
        }
        assert!(taken <= (1 << 20) / 10 + 8192, "{taken}");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut pace = Pace::new(1024, 10 * SECOND);
        pace.take(1 << 20, 10 * SECOND);
        let wait = pace.wait(10 * SECOND);
        assert_eq!(pace.wait(5 * SECOND), wait);
        assert_eq!(pace.wait(10 * SECOND), wait);
    }
}
