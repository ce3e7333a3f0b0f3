//! `CreateBucket`.

use http::StatusCode;
use s3s::S3Response;
use s3s::dto::{
    BucketInfo, BucketLocationConstraint, CreateBucketConfiguration, CreateBucketInput, CreateBucketOutput,
    LocationInfo, ObjectOwnership, Tag,
};
use s3s::xml::{DeError, Deserializer};
use strongroom_objects::Tags;
use strongroom_objects::request::CreateBucket;

use super::bucket_settings::tagging;
use super::common::{grants_something, refuse_two_lists};
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(mut call: Call, input: CreateBucketInput) -> Answer<CreateBucketOutput> {
    let name = convert::bucket_name(&input.bucket)?;
    let canned = input.acl.as_ref().map(|acl| acl.as_str());
    check_canned(canned)?;
    refuse_two_lists(canned, &call.headers)?;
    if grants_something(canned, &call.headers) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    if let Some(ownership) = &input.object_ownership
        && ownership.as_str() != "BucketOwnerEnforced"
    {
        let known = [ObjectOwnership::BUCKET_OWNER_PREFERRED, ObjectOwnership::OBJECT_WRITER];
        return Err(match known.contains(&ownership.as_str()) {
            true => ApiError::not_implemented(
                "Object ownership other than BucketOwnerEnforced is not implemented.",
            ),
            false => ApiError::invalid_argument(
                "x-amz-object-ownership",
                ownership.as_str(),
                format!("Invalid x-amz-object-ownership header: {}", ownership.as_str()),
            ),
        });
    }
    let configuration = input.create_bucket_configuration;
    refuse_directories(configuration.as_ref())?;
    let constraint = configuration.and_then(|configuration| configuration.location_constraint);
    if let Some(constraint) = constraint {
        check_place(constraint.as_str(), call.region())?;
    }
    let settings = call.objects().new_bucket_settings();
    let request = CreateBucket { owner: call.identity()?.to_string(), settings };
    let tags = std::mem::take(&mut call.new_tags);
    match input.object_lock_enabled_for_bucket {
        Some(true) => call.objects().create_locked_bucket(&name, request, tags).await?,
        _ => call.objects().create_tagged_bucket(&name, request, tags).await?,
    };
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")) }))
}

/// Where a bucket shall be: here. An empty element names no place, as AWS's first region has none.
fn check_place(asked: &str, here: &str) -> Result<(), ApiError> {
    if asked.is_empty() || asked == here {
        return Ok(());
    }
    // `eu-west-1`, and the one name that is older than such names.
    let is_region = asked == "EU"
        || asked.matches('-').count() >= 2 && asked.ends_with(|last: char| last.is_ascii_digit());
    Err(match is_region {
        true => ApiError::new(
            StatusCode::BAD_REQUEST,
            "IllegalLocationConstraintException",
            format!(
                "The {asked} location constraint is incompatible for the region specific endpoint this request was sent to."
            ),
        ),
        false => ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidLocationConstraint",
            "The specified location-constraint is not valid",
        )
        .field("LocationConstraint", asked),
    })
}

/// Refuses the name of a list that there is not.
fn check_canned(acl: Option<&str>) -> Result<(), ApiError> {
    const CANNED: [&str; 8] = [
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
        "log-delivery-write",
    ];
    match acl {
        Some(acl) if !CANNED.contains(&acl) => Err(ApiError::invalid_argument("x-amz-acl", acl, "")),
        _ => Ok(()),
    }
}

/// Tags of a bucket that is to be made, which the gate reads before it decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewTags(pub(crate) Tags);

/// The tags in a `CreateBucketConfiguration`, which the library passes over. One that was not kept is refused, so that no tags are
/// dropped.
pub(crate) fn tags_of_document(document: Option<&[u8]>) -> Result<Tags, ApiError> {
    let document = document.ok_or_else(ApiError::malformed_xml)?;
    let mut reader = Deserializer::new(document);
    let mut tags = None;
    // What nobody knows, or knows under another name, must not be passed over.
    let unknown = || Err(DeError::UnexpectedTagName);
    let read = reader.named_element("CreateBucketConfiguration", |reader| {
        reader.for_each_element(|reader, name| match name {
            b"Tags" if tags.is_none() => {
                let list = tags.insert(Vec::new());
                reader.for_each_element(|reader, name| match name {
                    b"Tag" => reader.content::<Tag>().map(|tag| list.push(tag)),
                    _ => unknown(),
                })
            }
            b"Bucket" => reader.content::<BucketInfo>().map(drop),
            b"Location" => reader.content::<LocationInfo>().map(drop),
            b"LocationConstraint" => reader.content::<BucketLocationConstraint>().map(drop),
            _ => unknown(),
        })
    });
    read.map_err(|_| ApiError::malformed_xml())?;
    tagging::tags(tags.unwrap_or_default())
}

/// What of a configuration would be promised and not done.
fn refuse_directories(configuration: Option<&CreateBucketConfiguration>) -> Result<(), ApiError> {
    let Some(configuration) = configuration else { return Ok(()) };
    if configuration.bucket.is_some() || configuration.location.is_some() {
        return Err(ApiError::not_implemented("Directory buckets are not implemented."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_elsewhere_and_one_that_is_none_are_told_apart() {
        let told = |asked| check_place(asked, "us-east-1").map_err(|error| error.code.into_owned());
        for here in ["", "us-east-1"] {
            assert_eq!(told(here), Ok(()), "{here}");
        }
        for elsewhere in ["EU", "eu-west-1", "us-gov-west-1"] {
            assert_eq!(told(elsewhere), Err("IllegalLocationConstraintException".to_owned()), "{elsewhere}");
        }
        for nowhere in ["eu", "invalid", "us-east"] {
            assert_eq!(told(nowhere), Err("InvalidLocationConstraint".to_owned()), "{nowhere}");
        }
    }

    #[test]
    fn tags_of_a_new_bucket_are_read_or_refused_and_never_dropped() {
        let read = |inside: &str| {
            let text = format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>");
            tags_of_document(Some(text.as_bytes())).map_err(|error| error.code.into_owned())
        };
        let place = "<LocationConstraint>eu-west-1</LocationConstraint>";
        assert_eq!(read(place), Ok(vec![]));
        assert_eq!(read("<Tags/>"), Ok(vec![]));
        let tag = "<Tag><Key>a</Key><Value>b</Value></Tag>";
        assert_eq!(read(&format!("{place}<Tags>{tag}</Tags>")), Ok(vec![("a".to_owned(), "b".to_owned())]));
        for bad in [
            "<Tags><Tag><Key>a</Key></Tag></Tags>",
            "<Tags/><Tags/>",
            "<s:Tags/>",
            "<TagSet/>",
            "<Tags><Other/></Tags>",
        ] {
            assert_eq!(read(bad), Err("MalformedXML".to_owned()), "{bad}");
        }
        assert_eq!(tags_of_document(None).unwrap_err().code, "MalformedXML");
    }
}
