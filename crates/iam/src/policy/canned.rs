//! The policies that come with the program, called as MinIO's are.

use std::sync::LazyLock;

use super::Policy;

/// A policy that comes with the program.
#[derive(Debug)]
pub(crate) struct Canned {
    pub(crate) name: &'static str,
    pub(crate) policy: Policy,
}

const DOCUMENTS: [(&str, &str); 4] = [
    (
        "consoleAdmin",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","kms:*","iam:*","sts:*"],"Resource":["*"]}]}"#,
    ),
    (
        "readonly",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject"],"Resource":["arn:aws:s3:::*"]}]}"#,
    ),
    (
        "readwrite",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}"#,
    ),
    (
        "writeonly",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::*"]}]}"#,
    ),
];

/// All of them, in the order of their names.
pub(crate) fn all() -> &'static [Canned] {
    static ALL: LazyLock<Vec<Canned>> = LazyLock::new(|| {
        let parse = |(name, json)| Canned {
            name,
            policy: Policy::parse_identity(json).expect("the program's own policies are checked by a test"),
        };
        DOCUMENTS.into_iter().map(parse).collect()
    });
    &ALL
}

/// The one of this name.
pub(crate) fn named(name: &str) -> Option<&'static Canned> {
    all().iter().find(|canned| canned.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_policies_with_the_names_that_clients_know() {
        let names: Vec<_> = all().iter().map(|canned| canned.name).collect();
        assert_eq!(names, ["consoleAdmin", "readonly", "readwrite", "writeonly"]);
        assert!(named("readonly").is_some() && named("ReadOnly").is_none());
    }
}
