//! What each operation promises.

mod support;

use strongroom_objects::request::*;
use strongroom_objects::*;
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
