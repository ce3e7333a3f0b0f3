"""Requests that no client would send: never a 5xx, never a hang, and the server stays as it was.

The dice are seeded, so a run that fails fails again. 501 is an answer here ("not implemented"), as is closing the
connection on bytes that are no HTTP."""

import random
import re
import socket
import urllib.parse

import pytest

import harness
import sigv4
from caller import Caller
from content import checksum, data

pytestmark = pytest.mark.ours
ROUNDS = 40 if harness.SOAK else 1
BUCKET = "fuzzed"
CANARY = data(100_000, 4711)
HANG_SECONDS = 30

METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get", "X"]
SUBRESOURCES = [
    "accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering",
    "inventory", "legal-hold", "lifecycle", "location", "logging", "metadataTable", "metrics", "notification",
    "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication",
    "requestPayment", "restore", "retention", "select", "session", "tagging", "torrent", "uploads", "versioning",
    "versions", "website",
]
VALUED = [
    "uploadId", "partNumber", "versionId", "list-type", "max-keys", "max-parts", "max-uploads", "part-number-marker",
    "prefix", "delimiter", "marker", "key-marker", "version-id-marker", "upload-id-marker", "start-after",
    "continuation-token", "encoding-type", "fetch-owner", "response-content-type", "response-expires", "x-id", "id",
    "select-type", "max-buckets", "bucket-region", "X-Amz-Expires", "X-Amz-Signature", "X-Amz-Security-Token",
]
VALUES = [
    "", "0", "1", "-1", "2", "10001", "99999999999999999999", "0x10", "1e3", "NaN", "null", "true", "url", "/", "//",
    "..", "a" * 3000, "\u0000", "\u00ff", "\U0001f600", "%", "%zz", "+", "&=", "'", "<x>", "text/html\r\nx: y",
    "00000000-0000-0000-0000-000000000000", "A" * 48, "=", "*",
]
HEADERS = [
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-md5", "content-type",
    "content-encoding", "content-language", "expires", "expect", "origin", "access-control-request-method",
    "x-amz-acl", "x-amz-grant-read", "x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-crc32",
    "x-amz-checksum-crc64nvme", "x-amz-checksum-sha256", "x-amz-checksum-type", "x-amz-checksum-mode", "x-amz-trailer",
    "x-amz-decoded-content-length", "x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match",
    "x-amz-metadata-directive", "x-amz-tagging-directive", "x-amz-tagging", "x-amz-meta-a", "x-amz-storage-class",
    "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context", "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-customer-algorithm", "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5", "x-amz-object-lock-mode", "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-retain-until-date", "x-amz-bypass-governance-retention", "x-amz-bucket-object-lock-enabled",
    "x-amz-object-ownership", "x-amz-expected-bucket-owner", "x-amz-request-payer", "x-amz-mp-object-size",
    "x-amz-write-offset-bytes", "x-amz-website-redirect-location", "x-amz-object-attributes", "x-amz-max-parts",
    "x-amz-mfa", "x-amz-security-token", "x-amz-rename-source", "x-amz-if-match-size", "x-amz-rdc",
]
HEADER_VALUES = [
    "", " ", "0", "-1", "*", "bytes=0-", "bytes=9-1", "bytes=-0", "bytes=0-1,3-4", "bytes=99999999999999999999-", "x",
    '"', '""', 'W/"x"', "Thu, 01 Jan 1970 00:00:00 GMT", "2020-01-01T00:00:00Z", "9999-99-99T99:99:99Z", "AES256",
    "aws:kms", "aws:kms:dsse", "aws:fsx", "COPY", "REPLACE", "ENABLED", "SHA256", "CRC64NVME", "COMPOSITE", "GOVERNANCE",
    "COMPLIANCE", "ON", "private", "public-read", f"{BUCKET}/canary", f"/{BUCKET}/canary?versionId=null", "%ff%fe/%00",
    "a=1&b=2&a=3", "bnVsbA==", "e30=", "AAAA", "?" * 2000, "=" * 50, "true", "100-continue", "aws-chunked",
    "ETag,Checksum,ObjectParts,ObjectSize", "application/xml", "multipart/form-data; boundary=x",
]

