//! Ctrl-C and SIGTERM while something would stay behind: parts of an upload, a partial file.
//!
//! Until [`listen`] is called a signal ends the process, as it does with any program. After that each wait for network or
//! input ends with [`ClientError::Interrupted`], so that whoever waits cleans up as after any error. A second signal
//! ends the process at once.

use std::process;
use std::sync::OnceLock;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::ClientError;

/// The number of the signal that came; zero is none.
static CAME: OnceLock<watch::Receiver<i32>> = OnceLock::new();

/// From now on a signal is an error rather than the end.
pub(super) fn listen() -> Result<(), ClientError> {
    if CAME.get().is_some() {
        return Ok(());
    }
    let set_up = |kind| signal(kind).map_err(|source| ClientError::File { path: "signals".into(), source });
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    let (mut interrupts, mut terminations) = (set_up(interrupt)?, set_up(terminate)?);
    let (sender, receiver) = watch::channel(0);
    if CAME.set(receiver).is_err() {
        return Ok(());
    }
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = interrupts.recv() => interrupt.as_raw_value(),
                _ = terminations.recv() => terminate.as_raw_value(),
            };
            if *sender.borrow() != 0 {
                process::exit(128 + number);
            }
            sender.send_replace(number);
        }
    });
    Ok(())
}

/// The result of `work`, unless a signal comes first.
pub(super) async fn or<T>(work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    let Some(mut came) = CAME.get().cloned() else { return work.await };
    tokio::select! {
        biased;
        signal = came.wait_for(|number| *number != 0) => {
            Err(ClientError::Interrupted { signal: signal.map_or(0, |number| *number) })
        }
        result = work => result,
    }
}
