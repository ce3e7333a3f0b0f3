"""Documents in signed chunks with a signed trailer (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`): what is not as it was signed is
refused, and nothing of it is done."""

import base64
import re

import pytest

import sigv4
from conftest import fresh_name
from content import checksum, read, refused

CRC32 = "x-amz-checksum-crc32"
#: Documents are cut into chunks of this many bytes.
CHUNK = 50


def tagging(value):
    return f"<Tagging><TagSet><Tag><Key>a</Key><Value>{value}</Value></Tag></TagSet></Tagging>"


def tags_of(s3, **names):
    ask = s3.get_object_tagging if "Key" in names else s3.get_bucket_tagging
    return {tag["Key"]: tag["Value"] for tag in ask(**names)["TagSet"]}


class Case:
    """An operation with a document: how to ask for it, and how to see whether it happened."""

    def __init__(self, s3):
        self.s3, self.bucket = s3, fresh_name("chunks")
        if not isinstance(self, Create):
            s3.create_bucket(Bucket=self.bucket)
        self.prepare()

    def prepare(self):
        pass


class Create(Case):
    def ask(self):
        document = (
            "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint>"
            "<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>"
        )
        return "PUT", f"/{self.bucket}", (), document

    def is_done(self):
        there = self.bucket in [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]
        assert not there or tags_of(self.s3, Bucket=self.bucket) == {"a": "b"}
        return there


class BucketTags(Case):
    def prepare(self):
        self.s3.put_bucket_tagging(Bucket=self.bucket, Tagging={"TagSet": [{"Key": "a", "Value": "before"}]})

    def ask(self):
        return "PUT", f"/{self.bucket}", [("tagging", "")], tagging("after")

    def is_done(self):
        return {"before": False, "after": True}[tags_of(self.s3, Bucket=self.bucket)["a"]]


class ObjectTags(Case):
    def prepare(self):
        self.s3.put_object(Bucket=self.bucket, Key="k", Body=b"x", Tagging="a=before")

    def ask(self):
        return "PUT", f"/{self.bucket}/k", [("tagging", "")], tagging("after")

    def is_done(self):
        return {"before": False, "after": True}[tags_of(self.s3, Bucket=self.bucket, Key="k")["a"]]


class Delete(Case):
    def prepare(self):
        for key in ("one", "two"):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=b"x")

    def ask(self):
        document = "<Delete><Object><Key>one</Key></Object><Object><Key>two</Key></Object></Delete>"
        return "POST", f"/{self.bucket}", [("delete", "")], document

    def is_done(self):
        return {2: False, 0: True}[self.s3.list_objects_v2(Bucket=self.bucket)["KeyCount"]]


