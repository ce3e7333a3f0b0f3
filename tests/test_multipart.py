"""Multipart uploads with boto3."""

import concurrent.futures
import datetime

import pytest

import sigv4
from content import KIB, MIB, data, etag_of_parts, md5, read, refused

PART = 5 * MIB


class Upload:
    """One upload of `k`."""

    def __init__(self, s3, bucket, key="k", **options):
        self.s3 = s3
        self.names = {"Bucket": bucket, "Key": key}
        self.id = s3.create_multipart_upload(**self.names, **options)["UploadId"]
        self.names["UploadId"] = self.id
        self.parts = {}

    def put(self, number, body, **options):
        reply = self.s3.upload_part(**self.names, PartNumber=number, Body=body, **options)
        self.parts[number] = reply["ETag"]
        return reply

    def complete(self, numbers=None, **options):
        numbers = sorted(self.parts) if numbers is None else numbers
        parts = [{"PartNumber": n, "ETag": self.parts.get(n, '"0"')} for n in numbers]
        return self.s3.complete_multipart_upload(**self.names, MultipartUpload={"Parts": parts}, **options)


def test_parts_become_one_object(s3, bucket):
    bodies = [data(PART, 1), data(PART + 1, 2), data(17, 3)]
    upload = Upload(s3, bucket, Metadata={"kind": "x"}, ContentType="text/plain")
    for number, body in enumerate(bodies, 1):
        assert upload.put(number, body)["ETag"] == f'"{md5(body)}"'
    assert upload.complete()["ETag"] == etag_of_parts(bodies)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert read(got) == b"".join(bodies)
    assert got["ETag"] == etag_of_parts(bodies)
    assert (got["Metadata"], got["ContentType"]) == ({"kind": "x"}, "text/plain")
    # Across the border of two parts.
    got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={PART - 10}-{PART + 10}")
    assert read(got) == b"".join(bodies)[PART - 10 : PART + 11]


def test_parts_may_come_out_of_order_with_gaps_and_again(s3, bucket):
    upload = Upload(s3, bucket)
    upload.put(10, data(100, 4))
    upload.put(7, data(PART, 3))
    upload.put(2, data(PART, 1))
    upload.put(2, data(PART, 2))
    upload.complete()
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(PART, 2) + data(PART, 3) + data(100, 4)


def test_only_the_named_parts_are_taken(s3, bucket):
    upload = Upload(s3, bucket)
    upload.put(1, data(PART, 1))
    upload.put(2, data(PART, 2))
    upload.put(3, data(10, 3))
    upload.complete([1, 3])
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(PART, 1) + data(10, 3)


def test_a_part_that_is_not_the_last_is_at_least_5_mib(s3, bucket):
    upload = Upload(s3, bucket)
    upload.put(1, data(PART - 1))
    upload.put(2, data(10))
    with refused("EntityTooSmall", 400):
        upload.complete()
    upload.put(1, data(PART))
    upload.complete()


def test_a_wrong_list_of_parts_is_refused(s3, bucket):
    upload = Upload(s3, bucket)
    upload.put(1, data(PART, 1))
    upload.put(2, data(10, 2))
    with refused("InvalidPart", 400):
        upload.complete([1, 3])
    with refused("InvalidPartOrder", 400):
        upload.complete([2, 1])
    good = dict(upload.parts)
    upload.parts[1] = f'"{md5(b"other")}"'
    with refused("InvalidPart", 400):
        upload.complete()
    upload.parts = good
    upload.complete()


def test_no_parts_at_all_are_refused(s3, bucket):
    upload = Upload(s3, bucket)
    with refused({"MalformedXML", "InvalidRequest"}, 400):
        upload.complete([])


@pytest.mark.parametrize("number", [0, 10001])
def test_a_part_number_is_from_1_to_10000(s3, bucket, number):
    upload = Upload(s3, bucket)
    with refused("InvalidArgument", 400):
        upload.put(number, b"x")


