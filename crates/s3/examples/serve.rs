//! Serves S3 from a directory, for trying clients: `serve <listen> <dir> [tls]`. Its keys are the tests' keys.
#![allow(missing_docs, reason = "an example")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::path::PathBuf;

use strongroom_s3::{S3Options, serve};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddr = arguments.next().ok_or("say where to listen")?.parse()?;
    let dir = PathBuf::from(arguments.next().ok_or("say where to keep the data")?);
    let tls = arguments.next().map(|_| support::self_signed().0);
    strongroom_telemetry::logs::init("info,strongroom_s3=debug", strongroom_telemetry::logs::Format::Human)?;
    let (objects, iam) = support::parts(&dir).await;
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}, {} / {}", listener.local_addr()?, support::ACCESS_KEY, support::SECRET);
    let options = S3Options { domains: vec!["localhost".to_owned()], ..S3Options::default() };
    let drained = serve(listener, tls, options, objects, iam, async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await?;
    println!("{drained:?}");
    Ok(())
}
