//! The bodies that webhooks get (`docs/spec/events.md` §7–8).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use strongroom_objects::Timestamp;
use strongroom_objects::events::{Event, EventKey};

/// A body: one record.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<T> {
    records: [T; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'a str,
    event_source: &'a str,
    aws_region: &'a str,
    event_time: String,
    event_name: &'a str,
    user_identity: Principal<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_parameters: Option<RequestParameters<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_elements: Option<ResponseElements<'a>>,
    s3: S3<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Principal<'a> {
    principal_id: &'a str,
}

#[derive(Serialize)]
struct RequestParameters<'a> {
    #[serde(rename = "sourceIPAddress")]
    source: &'a str,
}

#[derive(Serialize)]
struct ResponseElements<'a> {
    #[serde(rename = "x-amz-request-id")]
    request_id: &'a str,
    #[serde(rename = "x-amz-id-2")]
    host_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct S3<'a> {
    #[serde(rename = "s3SchemaVersion")]
    schema_version: &'a str,
    configuration_id: &'a str,
    bucket: Bucket<'a>,
    object: Object<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bucket<'a> {
    name: &'a str,
    owner_identity: Principal<'a>,
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    sequencer: String,
}

/// The body that tells of an object.
pub(super) fn of_object(event: &Event, key: EventKey, bucket: &str, owner: &str, region: &str) -> Vec<u8> {
    // What the store does by itself, such as lifecycle, AWS does under the name of its service.
    let principal = if event.principal.is_empty() { "s3.amazonaws.com" } else { &event.principal };
    let caused = !event.request_id.is_empty();
    json(&Body {
        records: [Record {
            event_version: event.kind.structure_version(),
            event_source: "aws:s3",
            aws_region: region,
            event_time: time(event.at),
            event_name: event.kind.name(),
            user_identity: Principal { principal_id: principal },
            // What comes through the server's own socket has no address.
            request_parameters: (!event.source.is_empty())
                .then_some(RequestParameters { source: &event.source }),
            response_elements: caused.then(|| ResponseElements {
                request_id: &event.request_id,
                host_id: STANDARD.encode(&event.request_id),
            }),
            s3: S3 {
                schema_version: "1.0",
                configuration_id: &event.rule,
                bucket: Bucket {
                    name: bucket,
                    owner_identity: Principal { principal_id: owner },
                    arn: format!("arn:aws:s3:::{bucket}"),
                },
                object: Object {
                    key: url_encoded(event.name.as_str()),
                    size: event.size,
                    e_tag: event.etag.as_deref(),
                    version_id: event.version.map(|version| version.to_string()),
                    sequencer: key.to_string(),
                },
            },
        }],
    })
}

/// One entry of the audit trail or of the changes of identities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditRecord<'a> {
    event_version: &'a str,
    event_source: &'a str,
    event_time: String,
    event_name: &'a str,
    user_identity: AuditPrincipal<'a>,
    subject: &'a str,
    detail: &'a str,
    sequencer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditPrincipal<'a> {
    principal_id: &'a str,
}

/// What an administrator did.
pub(super) struct Administration<'a> {
    pub(super) source: &'a str,
    pub(super) at: Timestamp,
    pub(super) name: &'a str,
    pub(super) by: &'a str,
    pub(super) subject: &'a str,
    pub(super) detail: &'a str,
    pub(super) seq: u64,
}

/// The body that tells of administration.
pub(super) fn of_administration(act: &Administration<'_>) -> Vec<u8> {
    json(&Body {
        records: [AuditRecord {
            event_version: "1.0",
            event_source: act.source,
            event_time: time(act.at),
            event_name: act.name,
            user_identity: AuditPrincipal { principal_id: act.by },
            subject: act.subject,
            detail: act.detail,
            sequencer: format!("{:016x}", act.seq),
        }],
    })
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("text and numbers have a JSON form")
}

/// `2026-01-02T03:04:05.678Z`
pub(crate) fn time(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}

/// A name as AWS writes it in events: as a form does, but for `/`, which stays.
fn url_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' | b'/' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use strongroom_objects::ObjectName;
    use strongroom_objects::events::EventKind;

    use super::*;

    #[test]
    fn names_are_encoded_as_aws_does() {
        assert_eq!(url_encoded("a/red flower+ü&=.jpg"), "a/red+flower%2B%C3%BC%26%3D.jpg");
    }

    #[test]
    fn bodies_have_the_structure_that_aws_documents() {
        let event = Event {
            kind: EventKind::CreatedPut,
            at: Timestamp(1_767_323_045_678),
            name: ObjectName::parse("in/red flower.jpg").unwrap(),
            version: None,
            size: Some(1024),
            etag: Some("abc".to_owned()),
            rule: "orders".to_owned(),
            principal: "root".to_owned(),
            source: "192.0.2.1".to_owned(),
            request_id: "RID".to_owned(),
        };
        let key = EventKey::dangerous_from_parts(3, 167);
        let body = of_object(&event, key, "b", "me", "eu-west-1");
        let expected = serde_json::json!({"Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "eu-west-1",
            "eventTime": "2026-01-02T03:04:05.678Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "root"},
            "requestParameters": {"sourceIPAddress": "192.0.2.1"},
            "responseElements": {"x-amz-request-id": "RID", "x-amz-id-2": "UklE"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "orders",
                "bucket": {"name": "b", "ownerIdentity": {"principalId": "me"}, "arn": "arn:aws:s3:::b"},
                "object": {
                    "key": "in/red+flower.jpg",
                    "size": 1024,
                    "eTag": "abc",
                    "sequencer": "0000000300000000000000a7",
                },
            },
        }]});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
        let lifecycle = Event {
            kind: EventKind::LifecycleDelete,
            size: None,
            etag: None,
            principal: String::new(),
            source: String::new(),
            request_id: String::new(),
            ..event
        };
        let body: serde_json::Value =
            serde_json::from_slice(&of_object(&lifecycle, key, "b", "me", "eu-west-1")).unwrap();
        let record = &body["Records"][0];
        assert_eq!(record["userIdentity"]["principalId"], "s3.amazonaws.com");
        assert_eq!(record["eventVersion"], "2.3");
        assert!(record.get("requestParameters").is_none() && record.get("responseElements").is_none());
        assert!(record["s3"]["object"].get("size").is_none());
    }
}
