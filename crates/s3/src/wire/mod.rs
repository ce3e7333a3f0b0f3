//! Between a connection and the protocol library: bodies, limits, the shape of answers.

pub(crate) mod body;
pub(crate) mod chunks;
pub(crate) mod content;
mod control_signs;
pub(crate) mod head;
mod keep_alive;
mod namespace;
mod reply;
mod service;
pub(crate) mod target;
mod unread;

pub(crate) use service::{Connection, Service};
