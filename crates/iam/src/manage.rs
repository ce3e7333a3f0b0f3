//! Making, changing and listing identities.

use std::time::Duration;

use crate::{
    AccessKeyInfo, Change, Credentials, GroupInfo, Iam, IamError, Identity, PolicyInfo, Secret,
    ServiceAccountSpec, SessionCredentials, SessionSpec, State, Tag, Target, TokenInfo, TokenSpec, UserInfo,
};

/// All of these are durable when they return, and `by` is who is told of in the change. Whether `by` may do it is for the
/// caller to ask with [`Iam::decide`].
#[allow(unused_variables, clippy::unused_async, missing_docs, reason = "signatures; the bodies follow")]
impl Iam {
    pub async fn create_user(&self, by: &Identity, name: &str) -> Result<UserInfo, IamError> {
        Err(IamError::Busy)
    }
    /// With its access keys, service accounts and tokens.
    pub async fn delete_user(&self, by: &Identity, name: &str) -> Result<(), IamError> {
        Err(IamError::Busy)
    }
    pub async fn set_user_state(
        &self,
        by: &Identity,
        name: &str,
        state: State,
    ) -> Result<UserInfo, IamError> {
        Err(IamError::Busy)
    }
    pub fn user(&self, name: &str) -> Result<UserInfo, IamError> {
        Err(IamError::Busy)
    }
    pub fn users(&self) -> Vec<UserInfo> {
        Vec::new()
    }

    pub async fn create_access_key(&self, by: &Identity, user: &str) -> Result<Credentials, IamError> {
        Err(IamError::Busy)
    }
    /// Of a user's access key or a service account.
    pub async fn set_access_key_state(
        &self,
        by: &Identity,
        access_key: &str,
        state: State,
    ) -> Result<AccessKeyInfo, IamError> {
        Err(IamError::Busy)
    }
    /// A user's access key or a service account.
    pub async fn delete_access_key(&self, by: &Identity, access_key: &str) -> Result<(), IamError> {
        Err(IamError::Busy)
    }
    pub fn access_key(&self, access_key: &str) -> Result<AccessKeyInfo, IamError> {
        Err(IamError::Busy)
    }
    /// Access keys and service accounts of the root or a user, or of everybody.
    pub fn access_keys(&self, owner: Option<&Identity>) -> Vec<AccessKeyInfo> {
        Vec::new()
    }
    /// `parent` is the root or a user.
    pub async fn create_service_account(
        &self,
        by: &Identity,
        parent: &Identity,
        spec: ServiceAccountSpec<'_>,
    ) -> Result<Credentials, IamError> {
        Err(IamError::Busy)
    }
    pub async fn set_service_account_policy(
        &self,
        by: &Identity,
        access_key: &str,
        policy: Option<&str>,
    ) -> Result<AccessKeyInfo, IamError> {
        Err(IamError::Busy)
    }

    pub async fn create_group(&self, by: &Identity, name: &str) -> Result<GroupInfo, IamError> {
        Err(IamError::Busy)
    }
    /// Only an empty one.
    pub async fn delete_group(&self, by: &Identity, name: &str) -> Result<(), IamError> {
        Err(IamError::Busy)
    }
    pub async fn add_to_group(&self, by: &Identity, group: &str, user: &str) -> Result<GroupInfo, IamError> {
        Err(IamError::Busy)
    }
    pub async fn remove_from_group(
        &self,
        by: &Identity,
        group: &str,
        user: &str,
    ) -> Result<GroupInfo, IamError> {
        Err(IamError::Busy)
    }
    pub fn group(&self, name: &str) -> Result<GroupInfo, IamError> {
        Err(IamError::Busy)
    }
    pub fn groups(&self) -> Vec<GroupInfo> {
        Vec::new()
    }

    /// Makes or replaces; with `if_match` only replaces the state that has this tag.
    pub async fn put_policy(
        &self,
        by: &Identity,
        name: &str,
        json: &str,
        if_match: Option<&Tag>,
    ) -> Result<PolicyInfo, IamError> {
        Err(IamError::Busy)
    }
    /// Only one that is attached to nothing.
    pub async fn delete_policy(
        &self,
        by: &Identity,
        name: &str,
        if_match: Option<&Tag>,
    ) -> Result<(), IamError> {
        Err(IamError::Busy)
    }
    pub fn policy(&self, name: &str) -> Result<PolicyInfo, IamError> {
        Err(IamError::Busy)
    }
    /// With the canned ones.
    pub fn policies(&self) -> Vec<PolicyInfo> {
        Vec::new()
    }
    pub async fn attach_policy(&self, by: &Identity, policy: &str, to: &Target) -> Result<(), IamError> {
        Err(IamError::Busy)
    }
    pub async fn detach_policy(&self, by: &Identity, policy: &str, from: &Target) -> Result<(), IamError> {
        Err(IamError::Busy)
    }

    /// Not durable, because nothing is stored: the session token carries it all.
    pub fn assume_role(&self, by: &Identity, spec: &SessionSpec<'_>) -> Result<SessionCredentials, IamError> {
        Err(IamError::Busy)
    }
    /// Ends all temporary credentials, of everybody.
    pub async fn revoke_sessions(&self, by: &Identity) -> Result<(), IamError> {
        Err(IamError::Busy)
    }

    /// `owner` is the root or a user. The secret is the whole token, `srt_…`.
    pub async fn create_token(
        &self,
        by: &Identity,
        owner: &Identity,
        spec: TokenSpec<'_>,
    ) -> Result<(TokenInfo, Secret), IamError> {
        Err(IamError::Busy)
    }
    pub async fn revoke_token(&self, by: &Identity, id: &str) -> Result<(), IamError> {
        Err(IamError::Busy)
    }
    pub fn tokens(&self) -> Vec<TokenInfo> {
        Vec::new()
    }
    pub fn authenticate_token(&self, token: &str) -> Option<(Identity, TokenInfo)> {
        None
    }

    /// The next changes after `seq`, up to `max`. Blocks on the disk.
    pub fn changes_after(&self, seq: u64, max: usize) -> Result<Vec<Change>, IamError> {
        Err(IamError::Busy)
    }
    /// The number of the last change, or 0.
    pub fn last_change(&self) -> u64 {
        0
    }
    /// Returns when there are changes after `seq`, or after `at_most`.
    pub async fn wait_changes(&self, seq: u64, at_most: Duration) {
        let _ = (seq, at_most);
    }
}
