"""Changing keys while clients write: `strongroom admin` against a running server, and kills in between."""

import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from content import KIB, MIB, data
from harness import binary
from test_canary import findings

pytestmark = pytest.mark.ours

BUCKET = "photos"


def command(server, *arguments, data_dir=None):
    """A run of `strongroom admin` on the server's directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    directory = data_dir or server.data_dir
    return subprocess.run(
        [binary(), "admin", "--data-dir", str(directory), *arguments],
        capture_output=True, text=True, timeout=60, env=environment | {"NO_COLOR": "1"},
    )


def admin(server, *arguments):
    """What it says, as JSON; it must succeed."""
    done = command(server, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def keys(server, bucket=BUCKET):
    """Ids and states of a bucket's keys."""
    [group] = admin(server, "keys", "groups", "--bucket", bucket)["groups"]
    return {key["id"]: key["state"] for key in group["keys"]}


def until(what, seconds=60):
    """Waits until `what` gives something, and gives that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def retired(server, key_id, bucket=BUCKET):
    """Checkpoints are made as they come in days of use; here somebody asks for them."""

    def look():
        admin(server, "checkpoint")
        return keys(server, bucket)[key_id] == "retired"

    return until(look)


class Writer(threading.Thread):
    """Writes, overwrites and reads until it is stopped, and remembers what was acknowledged."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.s3 = server.client()
        self.kept = {}
        self.doubt = {}
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        number = 0
        try:
            while not self.stopping.is_set():
                name = f"written {number % 17}"
                body = data((number % 5) * 9 * KIB + number)
                self.doubt = {name: body}
                self.s3.put_object(Bucket=BUCKET, Key=name, Body=body)
                self.kept[name] = body
                self.doubt = {}
                assert self.s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() == body
                number += 1
        except Exception as error:  # The test says what it means.
            self.failure = error

    def stop(self):
        self.stopping.set()
        self.join()
        return self.kept


def fill(server):
    """Objects of every kind, and an upload that nobody completed; returns what must read back."""
    s3 = server.client()
    s3.create_bucket(Bucket=BUCKET)
    kept = {f"size {size}": data(size) for size in (0, 1, 5 * KIB, 100 * KIB, 3 * MIB)}
    for name, body in kept.items():
        s3.put_object(Bucket=BUCKET, Key=name, Body=body)
    for number in range(60):
        kept[f"many {number}"] = data(10 * KIB + number)
        s3.put_object(Bucket=BUCKET, Key=f"many {number}", Body=kept[f"many {number}"])
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=1, Body=data(6 * MIB))
    return kept, upload, part["ETag"]


def check(server, kept):
    s3 = server.client()
    for name, body in kept.items():
        assert s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() == body, name


def finish(server, kept, upload, etag):
    """The upload that was open all the time becomes an object, and everything reads."""
    s3 = server.client()
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key="parts", UploadId=upload, MultipartUpload=parts)
    check(server, kept | {"parts": data(6 * MIB)})


def test_a_bucket_gets_a_new_key_while_clients_write_and_the_old_one_retires(start):
    server = start()
    kept, upload, etag = fill(server)
    writer = Writer(server)
    writer.start()
    done = admin(server, "keys", "rotate", "--bucket", BUCKET)
    assert done == {"rotated": [{"group": 1, "bucket": BUCKET, "key_id": 2}], "not_rotated": []}
    retired(server, 1)
    assert writer.is_alive() and writer.failure is None
    assert keys(server) == {1: "retired", 2: "active"}
    kept |= writer.stop()
    assert writer.failure is None
    assert admin(server, "reseal", "status")["groups"] == []
    check(server, kept)
    assert server.stop() == 0
    server.start()
    finish(server, kept, upload, etag)


def test_following_ends_when_nothing_is_left_to_do(start):
    server = start()
    kept, _, _ = fill(server)
    assert command(server, "keys", "rotate", "--all").returncode == 0
    follower = threading.Thread(target=lambda: retired(server, 1))
    follower.start()
    done = command(server, "reseal", "status", "--follow")
    follower.join()
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("nothing is left to do: every older key is retired")
    groups = admin(server, "keys", "groups")["groups"]
    assert [group["bucket"] for group in groups] == [None, BUCKET]
    for group in groups:
        assert [key["state"] for key in group["keys"]] == ["retired", "active"]
    check(server, kept)


