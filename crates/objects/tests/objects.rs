//! What each operation promises.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_seal::CustomerKey;
use support::*;

#[tokio::test]
async fn what_was_put_is_what_is_read_at_every_size_around_a_boundary() {
    let fixture = Fixture::new().await;
    let chunk = 64 * 1024;
    let window = 1 << 20;
    for length in
        [0, 1, 16_383, 16_384, 16_385, chunk - 1, chunk, chunk + 1, window, window + 1, 3 * window + 17]
    {
        let content = noise(length as u64, length);
        let put = fixture.put("name", content.clone()).await;
        assert_eq!(put.size, length as u64);
        let read = fixture.objects.get(get("name")).await.unwrap();
        assert_eq!(read.body.length(), length as u64);
        assert_eq!(read.info.etag, put.etag);
        assert!(read.body.collect().await.unwrap() == content, "{length}");
    }
}

#[tokio::test]
async fn a_small_object_takes_no_file() {
    let fixture = Fixture::new().await;
    fixture.put("small", noise(1, 4096)).await;
    assert_eq!(fixture.files(), Vec::<std::path::PathBuf>::new());
    fixture.put("large", noise(1, 20_000)).await;
    assert_eq!(fixture.files().len(), 1);
}

#[tokio::test]
async fn an_upload_in_parts_reads_as_one() {
    let fixture = Fixture::new().await;
    let upload_id = upload(&fixture.objects, "name", SseRequest::Default).await;
    let contents = [noise(1, 5 << 20), noise(2, (5 << 20) + 13), noise(3, 7)];
    let mut parts = Vec::new();
    for number in [3, 1, 2] {
        let content = contents[number - 1].clone();
        let stored = fixture.objects.put_part(part("name", upload_id, number as u32, content)).await.unwrap();
        parts.push((number as u32, stored.etag));
    }
    parts.sort_by_key(|(number, _)| *number);
    let put = fixture.objects.complete_upload(complete("name", upload_id, &parts)).await.unwrap();
    assert!(put.etag.to_string().ends_with("-3"));
    assert!(fixture.read("name").await.unwrap() == contents.concat());
    let mut second = get("name");
    second.part = PartNumber::new(2);
    assert!(fixture.objects.get(second).await.unwrap().body.collect().await.unwrap() == contents[1]);
}

fn customer(seed: u8) -> CustomerKey {
    CustomerKey::from_bytes(&mut [seed; 32])
}

fn source(key: &str) -> CopySource {
    CopySource {
        bucket: bucket(),
        name: name(key),
        version: None,
        conditions: ReadConditions::default(),
        customer_key: None,
    }
}

fn copy(from: &str, to: &str) -> CopyRequest {
    CopyRequest {
        source: source(from),
        bucket: bucket(),
        name: name(to),
        meta: ObjectMeta::default(),
        metadata: Directive::Copy,
        tagging: Directive::Copy,
        sse: SseRequest::Default,
        conditions: WriteConditions::default(),
        checksum: None,
    }
}

fn value(algorithm: ChecksumAlgorithm, text: &str) -> ChecksumValue {
    ChecksumValue::parse(algorithm, text).unwrap()
}

#[tokio::test]
async fn a_customer_key_opens_only_what_it_closed() {
    let fixture = Fixture::new().await;
    for length in [100, 100_000] {
        let mut request = put("name", noise(1, length));
        request.sse = SseRequest::Customer(customer(1));
        let stored = fixture.objects.put(request).await.unwrap();
        assert!(matches!(stored.etag, ETag::Opaque(_)));
        assert!(matches!(stored.sse, SseApplied::Customer { key_md5: Some(_) }));
        let with = |key| GetRequest { customer_key: key, ..get("name") };
        let head = |key| fixture.objects.head(with(key));
        assert_eq!(head(Some(customer(1))).await.unwrap().info.sse, stored.sse);
        assert!(matches!(head(None).await, Err(ObjectError::CustomerKeyRequired)));
        assert!(matches!(head(Some(customer(2))).await, Err(ObjectError::CustomerKeyWrong)));
        assert!(matches!(
            fixture.objects.get(with(Some(customer(2)))).await,
            Err(ObjectError::CustomerKeyWrong)
        ));
        let read = fixture.objects.get(with(Some(customer(1)))).await.unwrap();
        assert!(read.body.collect().await.unwrap() == noise(1, length));
    }
    fixture.put("plain", "x").await;
    let request = GetRequest { customer_key: Some(customer(1)), ..get("plain") };
    assert!(matches!(fixture.objects.head(request).await, Err(ObjectError::CustomerKeyNotApplicable)));
}

