//! The recorder behind the `metrics` macros and its text for Prometheus.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::names::{self, Kind, Metric, Unit};
use crate::process;

/// How often samples are folded into their buckets when nobody scrapes: without it memory would grow with every
/// sample until the next scrape.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The recorder could not be built or another one is in its place.
    #[error("the metrics recorder cannot be installed: {0}")]
    Install(#[from] BuildError),
    /// The thread that folds samples could not start.
    #[error("the metrics thread cannot start: {0}")]
    Thread(#[source] io::Error),
}

impl Metrics {
    /// Installs the recorder for the whole process, describes every metric of [`names`] and shows those without
    /// labels with the value 0. Later calls give the same metrics.
    pub fn install() -> Result<Self, MetricsError> {
        static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = installed.as_ref() {
            return Ok(metrics.clone());
        }
        let mut builder = PrometheusBuilder::new();
        for metric in names::ALL {
            if let Kind::Histogram(bounds) = metric.kind {
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
            }
        }
        let metrics = Self(builder.install_recorder()?);
        *installed = Some(metrics.clone());
        names::ALL.iter().for_each(describe);
        if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
            gauge!(names::PROCESS_START_SECONDS).set(now.as_secs_f64());
        }
        let upkeep = metrics.0.clone();
        thread::Builder::new()
            .name("metrics-upkeep".into())
            .spawn(move || {
                loop {
                    thread::sleep(UPKEEP_EVERY);
                    upkeep.run_upkeep();
                }
            })
            .map_err(MetricsError::Thread)?;
        Ok(metrics)
    }

    /// The metrics now, in the Prometheus text format (version 0.0.4).
    pub fn render(&self) -> String {
        process::observe();
        self.0.run_upkeep();
        self.0.render()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn describe(metric: &Metric) {
    let Metric { name, kind, unit, labels, help } = *metric;
    let unit = match unit {
        Unit::Count => metrics::Unit::Count,
        Unit::Bytes => metrics::Unit::Bytes,
        Unit::Seconds => metrics::Unit::Seconds,
    };
    match kind {
        Kind::Counter => describe_counter!(name, unit, help),
        Kind::Gauge => describe_gauge!(name, unit, help),
        Kind::Histogram(_) => describe_histogram!(name, unit, help),
    }
    if !labels.is_empty() {
        return;
    }
    match kind {
        Kind::Counter => counter!(name).absolute(0),
        Kind::Gauge => gauge!(name).set(0.0),
        // A histogram is shown once it is registered, without samples.
        Kind::Histogram(_) => drop(histogram!(name)),
    }
}