DOCUMENTS = {
    "delete": "<Delete><Object><Key>k</Key><VersionId>null</VersionId></Object><Quiet>true</Quiet></Delete>",
    "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    "versioning": "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    "encryption": "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
    "</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule>"
    "</ServerSideEncryptionConfiguration>",
    "cors": "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
    "<MaxAgeSeconds>5</MaxAgeSeconds></CORSRule></CORSConfiguration>",
    "lifecycle": "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>p</Prefix></Filter>"
    "<Expiration><Days>30</Days></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>1"
    "</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>",
    "notification": "<NotificationConfiguration><QueueConfiguration><Queue>arn:strongroom:sqs::x:webhook</Queue><Event>"
    "s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>",
    "object-lock": "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
    "<Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
    "retention": "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2040-01-01T00:00:00Z</RetainUntilDate></Retention>",
    "legal-hold": "<LegalHold><Status>ON</Status></LegalHold>",
    "publicAccessBlock": "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>"
    "</PublicAccessBlockConfiguration>",
    "ownershipControls": "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"
    "</OwnershipControls>",
    "acl": "<AccessControlPolicy><Owner><ID>x</ID></Owner><AccessControlList></AccessControlList></AccessControlPolicy>",
    "policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
    f'"Resource":"arn:aws:s3:::{BUCKET}/*","Condition":{{"IpAddress":{{"aws:SourceIp":"10.0.0.0/8"}}}}}}]}}',
    "uploadId": "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    "": "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>",
}
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(8)
) + "]><x>&i;</x>"


@pytest.fixture(scope="module")
def target(workspace):
    server = harness.Server(workspace / "fuzzed").start()
    call = Caller(server.s3_url)
    assert call("PUT", f"/{BUCKET}").status == 200
    assert call("PUT", f"/{BUCKET}/canary", body=CANARY).status == 200
    yield server
    assert server.running(), server.log()[-4000:]
    assert server.stop() == 0
    assert "panicked" not in server.log()


def alive(server):
    answer = Caller(server.s3_url)("GET", "/untouched/canary")
    assert answer.status == 200 and answer.body == CANARY


@pytest.fixture(scope="module", autouse=True)
def untouched(target):
    """An object in a bucket that no fuzzed request names: it has to be there all the time."""
    call = Caller(target.s3_url)
    assert call("PUT", "/untouched").status == 200
    assert call("PUT", "/untouched/canary", body=CANARY).status == 200


def fine(status):
    return 200 <= status < 500 or status == 501


def pick_path(dice):
    return dice.choice([
        "/", f"/{BUCKET}", f"/{BUCKET}", f"/{BUCKET}/", f"/{BUCKET}/k", f"/{BUCKET}/k", f"/{BUCKET}/canary", f"/{BUCKET}//", f"/{BUCKET}/../x",
        f"/{BUCKET}/ü \u0001", f"/{BUCKET}/" + "k" * 1025, "/No_Bucket", "//", f"/{BUCKET}/a/?x",
    ])


def mutated(dice, text):
    """A document with a few things wrong."""
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(text) + 1)
        tags = re.findall(r"</?\w+>", text)
        kind = dice.randrange(12)
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[:at] + text[at + dice.randrange(1, 20) :]
        elif kind == 2:
            text = text[:at] + dice.choice(VALUES) + text[at:]
        elif kind == 3 and tags:
            text = text.replace(dice.choice(tags), "", 1)
        elif kind == 4 and tags:
            tag = dice.choice(tags)
            text = text.replace(tag, tag * dice.choice([2, 50]), 1)
        elif kind == 5:
            text = re.sub(r">([^<>]+)<", lambda _: f">{dice.choice(VALUES)}<", text, count=dice.randrange(1, 3))
        elif kind == 6 and tags:
            text = text.replace(dice.choice(tags), f"<{'n' * dice.choice([1, 5000])}>", 1)
        elif kind == 7:
            text = "<?xml version='1.0' encoding='utf-16'?>" + text
        elif kind == 8:
            text = text.replace("<", '<a xmlns="&lt;" ', 1)
        elif kind == 9:
            body = re.sub(r"^<\w+>|</\w+>$", "", text)
            text = text.replace(body, body * 1200, 1) if len(body) < 500 else text
        elif kind == 10:
            text = text[:at] + "<![CDATA[" + text[at:]
        else:
            text = text.replace('"', dice.choice(["'", "", '""']), 1)
    return text


