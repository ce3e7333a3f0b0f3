"""Put, get, head, delete, batch delete and ranges with boto3."""

import concurrent.futures
import datetime
import socket
import urllib.parse

import pytest

import sigv4
from content import KIB, MIB, ODD_KEYS, data, md5, md5_base64, read, refused

# Around what the store treats differently: empty, inline, one chunk, a whole number of chunks, many.
SIZES = [0, 1, 4095, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB, MIB + 7, 5 * MIB + 3]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_comes_back(s3, bucket, size):
    body = data(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert put["ETag"] == f'"{md5(body)}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert read(got) == body
    head = s3.head_object(Bucket=bucket, Key="k")
    for reply in (got, head):
        assert reply["ContentLength"] == size
        assert reply["ETag"] == put["ETag"]
        assert reply["AcceptRanges"] == "bytes"
        age = datetime.datetime.now(datetime.timezone.utc) - reply["LastModified"]
        assert abs(age) < datetime.timedelta(minutes=5)


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key)[:30])
def test_odd_keys_are_only_names(s3, bucket, key):
    body = data(100, len(key))
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert read(s3.get_object(Bucket=bucket, Key=key)) == body
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert read(s3.get_object(Bucket=bucket, Key="copy")) == body
    assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_key_is_at_most_1024_bytes(s3, bucket):
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b"x")


def test_metadata_comes_back(s3, bucket):
    system = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Expires": datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    }
    user = {"one": "1", "dashed-name": "a b  c", "empty": ""}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=user, **system)
    for reply in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert {name: reply.get(name) for name in system} == system
        assert {k: " ".join(v.split()) for k, v in reply["Metadata"].items()} == {
            k: " ".join(v.split()) for k, v in user.items()
        }


def test_the_default_content_type_is_that_of_s3(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"


def test_metadata_over_two_kilobytes_is_refused(s3, bucket):
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"long": "v" * 2100})


def test_a_reader_may_override_reply_headers(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain")
    reply = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="text/html", ResponseContentDisposition="inline"
    )
    assert (reply["ContentType"], reply["ContentDisposition"]) == ("text/html", "inline")


def test_overwriting_replaces_all_of_it(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=data(MIB), Metadata={"old": "yes"}, ContentType="text/plain")
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    reply = s3.get_object(Bucket=bucket, Key="k")
    assert read(reply) == b"new"
    assert reply["Metadata"] == {} and reply["ContentType"] != "text/plain"


def test_a_missing_key_is_named_and_deleting_it_is_fine(s3, bucket):
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="missing")
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="missing")
    assert s3.delete_object(Bucket=bucket, Key="missing")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_deleted_is_gone(s3, bucket):
    for size in (1, MIB):
        s3.put_object(Bucket=bucket, Key="k", Body=data(size))
        s3.delete_object(Bucket=bucket, Key="k")
        with refused("NoSuchKey", 404):
            s3.get_object(Bucket=bucket, Key="k")


def test_a_thousand_keys_are_deleted_at_once(s3, bucket):
    keys = [f"dir{n % 7}/key {n}" for n in range(1000)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
    s3.put_object(Bucket=bucket, Key="stays", Body=b"x")
    reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(entry["Key"] for entry in reply["Deleted"]) == sorted(keys)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["stays"]


def test_a_quiet_batch_tells_only_errors_and_missing_keys_are_none(s3, bucket):
    s3.put_object(Bucket=bucket, Key="there", Body=b"x")
    objects = [{"Key": "there"}, {"Key": "missing"}]
    reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    assert "Deleted" not in reply and "Errors" not in reply
    reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert len(reply["Deleted"]) == 2


@pytest.mark.ours
def test_more_than_a_thousand_keys_at_once_are_refused(s3, bucket):
    with refused("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{n}"} for n in range(1001)]})


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-99", 0, 100),
    ("bytes=100-", 100, None),
    ("bytes=-1", -1, None),
    ("bytes=-100000000", 0, None),
    ("bytes=10-100000000", 10, None),
    ("bytes=500-600", 500, 601),
]


