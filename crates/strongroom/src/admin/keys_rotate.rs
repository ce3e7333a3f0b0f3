//! `admin keys rotate`.

use clap::Args;
use reqwest::Method;
use std::fmt::Write as _;
use strongroom_api::admin::{RotateKeys, RotatedKeys};

use super::answer::{Output, group_name};
use super::connection::Connection;
use super::error::AdminFailure;

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct RotateArgs {
    /// This bucket
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
    /// The system group: names and settings of buckets, credentials
    #[arg(long)]
    system: bool,
    /// Every bucket and the system group
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(door: &Connection, output: Output, args: RotateArgs) -> Result<(), AdminFailure> {
    let which = match (args.bucket, args.system) {
        (Some(bucket), _) => RotateKeys::Bucket { bucket },
        (None, true) => RotateKeys::System {},
        (None, false) => RotateKeys::All {},
    };
    let done: RotatedKeys = door.tell(Method::POST, "/keys/rotate", &which).await?;
    output.show(&done, words)?;
    match done.not_rotated.len() {
        0 => Ok(()),
        failed => Err(AdminFailure::Partly { failed, asked: failed + done.rotated.len() }),
    }
}

fn words(done: &RotatedKeys) -> String {
    let mut text = String::new();
    for group in &done.rotated {
        let name = group_name(group.bucket.as_deref(), group.group);
        writeln!(text, "{name}: key {} seals from now on", group.key_id).expect("a String takes everything");
    }
    for group in &done.not_rotated {
        let name = group_name(group.bucket.as_deref(), group.group);
        writeln!(text, "{name}: NOT rotated: {}", group.message).expect("a String takes everything");
    }
    if !done.rotated.is_empty() {
        text.push_str("what older keys sealed is moved in the background: strongroom admin reseal status\n");
    }
    text
}
