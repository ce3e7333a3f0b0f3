//! Who is asking.

use std::fmt;
use std::sync::Arc;

use crate::{AccessKey, Name, Policy};

/// What stands where AWS has an account's number. There is one account, and clients that take ARNs apart want twelve digits.
pub const ACCOUNT: &str = "000000000000";

/// What stood there in earlier versions, and still stands in policies that were stored then.
pub(crate) const ACCOUNT_EARLIER: &str = "strongroom";

/// Who is asking. Given by what checked a signature or a token ([`Iam::look_up`](crate::Iam::look_up),
/// [`Iam::authenticate_token`](crate::Iam::authenticate_token)), and good for one request: whether a user is still there and what it
/// may do is looked up anew by each decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// The operator, who may do everything.
    Root,
    /// A user, with the policies attached to it and to its groups.
    User {
        /// Its name.
        name: Name,
    },
    /// Credentials for a program, which may do what its parent may, or less.
    ServiceAccount {
        /// Its access key, which is its name as well.
        access_key: AccessKey,
        /// The root or a user.
        parent: Box<Identity>,
    },
    /// Temporary credentials, which may do what their maker may, or less.
    Session {
        /// Their access key.
        access_key: AccessKey,
        /// What the maker called the session.
        name: Name,
        /// When they were made, in seconds since 1970.
        issued_at: u64,
        /// The root, a user or a service account.
        parent: Box<Identity>,
        /// What bounds it beside its parent's permissions.
        policy: Option<Arc<Policy>>,
    },
    /// Nobody who signed.
    Anonymous,
}

impl Identity {
    /// The root or the user whom this acts for; `None` for who did not sign.
    pub fn owner(&self) -> Option<&Identity> {
        match self {
            Self::Root | Self::User { .. } => Some(self),
            Self::ServiceAccount { parent, .. } | Self::Session { parent, .. } => parent.owner(),
            Self::Anonymous => None,
        }
    }

    /// The name of the user whom this acts for.
    pub fn user(&self) -> Option<&Name> {
        match self.owner() {
            Some(Self::User { name }) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::User { name } => write!(f, "arn:aws:iam::{ACCOUNT}:user/{name}"),
            Self::ServiceAccount { access_key, .. } => {
                write!(f, "arn:aws:iam::{ACCOUNT}:service-account/{access_key}")
            }
            Self::Session { name, parent, .. } => {
                let parent = parent.user().map_or("root", Name::as_str);
                write!(f, "arn:aws:sts::{ACCOUNT}:assumed-role/{parent}/{name}")
            }
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}
