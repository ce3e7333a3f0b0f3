//! The namespace of S3's documents, which the protocol library leaves out of some of its answers.
//!
//! Clients that read by namespace find nothing in a document without one.

use bytes::Bytes;

/// Operations whose answers it leaves it out of (AWS S3 API reference, their examples).
const LEFT_OUT: [&str; 9] = [
    "CopyObject",
    "GetBucketEncryption",
    "GetBucketOwnershipControls",
    "GetBucketPolicyStatus",
    "GetObjectLegalHold",
    "GetObjectLockConfiguration",
    "GetObjectRetention",
    "GetPublicAccessBlock",
    "UploadPartCopy",
];
const NAMESPACE: &str = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// The document of this operation's answer with its namespace; nothing if it has one already or none of its own.
pub(super) fn added(operation: &str, document: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
    if !LEFT_OUT.contains(&operation) {
        return None;
    }
    let document = document()?;
    let text = std::str::from_utf8(&document).ok()?;
    // Behind the name of the first element that is no declaration.
    let root = text.match_indices('<').map(|(at, _)| at + 1).find(|at| !text[*at..].starts_with('?'))?;
    let end = root + text[root..].find(['>', '/', ' '])?;
    if text[end..].starts_with(' ') {
        return None;
    }
    Some([&text[..end], NAMESPACE, &text[end..]].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documents_without_a_namespace_get_one() {
        let added = |operation, text: &'static str| {
            let with = added(operation, || Some(Bytes::from_static(text.as_bytes())));
            with.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        let root = format!("<Retention{NAMESPACE}");
        for rest in ["><Mode>x</Mode></Retention>", "/>"] {
            let document = format!("<?xml version=\"1.0\"?><Retention{rest}").leak();
            let expected = format!("<?xml version=\"1.0\"?>{root}{rest}");
            assert_eq!(added("GetObjectRetention", document), Some(expected));
        }
        assert_eq!(added("GetObjectRetention", "<Retention xmlns=\"x\"/>"), None);
        assert_eq!(added("GetObjectRetention", ""), None);
        assert_eq!(added("GetObject", "<Retention/>"), None);
    }
}
