"""What the command-line clients do with versions, tags, encryption and the settings of buckets."""

import json
import urllib.request

import pytest

from conftest import fresh_name
from content import MIB, data
from tools import Aws, Rclone, S3cmd, S5cmd

pytestmark = pytest.mark.ours
OLD, NEW = data(3000, 1), data(4000, 2)
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]}
LIFECYCLE_XML = """<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>old</ID>
<Status>Enabled</Status><Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>30</Days></Expiration></Rule>
</LifecycleConfiguration>"""
CORS_XML = """<CORSConfiguration><CORSRule><AllowedOrigin>https://example.org</AllowedOrigin><AllowedMethod>GET</AllowedMethod>
<AllowedHeader>*</AllowedHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>"""


def policy(bucket):
    statement = POLICY["Statement"][0] | {"Resource": f"arn:aws:s3:::{bucket}/open/*"}
    return json.dumps(POLICY | {"Statement": [statement]})


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "old").write_bytes(OLD)
    (folder / "new").write_bytes(NEW)
    (folder / "lifecycle.xml").write_text(LIFECYCLE_XML)
    (folder / "cors.xml").write_text(CORS_XML)
    return folder


@pytest.fixture
def aws(server, tmp_path):
    return Aws(server.s3_url, tmp_path / "home")


class Api:
    """`aws s3api OPERATION --bucket BUCKET …`, its answer read as JSON."""

    def __init__(self, aws, what):
        self.aws = aws
        self.bucket = fresh_name(what)
        self("create-bucket")

    def __call__(self, operation, *words, **options):
        out = self.aws("s3api", operation, "--bucket", self.bucket, *words, **options)
        return json.loads(out or "{}") if not options.get("fails") else out


