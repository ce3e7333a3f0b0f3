//! Why a key management service did not do what it was asked.

use std::error::Error;
use std::sync::Arc;

/// A refusal or failure of a [`Provider`](crate::Provider).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// No key has this id.
    #[error("there is no key \"{key_id}\": create it, or name one that exists")]
    NotFound {
        /// The id asked for.
        key_id: String,
    },
    /// The key exists but not in this version, as after restoring an old backup of the keys.
    #[error("key \"{key_id}\" has no version {version}: restore the newest backup of the keys")]
    NoSuchVersion {
        /// The key.
        key_id: String,
        /// The version asked for.
        version: u32,
    },
    /// A key has this id already.
    #[error("there is a key \"{key_id}\" already")]
    Exists {
        /// The id.
        key_id: String,
    },
    /// Not an id: empty, too long, or with characters that ids do not have.
    #[error("a key id has 1 to 256 characters of A-Z a-z 0-9 . _ - / :")]
    InvalidKeyId,
    /// The key is disabled.
    #[error("key \"{key_id}\" is disabled: enable it to use what it wrapped")]
    Disabled {
        /// The key.
        key_id: String,
    },
    /// The key will be deleted and is not usable until then.
    #[error("key \"{key_id}\" is waiting for its deletion: cancel the deletion to use what it wrapped")]
    PendingDeletion {
        /// The key.
        key_id: String,
        /// When it may be deleted, in seconds since 1970.
        delete_after: u64,
    },
    /// The store cannot start without this key, so it is neither disabled nor deleted.
    #[error("key \"{key_id}\" is the store's root key: it can be rotated but not disabled or deleted")]
    Protected {
        /// The key.
        key_id: String,
    },
    /// The wrapped key does not open. Which of the two it is cannot be told, on purpose.
    #[error("what key \"{key_id}\" wrapped does not open: it was changed, or belongs to another place")]
    WrongContextOrDamaged {
        /// The key.
        key_id: String,
    },
    /// The envelope was made by another kind of provider.
    #[error("the key was wrapped by provider \"{made_by}\", and this is \"{provider}\"")]
    OtherProvider {
        /// This provider.
        provider: &'static str,
        /// The provider the envelope names.
        made_by: String,
    },
    /// The provider knows us and says no.
    #[error("provider \"{provider}\" denies the use of key \"{key_id}\"")]
    AccessDenied {
        /// This provider.
        provider: &'static str,
        /// The key.
        key_id: String,
    },
    /// A limit of the provider's format is reached.
    #[error("provider \"{provider}\" holds at most {most} {what}")]
    Full {
        /// This provider.
        provider: &'static str,
        /// What there would be too many of.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The provider does not do this.
    #[error("provider \"{provider}\" cannot {operation}")]
    Unsupported {
        /// This provider.
        provider: &'static str,
        /// What was asked for.
        operation: &'static str,
    },
    /// The provider could not be reached, or its file could not be read or written. Trying again may help.
    #[error("provider \"{provider}\" is unavailable: {source}")]
    Unavailable {
        /// This provider.
        provider: &'static str,
        /// What happened.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl KmsError {
    /// One word for the error's kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::NoSuchVersion { .. } => "no_such_version",
            Self::Exists { .. } => "exists",
            Self::InvalidKeyId => "invalid_key_id",
            Self::Disabled { .. } => "disabled",
            Self::PendingDeletion { .. } => "pending_deletion",
            Self::Protected { .. } => "protected",
            Self::WrongContextOrDamaged { .. } => "wrong_context_or_damaged",
            Self::OtherProvider { .. } => "other_provider",
            Self::AccessDenied { .. } => "access_denied",
            Self::Full { .. } => "full",
            Self::Unsupported { .. } => "unsupported",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}
