//! `ListParts`.

use s3s::dto::{Initiator, ListPartsInput, ListPartsOutput, Part, StorageClass};
use s3s::xml::SerializeContent;
use strongroom_objects::request::ListParts;

use super::bucket_settings::lifecycle::abortion;
use super::common::owner;
use crate::checksum::{self, Others, answer_checksums, value_out};
use crate::checksum_document;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call, OwnDocument};

pub(crate) async fn run(call: Call, input: ListPartsInput) -> Answer<ListPartsOutput> {
    let max = convert::page_size("max-parts", input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or(0);
    if marker < 0 {
        return Err(ApiError::invalid_argument(
            "part-number-marker",
            marker,
            "Argument part-number-marker must be an integer between 0 and 2147483647",
        ));
    }
    // No part comes after a marker that is larger than any number of a part.
    let after = u16::try_from(marker).unwrap_or(u16::MAX);
    let bucket = convert::bucket_name(&input.bucket)?;
    let request = ListParts {
        name: convert::object_name(input.key.clone())?,
        upload: call.upload_id(&bucket, &input.upload_id).await?,
        bucket,
        after,
        max,
    };
    let (bucket, name, upload) = (request.bucket.clone(), request.name.clone(), request.upload);
    let page = call.objects().list_parts(request).await?;
    let (abort_date, abort_rule_id) = abortion(&call, &bucket, &name, upload).unzip();
    let (parts, others): (Vec<Part>, Vec<Others>) = page
        .parts
        .iter()
        .map(|part| {
            let mut out = Part {
                e_tag: Some(convert::etag_out(&part.etag)),
                last_modified: Some(convert::time_out(part.mtime)),
                part_number: Some(part.part.number().into()),
                size: Some(convert::size_out(part.size)),
                ..Part::default()
            };
            let others = answer_checksums!(out, value_out(part.checksum.as_ref()));
            (out, others)
        })
        .unzip();
    let owner = owner();
    let mut output = ListPartsOutput {
        abort_date,
        abort_rule_id,
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        initiator: Some(Initiator { display_name: owner.display_name.clone(), id: owner.id.clone() }),
        owner: Some(owner),
        storage_class: Some(match page.storage_class {
            Some(class) => StorageClass::from(class),
            None => StorageClass::from_static(StorageClass::STANDARD),
        }),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(page.next.into()),
        max_parts: i32::try_from(max).ok(),
        is_truncated: Some(page.truncated),
        parts: Some(parts),
        checksum_algorithm: page.checksum.map(|(algorithm, _)| checksum::algorithm_out(algorithm)),
        checksum_type: page.checksum.map(|(_, kind)| checksum::kind_out(kind)),
        ..ListPartsOutput::default()
    };
    let own = others.iter().any(|others| !others.is_empty()).then(|| document(&mut output, &others));
    Ok(checksum_document::answer(output, own))
}

/// The list, with the checksums of its parts that the library has no places for. The parts are taken out of the answer.
fn document(output: &mut ListPartsOutput, others: &[Others]) -> OwnDocument {
    let parts = output.parts.take().unwrap_or_default();
    checksum_document::document("ListPartsResult", |out| {
        output.serialize_content(out)?;
        for (part, others) in parts.iter().zip(others) {
            out.element("Part", |out| {
                part.serialize_content(out)?;
                others.write(out)
            })?;
        }
        Ok(())
    })
}
