//! Named policies, and what they are attached to.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::draft::Draft;
use crate::policy::canned;
use crate::rows::{self, ATTACHED_MAX, NamedPolicy, key_of};
use crate::state::State;
use crate::users::{room, shown, unlike};
use crate::{ChangeKind, Iam, IamError, Identity, Name, Policy, PolicyInfo, Tag, Target, Thing};

const POLICIES_MAX: usize = 2_000;

/// Changes are durable when these return. `by` is who is told of in the change; whether `by` may do it is for the caller to ask
/// with [`Iam::decide`].
impl Iam {
    /// Makes or replaces a policy. With `if_match` only the state that has this tag is replaced.
    ///
    /// # Errors
    /// [`IamError::Policy`], [`IamError::Canned`], [`IamError::Changed`], [`IamError::Exists`] if a policy is called so in another case,
    /// among others.
    pub async fn put_policy(
        &self,
        by: &Identity,
        name: &str,
        json: &str,
        if_match: Option<&Tag>,
    ) -> Result<PolicyInfo, IamError> {
        let (name, policy) = (Name::parse(name)?, Policy::parse_identity(json)?);
        let if_match = if_match.cloned();
        self.change(by, move |draft| {
            check_stored(&name)?;
            let before = draft.state.policies.get(&name).cloned();
            check_tag(&name, before.as_deref(), if_match.as_ref())?;
            let (kind, created_at) = match &before {
                None => (ChangeKind::PolicyCreated, draft.now),
                Some(before) => (ChangeKind::PolicyUpdated, before.created_at),
            };
            if before.is_none() {
                let stored = draft.state.policies.keys().map(Name::as_str);
                unlike(Thing::Policy, &name, stored.chain(canned::all().iter().map(|canned| canned.name)))?;
                draft.check_free(&name)?;
                room("policies", draft.state.policies.len(), POLICIES_MAX)?;
            }
            let named = NamedPolicy { created_at, updated_at: draft.now, policy: policy.clone() };
            let info = named.info(&name);
            draft.put(key_of(rows::POLICY, name.as_str()), named.encode());
            Arc::make_mut(&mut draft.state.policies).insert(name.clone(), Arc::new(named));
            draft.tell(kind, name.as_str(), None);
            Ok(info)
        })
        .await
    }

    /// Removes a policy that is attached to nothing.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::InUse`], [`IamError::Canned`], [`IamError::Changed`], among others.
    pub async fn delete_policy(
        &self,
        by: &Identity,
        name: &str,
        if_match: Option<&Tag>,
    ) -> Result<(), IamError> {
        let (name, if_match) = (found_name(name)?, if_match.cloned());
        self.change(by, move |draft| {
            check_stored(&name)?;
            let before = draft.state.policies.get(&name).cloned().ok_or_else(|| no_such(name.as_str()))?;
            check_tag(&name, Some(&before), if_match.as_ref())?;
            if let Some(target) = draft.state.first_target_of(&name) {
                let by = target.to_string();
                return Err(IamError::InUse { thing: Thing::Policy, name: name.to_string(), by });
            }
            draft.delete(key_of(rows::POLICY, name.as_str()));
            Arc::make_mut(&mut draft.state.policies).remove(&name);
            draft.tell(ChangeKind::PolicyDeleted, name.as_str(), None);
            Ok(())
        })
        .await
    }

    /// A policy, stored or canned.
    ///
    /// # Errors
    /// [`IamError::NoSuch`].
    pub fn policy(&self, name: &str) -> Result<PolicyInfo, IamError> {
        let state = self.0.state();
        match (state.policies.get_key_value(name), canned::named(name)) {
            (Some((name, named)), _) => Ok(named.info(name)),
            (None, Some(canned)) => canned_info(canned),
            (None, None) => Err(no_such(name)),
        }
    }

    /// All policies, the canned ones first.
    pub fn policies(&self) -> Vec<PolicyInfo> {
        let state = self.0.state();
        let canned = canned::all().iter().filter_map(|canned| canned_info(canned).ok());
        canned.chain(state.policies.iter().map(|(name, named)| named.info(name))).collect()
    }

    /// Attaches a policy; nothing happens if it is attached already.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::TooMany`], among others.
    pub async fn attach_policy(&self, by: &Identity, policy: &str, to: &Target) -> Result<(), IamError> {
        self.set_attached(by, policy, to, true).await
    }

