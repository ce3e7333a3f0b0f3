"""Versioning: enabled, suspended, delete markers, lists of versions, and what each answer says."""

import datetime
import random

import pytest
from botocore.exceptions import ClientError

import sigv4
from content import MIB, data, read, refused

UNKNOWN = "00000000000000070000000000000007"


@pytest.fixture
def versioned(s3, bucket):
    """A bucket with versioning."""
    switch(s3, bucket, "Enabled")
    return bucket


def switch(s3, bucket, status):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def put(s3, bucket, body, key="k", **arguments):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **arguments).get("VersionId")


def get(s3, bucket, version=None, key="k"):
    return read(s3.get_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {})))


def failure(call):
    """Status, code and headers of an answer that must be an error."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer


def headers(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"]


def listed(s3, bucket, **arguments):
    """All versions in pages, as (key, id, is latest, is marker) in AWS's order: by key, newest first."""
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **arguments):
        entries = [(v, False) for v in page.get("Versions", [])]
        entries += [(v, True) for v in page.get("DeleteMarkers", [])]
        found += [(e["Key"], e["VersionId"], e["IsLatest"], marker) for e, marker in entries]
    return found


def test_versioning_is_switched_on_and_suspended_and_never_off(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Enabled", "Suspended", "Enabled"):
        switch(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status
    with refused("MalformedXML", 400):
        switch(s3, bucket, "Off")
    with refused("NotImplemented", 501):
        s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"}
        )
    with refused("IllegalVersioningConfigurationException", 400):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={})


def test_buckets_without_versions_name_none(s3, bucket):
    reply = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    assert "x-amz-version-id" not in headers(reply)
    assert "x-amz-version-id" not in headers(s3.head_object(Bucket=bucket, Key="k"))
    assert "x-amz-version-id" not in headers(s3.delete_object(Bucket=bucket, Key="k"))


def test_each_write_is_a_version(s3, versioned):
    bodies = [data(size, size) for size in (0, 100, 200_000)]
    ids = [put(s3, versioned, body) for body in bodies]
    assert len(set(ids)) == 3 and "null" not in ids
    assert get(s3, versioned) == bodies[-1]
    for version, body in zip(ids, bodies):
        head = s3.head_object(Bucket=versioned, Key="k", VersionId=version)
        assert (head["VersionId"], head["ContentLength"]) == (version, len(body))
        assert get(s3, versioned, version) == body
        attributes = s3.get_object_attributes(
            Bucket=versioned, Key="k", VersionId=version, ObjectAttributes=["ObjectSize"]
        )
        assert (attributes["VersionId"], attributes["ObjectSize"]) == (version, len(body))
    assert listed(s3, versioned) == [
        ("k", ids[2], True, False), ("k", ids[1], False, False), ("k", ids[0], False, False)
    ]


def test_a_delete_hides_and_its_removal_shows_again(s3, versioned):
    first = put(s3, versioned, b"1")
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    marker = deleted["VersionId"]
    assert deleted["DeleteMarker"] is True and marker not in ("null", first)
    for operation in (s3.get_object, s3.head_object):
        status, code, answer = failure(lambda: operation(Bucket=versioned, Key="k"))
        assert status == 404 and code in ("NoSuchKey", "404")
        assert headers(answer)["x-amz-delete-marker"] == "true"
        assert headers(answer)["x-amz-version-id"] == marker
        status, code, answer = failure(lambda: operation(Bucket=versioned, Key="k", VersionId=marker))
        assert status == 405 and code in ("MethodNotAllowed", "405")
        assert headers(answer)["allow"] == "DELETE"
        assert headers(answer)["x-amz-delete-marker"] == "true"
        datetime.datetime.strptime(headers(answer)["last-modified"], "%a, %d %b %Y %H:%M:%S GMT")
    assert s3.list_objects_v2(Bucket=versioned)["KeyCount"] == 0
    assert "Contents" not in s3.list_objects(Bucket=versioned)
    assert get(s3, versioned, first) == b"1"
    undone = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (undone["DeleteMarker"], undone["VersionId"]) == (True, marker)
    assert get(s3, versioned) == b"1"


def test_deletes_of_versions_promote_the_one_before(s3, versioned):
    ids = [put(s3, versioned, str(n).encode()) for n in range(4)]
    gone = s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[3])
    assert gone["VersionId"] == ids[3] and "DeleteMarker" not in gone
    assert get(s3, versioned) == b"2"
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[1])
    assert [entry[1] for entry in listed(s3, versioned)] == [ids[2], ids[0]]
    with refused("NoSuchVersion", 404):
        get(s3, versioned, ids[1])
    # Once more is no error.
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[1])


