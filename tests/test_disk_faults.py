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


def test_a_full_disk_refuses_writes_and_loses_nothing(small_disk):
    server = harness.Server(small_disk / "data", log_path=small_disk.parent / "log").start()
    try:
        s3 = server.client()
        state = State()
        state.make(s3, "kept")
        refusals = []
        for n in range(400):
            try:
                state.put(s3, "kept", f"k{n}", data((n % 5) * 100 * KIB + 4 * KIB, n))
            except ClientError as error:
                refusals.append((status(error), error.response["Error"]["Code"]))
                if len(refusals) == 10:
                    break
        assert len(refusals) == 10, "the disk did not fill up"
        assert all(code >= 500 for code, _ in refusals), refusals
        assert "panicked" not in server.log()
        # What was acknowledged can be read while the disk is full.
        for key in list(state.buckets["kept"])[:20]:
            assert read(s3.get_object(Bucket="kept", Key=key)) == state.buckets["kept"][key]
        server.kill()
        remount(small_disk, "size=128m")
        server.start()
        s3 = server.client()
        state.check(s3)
        state.put(s3, "kept", "after", data(MIB))
        state.check(s3)
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
    """Makes system calls of a running process fail from now on."""

    def __init__(self, server, calls, error):
        if not shutil.which("strace"):
            pytest.skip("strace is not here")
        self.process = subprocess.Popen(
            [
                "strace", "-f", "-qq", "-o", os.devnull, "-p", str(server.process.pid),
                "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}",
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


@pytest.mark.parametrize(
    "calls, error",
    [("fsync,fdatasync", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("rename,renameat,renameat2", "EIO")],
)
@pytest.mark.parametrize("size", [1000, MIB])
def test_a_failing_disk_acknowledges_nothing_and_loses_nothing(start, calls, error, size):
    server = start()
    s3 = server.client(read_timeout=20)
    state = State()
    state.make(s3, "kept")
    for n in range(10):
        state.put(s3, "kept", f"k{n}", data(size, n))
    faults = Faults(server, calls, error)
    try:
        acknowledged = {}
        for n in range(10):
            try:
                s3.put_object(Bucket="kept", Key=f"doubt {n}", Body=data(size, 50 + n))
                acknowledged[f"doubt {n}"] = data(size, 50 + n)
            except ClientError as failure:
                assert status(failure) >= 500, failure
        if calls.startswith("fsync"):
            assert acknowledged == {}, "acknowledged without being durable"
        for key, body in state.buckets["kept"].items():
            assert read(s3.get_object(Bucket="kept", Key=key)) == body
        assert server.running()
    finally:
        faults.end()
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
