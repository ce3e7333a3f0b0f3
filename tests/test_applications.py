"""What people run on top of a store, where it is small enough for CI: the libraries that keep data sets are in test_data_applications.py."""

import datetime
import io
import json
import os
import shutil
import subprocess
import urllib.parse

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import GOVERNANCE, ComposeSource, CopySource, Tags
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.retention import Retention
from minio.sse import SseCustomerKey, SseKMS

from conftest import fresh_name
from content import MIB, data
from harness import ACCESS_KEY, REGION, SECRET_KEY

LARGE = data(12 * MIB + 7, 3)
PART = 5 * MIB


@pytest.fixture(params=["http", "https"])
def endpoint(request, server, tls_server, certificates):
    if request.param == "http":
        return server.s3_url, None
    return tls_server.s3_url, certificates.authority


def minio_client(url, authority):
    at = urllib.parse.urlsplit(url)
    pool = urllib3.PoolManager(ca_certs=str(authority), retries=False) if authority else urllib3.PoolManager(retries=False)
    return Minio(
        at.netloc, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION, secure=at.scheme == "https", http_client=pool
    )


@pytest.fixture
def minio(endpoint):
    return minio_client(*endpoint)


@pytest.fixture
def in_minio(minio):
    name = fresh_name("minio")
    minio.make_bucket(bucket_name=name)
    return name


def test_minio_keeps_objects(minio, in_minio):
    put = lambda name, content, **options: minio.put_object(
        bucket_name=in_minio, object_name=name, data=io.BytesIO(content), **options
    )
    get = lambda name, **options: minio.get_object(bucket_name=in_minio, object_name=name, **options).read()
    put("dir/ü +.txt", b"hello", length=5, metadata={"Colour": "blue"})
    put("big", LARGE, length=len(LARGE), part_size=PART)
    put("of a length not known", LARGE, length=-1, part_size=PART)
    assert get("big") == get("of a length not known") == LARGE
    assert get("big", offset=10, length=20) == LARGE[10:30]
    told = minio.stat_object(bucket_name=in_minio, object_name="dir/ü +.txt")
    assert (told.size, told.metadata["x-amz-meta-colour"]) == (5, "blue")
    minio.copy_object(
        bucket_name=in_minio, object_name="copy", source=CopySource(bucket_name=in_minio, object_name="dir/ü +.txt")
    )
    sources = [("big", None, None), ("big", 5, 6 * MIB), ("copy", None, None)]
    sources = [
        ComposeSource(bucket_name=in_minio, object_name=name, offset=offset, length=length)
        for name, offset, length in sources
    ]
    minio.compose_object(bucket_name=in_minio, object_name="composed", sources=sources)
    assert get("composed") == LARGE + LARGE[5 : 5 + 6 * MIB] + b"hello"
    top = {entry.object_name: entry.is_dir for entry in minio.list_objects(bucket_name=in_minio)}
    assert top == {"big": False, "composed": False, "copy": False, "dir/": True, "of a length not known": False}
    tags = Tags.new_object_tags()
    tags["project"] = "a b"
    minio.set_object_tags(bucket_name=in_minio, object_name="copy", tags=tags)
    assert minio.get_object_tags(bucket_name=in_minio, object_name="copy") == tags
    names = [entry.object_name for entry in minio.list_objects(bucket_name=in_minio, recursive=True)]
    assert list(minio.remove_objects(bucket_name=in_minio, delete_object_list=map(DeleteObject, names))) == []
    minio.remove_bucket(bucket_name=in_minio)
    assert not minio.bucket_exists(bucket_name=in_minio)


def test_minio_lets_others_up_and_download(minio, in_minio, endpoint):
    url, authority = endpoint
    pool = urllib3.PoolManager(ca_certs=str(authority)) if authority else urllib3.PoolManager()
    assert pool.request("PUT", minio.presigned_put_object(bucket_name=in_minio, object_name="put"), body=b"put").status == 200
    got = pool.request("GET", minio.presigned_get_object(bucket_name=in_minio, object_name="put"))
    assert (got.status, got.data) == (200, b"put")
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    policy = PostPolicy(in_minio, until)
    policy.add_starts_with_condition("key", "forms/")
    policy.add_content_length_range_condition(1, 10)
    form = minio.presigned_post_policy(policy=policy) | {"key": "forms/a"}
    post = lambda content: pool.request("POST", f"{url}/{in_minio}", fields=form | {"file": ("a", content)}).status
    assert (post(b"posted"), post(b"more than ten bytes")) == (204, 400)
    assert minio.get_object(bucket_name=in_minio, object_name="forms/a").read() == b"posted"


# Over plain HTTP minio-py signs the content and sends no checksum with it, which AWS does not take with a retention.
def test_minio_locks_and_encrypts(tls_server, certificates):
    minio = minio_client(tls_server.s3_url, certificates.authority)
    bucket = fresh_name("minio-lock")
    minio.make_bucket(bucket_name=bucket, object_lock=True)
    minio.set_object_lock_config(bucket_name=bucket, config=ObjectLockConfig(GOVERNANCE, 1, DAYS))
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=2)
    put = lambda name, content, **options: minio.put_object(
        bucket_name=bucket, object_name=name, data=io.BytesIO(content), length=len(content), part_size=PART, **options
    )
    held = put("held", b"x", retention=Retention(GOVERNANCE, until), legal_hold=True)
    assert minio.is_object_legal_hold_enabled(bucket_name=bucket, object_name="held")
    with pytest.raises(S3Error, match="AccessDenied"):
        minio.remove_object(bucket_name=bucket, object_name="held", version_id=held.version_id)
    minio.disable_object_legal_hold(bucket_name=bucket, object_name="held")
    gone = minio.remove_objects(
        bucket_name=bucket, delete_object_list=[DeleteObject("held", held.version_id)], bypass_governance_mode=True
    )
    assert list(gone) == []
    key = SseCustomerKey(bytes(range(32)))
    put("of a customer's key", LARGE, sse=key)
    assert minio.get_object(bucket_name=bucket, object_name="of a customer's key", ssec=key).read() == LARGE
    put("of the KMS", LARGE, sse=SseKMS("alias/aws/s3", {"project": "a"}))
    assert minio.get_object(bucket_name=bucket, object_name="of the KMS").read() == LARGE


@pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not here")
def test_restic_backs_up_and_restores(endpoint, s3, tls_s3, tmp_path):
    url, authority = endpoint
    # Each of the two takes seconds, so one of them has the lock.
    s3, locked = (tls_s3, True) if authority else (s3, False)
    bucket = fresh_name("restic")
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locked)
    if locked:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "RESTIC_PASSWORD": "only a test",
        "RESTIC_REPOSITORY": f"s3:{url}/{bucket}/repository",
    }
    trust = ["--cacert", str(authority)] if authority else []

    def restic(*words):
        done = subprocess.run(
            ["restic", *trust, *map(str, words)], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    files = tmp_path / "files"
    files.mkdir()
    (files / "large").write_bytes(LARGE)
    restic("init")
    restic("backup", files)
    (files / "small").write_bytes(b"small")
    (files / "large").unlink()
    restic("backup", files)
    restic("check", "--read-data")
    assert len(json.loads(restic("snapshots", "--json"))) == 2
    restic("forget", "--keep-last", "1", "--prune")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "back")
    back = tmp_path / "back" / files.relative_to("/")
    assert [(entry.name, entry.read_bytes()) for entry in back.iterdir()] == [("small", b"small")]
