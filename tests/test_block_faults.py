"""A block device that fails under a file system, and a file system that is full: soak, for who may mount."""

import shutil
import subprocess
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

import harness
from content import KIB, data
from state import State

pytestmark = [pytest.mark.ours, pytest.mark.slow]


def run(*words):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()


class Device:
    """A loop device with ext4 on it, over a plain file or over a network disk whose reads and writes fail on demand."""

    def __init__(self, folder, mebibytes, failing):
        self.folder, self.processes, self.device, self.mounted = folder, [], None, False
        self.switch = folder / "fail"
        self.mount = folder / "mount"
        self.mount.mkdir()
        if failing:
            backing = self.network(mebibytes)
        else:
            backing = folder / "disk"
            with open(backing, "wb") as file:
                file.truncate(mebibytes << 20)
        self.device = run("losetup", "-f", "--show", backing)
        run("mkfs.ext4", "-q", "-m", "0", self.device)
        run("mount", self.device, self.mount)
        self.mounted = True

    def network(self, mebibytes):
        socket, bridge = self.folder / "socket", self.folder / "bridge"
        bridge.mkdir()
        faults = ["--filter=error", "memory", f"{mebibytes}M", "error=EIO", "error-rate=100%", f"error-file={self.switch}"]
        self.start("nbdkit", "--foreground", "--unix", socket, *faults)
        self.wait(socket.exists)
        self.start("nbdfuse", bridge / "disk", "--unix", socket)
        self.wait((bridge / "disk").exists)
        return bridge / "disk"

    def start(self, *words):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(subprocess.Popen([str(word) for word in words], **quiet))

    @staticmethod
    def wait(ready):
        deadline = time.monotonic() + 10
        while not ready():
            assert time.monotonic() < deadline, "the device did not come up"
            time.sleep(0.05)

    def remount(self):
        """What a reboot does: the caches are gone, the journal is replayed."""
        run("umount", self.mount)
        run("mount", self.device, self.mount)

    def end(self):
        self.switch.unlink(missing_ok=True)
        steps = [["umount", "-l", self.mount]] if self.mounted else []
        steps += [["losetup", "-d", self.device]] if self.device else []
        steps += [["umount", "-l", self.folder / "bridge"]] if self.processes else []
        for step in steps:
            subprocess.run([str(word) for word in step], capture_output=True, timeout=60)
        for process in reversed(self.processes):
            process.kill()
            process.wait(10)


@pytest.fixture
def device(tmp_path):
    made = []

    def make(mebibytes, failing=False):
        needed = ["losetup", "mkfs.ext4"] + (["nbdkit", "nbdfuse"] if failing else [])
        missing = [name for name in needed if not shutil.which(name)]
        if missing:
            pytest.skip(f"not here: {', '.join(missing)}")
        one = Device.__new__(Device)
        made.append(one)
        try:
            one.__init__(tmp_path, mebibytes, failing)
        except AssertionError as error:
            pytest.skip(f"no such device can be made here: {error}")
        return one

    yield make
    for one in made:
        one.end()


def fill(s3, state, rounds, size):
    """Writes and overwrites until the store has said no ten times; what it said yes to is in the state."""
    refused, doubtful = [], {}
    for n in range(rounds):
        key, body = f"k{n % 300}", data(size(n), n)
        try:
            state.put(s3, "kept", key, body)
        except (ClientError, BotoCoreError, HTTPError) as error:
            refused.append(error)
            doubtful.setdefault(key, []).append(body)
        if len(refused) == 10:
            break
    return refused, doubtful


def settle(s3, state, doubtful):
    """A write that was refused may have happened, whole; then it counts."""
    for key, bodies in doubtful.items():
        try:
            found = s3.get_object(Bucket="kept", Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            assert key not in state.buckets["kept"], f"{key} was acknowledged and is gone"
            continue
        assert found in [*bodies, state.buckets["kept"].get(key)], f"{key} holds what nobody wrote"
        state.buckets["kept"][key] = found


def test_an_ext4_that_is_full_refuses_and_loses_nothing(device, tmp_path):
    disk = device(64)
    server = harness.Server(disk.mount / "data", log_path=tmp_path / "log").start()
    try:
        s3, state = server.client(), State()
        state.make(s3, "kept")
        refused, doubtful = fill(s3, state, 2000, lambda n: (n % 7) * 60 * KIB + 1)
        assert len(refused) == 10, "the disk did not fill up"
        assert "panicked" not in server.log(), server.log()[-3000:]
        server.kill()
        disk.remount()
        server.start()
        s3 = server.client()
        settle(s3, state, doubtful)
        state.check(s3)
        # Room comes back with deletions.
        for key in sorted(state.buckets["kept"])[:100]:
            state.delete(s3, "kept", key)
        state.check(s3)
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_device_that_fails_stops_the_store_and_loses_nothing(device, tmp_path):
    disk = device(192, failing=True)
    server = harness.Server(disk.mount / "data", log_path=tmp_path / "log").start()
    try:
        s3, state = server.client(read_timeout=30), State()
        state.make(s3, "kept")
        refused, _ = fill(s3, state, 100, lambda n: (n % 5) * 40 * KIB + 1)
        assert not refused, refused
        disk.switch.touch()
        refused, doubtful = fill(s3, state, 20, lambda n: (n % 5) * 40 * KIB + 7)
        assert len(refused) == 10, "writes were acknowledged on a disk that takes none"
        assert "panicked" not in server.log(), server.log()[-3000:]
        server.kill()
        disk.switch.unlink()
        disk.remount()
        server.start()
        s3 = server.client()
        settle(s3, state, doubtful)
        state.check(s3)
        state.put(s3, "kept", "after", b"x")
        assert server.stop() == 0
    finally:
        server.kill()