    /// Detaches a policy; nothing happens if it is not attached.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], among others.
    pub async fn detach_policy(&self, by: &Identity, policy: &str, from: &Target) -> Result<(), IamError> {
        self.set_attached(by, policy, from, false).await
    }

    async fn set_attached(
        &self,
        by: &Identity,
        policy: &str,
        target: &Target,
        attached: bool,
    ) -> Result<(), IamError> {
        let (policy, target) = (found_name(policy)?, target.clone());
        self.change(by, move |draft| {
            // One that came with an earlier version of the program can be detached still.
            let dangles = || !attached && draft.state.first_target_of(&policy).is_some();
            if draft.state.policy(&policy).is_none() && !dangles() {
                return Err(no_such(policy.as_str()));
            }
            match &target {
                Target::User(name) => {
                    let (name, mut user) = draft.state.found_user(name)?;
                    if draft.attach(&mut user.policies, &policy, &target, attached)? {
                        draft.put_user(&name, user);
                    }
                }
                Target::Group(name) => {
                    let (name, mut group) = draft.state.found_group(name)?;
                    if draft.attach(&mut group.policies, &policy, &target, attached)? {
                        draft.put_group(&name, group);
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

impl Draft<'_> {
    /// That no user or group waits for a policy of this name: who makes one must not give it to anybody by that. An earlier version
    /// of the program had policies that this one has not.
    fn check_free(&self, name: &Name) -> Result<(), IamError> {
        match self.state.first_target_of(name) {
            None => Ok(()),
            Some(by) => {
                Err(IamError::InUse { thing: Thing::Policy, name: name.to_string(), by: by.to_string() })
            }
        }
    }

    /// Whether the list is another one now.
    fn attach(
        &mut self,
        policies: &mut Vec<Name>,
        policy: &Name,
        target: &Target,
        attached: bool,
    ) -> Result<bool, IamError> {
        let kind = match (policies.binary_search(policy), attached) {
            (Err(at), true) => {
                room("policies attached to one user or group", policies.len(), ATTACHED_MAX)?;
                policies.insert(at, policy.clone());
                ChangeKind::PolicyAttached
            }
            (Ok(at), false) => {
                policies.remove(at);
                ChangeKind::PolicyDetached
            }
            _ => return Ok(false),
        };
        self.tell(kind, policy.as_str(), Some(target.to_string()));
        Ok(true)
    }
}

impl State {
    fn first_target_of(&self, policy: &Name) -> Option<Target> {
        let has = |policies: &Vec<Name>| policies.binary_search(policy).is_ok();
        let user = self.users.iter().find(|(_, user)| has(&user.policies));
        let group = || self.groups.iter().find(|(_, group)| has(&group.policies));
        user.map(|(name, _)| Target::User(name.to_string()))
            .or_else(|| group().map(|(name, _)| Target::Group(name.to_string())))
    }
}

impl NamedPolicy {
    fn info(&self, name: &Name) -> PolicyInfo {
        let json = self.policy.to_json();
        PolicyInfo {
            name: name.clone(),
            tag: tag(&json),
            json,
            canned: false,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

fn canned_info(canned: &canned::Canned) -> Result<PolicyInfo, IamError> {
    let json = canned.policy.to_json();
    let (name, tag) = (Name::parse(canned.name)?, tag(&json));
    Ok(PolicyInfo { name, tag, json, canned: true, created_at: 0, updated_at: 0 })
}

/// The SHA-256 of a document.
fn tag(json: &str) -> Tag {
    Tag(Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn check_stored(name: &Name) -> Result<(), IamError> {
    match canned::named(name.as_str()) {
        None => Ok(()),
        Some(_) => Err(IamError::Canned { name: name.to_string() }),
    }
}

fn check_tag(name: &Name, before: Option<&NamedPolicy>, if_match: Option<&Tag>) -> Result<(), IamError> {
    let Some(wanted) = if_match else { return Ok(()) };
    match before.map(|before| tag(&before.policy.to_json())) {
        Some(tag) if tag == *wanted => Ok(()),
        _ => Err(IamError::Changed { thing: Thing::Policy, name: name.to_string() }),
    }
}

/// What is no name names nothing.
fn found_name(name: &str) -> Result<Name, IamError> {
    Name::parse(name).map_err(|_| no_such(name))
}

fn no_such(name: &str) -> IamError {
    IamError::NoSuch { thing: Thing::Policy, name: shown(name) }
}
