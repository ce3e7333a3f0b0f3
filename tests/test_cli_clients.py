"""aws, rclone, s3cmd and s5cmd as their users run them, over HTTP and HTTPS."""

import json

import pytest

from conftest import fresh_name
from content import MIB, data
from tools import Aws, Rclone, S3cmd, S5cmd

SMALL = data(1234, 1)
# Each client sends this in parts with its default settings or with the size given on its command line.
LARGE = data(20 * MIB + 5, 2)


@pytest.fixture(params=["http", "https"])
def endpoint(request, server, tls_server, certificates):
    if request.param == "http":
        return server.s3_url, None
    return tls_server.s3_url, certificates.authority


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "small.txt").write_bytes(SMALL)
    (folder / "sub dir" / "ü+1.bin").write_bytes(SMALL[::-1])
    (folder / "large.bin").write_bytes(LARGE)
    (folder / "empty").write_bytes(b"")
    return folder


def same(left, right):
    """Both folders hold the same files with the same bytes."""
    names = lambda folder: sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return names(left) == names(right) and all(
        (left / name).read_bytes() == (right / name).read_bytes() for name in names(left)
    )


def test_aws(endpoint, files, tmp_path):
    aws = Aws(endpoint[0], tmp_path / "home", endpoint[1])
    bucket = fresh_name("aws")
    aws("s3", "mb", f"s3://{bucket}")
    assert bucket in aws("s3", "ls")
    aws("s3", "cp", files / "small.txt", f"s3://{bucket}/small.txt")
    aws("s3", "cp", files / "large.bin", f"s3://{bucket}/dir/large.bin")
    listing = aws("s3", "ls", "--recursive", f"s3://{bucket}")
    assert "small.txt" in listing and f"{len(LARGE)} dir/large.bin" in listing
    aws("s3", "cp", f"s3://{bucket}/dir/large.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == LARGE
    aws("s3", "cp", f"s3://{bucket}/dir/large.bin", f"s3://{bucket}/copy.bin")
    aws("s3", "mv", f"s3://{bucket}/small.txt", f"s3://{bucket}/moved.txt")
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "moved.txt"))
    assert (head["ContentLength"], head["ServerSideEncryption"]) == (len(SMALL), "AES256")
    aws("s3api", "head-object", "--bucket", bucket, "--key", "small.txt", fails=True)
    aws("s3", "sync", files, f"s3://{bucket}/sync")
    aws("s3", "sync", f"s3://{bucket}/sync", tmp_path / "synced")
    assert same(files, tmp_path / "synced")
    assert aws("s3", "sync", files, f"s3://{bucket}/sync").strip() == "", "a second sync found differences"
    aws("s3", "rb", f"s3://{bucket}", fails=True)
    aws("s3", "rm", "--recursive", f"s3://{bucket}")
    aws("s3", "rb", f"s3://{bucket}")
    assert bucket not in aws("s3", "ls")


