//! Rules about the code base that no compiler checks.

pub(crate) mod arrows;
pub(crate) mod licences;
mod readers;
mod spdx;
pub(crate) mod tidy;
