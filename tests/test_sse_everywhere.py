"""Each kind of encryption through each way into the store and out of it: forms, parts, copied parts, ranges; and
customers' keys only over TLS, whatever the operation."""

import base64
import http.client
import re
import ssl

import pytest

import sigv4
from content import KIB, MIB, data, read, refused
from sigv4 import key_md5, sse_c
from forms import code, send

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
SSE = "x-amz-server-side-encryption"
PART = 5 * MIB


def of_source(key):
    return {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key}


def customer_fields(prefix=f"{SSE}-customer", key=KEY):
    return {
        f"{prefix}-algorithm": "AES256",
        f"{prefix}-key": base64.b64encode(key).decode(),
        f"{prefix}-key-MD5": key_md5(key),
    }


def form(s3, bucket, key, fields):
    conditions = [{name: value} for name, value in fields.items()]
    return s3.generate_presigned_post(bucket, key, Fields=dict(fields), Conditions=conditions)


@pytest.fixture
def tls(certificates, monkeypatch):
    """Forms are sent over HTTPS."""
    context = ssl.create_default_context(cafile=str(certificates.authority))
    secure = lambda netloc, timeout: http.client.HTTPSConnection(netloc, timeout=timeout, context=context)
    monkeypatch.setattr("forms.http.client.HTTPConnection", secure)


@pytest.mark.ours
@pytest.mark.parametrize("size", [0, 10, 200 * KIB])
def test_a_form_with_a_customers_key(tls_s3, tls_bucket, tls, size):
    body = data(size)
    status, headers, text = send(form(tls_s3, tls_bucket, "k", customer_fields()), body)
    assert status == 204, text
    assert headers[f"{SSE}-customer-key-md5"] == key_md5(KEY)
    names = {"Bucket": tls_bucket, "Key": "k"}
    assert read(tls_s3.get_object(**names, **sse_c(KEY))) == body
    with refused("AccessDenied", 403):
        tls_s3.get_object(**names, **sse_c(OTHER_KEY))
    with refused("InvalidRequest", 400):
        tls_s3.get_object(**names)
    wrong = customer_fields() | {f"{SSE}-customer-key-MD5": key_md5(OTHER_KEY)}
    assert code(send(form(tls_s3, tls_bucket, "k", wrong), b"x")) == (400, "InvalidArgument")
    assert read(tls_s3.get_object(**names, **sse_c(KEY))) == body


@pytest.mark.ours
@pytest.mark.parametrize("method", ["AES256", "aws:kms", "aws:kms:dsse"])
def test_a_form_names_the_encryption(s3, bucket, method):
    fields = {SSE: method} | ({f"{SSE}-aws-kms-key-id": "default"} if method != "AES256" else {})
    status, headers, text = send(form(s3, bucket, "k", fields), data(100 * KIB))
    assert (status, headers[SSE]) == (204, method), text
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (read(got), got["ServerSideEncryption"]) == (data(100 * KIB), method)
    if method != "AES256":
        assert got["SSEKMSKeyId"] == "arn:aws:kms:::key/default"
        unknown = fields | {f"{SSE}-aws-kms-key-id": "nothing"}
        assert code(send(form(s3, bucket, "j", unknown), b"x")) == (400, "KMS.NotFoundException")


@pytest.mark.ours
@pytest.mark.parametrize("to", [None, OTHER_KEY], ids=["to none", "to a key"])
@pytest.mark.parametrize("of", [None, KEY], ids=["from none", "from a key"])
def test_parts_are_copied_from_into_and_between_customers_keys(tls_s3, tls_bucket, of, to):
    body = data(PART + 1000)
    tls_s3.put_object(Bucket=tls_bucket, Key="source", Body=body, **(sse_c(of) if of else {}))
    target = sse_c(to) if to else {}
    names = {"Bucket": tls_bucket, "Key": "k"}
    names["UploadId"] = tls_s3.create_multipart_upload(**names, **target)["UploadId"]
    parts = []
    for number, last in enumerate((f"0-{PART - 1}", f"{PART}-{PART + 999}"), 1):
        reply = tls_s3.upload_part_copy(
            **names,
            PartNumber=number,
            CopySource={"Bucket": tls_bucket, "Key": "source"},
            CopySourceRange=f"bytes={last}",
            **(of_source(of) if of else {}),
            **target,
        )
        assert reply.get("SSECustomerKeyMD5") == (key_md5(to) if to else None)
        parts.append({"PartNumber": number, "ETag": reply["CopyPartResult"]["ETag"]})
    tls_s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert read(tls_s3.get_object(Bucket=tls_bucket, Key="k", **target)) == body


