//! `GetBucketLifecycleConfiguration`, `PutBucketLifecycleConfiguration`, `DeleteBucketLifecycle`.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::lifecycle::{
    Expiration, LifecycleConfig, LifecycleFault, LifecycleFilter, LifecycleRule as Rule,
    NoncurrentExpiration, Subject, TransitionMinimum,
};
use strongroom_objects::{BucketName as Name, DocumentKind, ObjectName, Tags, UploadId};

use super::notification::rule_id;
use super::tagging;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

fn config(call: &Call, bucket: &Name) -> Result<Option<Arc<LifecycleConfig>>, ApiError> {
    Ok(call.objects().bucket_document_json(bucket, DocumentKind::Lifecycle)?)
}

/// `x-amz-expiration`: when a current version expires and why, if a rule says so.
pub(crate) fn expiration(
    call: &Call,
    bucket: &Name,
    name: &ObjectName,
    mtime: strongroom_objects::Timestamp,
    size: u64,
    tags: &Tags,
) -> Option<String> {
    // An answer goes without the header rather than not at all.
    let config = config(call, bucket).ok().flatten()?;
    let (at, rule) = config.current_expires(&Subject { name, mtime, size: Some(size), tags })?;
    let rule_id = convert::listed(&rule.id, Some(&EncodingType::from_static(EncodingType::URL)));
    let text = format!("expiry-date=\"{}\", rule-id=\"{rule_id}\"", convert::http_date(at));
    HeaderValue::from_str(&text).is_ok().then_some(text)
}

/// `x-amz-abort-date` and `x-amz-abort-rule-id`: when an upload is aborted and why, if a rule says so.
pub(crate) fn abortion(
    call: &Call,
    bucket: &Name,
    name: &ObjectName,
    upload: UploadId,
) -> Option<(Timestamp, String)> {
    let config = config(call, bucket).ok().flatten()?;
    let (at, rule) = config.upload_expires(name, upload.begun())?;
    Some((convert::time_out(at), rule.id.clone()))
}

pub(crate) async fn get(
    call: Call,
    input: GetBucketLifecycleConfigurationInput,
) -> Answer<GetBucketLifecycleConfigurationOutput> {
    let Some(config) = config(&call, &convert::bucket_name(&input.bucket)?)? else {
        return Err(ApiError::no_configuration(
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
            &input.bucket,
        ));
    };
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
        rules: Some(config.rules.iter().map(shown).collect()),
        transition_default_minimum_object_size: Some(minimum_out(config.transition_minimum)),
    }))
}

pub(crate) async fn put(
    call: Call,
    input: PutBucketLifecycleConfigurationInput,
) -> Answer<PutBucketLifecycleConfigurationOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    call.objects().head_bucket(&bucket).await?;
    let given = input.lifecycle_configuration.ok_or_else(ApiError::no_document)?;
    let rules = given.rules.into_iter().enumerate().map(|(at, rule)| read(at, rule));
    let transition_minimum = minimum_in(input.transition_default_minimum_object_size.as_ref())?;
    let config = LifecycleConfig { rules: rules.collect::<Result<_, _>>()?, transition_minimum };
    config.check().map_err(refused)?;
    let bytes = Some(super::json(&config));
    call.objects().set_bucket_document(&bucket, DocumentKind::Lifecycle, bytes).await?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(minimum_out(transition_minimum)),
    }))
}

pub(crate) async fn delete(
    call: Call,
    input: DeleteBucketLifecycleInput,
) -> Answer<DeleteBucketLifecycleOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    call.objects().set_bucket_document(&bucket, DocumentKind::Lifecycle, None).await?;
    Ok(S3Response::new(DeleteBucketLifecycleOutput::default()))
}

