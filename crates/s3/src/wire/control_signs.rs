//! Control signs in documents that the library wrote.
//!
//! Names of objects may have them. The library writes them as they are, and a parser reads a carriage return as the end of a line
//! (XML 1.0, section 2.11): it would find another name, and whoever then deletes what was listed another object. AWS
//! writes references
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>, "XML related object key constraints").

use bytes::Bytes;

/// The document with references in place of such signs, if it has any. Ends of lines and tabs may stand as they are.
pub(super) fn referenced(document: &[u8]) -> Option<Bytes> {
    let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\n' | b'\t');
    if !document.iter().any(is_control) {
        return None;
    }
    let mut out = Vec::with_capacity(document.len() + 64);
    for byte in document {
        match byte {
            b'\r' => out.extend_from_slice(b"&#13;"),
            byte if is_control(byte) => out.extend_from_slice(format!("&#x{byte:x};").as_bytes()),
            byte => out.push(*byte),
        }
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_signs_are_written_as_references() {
        assert_eq!(
            referenced("<Key>a\rb\u{1}c\n\u{1f}</Key>".as_bytes()).unwrap(),
            "<Key>a&#13;b&#x1;c\n&#x1f;</Key>"
        );
        assert_eq!(referenced("<Key>\u{fc}\t\n\u{7f}</Key>".as_bytes()), None);
    }
}
