"""Server-side copies."""

import base64
import contextlib
import stat
import time

import pytest

from content import KIB, MIB, ODD_KEYS, data, md5, read, refused
from sigv4 import sse_c


@pytest.mark.parametrize("size", [0, 10, 16 * KIB + 1, 3 * MIB])
def test_a_copy_has_content_metadata_and_type_of_its_source(s3, bucket, size):
    body = data(size)
    s3.put_object(Bucket=bucket, Key="a", Body=body, Metadata={"kind": "x"}, ContentType="text/plain")
    reply = s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    assert reply["CopyObjectResult"]["ETag"] == f'"{md5(body)}"'
    got = s3.get_object(Bucket=bucket, Key="b")
    assert read(got) == body
    assert (got["Metadata"], got["ContentType"]) == ({"kind": "x"}, "text/plain")


def test_a_copy_may_replace_metadata(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"old": "1"}, ContentType="text/plain")
    s3.copy_object(
        Bucket=bucket,
        Key="b",
        CopySource={"Bucket": bucket, "Key": "a"},
        MetadataDirective="REPLACE",
        Metadata={"new": "2"},
        ContentType="text/html",
    )
    head = s3.head_object(Bucket=bucket, Key="b")
    assert (head["Metadata"], head["ContentType"]) == ({"new": "2"}, "text/html")


def test_a_copy_lives_on_when_its_source_goes(s3, bucket):
    body = data(MIB)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    s3.delete_object(Bucket=bucket, Key="a")
    assert read(s3.get_object(Bucket=bucket, Key="b")) == body


def test_a_copy_to_another_bucket(s3, bucket):
    other = bucket + "-other"
    s3.create_bucket(Bucket=other)
    body = data(MIB, 1)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    s3.copy_object(Bucket=other, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)
    assert read(s3.get_object(Bucket=other, Key="b")) == body


def test_a_copy_onto_itself_needs_a_change(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"old": "1"})
    source = {"Bucket": bucket, "Key": "a"}
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="a", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"new": "2"}
    )
    got = s3.get_object(Bucket=bucket, Key="a")
    assert (read(got), got["Metadata"]) == (b"x", {"new": "2"})


def test_a_missing_source_is_named(s3, bucket):
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "missing"})
    with refused("NoSuchBucket", 404):
        s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": "no-such-bucket", "Key": "a"})


@pytest.mark.parametrize("key", [key for key in ODD_KEYS if len(key) < 100], ids=lambda key: ascii(key)[:30])
def test_odd_names_are_copied_from_and_to(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=b"odd")
    s3.copy_object(Bucket=bucket, Key=key + " copy", CopySource={"Bucket": bucket, "Key": key})
    assert read(s3.get_object(Bucket=bucket, Key=key + " copy")) == b"odd"


def test_a_copy_onto_itself_that_names_a_storage_class_is_a_change(s3, bucket):
    names = {"Bucket": bucket, "Key": "a"}
    s3.put_object(**names, Body=b"x", StorageClass="STANDARD_IA", Metadata={"kept": "1"})
    class_of = lambda: s3.head_object(**names).get("StorageClass", "STANDARD")
    for named in ("STANDARD_IA", "STANDARD", "STANDARD", "ONEZONE_IA"):
        s3.copy_object(**names, CopySource=names, StorageClass=named)
        assert class_of() == named
        assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == named
    got = s3.get_object(**names)
    assert (read(got), got["Metadata"]) == (b"x", {"kept": "1"})
    # The class is never inherited, but leaving it out is no change.
    with refused("InvalidRequest", 400):
        s3.copy_object(**names, CopySource=names)