def test_metrics_tell_of_keys(start):
    server = start()
    fill(server)
    until(lambda: server.metric("strongroom_keys", state="active") == 2)
    assert server.metric("strongroom_keys_active_seals_max") > 0
    assert server.metric("strongroom_keys_active_sealed_max_bytes") > 0
    assert server.metric("strongroom_root_key_version") == 1
    admin(server, "reseal", "rate", "2")
    admin(server, "reseal", "pause")
    admin(server, "keys", "rotate", "--bucket", BUCKET)
    until(lambda: server.metric("strongroom_keys", state="readable") == 1)
    assert server.metric("strongroom_reseal_paused") == 1
    assert server.metric("strongroom_reseal_rate_limit_bytes") == 2 * MIB
    assert server.metric("strongroom_keys_rotated_total") == 1
    until(lambda: server.metric("strongroom_reseal_groups_left") == 1)
    admin(server, "reseal", "resume")
    retired(server, 1)
    until(lambda: server.metric("strongroom_keys", state="retired") == 1)
    assert server.metric("strongroom_keys_retired_total") == 1
    assert server.metric("strongroom_reseal_moved_bytes_total") > 0
    names = server.api("/metrics")[1]
    for name in ("keys_active_age_max_seconds", "root_keys_wrapping", "reseal_pages_left"):
        assert f"\nstrongroom_{name} " in names
    admin(server, "keys", "root", "change", "--new-version")
    until(lambda: server.metric("strongroom_root_key_version") == 2)


def test_a_pause_and_a_rate_survive_a_restart(start):
    server = start()
    kept, upload, etag = fill(server)
    assert admin(server, "reseal", "rate", "1.5")["rate_kib_per_second"] == 1536
    assert admin(server, "reseal", "pause")["paused"]
    admin(server, "keys", "rotate", "--bucket", BUCKET)
    for again in (server.stop, server.kill, server.stop):
        again()
        server.start()
        status = admin(server, "reseal", "status")
        assert (status["paused"], status["rate_kib_per_second"]) == (True, 1536)
        assert [group["bucket"] for group in status["groups"]] == [BUCKET]
        admin(server, "checkpoint")
        assert keys(server) == {1: "readable", 2: "active"}
    assert not admin(server, "reseal", "resume")["paused"]
    admin(server, "reseal", "rate", "0")
    retired(server, 1)
    finish(server, kept, upload, etag)


def test_kills_during_a_rotation_lose_nothing_and_it_ends_all_the_same(start):
    server = start()
    kept, upload, etag = fill(server)
    # Slow enough that the kills come while pages are being moved.
    admin(server, "reseal", "rate", "0.1")
    for key_id in (2, 3):
        writer = Writer(server)
        writer.start()
        assert admin(server, "keys", "rotate", "--bucket", BUCKET)["rotated"][0]["key_id"] == key_id
        time.sleep(0.3)
        server.kill()
        kept |= writer.stop()
        server.start()
        assert keys(server)[key_id] == "active"
        # What was not acknowledged may be there or not.
        for name, body in writer.doubt.items():
            found = server.client().list_objects_v2(Bucket=BUCKET, Prefix=name)
            if any(entry["Key"] == name and entry["Size"] == len(body) for entry in found.get("Contents", [])):
                kept[name] = body
        check(server, kept)
    admin(server, "reseal", "rate", "0")
    retired(server, 1)
    retired(server, 2)
    assert keys(server) == {1: "retired", 2: "retired", 3: "active"}
    finish(server, kept, upload, etag)


def test_the_root_key_changes_its_version_and_its_name(start):
    server = start()
    kept, upload, etag = fill(server)
    root = lambda version, key_id="strongroom-root": {
        "provider": "local", "key_id": key_id, "key_version": version
    }
    assert admin(server, "keys", "root", "show")["wraps"] == [{"root": root(1), "keys": 2}]
    same = admin(server, "keys", "root", "change")
    assert same == {"from": root(1), "to": root(1), "keys": 0}
    assert admin(server, "keys", "root", "change", "--new-version") == {"from": root(1), "to": root(2), "keys": 2}
    assert server.stop() == 0
    server.start()
    check(server, kept)
    missing = command(server, "keys", "root", "change", "--key-id", "vault-7")
    assert missing.returncode == 1 and "vault-7" in missing.stderr
    made = admin(server, "keys", "root", "change", "--key-id", "vault-7", "--create-key")
    assert made == {"from": root(2), "to": root(1, "vault-7"), "keys": 2}
    again = command(server, "keys", "root", "change", "--key-id", "vault-7", "--create-key")
    assert again.returncode == 1 and "vault-7" in again.stderr
    # New groups are wrapped by it too.
    server.client().create_bucket(Bucket="another")
    server.kill()
    server.start()
    assert admin(server, "keys", "root", "show")["wraps"] == [{"root": root(1, "vault-7"), "keys": 3}]
    finish(server, kept, upload, etag)


class KilledAt:
    """Kills a server as it is about to make a system call on a file or directory."""

    def __init__(self, server, calls, path):
        if not shutil.which("strace"):
            pytest.skip("strace is not here")
        pid = server.process.pid
        self.process = subprocess.Popen(
            [
                "strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid), "-P", str(path),
                "-e", f"trace={calls}", "-e", f"inject={calls}:signal=SIGKILL:when=1",
            ],
            stderr=subprocess.PIPE, text=True,
        )

        def attached():
            if self.process.poll() is not None:
                pytest.skip(f"strace cannot attach here: {self.process.stderr.read().strip()}")
            lines = [open(f"/proc/{pid}/task/{task}/status").read() for task in os.listdir(f"/proc/{pid}/task")]
            return all(f"TracerPid:\t{self.process.pid}" in line for line in lines)

        until(attached)


