//! Object lock: `Get-` and `PutObjectLockConfiguration`, `Get-` and `PutObjectRetention`, `Get-` and
//! `PutObjectLegalHold`, and what other operations say of locks.

use http::{HeaderMap, StatusCode};
use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::request::ObjectInfo;
use strongroom_objects::{
    DefaultRetention as Default, LegalHold, ObjectLockConfig, ObjectName, RETENTION_DAYS_MAX,
    RETENTION_YEARS_MAX, Retention, RetentionMode, RetentionPeriod,
};

use crate::access::Resource;
use crate::checksum;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const HOLD: &str = "x-amz-object-lock-legal-hold";

pub(crate) async fn get_configuration(
    call: Call,
    input: GetObjectLockConfigurationInput,
) -> Answer<GetObjectLockConfigurationOutput> {
    let config = call.objects().object_lock(&convert::bucket_name(&input.bucket)?)?.ok_or_else(|| {
        ApiError::no_configuration(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
            &input.bucket,
        )
    })?;
    let rule = config.default.map(|default| {
        let (days, years) = match default.period {
            RetentionPeriod::Days(days) => (i32::try_from(days).ok(), None),
            RetentionPeriod::Years(years) => (None, i32::try_from(years).ok()),
        };
        let mode = Some(ObjectLockRetentionMode::from_static(mode_name(default.mode)));
        ObjectLockRule { default_retention: Some(DefaultRetention { days, mode, years }) }
    });
    let object_lock_enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    let object_lock_configuration = Some(ObjectLockConfiguration { object_lock_enabled, rule });
    Ok(S3Response::new(GetObjectLockConfigurationOutput { object_lock_configuration }))
}

pub(crate) async fn put_configuration(
    call: Call,
    input: PutObjectLockConfigurationInput,
) -> Answer<PutObjectLockConfigurationOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let asked = input.object_lock_configuration.ok_or_else(ApiError::no_document)?;
    let enabled = asked.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str);
    if enabled != Some(ObjectLockEnabled::ENABLED) {
        return Err(ApiError::malformed_xml());
    }
    let default = match asked.rule {
        Some(rule) => Some(default_in(&rule.default_retention.ok_or_else(ApiError::malformed_xml)?)?),
        None => None,
    };
    call.objects().set_object_lock(&bucket, ObjectLockConfig { default }).await?;
    Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
}

fn default_in(asked: &DefaultRetention) -> Result<Default, ApiError> {
    let mode =
        asked.mode.as_ref().and_then(|mode| mode_in(mode.as_str())).ok_or_else(ApiError::malformed_xml)?;
    let within = |name, given: i32, most: u32| match u32::try_from(given) {
        Err(_) | Ok(0) => Err(ApiError::invalid_argument(
            name,
            given,
            "Default retention period must be a positive integer value.",
        )),
        Ok(count) if count > most => {
            Err(ApiError::invalid_argument(name, given, "Default retention period too large."))
        }
        Ok(count) => Ok(count),
    };
    let period = match (asked.days, asked.years) {
        (Some(days), None) => RetentionPeriod::Days(within("Days", days, RETENTION_DAYS_MAX)?),
        (None, Some(years)) => RetentionPeriod::Years(within("Years", years, RETENTION_YEARS_MAX)?),
        _ => return Err(ApiError::malformed_xml()),
    };
    Ok(Default { mode, period })
}

pub(crate) async fn get_retention(
    call: Call,
    input: GetObjectRetentionInput,
) -> Answer<GetObjectRetentionOutput> {
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let version = convert::version_in(input.version_id.as_deref())?;
    let (retention, _) = call.objects().object_locks(&bucket, &name, version).await?;
    let retention = retention.ok_or_else(|| never_locked(&name))?;
    let retention = ObjectLockRetention {
        mode: Some(ObjectLockRetentionMode::from_static(mode_name(retention.mode))),
        retain_until_date: Some(convert::time_out(retention.until)),
    };
    Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
}

pub(crate) async fn put_retention(
    call: Call,
    input: PutObjectRetentionInput,
) -> Answer<PutObjectRetentionOutput> {
    let bypass = call.bypasses_governance(&input.bucket, &input.key);
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let version = convert::version_in(input.version_id.as_deref())?;
    let asked = input.retention.ok_or_else(ApiError::malformed_xml)?;
    let retention = match (asked.mode, asked.retain_until_date) {
        // An empty document takes the retention away.
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = mode_in(mode.as_str()).ok_or_else(ApiError::malformed_xml)?;
            Some(Retention { mode, until: convert::time_in(until) })
        }
        _ => return Err(ApiError::malformed_xml()),
    };
    call.objects().set_object_retention(&bucket, &name, version, retention, bypass).await?;
    Ok(S3Response::new(PutObjectRetentionOutput::default()))
}

pub(crate) async fn get_legal_hold(
    call: Call,
    input: GetObjectLegalHoldInput,
) -> Answer<GetObjectLegalHoldOutput> {
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let version = convert::version_in(input.version_id.as_deref())?;
    let (_, hold) = call.objects().object_locks(&bucket, &name, version).await?;
    let hold = hold.ok_or_else(|| never_locked(&name))?;
    let legal_hold = Some(ObjectLockLegalHold { status: Some(hold_out(hold)) });
    Ok(S3Response::new(GetObjectLegalHoldOutput { legal_hold }))
}

pub(crate) async fn put_legal_hold(
    call: Call,
    input: PutObjectLegalHoldInput,
) -> Answer<PutObjectLegalHoldOutput> {
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let version = convert::version_in(input.version_id.as_deref())?;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let hold = match status.as_ref().map(ObjectLockLegalHoldStatus::as_str) {
        Some(ObjectLockLegalHoldStatus::ON) => LegalHold::On,
        Some(ObjectLockLegalHoldStatus::OFF) => LegalHold::Off,
        _ => return Err(ApiError::malformed_xml()),
    };
    call.objects().set_object_legal_hold(&bucket, &name, version, hold).await?;
    Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
}

