//! Versions: beside a model, and the rules one by one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use std::collections::BTreeMap;

use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_seal::{Random, SeededRandom};
use support::*;

struct Dice(SeededRandom);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(SeededRandom::dangerous_from_seed(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// A version; without content it is a delete marker.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    id: VersionId,
    content: Option<Vec<u8>>,
    tag: String,
}

/// What S3 says of versions, by definition: each name has a list of them, the newest first.
#[derive(Debug, Default)]
struct Model {
    versioning: Versioning,
    names: BTreeMap<String, Vec<Known>>,
}

impl Model {
    fn versions(&self, key: &str) -> &[Known] {
        self.names.get(key).map_or(&[], Vec::as_slice)
    }

    fn came(&mut self, key: &str, known: Known) {
        let versions = self.names.entry(key.to_owned()).or_default();
        if self.versioning == Versioning::Enabled {
            assert_ne!(known.id, VersionId::Null);
        } else {
            assert_eq!(known.id, VersionId::Null);
            versions.retain(|version| version.id != VersionId::Null);
        }
        assert!(versions.iter().all(|version| version.id != known.id));
        versions.insert(0, known);
    }

    fn put(&mut self, key: &str, version: Option<VersionId>, content: Vec<u8>, tag: String) {
        assert_eq!(version.is_none(), self.versioning == Versioning::Off);
        let id = version.unwrap_or(VersionId::Null);
        self.came(key, Known { id, content: Some(content), tag });
    }

    fn deleted(&mut self, key: &str, asked: Option<VersionId>, result: DeleteResult) {
        let versions = self.names.entry(key.to_owned()).or_default();
        match (asked, self.versioning) {
            (Some(id), _) => {
                let there = versions.iter().find(|version| version.id == id);
                let marker = there.is_some_and(|version| version.content.is_none());
                assert_eq!(result, DeleteResult { version: Some(id), delete_marker: marker });
                versions.retain(|version| version.id != id);
            }
            (None, Versioning::Off) => {
                assert_eq!(result, DeleteResult::default());
                versions.clear();
            }
            (None, _) => {
                assert!(result.delete_marker);
                let id = result.version.unwrap();
                self.came(key, Known { id, content: None, tag: String::new() });
            }
        }
        self.names.retain(|_, versions| !versions.is_empty());
    }

    /// What a listing of all versions has.
    fn listed(&self) -> Vec<(String, VersionId, bool, Option<u64>)> {
        let all = self.names.iter().flat_map(|(key, versions)| {
            versions.iter().enumerate().map(|(at, version)| {
                let size = version.content.as_ref().map(|content| content.len() as u64);
                (key.clone(), version.id, at == 0, size)
            })
        });
        all.collect()
    }

    fn large(&self) -> usize {
        let contents = self.names.values().flatten().filter_map(|version| version.content.as_ref());
        contents.filter(|content| content.len() > 16_384).count()
    }
}

fn tagged(text: &str) -> Tags {
    if text.is_empty() { Tags::new() } else { vec![("t".into(), text.into())] }
}

fn listing_of(prefix: &str, delimiter: Option<&str>, max: u32) -> ListVersions {
    ListVersions {
        bucket: bucket(),
        prefix: prefix.into(),
        delimiter: delimiter.map(Into::into),
        name_after: None,
        version_after: None,
        max,
    }
}

async fn all_versions(objects: &Objects, mut request: ListVersions) -> (Vec<ListedVersion>, Vec<String>) {
    let (mut versions, mut prefixes) = (Vec::new(), Vec::new());
    loop {
        let page = objects.list_versions(request.clone()).await.unwrap();
        assert!(page.versions.len() + page.common_prefixes.len() <= request.max as usize);
        assert_eq!(page.truncated, page.next_name.is_some());
        versions.extend(page.versions);
        prefixes.extend(page.common_prefixes);
        if !page.truncated {
            return (versions, prefixes);
        }
        (request.name_after, request.version_after) = (page.next_name, page.next_version);
    }
}

#[tokio::test]
async fn versions_come_and_go_as_in_the_model() {
    let keys = ["a", "a/b", "a\0", "b", "b/c/d", "\u{10FFFF}", "z"];
    for seed in 0..4 {
        let dice = Dice::new(seed);
        let mut fixture = Fixture::new().await;
        let mut model = Model::default();
        for step in 0..220 {
            let key = *dice.pick(&keys);
            let ids: Vec<VersionId> = model.versions(key).iter().map(|version| version.id).collect();
            let some_id = || match dice.below(5) {
                0 => VersionId::Null,
                1 => VersionId::Id([7; 16]),
                _ if ids.is_empty() => VersionId::Null,
                _ => *dice.pick(&ids),
            };
            match dice.below(14) {
                0..=3 => {
                    let content = noise(step, *dice.pick(&[0, 10, 30_000]));
                    let mut request = put(key, content.clone());
                    request.meta.tags = tagged(&step.to_string());
                    let stored = fixture.objects.put(request).await.unwrap();
                    model.put(key, stored.version, content, step.to_string());
                }
                4 => {
                    let id = upload(&fixture.objects, key, SseRequest::Default).await;
                    let content = noise(step, 20_000);
                    let stored = fixture.objects.put_part(part(key, id, 1, content.clone())).await.unwrap();
                    let done = fixture
                        .objects
                        .complete_upload(complete(key, id, &[(1, stored.etag)]))
                        .await
                        .unwrap();
                    model.put(key, done.version, content, String::new());
                }
                5 => {
                    let version = some_id();
                    let to = *dice.pick(&keys);
                    let known = model.versions(key).iter().find(|known| known.id == version).cloned();
                    let request = copy(key, Some(version), to);
                    match (fixture.objects.copy(request).await, known) {
                        (Ok(copied), Some(Known { content: Some(content), tag, .. })) => {
                            model.put(to, copied.put.version, content, tag);
                        }
                        (Err(ObjectError::NoSuchVersion { .. }), None)
                        | (Err(ObjectError::IsDeleteMarker { .. }), Some(Known { content: None, .. })) => {}
                        other => panic!("{other:?}"),
                    }
                }
                6 | 7 => {
                    let result = fixture.objects.delete(DeleteRequest::new(bucket(), name(key))).await;
                    model.deleted(key, None, result.unwrap());
                }
                8 | 9 => {
                    let version = Some(some_id());
                    let request = DeleteRequest { version, ..DeleteRequest::new(bucket(), name(key)) };
                    model.deleted(key, version, fixture.objects.delete(request).await.unwrap());
                }
                10 => {
                    let version = some_id();
                    let tags = tagged(&step.to_string());
                    let (bucket, named) = (bucket(), name(key));
                    let set = fixture.objects.set_object_tags(&bucket, &named, Some(version), tags);
                    let known = model.names.get_mut(key);
                    let known = known.and_then(|known| known.iter_mut().find(|known| known.id == version));
                    match (set.await, known) {
                        (Ok(_), Some(known)) => known.tag = step.to_string(),
                        (Err(ObjectError::NoSuchVersion { .. }), None)
                        | (Err(ObjectError::IsDeleteMarker { .. }), Some(_)) => {}
                        (other, _) => panic!("{other:?}"),
                    }
                }
                11 => {
                    let next = match model.versioning {
                        Versioning::Off if step < 30 => Versioning::Off,
                        Versioning::Enabled => Versioning::Suspended,
                        _ => Versioning::Enabled,
                    };
                    fixture.objects.set_versioning(&bucket(), next).await.unwrap();
                    model.versioning = next;
                }
                12 if step % 7 == 0 => fixture = fixture.crash().await,
                _ => check_listings(&fixture.objects, &model, &dice).await,
            }
            let key = *dice.pick(&keys);
            check_reads(&fixture.objects, &model, key).await;
        }
        check_listings(&fixture.objects, &model, &dice).await;
        let large = model.large();
        eventually(|| fixture.files().len() == large).await;
        for (key, version, ..) in model.listed() {
            assert!(matches!(
                fixture.objects.delete_bucket(&bucket()).await,
                Err(ObjectError::BucketNotEmpty { .. })
            ));
            let request =
                DeleteRequest { version: Some(version), ..DeleteRequest::new(bucket(), name(&key)) };
            fixture.objects.delete(request).await.unwrap();
        }
        eventually(|| fixture.files().is_empty()).await;
        fixture.objects.delete_bucket(&bucket()).await.unwrap();
    }
}

async fn check_reads(objects: &Objects, model: &Model, key: &str) {
    match (objects.get(get(key)).await, model.versions(key).first()) {
        (Ok(read), Some(Known { id, content: Some(content), .. })) => {
            assert_eq!(read.info.version.unwrap_or(VersionId::Null), *id);
            assert!(read.body.collect().await.unwrap() == *content);
        }
        (Err(ObjectError::NoSuchKey { delete_marker: Some(marker), .. }), Some(known)) => {
            assert_eq!((marker, &known.content), (known.id, &None));
        }
        (Err(ObjectError::NoSuchKey { delete_marker: None, .. }), None) => {}
        other => panic!("{other:?}"),
    }
    for known in model.versions(key) {
        let request = GetRequest { version: Some(known.id), ..get(key) };
        match (objects.get(request).await, &known.content) {
            (Ok(read), Some(content)) => {
                assert_eq!(read.info.meta.tags, tagged(&known.tag));
                assert!(read.body.collect().await.unwrap() == *content);
            }
            (Err(ObjectError::IsDeleteMarker { version, .. }), None) => assert_eq!(version, known.id),
            other => panic!("{other:?}"),
        }
    }
}

async fn check_listings(objects: &Objects, model: &Model, dice: &Dice) {
    let shown = |version: &ListedVersion| {
        let size = version.object.as_ref().map(|object| object.size);
        (version.name.as_str().to_owned(), version.version, version.latest, size)
    };
    for max in [1, 2, 3, 1000] {
        let prefix = *dice.pick(&["", "a", "b/"]);
        let (versions, _) = all_versions(objects, listing_of(prefix, None, max)).await;
        let expected: Vec<_> =
            model.listed().into_iter().filter(|(key, ..)| key.starts_with(prefix)).collect();
        assert_eq!(versions.iter().map(shown).collect::<Vec<_>>(), expected);
        let (versions, prefixes) = all_versions(objects, listing_of("", Some("/"), max)).await;
        let (below, plain): (Vec<_>, Vec<_>) =
            model.listed().into_iter().partition(|(key, ..)| key.contains('/'));
        let mut common: Vec<_> =
            below.iter().map(|(key, ..)| key[..=key.find('/').unwrap()].to_owned()).collect();
        common.dedup();
        assert_eq!((versions.iter().map(shown).collect::<Vec<_>>(), prefixes), (plain, common));
    }
    let listed = objects.list(listing("", None, None, 1000)).await.unwrap().objects;
    let listed: Vec<_> = listed.iter().map(|object| object.name.as_str().to_owned()).collect();
    let current = model.names.iter().filter(|(_, versions)| versions[0].content.is_some());
    assert_eq!(listed, current.map(|(key, _)| key.clone()).collect::<Vec<_>>());
}

fn copy(key: &str, version: Option<VersionId>, to: &str) -> CopyRequest {
    CopyRequest {
        source: CopySource {
            bucket: bucket(),
            name: name(key),
            version,
            conditions: ReadConditions::default(),
            customer_key: None,
        },
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

#[tokio::test]
async fn deleting_page_by_page_leaves_nothing_behind() {
    let fixture = Fixture::new().await;
    fixture.put("name", "null").await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    for round in 0..6 {
        for key in ["name", "other"] {
            fixture.put(key, format!("{round}")).await;
        }
    }
    let mut request = listing_of("", None, 3);
    loop {
        let page = fixture.objects.list_versions(request.clone()).await.unwrap();
        let items = page.versions.iter().map(|version| DeleteItem {
            name: version.name.clone(),
            version: Some(version.version),
            conditions: DeleteConditions::default(),
        });
        for result in fixture.objects.delete_many(&bucket(), items.collect()).await {
            result.unwrap();
        }
        if !page.truncated {
            break;
        }
        (request.name_after, request.version_after) = (page.next_name, page.next_version);
    }
    fixture.objects.delete_bucket(&bucket()).await.unwrap();
}

#[tokio::test]
async fn versioning_is_never_switched_off_again() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    objects.set_versioning(&bucket(), Versioning::Off).await.unwrap();
    objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    for _ in 0..2 {
        let off = objects.set_versioning(&bucket(), Versioning::Off).await;
        assert!(matches!(off, Err(ObjectError::Unsupported { .. })));
        objects.set_versioning(&bucket(), Versioning::Suspended).await.unwrap();
    }
    let info = objects.head_bucket(&bucket()).await.unwrap();
    assert_eq!(info.settings.versioning, Versioning::Suspended);
}

#[tokio::test]
async fn conditions_of_a_delete_are_about_the_current_version() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    let old = fixture.put("name", "old").await;
    let new = fixture.put("name", "newer").await;
    let delete = |version, conditions| {
        objects.delete(DeleteRequest { version, conditions, ..DeleteRequest::new(bucket(), name("name")) })
    };
    let tag = |etag: ETag| DeleteConditions {
        if_match: Some(EntityTags::Tags(vec![etag.to_string()])),
        ..DeleteConditions::default()
    };
    let any = DeleteConditions { if_match: Some(EntityTags::Any), ..DeleteConditions::default() };
    let failed = |condition| ObjectError::PreconditionFailed { condition }.to_string();
    let told = |result: Result<DeleteResult, ObjectError>| result.unwrap_err().to_string();
    assert_eq!(told(delete(old.version, tag(old.etag)).await), failed(Condition::IfMatch));
    let size = DeleteConditions { if_size: Some(3), ..DeleteConditions::default() };
    assert_eq!(told(delete(None, size.clone()).await), failed(Condition::IfMatchSize));
    let at = DeleteConditions {
        if_modified_at: Some(Timestamp(new.mtime.0 + 5000)),
        ..DeleteConditions::default()
    };
    assert_eq!(told(delete(None, at).await), failed(Condition::IfMatchLastModified));
    let right = DeleteConditions {
        if_size: Some(5),
        if_modified_at: Some(Timestamp(new.mtime.0 / 1000 * 1000)),
        ..tag(new.etag)
    };
    let marker = delete(None, right).await.unwrap();
    assert!(marker.delete_marker);
    // There is nothing current now that could match.
    assert_eq!(told(delete(None, any.clone()).await), failed(Condition::IfMatch));
    delete(None, size).await.unwrap();
    let nothing = DeleteRequest { conditions: any, ..DeleteRequest::new(bucket(), name("nothing")) };
    assert!(matches!(objects.delete(nothing).await, Err(ObjectError::NoSuchKey { .. })));
}

#[tokio::test]
async fn older_versions_are_verified_and_rewrapped_with_the_rest() {
    let fixture = Fixture::new().await;
    fixture.put("name", "null").await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    let large = fixture.put("name", noise(1, 50_000)).await;
    fixture.put("name", "newest").await;
    fixture.delete("name").await;
    let group = fixture.objects.group_of(&bucket()).unwrap();
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    let user = fixture.objects.key_user();
    let done = tokio::task::spawn_blocking(move || user.rewrap(group, active, &mut |_| true).unwrap());
    assert!(done.await.unwrap());
    let fixture = fixture.crash().await;
    let read = |version| fixture.objects.get(GetRequest { version, ..get("name") });
    let read = read(large.version).await.unwrap();
    assert!(read.body.collect().await.unwrap() == noise(1, 50_000));
    let null = GetRequest { version: Some(VersionId::Null), ..get("name") };
    assert_eq!(fixture.objects.get(null).await.unwrap().body.collect().await.unwrap(), b"null");
}

#[tokio::test]
async fn writers_under_the_setting_before_are_done_when_versioning_is_switched() {
    let fixture = Fixture::new().await;
    let objects = fixture.objects.clone();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let objects = objects.clone();
        writers.spawn(async move {
            for round in 0..40 {
                objects.put(put(&format!("name-{}", writer % 2), format!("{round}"))).await.unwrap();
            }
        });
    }
    objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    let null = |key: &str| GetRequest { version: Some(VersionId::Null), ..get(key) };
    let mut before = Vec::new();
    for key in ["name-0", "name-1"] {
        before.push(objects.head(null(key)).await.ok().map(|head| head.info.mtime));
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for (key, before) in ["name-0", "name-1"].into_iter().zip(before) {
        assert_eq!(objects.head(null(key)).await.ok().map(|head| head.info.mtime), before);
    }
}
