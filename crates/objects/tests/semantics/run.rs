//! Plays steps on a store and on the model, and compares what both say.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use strongroom_objects::request::*;
use strongroom_objects::*;

use crate::model::{Model, Object, Refusal, entity_tags, may_delete, may_read, may_write};
use crate::steps::{Condition, DELIMITERS, KEYS, PREFIXES, SIZES, Step, Which};
use crate::support::{self, Fixture, bucket, name, noise};

/// Both sides.
pub(crate) struct Run {
    pub(crate) fixture: Fixture,
    pub(crate) model: Model,
    pub(crate) step: u64,
}

fn pick<T: Copy>(from: &[T], number: u8) -> T {
    from[usize::from(number) % from.len()]
}

pub(crate) fn tags(number: u8) -> Tags {
    (0..number % 4).map(|n| (format!("tag {n}"), format!("{number}"))).collect()
}

pub(crate) fn user(number: u64) -> Vec<(String, String)> {
    vec![("step".to_owned(), number.to_string())]
}

pub(crate) fn meta(user: &[(String, String)], tags: &Tags) -> ObjectMeta {
    ObjectMeta { user: user.to_vec(), tags: tags.clone(), ..ObjectMeta::default() }
}

pub(crate) fn refusal(error: &ObjectError) -> Option<Refusal> {
    Some(match error {
        ObjectError::NoSuchKey { delete_marker, .. } => Refusal::NoSuchKey { marker: *delete_marker },
        ObjectError::NoSuchVersion { .. } => Refusal::NoSuchVersion,
        ObjectError::IsDeleteMarker { .. } => Refusal::IsDeleteMarker,
        ObjectError::PreconditionFailed { .. } => Refusal::PreconditionFailed,
        ObjectError::NotModified { .. } => Refusal::NotModified,
        _ => return None,
    })
}

/// Both say yes, or both say no for the same reason.
pub(crate) fn agreed<T, E>(done: Result<T, ObjectError>, expected: Result<E, Refusal>) -> Option<(T, E)> {
    match (done, expected) {
        (Ok(done), Ok(expected)) => Some((done, expected)),
        (Err(error), Err(expected)) => {
            assert_eq!(refusal(&error), Some(expected), "{error}");
            None
        }
        (Err(error), Ok(_)) => panic!("refused: {error}"),
        (Ok(_), Err(expected)) => panic!("done, and {expected:?} was expected"),
    }
}

impl Run {
    pub(crate) async fn new() -> Self {
        Self { fixture: Fixture::new().await, model: Model::default(), step: 0 }
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.fixture.objects
    }

    pub(crate) fn content(&self, size: usize) -> Vec<u8> {
        noise(self.step, size)
    }

    pub(crate) fn version(&self, key: &str, which: Which) -> Option<VersionId> {
        match which {
            Which::Current => None,
            Which::Null => Some(VersionId::Null),
            Which::Unknown => Some(VersionId::Id([0x11; 16])),
            Which::Known(number) => {
                let given: Vec<_> = self.model.given.iter().filter(|(name, _)| *name == key).collect();
                Some(
                    given
                        .get(usize::from(number) % given.len().max(1))
                        .map_or(VersionId::Null, |(_, id)| *id),
                )
            }
        }
    }

    fn get(&self, key: &str, which: Which) -> GetRequest {
        GetRequest { version: self.version(key, which), ..support::get(key) }
    }

    pub(crate) fn write_conditions(&self, key: &str, condition: Condition) -> WriteConditions {
        let tags = entity_tags(condition, self.model.current(key));
        match condition {
            Condition::MatchAny | Condition::MatchCurrent | Condition::MatchOther => {
                WriteConditions { if_match: tags, if_none_match: None }
            }
            _ => WriteConditions { if_match: None, if_none_match: tags },
        }
    }

    fn read_conditions(&self, key: &str, version: Option<VersionId>, condition: Condition) -> ReadConditions {
        let object = self.model.find(key, version).ok().and_then(|version| version.object.as_ref());
        let tags = entity_tags(condition, object);
        match condition {
            Condition::MatchAny | Condition::MatchCurrent | Condition::MatchOther => {
                ReadConditions { if_match: tags, ..ReadConditions::default() }
            }
            _ => ReadConditions { if_none_match: tags, ..ReadConditions::default() },
        }
    }

