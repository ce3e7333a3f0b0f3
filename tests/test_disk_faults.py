"""A disk that is full, read-only or failing."""

import os
import shutil
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

import harness
from content import KIB, MIB, data, read
from state import State, status

pytestmark = pytest.mark.ours

RENAMES = "rename,renameat,renameat2"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MiB, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    for _ in range(50):
        if subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", str(folder)])


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


AFTER = b"after the trouble"


def goes_on(s3, bucket, key):
    """A write is taken again, at once or as soon as the store has made itself whole, which it tries every ten seconds."""
    deadline = time.monotonic() + 60
    while True:
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=AFTER)
            return
        except ClientError as error:
            assert status(error) >= 500, error
            assert time.monotonic() < deadline, f"still refused: {error}"
            time.sleep(0.2)


def fill(s3, state, refusals, size):
    """Writes to `kept` until so many writes were refused. The answer is what those were to hold."""
    refused = {}
    for n in range(400):
        key, body = f"k{n}", data(size(n), n)
        try:
            state.put(s3, "kept", key, body)
        except ClientError as error:
            assert status(error) >= 500, error
            refused[key] = body
            if len(refused) == refusals:
                return refused
    pytest.fail("the disk did not fill up")


def whole_or_absent(s3, state, bucket, refused):
    """What was answered with an error is there whole or not at all: the log may have had it."""
    for key, body in refused.items():
        try:
            assert read(s3.get_object(Bucket=bucket, Key=key)) == body
            state.buckets[bucket][key] = body
        except ClientError as error:
            assert status(error) == 404, error


def test_a_full_disk_refuses_writes_and_loses_nothing(small_disk):
    server = harness.Server(small_disk / "data", log_path=small_disk.parent / "log").start()
    try:
        s3 = server.client()
        state = State()
        state.make(s3, "kept")
        refused = fill(s3, state, 10, lambda n: (n % 5) * 100 * KIB + 4 * KIB)
        assert "panicked" not in server.log()
        # What was acknowledged can be read while the disk is full.
        for key, body in state.buckets["kept"].items():
            assert read(s3.get_object(Bucket="kept", Key=key)) == body
        remount(small_disk, "size=128m")
        # The same process goes on as soon as there is space; nothing has to be restarted.
        goes_on(s3, "kept", "space again")
        state.buckets["kept"]["space again"] = AFTER
        whole_or_absent(s3, state, "kept", refused)
        state.put(s3, "kept", "after", data(MIB))
        state.delete(s3, "kept", "k0")
        state.check(s3)
        server.kill()
        server.start()
        s3 = server.client()
        state.check(s3)
        state.put(s3, "kept", "after a restart", data(MIB))
        state.check(s3)
        assert server.stop() == 0
    finally:
        server.kill()


def test_deleting_makes_room_on_a_full_disk(small_disk):
    server = harness.Server(small_disk / "data", log_path=small_disk.parent / "log").start()
    try:
        s3 = server.client()
        state = State()
        state.make(s3, "kept")
        refused = fill(s3, state, 5, lambda n: 300 * KIB)
        for key in list(state.buckets["kept"])[:10]:
            state.delete(s3, "kept", key)
        goes_on(s3, "kept", "in the room made")
        state.buckets["kept"]["in the room made"] = AFTER
        whole_or_absent(s3, state, "kept", refused)
        state.check(s3)
        server.kill()
        server.start()
        state.check(server.client())
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_full_disk_at_the_first_start_is_named(small_disk):
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError):
        while True:
            os.write(filler, b"x" * 4096)
    os.close(filler)
    server = harness.Server(small_disk / "data", log_path=small_disk.parent / "log")
    try:
        with pytest.raises(harness.StartFailed) as failed:
            server.start()
    finally:
        server.kill()
    assert failed.value.code not in (None, 0), failed.value.log
    assert "panicked" not in failed.value.log
    assert "space" in failed.value.log.lower(), failed.value.log


def test_a_read_only_disk_is_named(small_disk):
    server = harness.Server(small_disk / "data", log_path=small_disk.parent / "log").start()
    server.client().create_bucket(Bucket="kept")
    assert server.stop() == 0
    remount(small_disk, "ro")
    with pytest.raises(harness.StartFailed) as failed:
        server.start()
    assert failed.value.code not in (None, 0), failed.value.log
    assert "read-only" in failed.value.log.lower(), failed.value.log
    remount(small_disk, "rw")
    server.start()
    server.client().head_bucket(Bucket="kept")
    assert server.stop() == 0