class Encryption(Case):
    def ask(self):
        document = (
            "<ServerSideEncryptionConfiguration><Rule><BlockedEncryptionTypes><EncryptionType>SSE-C"
            "</EncryptionType></BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>"
        )
        return "PUT", f"/{self.bucket}", [("encryption", "")], document

    def prepare(self):
        self.s3.put_bucket_encryption(
            Bucket=self.bucket,
            ServerSideEncryptionConfiguration={"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]},
        )

    def is_done(self):
        told = self.s3.get_bucket_encryption(Bucket=self.bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
        return told.get("BlockedEncryptionTypes", {}).get("EncryptionType") == ["SSE-C"]


class Policy(Case):
    def ask(self):
        document = (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject",'
            f'"Resource":"arn:aws:s3:::{self.bucket}/*"}}]}}'
        )
        return "PUT", f"/{self.bucket}", [("policy", "")], document

    def is_done(self):
        try:
            return bool(self.s3.get_bucket_policy(Bucket=self.bucket))
        except self.s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchBucketPolicy"
            return False


class Complete(Case):
    def prepare(self):
        names = {"Bucket": self.bucket, "Key": "k"}
        self.upload = self.s3.create_multipart_upload(**names)["UploadId"]
        self.etag = self.s3.upload_part(**names, UploadId=self.upload, PartNumber=1, Body=b"part")["ETag"]

    def ask(self):
        document = (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
            f"<ETag>{self.etag}</ETag></Part></CompleteMultipartUpload>"
        )
        return "POST", f"/{self.bucket}/k", [("uploadId", self.upload)], document

    def is_done(self):
        if self.s3.list_objects_v2(Bucket=self.bucket)["KeyCount"] == 0:
            assert len(self.s3.list_multipart_uploads(Bucket=self.bucket)["Uploads"]) == 1
            return False
        assert read(self.s3.get_object(Bucket=self.bucket, Key="k")) == b"part"
        return True


CASES = [Create, BucketTags, ObjectTags, Delete, Encryption, Policy, Complete]


def other_hex(signature):
    """The signature with another first digit."""
    return (b"1" if signature[:1] == b"0" else b"0") + signature[1:]


def chunk_signature(number):
    """Changes the signature of one chunk; -1 is the empty one at the end."""

    def damage(sent):
        found = list(re.finditer(rb"chunk-signature=([0-9a-f]{64})", sent))[number]
        return sent[: found.start(1)] + other_hex(found[1]) + sent[found.end(1) :]

    return damage


def trailer_signature(sent):
    at = sent.index(b"x-amz-trailer-signature:") + len(b"x-amz-trailer-signature:")
    return sent[:at] + other_hex(sent[at:])


def content(sent):
    """Changes one letter of the second chunk."""
    at = [found.end() for found in re.finditer(rb"chunk-signature=[0-9a-f]{64}\r\n", sent)][1]
    return sent[:at] + (b"x" if sent[at : at + 1] != b"x" else b"y") + sent[at + 1 :]


def swapped(sent):
    """The first two chunks change places, signatures and all."""
    starts = [found.start() for found in re.finditer(rb"[0-9a-f]+;chunk-signature=", sent)]
    return sent[starts[1] : starts[2]] + sent[: starts[1]] + sent[starts[2] :]


def without_last_chunk(sent):
    """Straight from the last chunk with content to the trailer."""
    return re.sub(rb"(?<=\r\n)0;chunk-signature=[0-9a-f]{64}\r\n", b"", sent)


def ends_before_last_chunk(sent):
    return sent[: re.search(rb"\r\n0;chunk-signature=", sent).start() + 2]


def without_trailer_signature(sent):
    return sent[: sent.index(b"x-amz-trailer-signature:")] + b"\r\n"


def without_trailer(sent):
    return sent[: sent.index(CRC32.encode() + b":")] + b"\r\n"


def other_value(sent):
    """Another checksum than the trailer's signature is of."""
    at = sent.index(CRC32.encode() + b":") + len(CRC32) + 1
    return sent[:at] + base64.b64encode(b"\x01\x02\x03\x04") + sent[at + 8 :]


def other_name(sent):
    return sent.replace(CRC32.encode() + b":", b"x-amz-checksum-crc33:")


def second_trailer(sent):
    """A trailer that nobody announced or signed."""
    return sent.replace(b"x-amz-trailer-signature:", b"x-amz-meta-a:b\r\nx-amz-trailer-signature:")


SIGNATURE = (403, "SignatureDoesNotMatch")
INCOMPLETE = (400, "IncompleteBody")
MALFORMED = (400, "MalformedTrailerError")

DAMAGES = {
    "first chunk's signature": (chunk_signature(0), SIGNATURE),
    "last chunk's signature": (chunk_signature(-1), SIGNATURE),
    "trailer's signature": (trailer_signature, SIGNATURE),
    "content": (content, SIGNATURE),
    "swapped chunks": (swapped, SIGNATURE),
    "trailer's value": (other_value, SIGNATURE),
    "cut in a chunk": (lambda sent: sent[: sent.index(b"\r\n") + 12], INCOMPLETE),
    "cut before the last chunk": (ends_before_last_chunk, INCOMPLETE),
    "cut in the trailer": (lambda sent: sent[: sent.index(CRC32.encode()) + 10], MALFORMED),
    "cut in the trailer's signature": (lambda sent: sent[:-20], SIGNATURE),
    "no last chunk": (without_last_chunk, INCOMPLETE),
    "no trailer's signature": (without_trailer_signature, MALFORMED),
    "no trailer": (without_trailer, MALFORMED),
    "trailer of another name": (other_name, SIGNATURE),
    "one trailer more": (second_trailer, SIGNATURE),
}


def sent(server, case, *, damage=None, value=None):
    method, path, query, document = case.ask()
    body = document.encode()
    return sigv4.send_chunked(
        server.s3_url, method, path, body, query=query, payload=sigv4.SIGNED_TRAILER, damage=damage,
        trailer=(CRC32, value or checksum("CRC32", body)), chunk_size=CHUNK,
    )


def code(reply):
    found = re.search(rb"<Code>(\w+)</Code>", reply.body)
    return reply.status, found[1].decode() if found else reply.body[:300]


@pytest.mark.parametrize("kind", CASES)
def test_a_document_in_signed_chunks_with_a_signed_trailer_is_done(server, s3, kind):
    case = kind(s3)
    assert not case.is_done()
    reply = sent(server, case)
    assert reply.status in (200, 204), reply.body
    assert case.is_done()


@pytest.mark.parametrize("kind", CASES)
def test_nothing_is_done_of_a_document_that_is_not_as_it_was_signed(server, s3, kind):
    case = kind(s3)
    wrong = {}
    for name, (damage, expected) in DAMAGES.items():
        answered = code(sent(server, case, damage=damage))
        done = case.is_done()
        if answered != expected or done:
            wrong[name] = (answered, done)
        if done:
            break
    assert not wrong, "\n".join(f"{k}: {v}" for k, v in wrong.items())
    # A trailer that is signed and does not fit the document.
    assert code(sent(server, case, value="AAAAAA==")) == (400, "BadDigest")
    assert not case.is_done()
    assert sent(server, case).status in (200, 204) and case.is_done(), "the same without damage"


def test_an_object_is_refused_as_a_document_is(server, s3, bucket):
    body = bytes(range(256)) * 2
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    wrong = {}
    for name, (damage, expected) in DAMAGES.items():
        reply = sigv4.put_chunked(
            server.s3_url, f"/{bucket}/k", body, payload=sigv4.SIGNED_TRAILER, damage=damage,
            trailer=(CRC32, checksum("CRC32", body)), chunk_size=CHUNK,
        )
        if code(reply) != expected:
            wrong[name] = code(reply)
        assert read(s3.get_object(Bucket=bucket, Key="k")) == b"before", name
    assert not wrong, "\n".join(f"{k}: {v}" for k, v in wrong.items())
