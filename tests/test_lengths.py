"""Uploads of which nothing says how long they are (AWS, "Error responses": MissingContentLength)."""

import http.client
import re
import urllib.parse

import pytest

import sigv4
from content import read, refused

pytestmark = pytest.mark.ours

NO_LENGTH = (411, "MissingContentLength", "You must provide the Content-Length HTTP header.")


def told(reply):
    found = [re.search(rf"<{name}>(.*?)</{name}>", reply.body.decode()) for name in ("Code", "Message")]
    return reply.status, *(text and text.group(1) for text in found)


def send(server, method, path, *, query=(), headers=None, wire=None, body=b"", payload=None):
    """A request with only those headers about its length that `wire` has."""
    host = urllib.parse.urlsplit(server.s3_url).netloc
    signed = sigv4.Signer().headers(method, host, path, query, headers or {}, payload or sigv4.EMPTY)
    target = path + ("?" + "&".join(f"{sigv4.quote(n)}={sigv4.quote(v)}" for n, v in query) if query else "")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in (signed | (wire or {})).items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        return sigv4.Reply(connection.getresponse())
    finally:
        connection.close()


def test_objects_and_parts_need_a_length(server, s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for query in ((), [("partNumber", "1"), ("uploadId", upload)]):
        for payload in (None, "UNSIGNED-PAYLOAD"):
            assert told(send(server, "PUT", f"/{bucket}/k", query=query, payload=payload)) == NO_LENGTH
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")


def test_a_length_of_zero_is_one(server, s3, bucket):
    reply = send(server, "PUT", f"/{bucket}/k", wire={"content-length": "0"})
    assert reply.status == 200, reply.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b""


def test_a_transfer_in_chunks_needs_none(server, s3, bucket):
    headers = {"x-amz-decoded-content-length": "5"}
    framed = b"5\r\nhello\r\n0\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(framed), framed)
    reply = send(
        server, "PUT", f"/{bucket}/k", headers=headers, wire={"transfer-encoding": "chunked"}, body=body,
        payload=sigv4.UNSIGNED_TRAILER,
    )
    assert reply.status == 200, reply.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"hello"


def test_what_has_no_content_needs_no_length(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for method, path, headers in [
        ("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"/{bucket}/k"}),
        ("PUT", f"/{bucket}-2", {}),
        ("POST", f"/{bucket}/k?uploads", {}),
        ("DELETE", f"/{bucket}/copy", {}),
    ]:
        path, _, query = path.partition("?")
        reply = send(server, method, path, query=[(query, "")] if query else (), headers=headers)
        assert reply.status in (200, 204), (method, path, reply.body)


@pytest.mark.parametrize("length", [None, "abc", "12x", "-1", ""])
def test_chunks_need_the_length_of_what_is_in_them(server, s3, bucket, length):
    headers = {} if length is None else {"x-amz-decoded-content-length": length}
    for payload in (sigv4.UNSIGNED_TRAILER, sigv4.SIGNED):
        reply = sigv4.request(
            server.s3_url, "PUT", f"/{bucket}/k", headers=headers, body=b"5\r\nhello\r\n0\r\n\r\n", payload=payload
        )
        assert told(reply) == NO_LENGTH, reply.body
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
