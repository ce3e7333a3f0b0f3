//! Rows with a target and a verdict, for people and as JSON.

use std::fs;

use serde::Serialize;

use crate::problem::Problem;
use crate::process;

/// What a number has to be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// From the first to the second.
    Between(f64, f64),
    /// Shown, not judged.
    None,
}

/// One measured thing. The judged number is `value`; the other two say what it was made of.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ours: String,
    pub(super) other: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) target: Target,
    pub(super) met: Option<bool>,
}

impl Row {
    pub(super) fn new(
        name: impl Into<String>,
        ours: impl Into<String>,
        other: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) -> Self {
        let met = match target {
            Target::AtLeast(least) => Some(value >= least),
            Target::AtMost(most) => Some(value <= most),
            Target::Between(least, most) => Some((least..=most).contains(&value)),
            Target::None => None,
        };
        Self { name: name.into(), ours: ours.into(), other: other.into(), value, unit, target, met }
    }

    fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        }
    }

    fn wanted(&self) -> String {
        match self.target {
            Target::AtLeast(least) => format!(">= {least}"),
            Target::AtMost(most) => format!("<= {most}"),
            Target::Between(least, most) => format!("{least}..{most}"),
            Target::None => String::new(),
        }
    }
}

/// Prints the table and keeps it under `target/bench/NAME.json`. A target that was missed is a failure, which names it.
pub(super) fn show(name: &str, other: &str, rows: &[Row]) -> Result<(), Problem> {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    println!("\n{:width$}  {:>20}  {:>20}  {:>14}  {:>9}", "", "ours", other, "", "target");
    for row in rows {
        let value = format!("{:.2} {}", row.value, row.unit);
        println!(
            "{:width$}  {:>20}  {:>20}  {value:>14}  {:>9}  {}",
            row.name,
            row.ours,
            row.other,
            row.wanted(),
            row.verdict()
        );
    }
    let folder = process::target_dir().join("bench");
    fs::create_dir_all(&folder).map_err(Problem::file(&folder))?;
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(rows)
        .map_err(|error| Problem::Unreadable { what: "the table", reason: error.to_string() })?;
    fs::write(&path, text).map_err(Problem::file(&path))?;
    println!("\nkept in {}", path.display());
    judge(rows)
}

fn judge(rows: &[Row]) -> Result<(), Problem> {
    let missed = |row: &&Row| row.met == Some(false);
    let missed: Vec<_> = rows
        .iter()
        .filter(missed)
        .map(|row| format!("{} ({:.2} {}, wanted {})", row.name, row.value, row.unit, row.wanted()))
        .collect();
    if missed.is_empty() { Ok(()) } else { Err(Problem::Missed { rows: missed }) }
}

/// The middle of the values; the mean of the two middle ones if their number is even.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (count, middle) if count % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_missed_target_fails_by_name_and_what_is_not_judged_does_not() {
        let row = |name: &str, value: f64, target: Target| Row::new(name, "", "", value, "x", target);
        let met = [row("met", 2.0, Target::AtLeast(1.0)), row("shown", 9.0, Target::None)];
        assert!(judge(&met).is_ok());
        let [met, shown] = met;
        let missed = judge(&[met, row("slow", 0.5, Target::AtLeast(0.9)), shown]).unwrap_err();
        assert_eq!(missed.to_string(), "1 missed: slow (0.50 x, wanted >= 0.9)");
    }

    #[test]
    fn a_target_is_judged_on_its_side() {
        assert_eq!(Row::new("", "", "", 1.5, "x", Target::AtLeast(1.5)).met, Some(true));
        assert_eq!(Row::new("", "", "", 1.6, "x", Target::AtMost(1.5)).met, Some(false));
        assert_eq!(Row::new("", "", "", 1.6, "x", Target::None).met, None);
    }
}
