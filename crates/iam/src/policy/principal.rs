//! For whom a bucket policy's statement is.

use super::error::{PolicyFault, cut};
use super::json::Json;
use super::statement::{Effect, texts};
use crate::identity::ACCOUNT_EARLIER;
use crate::{ACCOUNT, Identity, Name};

/// Whom a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Principals {
    everybody: bool,
    /// The account as a whole, which AWS writes as its root.
    account: bool,
    /// In order.
    users: Vec<Name>,
}

impl Principals {
    pub(super) fn parse(json: &Json, element: &'static str) -> Result<Self, PolicyFault> {
        let invalid = |value: &str| PolicyFault::Principal { value: cut(value) };
        let mut principals = Self::default();
        let kinds = match json {
            Json::Text(text) if text == "*" => {
                principals.everybody = true;
                return Ok(principals);
            }
            Json::Text(text) => return Err(invalid(text)),
            Json::Object(kinds) if !kinds.is_empty() => kinds,
            _ => return Err(PolicyFault::Shape { name: element }),
        };
        for (kind, names) in kinds {
            // There are no services and no federated or canonical users to name.
            if kind != "AWS" {
                return Err(invalid(kind));
            }
            for name in texts(names, element)? {
                principals.add(&name).ok_or_else(|| invalid(&name))?;
            }
        }
        principals.users.sort();
        principals.users.dedup();
        Ok(principals)
    }

    fn add(&mut self, text: &str) -> Option<()> {
        match text {
            "*" => self.everybody = true,
            ACCOUNT | ACCOUNT_EARLIER | "root" => self.account = true,
            _ => match text.strip_prefix("arn:") {
                None => self.users.push(bare_user(text)?),
                Some(arn) => {
                    let rest = arn.strip_prefix("aws:iam::")?;
                    let accounts = [ACCOUNT, ACCOUNT_EARLIER];
                    let account = accounts.iter().find_map(|account| rest.strip_prefix(account));
                    let rest = account.unwrap_or(rest).strip_prefix(':')?;
                    match rest.strip_prefix("user/") {
                        Some(name) => self.users.push(Name::parse(name).ok()?),
                        None if rest == "root" => self.account = true,
                        None => return None,
                    }
                }
            },
        }
        Some(())
    }

    /// Whether a statement with this effect is for `identity`. What acts for a user is that user.
    ///
    /// The account as a whole may be denied something. Allowing it something leaves it to the policies of its users, as on AWS:
    /// so only the root is meant, which may do everything anyway.
    pub(super) fn include(&self, identity: &Identity, effect: Effect) -> bool {
        self.everybody
            || match identity.owner() {
                Some(Identity::User { name }) => self.names(name) || (self.account && effect == Effect::Deny),
                Some(_) => self.account,
                None => false,
            }
    }

    fn names(&self, name: &Name) -> bool {
        // Names of different lengths differ at a glance, which order does not show.
        const FEW: usize = 8;
        if self.users.len() <= FEW {
            self.users.contains(name)
        } else {
            self.users.binary_search(name).is_ok()
        }
    }

    /// Whether a statement that denies something to all but these spares `identity`.
    pub(super) fn spare(&self, identity: &Identity) -> bool {
        self.include(identity, Effect::Allow)
    }

    pub(super) fn are_everybody(&self) -> bool {
        self.everybody
    }
}

/// A name as it is. Twelve digits are an account on AWS and surely were meant as one.
fn bare_user(text: &str) -> Option<Name> {
    let account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if account { None } else { Name::parse(text).ok() }
}
