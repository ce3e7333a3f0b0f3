//! Users' access keys and service accounts.

use std::sync::Arc;

use crate::draft::Draft;
use crate::rows::{self, DESCRIPTION_LEN_MAX, KeyBody, Owner, key_of};
use crate::state::{Key, State};
use crate::users::{room, shown, state_of};
use crate::{
    AccessKey, AccessKeyInfo, ChangeKind, CredentialFault, Credentials, Iam, IamError, Identity, Policy,
    Secret, ServiceAccountSpec, State as KeyState, Thing,
};

const KEYS_MAX: usize = 50_000;
const KEYS_OF_OWNER_MAX: usize = 100;

/// Changes are durable when these return. `by` is who is told of in the change; whether `by` may do it is for the caller to ask
/// with [`Iam::decide`].
impl Iam {
    /// Makes an access key for a user. The secret is shown this once.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::TooMany`], among others.
    pub async fn create_access_key(&self, by: &Identity, user: &str) -> Result<Credentials, IamError> {
        let user = user.to_owned();
        self.change(by, move |draft| {
            let (name, _) = draft.state.found_user(&user)?;
            let body = KeyBody {
                service_account: false,
                owner: Owner::User(name),
                disabled: false,
                created_at: draft.now,
                expires_at: None,
                policy: None,
                description: String::new(),
            };
            draft.make_key(body)
        })
        .await
    }

    /// Makes a service account of the root or a user. The secret is shown this once.
    ///
    /// # Errors
    /// [`IamError::NotAParent`], [`IamError::NoSuch`], [`IamError::Policy`], [`IamError::ExpiryPassed`], [`IamError::TooMany`], among others.
    pub async fn create_service_account(
        &self,
        by: &Identity,
        parent: &Identity,
        spec: ServiceAccountSpec<'_>,
    ) -> Result<Credentials, IamError> {
        let owner = owner_of(parent)?;
        let policy = spec.policy.map(Policy::parse_identity).transpose()?;
        let description = description(spec.description)?;
        let expires_at = spec.expires_at;
        self.change(by, move |draft| {
            draft.check_owner(&owner, expires_at)?;
            let (owner, policy, description) = (owner.clone(), policy.clone(), description.clone());
            let created_at = draft.now;
            let body = KeyBody {
                service_account: true,
                owner,
                disabled: false,
                created_at,
                expires_at,
                policy,
                description,
            };
            draft.make_key(body)
        })
        .await
    }

    /// Enables or disables a user's access key or a service account.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], among others.
    pub async fn set_access_key_state(
        &self,
        by: &Identity,
        access_key: &str,
        state: KeyState,
    ) -> Result<AccessKeyInfo, IamError> {
        self.set_access_key_state_if(by, access_key, state, |_| true).await
    }

    /// [`Self::set_access_key_state`] of one that is as its `meant` has it. No other change comes between.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::Changed`], among others.
    pub async fn set_access_key_state_if(
        &self,
        by: &Identity,
        access_key: &str,
        state: KeyState,
        meant: impl Fn(&AccessKeyInfo) -> bool + Send + 'static,
    ) -> Result<AccessKeyInfo, IamError> {
        let access_key = access_key.to_owned();
        self.change(by, move |draft| {
            let (access_key, mut key) = draft.state.found_key(&access_key)?;
            check_meant(&key.info(&access_key), &meant)?;
            let disabled = state == KeyState::Disabled;
            if key.body.disabled != disabled {
                key.body.disabled = disabled;
                draft.put_key(&access_key, &key)?;
                let (_, updated, _) = kinds(&key.body);
                draft.tell(updated, access_key.as_str(), Some(target(&key.body)));
            }
            Ok(key.info(&access_key))
        })
        .await
    }

    /// Gives a service account another bound, or none.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::Policy`], among others.
    pub async fn set_service_account_policy(
        &self,
        by: &Identity,
        access_key: &str,
        policy: Option<&str>,
    ) -> Result<AccessKeyInfo, IamError> {
        self.set_service_account_policy_if(by, access_key, policy, |_| true).await
    }

