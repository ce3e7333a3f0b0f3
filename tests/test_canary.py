"""Nothing rests in the clear: a random string, put everywhere a client can put one, is found in no file."""

import base64
import os
import secrets
import stat
import subprocess

import pytest

from content import KIB, MIB, data
from sigv4 import sse_c

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
    metadata = {"Metadata": {f"m-{canary}": canary}, "ContentType": f"text/{canary}", "CacheControl": canary}
    raw = canary.encode()
    for size in (0, 4 * KIB, 100 * KIB, MIB):
        s3.put_object(Bucket=bucket, Key=f"k/{canary}/{size}", Body=raw + data(size) + raw, **metadata)
    tagged = {"Bucket": bucket, "Key": f"tagged {canary}", "Body": raw}
    try:
        s3.put_object(**tagged, Tagging=f"t{canary}={canary}")
    except s3.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "NotImplemented"
    s3.put_object(Bucket=bucket, Key=f"kms {canary}", Body=raw * 1000, ServerSideEncryption="aws:kms")
    s3.copy_object(Bucket=bucket, Key=f"copy {canary}", CopySource={"Bucket": bucket, "Key": f"k/{canary}/{MIB}"})
    names = {"Bucket": bucket, "Key": f"parts {canary}"}
    for finish in (True, False):
        upload = s3.create_multipart_upload(**names, **metadata)["UploadId"]
        part = s3.upload_part(**names, UploadId=upload, PartNumber=1, Body=raw * (6 * MIB // len(raw)))
        if finish:
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            s3.complete_multipart_upload(**names, UploadId=upload, MultipartUpload=parts)
    try:
        s3.put_object(Bucket=bucket, Key=f"customer {canary}", Body=raw * 100, **sse_c(raw.ljust(32, b"k")[:32]))
    except s3.exceptions.ClientError:
        pass  # Customer keys may need TLS.
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
    server = start(environment={"STRONGROOM_LOG_LEVEL": "trace", "TMPDIR": str(scratch)})
    bucket = write_everywhere(server, canary)


    def nothing(when):
        server_log = server.log()
        where = findings(tmp_path, server_log, canary)
        assert where == [], f"{when}: {sorted(set(where))}"

    nothing("while it runs")
    server.kill()
    nothing("after a crash")
    server.start()
    assert server.client().list_objects_v2(Bucket=bucket)["KeyCount"] > 0
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
