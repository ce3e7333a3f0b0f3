"""What a start shows and takes: credentials, addresses, what unlocks the keyring, how many files may be open."""

import os
import re
import resource
import socket
import subprocess
import time
import urllib.parse

import pytest

import harness
import sigv4
from content import KIB, data, read
from people import admin
from test_rest import Rest
from test_startup import attempt

pytestmark = pytest.mark.ours

# A server that makes its own root credentials.
OWN = {"STRONGROOM_ROOT_ACCESS_KEY": None, "STRONGROOM_ROOT_SECRET_KEY": None}


def shown(log):
    """The credentials that a start printed, or nothing."""
    found = dict(re.findall(r"export (AWS_\w+)=(\S+)", log))
    return (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) if found else None


def test_the_first_start_shows_the_credentials_once(start):
    server = start(environment=OWN)
    first = shown(server.log())
    assert first and "aws s3 mb" in server.log(), "copy-paste lines for aws"
    server.client(access_key=first[0], secret_key=first[1]).create_bucket(Bucket="first")
    assert server.stop() == 0
    server.start()
    assert shown(server.log()) is None and first[1] not in server.log(), "the secret was shown again"
    assert server.stop() == 0


def test_credentials_that_no_start_has_shown_are_shown_by_the_next(start, tmp_path):
    """The first start fails between making them and showing them."""
    server = harness.Server(tmp_path / "data", environment=OWN)
    server.data_dir.mkdir()
    (server.data_dir / "blobs").write_text("in the way")
    with pytest.raises(harness.StartFailed) as failed:
        server.start()
    assert failed.value.code == 1 and shown(failed.value.log) is None
    assert (server.data_dir / "FORMAT").exists(), "the store was made, and with it the credentials"
    (server.data_dir / "blobs").unlink()
    server = start(environment=OWN)
    credentials = shown(server.log())
    assert credentials, "they were never shown"
    server.client(access_key=credentials[0], secret_key=credentials[1]).list_buckets()
    assert server.stop() == 0
    server.start()
    assert shown(server.log()) is None
    assert server.stop() == 0


def test_credentials_that_nobody_could_read_are_shown_by_the_next_start(start, tmp_path):
    """Standard output takes nothing, and then the process is killed."""
    server = harness.Server(tmp_path / "data", environment=OWN)
    log = tmp_path / "first.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "AWS_"))}
    with open("/dev/full", "wb") as full, open(log, "wb") as errors:
        process = subprocess.Popen(
            server.command(), stdin=subprocess.DEVNULL, stdout=full, stderr=errors, env=clean
        )
    try:
        deadline = time.monotonic() + 60
        while "standard output takes nothing" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    server = start(environment=OWN)
    assert shown(server.log())
    assert server.stop() == 0


def test_port_0_picks_a_port_for_every_face_and_prints_it(start):
    server = start()
    ports = {}
    for face in ("S3", "API", "manager"):
        found = re.search(rf"^  {face} +https?://127\.0\.0\.1:(\d+)", server.log(), re.MULTILINE)
        assert found and found.group(1) != "0", server.log()
        ports[face] = int(found.group(1))
    assert len(set(ports.values())) == 3
    # The manager answers every call as gRPC does for a service that is not there.
    done = subprocess.run(
        ["curl", "-s", "-i", "--max-time", "10", "-X", "POST", f"http://127.0.0.1:{ports['manager']}/any/Call"],
        capture_output=True, text=True,
    )
    assert "grpc-status: 12" in done.stdout, done
    assert server.stop() == 0


def warnings(server):
    return [line for line in server.log().splitlines() if line.startswith("warning: ")]


def test_keys_beside_the_data_are_warned_of_in_one_line(start):
    server = start()
    assert warnings(server) == [
        f"warning: the key that opens this store lies beside its data ({server.data_dir}/kms/unlock.key); for production "
        "keep it elsewhere with --kms-key-file or --kms-passphrase-file, or use an external KMS"
    ]
    assert server.stop() == 0


