//! `GetObjectAttributes`.

use std::collections::BTreeSet;

use http::HeaderMap;
use s3s::dto::{
    GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts, ObjectPart, StorageClass,
};
use s3s::xml::SerializeContent;
use strongroom_objects::ChecksumKind;
use strongroom_objects::request::GetRequest;

use super::take::customer_headers;
use crate::checksum::{Others, answer_checksums, value_out, values_out};
use crate::checksum_document;
use crate::convert;
use crate::error::{ApiError, messages};
use crate::face::{Answer, Call, OwnDocument};
use crate::sse::{self, Use};

const ATTRIBUTES: &str = "x-amz-object-attributes";
const KNOWN: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

pub(crate) async fn run(call: Call, input: GetObjectAttributesInput) -> Answer<GetObjectAttributesOutput> {
    sse::refuse_method(&call.headers)?;
    let asked = asked(&call.headers)?;
    let customer = customer_headers!(input);
    let mut request = GetRequest::new(convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    request.version = convert::version_in(input.version_id.as_deref())?;
    request.customer_key = sse::customer_key(customer, call.channel(), Use::Read)?;
    let page = convert::page_size("max-parts", input.max_parts)?;
    let after = input.part_number_marker.unwrap_or(0);

    let named = (request.bucket.clone(), request.name.clone());
    let found = call.objects().attributes(request).await?;
    let info = found.info;
    call.authorise_found(&info.meta.tags)?;
    let has = |name: &str| asked.contains(name);
    let composite = info.checksums.first().is_some_and(|checksum| checksum.kind == ChecksumKind::Composite);
    // Checksums say something of the content, so they are for those alone who may read it.
    if has("Checksum") || (has("ObjectParts") && composite) {
        call.authorise_read(&named.0, &named.1, &info.sse)?;
    }
    let mut others_of_parts = Vec::new();
    let object_parts = info.parts.filter(|_| has("ObjectParts")).map(|count| {
        let mut parts =
            GetObjectAttributesParts { total_parts_count: Some(count.into()), ..Default::default() };
        // As on AWS, parts are named only where their checksums mean something for the object.
        if composite {
            let all = found.parts.iter().filter(|(part, ..)| i32::from(part.number()) > after);
            let mut listed: Vec<ObjectPart> = all
                .take(page as usize + 1)
                .map(|(part, size, checksum)| {
                    let mut out = ObjectPart {
                        part_number: Some(part.number().into()),
                        size: Some(convert::size_out(*size)),
                        ..ObjectPart::default()
                    };
                    others_of_parts.push(answer_checksums!(out, value_out(checksum.as_ref())));
                    out
                })
                .collect();
            let truncated = listed.len() > page as usize;
            listed.truncate(page as usize);
            parts.is_truncated = Some(truncated);
            parts.max_parts = i32::try_from(page).ok();
            parts.part_number_marker = Some(after);
            parts.next_part_number_marker =
                Some(listed.last().and_then(|part| part.part_number).unwrap_or(0));
            parts.parts = Some(listed);
        }
        parts
    });
    // Here the value of a composite checksum has no number of parts behind it, as on AWS.
    let values = (has("Checksum") && !info.checksums.is_empty()).then(|| values_out(&info.checksums));
    let (checksum, others) = values.map(|values| (values.known, values.others)).unzip();
    let others = others.unwrap_or_default();
    let mut output = GetObjectAttributesOutput {
        checksum,
        e_tag: has("ETag").then(|| convert::etag_out(&info.etag)),
        last_modified: Some(convert::time_out(info.mtime)),
        object_parts,
        object_size: has("ObjectSize").then(|| convert::size_out(info.size)),
        storage_class: has("StorageClass").then(|| match info.meta.system.storage_class {
            Some(class) => StorageClass::from(class),
            None => StorageClass::from_static(StorageClass::STANDARD),
        }),
        version_id: convert::version_out(info.version),
        ..GetObjectAttributesOutput::default()
    };
    let own = document(&mut output, &others, &others_of_parts);
    Ok(checksum_document::answer(output, Some(own)))
}

/// The attributes, which are taken out of the answer, with the checksums that the library has no places for. Here alone AWS writes the
/// entity tag without its quotes, so applications compare it with what they have without quotes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html>).
fn document(output: &mut GetObjectAttributesOutput, others: &Others, of_parts: &[Others]) -> OwnDocument {
    let (etag, checksum) = (output.e_tag.take(), output.checksum.take());
    let mut object_parts = output.object_parts.take();
    let parts = object_parts.as_mut().and_then(|object_parts| object_parts.parts.take());
    checksum_document::document("GetObjectAttributesResponse", |out| {
        if let Some(etag) = &etag {
            out.content("ETag", etag.value())?;
        }
        output.serialize_content(out)?;
        if let Some(checksum) = &checksum {
            out.element("Checksum", |out| {
                checksum.serialize_content(out)?;
                others.write(out)
            })?;
        }
        let Some(object_parts) = &object_parts else { return Ok(()) };
        out.element("ObjectParts", |out| {
            object_parts.serialize_content(out)?;
            for (part, others) in parts.iter().flatten().zip(of_parts) {
                out.element("Part", |out| {
                    part.serialize_content(out)?;
                    others.write(out)
                })?;
            }
            Ok(())
        })
    })
}

/// The attributes that are asked for: a list in one header or several.
fn asked(headers: &HeaderMap) -> Result<BTreeSet<&str>, ApiError> {
    let mut asked = BTreeSet::new();
    for value in headers.get_all(ATTRIBUTES) {
        for name in
            value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty())
        {
            if !KNOWN.contains(&name) {
                return Err(ApiError::invalid_argument(
                    ATTRIBUTES,
                    name,
                    "Invalid attribute name specified.",
                ));
            }
            asked.insert(name);
        }
    }
    if asked.is_empty() {
        return Err(ApiError::invalid_request(messages::NO_ATTRIBUTES));
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn attributes_come_in_one_header_or_several() {
        let mut headers = HeaderMap::new();
        assert_eq!(asked(&headers).unwrap_err().code, "InvalidRequest");
        headers.append(ATTRIBUTES, HeaderValue::from_static("ETag, ObjectSize"));
        headers.append(ATTRIBUTES, HeaderValue::from_static("Checksum"));
        assert_eq!(asked(&headers).unwrap(), BTreeSet::from(["Checksum", "ETag", "ObjectSize"]));
        headers.append(ATTRIBUTES, HeaderValue::from_static("Colour"));
        assert_eq!(asked(&headers).unwrap_err().code, "InvalidArgument");
    }
}
