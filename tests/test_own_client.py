"""`strongroom mb | cp | ls | cat | stat | rm`: the store without any other client."""

import json
import os
import pty
import signal
import socket
import subprocess
import time

import pytest

import harness
import sigv4
from caller import Caller
from conftest import fresh_name
from content import MIB, data, read, refused
from people import sts
from sigv4 import sse_c

pytestmark = pytest.mark.ours


class Own:
    """The binary as a client of one store, run in a folder of its own."""

    def __init__(self, url, folder, authority=None):
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": harness.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": harness.SECRET_KEY,
            "AWS_DEFAULT_REGION": harness.REGION,
            "STRONGROOM_ENDPOINT": url,
            "NO_COLOR": "1",
        }
        if authority:
            self.environment["STRONGROOM_CA_CERT"] = str(authority)

    def run(self, *words, stdin=None):
        return subprocess.run(
            [harness.binary(), *map(str, words)],
            env=self.environment, cwd=self.folder, input=stdin or b"", capture_output=True, timeout=120,
        )

    def __call__(self, *words, fails=False, binary=False, stdin=None):
        """What it printed; the test fails if the client does (or, if it should, does not)."""
        done = self.run(*words, stdin=stdin)
        shown = f"{words}: {done.stdout[:2000]!r} {done.stderr.decode(errors='replace')}"
        assert (done.returncode != 0) == fails, shown
        assert b"panicked" not in done.stderr, shown
        return done.stdout if binary else (done.stdout + done.stderr).decode(errors="replace")

    def spawn(self, *words, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            [harness.binary(), *map(str, words)], env=self.environment, cwd=self.folder, **options
        )


@pytest.fixture(params=["http", "https"])
def run(request, server, tls_server, certificates, tmp_path):
    """Runs the binary as a client; returns what it printed."""
    url = server.s3_url if request.param == "http" else tls_server.s3_url
    return Own(url, tmp_path, certificates.authority)


@pytest.fixture
def own(server, tmp_path):
    return Own(server.s3_url, tmp_path)


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


def uploads(s3, bucket):
    return s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_a_large_file_goes_in_parts_and_comes_back_whole(own, s3, bucket, tmp_path):
    content = data(23 * MIB + 7)
    (tmp_path / "large.bin").write_bytes(content)
    own("cp", "--part-size", 5, "large.bin", f"s3://{bucket}/large.bin")
    # Ten MiB are the first part, which shows that it is none; then parts of five.
    assert s3.head_object(Bucket=bucket, Key="large.bin")["ETag"].endswith('-4"')
    assert read(s3.get_object(Bucket=bucket, Key="large.bin")) == content
    own("cp", f"s3://{bucket}/large.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == content
    assert uploads(s3, bucket) == []
    # Without the flag parts begin at 32 MiB.
    own("cp", "large.bin", f"s3://{bucket}/single.bin")
    assert "-" not in s3.head_object(Bucket=bucket, Key="single.bin")["ETag"]
    for wrong in (4, 0, "x", 99999):
        assert "--part-size" in own("cp", "--part-size", wrong, "large.bin", f"s3://{bucket}/k", fails=True)


def test_standard_input_and_output_are_files_too(own, s3, bucket):
    for size in (0, 1000, 11 * MIB):
        content = data(size)
        own("cp", "--part-size", 5, "-", f"s3://{bucket}/piped-{size}", stdin=content)
        assert read(s3.get_object(Bucket=bucket, Key=f"piped-{size}")) == content
        assert own("cp", f"s3://{bucket}/piped-{size}", "-", binary=True) == content
    own("cp", "-", f"s3://{bucket}/", fails=True)


def test_an_upload_that_fails_leaves_no_parts(own, s3, bucket):
    gone = own.spawn("cp", "--part-size", 5, "-", f"s3://{bucket}/cut", stdin=subprocess.PIPE)
    gone.stdin.write(data(11 * MIB))
    gone.stdin.flush()
    wait_for(lambda: uploads(s3, bucket))
    upload = uploads(s3, bucket)[0]
    # Its upload is taken away, so the next part, or the completion, is refused.
    s3.abort_multipart_upload(Bucket=bucket, Key="cut", UploadId=upload["UploadId"])
    _, errors = gone.communicate(data(6 * MIB), timeout=60)
    assert gone.returncode == 1 and b"NoSuchUpload" in errors, errors
    assert uploads(s3, bucket) == []
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="cut")


def wait_for(what, seconds=30):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_upload_leaves_no_parts(own, s3, bucket, how):
    sending = own.spawn("cp", "--part-size", 5, "-", f"s3://{bucket}/cut", stdin=subprocess.PIPE)
    # More than the first part: then it waits for a pipe that stays silent.
    sending.stdin.write(data(12 * MIB))
    sending.stdin.flush()
    wait_for(lambda: uploads(s3, bucket))
    sending.send_signal(how)
    assert sending.wait(30) == 128 + how
    assert b"interrupted" in sending.stderr.read()
    assert uploads(s3, bucket) == []
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="cut")