#[tokio::test]
async fn an_upload_under_a_customer_key_takes_parts_under_that_key_alone() {
    let fixture = Fixture::new().await;
    let id = upload(&fixture.objects, "name", SseRequest::Customer(customer(1))).await;
    let with =
        |key: Option<CustomerKey>| PutPart { customer_key: key, ..part("name", id, 1, noise(1, 1000)) };
    let other = fixture.objects.put_part(with(Some(customer(2)))).await;
    assert!(matches!(other, Err(ObjectError::UploadSse(UploadSseFault::OtherKey))));
    let none = fixture.objects.put_part(with(None)).await;
    assert!(matches!(none, Err(ObjectError::UploadSse(UploadSseFault::Parameters))));
    let stored = fixture.objects.put_part(with(Some(customer(1)))).await.unwrap();
    fixture.objects.complete_upload(complete("name", id, &[(1, stored.etag)])).await.unwrap();
    let request = GetRequest { customer_key: Some(customer(1)), ..get("name") };
    let read = fixture.objects.get(request).await.unwrap().body.collect().await.unwrap();
    assert!(read == noise(1, 1000));
    let plain = upload(&fixture.objects, "plain", SseRequest::Default).await;
    let request = PutPart { customer_key: Some(customer(1)), ..part("plain", plain, 1, "x") };
    let keyed = fixture.objects.put_part(request).await;
    assert!(matches!(keyed, Err(ObjectError::UploadSse(UploadSseFault::Parameters))));
}

#[tokio::test]
async fn kms_objects_name_their_key_and_context_and_do_not_show_their_md5() {
    let fixture = Fixture::new().await;
    let context = Some("{\"team\":\"blue\"}".to_owned());
    for length in [100, 100_000] {
        let mut request = put("name", noise(1, length));
        request.sse =
            SseRequest::Kms { key_id: Some("blue".into()), context: context.clone(), bucket_key: None };
        let stored = fixture.objects.put(request).await.unwrap();
        assert_eq!(
            stored.sse,
            SseApplied::Kms { key_id: "blue".into(), context: context.clone(), bucket_key: false }
        );
        assert!(matches!(stored.etag, ETag::Opaque(_)));
        let head = fixture.objects.head(get("name")).await.unwrap().info;
        assert_eq!((head.sse, head.etag), (stored.sse, stored.etag));
        assert!(fixture.read("name").await.unwrap() == noise(1, length));
    }
    let mut request = put("name", "x");
    request.sse = SseRequest::Kms { key_id: Some("missing".into()), context: None, bucket_key: None };
    assert!(matches!(fixture.objects.put(request).await, Err(ObjectError::Kms(_))));
    let mut request = put("name", "x");
    request.sse = SseRequest::Kms { key_id: None, context: None, bucket_key: None };
    let stored = fixture.objects.put(request).await.unwrap();
    assert_eq!(stored.sse, SseApplied::Kms { key_id: "default".into(), context: None, bucket_key: false });
}

