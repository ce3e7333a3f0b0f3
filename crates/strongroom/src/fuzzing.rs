//! Readers of files and answers that only this crate reads, on mangled ones.

use strongroom_seal::codec::Writer;
use strongroom_seal::fuzzing::{Decoder, try_mangled};

const DECODERS: &[Decoder] = &[
    Decoder::new("strongroom/note of the KMS", note_seeds, |bytes| {
        crate::server::check_row(b"kms/local", bytes).is_some_and(|(_, good)| good)
    }),
    Decoder::new("strongroom/configuration", configuration_seeds, |bytes| {
        std::str::from_utf8(bytes).is_ok_and(crate::config::is_file)
    }),
    Decoder::new("strongroom/answers of S3", answer_seeds, |bytes| {
        std::str::from_utf8(bytes).is_ok_and(crate::client::is_answer)
    }),
];

#[test]
fn mangled_files_and_answers_are_refused_or_mean_something() {
    try_mangled(DECODERS, 4_000);
}

fn note_seeds() -> Vec<Vec<u8>> {
    let mut note = Writer::new();
    note.text("0123456789abcdef0123456789abcdef").u64(7);
    vec![note.finish()]
}

/// With a webhook, which is read from the same file.
fn configuration_seeds() -> Vec<Vec<u8>> {
    let webhook = "[[webhooks]]\nid = \"a\"\nurl = \"https://example.com/x\"\nauth_token_file = \"/run/token\"\n\
                   timeout_seconds = 5\nretry_max_age_hours = 24\nevents = [\"iam\", \"keys\"]\n";
    vec![Vec::new(), webhook.into()]
}

fn answer_seeds() -> Vec<Vec<u8>> {
    let error = "<Error><Code>NoSuchKey</Code><Message>gone</Message><RequestId>1</RequestId></Error>";
    let list = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><IsTruncated>false</IsTruncated><Contents>\
                <Key>a&amp;b</Key><Size>3</Size><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>\"e\"</ETag>\
                </Contents><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>";
    vec![error.into(), list.into(), b"<A/>".to_vec()]
}
