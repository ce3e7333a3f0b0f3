//! Multipart uploads.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use strongroom_objects::request::*;
use strongroom_objects::*;

use crate::model::{Object, Upload, may_write};
use crate::run::{Run, agreed, meta, refusal, tags, user};
use crate::steps::{Condition, PART_MIN, Which};
use crate::support::{bucket, complete, name, noise, part};

impl Run {
    pub(crate) async fn start(&mut self, key: &'static str, number: u8) {
        if self.model.uploads.len() == 5 {
            return;
        }
        let (user, tags) = (user(self.step), tags(number));
        let meta = meta(&user, &tags);
        let request = CreateUpload {
            bucket: bucket(),
            name: name(key),
            meta,
            sse: SseRequest::Default,
            checksum: None,
        };
        let id = self.objects().create_upload(request).await.unwrap().upload;
        self.model.uploads.push(Upload { id, key, user, tags, parts: BTreeMap::new() });
    }

    /// An upload that is open, or, now and then, one that was.
    pub(crate) fn upload(&self, number: u8) -> Option<(Upload, Option<usize>)> {
        let (open, ended) = (&self.model.uploads, &self.model.ended);
        if number % 8 == 7 && !ended.is_empty() {
            return Some((ended[usize::from(number / 8) % ended.len()].clone(), None));
        }
        let at = usize::from(number) % open.len().max(1);
        open.get(at).map(|upload| (upload.clone(), Some(at)))
    }

    pub(crate) async fn put_part(&mut self, upload: u8, number: u32, content: Vec<u8>) {
        let Some((upload, at)) = self.upload(upload) else { return };
        let stored = self.objects().put_part(part(upload.key, upload.id, number, content.clone())).await;
        match (stored, at) {
            (Ok(stored), Some(at)) => {
                assert_eq!(stored.etag, ETag::Md5(Md5::digest(&content).into()));
                self.model.uploads[at].parts.insert(number, (stored.etag, content));
            }
            (Err(ObjectError::NoSuchUpload { .. }), None) => {}
            (other, _) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn copy_part(&mut self, upload: u8, number: u32, from: &'static str, which: Which) {
        let Some((upload, Some(at))) = self.upload(upload) else { return };
        let version = self.version(from, which);
        let conditions = ReadConditions::default();
        let request = CopyPart {
            source: CopySource {
                bucket: bucket(),
                name: name(from),
                version,
                conditions,
                customer_key: None,
            },
            range: None,
            bucket: bucket(),
            name: name(upload.key),
            upload: upload.id,
            part: PartNumber::new(number).unwrap(),
            customer_key: None,
        };
        let expected = self.model.find(from, version).cloned();
        let Some((stored, found)) = agreed(self.objects().copy_part(request).await, expected) else { return };
        self.model.uploads[at].parts.insert(number, (stored.etag, found.object.unwrap().content));
    }

    pub(crate) async fn complete(
        &mut self,
        upload: u8,
        numbers: &[u8],
        wrong_tag: bool,
        condition: Condition,
    ) {
        let Some((upload, at)) = self.upload(upload) else { return };
        let wrong = ETag::Md5([9; 16]);
        let named: Vec<(u32, ETag)> = numbers
            .iter()
            .map(|number| u32::from(*number) + 1)
            .map(|number| (number, upload.parts.get(&number).map_or(wrong, |(etag, _)| *etag)))
            .map(|(number, etag)| (number, if wrong_tag { wrong } else { etag }))
            .collect();
        let mut request = complete(upload.key, upload.id, &named);
        request.conditions = self.write_conditions(upload.key, condition);
        let done = self.objects().complete_upload(request).await;
        let Some(at) = at else {
            // One that was completed may say so again; nothing may change.
            assert!(done.is_err() || !named.is_empty());
            return;
        };
        let known =
            |(number, etag): &(u32, ETag)| upload.parts.get(number).is_some_and(|part| part.0 == *etag);
        let sizes: Vec<_> = named.iter().filter_map(|(number, _)| upload.parts.get(number)).collect();
        let refused = match &done {
            Err(ObjectError::NoParts) => named.is_empty(),
            Err(ObjectError::InvalidPartOrder { .. }) => !named.is_sorted_by(|left, right| left.0 < right.0),
            Err(ObjectError::InvalidPart { .. }) => !named.iter().all(known),
            Err(ObjectError::EntityTooSmall { .. }) => {
                sizes.iter().rev().skip(1).any(|part| part.1.len() < PART_MIN)
            }
            Err(error) => refusal(error)
                .is_some_and(|said| may_write(condition, self.model.current(upload.key)) == Err(said)),
            Ok(_) => false,
        };
        match done {
            Ok(put) => {
                assert!(!named.is_empty() && named.iter().all(known));
                assert_eq!(may_write(condition, self.model.current(upload.key)), Ok(()));
                let content = sizes.iter().flat_map(|part| part.1.iter().copied()).collect();
                self.completed(at, &put, content, named.len() as u16);
            }
            Err(error) => assert!(refused, "refused: {error}"),
        }
    }

    fn completed(&mut self, at: usize, put: &PutResult, content: Vec<u8>, parts: u16) {
        let upload = self.model.uploads.remove(at);
        let object = Object {
            content,
            etag: put.etag,
            user: upload.user.clone(),
            tags: upload.tags.clone(),
            parts: Some(parts),
        };
        assert!(matches!(put.etag, ETag::Multipart { parts: said, .. } if said == parts));
        self.written(upload.key, put, object);
        self.model.ended.push(upload);
    }

    pub(crate) async fn complete_large(&mut self, key: &'static str, size: usize) {
        let before = self.model.uploads.len();
        self.start(key, 3).await;
        if self.model.uploads.len() == before {
            return;
        }
        let upload = self.model.uploads[before].id;
        let mut named = Vec::new();
        let mut content = Vec::new();
        for (number, length) in [(2, PART_MIN), (7, size)] {
            let piece = noise(self.step * 10 + u64::from(number), length);
            let stored = self.objects().put_part(part(key, upload, number, piece.clone())).await.unwrap();
            named.push((number, stored.etag));
            content.extend(piece);
        }
        let put = self.objects().complete_upload(complete(key, upload, &named)).await.unwrap();
        self.completed(before, &put, content, 2);
    }

    pub(crate) async fn abort(&mut self, upload: u8) {
        let Some((upload, at)) = self.upload(upload) else { return };
        let done = self.objects().abort_upload(&bucket(), &name(upload.key), upload.id).await;
        match (done, at) {
            (Ok(()), Some(at)) => {
                let ended = self.model.uploads.remove(at);
                self.model.ended.push(ended);
            }
            (Err(ObjectError::NoSuchUpload { .. }), None) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}
