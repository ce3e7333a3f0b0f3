"""Nothing rests in the clear: a random string, put everywhere a client can put one, is found in no file."""

import base64
import os
import secrets
import socket
import stat
import subprocess

import pytest

from content import KIB, MIB, data, read
from people import User, admin, policy, statement
from sigv4 import sse_c
from test_events import ARN, configured, notify
from forms import send
from test_rest import Rest

pytestmark = pytest.mark.ours


def spellings(canary):
    """The string as it could hide: as it is, in other cases, encoded, reversed."""
    raw = canary.encode()
    forms = {raw, raw.upper(), raw.hex().encode(), raw.hex().upper().encode(), raw[::-1], canary.encode("utf-16-le")}
    # Base64 at each of the three offsets, without the ends that depend on neighbours.
    forms |= {base64.b64encode(b"\0" * pad + raw)[4:-4] for pad in range(3)}
    return forms


def findings(folder, log, canary):
    """Where a spelling of the canary is found: file contents, file names, the log."""
    forms = spellings(canary)
    found = []
    for place, names, files in os.walk(folder):
        for name in names + files:
            found += [f"name {place}/{name}" for form in forms if form in name.encode()]
        for name in files:
            if stat.S_ISSOCK(os.lstat(os.path.join(place, name)).st_mode):
                continue  # The administrator's socket has no content.
            with open(os.path.join(place, name), "rb") as file:
                tail = b""
                while block := file.read(4 * MIB):
                    text = tail + block
                    found += [f"content of {place}/{name}" for form in forms if form in text]
                    tail = text[-200:]
    found += ["the log" for form in forms if form in log.encode()]
    return found


def write_everywhere(server, canary):
    """Puts the canary through every interface that takes a client's words."""
    s3 = server.client()
    bucket = f"b-{canary}"
    s3.create_bucket(Bucket=bucket)
    settings(s3, bucket, canary)
    metadata = {"Metadata": {f"m-{canary}": canary}, "ContentType": f"text/{canary}", "CacheControl": canary}
    raw = canary.encode()
    for size in (0, 4 * KIB, 100 * KIB, MIB):
        s3.put_object(Bucket=bucket, Key=f"k/{canary}/{size}", Body=raw + data(size) + raw, **metadata)
    tagged = {"Bucket": bucket, "Key": f"tagged {canary}"}
    s3.put_object(**tagged, Body=raw, Tagging=f"t{canary}={canary}")
    s3.put_object_tagging(**tagged, Tagging={"TagSet": [{"Key": canary, "Value": f"v {canary}"}]})
    assert s3.get_object_tagging(**tagged)["TagSet"] == [{"Key": canary, "Value": f"v {canary}"}]
    s3.put_object(Bucket=bucket, Key=f"kms {canary}", Body=raw * 1000, ServerSideEncryption="aws:kms")
    s3.copy_object(Bucket=bucket, Key=f"copy {canary}", CopySource={"Bucket": bucket, "Key": f"k/{canary}/{MIB}"})
    names = {"Bucket": bucket, "Key": f"parts {canary}"}
    for finish in (True, False):
        upload = s3.create_multipart_upload(**names, **metadata)["UploadId"]
        part = s3.upload_part(**names, UploadId=upload, PartNumber=1, Body=raw * (6 * MIB // len(raw)))
        if finish:
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            s3.complete_multipart_upload(**names, UploadId=upload, MultipartUpload=parts)
    customer = {"Bucket": bucket, "Key": f"customer {canary}", **sse_c(raw.ljust(32, b"k")[:32])}
    s3.put_object(Body=raw * 1000, **customer)
    assert read(s3.get_object(**customer)) == raw * 1000
    form = s3.generate_presigned_post(bucket, f"form {canary}", Fields={"x-amz-meta-f": canary}, Conditions=[{"x-amz-meta-f": canary}])
    assert send(form, raw * 100, name=f"{canary}.bin")[0] == 204
    versions(s3, canary)
    identities(server, bucket, canary)
    s3.delete_object(Bucket=bucket, Key=f"k/{canary}/0")
    for call in (
        lambda: s3.get_object(Bucket=bucket, Key=f"missing {canary}"),
        lambda: s3.get_object(Bucket=f"nobody-{canary}", Key="k"),
        lambda: server.client(access_key=f"AK{canary}").list_buckets(),
        lambda: server.client(secret_key=canary).list_buckets(),
    ):
        with pytest.raises(s3.exceptions.ClientError):
            call()
    assert s3.list_objects_v2(Bucket=bucket, Prefix="k/")["KeyCount"] == 3
    return bucket


def settings(s3, bucket, canary):
    """Every document that a bucket has."""
    allow = statement("s3:GetObject", f"arn:aws:s3:::{bucket}/{canary}/*", StringEquals={"s3:prefix": canary})
    allow |= {"Sid": canary, "Principal": {"AWS": "*"}}
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(allow))
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": canary, "Value": canary}]})
    expiry = {"ID": canary, "Status": "Enabled", "Filter": {"Prefix": canary}, "Expiration": {"Days": 1000}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [expiry]})
    rule = {"ID": canary, "AllowedMethods": ["GET"], "AllowedOrigins": [f"http://{canary}"], "AllowedHeaders": [canary]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    # Nobody listens at the webhook, so that events wait in their queue for as long as the store runs.
    created = ("s3:ObjectCreated:*", "s3:ObjectTagging:*")
    notify(s3, bucket, created, Id=canary, Filter={"Key": {"FilterRules": [{"Name": "suffix", "Value": canary}]}})
    queue = {"Id": f"all {canary}", "QueueArn": ARN, "Events": ["s3:ObjectRemoved:*"]}
    told = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [*told, queue]}
    )