/// AWS's default is the same for every class (AWS S3 API Reference, "PutBucketLifecycleConfiguration").
fn minimum_in(given: Option<&TransitionDefaultMinimumObjectSize>) -> Result<TransitionMinimum, ApiError> {
    match given.map(TransitionDefaultMinimumObjectSize::as_str) {
        None | Some(TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K) => {
            Ok(TransitionMinimum::AllClasses)
        }
        Some(TransitionDefaultMinimumObjectSize::VARIES_BY_STORAGE_CLASS) => {
            Ok(TransitionMinimum::VariesByClass)
        }
        Some(other) => Err(ApiError::invalid_argument(
            "x-amz-transition-default-minimum-object-size",
            other,
            "The minimum is all_storage_classes_128K or varies_by_storage_class.",
        )),
    }
}

fn minimum_out(minimum: TransitionMinimum) -> TransitionDefaultMinimumObjectSize {
    TransitionDefaultMinimumObjectSize::from_static(match minimum {
        TransitionMinimum::AllClasses => TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K,
        TransitionMinimum::VariesByClass => TransitionDefaultMinimumObjectSize::VARIES_BY_STORAGE_CLASS,
    })
}

fn refused(fault: LifecycleFault) -> ApiError {
    let code = match fault {
        LifecycleFault::Count => return ApiError::malformed_xml(),
        LifecycleFault::IdTooLong
        | LifecycleFault::SameId
        | LifecycleFault::Days
        | LifecycleFault::Date
        | LifecycleFault::NoncurrentDays
        | LifecycleFault::NewerVersions
        | LifecycleFault::UploadDays => "InvalidArgument",
        _ => "InvalidRequest",
    };
    ApiError::new(StatusCode::BAD_REQUEST, code, fault.to_string())
}

fn read(at: usize, given: LifecycleRule) -> Result<Rule, ApiError> {
    if given.transitions.is_some_and(|all| !all.is_empty())
        || given.noncurrent_version_transitions.is_some_and(|all| !all.is_empty())
    {
        return Err(ApiError::not_implemented(
            "Transitions to other storage classes are not implemented: there is one kind of storage.",
        ));
    }
    let enabled = match given.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(ApiError::malformed_xml()),
    };
    let filter = match (given.filter, given.prefix) {
        (Some(filter), None) => filter_in(filter)?,
        (None, Some(prefix)) => {
            LifecycleFilter { outside: true, prefix: Some(prefix), ..LifecycleFilter::default() }
        }
        _ => return Err(ApiError::malformed_xml()),
    };
    let abort_uploads_after_days = match given.abort_incomplete_multipart_upload {
        Some(abort) => {
            let days = abort.days_after_initiation.ok_or_else(ApiError::malformed_xml)?;
            Some(positive(days, LifecycleFault::UploadDays)?)
        }
        None => None,
    };
    let id = given.id.filter(|id| !id.is_empty());
    let mut rule = Rule {
        id: id.unwrap_or_default(),
        enabled,
        filter,
        expiration: given.expiration.map(expiration_in).transpose()?.flatten(),
        noncurrent: given.noncurrent_version_expiration.map(noncurrent_in).transpose()?,
        abort_uploads_after_days,
    };
    if rule.id.is_empty() {
        rule.id = rule_id(at, &format!("{rule:?}"));
    }
    Ok(rule)
}

/// A count that must not be negative; whether zero is allowed is checked with the rest.
fn positive(count: i32, fault: LifecycleFault) -> Result<u32, ApiError> {
    u32::try_from(count).map_err(|_| refused(fault))
}

fn size(bytes: i64) -> Result<u64, ApiError> {
    u64::try_from(bytes).map_err(|_| ApiError::malformed_xml())
}

fn filter_in(given: s3s::dto::LifecycleRuleFilter) -> Result<LifecycleFilter, ApiError> {
    let LifecycleRuleFilter { and, object_size_greater_than, object_size_less_than, prefix, tag } = given;
    let tags = tagging::tags(tag.into_iter().collect())?;
    let filter = LifecycleFilter {
        outside: false,
        prefix,
        tags,
        larger_than: object_size_greater_than.map(size).transpose()?,
        smaller_than: object_size_less_than.map(size).transpose()?,
    };
    let Some(and) = and else {
        // Several conditions stand in And.
        return if filter.conditions() <= 1 { Ok(filter) } else { Err(ApiError::malformed_xml()) };
    };
    let all = LifecycleFilter {
        outside: false,
        prefix: and.prefix,
        tags: tagging::tags(and.tags.unwrap_or_default())?,
        larger_than: and.object_size_greater_than.map(size).transpose()?,
        smaller_than: and.object_size_less_than.map(size).transpose()?,
    };
    // And joins at least two, and nothing stands beside it.
    if filter.conditions() > 0 || all.conditions() < 2 { Err(ApiError::malformed_xml()) } else { Ok(all) }
}

