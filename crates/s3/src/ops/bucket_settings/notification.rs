//! `GetBucketNotificationConfiguration`, `PutBucketNotificationConfiguration`.

use s3s::S3Response;
use s3s::dto::*;
use sha2::{Digest, Sha256};
use strongroom_objects::DocumentKind;
use strongroom_objects::events::{EventType, NotificationConfig, NotificationRule, RuleError, TargetArn};

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn get(
    call: Call,
    input: GetBucketNotificationConfigurationInput,
) -> Answer<GetBucketNotificationConfigurationOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let read = |bytes: &[u8]| NotificationConfig::from_document(bytes).ok();
    let config = call.objects().bucket_document_parsed(&bucket, DocumentKind::Notification, read)?;
    let rules = config.map(|config| config.rules.iter().map(shown).collect());
    Ok(S3Response::new(GetBucketNotificationConfigurationOutput {
        queue_configurations: rules,
        ..GetBucketNotificationConfigurationOutput::default()
    }))
}

fn shown(rule: &NotificationRule) -> QueueConfiguration {
    let filters =
        [(FilterRuleName::PREFIX, rule.prefix.as_ref()), (FilterRuleName::SUFFIX, rule.suffix.as_ref())];
    let filters: FilterRuleList = filters
        .into_iter()
        .filter_map(|(name, value)| {
            Some(FilterRule { name: Some(FilterRuleName::from_static(name)), value: Some(value?.clone()) })
        })
        .collect();
    let some_filter = !filters.is_empty();
    QueueConfiguration {
        events: rule.events.iter().map(|event| Event::from(event.to_string())).collect(),
        filter: some_filter.then_some(NotificationConfigurationFilter {
            key: Some(S3KeyFilter { filter_rules: Some(filters) }),
        }),
        id: Some(rule.id.clone()),
        queue_arn: rule.target.as_str().to_owned(),
    }
}

pub(crate) async fn put(
    call: Call,
    input: PutBucketNotificationConfigurationInput,
) -> Answer<PutBucketNotificationConfigurationOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    call.objects().head_bucket(&bucket).await?;
    let given = input.notification_configuration;
    let elsewhere = given.topic_configurations.as_ref().map_or(0, Vec::len)
        + given.lambda_function_configurations.as_ref().map_or(0, Vec::len)
        + usize::from(given.event_bridge_configuration.is_some());
    if elsewhere > 0 {
        return Err(ApiError::not_implemented(
            "Notifications go to webhooks, named in QueueConfiguration; topics, functions and event buses are not \
             implemented.",
        ));
    }
    let rules = given.queue_configurations.unwrap_or_default();
    let rules = rules.into_iter().enumerate().map(|(at, rule)| read(at, rule)).collect::<Result<_, _>>()?;
    let config = NotificationConfig { rules };
    config.check(|id| call.is_event_target(id)).map_err(refused)?;
    let bytes = (!config.rules.is_empty()).then(|| config.to_document());
    call.objects().set_bucket_document(&bucket, DocumentKind::Notification, bytes).await?;
    Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
}

fn read(at: usize, given: QueueConfiguration) -> Result<NotificationRule, ApiError> {
    let (mut prefix, mut suffix) = (None, None);
    let filters = given.filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules);
    for filter in filters.unwrap_or_default() {
        let (name, value) = (filter.name.ok_or_else(ApiError::malformed_xml)?, filter.value);
        // AWS writes the names with a capital letter when it shows them, and takes them either way.
        let place = match name.as_str().to_ascii_lowercase().as_str() {
            FilterRuleName::PREFIX => &mut prefix,
            FilterRuleName::SUFFIX => &mut suffix,
            other => {
                return Err(ApiError::invalid_argument(
                    "FilterRule.Name",
                    other,
                    "filter rule name must be either prefix or suffix",
                ));
            }
        };
        if place.is_some() {
            return Err(ApiError::invalid_argument(
                "FilterRule.Name",
                name.as_str(),
                "Cannot specify more than one prefix or suffix rule in a filter.",
            ));
        }
        *place = Some(value.unwrap_or_default());
    }
    let events =
        given.events.iter().map(|event| EventType::parse(event.as_ref())).collect::<Option<Vec<_>>>();
    let events = events.ok_or_else(|| {
        ApiError::invalid_argument("Event", "", "The event is not supported for notifications")
    })?;
    let id = given.id.filter(|id| !id.is_empty());
    Ok(NotificationRule {
        target: TargetArn::parse(&given.queue_arn).map_err(refused)?,
        id: id.unwrap_or_else(|| rule_id(at, &given.queue_arn)),
        events,
        prefix: prefix.filter(|prefix: &String| !prefix.is_empty()),
        suffix: suffix.filter(|suffix: &String| !suffix.is_empty()),
    })
}

/// The id of a rule that has none: the same whenever the same configuration is given.
pub(super) fn rule_id(at: usize, what: &str) -> String {
    hex::encode(&Sha256::digest(format!("{at}\0{what}"))[..16])
}

fn refused(error: RuleError) -> ApiError {
    match &error {
        RuleError::NoSuchTarget { arn } => ApiError::invalid_argument("QueueArn", arn, error.to_string()),
        RuleError::Arn { arn } => ApiError::invalid_argument("QueueArn", arn, error.to_string()),
        RuleError::UnknownEvent { event } => ApiError::invalid_argument("Event", event, error.to_string()),
        _ => ApiError::new(http::StatusCode::BAD_REQUEST, "InvalidArgument", error.to_string()),
    }
}