#[tokio::test]
async fn entity_tags_and_checksums_are_those_of_the_content() {
    let fixture = Fixture::new().await;
    let stored = fixture.put("name", "123456789").await;
    assert_eq!(stored.etag.to_string(), "25f9e794323b453885f5181f1b624d0b");
    let texts: Vec<_> = stored.checksums.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["rosUhgp5mIg="], "CRC64NVME of the full object unless another is asked for");
    for (algorithm, text) in [
        (ChecksumAlgorithm::Crc32, "y/Q5Jg=="),
        (ChecksumAlgorithm::Crc32c, "4waSgw=="),
        (ChecksumAlgorithm::Crc64Nvme, "rosUhgp5mIg="),
        (ChecksumAlgorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (ChecksumAlgorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        (
            ChecksumAlgorithm::Sha512,
            "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==",
        ),
        (ChecksumAlgorithm::Md5, "JfnnlDI7RTiF9RgfG2JNCw=="),
        (ChecksumAlgorithm::XxHash64, "jLhB20DmroM="),
        (ChecksumAlgorithm::XxHash3, "ctyxi2ehff8="),
        (ChecksumAlgorithm::XxHash128, "MxGUd+3l3NXpcWQnaB1YYA=="),
    ] {
        let right = value(algorithm, text);
        let mut request = put("name", "123456789");
        request.checksums.expected = vec![right.clone()];
        let stored = fixture.objects.put(request).await.unwrap();
        assert_eq!(stored.checksums.len(), 1);
        assert_eq!(stored.checksums[0].value, right);
        assert_eq!(fixture.objects.head(get("name")).await.unwrap().info.checksums, stored.checksums);
        let mut request = put("name", "223456789");
        request.checksums.expected = vec![right.clone()];
        let wrong = fixture.objects.put(request).await;
        assert!(matches!(wrong, Err(ObjectError::ChecksumMismatch { algorithm: of }) if of == algorithm));
        for trailer in [None, Some(value(algorithm, text))] {
            let mut request = put("other", if trailer.is_some() { "123456789" } else { "" });
            let good = trailer.is_some();
            request.checksums.trailer = Some((algorithm, Box::new(move || trailer)));
            assert_eq!(fixture.objects.put(request).await.is_ok(), good);
        }
    }
    let mut request = put("md5", "123456789");
    request.content_md5 = Some([0; 16]);
    assert!(matches!(fixture.objects.put(request).await, Err(ObjectError::BadDigest { .. })));
    assert!(matches!(fixture.read("md5").await, Err(ObjectError::NoSuchKey { .. })));
}

#[tokio::test]
async fn completion_keeps_the_rules_of_parts() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    let id = upload(objects, "name", SseRequest::Default).await;
    let store = async |number, length| {
        objects.put_part(part("name", id, number, noise(number.into(), length))).await.unwrap().etag
    };
    let (one, two, three) = (store(1, 5 << 20).await, store(2, (5 << 20) - 1).await, store(3, 10).await);
    let try_parts = async |parts: &[(u32, ETag)]| objects.complete_upload(complete("name", id, parts)).await;
    assert!(matches!(try_parts(&[]).await, Err(ObjectError::NoParts)));
    assert!(matches!(try_parts(&[(3, three), (1, one)]).await, Err(ObjectError::InvalidPartOrder { .. })));
    assert!(matches!(try_parts(&[(1, one), (1, one)]).await, Err(ObjectError::InvalidPartOrder { .. })));
    assert!(matches!(try_parts(&[(1, two)]).await, Err(ObjectError::InvalidPart { .. })));
    assert!(matches!(try_parts(&[(4, one)]).await, Err(ObjectError::InvalidPart { .. })));
    let small = try_parts(&[(1, one), (2, two), (3, three)]).await;
    assert!(
        matches!(small, Err(ObjectError::EntityTooSmall { part, size: 5_242_879, .. }) if part.number() == 2)
    );
    let mut sized = complete("name", id, &[(1, one), (3, three)]);
    sized.size = Some(7);
    assert!(matches!(objects.complete_upload(sized).await, Err(ObjectError::ObjectSizeMismatch { .. })));
    let stored = try_parts(&[(1, one), (3, three)]).await.unwrap();
    assert_eq!(stored.size, (5 << 20) + 10);
    assert!(matches!(try_parts(&[(1, one)]).await, Err(ObjectError::NoSuchUpload { .. })));
    eventually(|| fixture.files().len() == 2).await;
    let read = async |number| objects.get(GetRequest { part: PartNumber::new(number), ..get("name") }).await;
    assert_eq!(read(2).await.unwrap().body.collect().await.unwrap(), noise(3, 10));
    assert!(matches!(read(3).await, Err(ObjectError::NoSuchPart { parts: 2, .. })));
    let attributes = objects.attributes(get("name")).await.unwrap();
    let numbers: Vec<_> = attributes.parts.iter().map(|(number, ..)| number.number()).collect();
    assert_eq!((numbers, attributes.info.parts), (vec![1, 3], Some(2)));
}