@pytest.mark.parametrize("size", [1000, 16 * KIB, 64 * KIB, 300 * KIB, 5 * MIB])
@pytest.mark.parametrize("header, start, end", RANGES)
def test_a_range_is_that_part_of_the_object(s3, bucket, size, header, start, end):
    body = data(size)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    reply = s3.get_object(Bucket=bucket, Key="k", Range=header)
    wanted = body[start:end]
    assert read(reply) == wanted
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 206
    first = start % size if start < 0 else start
    assert reply["ContentRange"] == f"bytes {first}-{first + len(wanted) - 1}/{size}"


def test_ranges_around_chunk_borders(s3, bucket):
    body = data(4 * 64 * KIB + 100)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    borders = [n * 64 * KIB + off for n in range(5) for off in (-1, 0, 1) if n * 64 * KIB + off >= 0]
    for start in borders:
        for end in borders:
            if start <= end < len(body):
                reply = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{end}")
                assert read(reply) == body[start : end + 1], (start, end)


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_past_the_end_is_refused(s3, bucket, header):
    s3.put_object(Bucket=bucket, Key="k", Body=data(1000))
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="k", Range=header)


@pytest.mark.ours
@pytest.mark.parametrize("header", ["bytes=9-1", "octets=0-1", "bytes=x-y"])
def test_a_range_that_is_none_is_ignored(s3, bucket, header):
    s3.put_object(Bucket=bucket, Key="k", Body=data(1000))
    reply = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert read(reply) == data(1000)


def test_content_md5_is_checked(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"right", ContentMD5=md5_base64(b"right"))
    with refused("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", ContentMD5=md5_base64(b"right"))
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"right"


@pytest.mark.ours
def test_a_content_md5_that_is_none_is_refused(s3, bucket):
    with refused("InvalidDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5="not base64!")


def test_a_client_that_expects_100_continue_gets_it(server, s3, bucket):
    signer = sigv4.Signer()
    at = urllib.parse.urlsplit(server.s3_url)
    body = data(200 * KIB)
    headers = {"content-length": str(len(body)), "expect": "100-continue"}
    headers = signer.headers("PUT", at.netloc, f"/{bucket}/k", (), headers, "UNSIGNED-PAYLOAD")
    with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"PUT /{bucket}/k HTTP/1.1\r\n{lines}\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert read(s3.get_object(Bucket=bucket, Key="k")) == body


def test_attributes_are_told(s3, bucket):
    body = data(70 * KIB)
    s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm="SHA256")
    wanted = ["ETag", "ObjectSize", "StorageClass", "Checksum"]
    reply = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert reply["ETag"].strip('"') == md5(body)
    assert reply["ObjectSize"] == len(body)
    assert reply["StorageClass"] == "STANDARD"
    assert reply["Checksum"]["ChecksumSHA256"]


def test_readers_see_one_whole_version_or_the_other(s3, bucket):
    versions = [data(size, seed) for seed, size in enumerate([3 * KIB, 200 * KIB, MIB])]
    s3.put_object(Bucket=bucket, Key="k", Body=versions[0])

    def write(n):
        s3.put_object(Bucket=bucket, Key="k", Body=versions[n % 3])

    def check(_):
        reply = s3.get_object(Bucket=bucket, Key="k")
        body = read(reply)
        assert body in versions
        assert reply["ETag"] == f'"{md5(body)}"'

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(write if n % 2 else check, n) for n in range(120)]
        for job in jobs:
            job.result()


def test_a_batch_that_nothing_covers_is_refused(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    batch = b"<Delete><Object><Key>k</Key></Object></Delete>"
    send = lambda **options: sigv4.request(
        server.s3_url, "POST", f"/{bucket}", query=[("delete", "")], body=batch, **options
    )
    reply = send(payload="UNSIGNED-PAYLOAD")
    assert reply.status == 400, reply.body
    assert b"Missing required header for this request: Content-MD5 OR x-amz-checksum-*" in reply.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"x"
    assert send(payload="UNSIGNED-PAYLOAD", headers={"content-md5": md5_base64(batch)}).status == 200
    assert send().status == 200
