//! `GetBucketCors`, `PutBucketCors`, `DeleteBucketCors`. What the rules do: [`crate::cors`].

use http::StatusCode;
use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::DocumentKind;

use crate::convert;
use crate::cors::{CorsConfig, CorsFault, CorsMethod, CorsRule};
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn get(call: Call, input: GetBucketCorsInput) -> Answer<GetBucketCorsOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let Some(config) = call.objects().bucket_document_json::<CorsConfig>(&bucket, DocumentKind::Cors)? else {
        return Err(ApiError::no_configuration(
            "NoSuchCORSConfiguration",
            "The CORS configuration does not exist",
            &input.bucket,
        ));
    };
    let cors_rules = Some(config.rules.iter().map(shown).collect());
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules }))
}

fn shown(rule: &CorsRule) -> CORSRule {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    CORSRule {
        allowed_headers: some(&rule.headers),
        allowed_methods: rule.methods.iter().map(|method| method.name().to_owned()).collect(),
        allowed_origins: rule.origins.clone(),
        expose_headers: some(&rule.expose),
        id: rule.id.clone(),
        max_age_seconds: rule.max_age_seconds.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
    }
}

pub(crate) async fn put(call: Call, input: PutBucketCorsInput) -> Answer<PutBucketCorsOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    call.objects().head_bucket(&bucket).await?;
    let rules = input.cors_configuration.cors_rules.into_iter().map(read).collect::<Result<_, _>>()?;
    let config = CorsConfig { rules };
    config.check().map_err(|fault| match fault {
        CorsFault::Incomplete => ApiError::malformed_xml(),
        fault => ApiError::invalid_request(fault.to_string()),
    })?;
    let bytes = Some(super::json(&config));
    call.objects().set_bucket_document(&bucket, DocumentKind::Cors, bytes).await?;
    Ok(S3Response::new(PutBucketCorsOutput::default()))
}

fn read(given: CORSRule) -> Result<CorsRule, ApiError> {
    let method = |text: String| {
        CorsMethod::parse(&text).ok_or_else(|| {
            ApiError::invalid_request(format!(
                "Found unsupported HTTP method in CORS config. Unsupported method is {text}"
            ))
        })
    };
    let max_age = given.max_age_seconds.map(u32::try_from).transpose();
    Ok(CorsRule {
        id: given.id.filter(|id| !id.is_empty()),
        origins: given.allowed_origins,
        methods: given.allowed_methods.into_iter().map(method).collect::<Result<_, _>>()?,
        headers: given.allowed_headers.unwrap_or_default(),
        expose: given.expose_headers.unwrap_or_default(),
        max_age_seconds: max_age.map_err(|_| {
            ApiError::new(StatusCode::BAD_REQUEST, "InvalidArgument", "MaxAgeSeconds must not be negative")
        })?,
    })
}

pub(crate) async fn delete(call: Call, input: DeleteBucketCorsInput) -> Answer<DeleteBucketCorsOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    call.objects().set_bucket_document(&bucket, DocumentKind::Cors, None).await?;
    Ok(S3Response::new(DeleteBucketCorsOutput::default()))
}
