"""Conditional reads, writes, copies and multipart completion."""

import concurrent.futures
import datetime

import pytest
from botocore.exceptions import ClientError

import sigv4
from content import MIB, data, md5, read, refused

DAY = datetime.timedelta(days=1)
OTHER = f'"{md5(b"other")}"'


@pytest.fixture
def stored(s3, bucket):
    """ETag and modification time of the object `k`."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"content")
    head = s3.head_object(Bucket=bucket, Key="k")
    return head["ETag"], head["LastModified"]


def reads(etag, modified):
    """Conditions and what they answer: None is the object itself (RFC 9110 §13.2.2 for those that meet)."""
    before, after = modified - DAY, modified + DAY
    return [
        ({"IfMatch": etag}, None),
        ({"IfMatch": etag.strip('"')}, None),
        ({"IfMatch": OTHER}, 412),
        ({"IfMatch": "*"}, None),
        ({"IfNoneMatch": etag}, 304),
        ({"IfNoneMatch": OTHER}, None),
        ({"IfNoneMatch": "*"}, 304),
        ({"IfModifiedSince": before}, None),
        ({"IfModifiedSince": modified}, 304),
        ({"IfModifiedSince": after}, None),
        ({"IfUnmodifiedSince": before}, 412),
        ({"IfUnmodifiedSince": modified}, None),
        ({"IfMatch": etag, "IfUnmodifiedSince": before}, None),
        ({"IfNoneMatch": etag, "IfModifiedSince": before}, 304),
        ({"IfNoneMatch": OTHER, "IfModifiedSince": modified}, None),
        ({"IfMatch": OTHER, "IfUnmodifiedSince": after}, 412),
    ]


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
@pytest.mark.parametrize("case", range(16))
def test_conditional_reads(s3, bucket, stored, operation, case):
    conditions, status = reads(*stored)[case]
    try:
        reply = getattr(s3, operation)(Bucket=bucket, Key="k", **conditions)
        found = None
        assert reply["ContentLength"] == len(b"content")
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert found == status, conditions


def test_a_write_only_if_absent(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"first"


def test_a_write_only_over_what_was_read(s3, bucket, stored):
    etag, _ = stored
    s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=etag)
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=etag)
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"second"


def test_a_write_over_what_is_gone_is_refused(s3, bucket, stored):
    s3.delete_object(Bucket=bucket, Key="k")
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=stored[0])


@pytest.mark.parametrize("size", [10, MIB])
def test_one_of_many_writers_creates(s3, bucket, size):
    def write(n):
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=data(size, n), IfNoneMatch="*")
            return n
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")
            return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        winners = [n for n in pool.map(write, range(16)) if n is not None]
    assert len(winners) == 1
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(size, winners[0])


def test_multipart_completion_only_if_absent_or_unchanged(s3, bucket):
    def upload(body, **conditions):
        upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=body)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        return s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=parts, **conditions
        )["ETag"]

    etag = upload(b"first", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        upload(b"second", IfNoneMatch="*")
    upload(b"third", IfMatch=etag)
    with refused("PreconditionFailed", 412):
        upload(b"fourth", IfMatch=etag)
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"third"


CONDITION_OF_SOURCE = {
    "CopySourceIfMatch": "x-amz-copy-source-If-Match",
    "CopySourceIfNoneMatch": "x-amz-copy-source-If-None-Match",
    "CopySourceIfModifiedSince": "x-amz-copy-source-If-Modified-Since",
    "CopySourceIfUnmodifiedSince": "x-amz-copy-source-If-Unmodified-Since",
}


@pytest.mark.parametrize(
    "name, good",
    [("CopySourceIfMatch", True), ("CopySourceIfNoneMatch", False)],
)
def test_a_copy_only_of_what_was_read(s3, bucket, stored, name, good):
    etag, _ = stored
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **{name: etag if good else OTHER})
    with refused("PreconditionFailed", 412) as failed:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **{name: OTHER if good else etag})
    assert failed.response["Error"]["Condition"] == CONDITION_OF_SOURCE[name]


def test_a_copy_only_of_what_changed_or_did_not(s3, bucket, stored):
    _, modified = stored
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfModifiedSince=modified - DAY)
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfUnmodifiedSince=modified)
    # A date that is still to come says nothing.
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfModifiedSince=modified + DAY)
    for condition in ({"CopySourceIfModifiedSince": modified}, {"CopySourceIfUnmodifiedSince": modified - DAY}):
        with refused("PreconditionFailed", 412) as failed:
            s3.copy_object(Bucket=bucket, Key="c", CopySource=source, **condition)
        [name] = condition
        assert failed.response["Error"]["Condition"] == CONDITION_OF_SOURCE[name]


def test_a_copy_only_if_absent_or_over_what_was_read(s3, bucket, stored):
    etag, _ = stored
    source = {"Bucket": bucket, "Key": "k"}
    copy = lambda **conditions: s3.copy_object(Bucket=bucket, Key="to", CopySource=source, **conditions)
    with refused("NoSuchKey", 404):
        copy(IfMatch=etag)
    copy(IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="to", Body=b"precious")
    precious = s3.head_object(Bucket=bucket, Key="to")["ETag"]
    for condition, name in (({"IfNoneMatch": "*"}, "If-None-Match"), ({"IfMatch": OTHER}, "If-Match")):
        with refused("PreconditionFailed", 412) as failed:
            copy(**condition)
        assert failed.response["Error"]["Condition"] == name
    assert read(s3.get_object(Bucket=bucket, Key="to")) == b"precious"
    copy(IfMatch=precious)
    assert read(s3.get_object(Bucket=bucket, Key="to")) == b"content"


def test_a_copy_onto_itself_keeps_its_conditions(s3, bucket, stored):
    etag, _ = stored
    itself = {"Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "k"}}
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": OTHER}):
        for change in ({"ServerSideEncryption": "AES256"}, {"MetadataDirective": "REPLACE"}):
            with refused("PreconditionFailed", 412):
                s3.copy_object(**itself, **condition, **change)
    s3.copy_object(**itself, IfMatch=etag, ServerSideEncryption="AES256")


WRITES = ["put_object", "copy_object", "complete_multipart_upload"]


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize(
    "conditions, header, why",
    [
        ({"IfNoneMatch": OTHER}, "If-None-Match", "We don't accept the provided value of If-None-Match header for this API"),
        ({"IfMatch": "*"}, "If-Match", "We don't accept the provided value of If-Match header for this API"),
        (
            {"IfMatch": OTHER, "IfNoneMatch": "*"},
            "If-Match,If-None-Match",
            "Multiple conditional request headers present in the request",
        ),
    ],
    ids=["none-match", "match", "both"],
)
def test_a_condition_that_aws_does_not_know_is_not_implemented(s3, bucket, stored, operation, conditions, header, why):
    arguments = {"Bucket": bucket, "Key": "k"}
    if operation == "copy_object":
        arguments |= {"CopySource": {"Bucket": bucket, "Key": "k"}, "MetadataDirective": "REPLACE"}
    if operation == "complete_multipart_upload":
        arguments["UploadId"] = s3.create_multipart_upload(**arguments)["UploadId"]
        etag = s3.upload_part(**arguments, PartNumber=1, Body=b"x")["ETag"]
        arguments["MultipartUpload"] = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    with refused("NotImplemented", 501) as failed:
        getattr(s3, operation)(**arguments, **conditions)
    error = failed.response["Error"]
    assert (error["Header"], error["additionalMessage"]) == (header, why)
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == stored[0]


def test_a_download_that_goes_on_gets_no_bytes_of_another_version(server, s3, bucket, stored):
    etag, modified = stored
    date = modified.strftime("%a, %d %b %Y %H:%M:%S GMT")
    before = (modified - DAY).strftime("%a, %d %b %Y %H:%M:%S GMT")

    def resume(if_range):
        headers = {"range": "bytes=3-", "if-range": if_range}
        reply = sigv4.request(server.s3_url, "GET", f"/{bucket}/k", headers=headers)
        head = sigv4.request(server.s3_url, "HEAD", f"/{bucket}/k", headers=headers)
        assert head.status == reply.status
        return reply.status, reply.body

    for same in (etag, date):
        assert resume(same) == (206, b"tent"), same
    for other in (OTHER, f"W/{etag}", before, "nonsense"):
        assert resume(other) == (200, b"content"), other
    s3.put_object(Bucket=bucket, Key="k", Body=b"another version")
    assert resume(etag) == (200, b"another version")
