"""Starting and stopping: one clear sentence for what is wrong, and nothing changed."""

import os
import pathlib
import re
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
    """Starts a server that should refuse to; returns the sentence with which it does."""
    server = harness.Server(
        data_dir, arguments=arguments, environment=environment, wrapper=wrapper, log_path=log_path
    )
    try:
        with pytest.raises(harness.StartFailed) as failed:
            server.start()
    finally:
        server.kill()
    assert failed.value.code == 1, failed.value.log
    return said(failed.value.log)


def said(log):
    """The sentence of a start that failed: one line, and nothing but it beside what is logged."""
    assert "panicked" not in log and "stack backtrace" not in log, log
    sentences = [line.removeprefix("strongroom: ") for line in log.splitlines() if line.startswith("strongroom: ")]
    assert len(sentences) == 1, f"not one sentence:\n{log}"
    return sentences[0]


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


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish(start, how):
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
    assert server.stop(how) == 0
    sender.join(60)
    assert outcome["status"] == 200
    server.start()
    assert read(server.client().get_object(Bucket="drained", Key="k")) == body
    assert server.stop() == 0


@pytest.mark.parametrize("face, name", [("s3", "S3"), ("api", "API"), ("manager", "manager")])
def test_a_busy_port_is_named(tmp_path, face, name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = attempt(tmp_path / "data", f"--{face}-listen", f"127.0.0.1:{port}")
    assert sentence == (
        f"cannot listen on 127.0.0.1:{port} for {name}: another program has this port; stop it or choose another "
        "(port 0 picks a free one)"
    )
    assert not (tmp_path / "data").exists(), "a busy port left a half-made store behind"


def test_a_busy_port_changes_nothing_in_an_existing_store(used):
    before = picture(used.data_dir)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        attempt(used.data_dir, "--s3-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert picture(used.data_dir) == before


def test_a_directory_in_use_is_named(start):
    server = start()
    assert attempt(server.data_dir) == (
        f"the data directory {server.data_dir} is in use by another process; stop it, or choose another directory"
    )
    server.client().create_bucket(Bucket="still-works")
    assert server.stop() == 0


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    # Root may write anywhere, so a file stands where a directory is needed.
    (tmp_path / "file").write_text("not a directory")
    sentence = attempt(tmp_path / "file" / "data", log_path=tmp_path / "log")
    assert str(tmp_path / "file") in sentence and sentence.endswith("Not a directory (os error 20)")
    assert (tmp_path / "file").read_text() == "not a directory"


def test_a_foreign_directory_is_left_alone(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"meow")
    assert attempt(folder) == (
        f'the directory {folder} is not empty and not a Strongroom store (it has "cat.jpg"); choose an empty directory'
    )
    assert picture(folder) == {"cat.jpg": b"meow"}


def test_a_newer_format_is_named_and_left_alone(used):
    marker = used.data_dir / "FORMAT"
    text = marker.read_text()
    newer = re.sub(r"^(\S+) \d+", r"\1 999", text)
    assert newer != text
    marker.write_text(newer)
    before = picture(used.data_dir)
    assert attempt(used.data_dir) == (
        f"the data directory {used.data_dir} has format 999, and this program reads up to 1; start the newer program "
        "that wrote it"
    )
    assert picture(used.data_dir) == before


def keyring_files(server):
    return [server.data_dir / "kms/local.kms", server.data_dir / "kms/unlock.key"]


KEYS_GONE = (
    r'the key file {dir}/kms/local\.kms is missing, and with it the root key "strongroom-root": restore it from a backup; '
    r"it is never made anew for a store that exists"
)
UNLOCK_GONE = (
    r"the unlock key {dir}/kms/unlock\.key is missing: restore it, without it the root key "
    r'"strongroom-root" of keyring [0-9a-f]{{16}} cannot be opened'
)
NOT_OURS = (
    r'the root key "strongroom-root" version 1 of the local provider does not open this store: the key "strongroom-root" '
    r"there is not the one that wrapped this store's keys; give access to that key, or restore it there"
)
WRONG_UNLOCK = (
    r"wrong key file: it does not open keyring [0-9a-f]{{16}} in {dir}/kms/local\.kms, which holds the root key "
    r'"strongroom-root"; give the key file that the keyring was made with'
)


def says(server, pattern):
    """The start is refused in these words, and nothing changes."""
    before = picture(server.data_dir)
    sentence = attempt(server.data_dir, *server.arguments)
    assert re.fullmatch(pattern.format(dir=re.escape(str(server.data_dir))), sentence), sentence
    assert picture(server.data_dir) == before, "it changed something"


def test_a_missing_root_key_is_named_and_never_replaced(used):
    keys, unlock = keyring_files(used)
    kept = {path: path.read_bytes() for path in (keys, unlock)}
    for gone, sentence in (([keys], KEYS_GONE), ([unlock], UNLOCK_GONE), ([keys, unlock], KEYS_GONE)):
        for path in gone:
            path.unlink()
        says(used, sentence)
        for path in gone:
            path.write_bytes(kept[path])
            os.chmod(path, 0o600)
    used.start()
    assert read(used.client().get_object(Bucket="kept", Key="small")) == b"small"
    assert used.stop() == 0


def test_another_stores_root_key_is_refused(used, start):
    other = start("other")
    assert other.stop() == 0
    mine = [path.read_bytes() for path in keyring_files(used)]
    theirs = [path.read_bytes() for path in keyring_files(other)]
    keys, unlock = keyring_files(used)
    keys.write_bytes(theirs[0])
    unlock.write_bytes(theirs[1])
    says(used, NOT_OURS)
    keys.write_bytes(mine[0])
    says(used, WRONG_UNLOCK)
    unlock.write_bytes(mine[1])
    used.start()
    assert used.stop() == 0


def test_key_files_are_for_their_owner_alone(used):
    for path in keyring_files(used):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--s3-listen", "nonsense"], "s3_listen: `nonsense` is not an address to listen on"),
        (["--s3-listen", "127.0.0.1:70000"], "s3_listen: `127.0.0.1:70000` is not an address to listen on"),
        (["--tls-key", "/dev/null"], "tls_cert: missing; tls_key needs its certificate"),
        (["--config", "/nonexistent/config.toml"], "/nonexistent/config.toml: cannot be read: No such file"),
        (["--index-cache-mib", "1"], "store.index_cache_mib: must be between 8 and 1048576"),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, list) else "",
)
def test_wrong_values_are_named_and_nothing_is_made(tmp_path, arguments, words):
    sentence = attempt(tmp_path / "data", *arguments)
    assert sentence.startswith(f"the configuration has a mistake: {words}"), sentence
    assert not (tmp_path / "data").exists()