#[tokio::test]
async fn checksums_of_uploads_are_composite_or_of_the_whole() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    let contents = [noise(1, 5 << 20), noise(2, 500)];
    for (algorithm, kind) in [
        (ChecksumAlgorithm::Crc32, ChecksumKind::FullObject),
        (ChecksumAlgorithm::Crc32, ChecksumKind::Composite),
        (ChecksumAlgorithm::Sha256, ChecksumKind::Composite),
        (ChecksumAlgorithm::Sha512, ChecksumKind::Composite),
        (ChecksumAlgorithm::Md5, ChecksumKind::Composite),
        (ChecksumAlgorithm::XxHash64, ChecksumKind::Composite),
        (ChecksumAlgorithm::XxHash3, ChecksumKind::Composite),
        (ChecksumAlgorithm::XxHash128, ChecksumKind::Composite),
    ] {
        let request = CreateUpload {
            bucket: bucket(),
            name: name("name"),
            meta: ObjectMeta::default(),
            sse: SseRequest::Default,
            checksum: Some((algorithm, Some(kind))),
        };
        let id = objects.create_upload(request).await.unwrap().upload;
        let mut request = part("name", id, 1, "x");
        request.checksums.compute = Some(ChecksumAlgorithm::Crc32c);
        let other = objects.put_part(request).await;
        assert!(matches!(other, Err(ObjectError::ChecksumTypeMismatch { .. })));
        let without = objects.put_part(part("name", id, 1, "x")).await;
        match kind {
            ChecksumKind::Composite => {
                assert!(matches!(without, Err(ObjectError::ChecksumTypeMismatch { request: None, .. })));
            }
            ChecksumKind::FullObject => assert!(without.is_ok()),
        }
        let (mut parts, mut values) = (Vec::new(), Vec::new());
        for (number, content) in (1..).zip(&contents) {
            let mut request = part("name", id, number, content.clone());
            request.checksums.compute = Some(algorithm);
            let stored = objects.put_part(request).await.unwrap();
            values.push(stored.checksum.unwrap());
            parts.push((number, stored.etag));
        }
        let mut request = complete("name", id, &parts);
        if kind == ChecksumKind::Composite {
            let lacking = objects.complete_upload(complete("name", id, &parts)).await;
            assert!(matches!(lacking, Err(ObjectError::PartChecksumMissing { .. })));
            for (part, value) in request.parts.iter_mut().zip(values) {
                part.checksum = Some(value);
            }
        }
        let stored = objects.complete_upload(request).await.unwrap();
        let text = stored.checksums[0].to_string();
        match kind {
            ChecksumKind::Composite => assert!(text.ends_with("-2")),
            ChecksumKind::FullObject => {
                let mut request = put("whole", contents.concat());
                request.checksums.expected = vec![value(algorithm, &text)];
                objects.put(request).await.unwrap();
            }
        }
    }
    for (algorithm, kind) in [
        (ChecksumAlgorithm::Sha1, ChecksumKind::FullObject),
        (ChecksumAlgorithm::Sha512, ChecksumKind::FullObject),
        (ChecksumAlgorithm::Md5, ChecksumKind::FullObject),
        (ChecksumAlgorithm::XxHash64, ChecksumKind::FullObject),
        (ChecksumAlgorithm::XxHash3, ChecksumKind::FullObject),
        (ChecksumAlgorithm::XxHash128, ChecksumKind::FullObject),
        (ChecksumAlgorithm::Crc64Nvme, ChecksumKind::Composite),
    ] {
        let request = CreateUpload {
            bucket: bucket(),
            name: name("name"),
            meta: ObjectMeta::default(),
            sse: SseRequest::Default,
            checksum: Some((algorithm, Some(kind))),
        };
        assert!(matches!(
            objects.create_upload(request).await,
            Err(ObjectError::ChecksumKindUnsupported { .. })
        ));
    }
}