def test_parts_are_listed_in_pages(s3, bucket):
    upload = Upload(s3, bucket)
    for number in range(1, 8):
        upload.put(number, data(number))
    seen = []
    marker = 0
    while True:
        page = s3.list_parts(**upload.names, MaxParts=3, PartNumberMarker=marker)
        assert len(page["Parts"]) <= 3
        seen += [(part["PartNumber"], part["Size"], part["ETag"]) for part in page["Parts"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert seen == [(n, n, f'"{md5(data(n))}"') for n in range(1, 8)]


def test_uploads_are_listed_in_pages_by_key(s3, bucket):
    made = [Upload(s3, bucket, key) for key in ("b", "a", "dir/x", "b", "dir/y", "c d")]
    seen = []
    markers = {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **markers)
        seen += [(entry["Key"], entry["UploadId"]) for entry in page.get("Uploads", [])]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert sorted(seen) == sorted((upload.names["Key"], upload.id) for upload in made)
    assert [key for key, _ in seen] == sorted(key for key, _ in seen)
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="d")
    assert [entry["Key"] for entry in page["Uploads"]] == ["dir/x", "dir/y"]
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["dir/"]
    assert [entry["Key"] for entry in page["Uploads"]] == ["a", "b", "b", "c d"]


def test_an_aborted_upload_is_gone(s3, bucket):
    upload = Upload(s3, bucket)
    upload.put(1, data(PART))
    s3.abort_multipart_upload(**upload.names)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    for call in (upload.complete, lambda: upload.put(1, b"x"), lambda: s3.list_parts(**upload.names)):
        with refused("NoSuchUpload", 404):
            call()
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")


def test_nothing_is_seen_before_completion_and_no_upload_after(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    upload = Upload(s3, bucket)
    upload.put(1, b"after")
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"before"
    upload.complete()
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"after"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("versioned", [False, True])
def test_completing_again_gives_the_same_answer_while_the_object_is_the_same(s3, bucket, versioned):
    """The answer to the first request may have been lost, and the client sends it again."""
    if versioned:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    upload = Upload(s3, bucket)
    upload.put(1, data(PART))
    upload.put(2, b"x")
    said = lambda reply: {name: value for name, value in reply.items() if name != "ResponseMetadata"}
    first = said(upload.complete(IfNoneMatch="*"))
    assert said(upload.complete(IfNoneMatch="*")) == said(upload.complete()) == first
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 1
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(PART) + b"x"
    # Another request is none that was carried out, and neither is one whose object is gone.
    upload.parts[3] = upload.parts[2]
    for others in ([1], [1, 3]):
        with refused("NoSuchUpload", 404):
            upload.complete(others)
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    with refused("NoSuchUpload", 404):
        upload.complete([1, 2])
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"newer"


def test_a_bucket_with_an_upload_only_can_be_deleted(s3, bucket):
    upload = Upload(s3, bucket)
    upload.put(1, b"x")
    s3.delete_bucket(Bucket=bucket)
    with refused({"NoSuchBucket", "NoSuchUpload"}, 404):
        upload.complete()


def test_parts_copied_from_objects(s3, bucket):
    source = data(6 * MIB, 9)
    s3.put_object(Bucket=bucket, Key="source +%", Body=source)
    upload = Upload(s3, bucket)
    from_source = {"Bucket": bucket, "Key": "source +%"}
    whole = s3.upload_part_copy(**upload.names, PartNumber=1, CopySource=from_source)
    assert whole["CopyPartResult"]["ETag"] == f'"{md5(source)}"'
    upload.parts[1] = whole["CopyPartResult"]["ETag"]
    some = s3.upload_part_copy(
        **upload.names, PartNumber=2, CopySource=from_source, CopySourceRange="bytes=100-70000"
    )
    upload.parts[2] = some["CopyPartResult"]["ETag"]
    upload.complete()
    assert read(s3.get_object(Bucket=bucket, Key="k")) == source + source[100:70001]
    with refused({"InvalidArgument", "InvalidRange"}):
        s3.upload_part_copy(
            **upload.names, PartNumber=3, CopySource=from_source, CopySourceRange="bytes=0-100000000"
        )


def test_a_part_can_be_read_by_its_number(s3, bucket):
    bodies = [data(PART, 1), data(PART, 2), data(99, 3)]
    upload = Upload(s3, bucket)
    for number, body in enumerate(bodies, 1):
        upload.put(number, body)
    upload.complete()
    for number, body in enumerate(bodies, 1):
        reply = s3.get_object(Bucket=bucket, Key="k", PartNumber=number)
        assert read(reply) == body
        assert reply["PartsCount"] == 3
    assert s3.head_object(Bucket=bucket, Key="k", PartNumber=3)["ContentLength"] == 99
    with refused({"InvalidPartNumber", "InvalidPart", "InvalidRange"}):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=4)


def test_a_part_is_checked_against_its_content_md5(s3, bucket):
    upload = Upload(s3, bucket)
    with refused("BadDigest", 400):
        upload.put(1, b"other", ContentMD5="XrY7u+Ae7tCTyyK7j1rNww==")


def test_parts_of_several_uploads_of_one_key_do_not_mix(s3, bucket):
    uploads = [Upload(s3, bucket) for _ in range(4)]

    def fill(n):
        uploads[n].put(1, data(PART, n))
        uploads[n].put(2, data(10 * KIB, n))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(4)))
    for n, upload in enumerate(uploads):
        upload.complete()
        assert read(s3.get_object(Bucket=bucket, Key="k")) == data(PART, n) + data(10 * KIB, n)


