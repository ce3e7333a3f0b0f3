//! The manager's port while no peers exist: a gRPC server without services.
//!
//! It answers every call as gRPC does for a service that is not there (status 12, UNIMPLEMENTED), so a client of
//! a later version learns what is the matter instead of timing out.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// Serves until `shutdown` resolves.
pub(super) async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
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