#[tokio::test]
async fn a_copy_has_its_own_key_and_what_the_request_says() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    let mut request = put("from", noise(1, 100_000));
    request.meta.user = vec![("colour".into(), "red".into())];
    request.meta.tags = vec![("team".into(), "blue".into())];
    request.meta.system.content_type = Some("text/plain".into());
    request.sse = SseRequest::Customer(customer(1));
    objects.put(request).await.unwrap();

    let mut keyed = copy("from", "to");
    assert!(matches!(objects.copy(keyed).await, Err(ObjectError::CustomerKeyRequired)));
    keyed = copy("from", "to");
    keyed.source.customer_key = Some(customer(1));
    let copied = objects.copy(keyed).await.unwrap();
    assert_eq!(copied.put.sse, SseApplied::S3, "encryption is not inherited");
    let read = objects.get(get("to")).await.unwrap();
    assert_eq!(read.info.meta.user, [("colour".to_owned(), "red".to_owned())]);
    assert_eq!(read.info.meta.tags.len(), 1);
    assert_eq!(read.info.meta.system.content_type.as_deref(), Some("text/plain"));
    assert!(read.body.collect().await.unwrap() == noise(1, 100_000));

    assert!(matches!(objects.copy(copy("to", "to")).await, Err(ObjectError::CopyOntoItself)));
    let mut changed = copy("to", "to");
    changed.metadata = Directive::Replace;
    changed.tagging = Directive::Replace;
    changed.meta.user = vec![("size".into(), "big".into())];
    objects.copy(changed).await.unwrap();
    let info = objects.head(get("to")).await.unwrap().info;
    assert_eq!((info.meta.user.len(), info.meta.user[0].0.as_str(), info.meta.tags.len()), (1, "size", 0));

    let mut conditional = copy("to", "third");
    conditional.source.conditions.if_none_match = Some(EntityTags::Tags(vec![info.etag.to_string()]));
    let failed = objects.copy(conditional).await;
    let condition = Condition::SourceIfNoneMatch;
    assert!(matches!(failed, Err(ObjectError::PreconditionFailed { condition: told }) if told == condition));
    assert!(matches!(objects.copy(copy("nothing", "third")).await, Err(ObjectError::NoSuchKey { .. })));
    eventually(|| fixture.files().len() == 2).await;
}

#[tokio::test]
async fn a_part_can_be_a_range_of_an_object() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    fixture.put("from", noise(1, 6 << 20)).await;
    let id = upload(objects, "to", SseRequest::Kms { key_id: None, context: None, bucket_key: None }).await;
    let copy = async |number, range| {
        let part = PartNumber::new(number).unwrap();
        let (bucket, source) = (bucket(), source("from"));
        objects
            .copy_part(CopyPart {
                source,
                range,
                bucket,
                name: name("to"),
                upload: id,
                part,
                customer_key: None,
            })
            .await
    };
    let one = copy(1, Some((1, 5 << 20))).await.unwrap();
    let two = copy(2, None).await.unwrap();
    assert!(matches!(copy(3, Some((0, 6 << 20))).await, Err(ObjectError::InvalidCopyRange { .. })));
    objects.complete_upload(complete("to", id, &[(1, one.etag), (2, two.etag)])).await.unwrap();
    let whole = noise(1, 6 << 20);
    assert!(fixture.read("to").await.unwrap() == [&whole[1..=5 << 20], &whole].concat());
}

#[tokio::test]
async fn buckets_are_made_once_and_deleted_empty() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    let create = |owner: &str| CreateBucket { owner: owner.into(), settings: BucketSettings::default() };
    let again = objects.create_bucket(&bucket(), create("me")).await;
    assert!(matches!(again, Err(ObjectError::BucketAlreadyOwnedByYou { .. })));
    let other = objects.create_bucket(&bucket(), create("you")).await;
    assert!(matches!(other, Err(ObjectError::BucketAlreadyExists { .. })));
    fixture.put("name", noise(1, 100_000)).await;
    let id = upload(objects, "name", SseRequest::Default).await;
    assert!(matches!(objects.delete_bucket(&bucket()).await, Err(ObjectError::BucketNotEmpty { .. })));
    fixture.put("name", "it takes writes again").await;
    fixture.delete("name").await;
    // An upload that nobody completed does not keep the bucket, and goes with it.
    objects.delete_bucket(&bucket()).await.unwrap();
    let abandoned = objects.abort_upload(&bucket(), &name("name"), id).await;
    assert!(matches!(abandoned, Err(ObjectError::NoSuchBucket { .. })));
    assert!(matches!(objects.delete_bucket(&bucket()).await, Err(ObjectError::NoSuchBucket { .. })));
    assert!(matches!(objects.put(put("name", "x")).await, Err(ObjectError::NoSuchBucket { .. })));
    objects.create_bucket(&bucket(), create("you")).await.unwrap();
    assert!(matches!(fixture.read("name").await, Err(ObjectError::NoSuchKey { .. })));
    for number in 0..5 {
        let name = BucketName::parse(&format!("more-{number}")).unwrap();
        objects.create_bucket(&name, create("me")).await.unwrap();
    }
    let page = objects.list_buckets("more-", None, 3).await.unwrap();
    assert_eq!((page.buckets.len(), page.next.as_deref()), (3, Some("more-2")));
    let page = objects.list_buckets("more-", page.next.as_deref(), 3).await.unwrap();
    assert_eq!((page.buckets.len(), page.next), (2, None));
    let fixture = fixture.crash().await;
    assert_eq!(fixture.objects.list_buckets("", None, 100).await.unwrap().buckets.len(), 6);
}

