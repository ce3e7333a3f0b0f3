"""kill -9 again and again, under load, in recovery and while keys rotate: what was acknowledged is there, whole."""

import http.client
import itertools
import json
import random
import subprocess
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

import harness
from content import KIB, MIB, data, etag_of_parts, md5, read
from sigv4 import request

pytestmark = pytest.mark.ours

KILLS = 300 if harness.SOAK else 20
BUCKETS = ["kill-a", "kill-b", "kill-c"]
# Inside the entry, in one blob, in a blob of many chunks.
SIZES = [0, 500, 16 * KIB, 17 * KIB, 300 * KIB, 2 * MIB]
KEYS_PER_WRITER = 4
MISSING = object()
GONE = (BotoCoreError, HTTPError, http.client.HTTPException, OSError)


class Writer(threading.Thread):
    """Changes keys of its own, one request at a time, and knows what was acknowledged and what is in doubt."""

    def __init__(self, server, number, seed, state):
        super().__init__(daemon=True)
        self.url = server.s3_url
        # Half of them talk raw HTTP, which is quicker than an SDK, so that more is in flight.
        self.s3 = server.client(connections=1, read_timeout=20) if number % 2 else None
        self.rng = random.Random(seed * 1000 + number)
        self.number = number
        self.state = state
        self.doubts = {}
        self.acknowledged = 0
        self.refused = None

    def place(self):
        return self.rng.choice(BUCKETS), f"writer {self.number}/{self.rng.randrange(KEYS_PER_WRITER)}"

    def run(self):
        kinds = ["put", "put", "put", "delete", "copy", "parts", "many"] if self.s3 else ["put", "put", "delete"]
        while True:
            kind = self.rng.choice(kinds)
            bucket, key = self.place()
            new = MISSING if kind in ("delete", "many") else data(self.rng.choice(SIZES), self.rng.randrange(1000))
            if kind == "parts":
                new = data(5 * MIB, self.rng.randrange(3)) + data(100, self.rng.randrange(1000))
            self.doubts = {(bucket, key): new}
            if kind == "many":
                others = [f"writer {self.number}/{n}" for n in range(KEYS_PER_WRITER) if self.rng.random() < 0.5]
                self.doubts |= {(bucket, other): MISSING for other in others}
            try:
                getattr(self, kind)(bucket, key, new)
            except GONE:
                return
            except Exception as error:  # noqa: BLE001  A thread that ended of it would leave keys "in doubt" and the test content.
                # The server answered, and nothing here gives it a reason to say no, or to say something else.
                self.refused = error
                return
            self.state.update(self.doubts)
            self.doubts = {}
            self.acknowledged += 1

    def raw(self, method, bucket, key, body=b""):
        reply = request(self.url, method, f"/{bucket}/{key}", body=body)
        if reply.status >= 300:
            raise ClientError({"Error": {"Code": str(reply.status), "Message": reply.body.decode()}}, method)

    def put(self, bucket, key, body):
        if self.s3:
            self.s3.put_object(Bucket=bucket, Key=key, Body=body)
        else:
            self.raw("PUT", bucket, key, body)

    def delete(self, bucket, key, _):
        if self.s3:
            self.s3.delete_object(Bucket=bucket, Key=key)
        else:
            self.raw("DELETE", bucket, key)

    def many(self, bucket, _key, _):
        keys = [{"Key": key} for _, key in self.doubts]
        answer = self.s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
        deleted = sorted(entry["Key"] for entry in answer.get("Deleted", []))
        assert deleted == sorted({key["Key"] for key in keys}) and not answer.get("Errors"), answer

    def copy(self, bucket, key, body):
        self.s3.put_object(Bucket="kill-sources", Key=f"{self.number}", Body=body)
        self.s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": "kill-sources", "Key": f"{self.number}"})

    def parts(self, bucket, key, body):
        names = {"Bucket": bucket, "Key": key}
        names["UploadId"] = self.s3.create_multipart_upload(**names)["UploadId"]
        parts = []
        for number, piece in ((2, body[5 * MIB :]), (1, body[: 5 * MIB])):
            etag = self.s3.upload_part(**names, PartNumber=number, Body=piece)["ETag"]
            parts.insert(0, {"PartNumber": number, "ETag": etag})
        self.s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})


