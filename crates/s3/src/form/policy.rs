//! The policy document of a form: until when it is good, and what the form may hold.

use s3s::post_policy::{PostPolicy, PostPolicyCondition as Condition};
use time::OffsetDateTime;

use super::against_policy;
use super::fields::{FileSize, Form};
use crate::error::ApiError;

/// Fields that no policy has to name: the signature over it, and what is not looked at.
const FREE: [&str; 5] = ["policy", "x-amz-signature", "signature", "awsaccesskeyid", "submit"];

/// Refuses a form that its own policy does not allow, and returns what the policy says of the file's size.
///
/// Each field must be named by a condition, the bucket too: a policy that is good for any bucket would let its holder
/// write wherever the one who signed it may.
pub(super) fn check(
    document: &str,
    form: &Form,
    bucket: &str,
    now: OffsetDateTime,
) -> Result<FileSize, ApiError> {
    let policy = PostPolicy::from_base64(document).map_err(|_| {
        ApiError::new(http::StatusCode::BAD_REQUEST, "InvalidPolicyDocument", "Invalid Policy: Invalid JSON.")
    })?;
    let expires: OffsetDateTime = policy.expiration.clone().into();
    if now >= expires {
        return Err(against_policy("Policy expired."));
    }
    if form.field("bucket").is_some_and(|given| given != bucket) {
        return Err(against_policy("Policy Condition failed: [\"eq\", \"$bucket\"]"));
    }
    let value = |name: &str| if name == "bucket" { Some(bucket) } else { form.field(name) };
    let mut size = FileSize::default();
    for condition in &policy.conditions {
        let (holds, told) = match condition {
            Condition::Eq { field, value: wanted } => {
                let told = format!("[\"eq\", \"${field}\", \"{wanted}\"]");
                (value(field).unwrap_or_default() == wanted, told)
            }
            Condition::StartsWith { field, prefix } => {
                let told = format!("[\"starts-with\", \"${field}\", \"{prefix}\"]");
                let given = value(field).unwrap_or_default();
                // A list of content types fits if each of them does.
                let fits = match field.as_str() {
                    "content-type" => given.split(',').all(|kind| kind.trim_start().starts_with(prefix)),
                    _ => given.starts_with(prefix),
                };
                (fits, told)
            }
            Condition::ContentLengthRange { min, max } => {
                size = FileSize { least: size.least.max(*min), most: size.most.min(*max) };
                continue;
            }
        };
        if !holds {
            return Err(against_policy(format_args!("Policy Condition failed: {told}")));
        }
    }
    let named = |name: &str| {
        policy.conditions.iter().any(|condition| match condition {
            Condition::Eq { field, .. } | Condition::StartsWith { field, .. } => field == name,
            Condition::ContentLengthRange { .. } => false,
        })
    };
    let must = form
        .fields()
        .map(|(name, _)| name)
        .filter(|name| !FREE.contains(name) && !name.starts_with("x-ignore-"))
        .chain(["bucket", "key"]);
    let extra: Vec<&str> = must.filter(|name| !named(name)).collect();
    if !extra.is_empty() {
        return Err(against_policy(format_args!("Extra input fields: {}", extra.join(", "))));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::fields::tests::form;
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);

    async fn checked(conditions: &str, fields: &[(&str, &str)]) -> Result<FileSize, String> {
        let expires = "2026-01-02T03:04:06.000Z";
        let json = format!("{{\"expiration\":\"{expires}\",\"conditions\":[{conditions}]}}");
        let form = form(fields).await;
        check(&STANDARD.encode(json), &form, "b", NOW).map_err(|error| error.message.into_owned())
    }

    #[tokio::test]
    async fn form_that_fits_its_policy_passes() {
        let conditions = r#"{"bucket":"b"},["starts-with","$key","user/"],{"acl":"private"},
            ["content-length-range",2,9],["starts-with","$x-amz-meta-a",""],["starts-with","$Content-Type","image/"]"#;
        let mut fields = vec![
            ("key", "user/${filename}"),
            ("acl", "private"),
            ("x-amz-meta-a", "1"),
            ("Content-Type", "image/png,image/gif"),
            ("x-ignore-this", "1"),
            ("policy", ""),
        ];
        assert_eq!(checked(conditions, &fields).await, Ok(FileSize { least: 2, most: 9 }));
        for (at, value, told) in [
            (0, "other/x", "[\"starts-with\", \"$key\", \"user/\"]"),
            (1, "public-read", "[\"eq\", \"$acl\", \"private\"]"),
            (3, "image/png,text/html", "[\"starts-with\", \"$content-type\", \"image/\"]"),
        ] {
            let kept = std::mem::replace(&mut fields[at].1, value);
            let error = checked(conditions, &fields).await.unwrap_err();
            assert_eq!(error, format!("Invalid according to Policy: Policy Condition failed: {told}"));
            fields[at].1 = kept;
        }
    }

    #[tokio::test]
    async fn what_no_condition_names_is_refused() {
        let error = checked(r#"{"bucket":"b"},{"key":"k"}"#, &[("key", "k"), ("x-amz-meta-a", "1")]).await;
        assert_eq!(error.unwrap_err(), "Invalid according to Policy: Extra input fields: x-amz-meta-a");
        let error = checked(r#"{"key":"k"}"#, &[("key", "k")]).await;
        assert_eq!(error.unwrap_err(), "Invalid according to Policy: Extra input fields: bucket");
        let error = checked(r#"{"bucket":"other"},{"key":"k"}"#, &[("key", "k"), ("bucket", "other")]).await;
        assert!(error.unwrap_err().contains("$bucket"));
    }

    #[tokio::test]
    async fn old_and_unreadable_documents_are_refused() {
        let form = form(&[("key", "k")]).await;
        let json = r#"{"expiration":"2026-01-02T03:04:05Z","conditions":[{"bucket":"b"},{"key":"k"}]}"#;
        let error = check(&STANDARD.encode(json), &form, "b", NOW).unwrap_err();
        assert_eq!(error.message, "Invalid according to Policy: Policy expired.");
        for bad in ["", "{}", "[]", r#"{"expiration":"soon","conditions":[]}"#] {
            assert_eq!(
                check(&STANDARD.encode(bad), &form, "b", NOW).unwrap_err().code,
                "InvalidPolicyDocument"
            );
        }
    }
}
