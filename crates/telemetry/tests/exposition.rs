//! What a Prometheus server would make of the text.

use std::collections::{BTreeMap, BTreeSet};

use metrics::{counter, gauge, histogram};
use strongroom_telemetry::Metrics;
use strongroom_telemetry::names::{self, Kind};

#[test]
fn every_metric_is_exposed_with_help_type_and_its_samples() {
    let metrics = Metrics::install().unwrap();
    for metric in names::ALL.iter().filter(|metric| !metric.labels.is_empty()) {
        let labels: Vec<(&'static str, &'static str)> =
            metric.labels.iter().map(|name| (*name, "x\"y\n")).collect();
        match metric.kind {
            Kind::Counter => counter!(metric.name, &labels).increment(1),
            Kind::Gauge => gauge!(metric.name, &labels).set(1.0),
            Kind::Histogram(_) => histogram!(metric.name, &labels).record(0.5),
        }
    }
    let text = metrics.render();

    let mut helped = BTreeSet::new();
    let mut kinds = BTreeMap::new();
    let mut sampled = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(rest.split_once(' ').unwrap().0), "two helps: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "two types: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
            let name = series.split('{').next().unwrap();
            let stem = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|stem| kinds.get(stem) == Some(&"histogram")));
            let name = stem.unwrap_or(name);
            assert!(helped.contains(name) && kinds.contains_key(name), "sample before its help: {line}");
            sampled.insert(name);
        }
    }
    for metric in names::ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert_eq!(kinds.get(metric.name), Some(&kind), "{}", metric.name);
        let labelled_or_counted = !metric.labels.is_empty() || !matches!(metric.kind, Kind::Histogram(_));
        assert!(!labelled_or_counted || sampled.contains(metric.name), "{} has no sample", metric.name);
    }
    let known: BTreeSet<_> = names::ALL.iter().map(|metric| metric.name).collect();
    assert!(helped.is_subset(&known), "undescribed: {:?}", helped.difference(&known));
}

#[cfg(target_os = "linux")]
#[test]
fn process_figures_are_plausible() {
    let text = Metrics::install().unwrap().render();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value(names::PROCESS_RESIDENT_BYTES) > 100_000.0);
    assert!(value(names::PROCESS_RESIDENT_PEAK_BYTES) >= value(names::PROCESS_RESIDENT_BYTES));
    assert!(value(names::PROCESS_OPEN_FILES) >= 3.0);
    assert!(value(names::PROCESS_START_SECONDS) > 1.7e9);
}
