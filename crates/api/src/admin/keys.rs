//! `/keys/…`: the keys of groups, and the root key that wraps them. No answer holds a key.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::AdminDeps;
use super::routes::{Answer, Body, Parameters};

/// The name of a root key's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKeyName {
    /// The KMS that holds it: `local`.
    pub provider: String,
    /// Its id there.
    pub key_id: String,
    /// Its version there.
    pub key_version: u32,
}

/// The keys of groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// The root key that wraps the keyring and the keys of new groups.
    pub root: RootKeyName,
    /// How often the keyring was replaced.
    pub keyring_generation: u64,
    /// Ascending by id.
    pub groups: Vec<KeyGroup>,
}

/// The keys of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGroup {
    /// The group's id; 0 is the system group.
    pub group: u32,
    /// The bucket that has the group; none for the system group.
    pub bucket: Option<String>,
    /// Ascending by id; ids are never used again.
    pub keys: Vec<GroupKey>,
}

/// What is known of a group's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupKey {
    /// Its id in the group.
    pub id: u32,
    /// What it is good for.
    pub state: KeyState,
    /// The log sequence number of the command that made it.
    pub created_lsn: u64,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// How old it is.
    pub age_seconds: u64,
    /// How often it sealed, as an upper bound.
    pub seals: u64,
    /// How much it sealed, as an upper bound.
    pub sealed_bytes: u64,
    /// When it was last used to seal, in seconds since 1970; none if it never was.
    pub last_used_unix_seconds: Option<u64>,
    /// What wraps it; none once it is retired.
    pub root: Option<RootKeyName>,
}

/// What a group's key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyState {
    /// Seals and opens.
    Active,
    /// Opens what it sealed.
    Readable,
    /// Gone; nothing needs it.
    Retired,
}

/// Which groups get a new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "which", rename_all = "snake_case", deny_unknown_fields)]
pub enum RotateKeys {
    /// That of a bucket.
    Bucket {
        /// Its name.
        bucket: String,
    },
    /// The system group.
    System {},
    /// All there are.
    All {},
}

/// Keys that were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedKeys {
    /// Groups that have a new key.
    pub rotated: Vec<RotatedKey>,
    /// Groups that have not, which happens only if several were asked for.
    pub not_rotated: Vec<NotRotated>,
}

/// A group's new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedKey {
    /// The group's id.
    pub group: u32,
    /// The bucket that has the group; none for the system group.
    pub bucket: Option<String>,
    /// The key that seals from now on.
    pub key_id: u32,
}

/// A group that kept its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRotated {
    /// The group's id.
    pub group: u32,
    /// The bucket that has the group; none for the system group.
    pub bucket: Option<String>,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub message: String,
}

/// The root key in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    /// What wraps the keyring and the keys of new groups.
    pub root: RootKeyName,
    /// The newest version that the KMS has of it; none if the KMS does not say.
    pub newest_version: Option<u32>,
    /// How many keys of groups each root key wraps. One entry, unless a change of the root key was cut short or an
    /// older keyring was put back.
    pub wraps: Vec<RootKeyUse>,
}

/// How much a root key's version wraps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKeyUse {
    /// Which.
    pub root: RootKeyName,
    /// How many keys of groups.
    pub keys: u64,
}

/// Which root key shall wrap the groups' keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRootKey {
    /// The id at the KMS; none stays with the present id and takes its newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Whether the KMS is told to make the key first. It is an error if it has the key already.
    #[serde(default)]
    pub create_key: bool,
    /// Whether the KMS is told to make a new version of the key first.
    #[serde(default)]
    pub new_version: bool,
}

/// A change of the root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKeyChange {
    /// What wrapped the keys.
    pub from: RootKeyName,
    /// What wraps them now.
    pub to: RootKeyName,
    /// How many keys of groups there are.
    pub keys: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OfBucket {
    bucket: Option<String>,
}

pub(super) async fn groups(
    State(deps): State<AdminDeps>,
    Parameters(of): Parameters<OfBucket>,
) -> Answer<KeyReport> {
    Ok(Json(deps.admin.key_report(of.bucket).await?))
}

pub(super) async fn rotate(
    State(deps): State<AdminDeps>,
    Body(which): Body<RotateKeys>,
) -> Answer<RotatedKeys> {
    Ok(Json(deps.admin.rotate_keys(which).await?))
}

pub(super) async fn root(State(deps): State<AdminDeps>) -> Answer<RootKey> {
    Ok(Json(deps.admin.root_key().await?))
}

pub(super) async fn change_root(
    State(deps): State<AdminDeps>,
    Body(change): Body<ChangeRootKey>,
) -> Answer<RootKeyChange> {
    Ok(Json(deps.admin.change_root_key(change).await?))
}
