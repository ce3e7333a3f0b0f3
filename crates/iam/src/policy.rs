//! AWS's policy language: a document is checked and taken apart once, and evaluated often. Pure: the time and whatever else is
//! known of a request are arguments. What it takes and means is in `docs/spec/iam.md` §3.

mod actions;
mod arn;
pub(crate) mod canned;
mod cidr;
mod condition;
mod dates;
mod error;
mod json;
pub(crate) mod keys;
mod pattern;
mod principal;
pub(crate) mod request;
pub(crate) mod spelling;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use error::{PolicyError, PolicyFault};
use json::Json;
use request::Request;
use statement::{Effect, Place, Statement, member};

/// Far more than fit into most documents; it bounds what one evaluation costs.
const STATEMENTS_MAX: usize = 200;

/// A policy document that was checked, ready to be evaluated. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy {
    /// As it was given.
    source: Arc<str>,
    kind: Kind,
    statements: Arc<[Statement]>,
    asks_for_tags: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Bucket,
    Identity,
}

/// What one policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A statement denies it.
    Deny,
    /// One allows it and none denies it.
    Allow,
    /// Nothing.
    Silent,
}

impl Policy {
    /// The longest document, in bytes: that of AWS for bucket policies.
    pub const LEN_MAX: usize = 20 * 1024;

    /// Reads a policy of the bucket `bucket`: it says for whom it is, and every resource is in the bucket. Whether the users that it
    /// names exist is not looked at.
    ///
    /// # Errors
    /// [`PolicyError`], which names statement and element.
    pub fn parse_bucket(json: &str, bucket: &str) -> Result<Self, PolicyError> {
        Self::parse(json, Kind::Bucket, Place::Bucket(bucket))
    }

    /// Reads a policy for users, groups, service accounts or sessions: it does not say for whom it is.
    ///
    /// # Errors
    /// [`PolicyError`], which names statement and element.
    pub fn parse_identity(json: &str) -> Result<Self, PolicyError> {
        Self::parse(json, Kind::Identity, Place::Identity)
    }

    fn parse(text: &str, kind: Kind, place: Place<'_>) -> Result<Self, PolicyError> {
        let whole = |element, fault| PolicyError { statement: None, sid: None, element, fault };
        if text.len() > Self::LEN_MAX {
            return Err(whole("", PolicyFault::TooLong { most: Self::LEN_MAX }));
        }
        let members = match Json::parse(text) {
            Some(Json::Object(members)) => members,
            None if text.trim_start().starts_with('{') => return Err(whole("", PolicyFault::NotJson)),
            _ => return Err(whole("", PolicyFault::NotObject)),
        };
        let known = ["Version", "Id", "Statement"];
        if let Some((name, _)) = members.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(whole("", PolicyFault::Unknown { name: error::cut(name) }));
        }
        let variables = match member(&members, "Version") {
            None => false,
            Some(Json::Text(version)) if version == "2008-10-17" => false,
            Some(Json::Text(version)) if version == "2012-10-17" => true,
            Some(_) => return Err(whole("Version", PolicyFault::Version)),
        };
        if !matches!(member(&members, "Id"), None | Some(Json::Text(_))) {
            return Err(whole("Id", PolicyFault::Shape { name: "Id" }));
        }
        let statements = match member(&members, "Statement") {
            None => return Err(whole("Statement", PolicyFault::Missing { name: "Statement" })),
            Some(Json::List(statements)) if !statements.is_empty() => statements.as_slice(),
            Some(Json::List(_)) => return Err(whole("Statement", PolicyFault::NoStatements)),
            Some(statement @ Json::Object(_)) => std::slice::from_ref(statement),
            Some(_) => return Err(whole("Statement", PolicyFault::Shape { name: "Statement" })),
        };
        if statements.len() > STATEMENTS_MAX {
            return Err(whole("Statement", PolicyFault::TooManyStatements { most: STATEMENTS_MAX }));
        }
        let mut sids = HashSet::new();
        let mut parsed = Vec::with_capacity(statements.len());
        for (number, statement) in (1..).zip(statements) {
            let at = |sid: Option<&str>, (element, fault)| PolicyError {
                statement: Some(number),
                sid: sid.map(error::cut),
                element,
                fault,
            };
            let Json::Object(members) = statement else {
                return Err(at(None, ("", PolicyFault::Shape { name: "Statement" })));
            };
            let sid = match member(members, "Sid") {
                None => None,
                Some(Json::Text(sid)) => Some(sid.as_str()),
                Some(_) => return Err(at(None, ("Sid", PolicyFault::Shape { name: "Sid" }))),
            };
            if let Some(sid) = sid.filter(|sid| !sid.is_empty())
                && !sids.insert(sid)
            {
                return Err(at(Some(sid), ("Sid", PolicyFault::DuplicateSid)));
            }
            parsed.push(Statement::parse(members, place, variables).map_err(|fault| at(sid, fault))?);
        }
        Ok(Self { source: text.into(), kind, statements: parsed.into(), asks_for_tags: asks_for_tags(text) })
    }

    /// Whether what it says may depend on the tags of the object that is there (`s3:ExistingObjectTag/…`). If not, nobody needs to
    /// read them to evaluate it.
    pub fn asks_for_tags(&self) -> bool {
        self.asks_for_tags
    }

    /// Whether it opens the bucket to everybody, as public access blocks mean it: a statement allows something to `*`, and no condition
    /// limits it to fixed values of `aws:SourceIp` (no wider than /8, or /32 of IPv6), `aws:userid`, `aws:username`, `aws:PrincipalArn` or
    /// `s3:x-amz-server-side-encryption-aws-kms-key-id`. See AWS, "The meaning of 'public'".
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }

    /// The document, as it was given.
    pub fn to_json(&self) -> String {
        self.source.to_string()
    }

    /// What it says of a request.
    pub(crate) fn evaluate(&self, request: &Request<'_>) -> Verdict {
        let mut verdict = Verdict::Silent;
        for statement in self.statements.iter() {
            // Another one that allows it would change nothing.
            if statement.effect() == Effect::Allow && verdict == Verdict::Allow {
                continue;
            }
            match (statement.applies(request), statement.effect()) {
                (false, _) => {}
                (true, Effect::Deny) => return Verdict::Deny,
                (true, Effect::Allow) => verdict = Verdict::Allow,
            }
        }
        verdict
    }
}

/// Looked for in the text, since the key may be in a condition or in any variable. A name with an escaped character in it is not
/// found so, and such a document is taken to ask.
fn asks_for_tags(text: &str) -> bool {
    text.contains('\\') || text.to_ascii_lowercase().contains("existingobjecttag")
}

/// Two policies are the same if their documents are.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.source) == (other.kind, &other.source)
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, &self.source).hash(state);
    }
}
