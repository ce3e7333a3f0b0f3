"""Starting and stopping: one clear sentence for what is wrong, and nothing changed."""

import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

import harness
from content import MIB, data, read

pytestmark = pytest.mark.ours


def attempt(data_dir, *arguments, environment=None, wrapper=(), log_path=None):
    """Starts a server that should refuse to; returns its exit code and what it said."""
    server = harness.Server(
        data_dir, arguments=arguments, environment=environment, wrapper=wrapper, log_path=log_path
    )
    try:
        with pytest.raises(harness.StartFailed) as failed:
            server.start()
    finally:
        server.kill()
    assert failed.value.code not in (None, 0), failed.value.log
    return said(failed.value.log)


def said(log):
    """The error as one sentence: a panic or a back trace is none."""
    lines = [line for line in log.splitlines() if line.strip()]
    assert "panicked" not in log and "stack backtrace" not in log, log
    assert lines, "it said nothing"
    return log


def picture(folder):
    """Every file with its content, so that any change shows."""
    folder = pathlib.Path(folder)
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def used(start):
    """A data directory with an object in it, stopped cleanly."""
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="small", Body=b"small")
    s3.put_object(Bucket="kept", Key="large", Body=data(MIB))
    assert server.stop() == 0
    return server


def test_a_restart_finds_everything(used):
    used.start()
    s3 = used.client()
    assert read(s3.get_object(Bucket="kept", Key="small")) == b"small"
    assert read(s3.get_object(Bucket="kept", Key="large")) == data(MIB)
    assert used.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_it_cleanly(used, how):
    used.start()
    assert used.stop(how) == 0
    assert not harness.Server(used.data_dir).running()
    used.start()
    assert used.stop() == 0


