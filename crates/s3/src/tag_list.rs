//! Lists of entity tags, which reads may compare with (RFC 9110, sections 13.1.1 and 13.1.2; AWS takes them for reads alone).
//!
//! The protocol library knows one tag. So a list is given to it as one, with a sign between those in it that no tag of an object has,
//! and is taken apart where the condition is read.

use http::HeaderValue;
use http::header::GetAll;

/// The library takes it for a part of a tag, and nobody made a tag with it.
const BETWEEN: char = '\t';

/// The list in these lines as one tag. `weak_too`: whether weak tags are compared (section 8.8.3.2). What is no tag is left out, and a
/// list without any is a tag that nobody made.
pub(crate) fn one_of(lines: GetAll<'_, HeaderValue>, weak_too: bool) -> HeaderValue {
    let mut tags = Vec::new();
    for line in lines {
        let mut rest = line.to_str().unwrap_or_default();
        while let Some((tag, behind)) = next(rest) {
            rest = behind;
            match tag {
                Tag::Any => return HeaderValue::from_static("*"),
                Tag::Weak(_) if !weak_too => {}
                Tag::Weak(tag) | Tag::Strong(tag) if !tag.is_empty() => tags.push(tag),
                _ => {}
            }
        }
    }
    let list = tags.join(&BETWEEN.to_string());
    HeaderValue::from_str(&format!("\"{list}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The tags of what the library read.
pub(crate) fn apart(tag: &str) -> Vec<String> {
    tag.split(BETWEEN).map(str::to_owned).collect()
}

enum Tag<'a> {
    Any,
    Strong(&'a str),
    Weak(&'a str),
}

/// The first tag of a list, and what is behind it. AWS takes tags without quotes too.
fn next(list: &str) -> Option<(Tag<'_>, &str)> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    let quoted = |text: &'static str| list.strip_prefix(text).and_then(|rest| rest.split_once('"'));
    if list.is_empty() {
        return None;
    }
    if let Some((tag, rest)) = quoted("W/\"") {
        return Some((Tag::Weak(tag), rest));
    }
    if let Some((tag, rest)) = quoted("\"") {
        return Some((Tag::Strong(tag), rest));
    }
    let (tag, rest) = list.split_once(',').unwrap_or((list, ""));
    match tag.trim() {
        "*" => Some((Tag::Any, rest)),
        tag if tag.contains('"') => Some((Tag::Strong(""), rest)),
        tag => Some((Tag::Strong(tag), rest)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::IF_MATCH;
    use s3s::dto::{ETag, ETagCondition};

    use super::*;

    fn read(lines: &[&'static str], weak_too: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_static(line));
        }
        let one = one_of(headers.get_all(IF_MATCH), weak_too);
        match ETagCondition::parse_http_header(one.as_bytes()) {
            Ok(ETagCondition::ETag(ETag::Strong(tag))) => apart(&tag),
            Ok(ETagCondition::Any) => vec!["*".to_owned()],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_tag_of_a_list_is_read() {
        for lines in [
            &["\"a\", \"b-2\""][..],
            &["\"a\",\"b-2\""],
            &[" , \"a\" ,\t\"b-2\","],
            &["a, b-2"],
            &["a,\"b-2\""],
            &["\"a\"", "\"b-2\""],
            &["W/\"a\", \"b-2\""],
        ] {
            assert_eq!(read(lines, true), ["a", "b-2"], "{lines:?}");
        }
        assert_eq!(read(&["W/\"a\", \"b-2\""], false), ["b-2"]);
        assert_eq!(read(&["\"a\", *"], false), ["*"]);
        assert_eq!(read(&["\"a,b\", \"c\""], false), ["a,b", "c"]);
    }

    #[test]
    fn list_without_a_tag_is_a_tag_that_nobody_made() {
        for line in ["\"half", "W/x\"", ",", "\"\",\"\""] {
            assert_eq!(read(&[line], true), [""], "{line}");
        }
        assert_eq!(read(&["W/\"a\",W/\"b\""], false), [""]);
    }
}