def versions(s3, canary):
    bucket = f"v-{canary}"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    for number in range(3):
        body = f"{canary} {number}".encode() * (1000 if number else 1)
        last = s3.put_object(Bucket=bucket, Key=canary, Body=body, Metadata={"m": canary})
    s3.put_object_legal_hold(
        Bucket=bucket, Key=canary, VersionId=last["VersionId"], LegalHold={"Status": "ON"}
    )
    s3.delete_object(Bucket=bucket, Key=canary)
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 3


def identities(server, bucket, canary):
    """Users and all that belongs to them, and the REST API's objects and buckets."""
    user = User(server, f"u-{canary}", statement("s3:*", f"arn:aws:s3:::{bucket}/{canary}/*"))
    admin(server, "group", "create", f"g-{canary}")
    admin(server, "group", "add", f"g-{canary}", user.name)
    admin(server, "service-account", "create", "--user", user.name, "--description", f"for {canary}")
    session = user.sts().assume_role(RoleArn="arn:aws:iam::strongroom:role/any", RoleSessionName=canary)
    assert session["Credentials"]["SessionToken"]
    token = admin(server, "token", "create", "--scope", "all", "--description", f"of {canary}")["token"]
    rest = Rest(server.api_url, token)
    assert rest.json("POST", "/api/v1/buckets", {"name": f"rest-{canary}"})[0] == 201
    for size in (10, 100 * KIB):
        path = f"/api/v1/buckets/rest-{canary}/objects/{canary}/{size}"
        status, _, body = rest("PUT", path, canary.encode() + data(size), x_amz_meta_m=canary)
        assert status in (200, 201, 204), body
    for path in (f"/api/v1/buckets/rest-{canary}/objects/{canary}/missing", f"/api/v1/{canary}", f"/{canary}"):
        assert rest("GET", path)[0] == 404
    assert Rest(server.api_url, f"srt_{canary}")("GET", "/api/v1/buckets")[0] == 401


def test_the_search_finds_what_is_there(tmp_path):
    canary = "c" + secrets.token_hex(12)
    (tmp_path / "plain").write_bytes(b"x" * (4 * MIB - 5) + canary.encode())
    (tmp_path / "encoded").write_bytes(base64.b64encode(b"ab" + canary.encode() + b"cd"))
    (tmp_path / canary).write_bytes(b"")
    assert len(findings(tmp_path, "", canary)) == 3
    assert findings(tmp_path, f"... {canary}", canary)[-1] == "the log"
    assert findings(tmp_path, "", "c" + secrets.token_hex(12)) == []


def test_no_canary_rests_anywhere(start, tmp_path):
    canary = "c" + secrets.token_hex(12)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    server = start(
        arguments=["--sse-c-over-http", *configured(tmp_path, port)],
        environment={"STRONGROOM_LOG_LEVEL": "trace", "TMPDIR": str(scratch)},
    )
    bucket = write_everywhere(server, canary)

    def nothing(when):
        where = findings(tmp_path, server.log(), canary)
        assert where == [], f"{when}: {sorted(set(where))}"

    def waiting():
        return server.metric("strongroom_events_pending", target="orders")

    assert waiting() > 5, "events wait for a webhook that does not listen"
    nothing("while it runs")
    admin(server, "checkpoint")
    nothing("after a checkpoint")
    server.kill()
    nothing("after a crash")
    server.start()
    assert server.client().list_objects_v2(Bucket=bucket)["KeyCount"] > 0
    assert waiting() > 5, "events survived"
    nothing("after recovery")
    assert server.stop() == 0
    nothing("after a clean stop")


def test_the_credentials_rest_sealed_too(start):
    import harness

    server = start()
    server.client().create_bucket(Bucket="any")
    assert server.stop() == 0
    assert findings(server.data_dir, server.log(), harness.SECRET_KEY) == []


def test_no_canary_is_in_a_core_dump(start, tmp_path):
    """A crash must not dump keys: core files are switched off, or the memory is marked as not to be dumped."""
    server = start()
    limits = open(f"/proc/{server.process.pid}/limits").read()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4] == "0", core
    assert server.stop() == 0


def test_plain_tools_find_nothing_readable(start):
    """What an operator would try first: `grep -r` over the data directory."""
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="grepped")
    s3.put_object(Bucket="grepped", Key="minutes.txt", Body=b"The board has decided. " * 10000)
    assert server.stop() == 0
    for word in ("board has decided", "minutes.txt", "grepped"):
        assert subprocess.run(["grep", "-r", "-q", "-a", word, str(server.data_dir)]).returncode == 1, word