def secret_file(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("kind", ["key file", "passphrase file", "passphrase"])
def test_the_keyring_is_unlocked_by_what_is_given(start, tmp_path, kind):
    right, wrong = {
        "key file": (
            {"arguments": ["--kms-key-file", secret_file(tmp_path / "right.key", b"r" * 32)]},
            {"arguments": ["--kms-key-file", secret_file(tmp_path / "wrong.key", b"w" * 32)]},
        ),
        "passphrase file": (
            {"arguments": ["--kms-passphrase-file", secret_file(tmp_path / "right", b"the right passphrase\n")]},
            {"arguments": ["--kms-passphrase-file", secret_file(tmp_path / "wrong", b"the wrong passphrase\n")]},
        ),
        "passphrase": (
            {"environment": {"STRONGROOM_KMS_PASSPHRASE": "the right passphrase"}},
            {"environment": {"STRONGROOM_KMS_PASSPHRASE": "the wrong passphrase"}},
        ),
    }[kind]
    server = start(**right)
    assert warnings(server) == [], "the key does not lie beside the data"
    assert not (server.data_dir / "kms/unlock.key").exists()
    server.client().create_bucket(Bucket="kept")
    assert server.stop() == 0
    method = "key file" if kind == "key file" else "passphrase"
    sentence = attempt(server.data_dir, *wrong.get("arguments", ()), environment=wrong.get("environment"))
    assert sentence.startswith(f"wrong {method}: it does not open keyring "), sentence
    assert sentence.endswith(
        f'which holds the root key "strongroom-root"; give the {method} that the keyring was made with'
    ), sentence
    # Without any, the sentence says what is missing.
    sentence = attempt(server.data_dir)
    if kind == "key file":
        assert sentence.startswith(f"the unlock key {server.data_dir}/kms/unlock.key is missing: restore it"), sentence
    else:
        assert sentence == f"the keyring {server.data_dir}/kms/local.kms opens with a passphrase, but a key file was given"
    server.start()
    server.client().head_bucket(Bucket="kept")
    assert server.stop() == 0
    assert b"right passphrase" not in server.log().encode()


@pytest.mark.parametrize("level", ["error", "warn", "info"])
def test_an_error_in_the_log_names_its_request_at_every_level(start, level):
    """What operators look for: the id of a failed answer, in the line that says why."""
    server = start(environment={"STRONGROOM_LOG_LEVEL": level})
    s3 = server.client()
    s3.create_bucket(Bucket="damaged")
    s3.put_object(Bucket="damaged", Key="k", Body=data(100 * KIB))
    token = admin(server, "token", "create", "--scope", "all")["token"]
    blob = next(path for path in (server.data_dir / "blobs").rglob("*") if path.is_file())
    blob.unlink()
    failed = sigv4.request(server.s3_url, "GET", "/damaged/k")
    assert failed.status == 500, failed
    status, headers, _ = Rest(server.api_url, token)("GET", "/api/v1/buckets/damaged/objects/k")
    assert status == 500
    assert server.stop() == 0
    for request in (failed.headers["x-amz-request-id"], headers["x-request-id"]):
        lines = [line for line in server.log().splitlines() if request in line]
        assert any("ERROR" in line for line in lines), f"{request}:\n{server.log()}"


def test_the_limit_of_open_files_is_raised_and_connections_fit_in_it(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = start("raised", wrapper=["prlimit", f"--nofile=1024:{hard}"])
    limits = resource.prlimit(raised.process.pid, resource.RLIMIT_NOFILE)
    assert limits == (hard, hard)
    assert raised.stop() == 0
    few = start("few", wrapper=["prlimit", "--nofile=512:512"])
    assert re.search(r"WARN.* takes fewer connections.* files=512 .*s3_connections=\d+", few.log()), few.log()
    # More clients than it takes at once: they wait their turn, and nobody gets an error.
    at = urllib.parse.urlsplit(few.s3_url)
    idle = [socket.create_connection((at.hostname, at.port)) for _ in range(150)]
    s3 = few.client()
    for connection in idle:
        connection.close()
    s3.create_bucket(Bucket="few")
    s3.put_object(Bucket="few", Key="k", Body=data(100 * KIB))
    assert read(s3.get_object(Bucket="few", Key="k")) == data(100 * KIB)
    assert "Too many open files" not in few.log()
    assert few.stop() == 0
