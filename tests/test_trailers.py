"""What stands behind a body in chunks, and what the head says of it: both have to be the same. Rows are those of versitygw's suite, which
was compared with AWS."""

import re

import pytest

import sigv4
from content import checksum, data, read, refused

pytestmark = pytest.mark.ours

CRC64 = "x-amz-checksum-crc64nvme"
SHA256 = "x-amz-checksum-sha256"
MALFORMED = (
    400, "MalformedTrailerError",
    "The request contained trailing data that was not well-formed or did not conform to our published schema.",
)


def told(reply):
    found = [re.search(rf"<{name}>(.*?)</{name}>", reply.body.decode()) for name in ("Code", "Message")]
    return reply.status, *(text and text.group(1) for text in found)


def invalid(name):
    return (400, "InvalidRequest", f"Value for {name} trailing header is invalid.")


def put(server, path, framed, *, length="5", announced=None, query=()):
    headers = {"x-amz-decoded-content-length": length} if length is not None else {}
    if announced is not None:
        headers["x-amz-trailer"] = announced
    return sigv4.request(
        server.s3_url, "PUT", path, query=query, headers=headers, body=framed, payload=sigv4.UNSIGNED_TRAILER
    )


HELLO = f"{CRC64}:M3eFcAZSQlc=\r\n"
UNSIGNED = {
    "nothing comes": (CRC64, "", MALFORMED),
    "no name": (CRC64, ":M3eFcAZSQlc=\r\n", MALFORMED),
    "nothing announced": (None, HELLO, MALFORMED),
    "nothing announced in words": ("", HELLO, MALFORMED),
    "another name": (CRC64, "invalid_trailer:M3eFcAZSQlc=\r\n", MALFORMED),
    "another checksum": (CRC64, f"{SHA256}:{checksum('SHA256', b'hello')}\r\n", MALFORMED),
    "one more": (CRC64, f"{HELLO}{SHA256}:{checksum('SHA256', b'hello')}\r\n", MALFORMED),
    "no value": (CRC64, f"{CRC64}:invalid_checksum\r\n", invalid(CRC64)),
    "value of another algorithm": (SHA256, f"{SHA256}:M3eFcAZSQlc=\r\n", invalid(SHA256)),
    "another value": (CRC64, f"{CRC64}:QFRKMGE3tuw=\r\n", (400, "BadDigest", None)),
}


@pytest.mark.parametrize("case", UNSIGNED)
def test_what_is_behind_unsigned_chunks_is_what_was_announced(server, s3, bucket, case):
    announced, behind, expected = UNSIGNED[case]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for query in ((), [("partNumber", "1"), ("uploadId", upload)]):
        for content in (b"5\r\nhello\r\n0\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n"):
            reply = put(server, f"/{bucket}/k", content + behind.encode() + b"\r\n", announced=announced, query=query)
            assert told(reply)[:2] == expected[:2] and expected[2] in (None, told(reply)[2]), (query, reply.body)
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")


def test_empty_body_has_a_trailer_too(server, bucket):
    for behind, expected in [("", MALFORMED), (f"{CRC64}:AAAAAAAAAAA=\r\n", (200, None, None))]:
        reply = put(server, f"/{bucket}/k", f"0\r\n{behind}\r\n".encode(), length="0", announced=CRC64)
        assert told(reply) == expected, reply.body


def test_chunks_with_nothing_behind_them_that_is_not_announced(server, s3, bucket):
    """AWS takes them, and computes its own checksum or has it from a header."""
    for name, value in [(None, None), (SHA256, checksum("SHA256", b"hello"))]:
        headers = {"x-amz-decoded-content-length": "5"} | ({name: value} if name else {})
        reply = sigv4.request(
            server.s3_url, "PUT", f"/{bucket}/k", headers=headers, body=b"5\r\nhello\r\n0\r\n\r\n",
            payload=sigv4.UNSIGNED_TRAILER,
        )
        assert reply.status == 200, reply.body
        assert reply.headers[name or CRC64] == (value or "M3eFcAZSQlc=")
        assert read(s3.get_object(Bucket=bucket, Key="k")) == b"hello"
    reply = sigv4.put_chunked(server.s3_url, f"/{bucket}/k", data(100_000), payload=sigv4.SIGNED_TRAILER)
    assert reply.status == 200, reply.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == data(100_000)


def test_batch_that_nothing_covers_is_refused_in_chunks_too(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"x")
    batch = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    reply = sigv4.request(
        server.s3_url, "POST", f"/{bucket}", query=[("delete", "")], payload=sigv4.UNSIGNED_TRAILER,
        headers={"x-amz-decoded-content-length": str(len(batch))}, body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(batch), batch),
    )
    assert told(reply)[:2] == (400, "InvalidRequest"), reply.body
    assert read(s3.get_object(Bucket=bucket, Key="kept")) == b"x"


SIGNED = {
    "another checksum": (CRC64, (SHA256, checksum("SHA256", b"dummy data")), MALFORMED),
    "another name": (CRC64, ("x-amz-invalid", "invalid"), MALFORMED),
    "nothing announced": ("", (CRC64, checksum("CRC64NVME", b"dummy data")), MALFORMED),
    "no value": (CRC64, (CRC64, "invalid"), invalid(CRC64)),
}


@pytest.mark.parametrize("case", SIGNED)
def test_what_is_behind_signed_chunks_is_what_was_announced(server, bucket, case):
    announced, trailer, expected = SIGNED[case]
    reply = sigv4.put_chunked(
        server.s3_url, f"/{bucket}/k", b"dummy data", payload=sigv4.SIGNED_TRAILER, trailer=trailer,
        headers={"x-amz-trailer": announced},
    )
    assert told(reply) == expected, reply.body


def test_signed_chunks_without_what_was_announced(server, bucket):
    reply = sigv4.put_chunked(
        server.s3_url, f"/{bucket}/k", b"dummy data", payload=sigv4.SIGNED, headers={"x-amz-trailer": CRC64}
    )
    assert told(reply) == MALFORMED, reply.body


def test_body_that_is_not_in_chunks_has_nothing_behind_it(server, bucket):
    reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/k", headers={"x-amz-trailer": CRC64}, body=b"hello")
    assert told(reply) == MALFORMED, reply.body