    /// [`Self::set_service_account_policy`] of one that is as its `meant` has it. No other change comes between.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::Policy`], [`IamError::Changed`], among others.
    pub async fn set_service_account_policy_if(
        &self,
        by: &Identity,
        access_key: &str,
        policy: Option<&str>,
        meant: impl Fn(&AccessKeyInfo) -> bool + Send + 'static,
    ) -> Result<AccessKeyInfo, IamError> {
        let policy = policy.map(Policy::parse_identity).transpose()?;
        let access_key = access_key.to_owned();
        self.change(by, move |draft| {
            let (access_key, mut key) = draft.state.found_key(&access_key)?;
            if !key.body.service_account {
                let name = access_key.to_string();
                return Err(IamError::NoSuch { thing: Thing::ServiceAccount, name });
            }
            check_meant(&key.info(&access_key), &meant)?;
            key.body.policy = policy.clone();
            draft.put_key(&access_key, &key)?;
            draft.tell(ChangeKind::ServiceAccountUpdated, access_key.as_str(), Some(target(&key.body)));
            Ok(key.info(&access_key))
        })
        .await
    }

    /// Removes a user's access key or a service account. A service account's sessions end with it. A user's sessions are the user's,
    /// whichever of its access keys signed for them: a policy on `aws:TokenIssueTime` ends those that were made before a time, and
    /// [`Self::revoke_sessions`] all.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], among others.
    pub async fn delete_access_key(&self, by: &Identity, access_key: &str) -> Result<(), IamError> {
        self.delete_access_key_if(by, access_key, |_| true).await
    }

    /// [`Self::delete_access_key`] of one that is as its `meant` has it. No other change comes between.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::Changed`], among others.
    pub async fn delete_access_key_if(
        &self,
        by: &Identity,
        access_key: &str,
        meant: impl Fn(&AccessKeyInfo) -> bool + Send + 'static,
    ) -> Result<(), IamError> {
        let access_key = access_key.to_owned();
        self.change(by, move |draft| {
            let (access_key, key) = draft.state.found_key(&access_key)?;
            check_meant(&key.info(&access_key), &meant)?;
            draft.remove_key(&access_key);
            Ok(())
        })
        .await
    }

    /// A user's access key or a service account.
    ///
    /// # Errors
    /// [`IamError::NoSuch`].
    pub fn access_key(&self, access_key: &str) -> Result<AccessKeyInfo, IamError> {
        let (access_key, key) = self.0.state().found_key(access_key)?;
        Ok(key.info(&access_key))
    }

    /// Access keys and service accounts, of one owner or of everybody, in the order of their names.
    pub fn access_keys(&self, owner: Option<&Identity>) -> Vec<AccessKeyInfo> {
        let state = self.0.state();
        let keys = state.keys.iter().map(|(access_key, key)| key.info(access_key));
        keys.filter(|info| owner.is_none_or(|owner| info.owner == *owner)).collect()
    }
}

impl Draft<'_> {
    fn make_key(&mut self, body: KeyBody) -> Result<Credentials, IamError> {
        self.make_room_for_key(&body.owner)?;
        let credentials = Credentials::generate(&*self.inner.options.random);
        let access_key = &credentials.access_key;
        let (created, ..) = kinds(&body);
        let target = target(&body);
        let key = Key { body, secret: credentials.secret.clone() };
        self.put_key(access_key, &key)?;
        self.tell(created, access_key.as_str(), Some(target));
        Ok(credentials)
    }

    /// Refuses one more than there may be. Before that those that have ended go: of its owner, or of everybody. Until then lists show
    /// them, so that whoever wonders why a program is refused finds its account there.
    fn make_room_for_key(&mut self, owner: &Owner) -> Result<(), IamError> {
        let now = self.now;
        let of = |draft: &Self| draft.state.keys.values().filter(|key| key.body.owner == *owner).count();
        let full = self.state.keys.len() >= KEYS_MAX;
        if full || of(self) >= KEYS_OF_OWNER_MAX {
            let ended = |key: &Key| key.body.expires_at.is_some_and(|end| end <= now);
            let ended =
                self.state.keys.iter().filter(|(_, key)| ended(key) && (full || key.body.owner == *owner));
            // As many as one owner can have: the command has a bound, and the next one makes more room.
            let ended: Vec<AccessKey> = ended.map(|(id, _)| id.clone()).take(KEYS_OF_OWNER_MAX).collect();
            for access_key in ended {
                self.remove_key(&access_key);
            }
        }
        room("access keys and service accounts", self.state.keys.len(), KEYS_MAX)?;
        room("access keys and service accounts of one owner", of(self), KEYS_OF_OWNER_MAX)
    }

    fn put_key(&mut self, access_key: &AccessKey, key: &Key) -> Result<(), IamError> {
        let row_key = key_of(rows::KEY, access_key.as_str());
        self.put_sealed(row_key, &key.body.encode(), key.secret.dangerous_expose().as_bytes())?;
        Arc::make_mut(&mut self.state.keys).insert(access_key.clone(), Arc::new(key.clone()));
        Ok(())
    }

    /// Removes an access key or a service account if it is there.
    pub(crate) fn remove_key(&mut self, access_key: &AccessKey) {
        if let Some(key) = Arc::make_mut(&mut self.state.keys).remove(access_key) {
            self.delete(key_of(rows::KEY, access_key.as_str()));
            let (_, _, deleted) = kinds(&key.body);
            self.tell(deleted, access_key.as_str(), Some(target(&key.body)));
        }
    }

    /// That what is to be made has an owner, and does not end at once.
    pub(crate) fn check_owner(&self, owner: &Owner, expires_at: Option<u64>) -> Result<(), IamError> {
        if let Owner::User(name) = owner {
            self.state.found_user(name.as_str())?;
        }
        match expires_at {
            Some(end) if end <= self.now => Err(IamError::ExpiryPassed),
            _ => Ok(()),
        }
    }
}

