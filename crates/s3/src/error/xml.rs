//! The error document.

use super::ApiError;

/// The XML declaration that every document of S3 starts with.
pub(crate) const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The document, without the declaration.
pub(crate) fn document(error: &ApiError, request_id: &str, host_id: &str) -> String {
    let mut out = String::with_capacity(256 + error.message.len());
    out.push_str("<Error>");
    element(&mut out, "Code", &error.code);
    element(&mut out, "Message", &error.message);
    for (name, value) in &error.fields {
        element(&mut out, name, value);
    }
    element(&mut out, "RequestId", request_id);
    element(&mut out, "HostId", host_id);
    out.push_str("</Error>");
    out
}

/// An element with text in it.
pub(crate) fn element(out: &mut String, name: &str, text: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    escape(text, out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// Text as it stands in an element.
pub(crate) fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            // XML 1.0 has no way to write these at all.
            c if c < ' ' && c != '\t' && c != '\n' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_escapes_what_a_client_sent() {
        let error = ApiError::invalid_argument("x", "<&\u{1}\"\r>", "no");
        assert_eq!(
            document(&error, "ID", "HOST"),
            "<Error><Code>InvalidArgument</Code><Message>no</Message><ArgumentName>x</ArgumentName>\
             <ArgumentValue>&lt;&amp;\u{FFFD}&quot;&#13;&gt;</ArgumentValue><RequestId>ID</RequestId>\
             <HostId>HOST</HostId></Error>"
        );
    }
}
