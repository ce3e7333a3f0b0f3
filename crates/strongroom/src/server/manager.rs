//! The manager's port while no peers exist: a gRPC server without services.
//!
//! It answers every call as gRPC does for a service that is not there (status 12, UNIMPLEMENTED), so a client of
//! a later version learns what is the matter instead of timing out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Serves until `shutdown` resolves. Past `connections_max` at once, others wait until one of them ends.
pub(super) async fn serve(listener: TcpListener, connections_max: usize, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(connections_max));
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            listener.accept().await.map(|(stream, _)| (place, stream))
        };
        let (place, stream) = tokio::select! {
            () = &mut shutdown => return,
            accepted = next => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the manager's port did not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        tokio::spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let connection = server.serve_connection(TokioIo::new(stream), service_fn(unimplemented));
            let _place = place;
            // A client that goes away, or one that stays idle, concerns nobody.
            let _ended = tokio::time::timeout(Duration::from_secs(60), connection).await;
        });
    }
}

async fn unimplemented(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let answer = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", "12")
        .header("grpc-message", "this version of Strongroom has no peers to manage");
    Ok(answer.body(Empty::new()).expect("the headers above are valid"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn connections_past_the_limit_wait_for_a_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, 1, std::future::pending()));
        let first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let early = timeout(Duration::from_millis(100), second.read_to_string(&mut answer)).await;
        assert!(early.is_err() && answer.is_empty(), "the one place is taken: {answer}");
        drop(first);
        timeout(Duration::from_secs(30), second.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.contains("grpc-status: 12"), "{answer}");
        serving.abort();
    }
}