#[tokio::test]
async fn a_default_encryption_is_for_writes_that_ask_for_none() {
    let fixture = Fixture::new().await;
    let encryption = DefaultEncryption::Kms { key_id: None, bucket_key: true };
    fixture.objects.set_default_encryption(&bucket(), encryption.clone()).await.unwrap();
    let fixture = fixture.crash().await;
    assert_eq!(fixture.objects.head_bucket(&bucket()).await.unwrap().settings.encryption, encryption);
    assert_eq!(
        fixture.put("name", "x").await.sse,
        SseApplied::Kms { key_id: "default".into(), context: None, bucket_key: true }
    );
    let mut request = put("name", "x");
    request.sse = SseRequest::S3;
    assert_eq!(fixture.objects.put(request).await.unwrap().sse, SseApplied::S3);
}

#[tokio::test]
async fn uploads_list_by_name_and_age() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    let mut ids = Vec::new();
    for key in ["b", "a/1", "a/2", "b", "b", "c"] {
        ids.push((key, upload(objects, key, SseRequest::Default).await));
    }
    let page = async |delimiter: Option<&str>, after: Option<(&str, Option<UploadId>)>, max| {
        let request = ListUploads {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: delimiter.map(Into::into),
            name_after: after.map(|(name, _)| name.to_owned()),
            upload_after: after.and_then(|(_, upload)| upload),
            max,
        };
        objects.list_uploads(request).await.unwrap()
    };
    let all = page(None, None, 1000).await;
    let listed: Vec<_> = all.uploads.iter().map(|upload| (upload.name.as_str(), upload.upload)).collect();
    assert_eq!(listed, [ids[1], ids[2], ids[0], ids[3], ids[4], ids[5]]);
    let first = page(Some("/"), None, 2).await;
    assert_eq!((first.common_prefixes.as_slice(), first.uploads.len()), (["a/".to_owned()].as_slice(), 1));
    let next = page(Some("/"), Some((first.next_name.as_deref().unwrap(), first.next_upload)), 2).await;
    let listed: Vec<_> = next.uploads.iter().map(|upload| (upload.name.as_str(), upload.upload)).collect();
    assert_eq!(listed, [ids[3], ids[4]]);
    let after_b = page(None, Some(("b", None)), 1000).await;
    assert_eq!(after_b.uploads.len(), 1);
    let after_prefix = page(Some("/"), Some(("a/", None)), 1000).await;
    assert!(after_prefix.common_prefixes.is_empty() && after_prefix.uploads.len() == 4);
}

