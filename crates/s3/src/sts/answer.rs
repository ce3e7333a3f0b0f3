//! Documents of the token service.

use strongroom_iam::{ACCOUNT, Identity, SessionCredentials};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{ApiError, element};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Temporary credentials. `id` is what policies know the session by.
pub(super) fn assumed_role(
    made: &SessionCredentials,
    id: &str,
    expires: OffsetDateTime,
    request_id: &str,
) -> String {
    let mut out = format!("<AssumeRoleResponse xmlns=\"{NAMESPACE}\"><AssumeRoleResult><AssumedRoleUser>");
    element(&mut out, "AssumedRoleId", id);
    element(&mut out, "Arn", &made.identity.to_string());
    out.push_str("</AssumedRoleUser><Credentials>");
    element(&mut out, "AccessKeyId", made.access_key.as_str());
    element(&mut out, "SecretAccessKey", made.secret.dangerous_expose());
    element(&mut out, "SessionToken", &made.session_token);
    element(&mut out, "Expiration", &expires.format(&Rfc3339).unwrap_or_default());
    out.push_str("</Credentials></AssumeRoleResult>");
    end(out, "AssumeRoleResponse", request_id)
}

/// Who signed. `id` is what policies know it by.
///
/// AWS, "GetCallerIdentity": "The values returned are those listed in the aws:userid column in the Principal table".
pub(super) fn caller_identity(identity: &Identity, id: &str, request_id: &str) -> String {
    let arn = match identity {
        Identity::Root => format!("arn:aws:iam::{ACCOUNT}:root"),
        _ => identity.to_string(),
    };
    let mut out = format!("<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult>");
    element(&mut out, "Arn", &arn);
    element(&mut out, "UserId", id);
    element(&mut out, "Account", ACCOUNT);
    out.push_str("</GetCallerIdentityResult>");
    end(out, "GetCallerIdentityResponse", request_id)
}

fn end(mut out: String, name: &str, request_id: &str) -> String {
    out.push_str("<ResponseMetadata>");
    element(&mut out, "RequestId", request_id);
    out.push_str(&format!("</ResponseMetadata></{name}>"));
    out
}

/// An error, with the codes that S3 has for what goes wrong before the service is asked put into the service's own.
pub(crate) fn document(error: &ApiError, request_id: &str) -> String {
    let (code, message) = match error.code.as_ref() {
        "InvalidAccessKeyId" | "InvalidToken" => {
            ("InvalidClientTokenId", "The security token included in the request is invalid.")
        }
        "ExpiredToken" => ("ExpiredToken", "The security token included in the request is expired"),
        "AuthorizationHeaderMalformed" => ("IncompleteSignature", error.message.as_ref()),
        "InternalError" => ("InternalFailure", error.message.as_ref()),
        code => (code, error.message.as_ref()),
    };
    let whose = if error.status.is_server_error() { "Receiver" } else { "Sender" };
    let mut out = format!("<ErrorResponse xmlns=\"{NAMESPACE}\"><Error>");
    element(&mut out, "Type", whose);
    element(&mut out, "Code", code);
    element(&mut out, "Message", message);
    out.push_str("</Error>");
    element(&mut out, "RequestId", request_id);
    out.push_str("</ErrorResponse>");
    out
}
