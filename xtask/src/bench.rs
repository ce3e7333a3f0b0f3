//! Measurements: ours sealed against ours unsealed, and ours against a peer, with medians and ratios from one run.

mod load;
mod own;
mod peers;
mod policy;
mod s3;
mod serve;
mod store;
mod table;

use clap::{Args, Subcommand};

use crate::problem::Problem;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    /// How often each pair of contenders takes turns; the medians are over these rounds.
    #[arg(long, default_value_t = 5, global = true)]
    rounds: usize,
    /// Only rows whose name contains this.
    #[arg(long, value_name = "NAME", global = true)]
    only: Option<String>,
    /// A fifth of the work, for a first look or a busy machine. Only `store` and `s3` know it.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Ours beside SeaweedFS with SSE-S3, with the same client.
    Peers,
    /// Small reads beside empty answers, and listings of large buckets.
    S3,
    /// The store alone, sealed against unsealed, SQLCipher and plain redb.
    Store,
}

/// Prints a table and writes it to `target/bench/`.
pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    match options.what {
        None => own::run(options),
        Some(What::Peers) => peers::run(options),
        Some(What::S3) => s3::run(options),
        Some(What::Store) => store::run(options),
    }
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    fn scaled(&self, count: u64) -> u64 {
        if self.quick { count.div_ceil(5) } else { count }
    }
}
