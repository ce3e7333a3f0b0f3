//! Documents that the library writes otherwise than AWS does.

use std::io::Write;

use s3s::dto::GetObjectAttributesOutput;
use s3s::xml::{SerResult, SerializeContent, Serializer};

use crate::error::ApiError;
use crate::face::OwnDocument;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The answer of `GetObjectAttributes`.
pub(super) fn attributes(output: &GetObjectAttributesOutput) -> Result<OwnDocument, ApiError> {
    let mut text = Vec::with_capacity(256);
    let mut writer = Serializer::new(&mut text);
    let content = Attributes(output);
    let written = writer
        .decl()
        .and_then(|()| writer.content_with_ns("GetObjectAttributesResponse", NAMESPACE, &content));
    written.map_err(|_| ApiError::internal())?;
    Ok(OwnDocument(text.into()))
}

/// What is known of an object. Here alone AWS writes the entity tag without its quotes, so applications compare it
/// with what they have without quotes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html>).
struct Attributes<'a>(&'a GetObjectAttributesOutput);

impl SerializeContent for Attributes<'_> {
    fn serialize_content<W: Write>(&self, writer: &mut Serializer<W>) -> SerResult {
        let known = self.0;
        if let Some(etag) = &known.e_tag {
            writer.content("ETag", etag.value())?;
        }
        if let Some(checksum) = &known.checksum {
            writer.content("Checksum", checksum)?;
        }
        if let Some(parts) = &known.object_parts {
            writer.content("ObjectParts", parts)?;
        }
        if let Some(class) = &known.storage_class {
            writer.content("StorageClass", class)?;
        }
        if let Some(size) = &known.object_size {
            writer.content("ObjectSize", size)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;

    use super::*;

    fn text(document: OwnDocument) -> String {
        String::from_utf8(document.0.to_vec()).unwrap()
    }

    #[test]
    fn entity_tag_among_attributes_has_no_quotes() {
        let output = GetObjectAttributesOutput {
            e_tag: Some(ETag::Strong("a-2".to_owned())),
            object_size: Some(7),
            ..GetObjectAttributesOutput::default()
        };
        let document = text(attributes(&output).unwrap());
        assert!(document.contains("<ETag>a-2</ETag><ObjectSize>7</ObjectSize>"), "{document}");
    }
}