@pytest.mark.ours
@pytest.mark.parametrize("kind", ["AES256", "aws:kms", "aws:kms:dsse", "SSE-C"])
def test_ranges_and_parts_of_what_was_uploaded_in_parts(tls_s3, tls_bucket, kind):
    begin = sse_c(KEY) if kind == "SSE-C" else {"ServerSideEncryption": kind}
    key = sse_c(KEY) if kind == "SSE-C" else {}
    bodies = [data(PART, 1), data(PART + 77, 2), data(100, 3)]
    names = {"Bucket": tls_bucket, "Key": "k"}
    upload = {**names, "UploadId": tls_s3.create_multipart_upload(**names, **begin)["UploadId"]}
    parts = []
    for number, body in enumerate(bodies, 1):
        etag = tls_s3.upload_part(**upload, PartNumber=number, Body=body, **key)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    done = tls_s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert done.get("ServerSideEncryption") == (None if kind == "SSE-C" else kind)
    whole = b"".join(bodies)
    for first, last in [(0, 0), (PART - 5, PART + 5), (PART + 1, 2 * PART + 100), (len(whole) - 1, len(whole) - 1)]:
        got = tls_s3.get_object(**names, Range=f"bytes={first}-{last}", **key)
        assert read(got) == whole[first : last + 1], (first, last)
    for number, body in enumerate(bodies, 1):
        assert read(tls_s3.get_object(**names, PartNumber=number, **key)) == body


@pytest.mark.ours
def test_a_completion_tells_of_a_bucket_key(s3, bucket):
    names = {"Bucket": bucket, "Key": "k"}
    begin = {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True}
    upload = {**names, "UploadId": s3.create_multipart_upload(**names, **begin)["UploadId"]}
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert (done["ServerSideEncryption"], done["BucketKeyEnabled"]) == ("aws:kms", True)


OPEN = {
    "PutObject": ("PUT", "new", (), {}),
    "GetObject": ("GET", "k", (), {}),
    "HeadObject": ("HEAD", "k", (), {}),
    "GetObjectAttributes": ("GET", "k", [("attributes", "")], {"x-amz-object-attributes": "ETag"}),
    "CopyObject": ("PUT", "new", (), {"x-amz-copy-source": "{bucket}/k"}),
    "CreateMultipartUpload": ("POST", "new", [("uploads", "")], {}),
    "UploadPart": ("PUT", "k", [("partNumber", "1"), ("uploadId", "{upload}")], {}),
    "UploadPartCopy": (
        "PUT",
        "k",
        [("partNumber", "1"), ("uploadId", "{upload}")],
        {"x-amz-copy-source": "{bucket}/k"},
    ),
    "CompleteMultipartUpload": ("POST", "k", [("uploadId", "{upload}")], {}),
}
SECURE = "must be made over a secure connection."


@pytest.mark.ours
@pytest.mark.parametrize("operation", [*OPEN, "source of CopyObject", "source of UploadPartCopy"])
def test_a_customers_key_over_an_open_connection_is_refused(server, s3, bucket, operation):
    s3.put_object(Bucket=bucket, Key="k", Body=b"stored")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    method, key, query, headers = OPEN[operation.removeprefix("source of ")]
    fill = lambda text: text.format(bucket=bucket, upload=upload)
    prefix = f"{SSE}-customer"
    if operation.startswith("source of"):
        prefix = "x-amz-copy-source-server-side-encryption-customer"
    body = b""
    if operation == "CompleteMultipartUpload":
        etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
        part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    reply = sigv4.request(
        server.s3_url,
        method,
        f"/{bucket}/{key}",
        query=[(name, fill(value)) for name, value in query],
        headers={name: fill(value) for name, value in headers.items()} | customer_fields(prefix),
        body=body,
    )
    assert reply.status == 400, reply.body
    if method != "HEAD":
        assert re.search(rb"<Code>(.*?)</Code>", reply.body).group(1) == b"InvalidRequest"
        assert SECURE.encode() in reply.body
        assert base64.b64encode(KEY) not in reply.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"stored"
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="new")


@pytest.mark.ours
def test_a_customers_key_in_a_form_over_an_open_connection_is_refused(s3, bucket):
    reply = send(form(s3, bucket, "k", customer_fields()), b"x")
    assert code(reply) == (400, "InvalidRequest") and SECURE in reply[2]
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="k")