def test_aws_keeps_versions(aws, files, tmp_path):
    api = Api(aws, "awsversions")
    api("put-bucket-versioning", "--versioning-configuration", "Status=Enabled")
    assert api("get-bucket-versioning")["Status"] == "Enabled"
    old = api("put-object", "--key", "k", "--body", files / "old")["VersionId"]
    new = api("put-object", "--key", "k", "--body", files / "new")["VersionId"]
    assert old != new
    api("get-object", "--key", "k", "--version-id", old, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == OLD
    marker = api("delete-object", "--key", "k")
    assert marker["DeleteMarker"]
    assert "404" in api("head-object", "--key", "k", fails=True)
    listed = api("list-object-versions")
    assert [(v["VersionId"], v["IsLatest"]) for v in listed["Versions"]] == [(new, False), (old, False)]
    assert listed["DeleteMarkers"][0]["VersionId"] == marker["VersionId"]
    api("delete-object", "--key", "k", "--version-id", marker["VersionId"])
    api("get-object", "--key", "k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == NEW
    api("copy-object", "--key", "k", "--copy-source", f"{api.bucket}/k?versionId={old}")
    api("get-object", "--key", "k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == OLD
    objects = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in api("list-object-versions")["Versions"]]
    api("delete-objects", "--delete", json.dumps({"Objects": objects}))
    api("delete-bucket")


def test_aws_tags_and_bucket_settings(aws, files):
    api = Api(aws, "awssettings")
    api("put-object", "--key", "k", "--body", files / "old", "--tagging", "a=1&b=2")
    assert api("get-object-tagging", "--key", "k")["TagSet"] == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    tags = {"TagSet": [{"Key": "team", "Value": "storage"}]}
    api("put-bucket-tagging", "--tagging", json.dumps(tags))
    assert api("get-bucket-tagging") == tags
    api("delete-bucket-tagging")
    assert "NoSuchTagSet" in api("get-bucket-tagging", fails=True)
    block = {name: True for name in ("BlockPublicAcls", "IgnorePublicAcls", "RestrictPublicBuckets", "BlockPublicPolicy")}
    api("put-public-access-block", "--public-access-block-configuration", json.dumps(block))
    assert api("get-public-access-block")["PublicAccessBlockConfiguration"] == block
    assert "AccessDenied" in api("put-bucket-policy", "--policy", policy(api.bucket), fails=True)
    api("delete-public-access-block")
    api("put-bucket-policy", "--policy", policy(api.bucket))
    assert json.loads(api("get-bucket-policy")["Policy"]) == json.loads(policy(api.bucket))
    assert api("get-bucket-policy-status")["PolicyStatus"]["IsPublic"]
    api("put-object", "--key", "open/k", "--body", files / "new")
    with urllib.request.urlopen(f"{aws.url}/{api.bucket}/open/k", timeout=30) as reply:
        assert reply.read() == NEW
    api("delete-bucket-policy")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}
    api("put-bucket-lifecycle-configuration", "--lifecycle-configuration", json.dumps({"Rules": [rule]}))
    assert api("get-bucket-lifecycle-configuration")["Rules"] == [rule]
    api("delete-bucket-lifecycle")
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"], "MaxAgeSeconds": 9}]}
    api("put-bucket-cors", "--cors-configuration", json.dumps(cors))
    assert api("get-bucket-cors") == cors
    api("delete-bucket-cors")


def test_aws_bucket_encryption(aws, files):
    api = Api(aws, "awsencryption")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}
    api("put-bucket-encryption", "--server-side-encryption-configuration", json.dumps({"Rules": [rule]}))
    found = api("get-bucket-encryption")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert found["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms" and found["BucketKeyEnabled"]
    put = api("put-object", "--key", "k", "--body", files / "old")
    assert put["ServerSideEncryption"] == "aws:kms" and put["BucketKeyEnabled"] and put["SSEKMSKeyId"]
    double = api("put-object", "--key", "d", "--body", files / "old", "--server-side-encryption", "aws:kms:dsse")
    assert double["ServerSideEncryption"] == "aws:kms:dsse"
    aws("s3", "cp", "--sse", "aws:kms", files / "new", f"s3://{api.bucket}/cp")
    assert api("head-object", "--key", "cp")["ServerSideEncryption"] == "aws:kms"
    api("delete-bucket-encryption")
    assert api("put-object", "--key", "k", "--body", files / "old")["ServerSideEncryption"] == "AES256"


def test_s3cmd_settings(server, files, tmp_path):
    s3cmd = S3cmd(server.s3_url, tmp_path / "home")
    bucket = f"s3://{fresh_name('s3cmdset')}"
    s3cmd("mb", bucket)
    s3cmd("put", files / "old", f"{bucket}/k")
    s3cmd("setlifecycle", files / "lifecycle.xml", bucket)
    assert "logs/" in s3cmd("getlifecycle", bucket)
    s3cmd("dellifecycle", bucket)
    s3cmd("expire", bucket, "--expiry-days=10", "--expiry-prefix=tmp/")
    assert "tmp/" in s3cmd("getlifecycle", bucket)
    (files / "policy.json").write_text(policy(bucket.removeprefix("s3://")))
    s3cmd("settagging", bucket, "team=storage&cost=1")
    assert "storage" in s3cmd("gettagging", bucket)
    s3cmd("deltagging", bucket)
    s3cmd("settagging", f"{bucket}/k", "colour=green")
    assert "green" in s3cmd("gettagging", f"{bucket}/k")
    s3cmd("setcors", files / "cors.xml", bucket)
    assert "https://example.org" in s3cmd("info", bucket)
    s3cmd("delcors", bucket)
    s3cmd("setversioning", bucket, "enable")
    s3cmd("put", files / "new", f"{bucket}/k")
    s3cmd("put", "--server-side-encryption", files / "new", f"{bucket}/sse")
    assert "SSE" in s3cmd("info", f"{bucket}/sse")


def test_rclone_versions_and_encryption(server, files, tmp_path):
    rclone = Rclone(server.s3_url, tmp_path / "home")
    bucket = fresh_name("rcloneset")
    rclone("mkdir", f"s:{bucket}")
    assert "Unversioned" in rclone("backend", "versioning", f"s:{bucket}")
    rclone("backend", "versioning", f"s:{bucket}", "Enabled")
    assert "Enabled" in rclone("backend", "versioning", f"s:{bucket}")
    rclone("copyto", files / "old", f"s:{bucket}/k.bin")
    rclone("copyto", files / "new", f"s:{bucket}/k.bin")
    assert len(rclone("lsf", f"s:{bucket}").split()) == 1
    versions = rclone("lsf", "--s3-versions", f"s:{bucket}").split()
    assert len(versions) == 2, versions
    earlier = next(name for name in versions if name != "k.bin")
    rclone("copyto", "--s3-versions", f"s:{bucket}/{earlier}", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == OLD
    rclone("deletefile", f"s:{bucket}/k.bin")
    assert rclone("lsf", f"s:{bucket}").split() == []
    rclone("backend", "cleanup-hidden", f"s:{bucket}")
    assert rclone("lsf", "--s3-versions", f"s:{bucket}").split() == []
    rclone("copyto", "--s3-server-side-encryption", "aws:kms", files / "new", f"s:{bucket}/kms")
    s3 = server.client()
    assert s3.head_object(Bucket=bucket, Key="kms")["ServerSideEncryption"] == "aws:kms"
    rclone("copyto", "--header-upload", "x-amz-tagging: a=1", files / "old", f"s:{bucket}/tagged")
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == [{"Key": "a", "Value": "1"}]
    link = rclone("link", "--expire", "1h", f"s:{bucket}/tagged").strip()
    with urllib.request.urlopen(link, timeout=30) as reply:
        assert reply.read() == OLD


def test_s5cmd_versions_and_encryption(server, files, tmp_path):
    s5cmd = S5cmd(server.s3_url, tmp_path / "home")
    bucket = fresh_name("s5cmdset")
    s5cmd("mb", f"s3://{bucket}")
    s5cmd("bucket-version", "--set", "Enabled", f"s3://{bucket}")
    assert "Enabled" in s5cmd("bucket-version", f"s3://{bucket}")
    s5cmd("cp", files / "old", f"s3://{bucket}/k")
    s5cmd("cp", files / "new", f"s3://{bucket}/k")
    s5cmd("rm", f"s3://{bucket}/k")
    listed = s5cmd("ls", "--all-versions", f"s3://{bucket}/*").splitlines()
    assert len(listed) == 3, listed
    s3 = server.client()
    old = s3.list_object_versions(Bucket=bucket)["Versions"][-1]["VersionId"]
    s5cmd("cp", "--version-id", old, f"s3://{bucket}/k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == OLD
    s5cmd("rm", "--all-versions", f"s3://{bucket}/*")
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    (files / "large").write_bytes(data(11 * MIB, 3))
    s5cmd("cp", "--sse", "aws:kms", "--part-size", "5", files / "large", f"s3://{bucket}/kms")
    assert s3.head_object(Bucket=bucket, Key="kms")["ServerSideEncryption"] == "aws:kms"
