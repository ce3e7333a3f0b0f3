//! Cross-origin requests: the rules of a bucket, and what browsers are told of them.
//!
//! AWS S3 User Guide, "Using cross-origin resource sharing (CORS)"; Fetch standard, "CORS protocol". Rules say what a browser lets a page see.
//! They give nobody access: an answer with these headers is otherwise the one that it would be without.

pub(crate) mod preflight;

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde::{Deserialize, Serialize};
use strongroom_objects::{BucketName, DocumentKind, Objects};

use crate::host::bucket_in;

/// Rules of one bucket at most (AWS).
pub(crate) const RULES_MAX: usize = 100;
const ID_CHARS_MAX: usize = 255;

/// The cross-origin rules of a bucket. Its JSON is the document that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorsConfig {
    /// The rules; the first that fits counts.
    pub(crate) rules: Vec<CorsRule>,
}

/// Who may do what from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorsRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Origins, with at most one `*` each.
    pub(crate) origins: Vec<String>,
    pub(crate) methods: Vec<CorsMethod>,
    /// Headers that a request may have, with at most one `*` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<String>,
    /// Headers that a page may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) expose: Vec<String>,
    /// How long a browser may remember a preflight, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_seconds: Option<u32>,
}

/// Methods that rules can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum CorsMethod {
    Get,
    Put,
    Head,
    Post,
    Delete,
}

