//! Listings, page by page, beside what the model holds.

use strongroom_objects::request::*;
use strongroom_objects::*;

use crate::run::Run;
use crate::support::{self, bucket, name};

impl Run {
    pub(crate) async fn list_parts(&self, upload: u8, max: u32) {
        let Some((upload, at)) = self.upload(upload) else { return };
        let mut found = Vec::new();
        let mut after = 0;
        loop {
            let request =
                ListParts { bucket: bucket(), name: name(upload.key), upload: upload.id, after, max };
            match (self.objects().list_parts(request).await, at) {
                (Ok(page), Some(_)) => {
                    found.extend(
                        page.parts.iter().map(|part| (u32::from(part.part.number()), part.etag, part.size)),
                    );
                    after = page.next;
                    if !page.truncated {
                        break;
                    }
                }
                (Err(ObjectError::NoSuchUpload { .. }), None) => return,
                (other, _) => panic!("{other:?}"),
            }
        }
        let known: Vec<_> = upload
            .parts
            .iter()
            .map(|(number, (etag, content))| (*number, *etag, content.len() as u64))
            .collect();
        assert_eq!(found, known);
    }

    pub(crate) async fn list_uploads(&self, prefix: &str) {
        let request = ListUploads {
            bucket: bucket(),
            prefix: prefix.into(),
            delimiter: None,
            name_after: None,
            upload_after: None,
            max: 1000,
        };
        let listed = self.objects().list_uploads(request).await.unwrap().uploads;
        let found: Vec<_> =
            listed.iter().map(|upload| (upload.name.as_str().to_owned(), upload.upload)).collect();
        let mut known: Vec<_> =
            self.model.uploads.iter().filter(|upload| upload.key.starts_with(prefix)).collect();
        // By name, then by age, which an id begins with: the clock of a run that was opened again may say the same twice.
        known.sort_by_key(|upload| (upload.key, upload.id));
        assert_eq!(found, known.iter().map(|upload| (upload.key.to_owned(), upload.id)).collect::<Vec<_>>());
    }

    pub(crate) async fn list(&self, prefix: &str, delimiter: Option<&str>, max: u32) {
        let mut found = Vec::new();
        let mut request = support::listing(prefix, delimiter, None, max);
        loop {
            let page = self.objects().list(request.clone()).await.unwrap();
            assert!(page.objects.len() + page.common_prefixes.len() <= max as usize);
            let objects = page.objects.iter().map(|object| {
                (object.name.as_str().to_owned(), Some((object.size, object.etag, object.version)))
            });
            let mut entries: Vec<_> =
                objects.chain(page.common_prefixes.into_iter().map(|common| (common, None))).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            found.extend(entries);
            assert_eq!(page.truncated, page.next.is_some());
            let Some(next) = page.next else { break };
            request.after = Some(next);
        }
        let mut known = Vec::new();
        for (key, object) in self.model.listed() {
            let id = self.model.versions(key)[0].id;
            let entry = (object.content.len() as u64, object.etag, id);
            match folded(key, prefix, delimiter) {
                None => {}
                Some((shown, false)) => known.push((shown, Some(entry))),
                Some((shown, true)) if known.last().is_some_and(|last: &(String, _)| last.0 == shown) => {}
                Some((shown, true)) => known.push((shown, None)),
            }
        }
        assert_eq!(found, known, "{prefix:?} {delimiter:?} {max}");
    }

    pub(crate) async fn list_versions(&self, prefix: &str, delimiter: Option<&str>, max: u32) {
        let mut found = Vec::new();
        let mut request = ListVersions {
            bucket: bucket(),
            prefix: prefix.into(),
            delimiter: delimiter.map(Into::into),
            name_after: None,
            version_after: None,
            max,
        };
        loop {
            let page = self.objects().list_versions(request.clone()).await.unwrap();
            assert!(page.versions.len() + page.common_prefixes.len() <= max as usize);
            let versions = page.versions.iter().map(|version| {
                let object = version.object.as_ref().map(|object| (object.size, object.etag));
                (version.name.as_str().to_owned(), Some((version.version, object, version.latest)))
            });
            let mut entries: Vec<_> =
                versions.chain(page.common_prefixes.into_iter().map(|common| (common, None))).collect();
            // Keeps the versions of a name in their order.
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            found.extend(entries);
            if !page.truncated {
                break;
            }
            request.name_after = page.next_name;
            request.version_after = page.next_version;
            assert!(request.name_after.is_some() && found.len() < 10_000);
        }
        let mut known = Vec::new();
        for (key, versions) in &self.model.names {
            match folded(key, prefix, delimiter) {
                None => {}
                Some((shown, false)) => {
                    for (at, version) in versions.iter().enumerate() {
                        let object =
                            version.object.as_ref().map(|object| (object.content.len() as u64, object.etag));
                        known.push((shown.clone(), Some((version.id, object, at == 0))));
                    }
                }
                Some((shown, true)) if known.last().is_some_and(|last: &(String, _)| last.0 == shown) => {}
                Some((shown, true)) => known.push((shown, None)),
            }
        }
        assert_eq!(found, known, "{prefix:?} {delimiter:?} {max}");
    }
}

/// What a listing shows for a name, if anything: itself, or a common prefix, which may be as long.
fn folded(key: &str, prefix: &str, delimiter: Option<&str>) -> Option<(String, bool)> {
    let rest = key.strip_prefix(prefix)?;
    let at = delimiter.and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len()));
    Some((key[..at.map_or(key.len(), |at| prefix.len() + at)].to_owned(), at.is_some()))
}