    fn delete_conditions(&self, key: &str, condition: Condition) -> DeleteConditions {
        let current = self.model.current(key);
        let size = current.map_or(0, |object| object.content.len() as u64);
        match condition {
            Condition::SizeIsCurrent => {
                DeleteConditions { if_size: Some(size), ..DeleteConditions::default() }
            }
            Condition::SizeIsOther => {
                DeleteConditions { if_size: Some(size + 1), ..DeleteConditions::default() }
            }
            _ => {
                DeleteConditions { if_match: entity_tags(condition, current), ..DeleteConditions::default() }
            }
        }
    }

    /// What was written is the newest version now.
    pub(crate) fn written(&mut self, key: &'static str, put: &PutResult, object: Object) {
        assert_eq!(put.size, object.content.len() as u64);
        let id = put.version.unwrap_or(VersionId::Null);
        self.model.came(key, id, Some(object));
        assert_eq!(put.version, self.model.shown(id));
    }

    pub(crate) async fn step(mut self, step: &Step) -> Self {
        self.step += 1;
        match step {
            Step::Put { key, size, tags, condition } => {
                self.put(pick(&KEYS, *key), pick(&SIZES, *size), *tags, *condition).await;
            }
            Step::Get { key, which, condition } => self.read(pick(&KEYS, *key), *which, *condition).await,
            Step::Range { key, which, first, last } => {
                self.range(pick(&KEYS, *key), *which, u64::from(*first), last.map(u64::from)).await;
            }
            Step::Delete { key, which, condition } => {
                self.delete(pick(&KEYS, *key), *which, *condition).await;
            }
            Step::DeleteMany(items) => self.delete_many(items).await,
            Step::Copy { from, which, to, replace_meta, replace_tags, condition } => {
                let (from, to) = (pick(&KEYS, *from), pick(&KEYS, *to));
                self.copy(from, *which, to, [*replace_meta, *replace_tags], *condition).await;
            }
            Step::ReadTags { key, which } => self.read_tags(pick(&KEYS, *key), *which).await,
            Step::WriteTags { key, which, tags } => {
                self.write_tags(pick(&KEYS, *key), *which, *tags).await;
            }
            Step::StartUpload { key, tags } => self.start(pick(&KEYS, *key), *tags).await,
            Step::PutPart { upload, part, size } => {
                let content = self.content(pick(&SIZES, *size));
                self.put_part(*upload, u32::from(part % 4) + 1, content).await;
            }
            Step::CopyPart { upload, part, from, which } => {
                self.copy_part(*upload, u32::from(part % 4) + 1, pick(&KEYS, *from), *which).await;
            }
            Step::Complete { upload, parts, wrong_tag, condition } => {
                self.complete(*upload, parts, *wrong_tag, *condition).await;
            }
            Step::CompleteLarge { key, size } => {
                self.complete_large(pick(&KEYS, *key), pick(&SIZES, *size)).await;
            }
            Step::Abort { upload } => self.abort(*upload).await,
            Step::ListParts { upload, max } => self.list_parts(*upload, u32::from(*max)).await,
            Step::ListUploads { prefix } => self.list_uploads(pick(&PREFIXES, *prefix)).await,
            Step::List { prefix, delimiter, max } => {
                self.list(pick(&PREFIXES, *prefix), pick(&DELIMITERS, *delimiter), u32::from(max % 5) + 1)
                    .await;
            }
            Step::ListVersions { prefix, delimiter, max } => {
                let (prefix, delimiter) = (pick(&PREFIXES, *prefix), pick(&DELIMITERS, *delimiter));
                self.list_versions(prefix, delimiter, u32::from(max % 5) + 1).await;
            }
            Step::SetVersions { enabled } => {
                let versioning = if *enabled { Versioning::Enabled } else { Versioning::Suspended };
                self.objects().set_versioning(&bucket(), versioning).await.unwrap();
                self.model.versioning = versioning;
            }
            Step::Reopen { closed } => {
                if *closed {
                    self.fixture.objects.close().await;
                    let store = self.fixture.store.clone();
                    tokio::task::spawn_blocking(move || store.close()).await.unwrap().unwrap();
                }
                self.fixture = self.fixture.crash().await;
            }
        }
        self
    }

