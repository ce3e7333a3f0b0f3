//! `admin checkpoint`.

use reqwest::Method;
use strongroom_api::admin::Checkpoint;

use super::answer::{Output, bytes};
use super::connection::Connection;
use super::error::AdminFailure;

pub(super) async fn run(door: &Connection, output: Output) -> Result<(), AdminFailure> {
    let made: Checkpoint = door.ask(Method::POST, "/checkpoint", None).await?;
    output.show(&made, |made| {
        format!(
            "checkpoint made: everything up to LSN {} is in the pages; {} of log are left\n",
            made.applied_lsn,
            bytes(made.log_bytes)
        )
    })
}