fn expiration_in(given: LifecycleExpiration) -> Result<Option<Expiration>, ApiError> {
    match (given.days, given.date, given.expired_object_delete_marker) {
        (Some(days), None, None) => Ok(Some(Expiration::Days(positive(days, LifecycleFault::Days)?))),
        (None, Some(date), None) => Ok(Some(Expiration::Date(convert::time_in(date).0))),
        (None, None, Some(true)) => Ok(Some(Expiration::DeleteMarkers)),
        (None, None, Some(false)) => Ok(None),
        _ => Err(ApiError::malformed_xml()),
    }
}

fn noncurrent_in(given: NoncurrentVersionExpiration) -> Result<NoncurrentExpiration, ApiError> {
    let days = given.noncurrent_days.ok_or_else(ApiError::malformed_xml)?;
    let newer = given.newer_noncurrent_versions;
    Ok(NoncurrentExpiration {
        days: positive(days, LifecycleFault::NoncurrentDays)?,
        newer: newer.map(|newer| positive(newer, LifecycleFault::NewerVersions)).transpose()?,
    })
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn shown(rule: &Rule) -> LifecycleRule {
    let tag = |(name, value): &(String, String)| Tag { key: Some(name.clone()), value: Some(value.clone()) };
    let given = &rule.filter;
    let (larger, smaller) =
        (given.larger_than.map(convert::size_out), given.smaller_than.map(convert::size_out));
    let filter = if given.conditions() > 1 {
        let tags: Vec<_> = given.tags.iter().map(tag).collect();
        let and = LifecycleRuleAndOperator {
            object_size_greater_than: larger,
            object_size_less_than: smaller,
            prefix: given.prefix.clone(),
            tags: (!tags.is_empty()).then_some(tags),
        };
        LifecycleRuleFilter { and: Some(and), ..LifecycleRuleFilter::default() }
    } else {
        LifecycleRuleFilter {
            and: None,
            object_size_greater_than: larger,
            object_size_less_than: smaller,
            // An empty filter is shown as AWS shows it.
            prefix: given.prefix.clone().or_else(|| (given.conditions() == 0).then(String::new)),
            tag: given.tags.first().map(tag),
        }
    };
    let expiration = rule.expiration.map(|expiration| match expiration {
        Expiration::Days(days) => {
            LifecycleExpiration { days: Some(count(days)), ..LifecycleExpiration::default() }
        }
        Expiration::Date(date) => LifecycleExpiration {
            date: Some(convert::time_out(strongroom_objects::Timestamp(date))),
            ..LifecycleExpiration::default()
        },
        Expiration::DeleteMarkers => {
            LifecycleExpiration { expired_object_delete_marker: Some(true), ..LifecycleExpiration::default() }
        }
    });
    LifecycleRule {
        abort_incomplete_multipart_upload: rule
            .abort_uploads_after_days
            .map(|days| AbortIncompleteMultipartUpload { days_after_initiation: Some(count(days)) }),
        expiration,
        filter: (!given.outside).then_some(filter),
        id: Some(rule.id.clone()),
        noncurrent_version_expiration: rule.noncurrent.map(|noncurrent| NoncurrentVersionExpiration {
            newer_noncurrent_versions: noncurrent.newer.map(count),
            noncurrent_days: Some(count(noncurrent.days)),
        }),
        noncurrent_version_transitions: None,
        prefix: given.prefix.clone().filter(|_| given.outside),
        status: ExpirationStatus::from_static(if rule.enabled {
            ExpirationStatus::ENABLED
        } else {
            ExpirationStatus::DISABLED
        }),
        transitions: None,
    }
}
