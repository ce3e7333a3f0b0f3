//! The door's connections.

use std::io;
use std::time::Duration;

use tokio::net::UnixListener;

use super::AdminDeps;
use super::routes::router;
use crate::serve::{Limits, serve_within};

/// A few people and scripts. A connection may last long, because there is work that does: the client waits for it.
const LIMITS: Limits = Limits {
    connections: 32,
    header_time: Duration::from_secs(10),
    stall_time: Duration::from_secs(60),
    connection_time: Duration::from_secs(24 * 3600),
    drain_time: Duration::from_secs(10),
};

/// Serves the door until `shutdown` completes, then lets open requests finish. Who may connect to `listener` may do
/// everything.
pub async fn serve(
    listener: UnixListener,
    deps: AdminDeps,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_within(LIMITS, listener, None, router(deps), shutdown).await
}