/// What AWS answers for a version that never had what is asked for. One that had it and has it no longer is
/// described instead: a legal hold is then `OFF`.
fn never_locked(name: &ObjectName) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "NoSuchObjectLockConfiguration",
        "The specified object does not have a ObjectLock configuration",
    )
    .field("Key", name)
}

/// The locks that a new object is to have, from its headers.
pub(crate) fn of_headers(headers: &HeaderMap) -> Result<(Option<Retention>, Option<LegalHold>), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let retention = match (text(MODE), text(UNTIL)) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let unknown = || ApiError::invalid_argument(MODE, mode, "Unknown wormMode directive.");
            let date = || {
                ApiError::invalid_argument(
                    UNTIL,
                    until,
                    "The retain until date must be provided in ISO 8601 format",
                )
            };
            let parsed = Timestamp::parse(TimestampFormat::DateTime, until).map_err(|_| date())?;
            Some(Retention { mode: mode_in(mode).ok_or_else(unknown)?, until: convert::time_in(parsed) })
        }
        (mode, _) => {
            let missing = if mode.is_some() { UNTIL } else { MODE };
            return Err(ApiError::invalid_argument(
                missing,
                "null",
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ));
        }
    };
    let hold = match text(HOLD) {
        None => None,
        Some("ON") => Some(LegalHold::On),
        Some("OFF") => Some(LegalHold::Off),
        Some(other) => {
            return Err(ApiError::invalid_argument(
                HOLD,
                other,
                "Legal Hold must be either of 'ON' or 'OFF'",
            ));
        }
    };
    Ok((retention, hold))
}

/// What is locked must have arrived as it was sent: AWS asks for a digest of it.
pub(super) fn require_digest(headers: &HeaderMap) -> Result<(), ApiError> {
    let locked = headers.contains_key(MODE) || headers.contains_key(HOLD);
    let named = |name: &str| name == "content-md5" || name == "x-amz-trailer" || checksum::is_value(name);
    if locked && !headers.keys().any(|name| named(name.as_str())) {
        return Err(ApiError::invalid_request(
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        ));
    }
    Ok(())
}

/// Leaves locks out of a description for those who may not ask for them.
pub(super) fn hide(call: &Call, (bucket, key): (&str, &str), info: &mut ObjectInfo) {
    let resource = Resource::Object(bucket, key);
    if info.meta.retention.is_some() && !call.may("s3:GetObjectRetention", resource) {
        info.meta.retention = None;
    }
    if info.meta.legal_hold.is_some() && !call.may("s3:GetObjectLegalHold", resource) {
        info.meta.legal_hold = None;
    }
}

fn mode_in(text: &str) -> Option<RetentionMode> {
    match text {
        ObjectLockRetentionMode::GOVERNANCE => Some(RetentionMode::Governance),
        ObjectLockRetentionMode::COMPLIANCE => Some(RetentionMode::Compliance),
        _ => None,
    }
}

pub(super) fn mode_name(mode: RetentionMode) -> &'static str {
    match mode {
        RetentionMode::Governance => ObjectLockRetentionMode::GOVERNANCE,
        RetentionMode::Compliance => ObjectLockRetentionMode::COMPLIANCE,
    }
}

pub(super) fn hold_out(hold: LegalHold) -> ObjectLockLegalHoldStatus {
    let status = match hold {
        LegalHold::On => ObjectLockLegalHoldStatus::ON,
        LegalHold::Off => ObjectLockLegalHoldStatus::OFF,
    };
    ObjectLockLegalHoldStatus::from_static(status)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use strongroom_objects::Timestamp as Moment;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn mode_and_date_come_together() {
        let date = "2030-01-01T00:00:00Z";
        let (retention, hold) =
            of_headers(&headers(&[(MODE, "COMPLIANCE"), (UNTIL, date), (HOLD, "ON")])).unwrap();
        let until = Moment(1_893_456_000_000);
        assert_eq!(
            (retention, hold),
            (Some(Retention { mode: RetentionMode::Compliance, until }), Some(LegalHold::On))
        );
        assert_eq!(of_headers(&headers(&[(HOLD, "OFF")])).unwrap(), (None, Some(LegalHold::Off)));
        for bad in [
            headers(&[(MODE, "COMPLIANCE")]),
            headers(&[(UNTIL, date)]),
            headers(&[(MODE, "compliance"), (UNTIL, date)]),
            headers(&[(MODE, "GOVERNANCE"), (UNTIL, "tomorrow")]),
            headers(&[(HOLD, "on")]),
        ] {
            assert_eq!(of_headers(&bad).unwrap_err().code, "InvalidArgument", "{bad:?}");
        }
        assert_eq!(of_headers(&HeaderMap::new()).unwrap(), (None, None));
    }

    #[test]
    fn locks_need_a_digest() {
        assert!(require_digest(&HeaderMap::new()).is_ok());
        assert_eq!(require_digest(&headers(&[(HOLD, "ON")])).unwrap_err().code, "InvalidRequest");
        for digest in ["content-md5", "x-amz-checksum-crc32", "x-amz-trailer"] {
            assert!(require_digest(&headers(&[(HOLD, "ON"), (digest, "x")])).is_ok());
        }
        for none in ["x-amz-checksum-type", "x-amz-checksum-algorithm", "x-amz-checksum-mode"] {
            assert!(require_digest(&headers(&[(HOLD, "ON"), (none, "x")])).is_err(), "{none}");
        }
    }
}
