//! Names of keys of the KMS: ids, and the forms that AWS has for them.

/// The key a request means: names of AWS's form (`arn:aws:kms:REGION:ACCOUNT:key/ID`) are the ids in them. Whether the
/// region is the right one is for the face to say, which knows it.
pub fn kms_key_id(name: &str) -> &str {
    let Some(rest) = in_kms(name) else { return name };
    let resource = rest.splitn(3, ':').nth(2).unwrap_or(rest);
    resource.strip_prefix("key/").unwrap_or(resource)
}

/// The region that a key's name of AWS's form names.
pub fn kms_key_region(name: &str) -> Option<&str> {
    let (region, _) = in_kms(name)?.split_once(':')?;
    (!region.is_empty()).then_some(region)
}

/// What follows `arn:PARTITION:kms:` in a name of AWS's form, whichever of AWS's partitions it names.
fn in_kms(name: &str) -> Option<&str> {
    let (partition, rest) = name.strip_prefix("arn:")?.split_once(':')?;
    let is_aws = partition == "aws" || partition.starts_with("aws-");
    rest.strip_prefix("kms:").filter(|_| is_aws)
}

/// The alias of the key that AWS uses where none is named, which every account has.
const DEFAULT_ALIAS: &str = "alias/aws/s3";

/// The key that is meant by a name or by none.
pub(crate) fn key_meant<'a>(named: Option<&'a str>, default: &'a str) -> &'a str {
    match named.map(kms_key_id) {
        None | Some(DEFAULT_ALIAS) => default,
        Some(key_id) => key_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_by_their_id_or_as_aws_names_them() {
        assert_eq!(kms_key_id("default"), "default");
        assert_eq!(kms_key_id("arn:aws:kms:::key/default"), "default");
        assert_eq!(kms_key_id("arn:aws:kms:us-east-1:000000000000:key/team/a:b"), "team/a:b");
        assert_eq!(kms_key_id("arn:aws:kms:eu:0:alias/x"), "alias/x");
        // As MinIO names them.
        assert_eq!(kms_key_id("arn:aws:kms:default"), "default");
        for partition in ["aws-us-gov", "aws-cn", "aws-iso-b"] {
            let name = format!("arn:{partition}:kms:eu:0:key/k");
            assert_eq!((kms_key_id(&name), kms_key_region(&name)), ("k", Some("eu")));
        }
        for other in ["arn:awsome:kms:eu:0:key/k", "arn:aws:s3:eu:0:key/k"] {
            assert_eq!((kms_key_id(other), kms_key_region(other)), (other, None));
        }
    }

    #[test]
    fn alias_of_awss_own_key_means_the_default_key() {
        for named in [None, Some("alias/aws/s3"), Some("arn:aws:kms:us-east-1:000000000000:alias/aws/s3")] {
            assert_eq!(key_meant(named, "default"), "default", "{named:?}");
        }
        assert_eq!(key_meant(Some("alias/aws/other"), "default"), "alias/aws/other");
    }
}