impl State {
    pub(crate) fn found_key(&self, access_key: &str) -> Result<(AccessKey, Key), IamError> {
        let found = self.keys.get_key_value(access_key);
        let no_such = || IamError::NoSuch { thing: Thing::AccessKey, name: shown(access_key) };
        let (access_key, key) = found.ok_or_else(no_such)?;
        Ok((access_key.clone(), (**key).clone()))
    }

    /// Whether the key and its owner are enabled, and the key is not past its end.
    pub(crate) fn usable(&self, key: &Key, now: u64) -> Result<(), CredentialFault> {
        if key.body.disabled || !self.stands(&key.body.owner) {
            return Err(CredentialFault::Disabled);
        }
        match key.body.expires_at {
            Some(end) if end <= now => Err(CredentialFault::Expired),
            _ => Ok(()),
        }
    }
}

impl Key {
    /// Whom it makes who signs with it.
    pub(crate) fn identity(&self, access_key: &AccessKey) -> Identity {
        let owner = self.body.owner.identity();
        match self.body.service_account {
            true => Identity::ServiceAccount { access_key: access_key.clone(), parent: Box::new(owner) },
            false => owner,
        }
    }

    fn info(&self, access_key: &AccessKey) -> AccessKeyInfo {
        AccessKeyInfo {
            access_key: access_key.clone(),
            owner: self.body.owner.identity(),
            service_account: self.body.service_account,
            state: state_of(self.body.disabled),
            policy: self.body.policy.as_ref().map(Policy::to_json),
            description: self.body.description.clone(),
            created_at: self.body.created_at,
            expires_at: self.body.expires_at,
        }
    }
}

fn check_meant(info: &AccessKeyInfo, meant: &impl Fn(&AccessKeyInfo) -> bool) -> Result<(), IamError> {
    let thing = if info.service_account { Thing::ServiceAccount } else { Thing::AccessKey };
    match meant(info) {
        true => Ok(()),
        false => Err(IamError::Changed { thing, name: info.access_key.to_string() }),
    }
}

/// What is told when it is made, changed and removed.
fn kinds(body: &KeyBody) -> (ChangeKind, ChangeKind, ChangeKind) {
    use ChangeKind::{
        AccessKeyCreated, AccessKeyDeleted, AccessKeyUpdated, ServiceAccountCreated, ServiceAccountDeleted,
        ServiceAccountUpdated,
    };
    match body.service_account {
        true => (ServiceAccountCreated, ServiceAccountUpdated, ServiceAccountDeleted),
        false => (AccessKeyCreated, AccessKeyUpdated, AccessKeyDeleted),
    }
}

fn target(body: &KeyBody) -> String {
    target_of(&body.owner)
}

/// An owner, as changes name it.
pub(crate) fn target_of(owner: &Owner) -> String {
    match owner {
        Owner::Root => "root".into(),
        Owner::User(name) => format!("user/{name}"),
    }
}

pub(crate) fn owner_of(identity: &Identity) -> Result<Owner, IamError> {
    Owner::of(identity).ok_or_else(|| IamError::NotAParent { identity: identity.to_string() })
}

pub(crate) fn description(text: &str) -> Result<String, IamError> {
    let (length, most) = (text.len(), DESCRIPTION_LEN_MAX);
    if length > most {
        return Err(IamError::TooLong { what: "the description", length, most });
    }
    Ok(text.to_owned())
}

/// What a row or a session token holds of a secret.
pub(crate) fn secret_of(bytes: &[u8]) -> Option<Secret> {
    Secret::parse(std::str::from_utf8(bytes).ok()?.to_owned()).ok()
}