def test_several_mistakes_are_told_at_once(tmp_path):
    server = harness.Server(tmp_path / "data", arguments=["--tls-cert", "/no/cert", "--tls-key", "/no/key"])
    with pytest.raises(harness.StartFailed) as failed:
        server.start()
    assert failed.value.code == 1
    told = failed.value.log.splitlines()
    assert told[0] == "strongroom: the configuration has 2 mistakes:"
    assert [line.split(":")[0].strip() for line in told[1:]] == ["tls_cert", "tls_key"], told
    assert not (tmp_path / "data").exists()


def test_an_unknown_flag_is_named_and_nothing_is_made(tmp_path):
    server = harness.Server(tmp_path / "data", arguments=["--no-such-flag"])
    with pytest.raises(harness.StartFailed) as failed:
        server.start()
    assert failed.value.code == 2
    assert failed.value.log.startswith("error: unexpected argument '--no-such-flag' found"), failed.value.log
    assert not (tmp_path / "data").exists()


def test_a_mistake_in_the_configuration_is_explained(tmp_path):
    config = tmp_path / "strongroom.toml"
    config.write_text('no_such_setting = "x"\n')
    done = subprocess.run(
        [harness.binary(), "config", "check", "--config", str(config)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    server = harness.Server(tmp_path / "data", arguments=["--config", str(config)])
    with pytest.raises(harness.StartFailed) as failed:
        server.start()
    for told in (done.stderr, failed.value.log):
        # One sentence, and below it the place as the parser of TOML shows it.
        assert told.startswith(f"strongroom: the configuration has a mistake: {config}: "), told
        assert "unknown field `no_such_setting`" in told and "panicked" not in told, told
    assert not (tmp_path / "data").exists()


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
