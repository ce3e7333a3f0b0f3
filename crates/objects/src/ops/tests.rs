//! Rows that cannot be read do not keep others from being listed.

use strongroom_store::{Command, Write};

use crate::request::{ListUploads, ListVersions};
use crate::rows;
use crate::support::*;
use crate::versions::UNKNOWN;
use crate::{ObjectError, SseRequest, Timestamp, UploadId};

/// Makes a row into what is no row.
fn spoil(fixture: &Fixture, key: Vec<u8>) {
    let group = fixture.objects.0.bucket(&bucket()).unwrap().group;
    let writes = vec![Write::Put { key, value: vec![1, 0xff, 0xff] }];
    fixture.store.commit_blocking(Command { group, checks: Vec::new(), writes }).unwrap();
}

#[tokio::test]
async fn an_object_whose_row_cannot_be_read_is_listed_without_size_and_time_between_the_others() {
    let fixture = Fixture::new().await;
    let names = ["a", "b/1", "b/2", "c"];
    for name in names {
        fixture.put(name, "content").await;
    }
    spoil(&fixture, rows::head_key(&name("b/1")));
    let found = fixture.objects.list(listing("", None, None, 100)).await.unwrap().objects;
    assert_eq!(found.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), names);
    let spoilt = &found[1];
    assert_eq!((spoilt.size, spoilt.mtime, spoilt.version), (0, Timestamp(0), UNKNOWN));
    assert!(spoilt.checksums.is_empty());
    assert!([0, 2, 3].iter().all(|at| found[*at].size == 7 && found[*at].mtime > Timestamp(0)));
    // Pages go on behind it, and a delimiter rolls it up.
    let mut paged = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = fixture.objects.list(listing("", None, after.as_deref(), 1)).await.unwrap();
        paged.extend(page.objects);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, found);
    let rolled = fixture.objects.list(listing("", Some("/"), None, 100)).await.unwrap();
    assert_eq!((rolled.objects.len(), rolled.common_prefixes), (2, vec!["b/".to_owned()]));
    let versions = ListVersions {
        bucket: bucket(),
        prefix: String::new(),
        delimiter: None,
        name_after: None,
        version_after: None,
        max: 100,
    };
    let versions = fixture.objects.list_versions(versions).await.unwrap().versions;
    assert_eq!(versions.iter().map(|version| version.name.as_str()).collect::<Vec<_>>(), names);
    // What is known of it otherwise, a read says.
    let damaged = fixture.read("b/1").await;
    assert!(matches!(damaged, Err(ObjectError::Damaged(place)) if place.name == name("b/1")));
    assert_eq!(fixture.read("b/2").await.unwrap(), b"content");
}

#[tokio::test]
async fn an_upload_whose_row_cannot_be_read_is_left_out_of_the_list_of_the_others() {
    let fixture = Fixture::new().await;
    let mut begun: Vec<UploadId> = Vec::new();
    for name in ["a", "b", "b", "c"] {
        begun.push(upload(&fixture.objects, name, SseRequest::Default).await);
    }
    spoil(&fixture, rows::upload_key(&name("b"), &begun[1]));
    let request = |name_after: Option<String>, upload_after, max| ListUploads {
        bucket: bucket(),
        prefix: String::new(),
        delimiter: None,
        name_after,
        upload_after,
        max,
    };
    let listed = fixture.objects.list_uploads(request(None, None, 100)).await.unwrap();
    let expected = [begun[0], begun[2], begun[3]];
    assert_eq!(listed.uploads.iter().map(|listed| listed.upload).collect::<Vec<_>>(), expected);
    let (mut paged, mut after) = (Vec::new(), (None, None));
    loop {
        let page = fixture.objects.list_uploads(request(after.0, after.1, 1)).await.unwrap();
        paged.extend(page.uploads.iter().map(|listed| listed.upload));
        if !page.truncated {
            break;
        }
        after = (page.next_name, page.next_upload);
    }
    assert_eq!(paged, expected);
}