def test_ids_that_are_none_and_ids_of_nothing_are_told_apart(s3, versioned):
    put(s3, versioned, b"1")
    for operation in (s3.get_object, s3.get_object_tagging):
        with refused("NoSuchVersion", 404):
            operation(Bucket=versioned, Key="k", VersionId=UNKNOWN)
        with refused("NoSuchVersion", 404):
            operation(Bucket=versioned, Key="k", VersionId="null")
        status, code, answer = failure(lambda: operation(Bucket=versioned, Key="k", VersionId="x"))
        assert (status, code) == (400, "InvalidArgument")
        assert answer["Error"]["Message"] == "Invalid version id specified"
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=versioned, Key="nothing")


def test_suspension_replaces_the_null_version_wherever_it_is(s3, bucket):
    put(s3, bucket, b"before")
    switch(s3, bucket, "Enabled")
    first = put(s3, bucket, b"1")
    assert get(s3, bucket, "null") == b"before"
    switch(s3, bucket, "Suspended")
    assert put(s3, bucket, b"null 2") == "null"
    assert get(s3, bucket, "null") == get(s3, bucket) == b"null 2"
    put(s3, bucket, b"null 3")
    assert [entry[1] for entry in listed(s3, bucket)] == ["null", first]
    switch(s3, bucket, "Enabled")
    second = put(s3, bucket, b"2")
    switch(s3, bucket, "Suspended")
    deleted = s3.delete_object(Bucket=bucket, Key="k")
    assert (deleted["DeleteMarker"], deleted["VersionId"]) == (True, "null")
    assert listed(s3, bucket) == [
        ("k", second, False, False), ("k", first, False, False), ("k", "null", True, True)
    ]
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert get(s3, bucket) == b"2"


def test_uploads_and_copies_make_versions(s3, versioned):
    first = put(s3, versioned, b"first", Metadata={"m": "1"})
    upload = s3.create_multipart_upload(Bucket=versioned, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=versioned, Key="k", UploadId=upload, PartNumber=1, Body=data(MIB))
    done = s3.complete_multipart_upload(
        Bucket=versioned, Key="k", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert get(s3, versioned, done["VersionId"]) == data(MIB)
    source = {"Bucket": versioned, "Key": "k", "VersionId": first}
    restored = s3.copy_object(Bucket=versioned, Key="k", CopySource=source)
    assert restored["CopySourceVersionId"] == first and restored["VersionId"] not in (first, done["VersionId"])
    assert get(s3, versioned) == b"first"
    assert s3.head_object(Bucket=versioned, Key="k")["Metadata"] == {"m": "1"}
    upload = s3.create_multipart_upload(Bucket=versioned, Key="parts")["UploadId"]
    part = s3.upload_part_copy(Bucket=versioned, Key="parts", UploadId=upload, PartNumber=1, CopySource=source)
    assert part["CopySourceVersionId"] == first
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with refused("InvalidRequest", 400):
        s3.copy_object(
        Bucket=versioned, Key="c", CopySource={"Bucket": versioned, "Key": "k", "VersionId": marker}
        )
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={"Bucket": versioned, "Key": "k"})


def test_tags_are_of_a_version(s3, versioned):
    first, second = (put(s3, versioned, body, Tagging=f"t={body.decode()}") for body in (b"1", b"2"))
    tags = lambda version: s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=version)["TagSet"]
    reply = s3.put_object_tagging(
        Bucket=versioned, Key="k", VersionId=first, Tagging={"TagSet": [{"Key": "t", "Value": "3"}]}
    )
    assert reply["VersionId"] == first
    assert (tags(first), tags(second)) == ([{"Key": "t", "Value": "3"}], [{"Key": "t", "Value": "2"}])
    assert s3.delete_object_tagging(Bucket=versioned, Key="k")["VersionId"] == second
    assert (len(tags(first)), tags(second)) == (1, [])


def test_a_batch_answers_for_each(s3, versioned):
    old, new = put(s3, versioned, b"1"), put(s3, versioned, b"2")
    put(s3, versioned, b"x", key="other")
    marker = s3.delete_object(Bucket=versioned, Key="gone")["VersionId"]
    objects = [
        {"Key": "k", "VersionId": old},
        {"Key": "other"},
        {"Key": "gone", "VersionId": marker},
        {"Key": "bad", "VersionId": "x"},
        {"Key": "k", "VersionId": UNKNOWN},
    ]
    reply = s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})
    deleted = {(entry["Key"], entry.get("VersionId")): entry for entry in reply["Deleted"]}
    assert "DeleteMarker" not in deleted["k", old]
    made = deleted["other", None]
    assert made["DeleteMarker"] is True and made["DeleteMarkerVersionId"] not in (marker, "null")
    removed = deleted["gone", marker]
    assert (removed["DeleteMarker"], removed["DeleteMarkerVersionId"]) == (True, marker)
    assert ("k", UNKNOWN) in deleted
    [error] = reply["Errors"]
    assert (error["Key"], error["Code"], error["VersionId"]) == ("bad", "NoSuchVersion", "x")
    assert get(s3, versioned, new) == b"2"


