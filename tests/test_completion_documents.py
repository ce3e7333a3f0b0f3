"""The document of a completion on its way: whether it arrived as it was sent, with every checksum of parts and however it is signed."""

import base64
import hashlib
import json
import re

import pytest

import sigv4
from conftest import fresh_name
from content import OTHER_ALGORITHMS, checksum, md5_base64, read, refused

pytestmark = pytest.mark.ours


class Upload:
    """An upload of one part, whose checksum the completion names if it was begun with one."""

    def __init__(self, server, s3, algorithm=None):
        self.url, self.s3 = server.s3_url, s3
        self.bucket = fresh_name("completion")
        s3.create_bucket(Bucket=self.bucket)
        names = {"Bucket": self.bucket, "Key": "k"}
        begun = {"ChecksumAlgorithm": algorithm} if algorithm else {}
        self.id = s3.create_multipart_upload(**names, **begun)["UploadId"]
        value = {f"Checksum{algorithm}": checksum(algorithm, b"part")} if algorithm else {}
        etag = s3.upload_part(**names, UploadId=self.id, PartNumber=1, Body=b"part", **value)["ETag"]
        elements = "".join(f"<{name}>{text}</{name}>" for name, text in {"PartNumber": 1, "ETag": etag, **value}.items())
        self.document = f"<CompleteMultipartUpload><Part>{elements}</Part></CompleteMultipartUpload>".encode()

    def complete(self, *, query=(), **options):
        query = [*query, ("uploadId", self.id)]
        return sigv4.request(self.url, "POST", f"/{self.bucket}/k", query=query, body=self.document, **options)

    def is_complete(self):
        if self.s3.list_objects_v2(Bucket=self.bucket)["KeyCount"] == 0:
            return False
        return read(self.s3.get_object(Bucket=self.bucket, Key="k")) == b"part"


def element(reply, name):
    found = re.search(rf"<{name}>(.*?)</{name}>", reply.body.decode())
    return found and found.group(1)


@pytest.fixture
def upload(server, s3):
    return Upload(server, s3)


@pytest.mark.parametrize("payload", [None, "UNSIGNED-PAYLOAD"])
def test_digest_of_another_document_completes_nothing(upload, payload):
    reply = upload.complete(headers={"content-md5": md5_base64(b"another")}, payload=payload)
    assert (reply.status, element(reply, "Code")) == (400, "BadDigest"), reply.body
    # AWS writes the two in two ways.
    assert element(reply, "ExpectedDigest") == hashlib.md5(b"another").hexdigest()
    assert element(reply, "CalculatedDigest") == md5_base64(upload.document)
    assert not upload.is_complete()
    reply = upload.complete(headers={"content-md5": md5_base64(upload.document)}, payload=payload)
    assert reply.status == 200 and upload.is_complete()


@pytest.mark.parametrize("value", ["x", "AAAA", base64.b64encode(b"0" * 17).decode()])
def test_digest_that_is_none_completes_nothing(upload, value):
    reply = upload.complete(headers={"content-md5": value})
    assert (reply.status, element(reply, "Code")) == (400, "InvalidDigest"), reply.body
    assert element(reply, "Content-MD5") == value
    assert not upload.is_complete()


def test_digest_of_a_document_in_chunks_is_of_what_is_in_them(upload):
    def complete(digest):
        return sigv4.send_chunked(
            upload.url, "POST", f"/{upload.bucket}/k", upload.document, payload=sigv4.SIGNED,
            query=[("uploadId", upload.id)], chunk_size=50, headers={"content-md5": digest},
        )

    reply = complete(md5_base64(b"another"))
    assert (reply.status, element(reply, "Code")) == (400, "BadDigest"), reply.body
    assert not upload.is_complete()
    assert complete(md5_base64(upload.document)).status == 200 and upload.is_complete()


def test_checksums_in_headers_are_those_of_the_object(server, s3):
    upload = Upload(server, s3, "SHA256")
    of_parts = checksum("SHA256", base64.b64decode(checksum("SHA256", b"part")))
    reply = upload.complete(headers={"x-amz-checksum-sha256": checksum("SHA256", upload.document)})
    assert (reply.status, element(reply, "Code")) == (400, "BadDigest"), reply.body
    assert not upload.is_complete()
    assert upload.complete(headers={"x-amz-checksum-sha256": f"{of_parts}-1"}).status == 200 and upload.is_complete()


def opened(s3, bucket):
    """Whoever does not sign may complete uploads."""
    s3.delete_public_access_block(Bucket=bucket)
    statement = {
        "Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


@pytest.mark.parametrize("algorithm", ["SHA256", *OTHER_ALGORITHMS])
def test_checksums_of_parts_are_read_however_the_document_is_signed(server, s3, algorithm):
    for options in ({}, {"payload": "UNSIGNED-PAYLOAD"}, {"sign": False}):
        upload = Upload(server, s3, algorithm)
        if not options.get("sign", True):
            opened(s3, upload.bucket)
        reply = upload.complete(**options)
        assert reply.status == 200, (options, reply.body)
        assert element(reply, f"Checksum{algorithm}").endswith("-1") and upload.is_complete()


@pytest.mark.parametrize("algorithm", [None, "XXHASH3"])
def test_who_does_not_sign_completes_only_what_a_policy_lets_everybody(server, s3, algorithm):
    upload = Upload(server, s3, algorithm)
    reply = upload.complete(sign=False)
    assert (reply.status, element(reply, "Code")) == (403, "AccessDenied"), reply.body
    opened(s3, upload.bucket)
    reply = upload.complete(sign=False, headers={"content-md5": md5_base64(b"another")})
    assert (reply.status, element(reply, "Code")) == (400, "BadDigest"), reply.body
    elsewhere = sigv4.request(
        server.s3_url, "POST", "/no-such-bucket/k", query=[("uploadId", upload.id)], body=upload.document, sign=False
    )
    assert (elsewhere.status, element(elsewhere, "Code")) == (404, "NoSuchBucket"), elsewhere.body
    assert not upload.is_complete()
    assert upload.complete(sign=False).status == 200 and upload.is_complete()


def test_digest_of_another_body_is_told_with_both(server, s3, bucket):
    headers = {"content-md5": md5_base64(b"another")}
    reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/k", headers=headers, body=b"body")
    assert (reply.status, element(reply, "Code")) == (400, "BadDigest")
    assert element(reply, "ExpectedDigest") == hashlib.md5(b"another").hexdigest()
    assert element(reply, "CalculatedDigest") == md5_base64(b"body")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