#[tokio::test]
async fn tags_change_and_nothing_else_does() {
    let fixture = Fixture::new().await;
    let stored = fixture.put("name", noise(1, 100_000)).await;
    let objects = &fixture.objects;
    let tags = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())];
    objects.set_object_tags(&bucket(), &name("name"), None, tags.clone()).await.unwrap();
    assert_eq!(objects.object_tags(&bucket(), &name("name"), None).await.unwrap().tags, tags);
    let info = objects.head(get("name")).await.unwrap().info;
    assert_eq!((info.etag, info.mtime, info.meta.tags.len()), (stored.etag, stored.mtime, 2));
    assert!(fixture.read("name").await.unwrap() == noise(1, 100_000));
    let twice = vec![("a".to_owned(), "1".to_owned()); 2];
    let refused = objects.set_object_tags(&bucket(), &name("name"), None, twice).await;
    assert!(matches!(refused, Err(ObjectError::InvalidTags { fault: TagFault::Duplicate, .. })));
    let missing = objects.set_object_tags(&bucket(), &name("nothing"), None, tags).await;
    assert!(matches!(missing, Err(ObjectError::NoSuchKey { .. })));
}

#[tokio::test]
async fn deletes_answer_for_each_and_conditions_hold_for_them_too() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    for number in 0..100 {
        fixture
            .put(&format!("name-{number}"), if number % 10 == 0 { noise(1, 20_000) } else { noise(1, 10) })
            .await;
    }
    let item = |key: String, tag: Option<&str>| DeleteItem {
        name: name(&key),
        version: None,
        conditions: DeleteConditions {
            if_match: tag.map(|tag| EntityTags::Tags(vec![tag.into()])),
            ..DeleteConditions::default()
        },
    };
    let mut items: Vec<_> = (0..100).map(|number| item(format!("name-{number}"), None)).collect();
    items[7] = item("name-7".into(), Some("another"));
    items[8] = item("nothing".into(), None);
    items[9] = item("nothing".into(), Some("another"));
    let results = objects.delete_many(&bucket(), items).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 98);
    assert!(matches!(results[7], Err(ObjectError::PreconditionFailed { condition: Condition::IfMatch })));
    assert!(matches!(results[9], Err(ObjectError::NoSuchKey { .. })));
    let left = objects.list(listing("", None, None, 1000)).await.unwrap().objects;
    let left: Vec<_> = left.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(left, ["name-7", "name-8", "name-9"]);
    eventually(|| fixture.files().is_empty()).await;
    let versioned = DeleteRequest {
        version: Some(VersionId::Id([1; 16])),
        ..DeleteRequest::new(bucket(), name("name-8"))
    };
    objects.delete(versioned).await.unwrap();
    assert!(fixture.read("name-8").await.is_ok(), "another version was meant");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let mut fixture = Fixture::new().await;
    for round in 0..3u64 {
        for (key, length) in [("small", 100), ("large", 100_000)] {
            fixture.put(&format!("{key}-{round}"), noise(round, length)).await;
            fixture.put(key, noise(round, length)).await;
        }
        fixture = fixture.crash().await;
        for (key, length) in [("small", 100), ("large", 100_000)] {
            assert!(fixture.read(key).await.unwrap() == noise(round, length));
            assert!(fixture.read(&format!("{key}-{round}")).await.unwrap() == noise(round, length));
        }
    }
    eventually(|| fixture.files().len() == 4).await;
}

#[tokio::test]
async fn what_no_row_holds_or_nothing_enforces_is_refused() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    let long = |length| "x".repeat(length);
    let mut request = put("name", "x");
    request.sse = SseRequest::Kms { key_id: None, context: Some(long(9000)), bucket_key: None };
    assert!(matches!(objects.put(request).await, Err(ObjectError::MetadataTooLarge { .. })));
    for change in [
        (|meta: &mut ObjectMeta| meta.user = vec![("a".into(), "x".repeat(2048))]) as fn(&mut ObjectMeta),
        |meta| meta.system.cache_control = Some("x".repeat(9000)),
        |meta| meta.system.storage_class = Some("x".repeat(65)),
        |meta| meta.tags = (0..11).map(|number| (number.to_string(), String::new())).collect(),
        |meta| meta.legal_hold = Some(LegalHold::On),
    ] {
        let mut request = put("name", "x");
        change(&mut request.meta);
        assert!(objects.put(request).await.is_err());
    }
    let name = BucketName::parse("another").unwrap();
    let owned = CreateBucket { owner: long(300), settings: BucketSettings::default() };
    assert!(matches!(objects.create_bucket(&name, owned).await, Err(ObjectError::MetadataTooLarge { .. })));
    assert!(matches!(fixture.read("name").await, Err(ObjectError::NoSuchKey { .. })));
}