def test_conditional_deletes_look_at_the_current_version(s3, versioned):
    put(s3, versioned, b"1")
    etag = s3.head_object(Bucket=versioned, Key="k")["ETag"]
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=versioned, Key="k", IfMatch='"other"')
    assert s3.delete_object(Bucket=versioned, Key="k", IfMatch=etag)["DeleteMarker"] is True
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=versioned, Key="k", IfMatch="*")
    with refused("NoSuchKey", 404):
        s3.delete_object(Bucket=versioned, Key="none", IfMatch="*")
    put(s3, versioned, b"1")
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=versioned, Key="k", IfMatchSize=2)
    s3.delete_object(Bucket=versioned, Key="k", IfMatchSize=1)
    # Under a delete marker there is nothing that could be overwritten.
    s3.put_object(Bucket=versioned, Key="k", Body=b"2", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=versioned, Key="k", Body=b"3", IfNoneMatch="*")


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_pages_of_versions_follow_each_other(s3, versioned, size):
    dice = random.Random(size)
    keys = ["a", "a/1", "a/2", "b b", "ü"]
    model = {key: [] for key in keys}
    for n in range(30):
        key = dice.choice(keys)
        if dice.random() < 0.3:
            model[key].insert(0, (s3.delete_object(Bucket=versioned, Key=key)["VersionId"], True))
        else:
            model[key].insert(0, (put(s3, versioned, b"x", key=key), False))
    expected = [
        (key, version, n == 0, marker)
        for key in sorted(model, key=str.encode)
        for n, (version, marker) in enumerate(model[key])
    ]
    arguments = {"PaginationConfig": {"PageSize": size}}
    assert sorted(listed(s3, versioned, **arguments)) == sorted(expected)
    below = [entry for entry in expected if entry[0].startswith("a/")]
    assert sorted(listed(s3, versioned, Prefix="a/", EncodingType="url", **arguments)) == sorted(below)
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=versioned, Delimiter="/", **arguments))
    assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == (["a/"] if below else [])
    assert all(
        len(page.get("Versions", [])) + len(page.get("DeleteMarkers", [])) + len(page.get("CommonPrefixes", []))
        <= size
        for page in pages
    )


def test_markers_of_a_list_are_checked(s3, versioned):
    with refused("InvalidArgument", 400):
        s3.list_object_versions(Bucket=versioned, VersionIdMarker=UNKNOWN)
    with refused("InvalidArgument", 400):
        s3.list_object_versions(Bucket=versioned, KeyMarker="k", VersionIdMarker="x")


def test_a_bucket_with_versions_is_not_empty(s3, versioned):
    version = put(s3, versioned, b"1")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for left in (version, marker):
        with refused("BucketNotEmpty", 409):
            s3.delete_bucket(Bucket=versioned)
        s3.delete_object(Bucket=versioned, Key="k", VersionId=left)
    assert listed(s3, versioned) == []


def test_encryption_is_of_a_version(s3, versioned):
    kms = put(s3, versioned, data(20_000, 1), ServerSideEncryption="aws:kms")
    plain = put(s3, versioned, data(20_000, 2))
    head = lambda version: s3.head_object(Bucket=versioned, Key="k", VersionId=version)
    assert head(kms)["ServerSideEncryption"] == "aws:kms" and head(plain)["ServerSideEncryption"] == "AES256"
    assert (get(s3, versioned, kms), get(s3, versioned, plain)) == (data(20_000, 1), data(20_000, 2))


def test_a_delete_marker_is_no_object_to_any_method(server, s3, versioned):
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for method, query in (("GET", []), ("GET", [("tagging", "")])):
        query = [*query, ("versionId", marker)]
        reply = sigv4.request(server.s3_url, method, f"/{versioned}/k", query=query)
        assert reply.status == 405, reply.body
        assert b"<Method>GET</Method><ResourceType>DeleteMarker</ResourceType>" in reply.body


def test_a_bucket_that_only_looks_empty_says_so(s3, bucket):
    empty = "The bucket you tried to delete is not empty"
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("BucketNotEmpty", 409) as failed:
        s3.delete_bucket(Bucket=bucket)
    assert failed.response["Error"]["Message"] == empty
    switch(s3, bucket, "Enabled")
    s3.delete_object(Bucket=bucket, Key="k")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    with refused("BucketNotEmpty", 409) as failed:
        s3.delete_bucket(Bucket=bucket)
    assert failed.response["Error"]["Message"] == f"{empty}. You must delete all versions in the bucket."