def test_an_unknown_upload_is_named(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for upload_id in ("nothing", "0" * 32, "../../x"):
        with refused("NoSuchUpload", 404):
            s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"x")


@pytest.mark.slow
def test_a_thousand_parts(s3, bucket):
    upload = Upload(s3, bucket)
    body = data(PART)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: upload.put(n, body), range(1, 1001)))
    upload.complete()
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1000 * PART


def test_an_upload_says_when_a_rule_aborts_it(s3, bucket):
    begin = lambda key: s3.create_multipart_upload(Bucket=bucket, Key=key)
    assert "AbortDate" not in begin("dir/before")
    rule = {
        "ID": "no leftovers",
        "Status": "Enabled",
        "Filter": {"Prefix": "dir/"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    begun = begin("dir/k")
    assert begun["AbortRuleId"] == "no leftovers"
    midnight = begun["AbortDate"]
    assert (midnight.hour, midnight.minute, midnight.second) == (0, 0, 0)
    days = (midnight - datetime.datetime.now(datetime.timezone.utc)) / datetime.timedelta(days=1)
    assert 2 <= days + 0.01 and days <= 3
    listed = s3.list_parts(Bucket=bucket, Key="dir/k", UploadId=begun["UploadId"])
    assert (listed["AbortDate"], listed["AbortRuleId"]) == (midnight, "no leftovers")
    assert "AbortDate" not in begin("elsewhere")


def test_a_part_that_is_not_the_one_that_is_meant_is_named(s3, bucket):
    upload = Upload(s3, bucket)
    upload.put(1, b"x")
    upload.parts[1] = '"00112233445566778899aabbccddeeff"'
    with refused("InvalidPart", 400) as failed:
        upload.complete()
    error = failed.response["Error"]
    assert (error["UploadId"], error["PartNumber"]) == (upload.id, "1")
    assert error["ETag"] == "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("part", [False, True])
def test_more_than_five_gib_are_refused_before_they_come(server, s3, bucket, part):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    query = [("partNumber", "1"), ("uploadId", upload)] if part else []
    headers = {"content-length": str(5 * 1024**3 + 1)}
    reply = sigv4.request(
        server.s3_url, "PUT", f"/{bucket}/k", query=query, headers=headers, payload="UNSIGNED-PAYLOAD"
    )
    assert reply.status == 400 and b"<Code>EntityTooLarge</Code>" in reply.body, reply.body
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_completion_names_ten_thousand_parts_at_most(s3, bucket):
    upload = {"Bucket": bucket, "Key": "k", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]}
    etag = s3.upload_part(PartNumber=1, Body=b"x", **upload)["ETag"]
    parts = [{"PartNumber": number, "ETag": etag} for number in range(1, 10_002)]
    with refused("MalformedXML", 400):
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    assert [part["PartNumber"] for part in s3.list_parts(**upload)["Parts"]] == [1]
    with refused("InvalidPart", 400):
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts[:-1]}, **upload)