@pytest.mark.ours
@pytest.mark.parametrize("size", [10, MIB])
@pytest.mark.parametrize("kind", ["aws:kms", "aws:kms:dsse", "SSE-C"])
def test_a_copy_onto_itself_returns_to_the_buckets_encryption(tls_s3, tls_bucket, kind, size):
    names = {"Bucket": tls_bucket, "Key": "a"}
    body = data(size)
    if kind == "SSE-C":
        tls_s3.put_object(**names, Body=body, **sse_c(b"k" * 32))
        of_source = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": b"k" * 32}
    else:
        tls_s3.put_object(**names, Body=body, ServerSideEncryption=kind)
        of_source = {}
    copied = tls_s3.copy_object(**names, CopySource=names, **of_source)
    assert copied["ServerSideEncryption"] == "AES256"
    got = tls_s3.get_object(**names)
    assert (read(got), got["ServerSideEncryption"], got["ETag"]) == (body, "AES256", f'"{md5(body)}"')
    with refused("InvalidRequest", 400):
        tls_s3.copy_object(**names, CopySource=names)


def disk_usage(folder):
    """What the files below a folder take, as du counts: each once, under however many names it is."""
    files = {}
    for path in folder.rglob("*"):
        # It may go while we look.
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                files[found.st_ino] = found.st_blocks * 512
    return sum(files.values())


def upload_in_parts(s3, bucket, key, parts, **arguments):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **arguments)["UploadId"]
    done = []
    for number, part in enumerate(parts, start=1):
        reply = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)
        done.append({"PartNumber": number, "ETag": reply["ETag"]})
    listed = {"Parts": done}
    reply = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=listed)
    return reply["VersionId"]


@pytest.mark.ours
def test_versions_that_differ_in_their_encryption_alone_take_the_space_of_one(start):
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    parts = [data(8 * MIB, seed=1), data(8 * MIB, seed=2), data(4 * MIB, seed=3)]
    body = b"".join(parts)
    versions = [upload_in_parts(s3, "versions", "k", parts, Metadata={"kept": "yes"})]
    blobs = server.data_dir / "blobs"
    before = disk_usage(blobs)
    assert before > 20 * MIB
    source = {"Bucket": "versions", "Key": "k"}
    context = {"SSEKMSEncryptionContext": base64.b64encode(b'{"team": "blue"}').decode()}
    for target in (
        {"ServerSideEncryption": "aws:kms", **context},
        {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True},
        {"ServerSideEncryption": "AES256"},
    ):
        copied = s3.copy_object(**source, CopySource=source, **target)
        versions.append(copied["VersionId"])
        assert copied["CopySourceVersionId"] == versions[-2]
        assert copied["ServerSideEncryption"] == target["ServerSideEncryption"]
        head = s3.head_object(**source)
        assert (head["VersionId"], head["ETag"]) == (versions[-1], copied["CopyObjectResult"]["ETag"])
        assert head["ETag"].endswith('-3"') and head["Metadata"] == {"kept": "yes"}
    assert len(set(versions)) == 4
    of = lambda version, **more: read(s3.get_object(**source, VersionId=version, **more))
    assert all(of(version) == body for version in versions)
    assert disk_usage(blobs) < before + MIB
    # What others came from goes, and they stay.
    s3.delete_object(**source, VersionId=versions.pop(0))
    s3.delete_object(**source, VersionId=versions.pop(0))
    server.kill()
    s3 = server.start().client()
    assert all(of(version) == body for version in versions)
    assert of(versions[0], PartNumber=2) == parts[1]
    first, last = 8 * MIB - 5, 16 * MIB + 4
    assert of(versions[1], Range=f"bytes={first}-{last}") == body[first : last + 1]
    # An older one comes back.
    back = s3.copy_object(**source, CopySource={**source, "VersionId": versions[0]}, ServerSideEncryption="aws:kms")
    assert read(s3.get_object(**source)) == body
    assert disk_usage(blobs) < before + MIB
    for version in (*versions, back["VersionId"]):
        assert of(version) == body
        s3.delete_object(**source, VersionId=version)
    deadline = time.monotonic() + 60
    while disk_usage(blobs) > MIB:
        assert time.monotonic() < deadline, "the files go with their last names"
        time.sleep(0.1)
