"""SSE-S3, SSE-KMS and SSE-C as their users see them."""

import pytest

from content import KIB, MIB, data, looks_like_md5, md5, read, refused
from sigv4 import key_md5, sse_c

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
SIZES = [0, 10, 100 * KIB, 2 * MIB]


def test_every_object_is_sealed_though_nobody_asked(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert put["ServerSideEncryption"] == head["ServerSideEncryption"] == "AES256"


@pytest.mark.parametrize("size", SIZES)
def test_sse_s3(s3, bucket, size):
    put = s3.put_object(Bucket=bucket, Key="k", Body=data(size), ServerSideEncryption="AES256")
    assert put["ServerSideEncryption"] == "AES256"
    assert put["ETag"] == f'"{md5(data(size))}"'
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(size)


@pytest.mark.ours
@pytest.mark.parametrize("size", SIZES)
def test_sse_kms_with_the_default_key(s3, bucket, size):
    body = data(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ServerSideEncryption="aws:kms")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert read(got) == body
    for reply in (put, got, s3.head_object(Bucket=bucket, Key="k")):
        assert reply["ServerSideEncryption"] == "aws:kms"
        assert reply["SSEKMSKeyId"] == "arn:aws:kms:::key/default"
        assert looks_like_md5(reply["ETag"]) and reply["ETag"] != f'"{md5(body)}"'
    assert read(s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-4")) == body[:5] if body else True


@pytest.mark.ours
def test_sse_kms_with_a_named_and_an_unknown_key(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="default")
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"x"
    with refused("KMS.NotFoundException", 400):
        s3.put_object(Bucket=bucket, Key="j", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="nothing")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="j")


@pytest.mark.parametrize("size", SIZES)
def test_sse_c(tls_s3, tls_bucket, size):
    body = data(size)
    put = tls_s3.put_object(Bucket=tls_bucket, Key="k", Body=body, **sse_c(KEY))
    got = tls_s3.get_object(Bucket=tls_bucket, Key="k", **sse_c(KEY))
    assert read(got) == body
    for reply in (put, got, tls_s3.head_object(Bucket=tls_bucket, Key="k", **sse_c(KEY))):
        assert reply["SSECustomerAlgorithm"] == "AES256"
        assert reply["SSECustomerKeyMD5"] == key_md5(KEY)
        assert reply["ETag"] != f'"{md5(body)}"'
        assert "ServerSideEncryption" not in reply
    if size > 5:
        part = tls_s3.get_object(Bucket=tls_bucket, Key="k", Range="bytes=3-5", **sse_c(KEY))
        assert read(part) == body[3:6]


@pytest.mark.ours
@pytest.mark.parametrize("size", [10, MIB])
def test_sse_c_opens_with_its_key_alone(tls_s3, tls_bucket, size):
    tls_s3.put_object(Bucket=tls_bucket, Key="k", Body=data(size), **sse_c(KEY))
    with refused("AccessDenied", 403):
        tls_s3.get_object(Bucket=tls_bucket, Key="k", **sse_c(OTHER_KEY))
    with refused("InvalidRequest", 400):
        tls_s3.get_object(Bucket=tls_bucket, Key="k")
    with refused("403", 403):
        tls_s3.head_object(Bucket=tls_bucket, Key="k", **sse_c(OTHER_KEY))
    with refused("400", 400):
        tls_s3.head_object(Bucket=tls_bucket, Key="k")


@pytest.mark.ours
def test_a_key_on_an_object_without_one_is_refused(tls_s3, tls_bucket):
    tls_s3.put_object(Bucket=tls_bucket, Key="k", Body=b"x")
    with refused("InvalidRequest", 400):
        tls_s3.get_object(Bucket=tls_bucket, Key="k", **sse_c(KEY))


@pytest.mark.ours
@pytest.mark.parametrize(
    "arguments",
    [
        {**sse_c("k" * 32), "SSECustomerKeyMD5": key_md5(OTHER_KEY)},
        sse_c(b"too short"),
        {**sse_c(KEY), "ServerSideEncryption": "AES256"},
    ],
    ids=["md5", "length", "both"],
)
def test_a_malformed_customer_key_is_refused(tls_s3, tls_bucket, arguments):
    with refused("InvalidArgument", 400):
        tls_s3.put_object(Bucket=tls_bucket, Key="k", Body=b"x", **arguments)


@pytest.mark.ours
def test_another_customer_algorithm_is_refused(tls_s3, tls_bucket):
    arguments = sse_c(KEY) | {"SSECustomerAlgorithm": "AES128"}
    with refused({"InvalidEncryptionAlgorithmError", "InvalidArgument"}, 400):
        tls_s3.put_object(Bucket=tls_bucket, Key="k", Body=b"x", **arguments)


def test_sse_c_multipart_with_one_key_throughout(tls_s3, tls_bucket):
    names = {"Bucket": tls_bucket, "Key": "k"}
    upload = tls_s3.create_multipart_upload(**names, **sse_c(KEY))
    names["UploadId"] = upload["UploadId"]
    bodies = [data(5 * MIB, 1), data(100, 2)]
    parts = []
    for number, body in enumerate(bodies, 1):
        reply = tls_s3.upload_part(**names, PartNumber=number, Body=body, **sse_c(KEY))
        parts.append({"PartNumber": number, "ETag": reply["ETag"]})
    with refused({"InvalidRequest", "AccessDenied"}):
        tls_s3.upload_part(**names, PartNumber=3, Body=b"x", **sse_c(OTHER_KEY))
    with refused("InvalidRequest", 400):
        tls_s3.upload_part(**names, PartNumber=3, Body=b"x")
    tls_s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    got = tls_s3.get_object(Bucket=tls_bucket, Key="k", **sse_c(KEY))
    assert read(got) == b"".join(bodies)


def test_a_copy_out_of_into_and_between_customer_keys(tls_s3, tls_bucket):
    body = data(200 * KIB)
    source = {"Bucket": tls_bucket, "Key": "k"}
    of_source = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": KEY}
    tls_s3.put_object(Bucket=tls_bucket, Key="k", Body=body, **sse_c(KEY))
    tls_s3.copy_object(Bucket=tls_bucket, Key="other", CopySource=source, **of_source, **sse_c(OTHER_KEY))
    assert read(tls_s3.get_object(Bucket=tls_bucket, Key="other", **sse_c(OTHER_KEY))) == body
    reply = tls_s3.copy_object(Bucket=tls_bucket, Key="plain", CopySource=source, **of_source)
    assert reply["ServerSideEncryption"] == "AES256"
    assert read(tls_s3.get_object(Bucket=tls_bucket, Key="plain")) == body
    with refused("InvalidRequest", 400):
        tls_s3.copy_object(Bucket=tls_bucket, Key="x", CopySource=source)


@pytest.mark.ours
def test_the_same_content_twice_rests_differently_and_etags_tell_nothing(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"same", ServerSideEncryption="aws:kms")["ETag"]
    second = s3.put_object(Bucket=bucket, Key="b", Body=b"same", ServerSideEncryption="aws:kms")["ETag"]
    assert first != second


@pytest.mark.ours
def test_a_copy_takes_the_encryption_it_asks_for_not_its_sources(s3, bucket):
    body = data(MIB)
    s3.put_object(Bucket=bucket, Key="a", Body=body, ServerSideEncryption="aws:kms")
    plain = s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    assert plain["ServerSideEncryption"] == "AES256"
    source = {"Bucket": bucket, "Key": "b"}
    kms = s3.copy_object(Bucket=bucket, Key="c", CopySource=source, ServerSideEncryption="aws:kms")
    assert kms["ServerSideEncryption"] == "aws:kms"
    assert read(s3.get_object(Bucket=bucket, Key="c")) == body