class Rotator(threading.Thread):
    """Gives all groups new keys, over and over; the old ones' pages move meanwhile."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.ending = False
        self.rotations = 0
        self.failures = []

    def run(self):
        while not self.ending:
            done = admin(self.server, "keys", "rotate", "--all")
            if done.returncode == 0:
                self.rotations += 1
            elif not self.ending:
                self.failures.append(done.stderr)
            time.sleep(0.05)


def admin(server, *words):
    command = [harness.binary(), "admin", "--data-dir", str(server.data_dir), "--json", *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def etags(body):
    """As one upload, or as the two parts that the writers make."""
    return {f'"{md5(body)}"', etag_of_parts([body[: 5 * MIB], body[5 * MIB :]]) if len(body) > 5 * MIB else None}


def settle(server, state, doubtful, said):
    """Compares the store with what was acknowledged; what was in doubt is one thing or the other, whole."""
    s3 = server.client()
    listed = {}
    for bucket in BUCKETS:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            listed |= {(bucket, entry["Key"]): entry for entry in page.get("Contents", [])}
    for place in sorted(set(state) | set(doubtful) | set(listed)):
        bucket, key = place
        found = MISSING
        try:
            found = read(s3.get_object(Bucket=bucket, Key=key))
        except s3.exceptions.NoSuchKey:
            pass
        allowed = [state.get(place, MISSING)] + ([doubtful[place]] if place in doubtful else [])
        assert any(found is one or found == one for one in allowed), (
            f"{said}: {bucket}/{key} holds {'nothing' if found is MISSING else f'{len(found)} bytes'} "
            f"and was acknowledged otherwise"
        )
        assert (found is not MISSING) == (place in listed), f"{said}: {bucket}/{key} and the listing differ"
        if found is not MISSING:
            entry = listed[place]
            assert entry["Size"] == len(found) and entry["ETag"] in etags(found), f"{said}: {entry}"
        state[place] = found


def group_keys(server):
    """Key ids and states of every group, as the server reports them."""
    done = admin(server, "keys", "groups")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def rounds(start, seed, kills, rotate):
    rng = random.Random(seed)
    server = start(f"kill-{seed}")
    s3 = server.client()
    for bucket in [*BUCKETS, "kill-sources"]:
        s3.create_bucket(Bucket=bucket)
    state, done, acknowledged, in_recovery, rotations = {}, 0, 0, 0, 0
    for number in itertools.count():
        if done >= kills:
            break
        said = f"seed {seed}, round {number}"
        writers = [Writer(server, one, seed * 100_000 + number, state) for one in range(8)]
        rotator = Rotator(server) if rotate else None
        for thread in [*writers, *filter(None, [rotator])]:
            thread.start()
        time.sleep(0.1 + rng.random() * 0.7)
        if rotator:
            rotator.ending = True
        server.kill()
        done += 1
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
            assert writer.refused is None, f"{said}: {writer.refused!r}"
        if rotator:
            rotator.join(60)
            assert not rotator.failures, rotator.failures
            rotations += rotator.rotations
        acknowledged += sum(writer.acknowledged for writer in writers)
        # Some starts are cut short as well, anywhere from the first file read to serving.
        while done < kills and rng.random() < 0.35:
            server.spawn()
            time.sleep(rng.random() * 0.25)
            server.kill()
            done += 1
            in_recovery += 1
        server.start()
        doubtful = {place: new for writer in writers for place, new in writer.doubts.items()}
        settle(server, state, doubtful, said)
        assert "panicked" not in server.log(), server.log()[-3000:]
    assert acknowledged > 5 * kills, f"only {acknowledged} requests were acknowledged: not under load"
    if rotate:
        assert rotations > 0, "no key changed"
        assert group_keys(server), "keys are reported"
    assert server.stop() == 0
    # After all this a clean start finds the same.
    server.start()
    settle(server, state, {}, f"seed {seed}, after a clean stop")
    assert server.stop() == 0
    print(f"{done} kills, {in_recovery} of them at a start; {acknowledged} acknowledged; {rotations} rotations")


@pytest.mark.parametrize("seed", [1, 2, 3] if harness.SOAK else [1])
def test_acknowledged_effects_survive_kill_9(start, seed):
    rounds(start, seed, KILLS, rotate=False)


@pytest.mark.parametrize("seed", [11, 12] if harness.SOAK else [11])
def test_acknowledged_effects_survive_kill_9_while_keys_rotate(start, seed):
    rounds(start, seed, KILLS if harness.SOAK else 10, rotate=True)


def test_a_wrong_answer_to_a_writer_is_not_taken_for_a_crash(start):
    """The suite itself: what a writer finds wrong has to reach the test."""
    server = start()
    for bucket in [*BUCKETS, "kill-sources"]:
        server.client().create_bucket(Bucket=bucket)
    writer = Writer(server, 1, 1, {})
    writer.s3.delete_objects = lambda **_: {"Errors": [{"Key": "k", "Code": "InternalError"}]}
    writer.start()
    writer.join(60)
    assert not writer.is_alive() and isinstance(writer.refused, AssertionError), writer.refused
