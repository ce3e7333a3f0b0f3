//! Values in rows that a group's key wraps: the store cannot see them, so who puts them there wraps them anew.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::GroupId;

/// Who keeps values in rows that a key of the rows' group wraps ([`Store::group_key`](crate::Store::group_key)). A key
/// retires only after every user has said that no value needs it.
pub trait KeyUser: Send + Sync + fmt::Debug {
    /// Wraps the values in rows of `group` anew that a key other than `active` wraps, by commands.
    ///
    /// Done means that none is left and that none will come: that nobody any more has in hand what an older key wrapped,
    /// to commit or to open it. No [`Reading`](crate::Reading) of the group is held while a command of it is waited for: pages that
    /// failed are made again when nobody reads them any more, and commands of the system group wait for that. Blocks, and may be cut short and called again at any time. `pace` is called often, with
    /// the bytes written since it was called last; it sleeps as long as the rate wants, and says whether to go on.
    ///
    /// # Errors
    /// A value that does not open, or the store's own. The key stays; others are wrapped anew all the same.
    fn rewrap(
        &self,
        group: GroupId,
        active: u32,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, KeyUserError>;
}

/// A user could not wrap a value anew.
#[derive(Debug, Clone)]
pub struct KeyUserError(Arc<dyn Error + Send + Sync>);

impl KeyUserError {
    /// With the user's own error, which says what and why.
    pub fn new(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }
}

impl fmt::Display for KeyUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value in a row cannot be wrapped anew: {}", self.0)
    }
}

impl Error for KeyUserError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