    async fn put(&mut self, key: &'static str, size: usize, number: u8, condition: Condition) {
        let content = self.content(size);
        let (user, tags) = (user(self.step), tags(number));
        let request = PutRequest {
            meta: meta(&user, &tags),
            conditions: self.write_conditions(key, condition),
            ..support::put(key, content.clone())
        };
        let expected = may_write(condition, self.model.current(key));
        let Some((put, ())) = agreed(self.objects().put(request).await, expected) else { return };
        let etag = ETag::Md5(Md5::digest(&content).into());
        assert_eq!(put.etag, etag);
        self.written(key, &put, Object { content, etag, user, tags, parts: None });
    }

    async fn read(&self, key: &str, which: Which, condition: Condition) {
        let mut request = self.get(key, which);
        let version = request.version;
        request.conditions = self.read_conditions(key, version, condition);
        let expected = || self.model.find(key, version).and_then(|found| may_read(condition).map(|()| found));
        if let Some((head, _)) = agreed(self.objects().head(request.clone()).await, expected()) {
            assert_eq!(head.length, head.info.size);
        }
        let Some((got, found)) = agreed(self.objects().get(request).await, expected()) else { return };
        let object = found.object.as_ref().unwrap();
        assert_eq!(got.info.version, self.model.shown(found.id));
        assert_eq!((got.info.etag, got.info.parts), (object.etag, object.parts));
        assert_eq!((&got.info.meta.user, &got.info.meta.tags), (&object.user, &object.tags));
        assert!(got.body.collect().await.unwrap() == object.content, "wrong bytes of {key}");
    }

    async fn range(&self, key: &str, which: Which, first: u64, last: Option<u64>) {
        let mut request = self.get(key, which);
        let expected = self.model.find(key, request.version);
        request.range = Some(RangeRequest::From { first, last });
        let got = self.objects().get(request).await;
        if let (Err(ObjectError::InvalidRange { size }), Ok(found)) = (&got, &expected) {
            let there = found.object.as_ref().unwrap().content.len() as u64;
            assert!(*size == there && (first >= there || last.is_some_and(|last| last < first)));
            return;
        }
        let Some((got, found)) = agreed(got, expected) else { return };
        let content = &found.object.as_ref().unwrap().content;
        let end = last.map_or(content.len(), |last| content.len().min(last as usize + 1));
        assert!(got.body.collect().await.unwrap() == content[first as usize..end], "wrong range of {key}");
    }

    /// What a delete without conditions does in the model, given what the store says that it did.
    fn deleted(&mut self, key: &'static str, version: Option<VersionId>, done: DeleteResult) {
        match (version, self.model.versioning) {
            (None, Versioning::Off) => {
                assert_eq!(done, DeleteResult::default());
                self.model.went(key, VersionId::Null);
            }
            (None, _) => {
                assert!(done.delete_marker);
                self.model.came(key, done.version.unwrap(), None);
            }
            (Some(id), versioning) => {
                let marker = self.model.went(key, id).unwrap_or(false);
                if versioning != Versioning::Off {
                    assert_eq!(done, DeleteResult { version: Some(id), delete_marker: marker });
                }
            }
        }
    }

    async fn delete(&mut self, key: &'static str, which: Which, condition: Condition) {
        let version = self.version(key, which);
        let conditions = self.delete_conditions(key, condition);
        let request = DeleteRequest { version, conditions, ..DeleteRequest::new(bucket(), name(key)) };
        let expected = may_delete(condition, self.model.versions(key).first());
        if let Some((done, ())) = agreed(self.objects().delete(request).await, expected) {
            self.deleted(key, version, done);
        }
    }

    async fn delete_many(&mut self, items: &[(u8, Which)]) {
        let mut asked = BTreeMap::new();
        for (key, which) in items {
            // Deletes of one name in one request happen in any order.
            let key = pick(&KEYS, *key);
            asked.entry(key).or_insert_with(|| self.version(key, *which));
        }
        let item = |(key, version): (&&str, &Option<VersionId>)| DeleteItem {
            name: name(key),
            version: *version,
            conditions: DeleteConditions::default(),
        };
        let done = self.objects().delete_many(&bucket(), asked.iter().map(item).collect()).await;
        assert_eq!(done.len(), asked.len());
        for ((key, version), done) in asked.into_iter().zip(done) {
            self.deleted(key, version, done.unwrap());
        }
    }

