//! Where log lines go and which of them.

use std::fmt;
use std::io;

use tracing::Subscriber;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A directive is a word that is no level.
    #[error(
        "the log level \"{directive}\" is not one of off, error, warn, info, debug, trace, nor target=level"
    )]
    NoSuchLevel {
        /// The directive.
        directive: String,
    },
    /// Not a filter.
    #[error("the log filter \"{filter}\" cannot be read: {source}")]
    Filter {
        /// The whole filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The process's log is set up already.
    #[error("the log is set up already")]
    AlreadySet(#[from] SetGlobalDefaultError),
}

/// Sends the process's log lines that pass `filter` to standard error.
///
/// `filter` is a level or a comma-separated list of `target=level`, as in `info` or
/// `info,strongroom_store=debug` (the syntax of the `env-filter` of tracing-subscriber).
pub fn init(filter: &str, format: Format) -> Result<(), LogError> {
    let subscriber = subscriber(filter, format, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(())
}

/// Whether [`init`] would take this filter.
///
/// # Errors
/// What is wrong with it.
pub fn check(filter: &str) -> Result<(), LogError> {
    parse(filter).map(drop)
}

/// What [`init`] installs, writing to `writer`.
pub fn subscriber<W>(
    filter: &str,
    format: Format,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    // Libraries log what they handle: request lines, headers, XML. Names and keys would be in the clear there, so only
    // our own lines pass, whatever the filter asks for.
    let ours = filter_fn(|line| line.target().starts_with("strongroom"));
    let base = registry().with(parse(filter)?).with(ours);
    Ok(match format {
        Format::Human => Box::new(base.with(lines)),
        Format::Json => Box::new(base.with(lines.json().flatten_event(true).with_span_list(false))),
    })
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    for directive in filter.split(',').map(str::trim) {
        // A lone word would be taken for a target, so that a misspelt level silences everything unnoticed.
        let lone_word = directive.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if lone_word && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(directive)) {
            return Err(LogError::NoSuchLevel { directive: directive.to_owned() });
        }
    }
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;
    use crate::RequestId;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: Format) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        with_default(subscriber(filter, format, move || to.clone()).unwrap(), || {
            let id = RequestId::from_random([0xAB; 16]);
            let span = tracing::info_span!("request", request_id = %id);
            let _inside = span.enter();
            tracing::info!(status = 200, "answered");
            tracing::debug!("detail");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn level_decides_which_lines_are_written() {
        assert!(!logged("info", Format::Human).contains("detail"));
        assert!(logged("debug", Format::Human).contains("detail"));
        assert_eq!(logged("off", Format::Human), "");
        assert!(logged("warn,strongroom_telemetry=debug", Format::Human).contains("detail"));
    }

    #[test]
    fn every_line_carries_the_request_id() {
        for format in [Format::Human, Format::Json] {
            for line in logged("debug", format).lines() {
                assert!(line.contains(&"AB".repeat(16)), "{line}");
            }
        }
    }

    #[test]
    fn json_lines_are_objects() {
        let line = logged("info", Format::Json);
        assert!(line.starts_with('{') && line.trim_end().ends_with('}'), "{line}");
        assert!(line.contains("\"status\":200") && line.contains("\"level\":\"INFO\""), "{line}");
    }

    #[test]
    fn misspelt_level_is_an_error_that_names_it() {
        for (filter, names) in
            [("verbose", "verbose"), ("", "\"\""), ("info,a=loud", "a=loud"), ("info,", "\"\"")]
        {
            let error = subscriber(filter, Format::Human, io::sink).err().unwrap().to_string();
            assert!(error.contains(names), "{filter}: {error}");
        }
    }
}
