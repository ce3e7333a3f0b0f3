//! How many tests passed and failed, read off the runners' own closing lines.

use std::fmt;
use std::ops::AddAssign;

use crate::problem::Problem;

/// Counts of one run or of several added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// One check that went well or did not.
    pub(crate) fn one(ok: bool) -> Self {
        Self { passed: u64::from(ok), failed: u64::from(!ok), skipped: 0 }
    }

    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …` of cargo test.
    pub(crate) fn of_cargo_line(line: &str) -> Option<Self> {
        Some(Self::words(line.trim().strip_prefix("test result: ")?))
    }

    /// Reads `==== 3 passed, 1 failed, 2 skipped in 4.5s ====` of pytest, with or without its frame.
    pub(crate) fn of_pytest_line(line: &str) -> Option<Self> {
        let line = line.trim().trim_matches('=').trim();
        let (said, time) = line.rsplit_once(" in ")?;
        let ends_in_time = time.starts_with(|c: char| c.is_ascii_digit()) && time.contains('s');
        let counts = Self::words(said);
        (ends_in_time && said.starts_with(|c: char| c.is_ascii_digit()) && counts != Self::default())
            .then_some(counts)
    }

    fn words(line: &str) -> Self {
        let mut counts = Self::default();
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || c == ',' || c == ';')
            .filter(|w| !w.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" | "xfailed" => counts.passed += number,
                "failed" | "error" | "errors" | "xpassed" => counts.failed += number,
                "ignored" | "skipped" => counts.skipped += number,
                _ => {}
            }
        }
        counts
    }

    /// A run in which nothing ran has failed.
    pub(crate) fn verdict(self) -> Result<(), Problem> {
        if self.failed == 0 && self.passed > 0 {
            return Ok(());
        }
        Err(Problem::Tests { passed: self.passed, failed: self.failed })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_read() {
        let cargo =
            "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished";
        assert_eq!(Counts::of_cargo_line(cargo), Some(Counts { passed: 12, failed: 2, skipped: 1 }));
        let pytest = "===== 1 failed, 30 passed, 2 skipped, 1 error in 12.30s (0:00:12) =====";
        assert_eq!(Counts::of_pytest_line(pytest), Some(Counts { passed: 30, failed: 2, skipped: 2 }));
        assert_eq!(
            Counts::of_pytest_line("5 passed in 0.1s"),
            Some(Counts { passed: 5, failed: 0, skipped: 0 })
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(Counts::of_cargo_line("test store::recovers ... ok"), None);
        assert_eq!(Counts::of_pytest_line("5 files copied in 3 s"), None);
        assert_eq!(Counts::of_pytest_line("uploaded 3 passed in words"), None);
    }

    #[test]
    fn a_run_without_tests_has_failed() {
        assert!(Counts::default().verdict().is_err());
        assert!(Counts { passed: 1, failed: 1, skipped: 0 }.verdict().is_err());
        assert!(Counts { passed: 1, failed: 0, skipped: 3 }.verdict().is_ok());
    }
}