    async fn copy(
        &mut self,
        from: &'static str,
        which: Which,
        to: &'static str,
        [replace_meta, replace_tags]: [bool; 2],
        condition: Condition,
    ) {
        let version = self.version(from, which);
        if from == to && version.is_none() && !replace_meta {
            return;
        }
        let directive = |replace| if replace { Directive::Replace } else { Directive::Copy };
        let (user, tags) = (user(self.step), tags(self.step as u8));
        let conditions = self.read_conditions(from, version, condition);
        let source =
            CopySource { bucket: bucket(), name: name(from), version, conditions, customer_key: None };
        let request = CopyRequest {
            source,
            bucket: bucket(),
            name: name(to),
            meta: meta(&user, &tags),
            metadata: directive(replace_meta),
            tagging: directive(replace_tags),
            sse: SseRequest::Default,
            conditions: WriteConditions::default(),
            checksum: None,
        };
        // There is no answer "not modified" to a copy.
        let expected = self.model.find(from, version).and_then(|found| match may_read(condition) {
            Err(_) => Err(Refusal::PreconditionFailed),
            Ok(()) => Ok(found.clone()),
        });
        let Some((copied, found)) = agreed(self.objects().copy(request).await, expected) else { return };
        assert_eq!(copied.source_version, self.model.shown(found.id));
        let source = found.object.unwrap();
        // Onto its own name it is the same data, in the same parts (`docs/s3-compatibility.md`).
        let in_one_part = || ETag::Md5(Md5::digest(&source.content).into());
        let (etag, parts) = if from == to { (source.etag, source.parts) } else { (in_one_part(), None) };
        let object = Object {
            etag,
            content: source.content,
            user: if replace_meta { user } else { source.user },
            tags: if replace_tags { tags } else { source.tags },
            parts,
        };
        assert_eq!(copied.put.etag, object.etag);
        self.written(to, &copied.put, object);
    }

    async fn read_tags(&self, key: &str, which: Which) {
        let version = self.version(key, which);
        let read = self.objects().object_tags(&bucket(), &name(key), version).await;
        let Some((read, found)) = agreed(read, self.model.find(key, version)) else { return };
        assert_eq!(read.tags, found.object.as_ref().unwrap().tags);
        assert_eq!(read.version, self.model.shown(found.id));
    }

    async fn write_tags(&mut self, key: &str, which: Which, number: u8) {
        let version = self.version(key, which);
        let written = self.objects().set_object_tags(&bucket(), &name(key), version, tags(number)).await;
        let expected = self.model.find(key, version).map(|found| found.id);
        let Some((_, id)) = agreed(written, expected) else { return };
        let versions = self.model.names.get_mut(key).unwrap();
        let found = versions.iter_mut().find(|version| version.id == id).unwrap();
        found.object.as_mut().unwrap().tags = tags(number);
    }

    /// Everything is as the model says, and goes without leaving anything.
    pub(crate) async fn finish(mut self) {
        for key in KEYS {
            self.read(key, Which::Current, Condition::None).await;
            for version in self.model.versions(key).to_vec() {
                let request = GetRequest { version: Some(version.id), ..support::get(key) };
                let expected = self.model.find(key, Some(version.id));
                if let Some((got, _)) = agreed(self.objects().get(request).await, expected) {
                    assert!(got.body.collect().await.unwrap() == version.object.unwrap().content);
                }
            }
        }
        self.list("", None, 1000).await;
        self.list_versions("", None, 1000).await;
        for key in KEYS {
            for version in self.model.versions(key).to_vec() {
                let version = Some(version.id);
                let request = DeleteRequest { version, ..DeleteRequest::new(bucket(), name(key)) };
                let done = self.objects().delete(request).await.unwrap();
                self.deleted(key, version, done);
            }
        }
        for upload in std::mem::take(&mut self.model.uploads) {
            self.objects().abort_upload(&bucket(), &name(upload.key), upload.id).await.unwrap();
        }
        support::eventually(|| self.fixture.files().is_empty()).await;
        self.objects().delete_bucket(&bucket()).await.unwrap();
    }
}
