//! Errors of the protocol library (routing, signatures, parsing), in AWS's words.

use std::borrow::Cow;

use http::StatusCode;

use super::{ApiError, messages};

/// The error in a document that the library wrote.
pub(crate) fn from_library(status: StatusCode, document: &[u8]) -> ApiError {
    let text = std::str::from_utf8(document).unwrap_or_default();
    let code = element(text, "Code").unwrap_or_else(|| "InternalError".to_owned());
    let message: Cow<'static, str> = match sentence(&code) {
        Some(sentence) => sentence.into(),
        // The library reports what it cannot read with a 500; what it says may quote what it read.
        None if code == "InternalError" => messages::INTERNAL.into(),
        None => element(text, "Message").unwrap_or_default().into(),
    };
    ApiError::new(status, code, message)
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
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
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
        let error = from_library(StatusCode::FORBIDDEN, b"<Error><Code>InvalidAccessKeyId</Code></Error>");
        assert_eq!(error.code, "InvalidAccessKeyId");
        assert!(error.message.contains("does not exist in our records"));

        let document = b"<Error><Code>InvalidArgument</Code><Message>a &lt; b &amp; c</Message></Error>";
        assert_eq!(from_library(StatusCode::BAD_REQUEST, document).message, "a < b & c");
    }

    #[test]
    fn internal_error_of_the_library_says_nothing_of_its_cause() {
        let document = b"<Error><Code>InternalError</Code><Message>/var/lib/x</Message></Error>";
        assert_eq!(from_library(StatusCode::INTERNAL_SERVER_ERROR, document).message, messages::INTERNAL);
        assert_eq!(from_library(StatusCode::INTERNAL_SERVER_ERROR, b"").code, "InternalError");
    }
}
