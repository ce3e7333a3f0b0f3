//! What the address of a request names, for what is said of it where the protocol library does not.

use http::{HeaderValue, Uri};

use crate::convert::form_decoded;
use crate::host::bucket_in;

/// A bucket and perhaps an object, as the client wrote them: neither has to be a name that may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) bucket: String,
    pub(crate) key: Option<String>,
}

impl Target {
    /// From the path, or from the host where buckets are domains.
    pub(crate) fn of(uri: &Uri, host: Option<&HeaderValue>, domains: &[String]) -> Option<Self> {
        let host = host.and_then(|host| host.to_str().ok()).or(uri.host());
        // In a path a plus is one.
        let path = form_decoded(&uri.path().strip_prefix('/')?.replace('+', "%2B"))?;
        let (bucket, key) = match host.and_then(|host| bucket_in(host, domains)) {
            Some(bucket) => (bucket, path),
            None => match path.split_once('/') {
                Some((bucket, key)) => (bucket.to_owned(), key.to_owned()),
                None => (path, String::new()),
            },
        };
        (!bucket.is_empty()).then(|| Self { bucket, key: Some(key).filter(|key| !key.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_and_key_are_in_the_path_or_in_host_and_path() {
        let domains = ["s3.example.com".to_owned(), "other:9000".to_owned()];
        for (host, path, bucket, key) in [
            ("127.0.0.1:9000", "/bucket", "bucket", None),
            ("127.0.0.1:9000", "/bucket/", "bucket", None),
            ("127.0.0.1:9000", "/B%41d/a%20b//c", "BAd", Some("a b//c")),
            ("bucket.s3.example.com:9000", "/a/b", "bucket", Some("a/b")),
            ("bucket.s3.example.com", "/", "bucket", None),
            ("bucket.other:9000", "/a", "bucket", Some("a")),
            ("s3.example.com", "/bucket/a", "bucket", Some("a")),
        ] {
            let host_header = HeaderValue::from_static(host);
            let target = Target::of(&path.parse().unwrap(), Some(&host_header), &domains).unwrap();
            assert_eq!((target.bucket.as_str(), target.key.as_deref()), (bucket, key), "{host}{path}");
        }
        assert_eq!(Target::of(&"/".parse().unwrap(), None, &domains), None);
    }
}
