//! One table from what can go wrong with identities to what a client is told.

use axum::http::StatusCode;
use strongroom_iam::{IamError, PolicyFault, Thing};

use crate::refusal::Refusal;

impl From<IamError> for Refusal {
    fn from(error: IamError) -> Self {
        use IamError as E;
        let bad = Refusal::bad_request;
        let conflict = |code, message| Refusal::new(StatusCode::CONFLICT, code, message);
        let text = error.to_string();
        match error {
            E::Name(_) => bad("InvalidName", text),
            // AWS's sentence has only half of what it can be.
            E::Policy(error) if error.fault == PolicyFault::NotJson => bad(
                "MalformedPolicy",
                format!("{text}, a member that is there twice, or nesting that is too deep."),
            ),
            E::Policy(_) => bad("MalformedPolicy", text),
            E::NoSuch { thing, .. } => Refusal::new(StatusCode::NOT_FOUND, no_such(thing), text),
            E::Exists { thing, .. } => conflict(exists(thing), text),
            E::Changed { .. } => Refusal::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", text),
            E::InUse { .. } => conflict("InUse", text),
            E::Canned { .. } => conflict("PolicyIsCanned", text),
            E::TooMany { .. } => conflict("LimitExceeded", text),
            E::TooLong { .. } => bad("TooLong", text),
            E::Duration { .. } | E::ExpiryPassed => bad("InvalidExpiry", text),
            E::NotAParent { .. } => bad("NotAParent", text),
            E::Busy => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", text),
            other => {
                tracing::error!(error = %other, "a request about identities failed");
                let message = "The server could not do it; its log has more under this request id.";
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
            }
        }
    }
}

fn no_such(thing: Thing) -> &'static str {
    match thing {
        Thing::User => "NoSuchUser",
        Thing::Group => "NoSuchGroup",
        Thing::Policy => "NoSuchPolicy",
        Thing::AccessKey => "NoSuchAccessKey",
        Thing::ServiceAccount => "NoSuchServiceAccount",
        Thing::Token => "NoSuchToken",
        _ => "NoSuchThing",
    }
}

fn exists(thing: Thing) -> &'static str {
    match thing {
        Thing::User => "UserExists",
        Thing::Group => "GroupExists",
        Thing::Policy => "PolicyExists",
        Thing::AccessKey => "AccessKeyExists",
        Thing::ServiceAccount => "ServiceAccountExists",
        Thing::Token => "TokenExists",
        _ => "Exists",
    }
}
