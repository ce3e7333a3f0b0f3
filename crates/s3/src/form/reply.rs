//! What a form is answered.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::fields::Form;
use super::put::{Target, path_encoded};
use crate::error::{DECLARATION, element};

/// How the one who sent the form wants to be answered.
#[derive(Debug)]
pub(crate) struct Reply {
    wanted: Wanted,
    bucket: String,
    key: String,
    location: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A status without a document.
    Empty(StatusCode),
    /// 201 and a document.
    Document,
    /// The browser goes there.
    Redirect(String),
}

/// An answer: status, headers, document.
type Answered = (StatusCode, HeaderMap, Option<String>);

impl Reply {
    pub(super) fn of(form: &Form, target: &Target, secure: bool, headers: &HeaderMap) -> Self {
        let redirect = form.field("success_action_redirect").or_else(|| form.field("redirect"));
        let wanted = match (redirect.filter(|to| is_web_address(to)), form.field("success_action_status")) {
            (Some(to), _) => Wanted::Redirect(to.to_owned()),
            (None, Some("201")) => Wanted::Document,
            (None, Some("200")) => Wanted::Empty(StatusCode::OK),
            (None, _) => Wanted::Empty(StatusCode::NO_CONTENT),
        };
        let key = form.field("key").unwrap_or_default().to_owned();
        let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let location = format!("{}://{host}{}", if secure { "https" } else { "http" }, target.path(&key));
        Self { wanted, bucket: target.bucket().to_owned(), key, location }
    }

    /// The answer to a form whose object is stored, from the headers of the put.
    pub(crate) fn answer(self, stored: &HeaderMap) -> Answered {
        let mut headers = HeaderMap::new();
        for (name, value) in stored {
            if *name == ETAG || name.as_str().starts_with("x-amz-") {
                headers.insert(name.clone(), value.clone());
            }
        }
        let etag = stored.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let put = |headers: &mut HeaderMap, name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        match self.wanted {
            Wanted::Empty(status) => {
                put(&mut headers, LOCATION, &self.location);
                if status == StatusCode::OK {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                (status, headers, None)
            }
            Wanted::Document => {
                put(&mut headers, LOCATION, &self.location);
                let mut text = format!("{DECLARATION}<PostResponse>");
                element(&mut text, "Location", &self.location);
                element(&mut text, "Bucket", &self.bucket);
                element(&mut text, "Key", &self.key);
                element(&mut text, "ETag", etag);
                text.push_str("</PostResponse>");
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
                (StatusCode::CREATED, headers, Some(text))
            }
            Wanted::Redirect(to) => {
                let encoded = |text: &str| path_encoded(text).replace('/', "%2F");
                let to = format!(
                    "{to}{}bucket={}&key={}&etag={}",
                    if to.contains('?') { '&' } else { '?' },
                    encoded(&self.bucket),
                    encoded(&self.key),
                    encoded(etag)
                );
                put(&mut headers, LOCATION, &to);
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                (StatusCode::SEE_OTHER, headers, None)
            }
        }
    }
}

/// What cannot be a page is ignored, as AWS does.
fn is_web_address(text: &str) -> bool {
    let uri = text.parse::<Uri>().ok();
    uri.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")))
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::form;
    use super::*;

    async fn answered(fields: &[(&str, &str)]) -> (u16, Option<String>, Option<String>) {
        let host = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("h:9000"))]);
        let mut all = vec![("key", "a&b")];
        all.extend_from_slice(fields);
        let target = Target::of(&"/bucket".parse().unwrap(), &host, &[]).unwrap();
        let reply = Reply::of(&form(&all).await, &target, false, &host);
        let stored = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("\"e\""))]);
        let (status, headers, text) = reply.answer(&stored);
        assert_eq!(headers[ETAG], "\"e\"");
        (status.as_u16(), headers.get(LOCATION).map(|value| value.to_str().unwrap().to_owned()), text)
    }

    #[tokio::test]
    async fn answer_is_what_the_form_asks_for() {
        let location = Some("http://h:9000/bucket/a%26b".to_owned());
        assert_eq!(answered(&[]).await, (204, location.clone(), None));
        assert_eq!(answered(&[("success_action_status", "418")]).await.0, 204);
        assert_eq!(answered(&[("success_action_status", "200")]).await.0, 200);
        let (status, found, text) = answered(&[("success_action_status", "201")]).await;
        assert_eq!((status, found), (201, location));
        assert!(text.unwrap().ends_with(
            "<PostResponse><Location>http://h:9000/bucket/a%26b</Location><Bucket>bucket</Bucket><Key>a&amp;b</Key>\
             <ETag>&quot;e&quot;</ETag></PostResponse>"
        ));
        let (status, found, _) = answered(&[("success_action_redirect", "https://x.example/done?a=1")]).await;
        assert_eq!(status, 303);
        assert_eq!(found.unwrap(), "https://x.example/done?a=1&bucket=bucket&key=a%26b&etag=%22e%22");
        assert_eq!(answered(&[("redirect", "javascript:alert(1)")]).await.0, 204);
    }
}
