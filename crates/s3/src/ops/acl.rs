//! `GetBucketAcl`, `GetObjectAcl`, `PutBucketAcl`, `PutObjectAcl`: the owner may do everything, and there is nobody else. Lists that say just this
//! are taken, so that clients which set what they read go on; others are refused as AWS refuses them with ACLs off.

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::ObjectError;
use strongroom_objects::request::GetRequest;

use super::common::{owner, refuse_acl, refuse_two_lists};
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

fn grants() -> Option<Grants> {
    let owner = owner();
    let grantee = Grantee {
        display_name: owner.display_name,
        email_address: None,
        id: owner.id,
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let permission = Some(Permission::from_static(Permission::FULL_CONTROL));
    Some(vec![Grant { grantee: Some(grantee), permission }])
}

pub(crate) async fn of_bucket(call: Call, input: GetBucketAclInput) -> Answer<GetBucketAclOutput> {
    call.objects().head_bucket(&convert::bucket_name(&input.bucket)?).await?;
    Ok(S3Response::new(GetBucketAclOutput { grants: grants(), owner: Some(owner()) }))
}

pub(crate) async fn of_object(call: Call, input: GetObjectAclInput) -> Answer<GetObjectAclOutput> {
    let mut request = GetRequest::new(convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    request.version = convert::version_in(input.version_id.as_deref())?;
    match call.objects().head(request).await {
        // Whoever asks for a list of grants needs no key.
        Ok(_) | Err(ObjectError::CustomerKeyRequired) => Ok(S3Response::new(GetObjectAclOutput {
            grants: grants(),
            owner: Some(owner()),
            ..GetObjectAclOutput::default()
        })),
        Err(error) => Err(ApiError::from(error)),
    }
}

pub(crate) async fn put_bucket(call: Call, input: PutBucketAclInput) -> Answer<PutBucketAclOutput> {
    call.objects().head_bucket(&convert::bucket_name(&input.bucket)?).await?;
    check(&call, input.acl.as_ref().map(|acl| acl.as_str()), input.access_control_policy)?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

pub(crate) async fn put_object(call: Call, input: PutObjectAclInput) -> Answer<PutObjectAclOutput> {
    let mut request = GetRequest::new(convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    request.version = convert::version_in(input.version_id.as_deref())?;
    match call.objects().head(request).await {
        Ok(_) | Err(ObjectError::CustomerKeyRequired) => {}
        Err(error) => return Err(ApiError::from(error)),
    }
    check(&call, input.acl.as_ref().map(|acl| acl.as_str()), input.access_control_policy)?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}

/// Refuses what grants something to others than the owner.
fn check(call: &Call, canned: Option<&str>, policy: Option<AccessControlPolicy>) -> Result<(), ApiError> {
    refuse_two_lists(canned, &call.headers)?;
    let grants_header = call.headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"));
    match policy {
        Some(_) if canned.is_some() || grants_header => Err(ApiError::new(
            http::StatusCode::BAD_REQUEST,
            "UnexpectedContent",
            "This request does not support content",
        )),
        Some(policy) if !only_the_owner(&policy) => refuse_acl(Some("given"), &call.headers),
        None if canned.is_none() && !grants_header => Err(ApiError::new(
            http::StatusCode::BAD_REQUEST,
            "MissingSecurityHeader",
            "Your request was missing a required header",
        )
        .field("MissingHeaderName", "x-amz-acl")),
        _ => refuse_acl(canned, &call.headers),
    }
}

/// Whether a list says what [`grants`] says.
fn only_the_owner(policy: &AccessControlPolicy) -> bool {
    let id = owner().id;
    let full = |grant: &Grant| {
        grant.permission.as_ref().is_some_and(|permission| permission.as_str() == Permission::FULL_CONTROL)
            && grant.grantee.as_ref().is_some_and(|grantee| grantee.id == id)
    };
    let owned = policy.owner.as_ref().is_none_or(|owner| owner.id.is_none() || owner.id == id);
    owned && policy.grants.as_ref().is_some_and(|grants| !grants.is_empty() && grants.iter().all(full))
}
