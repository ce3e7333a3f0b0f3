"""kill -9 under load: every acknowledged effect is there after the restart."""

import random
import threading
import time

import pytest

import harness
from content import KIB, MIB, data, read
from state import State

pytestmark = pytest.mark.ours

ROUNDS = 60 if harness.SOAK else 4
SIZES = [0, 500, 16 * KIB, 17 * KIB, 300 * KIB, 2 * MIB]
MISSING = object()


class Writer(threading.Thread):
    """Changes keys of its own, one at a time, and knows what was acknowledged and what is in doubt."""

    def __init__(self, server, number, round_number, state):
        super().__init__(daemon=True)
        self.s3 = server.client(connections=1, read_timeout=20)
        self.rng = random.Random(number * 1000 + round_number)
        self.number = number
        self.state = state
        self.doubt = None
        self.acknowledged = 0

    def run(self):
        while True:
            key = f"writer {self.number}/{self.rng.randrange(6)}"
            kind = self.rng.choice(["put", "put", "put", "delete", "copy", "parts"])
            new = MISSING if kind == "delete" else data(self.rng.choice(SIZES), self.rng.randrange(1000))
            if kind == "parts":
                new = data(5 * MIB, self.rng.randrange(5)) + data(100, self.rng.randrange(1000))
            self.doubt = (key, new)
            try:
                self.change(kind, key, new)
            except Exception:  # noqa: BLE001  The server is gone: what was in flight may or may not have happened.
                return
            self.state[key] = new
            self.doubt = None
            self.acknowledged += 1

    def change(self, kind, key, body):
        names = {"Bucket": "load", "Key": key}
        if kind == "delete":
            self.s3.delete_object(**names)
        elif kind == "copy":
            source = f"source {self.number}"
            self.s3.put_object(Bucket="copies", Key=source, Body=body)
            self.s3.copy_object(**names, CopySource={"Bucket": "copies", "Key": source})
        elif kind == "parts":
            names["UploadId"] = self.s3.create_multipart_upload(**names)["UploadId"]
            parts = []
            for number, piece in ((2, body[5 * MIB :]), (1, body[: 5 * MIB])):
                etag = self.s3.upload_part(**names, PartNumber=number, Body=piece)["ETag"]
                parts.insert(0, {"PartNumber": number, "ETag": etag})
            self.s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
        else:
            self.s3.put_object(**names, Body=body)


def test_acknowledged_effects_survive_kill_9(start):
    server = start()
    s3 = server.client()
    for bucket in ("load", "copies"):
        s3.create_bucket(Bucket=bucket)
    state = {}
    rng = random.Random(9)
    for round_number in range(ROUNDS):
        writers = [Writer(server, number, round_number, state) for number in range(8)]
        for writer in writers:
            writer.start()
        time.sleep(0.5 + rng.random() * 1.5)
        server.kill()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
        assert sum(writer.acknowledged for writer in writers) > 0, "nothing was acknowledged: not under load"
        server.start()
        settle(server.client(), state, [writer.doubt for writer in writers if writer.doubt], round_number)
    assert server.stop() == 0


def settle(s3, state, doubts, round_number):
    """Compares the store with what was acknowledged; what was in doubt is one thing or the other, whole."""
    doubtful = dict(doubts)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="load")
    listed = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
    for key in sorted(set(state) | set(doubtful) | listed):
        found = MISSING
        try:
            found = read(s3.get_object(Bucket="load", Key=key))
        except s3.exceptions.NoSuchKey:
            pass
        allowed = [state.get(key, MISSING)] + ([doubtful[key]] if key in doubtful else [])
        assert any(found is one or found == one for one in allowed), (
            f"round {round_number}: {key} holds {'nothing' if found is MISSING else f'{len(found)} bytes'} "
            f"and was acknowledged otherwise"
        )
        assert (found is not MISSING) == (key in listed), f"round {round_number}: {key} and the listing differ"
        state[key] = found


def test_crashes_during_start_do_no_harm(start):
    """Recovery that is itself cut short, again and again."""
    server = start()
    state = State()
    s3 = server.client()
    state.make(s3, "kept")
    for n in range(40):
        state.put(s3, "kept", f"k{n}", data(n * KIB, n))
    server.kill()
    rng = random.Random(4)
    for _ in range(30 if harness.SOAK else 8):
        server.spawn()
        time.sleep(rng.random() * 0.15)
        server.kill()
    server.start()
    state.check(server.client())
    assert server.stop() == 0


def test_bytes_of_uploads_that_a_crash_cut_are_given_back(start):
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="cut")

    def upload(n):
        try:
            s3.put_object(Bucket="cut", Key=f"k{n}", Body=data(24 * MIB, n))
        except Exception:  # noqa: BLE001  That is what the crash is for.
            pass

    uploads = [threading.Thread(target=upload, args=(n,), daemon=True) for n in range(4)]
    for one in uploads:
        one.start()
    time.sleep(0.15)
    server.kill()
    for one in uploads:
        one.join(60)
    server.start()
    s3 = server.client()
    kept = sum(entry["Size"] for entry in s3.list_objects_v2(Bucket="cut").get("Contents", []))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        used = sum(p.stat().st_size for p in server.data_dir.rglob("*") if p.is_file() and "blob" in str(p.parent))
        if used <= kept * 1.01 + MIB:
            break
        time.sleep(0.2)
    assert used <= kept * 1.01 + MIB, f"{used} bytes rest for {kept} bytes of objects"
    assert server.stop() == 0


def test_bytes_of_deleted_and_overwritten_objects_are_given_back(start):
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="freed")
    for n in range(8):
        s3.put_object(Bucket="freed", Key=f"k{n % 4}", Body=data(4 * MIB, n))
    for n in range(3):
        s3.delete_object(Bucket="freed", Key=f"k{n}")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        used = sum(p.stat().st_size for p in server.data_dir.rglob("*") if p.is_file() and "blob" in str(p.parent))
        if used <= 4.1 * MIB:
            break
        time.sleep(0.2)
    assert used <= 4.1 * MIB, used
    assert read(s3.get_object(Bucket="freed", Key="k3")) == data(4 * MIB, 7)
    assert server.stop() == 0
