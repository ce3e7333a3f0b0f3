//! The REST API over real listeners, a real store and real identities.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod access;
mod authors;
mod between;
#[path = "../client/mod.rs"]
mod client;
mod document;
mod identities;
mod objects;
mod operations;
mod settings;
mod support;
mod tokens;
