"""`strongroom mb | cp | ls | cat | stat | rm`: the store without any other client."""

import os
import subprocess

import pytest

import harness
import sigv4
from conftest import fresh_name
from content import MIB, data, read, refused
from sigv4 import sse_c

pytestmark = pytest.mark.ours


@pytest.fixture(params=["http", "https"])
def run(request, server, tls_server, certificates, tmp_path):
    """Runs the binary as a client; returns what it printed."""
    url = server.s3_url if request.param == "http" else tls_server.s3_url

    def call(*words, fails=False, binary=False):
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": harness.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": harness.SECRET_KEY,
            "AWS_DEFAULT_REGION": harness.REGION,
            "STRONGROOM_ENDPOINT": url,
            "STRONGROOM_CA_CERT": str(certificates.authority),
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            [harness.binary(), *map(str, words)],
            env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
        )
        shown = f"{words}: {done.stdout[:2000]!r} {done.stderr.decode(errors='replace')}"
        assert (done.returncode != 0) == fails, shown
        assert b"panicked" not in done.stderr, shown
        return done.stdout if binary else (done.stdout + done.stderr).decode(errors="replace")

    return call


def test_a_store_is_used_without_any_other_client(run, tmp_path):
    bucket = fresh_name("own")
    small, large = data(1000), data(20 * MIB + 3)
    (tmp_path / "small.txt").write_bytes(small)
    (tmp_path / "large.bin").write_bytes(large)
    run("mb", f"s3://{bucket}")
    assert bucket in run("ls")
    run("cp", "small.txt", f"s3://{bucket}/dir/small ü.txt")
    run("cp", "large.bin", f"s3://{bucket}/large.bin")
    listing = run("ls", f"s3://{bucket}/")
    assert "large.bin" in listing and "dir/" in listing
    assert run("cat", f"s3://{bucket}/dir/small ü.txt", binary=True) == small
    run("cp", f"s3://{bucket}/large.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == large
    run("cp", f"s3://{bucket}/large.bin", f"s3://{bucket}/copy.bin")
    told = run("stat", f"s3://{bucket}/copy.bin")
    assert str(len(large)) in told.replace(",", "").replace(" ", "") or "20.0 MiB" in told
    run("rm", f"s3://{bucket}/copy.bin")
    run("stat", f"s3://{bucket}/copy.bin", fails=True)
    assert "copy.bin" not in run("ls", f"s3://{bucket}/")


def test_what_is_wrong_is_said_in_one_sentence(run):
    said = run("cat", "s3://no-such-bucket-here/k", fails=True)
    assert "no-such-bucket-here" in said and len(said.strip().splitlines()) <= 2, said
    run("cp", "no-such-file", "s3://any-bucket/k", fails=True)


def test_a_bucket_may_be_in_the_host_name(start):
    server = start(arguments=["--domain", "s3.example.com"])
    s3 = server.client()
    s3.create_bucket(Bucket="in-the-host")
    host = "in-the-host.s3.example.com"
    put = sigv4.request(server.s3_url, "PUT", "/some/key", body=b"virtual", host=host)
    assert put.status == 200, put.body
    assert read(s3.get_object(Bucket="in-the-host", Key="some/key")) == b"virtual"
    got = sigv4.request(server.s3_url, "GET", "/some/key", host=host)
    assert (got.status, got.body) == (200, b"virtual")
    listing = sigv4.request(server.s3_url, "GET", "/", query=[("list-type", "2")], host=host)
    assert b"<Key>some/key</Key>" in listing.body
    assert server.stop() == 0


def test_a_customer_key_does_not_travel_in_the_clear_unless_told_to(start):
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="keys")
    with refused("InvalidRequest", 400):
        s3.put_object(Bucket="keys", Key="k", Body=b"x", **sse_c(bytes(32)))
    assert server.stop() == 0
    server.arguments.append("--sse-c-over-http")
    server.start()
    s3 = server.client()
    s3.put_object(Bucket="keys", Key="k", Body=b"x", **sse_c(bytes(32)))
    assert read(s3.get_object(Bucket="keys", Key="k", **sse_c(bytes(32)))) == b"x"
    assert server.stop() == 0
