//! Errors of the protocol library (routing, signatures, parsing), in AWS's words.

use std::borrow::Cow;

use http::StatusCode;
use strongroom_objects::OBJECT_NAME_LEN_MAX;

use super::{ApiError, messages};
use crate::convert::form_decoded;
use crate::wire::target::Target;

/// The error in a document that the library wrote. `target` is what the request is about, which AWS names in some of them.
pub(crate) fn from_library(
    status: StatusCode,
    document: &[u8],
    target: impl FnOnce() -> Option<Target>,
) -> ApiError {
    let text = std::str::from_utf8(document).unwrap_or_default();
    let code = element(text, "Code").unwrap_or_else(|| "InternalError".to_owned());
    let said = element(text, "Message").unwrap_or_default();
    if let Some(error) = of_parameter(&said) {
        return error;
    }
    let message: Cow<'static, str> = match sentence(&code) {
        Some(sentence) => sentence.into(),
        // The library reports what it cannot read with a 500; what it says may quote what it read.
        None if code == "InternalError" => messages::INTERNAL.into(),
        None => said.into(),
    };
    let error = ApiError::new(status, code, message);
    match error.code.as_ref() {
        "InvalidBucketName" => match target() {
            Some(target) => error.field("BucketName", target.bucket),
            None => error,
        },
        "KeyTooLongError" => match target().and_then(|target| target.key) {
            Some(key) => error.field("Size", key.len()).field("MaxSizeAllowed", OBJECT_NAME_LEN_MAX),
            None => error,
        },
        _ => error,
    }
}

/// What AWS says of a parameter or header that the library could not read, which says `invalid query: name: value`.
fn of_parameter(message: &str) -> Option<ApiError> {
    if message == "missing header: x-amz-object-attributes" {
        return Some(ApiError::invalid_request(messages::NO_ATTRIBUTES));
    }
    let (name, value) = match message.strip_prefix("invalid header: ") {
        Some(header) => header.split_once(": ").map(|(name, value)| (name, unquoted(value)))?,
        None => message
            .strip_prefix("invalid query: ")?
            .split_once(": ")
            .map(|(name, value)| (name, value.to_owned()))?,
    };
    let (told, why): (&str, Cow<'static, str>) = match name {
        "partNumber" => (name, messages::PART_NUMBER.into()),
        "max-buckets"
        | "max-keys"
        | "max-parts"
        | "max-uploads"
        | "part-number-marker"
        | "x-amz-max-parts"
        | "x-amz-part-number-marker" => {
            let name = name.strip_prefix("x-amz-").unwrap_or(name);
            (name, format!("Provided {name} not an integer or within integer range").into())
        }
        "x-amz-copy-source" => (name, copy_source_fault(&value).into()),
        "x-amz-object-lock-retain-until-date" => {
            (name, "The retain until date must be provided in ISO 8601 format".into())
        }
        _ => (name, message.to_owned().into()),
    };
    let error = ApiError::new(StatusCode::BAD_REQUEST, "InvalidArgument", why);
    Some(error.field("ArgumentName", told).field("ArgumentValue", value))
}

/// Text as the library quotes it.
fn unquoted(text: &str) -> String {
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    inside.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// What is wrong with a source that is none.
fn copy_source_fault(source: &str) -> &'static str {
    let path = source.split_once("?versionId=").map_or(source, |(path, _)| path);
    if form_decoded(path).is_none() {
        return messages::COPY_SOURCE_ENCODING;
    }
    match path.strip_prefix('/').unwrap_or(path).split_once('/') {
        Some((bucket, _)) if !bucket.is_empty() => messages::COPY_SOURCE_BUCKET,
        _ => messages::COPY_SOURCE_KEY,
    }
}

