//! Users and groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::credentials::{ACCESS_KEY_CHARS, generate};
use crate::draft::Draft;
use crate::rows::{self, GROUPS_OF_USER_MAX, Group, Owner, User, key_of};
use crate::state::State;
use crate::{
    Belongings, ChangeKind, GroupInfo, Iam, IamError, Identity, Name, State as UserState, Target, Thing,
    UserInfo,
};

const USERS_MAX: usize = 10_000;
const GROUPS_MAX: usize = 1_000;
/// What principals and events call the operator.
const RESERVED: &str = "root";

/// Changes are durable when these return. `by` is who is told of in the change; whether `by` may do it is for the caller to ask
/// with [`Iam::decide`].
impl Iam {
    /// Makes a user, who may do nothing yet and has no access key.
    ///
    /// # Errors
    /// [`IamError::Exists`], among others.
    pub async fn create_user(&self, by: &Identity, name: &str) -> Result<UserInfo, IamError> {
        let name = Name::parse(name)?;
        self.change(by, move |draft| {
            unlike(Thing::User, &name, draft.state.users.keys().map(Name::as_str).chain([RESERVED]))?;
            room("users", draft.state.users.len(), USERS_MAX)?;
            let random = &*draft.inner.options.random;
            let user = User {
                id: generate(ACCESS_KEY_CHARS, rows::ID_LEN, random).to_string(),
                disabled: false,
                created_at: draft.now,
                policies: Vec::new(),
                groups: Vec::new(),
            };
            draft.tell(ChangeKind::UserCreated, name.as_str(), None);
            Ok(draft.put_user(&name, user))
        })
        .await
    }

    /// Removes a user with all that is its, as [`Self::belongings`] tells it. Its sessions end.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], among others.
    pub async fn delete_user(&self, by: &Identity, name: &str) -> Result<(), IamError> {
        self.delete_user_if(by, name, |_, _| true).await
    }