class Faults:
    """Makes system calls of a running process fail from now on: all of them, or those on one file."""

    def __init__(self, server, calls, error, file=None):
        if not shutil.which("strace"):
            pytest.skip("strace is not here")
        self.process = subprocess.Popen(
            [
                "strace", "-f", "-qq", "-o", os.devnull, "-p", str(server.process.pid),
                "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}", *(["-P", str(file)] if file else []),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not self.attached(server):
            if self.process.poll() is not None:
                pytest.skip(f"strace cannot attach here: {self.process.stderr.read().strip()}")
            time.sleep(0.02)

    def attached(self, server):
        tasks = os.listdir(f"/proc/{server.process.pid}/task")
        lines = (open(f"/proc/{server.process.pid}/task/{task}/status").read() for task in tasks)
        return all(f"TracerPid:\t{self.process.pid}" in line for line in lines)

    def end(self):
        self.process.terminate()
        self.process.wait()


def newest_segment(server):
    return max((server.data_dir / "log").glob("*.log"))


# Where calls fail. A disk that takes nothing at all, not even the log's mark that is written in place, stops the store until
# it is restarted, and so do a failed sync and a keyring that cannot be replaced. A lack of space passes.
EVERYWHERE, IN_THE_LOG = "everywhere", "in the log"

# Which calls fail, where, and whether a write needs them: a small object is one append to the log and renames nothing.
FAULTS = [
    ("fsync,fdatasync", "EIO", EVERYWHERE, 1000, True),
    ("fsync,fdatasync", "EIO", EVERYWHERE, MIB, True),
    ("pwrite64", "ENOSPC", EVERYWHERE, 1000, True),
    ("pwrite64", "ENOSPC", IN_THE_LOG, 1000, True),
    ("pwrite64", "ENOSPC", IN_THE_LOG, MIB, True),
    ("pwrite64", "EIO", EVERYWHERE, MIB, True),
    (RENAMES, "EIO", EVERYWHERE, 1000, False),
    (RENAMES, "EIO", EVERYWHERE, MIB, True),
]


@pytest.mark.parametrize("calls, error, where, size, needed", FAULTS)
def test_a_failing_disk_acknowledges_nothing_and_loses_nothing(start, calls, error, where, size, needed):
    server = start()
    s3 = server.client(read_timeout=20)
    state = State()
    state.make(s3, "kept")
    for n in range(10):
        state.put(s3, "kept", f"k{n}", data(size, n))
    faults = Faults(server, calls, error, newest_segment(server) if where == IN_THE_LOG else None)
    try:
        acknowledged = {}
        for n in range(10):
            try:
                s3.put_object(Bucket="kept", Key=f"doubt {n}", Body=data(size, 50 + n))
                acknowledged[f"doubt {n}"] = data(size, 50 + n)
            except ClientError as failure:
                assert status(failure) >= 500, failure
        if needed:
            assert acknowledged == {}, "acknowledged although it cannot be on the disk"
        else:
            assert len(acknowledged) == 10, "refused for a call that is not needed"
        for key, body in state.buckets["kept"].items():
            assert read(s3.get_object(Bucket="kept", Key=key)) == body
        assert server.running()
    finally:
        faults.end()
    if where == IN_THE_LOG or calls == RENAMES:
        goes_on(s3, "kept", "same process")
        state.buckets["kept"]["same process"] = AFTER
        for key, body in state.buckets["kept"].items():
            assert read(s3.get_object(Bucket="kept", Key=key)) == body
    server.kill()
    server.start()
    s3 = server.client()
    for key, body in {**state.buckets["kept"], **acknowledged}.items():
        assert read(s3.get_object(Bucket="kept", Key=key)) == body
    for n in range(10):
        key = f"doubt {n}"
        try:
            assert read(s3.get_object(Bucket="kept", Key=key)) == data(size, 50 + n)
        except s3.exceptions.NoSuchKey:
            assert key not in acknowledged
    s3.put_object(Bucket="kept", Key="after", Body=b"x")
    assert server.stop() == 0


@pytest.mark.parametrize(
    "calls, error, where",
    [
        ("fsync,fdatasync", "EIO", EVERYWHERE),
        ("pwrite64", "ENOSPC", EVERYWHERE),
        ("pwrite64", "ENOSPC", IN_THE_LOG),
        ("pwrite64", "EIO", IN_THE_LOG),
        (RENAMES, "EIO", EVERYWHERE),
    ],
)
def test_every_change_on_a_failing_disk_is_done_or_not_done(start, calls, error, where):
    """DELETE, a part, a completion, making and removing a bucket: acknowledged and there, or refused and whole."""
    server = start()
    s3 = server.client(read_timeout=20)
    for bucket in ("kept", "empty"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="kept", Key="deleted", Body=data(MIB))
    pieces = [data(5 * MIB, 1), data(MIB, 2)]

    def upload(key, count):
        names = {"Bucket": "kept", "Key": key}
        names["UploadId"] = s3.create_multipart_upload(**names)["UploadId"]
        tags = [s3.upload_part(**names, PartNumber=n + 1, Body=pieces[n])["ETag"] for n in range(count)]
        return names, [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]

    begun, first = upload("begun", 1)
    whole, parts = upload("whole", 2)
    changes = {
        "delete": lambda: s3.delete_object(Bucket="kept", Key="deleted"),
        "part": lambda: s3.upload_part(**begun, PartNumber=2, Body=pieces[1]),
        "complete": lambda: s3.complete_multipart_upload(**whole, MultipartUpload={"Parts": parts}),
        "create bucket": lambda: s3.create_bucket(Bucket="made"),
        "delete bucket": lambda: s3.delete_bucket(Bucket="empty"),
    }
    acknowledged = set()
    faults = Faults(server, calls, error, newest_segment(server) if where == IN_THE_LOG else None)
    try:
        for name, change in changes.items():
            try:
                change()
                acknowledged.add(name)
            except ClientError as failure:
                assert status(failure) >= 500, f"{name}: {failure}"
    finally:
        faults.end()
    if calls != RENAMES:
        assert acknowledged == set(), "acknowledged although it cannot be on the disk"
    # Making a bucket replaces the keyring, and a rename of that which fails stops the store. So does a log that cannot be
    # written for another reason than a lack of space.
    in_process = where == IN_THE_LOG and error == "ENOSPC"
    for again in ("same process", "restarted"):
        if again == "restarted":
            server.kill()
            server.start()
            s3 = server.client()
        elif not in_process:
            continue
        else:
            goes_on(s3, "kept", "went on")
        buckets = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        # A bucket that is listed takes objects, and one that is not can be made.
        if "made" not in buckets:
            assert "create bucket" not in acknowledged, again
            s3.create_bucket(Bucket="made")
        s3.put_object(Bucket="made", Key="k", Body=b"x")
        assert read(s3.get_object(Bucket="made", Key="k")) == b"x"
        if "empty" in buckets:
            assert "delete bucket" not in acknowledged, again
            s3.put_object(Bucket="empty", Key="k", Body=b"x")
        listed = {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket="kept").get("Contents", [])}
        if "deleted" in listed:
            assert "delete" not in acknowledged, again
            assert read(s3.get_object(Bucket="kept", Key="deleted")) == data(MIB)
        if "whole" not in listed:
            assert "complete" not in acknowledged, again
            s3.complete_multipart_upload(**whole, MultipartUpload={"Parts": parts})
        assert read(s3.get_object(Bucket="kept", Key="whole")) == b"".join(pieces)
        found = {part["PartNumber"]: part for part in s3.list_parts(**begun).get("Parts", [])}
        assert found[1]["ETag"] == first[0]["ETag"], again
        assert "part" not in acknowledged or 2 in found, again
    second = s3.upload_part(**begun, PartNumber=2, Body=pieces[1])["ETag"]
    s3.complete_multipart_upload(
        **begun, MultipartUpload={"Parts": [*first, {"PartNumber": 2, "ETag": second}]}
    )
    assert read(s3.get_object(Bucket="kept", Key="begun")) == b"".join(pieces)
    s3.delete_object(Bucket="made", Key="k")
    s3.delete_bucket(Bucket="made")
    assert server.stop() == 0


def test_a_failed_sync_stops_writes_for_good_and_readiness_says_so(start):
    server = start()
    s3 = server.client(read_timeout=20)
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"before")
    faults = Faults(server, "fsync,fdatasync", "EIO")
    with pytest.raises(ClientError):
        s3.put_object(Bucket="kept", Key="k", Body=b"during")
    faults.end()
    # The kernel may have dropped the pages: a later success of fsync would prove nothing.
    with pytest.raises(ClientError) as failure:
        s3.put_object(Bucket="kept", Key="k", Body=b"later")
    assert status(failure.value) >= 500
    assert read(s3.get_object(Bucket="kept", Key="k")) == b"before"
    assert server.api("/health/live")[0] == 200
    # Readiness keeps an answer for a few seconds.
    deadline = time.monotonic() + 15
    while server.api("/health/ready")[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert server.api("/health/ready")[0] == 503
