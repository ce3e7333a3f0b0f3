//! `GetBucketAcl`, `GetObjectAcl`: the owner may do everything, and there is nobody else.

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::ObjectError;
use strongroom_objects::request::GetRequest;

use super::common::owner;
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
