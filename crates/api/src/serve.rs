//! Connections: how many, for how long, and how they end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use metrics::gauge;
use strongroom_telemetry::names;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig};

use crate::ApiDeps;
use crate::patient::Patient;
use crate::peer::Peer;
use crate::routes::router;

const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// After the system refused a connection for lack of something: time for others to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections open at once; others wait until one of them ends.
    pub(crate) connections: usize,
    /// A client that takes longer to send a header is cut off, and so is a connection that is idle for as long.
    pub(crate) header_time: Duration,
    /// A client that reads nothing of an answer for as long is cut off.
    pub(crate) stall_time: Duration,
    /// A connection's whole life: a client that reads its answers ever so slowly must not stay for ever.
    pub(crate) connection_time: Duration,
    /// How long open requests may take once shutdown has begun.
    pub(crate) drain_time: Duration,
}

/// For monitoring, administration, and clients that keep their objects here. A large object takes its time.
const LIMITS: Limits = Limits {
    // As many as there are files for: who starts the server knows.
    connections: 0,
    header_time: Duration::from_secs(10),
    stall_time: Duration::from_secs(60),
    connection_time: Duration::from_secs(24 * 3600),
    drain_time: Duration::from_secs(25),
};

/// Serves until `shutdown` completes, then lets open requests finish. With `tls`, connections are TLS only.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    deps: ApiDeps,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = Limits { connections: deps.connections_max, ..LIMITS };
    serve_within(limits, listener, tls.map(acceptor), router(deps), shutdown).await
}

/// TLS that offers what is served here: HTTP/1.1.
fn acceptor(config: Arc<ServerConfig>) -> TlsAcceptor {
    let mut config = (*config).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Where connections come from.
pub(crate) trait Listener {
    /// One connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one, and who is at its other end.
    async fn next(&self) -> io::Result<(Self::Stream, Peer)>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.accept().await?;
        // An answer is written at once, so waiting for more of it only costs time.
        stream.set_nodelay(true)?;
        Ok((stream, Peer::Network { address: address.ip(), secure: false, tls_version: None }))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((self.accept().await?.0, Peer::Door))
    }
}

/// Serves `router` until `shutdown` completes.
pub(crate) async fn serve_within(
    limits: Limits,
    listener: impl Listener,
    tls: Option<TlsAcceptor>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.next().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let serving = Serving { limits, router: router.clone(), watcher: graceful.watcher() };
                let stream = Patient::new(stream, limits.stall_time);
                let tls = tls.clone();
                tokio::spawn(async move {
                    let _open = Open::new(place);
                    match tls {
                        None => serving.plain(stream, peer).await,
                        Some(tls) => serving.tls(stream, peer, tls).await,
                    }
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the API listener cannot accept connections; trying again");
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    if timeout(limits.drain_time, graceful.shutdown()).await.is_err() {
        tracing::warn!("API requests that did not end in time were cut off");
    }
    Ok(())
}

/// What one connection is served with.
struct Serving {
    limits: Limits,
    router: Router,
    watcher: Watcher,
}

impl Serving {
    async fn tls(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        tls: TlsAcceptor,
    ) {
        match timeout(self.limits.header_time, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let tls_version = stream.get_ref().1.protocol_version().and_then(version_name);
                let peer = match peer {
                    Peer::Network { address, .. } => Peer::Network { address, secure: true, tls_version },
                    Peer::Door => Peer::Door,
                };
                self.plain(stream, peer).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn plain(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let Self { limits, router, watcher } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.call(request)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_header_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        match timeout(limits.connection_time, watcher.watch(served)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
            Err(_) => tracing::debug!("a connection was closed for its age"),
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

/// A connection that is counted as open until this is dropped.
struct Open(#[expect(dead_code, reason = "held for what its drop does")] OwnedSemaphorePermit);

impl Open {
    fn new(place: OwnedSemaphorePermit) -> Self {
        gauge!(names::API_CONNECTIONS_OPEN).increment(1.0);
        Self(place)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(names::API_CONNECTIONS_OPEN).decrement(1.0);
    }
}

/// Whether accepting failed because that one client went away.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput, NotConnected,
    };
    // The last two are what a connection that is gone already says to its options.
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | InvalidInput | NotConnected
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use strongroom_telemetry::{Metrics, RequestId};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::Check;

    const MINUTE: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_millis(50);
    const PATIENT: Limits = Limits {
        connections: 8,
        header_time: MINUTE,
        stall_time: MINUTE,
        connection_time: MINUTE,
        drain_time: SOON,
    };

    /// A server that is told to stop when the first half is used.
    async fn start(limits: Limits, checks: Vec<Check>) -> (SocketAddr, impl Future<Output = ()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let deps = ApiDeps {
            checks: checks.into(),
            metrics: Metrics::install().unwrap(),
            key_metrics: Arc::new(|| "# keys\n".to_owned()),
            rest: None,
            request_ids: Arc::new(|| RequestId::from_random([7; 16])),
            connections_max: limits.connections,
        };
        let served = tokio::spawn(serve_within(limits, listener, None, router(deps), async move {
            let _ = stopped.await;
        }));
        (address, async move {
            drop(stop);
            timeout(MINUTE, served).await.unwrap().unwrap().unwrap();
        })
    }

    /// What comes until the server closes the connection.
    async fn sent_until_closed(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = timeout(MINUTE, stream.read_to_string(&mut text))
            .await
            .expect("the server closes the connection");
        text
    }

    #[tokio::test]
    async fn client_that_never_ends_its_header_is_cut_off() {
        let (address, _stop) = start(Limits { header_time: SOON, ..PATIENT }, vec![]).await;
        for begun in ["", "GET /health/live HTTP/1.1\r\nHost:"] {
            let text = sent_until_closed(address, begun).await;
            assert!(!text.contains("200 OK"), "{text}");
        }
    }

    #[tokio::test]
    async fn idle_connection_is_closed() {
        let (address, _stop) = start(Limits { header_time: SOON, ..PATIENT }, vec![]).await;
        let text = sent_until_closed(address, "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    }

    #[tokio::test]
    async fn connection_past_its_age_is_closed_whatever_it_does() {
        let (address, _stop) = start(Limits { connection_time: SOON, ..PATIENT }, vec![]).await;
        sent_until_closed(address, "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").await;
    }

    #[tokio::test]
    async fn connections_past_the_limit_wait_for_a_place() {
        let (address, _stop) = start(Limits { connections: 1, ..PATIENT }, vec![]).await;
        let first = TcpStream::connect(address).await.unwrap();
        let mut waiting = tokio::spawn(sent_until_closed(
            address,
            "GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        ));
        assert!(timeout(SOON, &mut waiting).await.is_err(), "there is one place, and it is taken");
        drop(first);
        assert!(waiting.await.unwrap().starts_with("HTTP/1.1 200 OK"));
    }

    #[tokio::test]
    async fn shutdown_does_not_wait_for_ever_for_a_request() {
        let begun = Arc::new(tokio::sync::Notify::new());
        let tried = Arc::clone(&begun);
        let never = Check::new("store", move || {
            tried.notify_one();
            std::future::pending()
        });
        let (address, stop) = start(PATIENT, vec![never]).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        begun.notified().await;
        stop.await;
    }
}
