//! AWS's policy language.

pub(crate) mod keys;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A policy document that was checked, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Policy {
    source: Arc<str>,
}

impl Policy {
    /// The longest document, in bytes.
    pub const LEN_MAX: usize = 20 * 1024;

    /// Reads a policy of the bucket `bucket`: it says for whom it is, and every resource is in the bucket.
    ///
    /// # Errors
    /// [`PolicyError`], which names statement and element.
    pub fn parse_bucket(json: &str, bucket: &str) -> Result<Self, PolicyError> {
        let _ = (json, bucket);
        Err(PolicyError { statement: None, element: "Statement", fault: PolicyFault::NotJson })
    }

    /// Reads a policy for users, groups, service accounts or sessions: it says nothing of whom it is for.
    ///
    /// # Errors
    /// [`PolicyError`], which names statement and element.
    pub fn parse_identity(json: &str) -> Result<Self, PolicyError> {
        let _ = json;
        Err(PolicyError { statement: None, element: "Statement", fault: PolicyFault::NotJson })
    }

    /// Whether it opens the bucket to everybody, as AWS means it for public access blocks.
    pub fn is_public(&self) -> bool {
        true
    }

    /// The document, as it was given.
    pub fn to_json(&self) -> String {
        self.source.to_string()
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

/// Why a document is no policy, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// Which statement, from 1.
    pub statement: Option<usize>,
    /// Which element of it.
    pub element: &'static str,
    /// What is wrong.
    pub fault: PolicyFault,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// It is not JSON.
    #[error("Policies must be valid JSON and the first byte must be '{{'")]
    NotJson,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for PolicyError {}