def test_an_interrupted_download_leaves_no_file(own, tmp_path):
    """The store sends half of what it promised and then nothing, until the client is told to stop."""
    listener = socket.create_server(("127.0.0.1", 0))
    own.environment["STRONGROOM_ENDPOINT"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (tmp_path / "out").mkdir()
    (tmp_path / "out/kept.bin").write_bytes(b"older")
    receiving = own.spawn("cp", "s3://any/k", "out/kept.bin")
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 500)
    partial = tmp_path / "out/.kept.bin.strongroom-partial"
    wait_for(lambda: partial.exists() and partial.stat().st_size == 500)
    receiving.send_signal(signal.SIGINT)
    assert receiving.wait(30) == 130
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["kept.bin"]
    assert (tmp_path / "out/kept.bin").read_bytes() == b"older"
    listener.close()


def test_a_download_that_breaks_off_leaves_what_was_there(own, tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    own.environment["STRONGROOM_ENDPOINT"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (tmp_path / "k").write_bytes(b"older")
    for answer in (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 500,
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n\r\nabc",
    ):
        receiving = own.spawn("cp", "s3://any/k", "k")
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()
        assert receiving.wait(30) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["k"]
        assert (tmp_path / "k").read_bytes() == b"older"
    listener.close()


def test_folders_are_copied_both_ways_and_removed(own, s3, bucket, tmp_path):
    tree = {"a.txt": b"a", "sub/b.txt": b"b", "sub/deep/c ü.bin": data(100_000), "empty": b""}
    for name, content in tree.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert "directory" in own("cp", "tree", f"s3://{bucket}/up", fails=True)
    own("cp", "-r", "tree", f"s3://{bucket}/up")
    keys = lambda: {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}  # noqa: E731
    assert keys() == {f"up/{name}" for name in tree}
    own("cp", "-r", f"s3://{bucket}/up", "down")
    own("cp", "-r", f"s3://{bucket}/up/", f"s3://{bucket}/across")
    back = {str(path.relative_to(tmp_path / "down")): path for path in (tmp_path / "down").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in back.items()} == tree
    assert keys() == {f"{folder}/{name}" for folder in ("up", "across") for name in tree}
    assert "removed 4 objects" in own("rm", "-r", f"s3://{bucket}/up")
    assert keys() == {f"across/{name}" for name in tree}
    own("rm", "-r", f"s3://{bucket}")
    assert keys() == set()
    assert "nothing is below" in own("cp", "-r", f"s3://{bucket}/up", "other")


def test_a_folder_is_not_what_its_name_begins(own, s3, bucket, tmp_path):
    kept = ["log", "login.txt", "logs/a", "log-old/b"]
    for key in [*kept, "log/1", "log/2/3"]:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    own("cp", "-r", f"s3://{bucket}/log", "down")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "down/1", "down/2/3",
    ]
    own("cp", "-r", f"s3://{bucket}/log", f"s3://{bucket}/copy/")
    own("rm", "-r", f"s3://{bucket}/log")
    left = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == sorted([*kept, "copy/1", "copy/2/3"])


def test_no_two_keys_become_one_file(own, s3, bucket, tmp_path):
    s3.put_object(Bucket=bucket, Key="d//x", Body=b"two slashes")
    said = own("cp", "-r", f"s3://{bucket}/d", "down", fails=True)
    assert "is no path" in said
    own("cp", f"s3://{bucket}/d//x", "alone")
    assert (tmp_path / "alone").read_bytes() == b"two slashes"


def test_listings_of_more_than_a_page_are_whole(own, s3, bucket):
    caller = Caller(own.environment["STRONGROOM_ENDPOINT"])
    names = [f"k{n:04}" for n in range(1005)]
    for name in names:
        assert caller("PUT", f"/{bucket}/{name}", body=b"x").status == 200
    caller.close()
    lines = [json.loads(line) for line in own("ls", "--json", f"s3://{bucket}/").splitlines()]
    assert [line["key"] for line in lines] == names
    assert {(line["size"], len(line["etag"])) for line in lines} == {(1, 32)}
    assert "removed 1005 objects" in own("rm", "-r", f"s3://{bucket}")
    assert own("ls", "-r", f"s3://{bucket}") == ""


def test_answers_as_json_are_one_object_per_line(own, s3, bucket):
    s3.put_object(Bucket=bucket, Key="dir/k", Body=b"abc", Metadata={"mine": "yes"}, ContentType="text/x")
    s3.put_object(Bucket=bucket, Key="top", Body=b"")
    buckets = [json.loads(line) for line in own("ls", "--json").splitlines()]
    assert any(line["bucket"] == bucket and line["created"].endswith("Z") for line in buckets)
    lines = [json.loads(line) for line in own("ls", "--json", f"s3://{bucket}").splitlines()]
    assert [line.get("prefix") or line["key"] for line in lines] == ["dir/", "top"]
    deep = [json.loads(line) for line in own("ls", "-r", "--json", f"s3://{bucket}/").splitlines()]
    assert [line["key"] for line in deep] == ["dir/k", "top"] and deep[0]["modified"].endswith("Z")
    told = json.loads(own("stat", "--json", f"s3://{bucket}/dir/k"))
    assert told["bucket"] == bucket and told["key"] == "dir/k"
    assert (told["content-length"], told["content-type"], told["x-amz-meta-mine"]) == ("3", "text/x", "yes")


def test_a_progress_bar_is_for_terminals(own, bucket, tmp_path):
    (tmp_path / "large.bin").write_bytes(data(12 * MIB))
    # As on a person's terminal: one that is dumb, or wants no colours, gets no bars.
    own.environment["TERM"] = "xterm"
    del own.environment["NO_COLOR"]

    def on_a_terminal(*words):
        outer, inner = pty.openpty()
        done = own.spawn(*words, stdout=inner, stderr=inner)
        os.close(inner)
        seen = b""
        while True:
            try:
                piece = os.read(outer, 65536)
            except OSError:  # The other side is closed.
                break
            if not piece:
                break
            seen += piece
        os.close(outer)
        assert done.wait(60) == 0, seen
        return seen.decode(errors="replace")

    copy = ("cp", "--part-size", "5", "large.bin", f"s3://{bucket}/large.bin")
    assert "12.00 MiB" in on_a_terminal(*copy)
    assert "12.00 MiB" in on_a_terminal("cp", f"s3://{bucket}/large.bin", "back.bin")
    assert "MiB" not in on_a_terminal(*copy, "--quiet")
    assert "MiB" not in own(*copy)


def test_a_copy_that_takes_long_is_waited_for(start, tmp_path):
    """Against the real thing: a copy inside the store of what takes a while, and its source is gone right after."""
    server = start()
    own = Own(server.s3_url, tmp_path)
    s3 = server.client()
    s3.create_bucket(Bucket="long")
    body = data(48 * MIB)
    s3.put_object(Bucket="long", Key="from", Body=body)
    own("cp", "s3://long/from", "s3://long/to")
    own("rm", "s3://long/from")
    assert read(s3.get_object(Bucket="long", Key="to")) == body
    assert server.stop() == 0


def test_temporary_credentials_are_taken_with_their_token(own, server, bucket):
    made = sts(server).assume_role(RoleArn="arn:aws:iam::strongroom:role/any", RoleSessionName="own")["Credentials"]
    own.environment |= {
        "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
        "AWS_SESSION_TOKEN": made["SessionToken"],
    }
    own("cp", "-", f"s3://{bucket}/k", stdin=b"with a token")
    assert own("cat", f"s3://{bucket}/k", binary=True) == b"with a token"
    del own.environment["AWS_SESSION_TOKEN"]
    assert "InvalidAccessKeyId" in own("cat", f"s3://{bucket}/k", fails=True)


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
    # What is installed before a domain is set goes on: clients send the port, and other names of the server have the bucket in the path.
    port = server.s3_url.rsplit(":", 1)[1]
    for host in (f"in-the-host.s3.example.com:{port}", "IN-THE-HOST.s3.example.com"):
        got = sigv4.request(server.s3_url, "GET", "/some/key", host=host)
        assert (got.status, got.body) == (200, b"virtual"), host
    for host in (f"s3.example.com:{port}", "s3.example.com", f"localhost:{port}", "store.internal"):
        got = sigv4.request(server.s3_url, "GET", "/in-the-host/some/key", host=host)
        assert (got.status, got.body) == (200, b"virtual"), host
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


def test_what_others_called_their_objects_does_nothing_to_a_terminal(server, s3, bucket, tmp_path):
    own = Own(server.s3_url, tmp_path)
    evil = "a\x1b[2J\nfake  1  b\u202egpj.exe"
    shown = "a\\u{1b}[2J\\nfake  1  b\\u{202e}gpj.exe"
    s3.put_object(Bucket=bucket, Key=f"{evil}/{evil}", Body=b"x")
    for words in (["ls", f"s3://{bucket}"], ["ls", "-r", f"s3://{bucket}"], ["cp", "-r", f"s3://{bucket}", f"s3://{bucket}/copy"],
                  ["cp", "-r", f"s3://{bucket}", "here"]):
        told = own(*words)
        assert shown in told and "\x1b" not in told and "\u202e" not in told, (words, told)
    keys = [json.loads(line)["key"] for line in own("ls", "--json", "-r", f"s3://{bucket}").splitlines()]
    assert f"{evil}/{evil}" in keys