def test_a_signal_lets_requests_finish(start):
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="drained")
    body = data(8 * MIB)
    began = threading.Event()
    outcome = {}

    class Slow:
        """A body that takes about a second to arrive."""

        def __init__(self):
            self.at = 0

        def __len__(self):
            return len(body)

        def read(self, size=-1):
            began.set()
            if self.at:
                time.sleep(0.05)
            piece = body[self.at : self.at + min(size if size > 0 else MIB // 2, MIB // 2)]
            self.at += len(piece)
            return piece

    def upload():
        import sigv4
        import http.client
        import urllib.parse

        at = urllib.parse.urlsplit(server.s3_url)
        headers = {"content-length": str(len(body))}
        headers = sigv4.Signer().headers("PUT", at.netloc, "/drained/k", (), headers, "UNSIGNED-PAYLOAD")
        connection = http.client.HTTPConnection(at.netloc, timeout=60, blocksize=MIB // 2)
        connection.putrequest("PUT", "/drained/k", skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(Slow())
        outcome["status"] = connection.getresponse().status

    sender = threading.Thread(target=upload)
    sender.start()
    assert began.wait(10)
    time.sleep(0.2)
    assert server.stop() == 0
    sender.join(60)
    assert outcome["status"] == 200
    server.start()
    assert read(server.client().get_object(Bucket="drained", Key="k")) == body
    assert server.stop() == 0


def test_a_busy_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        log = attempt(tmp_path / "data", "--s3-listen", f"127.0.0.1:{port}")
    assert str(port) in log and ("in use" in log or "another program" in log)


def test_a_busy_port_changes_nothing_in_an_existing_store(used):
    before = picture(used.data_dir)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        attempt(used.data_dir, "--s3-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert picture(used.data_dir) == before


def test_a_directory_in_use_is_named(start):
    server = start()
    log = attempt(server.data_dir)
    assert "in use" in log or "another" in log.lower()
    server.client().create_bucket(Bucket="still-works")
    assert server.stop() == 0


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    # Root may write anywhere, so a file stands where a directory is needed.
    (tmp_path / "file").write_text("not a directory")
    log = attempt(tmp_path / "file" / "data", log_path=tmp_path / "log")
    assert "file" in log
    assert (tmp_path / "file").read_text() == "not a directory"


def test_a_foreign_directory_is_left_alone(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"meow")
    attempt(folder)
    assert picture(folder) == {"cat.jpg": b"meow"}


def test_a_newer_format_is_named_and_left_alone(used):
    marker = used.data_dir / "FORMAT"
    text = marker.read_text()
    newer = re.sub(r"^(\S+) \d+", r"\1 999", text)
    assert newer != text
    marker.write_text(newer)
    before = picture(used.data_dir)
    log = attempt(used.data_dir)
    assert "newer" in log.lower()
    assert picture(used.data_dir) == before


def keyring_files(server):
    return [path for path in server.data_dir.rglob("*") if path.name in ("local.kms", "unlock.key")]


def test_a_missing_root_key_is_named_and_never_replaced(used):
    found = keyring_files(used)
    assert len(found) == 2, "the local keyring has a file of keys and one that unlocks it"
    kept = {path: path.read_bytes() for path in found}
    for gone in ([found[0]], [found[1]], found):
        for path in gone:
            path.unlink()
        before = picture(used.data_dir)
        log = attempt(used.data_dir)
        assert "key" in log.lower()
        assert picture(used.data_dir) == before, "it made a key of its own"
        for path in gone:
            path.write_bytes(kept[path])
            os.chmod(path, 0o600)
    used.start()
    assert read(used.client().get_object(Bucket="kept", Key="small")) == b"small"
    assert used.stop() == 0


def test_another_stores_root_key_is_refused(used, start):
    other = start("other")
    assert other.stop() == 0
    for path in keyring_files(used):
        shutil.copy(other.data_dir / path.relative_to(used.data_dir), path)
    before = picture(used.data_dir)
    log = attempt(used.data_dir)
    assert "key" in log.lower()
    assert picture(used.data_dir) == before


def test_key_files_are_for_their_owner_alone(used):
    for path in keyring_files(used):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-flag"],
        ["--s3-listen", "nonsense"],
        ["--tls-cert", "/nonexistent/cert.pem", "--tls-key", "/nonexistent/key.pem"],
        ["--config", "/nonexistent/config.toml"],
    ],
    ids=lambda arguments: arguments[0].strip("-"),
)
def test_wrong_flags_are_named_and_nothing_is_made(tmp_path, arguments):
    log = attempt(tmp_path / "data", *arguments)
    assert arguments[-1].strip("-").split("/")[-1] in log or arguments[0] in log, log
    assert not (tmp_path / "data").exists() or picture(tmp_path / "data") == {}


def test_a_mistake_in_the_configuration_is_explained(tmp_path):
    config = tmp_path / "strongroom.toml"
    config.write_text('no_such_setting = "x"\n')
    done = subprocess.run(
        [harness.binary(), "config", "check", "--config", str(config)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode != 0
    assert "no_such_setting" in done.stdout + done.stderr
    log = attempt(tmp_path / "data", "--config", str(config))
    assert "no_such_setting" in log


def test_first_start_shows_the_credentials_once(tmp_path):
    server = harness.Server(tmp_path / "data", environment={})
    server.environment = {"STRONGROOM_ROOT_ACCESS_KEY": None, "STRONGROOM_ROOT_SECRET_KEY": None}
    try:
        server.start()
        first = server.log()
        assert "aws " in first, "copy-paste lines for aws"
        assert server.stop() == 0
        server.start()
        second = server.log()
        assert server.stop() == 0
    finally:
        server.kill()
    secrets = [word for word in re.findall(r"[A-Za-z0-9+/]{40}", first)]
    assert secrets, "no secret was shown at the first start"
    assert not any(secret in second for secret in secrets), "the secret was shown again"


def test_self_signed_tls_serves(start):
    server = start(arguments=["--tls-self-signed"])
    assert server.s3_url.startswith("https://")
    import urllib3

    urllib3.disable_warnings()
    server.client(verify=False).create_bucket(Bucket="over-tls")
    assert server.stop() == 0


def test_a_server_leaves_no_core_dump_with_its_keys(start):
    server = start()
    limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core