# A path is looked for in the first argument, so these are named by what is renamed.
RENAMES = "rename,renameat,renameat2"


# Where the server dies, whether the KMS has the new version by then, and whether the keyring has it.
@pytest.mark.parametrize(
    "calls, path, made, moved",
    [
        (RENAMES, "kms/local.kms.tmp", False, False),
        ("fsync", "kms", True, False),
        (RENAMES, "keyring.new", True, False),
        ("fsync", ".", True, True),
    ],
    ids=["before the KMS has it", "once the KMS has it", "before the keyring has it", "once the keyring has it"],
)
def test_a_kill_during_a_change_of_the_root_key_leaves_the_old_or_the_new_one(start, calls, path, made, moved):
    server = start()
    kept, _, _ = fill(server)
    # What the store has to do by itself is done, so that the change is what comes next.
    admin(server, "checkpoint")
    killed = KilledAt(server, calls, (server.data_dir / path).resolve())
    change = command(server, "keys", "root", "change", "--new-version")
    assert server.process.wait(30) == -9
    killed.process.wait(30)
    assert change.returncode == 1, "nobody was told that it is done"
    server.start()
    shown = admin(server, "keys", "root", "show")
    assert [use["root"] for use in shown["wraps"]] == [shown["root"]], "a part of the keys was left behind"
    assert (shown["newest_version"], shown["root"]["key_version"]) == (2 if made else 1, 2 if moved else 1)
    said = 'the keyring is wrapped by version 1 of the root key "strongroom-root", which has version 2 by now'
    assert (said in server.log()) == (made and not moved)
    check(server, {name: kept[name] for name in ("size 1", f"size {3 * MIB}")})
    admin(server, "keys", "root", "change", "--new-version")
    shown = admin(server, "keys", "root", "show")
    assert shown["root"]["key_version"] == shown["newest_version"] == (3 if made else 2)
    check(server, kept)


def test_nobody_is_at_the_door_of_a_server_that_does_not_run(start):
    server = start()
    socket = server.data_dir / "admin.sock"
    assert socket.is_socket() and socket.stat().st_mode & 0o777 == 0o600
    assert server.api("/api/v1/admin/keys/groups")[0] == 404
    server.kill()
    left = command(server, "checkpoint")
    assert left.returncode == 1 and str(socket) in left.stderr and "strongroom server" in left.stderr
    server.start()
    assert command(server, "checkpoint").returncode == 0
    assert server.stop() == 0
    assert not socket.exists()
    gone = command(server, "checkpoint")
    assert gone.returncode == 1 and str(socket) in gone.stderr


def test_a_data_directory_with_a_long_name_has_its_door(start, tmp_path):
    folder = tmp_path / ("d" * 60) / ("e" * 60)
    folder.mkdir(parents=True)
    server = start(str(folder.relative_to(tmp_path) / "data"))
    assert len(str(server.data_dir / "admin.sock")) > 107
    assert admin(server, "keys", "groups")["groups"][0]["group"] == 0


def test_mistakes_are_explained(start):
    server = start()
    server.client().create_bucket(Bucket=BUCKET)
    for arguments, words in (
        (("keys", "groups", "--bucket", "nobodys"), "nobodys"),
        (("keys", "rotate", "--bucket", "Not A Name"), "Not A Name"),
        (("keys", "rotate"), "--bucket"),
        (("keys", "rotate", "--all", "--system"), "--system"),
        (("reseal", "rate", "fast"), "MiB"),
        (("keys", "root", "change", "--create-key"), "--key-id"),
    ):
        done = command(server, *arguments)
        assert done.returncode != 0 and words in done.stderr, (arguments, done.stderr)
    assert keys(server) == {1: "active"}


def test_no_canary_rests_anywhere_after_keys_changed(start, tmp_path):
    canary = "c0ffee5ea1edca9a4ab1e5"
    server = start(environment={"STRONGROOM_LOG_LEVEL": "debug"})
    s3 = server.client()
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=f"k/{canary}", Body=canary.encode() * 100, Metadata={"m": canary})
    s3.put_object(Bucket=BUCKET, Key=f"l/{canary}", Body=canary.encode() * 10_000)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=f"parts {canary}")["UploadId"]
    assert upload
    admin(server, "keys", "rotate", "--all")
    admin(server, "keys", "root", "change", "--new-version")
    retired(server, 1)
    for when in ("while it runs", "after a crash"):
        assert findings(tmp_path, server.log(), canary) == [], when
        server.kill()
