//! Why a document is no policy.

use std::fmt;

/// Why a document is no policy, and where. Its text is fit for a client (`MalformedPolicy`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// Which statement, from 1; `None` for the document.
    pub statement: Option<usize>,
    /// The statement's `Sid`, if it has one.
    pub sid: Option<String>,
    /// Which element, such as `Action`; empty for the document as a whole.
    pub element: &'static str,
    /// What is wrong.
    pub fault: PolicyFault,
}

/// What is wrong with a document. Where AWS has a sentence for it, it is AWS's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// It is no object.
    #[error("Policies must be valid JSON and the first byte must be '{{'")]
    NotObject,
    /// It starts as an object and is not JSON, or has a member twice, or is deeper than a policy.
    #[error("This policy contains invalid Json")]
    NotJson,
    /// It has an empty list of statements.
    #[error("Could not parse the policy: Statement is empty!")]
    NoStatements,
    /// It is too long.
    #[error("Policies must not be longer than {most} bytes")]
    TooLong {
        /// How long it may be.
        most: usize,
    },
    /// It has too many statements.
    #[error("Policies must not have more than {most} statements")]
    TooManyStatements {
        /// How many it may have.
        most: usize,
    },
    /// `Version` is none of the two that exist.
    #[error("The policy must contain a valid version string")]
    Version,
    /// An element is not there and has to be.
    #[error("Missing required field {name}")]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// An element that there is not, or not in this kind of policy.
    #[error("Unknown field {name}")]
    Unknown {
        /// Its name, cut at 64 characters.
        name: String,
    },
    /// Both an element and its opposite.
    #[error("{one} and {other} must not be in one statement")]
    Both {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A value of another type than the element has, or an empty list.
    #[error("Could not parse the policy: {name} has a value that it cannot have")]
    Shape {
        /// Which element.
        name: &'static str,
    },
    /// Neither `Allow` nor `Deny`.
    #[error("Invalid effect: {value}")]
    Effect {
        /// The value, cut at 64 characters.
        value: String,
    },
    /// Two statements have the same `Sid`.
    #[error("Statement IDs (SID) in a single policy must be unique")]
    DuplicateSid,
    /// A principal that there cannot be.
    #[error("Invalid principal in policy")]
    Principal {
        /// The value, cut at 64 characters.
        value: String,
    },
    /// `NotPrincipal` with `Allow` would open a bucket to everybody else, and AWS does not take it either.
    #[error("Allow with NotPrincipal is not allowed")]
    AllowNotPrincipal,
    /// An action that there is not.
    #[error("Policy has invalid action")]
    Action {
        /// The value, cut at 64 characters.
        value: String,
    },
    /// A resource that is no ARN, or is not in the bucket.
    #[error("Policy has invalid resource")]
    Resource {
        /// The value, cut at 64 characters.
        value: String,
    },
    /// An action is done to buckets and the resources are objects, or the other way round.
    #[error("Action does not apply to any resource(s) in statement")]
    ActionWithoutResource {
        /// The action.
        action: String,
    },
    /// An operator that there is not.
    #[error("Invalid Condition type : {name}")]
    Operator {
        /// Its name, cut at 64 characters.
        name: String,
    },
    /// A condition key that no request has here.
    #[error("Policy has an invalid condition key")]
    ConditionKey {
        /// Its name, cut at 64 characters.
        name: String,
    },
    /// A value that the operator cannot compare with.
    #[error("Invalid value in condition: {value}")]
    ConditionValue {
        /// The value, cut at 64 characters.
        value: String,
    },
    /// A range of addresses that is none.
    #[error("Invalid IP address in Conditions")]
    Address {
        /// The value, cut at 64 characters.
        value: String,
    },
    /// `${…}` that is no variable.
    #[error("Invalid policy variable: {value}")]
    Variable {
        /// The text, cut at 64 characters.
        value: String,
    },
}

impl PolicyFault {
    /// The offending text, where the sentence does not have it.
    fn detail(&self) -> Option<&str> {
        match self {
            Self::Principal { value } | Self::Action { value } | Self::Resource { value } => Some(value),
            Self::ActionWithoutResource { action } => Some(action),
            Self::ConditionKey { name } => Some(name),
            Self::Address { value } => Some(value),
            _ => None,
        }
    }
}

/// What of a client's text is put into an error.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

impl PolicyError {
    /// AWS's sentence for it, which does not say where it is.
    pub fn sentence(&self) -> String {
        match &self.fault {
            // AWS does not tell a value of another type from one that there is not.
            PolicyFault::Shape { name: "Action" | "NotAction" } => "Policy has invalid action".to_owned(),
            PolicyFault::Shape { name: "Resource" | "NotResource" } => {
                "Policy has invalid resource".to_owned()
            }
            PolicyFault::Shape { name: "Principal" | "NotPrincipal" } => {
                "Invalid principal in policy".to_owned()
            }
            fault => fault.to_string(),
        }
    }

    /// What [`Self::sentence`] leaves out: the offending text, and where it is.
    pub fn detail(&self) -> Option<String> {
        let place = self.place();
        match (self.fault.detail(), place.is_empty()) {
            (Some(detail), _) => Some(format!("{detail}{place}")),
            (None, false) => Some(place.trim_start().to_owned()),
            (None, true) => None,
        }
    }

    /// ` (statement 2 "two", Action)`.
    fn place(&self) -> String {
        let Some(statement) = self.statement else { return String::new() };
        let sid = self.sid.as_ref().map(|sid| format!(" {sid:?}")).unwrap_or_default();
        let element = match self.element {
            "" => String::new(),
            element => format!(", {element}"),
        };
        format!(" (statement {statement}{sid}{element})")
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        if let Some(detail) = self.fault.detail() {
            write!(f, ": {detail}")?;
        }
        f.write_str(&self.place())
    }
}

impl std::error::Error for PolicyError {}
