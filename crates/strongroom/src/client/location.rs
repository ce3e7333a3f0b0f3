//! `s3://bucket/key`.

use std::fmt;
use std::str::FromStr;

use super::ClientError;

/// A bucket, and perhaps a key or prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(super) bucket: String,
    pub(super) key: String,
}

impl Location {
    /// Whether `text` is meant as a place in a store rather than a file.
    pub(super) fn is_remote(text: &str) -> bool {
        text.starts_with("s3://")
    }

    /// The bucket and key, if a key is named.
    pub(super) fn object(&self) -> Result<(&str, &str), ClientError> {
        if self.key.is_empty() {
            return Err(ClientError::Usage(format!(
                "{self} names a bucket; name an object, such as s3://{}/key",
                self.bucket
            )));
        }
        Ok((&self.bucket, &self.key))
    }

    /// The same place as a folder: its key is empty or ends with a slash, so that `logs` is not `logs-old` too.
    pub(super) fn folder(&self) -> Self {
        let slash = if self.key.is_empty() || self.key.ends_with('/') { "" } else { "/" };
        Self { bucket: self.bucket.clone(), key: format!("{}{slash}", self.key) }
    }

    /// The bucket, if no key is named.
    pub(super) fn bucket_only(&self) -> Result<&str, ClientError> {
        if !self.key.is_empty() {
            return Err(ClientError::Usage(format!(
                "{self} names an object; name a bucket, such as s3://{}",
                self.bucket
            )));
        }
        Ok(&self.bucket)
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("s3://")
            .ok_or_else(|| format!("`{text}` is not a place in a store; write s3://bucket/key"))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("`{text}` names no bucket; write s3://bucket/key"));
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_keeps_every_slash_of_the_key() {
        let location: Location = "s3://b/a//c/".parse().unwrap();
        assert_eq!((location.bucket.as_str(), location.key.as_str()), ("b", "a//c/"));
        assert_eq!(location.to_string(), "s3://b/a//c/");
    }

    #[test]
    fn a_folder_is_no_prefix_of_other_names() {
        for (text, folder) in [("s3://b", "s3://b/"), ("s3://b/a", "s3://b/a/"), ("s3://b/a/", "s3://b/a/")] {
            assert_eq!(text.parse::<Location>().unwrap().folder().to_string(), folder);
        }
    }

    #[test]
    fn a_location_needs_scheme_and_bucket() {
        assert!("b/a".parse::<Location>().is_err());
        assert!("s3:///a".parse::<Location>().is_err());
    }
}
