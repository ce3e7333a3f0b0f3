"""What a crash leaves behind: starts that are cut short, uploads without an end. Load is in `test_kill.py`."""

import random
import threading
import time

import pytest

import harness
from content import KIB, MIB, data, read
from state import State

pytestmark = pytest.mark.ours

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