impl CorsMethod {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Get, Self::Put, Self::Head, Self::Post, Self::Delete]
            .into_iter()
            .find(|method| method.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Why rules are refused; the words are AWS's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CorsFault {
    #[error("the configuration is not complete")]
    Incomplete,
    #[error("The number of CORS rules should not exceed allowed limit of {RULES_MAX} rules.")]
    TooMany,
    #[error("AllowedOrigin \"{0}\" can not have more than one wildcard.")]
    Origin(String),
    #[error("AllowedHeader \"{0}\" can not have more than one wildcard.")]
    Header(String),
    #[error("ExposeHeader \"{0}\" contains wildcard. We currently do not support wildcard for ExposeHeader.")]
    Expose(String),
    #[error("ID length should not exceed allowed limit of 255")]
    Id,
    #[error("{element} \"{text}\" contains invalid character.")]
    Character { element: &'static str, text: String },
}

/// Whether it is the name of a header, perhaps with a wildcard, which may stand in one.
pub(crate) fn is_header_name(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

impl CorsConfig {
    pub(crate) fn check(&self) -> Result<(), CorsFault> {
        if self.rules.is_empty() {
            return Err(CorsFault::Incomplete);
        }
        if self.rules.len() > RULES_MAX {
            return Err(CorsFault::TooMany);
        }
        let wild = |text: &&String| text.matches('*').count() > 1;
        for rule in &self.rules {
            if rule.origins.is_empty() || rule.methods.is_empty() {
                return Err(CorsFault::Incomplete);
            }
            if rule.id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARS_MAX) {
                return Err(CorsFault::Id);
            }
            if let Some(origin) = rule.origins.iter().find(wild) {
                return Err(CorsFault::Origin(origin.clone()));
            }
            if let Some(header) = rule.headers.iter().find(wild) {
                return Err(CorsFault::Header(header.clone()));
            }
            if let Some(header) = rule.expose.iter().find(|header| header.contains('*')) {
                return Err(CorsFault::Expose(header.clone()));
            }
            // They come back as headers, or are compared with some.
            // An empty one fits no header, and does no harm.
            let asked = rule.headers.iter().filter(|header| !header.is_empty());
            let asked = asked.map(|header| ("AllowedHeader", header));
            let shown = rule.expose.iter().map(|header| ("ExposeHeader", header));
            if let Some((element, text)) = asked.chain(shown).find(|(_, header)| !is_header_name(header)) {
                return Err(CorsFault::Character { element, text: text.clone() });
            }
        }
        Ok(())
    }

    /// The first rule that allows a method to an origin.
    fn rule_for(&self, origin: &str, method: CorsMethod) -> Option<&CorsRule> {
        self.rules.iter().find(|rule| rule.allows(origin, method))
    }
}

impl CorsRule {
    fn allows(&self, origin: &str, method: CorsMethod) -> bool {
        self.methods.contains(&method) && self.origins.iter().any(|allowed| fits(allowed, origin))
    }

    /// Whether a request may have this header.
    fn takes(&self, header: &str) -> bool {
        let header = header.to_ascii_lowercase();
        self.headers.iter().any(|allowed| fits(&allowed.to_ascii_lowercase(), &header))
    }

    /// What an answer says that an origin may see. `*` only where the rule means everybody, and then without credentials: a page that sends
    /// some must be named.
    fn headers(&self, origin: &HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.origins.iter().any(|allowed| allowed == "*") {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let methods: Vec<_> = self.methods.iter().map(|method| method.name()).collect();
        put(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, &methods.join(", "));
        if !self.expose.is_empty() {
            put(&mut headers, ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose.join(", "));
        }
        if let Some(seconds) = self.max_age_seconds {
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
        headers
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Whether a pattern with at most one `*` means a text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
        }
        None => pattern == text,
    }
}

/// The rules of all buckets, asked before requests are understood any further.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    objects: Objects,
    domains: Arc<[String]>,
}

impl Cors {
    pub(crate) fn new(objects: Objects, domains: &[String]) -> Self {
        Self { objects, domains: domains.into() }
    }

    /// What the answer to a request has beside its own headers.
    pub(crate) fn headers(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> HeaderMap {
        let found = self.bucket(uri, headers).and_then(|bucket| self.config(&bucket));
        let Some(config) = found else { return HeaderMap::new() };
        let origin = headers.get(ORIGIN);
        let allowed = origin.and_then(|origin| {
            let rule = config.rule_for(origin.to_str().ok()?, CorsMethod::parse(method.as_str())?)?;
            Some(rule.headers(origin))
        });
        let mut answer = allowed.unwrap_or_default();
        // Also where nothing is allowed: a cache must not hand that answer to an origin that may see it.
        answer.insert(VARY, VARIES);
        answer
    }

    fn config(&self, bucket: &BucketName) -> Option<Arc<CorsConfig>> {
        // A document that cannot be read allows nothing; whoever asks for it is told.
        self.objects.bucket_document_json(bucket, DocumentKind::Cors).ok().flatten()
    }

    /// The bucket that a request is about: the first segment of the path, or what stands before one of our domains.
    fn bucket(&self, uri: &Uri, headers: &HeaderMap) -> Option<BucketName> {
        let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).or(uri.host());
        let name = match host.and_then(|host| bucket_in(host, &self.domains)) {
            Some(name) => name,
            None => uri.path().strip_prefix('/')?.split('/').next()?.to_owned(),
        };
        BucketName::parse(&name).ok()
    }
}

const VARIES: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[CorsMethod]) -> CorsRule {
        CorsRule {
            id: None,
            origins: origins.iter().map(|text| (*text).to_owned()).collect(),
            methods: methods.to_vec(),
            headers: Vec::new(),
            expose: Vec::new(),
            max_age_seconds: None,
        }
    }

    #[test]
    fn one_wildcard_stands_for_anything() {
        assert!(fits("https://*.example.com", "https://a.b.example.com"));
        assert!(!fits("https://*.example.com", "https://example.com"));
        assert!(fits("*", "null"));
        assert!(fits("x-amz-*", "x-amz-meta-a"));
        assert!(!fits("aba*ba", "abab"), "both ends need their own bytes");
        assert!(!fits("https://a", "https://a.evil"));
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let one = rule(&["https://a"], &[CorsMethod::Get]);
        let mut two = rule(&["https://a", "https://b"], &[CorsMethod::Get, CorsMethod::Put]);
        two.expose = vec!["ETag".into()];
        let config = CorsConfig { rules: vec![one.clone(), two.clone()] };
        assert_eq!(config.rule_for("https://a", CorsMethod::Get), Some(&one));
        assert_eq!(config.rule_for("https://a", CorsMethod::Put), Some(&two));
        assert_eq!(config.rule_for("https://A", CorsMethod::Put), None);
        assert_eq!(config.rule_for("https://b", CorsMethod::Delete), None);
    }

    #[test]
    fn everybody_is_told_a_star_and_no_credentials_and_the_named_are_told_their_name() {
        let origin = HeaderValue::from_static("https://a");
        let headers = rule(&["*"], &[CorsMethod::Get]).headers(&origin);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        let headers = rule(&["https://*"], &[CorsMethod::Get, CorsMethod::Head]).headers(&origin);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "GET, HEAD");
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        type Change = fn(&mut CorsRule);
        let cases: [(Change, CorsFault); 7] = [
            (|rule| rule.origins.clear(), CorsFault::Incomplete),
            (|rule| rule.methods.clear(), CorsFault::Incomplete),
            (|rule| rule.origins = vec!["*.*".into()], CorsFault::Origin("*.*".into())),
            (|rule| rule.headers = vec!["*-*".into()], CorsFault::Header("*-*".into())),
            (|rule| rule.expose = vec!["x-*".into()], CorsFault::Expose("x-*".into())),
            (
                |rule| rule.expose = vec!["a\nb".into()],
                CorsFault::Character { element: "ExposeHeader", text: "a\nb".into() },
            ),
            (
                |rule| rule.headers = vec!["x-*".into(), "a b".into()],
                CorsFault::Character { element: "AllowedHeader", text: "a b".into() },
            ),
        ];
        for (change, fault) in cases {
            let mut changed = rule(&["*"], &[CorsMethod::Get]);
            change(&mut changed);
            assert_eq!(CorsConfig { rules: vec![changed] }.check(), Err(fault));
        }
        let good = rule(&["*"], &[CorsMethod::Get]);
        assert_eq!(CorsConfig { rules: vec![good.clone(); 100] }.check(), Ok(()));
        assert_eq!(CorsConfig { rules: vec![good; 101] }.check(), Err(CorsFault::TooMany));
        assert_eq!(CorsConfig { rules: Vec::new() }.check(), Err(CorsFault::Incomplete));
    }
}