def document(dice, name):
    kind = dice.randrange(10)
    if kind == 0:
        return b""
    if kind == 1:
        return dice.randbytes(dice.randrange(1, 400))
    if kind == 2:
        return dice.choice([
            BOMB, "<" * 5000, "<a>" * 5000, "<a>" * 200 + "</a>" * 200, "{" * 5000, "[" * 5000, "null", "<a/>", '"\\ud800"',
            '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        ]).encode()
    text = DOCUMENTS.get(name) or dice.choice(list(DOCUMENTS.values()))
    return (text if kind == 3 else mutated(dice, text)).encode(errors="surrogatepass")


@pytest.mark.parametrize("seed", range(4 * ROUNDS))
def test_signed_requests_of_any_shape(target, seed):
    dice = random.Random(seed)
    call = Caller(target.s3_url)
    for step in range(150):
        method = dice.choice(METHODS[:5] * 4 + METHODS)
        name = dice.choice(SUBRESOURCES) if dice.randrange(3) else ""
        query = [(name, "")] if name else []
        for _ in range(dice.choice([0, 0, 1, 1, 2, 4])):
            query.append((dice.choice(VALUED + SUBRESOURCES), dice.choice(VALUES)))
        headers = {}
        for _ in range(dice.choice([0, 0, 1, 2, 3])):
            value = dice.choice(HEADER_VALUES)
            headers[dice.choice(HEADERS)] = value
        if name == "uploadId" or dice.randrange(4) == 0:
            query.append(("uploadId", "A" * 48))
        body = document(dice, name) if dice.randrange(2) else b""
        if body and dice.randrange(2):
            headers["x-amz-checksum-crc32"] = checksum("CRC32", body)
        path = pick_path(dice)
        if headers.get("expect") == "100-continue":
            headers.pop("expect")
        answer = call(method, path, query=query, headers=headers, body=body)
        assert fine(answer.status), f"step {step}: {method} {path} {query} {headers} {body[:500]!r}: {answer}"
        if answer.status >= 400 and method != "HEAD" and answer.body:
            assert b"<Code>" in answer.body, f"step {step}: {method} {path} {query} {headers}: {answer}"
    alive(target)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_documents_with_something_wrong(target, name):
    dice = random.Random(name)
    call = Caller(target.s3_url)
    for step in range(60 * ROUNDS):
        body = document(dice, name)
        headers = {"x-amz-checksum-crc32": checksum("CRC32", body)}
        method = "POST" if name in ("delete", "uploadId") else "PUT"
        query = [(name, "A" * 48 if name == "uploadId" else "")] if name else []
        on_object = name in ("uploadId", "retention", "legal-hold") or name in ("tagging", "acl") and dice.randrange(2)
        path = f"/{BUCKET}/canary" if on_object else f"/{BUCKET}" if name else "/made-by-fuzz"
        answer = call(method, path, query=query, headers=headers, body=body)
        assert fine(answer.status), f"step {step}: {method} {path}?{name} {body[:2000]!r}: {answer}"
    alive(target)


def raw(url, piece):
    """What comes back for these bytes; empty if the server closes without a word."""
    at = urllib.parse.urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=HANG_SECONDS) as connection:
        try:
            connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while len(answer) < 1_000_000:
                more = connection.recv(65536)
                if not more:
                    break
                answer += more
        except TimeoutError:
            raise
        except OSError:
            # Reset, or closed before we had finished: the server has seen enough.
            return b""
    return answer


@pytest.mark.parametrize("seed", range(2 * ROUNDS))
def test_bytes_that_are_hardly_http(target, seed):
    dice = random.Random(1000 + seed)
    lines = [b"GET", b"PUT", b" ", b"/", BUCKET.encode(), b"/k", b"?", b"versionId=", b"%", b" HTTP/1.1", b" HTTP/9.9", b"\r\n",
             b"\n", b"host: x", b"host:", b"content-length: 5", b"content-length: -1", b"content-length: 99999999999999999999",
             b"transfer-encoding: chunked", b"transfer-encoding: x", b"5\r\nhello\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"\x00",
             b"\xff\xfe", b"authorization: AWS4-HMAC-SHA256 Credential=", b"authorization: AWS ", b"x" * 20_000, b"\r\n\r\n",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00", b": ", b"a: b\r\n" * 200, b"CONNECT x:1 HTTP/1.1"]
    for step in range(150):
        if dice.randrange(2):
            piece = b"".join(dice.choice(lines) for _ in range(dice.randrange(1, 12)))
        else:
            request = bytearray(b"PUT /" + BUCKET.encode() + b"/k?partNumber=1 HTTP/1.1\r\nhost: x\r\nx-amz-date: 20300101T000000Z\r\n"
                                b"authorization: AWS4-HMAC-SHA256 Credential=a/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, "
                                b"Signature=" + b"0" * 64 + b"\r\ncontent-length: 5\r\n\r\nhello")
            for _ in range(dice.randrange(1, 6)):
                at = dice.randrange(len(request))
                if dice.randrange(2):
                    request[at] = dice.randrange(256)
                else:
                    del request[at : at + dice.randrange(1, 30)]
            piece = bytes(request)
        answer = raw(target.s3_url, piece + dice.choice([b"", b"\r\n\r\n"]))
        status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
        assert not answer or status or answer.startswith(b"\x00\x00"), f"step {step}: {piece!r}: {answer[:300]!r}"
        assert not status or fine(int(status[1])) or int(status[1]) == 505, f"step {step}: {piece!r}: {answer[:300]!r}"
    alive(target)


@pytest.mark.parametrize("payload", [sigv4.SIGNED, sigv4.SIGNED_TRAILER, sigv4.UNSIGNED_TRAILER])
def test_chunked_bodies_with_something_wrong(target, payload):
    """Whatever happens to a body in chunks: it is stored as it was meant, or not at all."""
    dice = random.Random(payload)
    body = data(3000, 7)
    trailer = None if payload == sigv4.SIGNED else ("x-amz-checksum-crc32", checksum("CRC32", body))

    def damage(sent):
        broken = bytearray(sent)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(max(1, len(broken)))
            kind = dice.randrange(5)
            if kind == 0:
                broken[at : at + 1] = bytes([dice.randrange(256)])
            elif kind == 1:
                del broken[at : at + dice.randrange(1, 100)]
            elif kind == 2:
                broken[at:at] = dice.randbytes(dice.randrange(1, 20))
            elif kind == 3:
                del broken[at:]
            else:
                broken[at:at] = dice.choice([b"\r\n", b"0\r\n", b";chunk-signature=", b"ffffffffffffffff\r\n"])
        return bytes(broken)

    call = Caller(target.s3_url)
    for step in range(100 * ROUNDS):
        call("DELETE", f"/{BUCKET}/chunked")
        answer = sigv4.put_chunked(
            target.s3_url, f"/{BUCKET}/chunked", body, payload=payload, trailer=trailer, chunk_size=1000, damage=damage
        )
        assert fine(answer.status), f"step {step}: {answer.status} {answer.body[:300]!r}"
        stored = call("GET", f"/{BUCKET}/chunked")
        if answer.status == 200:
            assert stored.status == 200 and stored.body == body, f"step {step}: other bytes than were signed"
        else:
            assert stored.status == 404, f"step {step}: refused with {answer.status}, and stored"
    alive(target)