/// AWS's sentence for codes that have just one.
fn sentence(code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "SignatureDoesNotMatch" => messages::SIGNATURE,
        "RequestTimeTooSkewed" => messages::SKEWED,
        "InvalidBucketName" => "The specified bucket is not valid.",
        "KeyTooLongError" => "Your key is too long",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "MalformedXML" => messages::MALFORMED_XML,
        "MissingRequestBodyError" => "Request Body is empty",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "IncompleteBody" => "The request body terminated unexpectedly",
        "MethodNotAllowed" => messages::METHOD,
        _ => return None,
    })
}

/// The text of the first element with this name.
fn element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_of_the_library_are_kept_or_put_in_the_words_of_aws() {
        let error =
            from_library(StatusCode::FORBIDDEN, b"<Error><Code>InvalidAccessKeyId</Code></Error>", || None);
        assert_eq!(error.code, "InvalidAccessKeyId");
        assert!(error.message.contains("does not exist in our records"));

        let document = b"<Error><Code>InvalidArgument</Code><Message>a &lt; b &amp; c</Message></Error>";
        assert_eq!(from_library(StatusCode::BAD_REQUEST, document, || None).message, "a < b & c");
    }

    #[test]
    fn what_cannot_be_read_is_told_as_aws_does() {
        let told = |message: &str| {
            let document = format!("<Error><Code>InvalidArgument</Code><Message>{message}</Message></Error>");
            let error = from_library(StatusCode::BAD_REQUEST, document.as_bytes(), || None);
            let fields: Vec<String> = error.fields.iter().map(|(_, value)| value.clone()).collect();
            (error.message.into_owned(), fields.join("|"))
        };
        for (message, why, fields) in [
            ("invalid query: partNumber: x", messages::PART_NUMBER, "partNumber|x"),
            (
                "invalid query: max-keys: 1: 2",
                "Provided max-keys not an integer or within integer range",
                "max-keys|1: 2",
            ),
            (
                "invalid header: x-amz-max-parts: &quot;x&quot;",
                "Provided max-parts not an integer or within integer range",
                "max-parts|x",
            ),
            (
                "invalid header: x-amz-copy-source: &quot;a\\&quot;b&quot;",
                messages::COPY_SOURCE_KEY,
                "x-amz-copy-source|a\"b",
            ),
            (
                "invalid header: x-amz-object-lock-retain-until-date: &quot;noon&quot;",
                "The retain until date must be provided in ISO 8601 format",
                "x-amz-object-lock-retain-until-date|noon",
            ),
            ("invalid query: new: x", "invalid query: new: x", "new|x"),
            ("missing header: x-amz-object-attributes", messages::NO_ATTRIBUTES, ""),
            ("something else", "something else", ""),
        ] {
            assert_eq!(told(message), (why.to_owned(), fields.to_owned()), "{message}");
        }
    }

    #[test]
    fn source_of_a_copy_is_told_by_what_is_wrong_with_it() {
        for (source, why) in [
            ("100%/a/b", messages::COPY_SOURCE_ENCODING),
            ("%", messages::COPY_SOURCE_ENCODING),
            ("bucket/%C3%", messages::COPY_SOURCE_ENCODING),
            ("bucket/%ZZ?versionId=null", messages::COPY_SOURCE_ENCODING),
            ("bucket/%C3", messages::COPY_SOURCE_ENCODING),
            ("192.168.1.1/a", messages::COPY_SOURCE_BUCKET),
            ("/my-buc@k&()t/a", messages::COPY_SOURCE_BUCKET),
            ("bucket", messages::COPY_SOURCE_KEY),
            ("/", messages::COPY_SOURCE_KEY),
        ] {
            assert_eq!(copy_source_fault(source), why, "{source}");
        }
    }

    #[test]
    fn internal_error_of_the_library_says_nothing_of_its_cause() {
        let document = b"<Error><Code>InternalError</Code><Message>/var/lib/x</Message></Error>";
        assert_eq!(
            from_library(StatusCode::INTERNAL_SERVER_ERROR, document, || None).message,
            messages::INTERNAL
        );
        assert_eq!(from_library(StatusCode::INTERNAL_SERVER_ERROR, b"", || None).code, "InternalError");
    }
}
