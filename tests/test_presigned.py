"""Presigned URLs: what a browser or curl does with them."""

import json
import urllib.error
import urllib.request

import pytest

import sigv4
from content import MIB, data, read


def fetch(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("key", ["plain", "with space+plus%/ü?x=1"])
def test_a_url_reads(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=data(MIB))
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, ExpiresIn=60)
    assert fetch(url) == (200, data(MIB))
    status, part = fetch(url, headers={"Range": "bytes=5-9"})
    assert (status, part) == (206, data(MIB)[5:10])


@pytest.mark.parametrize("size", [0, 10, MIB])
def test_a_url_writes(s3, bucket, size):
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    assert fetch(url, "PUT", data(size))[0] == 200
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(size)


def test_a_url_is_for_its_method_and_key_alone(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="j", Body=b"y")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    for tried in (fetch(url, "PUT", b"z"), fetch(url, "DELETE"), fetch(url.replace("/k?", "/j?"))):
        assert tried[0] == 403 and b"<Code>SignatureDoesNotMatch</Code>" in tried[1], tried
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"x"


def test_a_changed_url_is_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    longer = url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    assert longer != url
    status, body = fetch(longer)
    assert status == 403 and b"SignatureDoesNotMatch" in body


def test_an_expired_url_is_refused(s3, bucket):
    import datetime

    import harness
    import sigv4
    import urllib.parse

    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    # Signed an hour ago for a minute: rebuilt by hand, since the SDK signs for now only.
    at = urllib.parse.urlsplit(url)
    signer = sigv4.Signer(skew=datetime.timedelta(hours=-1))
    query = [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", f"{harness.ACCESS_KEY}/{signer.scope}"),
        ("X-Amz-Date", signer.date),
        ("X-Amz-Expires", "60"),
        ("X-Amz-SignedHeaders", "host"),
    ]
    signature = signer.presign("GET", at.netloc, at.path, query)
    text = "&".join(f"{sigv4.quote(n)}={sigv4.quote(v)}" for n, v in [*query, ("X-Amz-Signature", signature)])
    status, body = fetch(f"{at.scheme}://{at.netloc}{at.path}?{text}")
    assert status == 403 and b"<Code>AccessDenied</Code>" in body, body


def test_a_url_of_somebody_else_is_refused(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    stranger = server.client(secret_key="not-the-secret-0123456789abcdefghijklmno")
    url = stranger.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    status, body = fetch(url)
    assert status == 403 and b"SignatureDoesNotMatch" in body


def test_a_url_may_carry_multipart_parts(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    names = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    url = s3.generate_presigned_url("upload_part", {**names, "PartNumber": 1}, ExpiresIn=60)
    assert fetch(url, "PUT", data(MIB))[0] == 200
    etag = s3.list_parts(**names)["Parts"][0]["ETag"]
    s3.complete_multipart_upload(**names, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(MIB)


def test_headers_in_the_query_of_a_url_are_headers(server, s3, bucket):
    """As the JavaScript SDK signs them, and AWS reads them."""

    def send(method, pairs, body=b"", headers=None):
        host = server.s3_url.split("://")[1]
        signer = sigv4.Signer()
        pairs = [
            *pairs,
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
            ("X-Amz-Credential", f"{signer.access_key}/{signer.scope}"),
            ("X-Amz-Date", signer.date),
            ("X-Amz-Expires", "60"),
            ("X-Amz-SignedHeaders", "host"),
        ]
        path = f"/{bucket}/k"
        pairs.append(("X-Amz-Signature", signer.presign(method, host, path, pairs)))
        return sigv4.request(
            server.s3_url, method, path, query=pairs, body=body, headers=headers, sign=False
        )

    said = [
        ("x-amz-meta-colour", "light blue"),
        ("x-amz-tagging", "team=blue"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
    ]
    reply = send("PUT", said, b"body")
    assert reply.status == 200, reply.body
    got = s3.get_object(Bucket=bucket, Key="k")
    assert read(got) == b"body"
    assert (got["Metadata"], got["StorageClass"], got["TagCount"]) == ({"colour": "light blue"}, "STANDARD_IA", 1)
    assert got["ServerSideEncryption"] == "aws:kms"
    s3.put_object(Bucket=bucket, Key="source", Body=b"source")
    copied = send("PUT", [("x-amz-copy-source", f"/{bucket}/source")])
    assert copied.status == 200 and b"CopyObjectResult" in copied.body, copied.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"source"
    # Whoever has the URL adds nothing to it, and changes nothing in it.
    for headers in ({"x-amz-tagging": "team=red"}, {"x-amz-meta-other": "x"}):
        tried = send("PUT", said, b"other", headers)
        assert tried.status in (400, 403), tried.body
    assert send("PUT", [*said, ("X-Amz-Tagging", "team=red")], b"other").status == 400
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"source"


def test_everybody_reads_a_public_object_as_it_is(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"<script>", ContentType="text/plain")
    s3.delete_public_access_block(Bucket=bucket)
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    url = f"{server.s3_url}/{bucket}/k"
    assert fetch(url) == (200, b"<script>")
    overrides = ["content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding"]
    for name in overrides:
        value = "Sun%2C%2006%20Nov%201994%2008%3A49%3A37%20GMT" if name == "expires" else "x"
        status, body = fetch(f"{url}?response-{name}={value}")
        assert status == 400 and b"<Code>InvalidRequest</Code>" in body, (name, body)
        assert b"Request specific response headers cannot be used for anonymous GET requests." in body
        assert fetch(f"{url}?response-{name}={value}", "HEAD")[0] == 400
    signed = s3.generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "k", "ResponseContentType": "text/html"}
    )
    assert fetch(signed) == (200, b"<script>")
