//! The listener: connections, TLS, HTTP, and an orderly end.

mod linger;
mod stall;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use metrics::{counter, gauge};
use strongroom_iam::Iam;
use strongroom_objects::Objects;
use strongroom_seal::OsRandom;
use strongroom_telemetry::names;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig};
use tokio_util::task::TaskTracker;

pub(crate) use self::linger::Linger;
use self::linger::Lingering;
use self::stall::StallGuard;
use crate::cors::Cors;
use crate::face;
use crate::options::{Limits, S3Options};
use crate::wire::{Connection, Service};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A domain for virtual-host style is not one.
    #[error("\"{domain}\" cannot be a domain for bucket addresses")]
    Domain {
        /// What was given.
        domain: String,
    },
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy when the time for draining was over, and were cut.
    pub cut: usize,
}

/// Serves S3 on `listener` until `shutdown`, then lets the requests in flight end.
///
/// With `tls`, connections are TLS only; HTTP/1.1 and HTTP/2 are offered. Without it, both are understood too.
///
/// # Errors
/// Only what is wrong with `options`; a failing connection ends alone.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    options: S3Options,
    objects: Objects,
    iam: Iam,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Drained, ServeError> {
    let limits = options.limits.clone();
    let tasks = TaskTracker::new();
    let cors = Cors::new(objects.clone(), &options.domains);
    let library = face::library(options.clone(), objects, iam.clone())?;
    let service = Service::new(library, cors, options, iam, Arc::new(OsRandom), tasks.clone());
    let listening = Listening {
        acceptor: tls.map(acceptor),
        http: http(&limits),
        service,
        slots: Arc::new(Semaphore::new(limits.connections_max)),
        limits,
    };
    Ok(listening.run(listener, tasks, shutdown).await)
}

/// TLS that offers HTTP/2 and HTTP/1.1.
fn acceptor(config: Arc<ServerConfig>) -> TlsAcceptor {
    let mut config = (*config).clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.headers_max)
        // Also the size of body reads: large enough that a big upload needs few of them.
        .max_buf_size(256 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(128)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_header_list_size(u32::try_from(limits.head_bytes_max * 2).unwrap_or(u32::MAX));
    builder
}

#[derive(Clone)]
struct Listening {
    acceptor: Option<TlsAcceptor>,
    http: auto::Builder<TokioExecutor>,
    service: Service,
    slots: Arc<Semaphore>,
    limits: Limits,
}

impl Listening {
    async fn run(
        self,
        listener: TcpListener,
        tasks: TaskTracker,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            while connections.try_join_next().is_some() {}
            // A connection is only taken when it can be served; until then it waits in the kernel's queue.
            let accepted = async {
                let slot = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                listener.accept().await.map(|(stream, peer)| (slot, stream, peer))
            };
            let (slot, stream, peer) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accepted => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, or a connection that broke while it was queued.
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            counter!(names::S3_CONNECTIONS).increment(1);
            let (listening, watcher) = (self.clone(), graceful.watcher());
            connections.spawn(async move {
                gauge!(names::S3_CONNECTIONS_OPEN).increment(1);
                listening.connection(stream, peer, watcher).await;
                gauge!(names::S3_CONNECTIONS_OPEN).decrement(1);
                drop(slot);
            });
        }
        drop(listener);
        drain(self.limits.drain, graceful, connections, tasks).await
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // Answers are written whole; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let linger = Linger::default();
        let stream = StallGuard::new(stream, self.limits.reply_idle_timeout);
        let stream = Lingering::new(stream, linger.clone());
        let Some(acceptor) = &self.acceptor else {
            let connection = Connection { secure: false, tls_version: None, peer: Some(peer), linger };
            return self.http(stream, connection, watcher).await;
        };
        match timeout(self.limits.handshake_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let tls_version = stream.get_ref().1.protocol_version().and_then(version_name);
                let connection = Connection { secure: true, tls_version, peer: Some(peer), linger };
                self.http(stream, connection, watcher).await;
            }
            Ok(Err(error)) => refused("tls", peer, &error),
            Err(_) => refused("timeout", peer, &io::ErrorKind::TimedOut.into()),
        }
    }

    async fn http<S>(&self, stream: S, connection: Connection, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.service.clone();
        let answer = service_fn(move |request| {
            let (service, connection) = (service.clone(), connection.clone());
            async move { Ok::<_, std::convert::Infallible>(service.answer(connection, request).await) }
        });
        let serving = self.http.serve_connection(TokioIo::new(stream), answer).into_owned();
        if let Err(error) = watcher.watch(serving).await {
            // Clients go away all the time; the request's own line says what was cut.
            tracing::debug!(error, "a connection ended early");
        }
    }
}

/// A version of TLS as policies write it.
fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("1.2"),
        ProtocolVersion::TLSv1_3 => Some("1.3"),
        // The library speaks no other.
        _ => None,
    }
}

fn refused(reason: &'static str, peer: SocketAddr, error: &io::Error) {
    counter!(names::S3_CONNECTIONS_REFUSED, "reason" => reason).increment(1);
    tracing::debug!(%peer, reason, %error, "a connection was refused");
}

async fn drain(
    limit: Duration,
    graceful: GracefulShutdown,
    mut connections: JoinSet<()>,
    tasks: TaskTracker,
) -> Drained {
    let deadline = Instant::now() + limit;
    let _ = timeout_at(deadline, graceful.shutdown()).await;
    // Connections that are still in a TLS handshake are not watched yet; they have nothing to lose.
    while connections.try_join_next().is_some() {}
    let cut = connections.len();
    connections.shutdown().await;
    tasks.close();
    let _ = timeout_at(deadline, tasks.wait()).await;
    Drained { cut }
}