    /// [`Self::delete_user`] of one that is as its `meant` has it, and has what it knows of. No other change comes between.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::Changed`], among others.
    pub async fn delete_user_if(
        &self,
        by: &Identity,
        name: &str,
        meant: impl Fn(&UserInfo, &Belongings) -> bool + Send + 'static,
    ) -> Result<(), IamError> {
        let name = name.to_owned();
        self.change(by, move |draft| {
            let (name, user) = draft.state.found_user(&name)?;
            if !meant(&user.info(&name), &draft.state.belongings(&name, &user)) {
                return Err(IamError::Changed { thing: Thing::User, name: name.to_string() });
            }
            let owner = Owner::User(name.clone());
            // Who follows one access key, token or policy is told of it as if it had gone by itself.
            let keys = draft.state.keys.iter().filter(|(_, key)| key.body.owner == owner);
            for access_key in keys.map(|(access_key, _)| access_key.clone()).collect::<Vec<_>>() {
                draft.remove_key(&access_key);
            }
            let tokens = draft.state.tokens.iter().filter(|(_, token)| token.owner == owner);
            for id in tokens.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                draft.remove_token(&id);
            }
            for group in &user.groups {
                draft.tell(ChangeKind::GroupMemberRemoved, group.as_str(), Some(name.to_string()));
            }
            draft.tell_detached(&user.policies, &Target::User(name.to_string()));
            draft.delete(key_of(rows::USER, name.as_str()));
            Arc::make_mut(&mut draft.state.users).remove(&name);
            draft.tell(ChangeKind::UserDeleted, name.as_str(), None);
            Ok(())
        })
        .await
    }

    /// What goes with a user that is deleted.
    ///
    /// # Errors
    /// [`IamError::NoSuch`].
    pub fn belongings(&self, name: &str) -> Result<Belongings, IamError> {
        let state = self.0.state();
        let (name, user) = state.found_user(name)?;
        Ok(state.belongings(&name, &user))
    }

    /// Enables or disables a user, and with it whatever acts for it.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], among others.
    pub async fn set_user_state(
        &self,
        by: &Identity,
        name: &str,
        state: UserState,
    ) -> Result<UserInfo, IamError> {
        self.set_user_state_if(by, name, state, |_| true).await
    }

    /// [`Self::set_user_state`] of a user that is as its `meant` has it. No other change comes between.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::Changed`], among others.
    pub async fn set_user_state_if(
        &self,
        by: &Identity,
        name: &str,
        state: UserState,
        meant: impl Fn(&UserInfo) -> bool + Send + 'static,
    ) -> Result<UserInfo, IamError> {
        let name = name.to_owned();
        self.change(by, move |draft| {
            let (name, mut user) = draft.state.found_user(&name)?;
            if !meant(&user.info(&name)) {
                return Err(IamError::Changed { thing: Thing::User, name: name.to_string() });
            }
            let disabled = state == UserState::Disabled;
            if user.disabled != disabled {
                user.disabled = disabled;
                draft.tell(ChangeKind::UserUpdated, name.as_str(), None);
            }
            Ok(draft.put_user(&name, user))
        })
        .await
    }

    /// A user.
    ///
    /// # Errors
    /// [`IamError::NoSuch`].
    pub fn user(&self, name: &str) -> Result<UserInfo, IamError> {
        let (name, user) = self.0.state().found_user(name)?;
        Ok(user.info(&name))
    }

    /// All users, in the order of their names.
    pub fn users(&self) -> Vec<UserInfo> {
        self.0.state().users.iter().map(|(name, user)| user.info(name)).collect()
    }

    /// Makes a group without members.
    ///
    /// # Errors
    /// [`IamError::Exists`], among others.
    pub async fn create_group(&self, by: &Identity, name: &str) -> Result<GroupInfo, IamError> {
        let name = Name::parse(name)?;
        self.change(by, move |draft| {
            unlike(Thing::Group, &name, draft.state.groups.keys().map(Name::as_str))?;
            room("groups", draft.state.groups.len(), GROUPS_MAX)?;
            draft.tell(ChangeKind::GroupCreated, name.as_str(), None);
            Ok(draft.put_group(&name, Group { created_at: draft.now, policies: Vec::new() }))
        })
        .await
    }

    /// Removes a group that nobody is in; policies attached to it are detached with it.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::InUse`], among others.
    pub async fn delete_group(&self, by: &Identity, name: &str) -> Result<(), IamError> {
        self.delete_group_if(by, name, |_| true).await
    }

    /// [`Self::delete_group`] of one that is as its `meant` has it. No other change comes between.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::InUse`], [`IamError::Changed`], among others.
    pub async fn delete_group_if(
        &self,
        by: &Identity,
        name: &str,
        meant: impl Fn(&GroupInfo) -> bool + Send + 'static,
    ) -> Result<(), IamError> {
        let name = name.to_owned();
        self.change(by, move |draft| {
            let (name, group) = draft.state.found_group(&name)?;
            if !meant(&group.info(&name, draft.state.members(&name))) {
                return Err(IamError::Changed { thing: Thing::Group, name: name.to_string() });
            }
            if let Some(member) = draft.state.members(&name).first() {
                let by = format!("user/{member}");
                return Err(IamError::InUse { thing: Thing::Group, name: name.to_string(), by });
            }
            draft.tell_detached(&group.policies, &Target::Group(name.to_string()));
            draft.delete(key_of(rows::GROUP, name.as_str()));
            Arc::make_mut(&mut draft.state.groups).remove(&name);
            draft.tell(ChangeKind::GroupDeleted, name.as_str(), None);
            Ok(())
        })
        .await
    }

    /// Puts a user into a group; nothing happens if it is there already.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], [`IamError::TooMany`], among others.
    pub async fn add_to_group(&self, by: &Identity, group: &str, user: &str) -> Result<GroupInfo, IamError> {
        self.set_membership(by, group, user, true).await
    }

    /// Takes a user out of a group; nothing happens if it is not there.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], among others.
    pub async fn remove_from_group(
        &self,
        by: &Identity,
        group: &str,
        user: &str,
    ) -> Result<GroupInfo, IamError> {
        self.set_membership(by, group, user, false).await
    }

    async fn set_membership(
        &self,
        by: &Identity,
        group: &str,
        user: &str,
        member: bool,
    ) -> Result<GroupInfo, IamError> {
        let (group, user) = (group.to_owned(), user.to_owned());
        self.change(by, move |draft| {
            let (group_name, group) = draft.state.found_group(&group)?;
            let (user_name, mut user) = draft.state.found_user(&user)?;
            let target = Some(user_name.to_string());
            match (user.groups.binary_search(&group_name), member) {
                (Err(at), true) => {
                    room("groups of a user", user.groups.len(), GROUPS_OF_USER_MAX)?;
                    user.groups.insert(at, group_name.clone());
                    draft.tell(ChangeKind::GroupMemberAdded, group_name.as_str(), target);
                    draft.put_user(&user_name, user);
                }
                (Ok(at), false) => {
                    user.groups.remove(at);
                    draft.tell(ChangeKind::GroupMemberRemoved, group_name.as_str(), target);
                    draft.put_user(&user_name, user);
                }
                _ => {}
            }
            Ok(group.info(&group_name, draft.state.members(&group_name)))
        })
        .await
    }

    /// A group.
    ///
    /// # Errors
    /// [`IamError::NoSuch`].
    pub fn group(&self, name: &str) -> Result<GroupInfo, IamError> {
        let state = self.0.state();
        let (name, group) = state.found_group(name)?;
        let members = state.members(&name);
        Ok(group.info(&name, members))
    }

    /// All groups, in the order of their names.
    pub fn groups(&self) -> Vec<GroupInfo> {
        let state = self.0.state();
        // One look at the users, however many groups there are.
        let mut members: BTreeMap<&Name, Vec<Name>> = BTreeMap::new();
        for (user, row) in state.users.iter() {
            for group in &row.groups {
                members.entry(group).or_default().push(user.clone());
            }
        }
        let info =
            |(name, group): (&Name, &Arc<Group>)| group.info(name, members.remove(name).unwrap_or_default());
        state.groups.iter().map(info).collect()
    }
}