def test_aws_api_calls(endpoint, files, tmp_path):
    aws = Aws(endpoint[0], tmp_path / "home", endpoint[1])
    bucket = fresh_name("awsapi")
    api = lambda operation, *words: json.loads(aws("s3api", operation, "--bucket", bucket, *words) or "{}")
    api("create-bucket")
    put = api("put-object", "--key", "a b", "--body", files / "small.txt", "--checksum-algorithm", "SHA256")
    got = api("get-object", "--key", "a b", "--checksum-mode", "ENABLED", tmp_path / "got")
    assert got["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert (tmp_path / "got").read_bytes() == SMALL
    api("get-object", "--key", "a b", "--range", "bytes=10-19", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == SMALL[10:20]
    api("copy-object", "--key", "copy", "--copy-source", f"{bucket}/a b")
    keys = [entry["Key"] for entry in api("list-objects-v2")["Contents"]]
    assert keys == ["a b", "copy"]
    upload = api("create-multipart-upload", "--key", "parts")["UploadId"]
    (tmp_path / "part1").write_bytes(LARGE[: 6 * MIB])
    part = api(
        "upload-part", "--key", "parts", "--upload-id", upload, "--part-number", "1", "--body", tmp_path / "part1"
    )
    assert api("list-multipart-uploads")["Uploads"][0]["UploadId"] == upload
    parts = json.dumps({"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    api("complete-multipart-upload", "--key", "parts", "--upload-id", upload, "--multipart-upload", parts)
    api("delete-objects", "--delete", json.dumps({"Objects": [{"Key": k} for k in ("a b", "copy", "parts")]}))
    assert "Contents" not in api("list-objects-v2")
    api("delete-bucket")


def test_aws_with_a_customer_key(tls_server, certificates, files, tmp_path):
    aws = Aws(tls_server.s3_url, tmp_path / "home", certificates.authority)
    bucket = fresh_name("awsssec")
    (tmp_path / "key").write_bytes(bytes(range(32)))
    sse_c = ["--sse-c", "AES256", "--sse-c-key", f"fileb://{tmp_path / 'key'}"]
    aws("s3", "mb", f"s3://{bucket}")
    aws("s3", "cp", *sse_c, files / "large.bin", f"s3://{bucket}/large.bin")
    aws("s3", "cp", *sse_c, f"s3://{bucket}/large.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == LARGE
    aws("s3", "cp", f"s3://{bucket}/large.bin", tmp_path / "none.bin", fails=True)


def test_rclone(endpoint, files, tmp_path):
    rclone = Rclone(endpoint[0], tmp_path / "home", endpoint[1])
    bucket = fresh_name("rclone")
    rclone("mkdir", f"s:{bucket}")
    assert bucket in rclone("lsd", "s:")
    rclone("copy", files, f"s:{bucket}/dir", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M")
    rclone("check", files, f"s:{bucket}/dir")
    rclone("check", "--download", files, f"s:{bucket}/dir")
    assert f"{len(LARGE)} dir/large.bin" in rclone("ls", f"s:{bucket}")
    rclone("copy", f"s:{bucket}/dir", tmp_path / "back")
    assert same(files, tmp_path / "back")
    rclone("copyto", f"s:{bucket}/dir/large.bin", f"s:{bucket}/copy.bin")
    (files / "small.txt").write_bytes(SMALL * 2)
    (files / "empty").unlink()
    rclone("sync", files, f"s:{bucket}/dir")
    rclone("check", files, f"s:{bucket}/dir")
    rclone("deletefile", f"s:{bucket}/copy.bin")
    rclone("purge", f"s:{bucket}")
    assert bucket not in rclone("lsd", "s:")


def test_s3cmd(endpoint, files, tmp_path):
    s3cmd = S3cmd(endpoint[0], tmp_path / "home", endpoint[1])
    bucket = fresh_name("s3cmd")
    s3cmd("mb", f"s3://{bucket}")
    assert bucket in s3cmd("ls")
    s3cmd("put", files / "small.txt", f"s3://{bucket}/small.txt")
    s3cmd("put", "--multipart-chunk-size-mb=5", files / "large.bin", f"s3://{bucket}/dir/large.bin")
    listing = s3cmd("ls", "--recursive", f"s3://{bucket}")
    assert "small.txt" in listing and "dir/large.bin" in listing
    s3cmd("get", f"s3://{bucket}/dir/large.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == LARGE
    s3cmd("cp", f"s3://{bucket}/small.txt", f"s3://{bucket}/copy ü.txt")
    s3cmd("get", f"s3://{bucket}/copy ü.txt", tmp_path / "copy.txt")
    assert (tmp_path / "copy.txt").read_bytes() == SMALL
    assert str(len(SMALL)) in s3cmd("info", f"s3://{bucket}/small.txt")
    s3cmd("mv", f"s3://{bucket}/small.txt", f"s3://{bucket}/moved.txt")
    s3cmd("sync", f"{files}/", f"s3://{bucket}/sync/")
    s3cmd("sync", f"s3://{bucket}/sync/", f"{tmp_path}/synced/")
    assert same(files, tmp_path / "synced")
    s3cmd("rb", f"s3://{bucket}", fails=True)
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}")
    s3cmd("rb", f"s3://{bucket}")
    assert bucket not in s3cmd("ls")


def test_s5cmd(endpoint, files, tmp_path):
    s5cmd = S5cmd(endpoint[0], tmp_path / "home", endpoint[1])
    bucket = fresh_name("s5cmd")
    s5cmd("mb", f"s3://{bucket}")
    assert bucket in s5cmd("ls")
    s5cmd("cp", files / "small.txt", f"s3://{bucket}/small.txt")
    s5cmd("cp", "--part-size", "5", files / "large.bin", f"s3://{bucket}/dir/large.bin")
    assert "dir/large.bin" in s5cmd("ls", f"s3://{bucket}/*")
    s5cmd("cp", "--part-size", "5", f"s3://{bucket}/dir/large.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == LARGE
    s5cmd("cp", f"s3://{bucket}/small.txt", f"s3://{bucket}/copy.txt")
    assert s5cmd("cat", f"s3://{bucket}/copy.txt")
    s5cmd("mv", f"s3://{bucket}/small.txt", f"s3://{bucket}/moved.txt")
    s5cmd("sync", f"{files}/", f"s3://{bucket}/sync/")
    s5cmd("cp", f"s3://{bucket}/sync/*", f"{tmp_path}/synced/")
    assert same(files, tmp_path / "synced")
    s5cmd("rm", f"s3://{bucket}/*")
    s5cmd("rb", f"s3://{bucket}")
    assert bucket not in s5cmd("ls")