impl Draft<'_> {
    fn tell_detached(&mut self, policies: &[Name], from: &Target) {
        for policy in policies {
            self.tell(ChangeKind::PolicyDetached, policy.as_str(), Some(from.to_string()));
        }
    }

    pub(crate) fn put_user(&mut self, name: &Name, user: User) -> UserInfo {
        let info = user.info(name);
        self.put(key_of(rows::USER, name.as_str()), user.encode());
        Arc::make_mut(&mut self.state.users).insert(name.clone(), Arc::new(user));
        info
    }

    pub(crate) fn put_group(&mut self, name: &Name, group: Group) -> GroupInfo {
        let info = group.info(name, self.state.members(name));
        self.put(key_of(rows::GROUP, name.as_str()), group.encode());
        Arc::make_mut(&mut self.state.groups).insert(name.clone(), Arc::new(group));
        info
    }
}

impl State {
    pub(crate) fn found_user(&self, name: &str) -> Result<(Name, User), IamError> {
        let found = self.users.get_key_value(name);
        let (name, user) = found.ok_or_else(|| IamError::NoSuch { thing: Thing::User, name: shown(name) })?;
        Ok((name.clone(), (**user).clone()))
    }

    pub(crate) fn found_group(&self, name: &str) -> Result<(Name, Group), IamError> {
        let found = self.groups.get_key_value(name);
        let (name, group) =
            found.ok_or_else(|| IamError::NoSuch { thing: Thing::Group, name: shown(name) })?;
        Ok((name.clone(), (**group).clone()))
    }

    fn belongings(&self, name: &Name, user: &User) -> Belongings {
        let owner = Owner::User(name.clone());
        let has_key = |service_account| {
            let mut keys = self.keys.values().map(|key| &key.body);
            keys.any(|key| key.owner == owner && key.service_account == service_account)
        };
        Belongings {
            policies: user.policies.clone(),
            groups: user.groups.clone(),
            access_keys: has_key(false),
            service_accounts: has_key(true),
            tokens: self.tokens.values().any(|token| token.owner == owner),
        }
    }

    pub(crate) fn members(&self, group: &Name) -> Vec<Name> {
        let members = self.users.iter().filter(|(_, user)| user.groups.binary_search(group).is_ok());
        members.map(|(name, _)| name.clone()).collect()
    }
}

impl User {
    fn info(&self, name: &Name) -> UserInfo {
        UserInfo {
            name: name.clone(),
            id: self.id.clone(),
            state: state_of(self.disabled),
            policies: self.policies.clone(),
            groups: self.groups.clone(),
            created_at: self.created_at,
        }
    }
}

impl Group {
    fn info(&self, name: &Name, members: Vec<Name>) -> GroupInfo {
        GroupInfo {
            name: name.clone(),
            policies: self.policies.clone(),
            members,
            created_at: self.created_at,
        }
    }
}

pub(crate) fn state_of(disabled: bool) -> UserState {
    if disabled { UserState::Disabled } else { UserState::Enabled }
}

/// Refuses one more of what there is the most of.
pub(crate) fn room(what: &'static str, count: usize, most: usize) -> Result<(), IamError> {
    if count < most { Ok(()) } else { Err(IamError::TooMany { what, most }) }
}

/// Refuses a new name that is there, in whatever case: who reads lists and writes policies takes `Alice` for `alice`. They are told
/// apart all the same, since earlier versions made both.
///
/// AWS: "Names are not distinguished by case" (IAM and AWS STS quotas, "IAM name requirements").
pub(crate) fn unlike<'a>(
    thing: Thing,
    name: &Name,
    mut there: impl Iterator<Item = &'a str>,
) -> Result<(), IamError> {
    match there.find(|other| other.eq_ignore_ascii_case(name.as_str())) {
        None => Ok(()),
        Some(other) => Err(IamError::Exists { thing, name: other.to_owned() }),
    }
}

/// What of a client's text is put into an error.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(Name::LEN_MAX).collect()
}
