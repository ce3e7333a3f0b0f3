"""`strongroom inspect`: what it shows with keys and without, that it changes nothing, and that damage is named."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import harness
import unwrapping
from content import KIB, MIB, data, refused
from test_admin_identities import here
from test_rest import Rest

pytestmark = pytest.mark.ours

CANARY = "canary-7d1e55"
CUSTOMER_KEY = bytes(range(32))
CUSTOMER = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(CUSTOMER_KEY).decode(),
    "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode(),
}
BUCKET = f"{CANARY}-photos"
CHUNK = 64 * KIB + 16
HEADER = 80


def inspect(*arguments, **options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGROOM_")}
    command = [options.pop("binary", harness.binary()), "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, **options)


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def damage(folder):
    """What `verify` names in this directory, and how it ends."""
    result = inspect("verify", "--json", folder)
    found = lines(result)
    assert found[-1]["kind"] == "summary", result.stdout + result.stderr
    damages = [item for item in found if item["kind"] == "damage"]
    assert found[-1]["damage"] == len(damages)
    assert result.returncode == (1 if damages else 0)
    return damages, found[-1]


def copy(source, target):
    subprocess.run(["cp", "-a", "--sparse=always", str(source), str(target)], check=True)
    return target


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def snapshot(folder):
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size, path.stat().st_mode, path.is_file() and path.read_bytes())
        for path in sorted(pathlib.Path(folder).rglob("*"))
    }


def fill(server):
    s3 = server.client()
    s3.create_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket=f"{CANARY}-gone")
    s3.put_object(Bucket=f"{CANARY}-gone", Key="x", Body=b"x")
    s3.delete_object(Bucket=f"{CANARY}-gone", Key="x")
    s3.delete_bucket(Bucket=f"{CANARY}-gone")
    s3.put_object(Bucket=BUCKET, Key=f"{CANARY}/inline", Body=data(1000, 1), Metadata={"note": CANARY})
    s3.put_object(Bucket=BUCKET, Key=f"{CANARY}/blob", Body=data(300 * KIB, 2))
    s3.put_object(Bucket=BUCKET, Key=f"{CANARY}/kms", Body=data(100 * KIB, 3), ServerSideEncryption="aws:kms")
    s3.put_object(Bucket=BUCKET, Key=f"{CANARY}/customer", Body=data(100 * KIB, 4), **CUSTOMER)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=f"{CANARY}/parts")["UploadId"]
    parts = []
    for number, size in [(1, 5 * MIB), (2, 100 * KIB)]:
        body = data(size, 10 + number)
        kept = s3.upload_part(Bucket=BUCKET, Key=f"{CANARY}/parts", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": kept["ETag"]})
    s3.complete_multipart_upload(
        Bucket=BUCKET, Key=f"{CANARY}/parts", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=f"{CANARY}/open")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key=f"{CANARY}/open", UploadId=upload, PartNumber=1, Body=data(200 * KIB, 20))


@pytest.fixture(scope="module", params=["stopped", "killed"])
def store(request, workspace):
    """A store with objects of every kind, at rest."""
    server = harness.Server(workspace / f"inspect-{request.param}", arguments=["--sse-c-over-http"]).start()
    try:
        fill(server)
        if request.param == "stopped":
            assert server.stop() == 0
    finally:
        server.kill()
    return server.data_dir


def blob_of(folder, size):
    """The blob file of a content of this size."""
    chunks = max(1, -(-size // (64 * KIB)))
    found = [path for path in (folder / "blobs").rglob("*") if path.is_file() and path.stat().st_size == HEADER + size + 16 * chunks]
    assert len(found) >= 1, size
    return found[0]


def test_a_whole_store_verifies_and_nothing_in_it_changes(store):
    before = snapshot(store)
    damages, summary = damage(store)
    assert damages == []
    objects = summary["objects"]
    assert (objects["objects"], objects["uploads"], objects["parts"], objects["buckets"]) == (5, 1, 1, 1)
    assert (objects["inline"], objects["blobs"], objects["customer_keys"]) == (1, 5, 1)
    assert objects["bytes"] == 1000 + 300 * KIB + 100 * KIB + 5 * MIB + 100 * KIB + 200 * KIB
    for command in (["log"], ["pages", "--rows", "--values"], ["keyring"]):
        result = inspect(*command, store)
        assert result.returncode == 0 and result.stderr == "", result.stderr
    assert snapshot(store) == before


def test_the_summary_for_people_says_how_it_went(store):
    result = inspect("verify", store)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "no damage"
    assert "not verifiable without the customer's key" in result.stdout


def test_without_keys_no_name_is_shown_and_with_them_they_are(store, tmp_path):
    for command in ("log", "pages", "keyring"):
        for json_flag in ([], ["--json"]):
            result = inspect(command, "--no-keys", *json_flag, store)
            assert result.returncode == 0 and result.stdout, result.stderr
            assert CANARY not in result.stdout
    rows = inspect("pages", "--rows", store).stdout + inspect("log", store).stdout
    for name in ("inline", "blob", "kms", "customer", "parts", "open"):
        assert f"{CANARY}/{name}" in rows
    # A store whose unlock key is kept elsewhere shows what it can, and says why not more.
    folder = copy(store, tmp_path / "locked")
    (folder / "kms" / "unlock.key").unlink()
    for command in ("log", "pages", "keyring"):
        result = inspect(command, folder)
        assert result.returncode == 0 and result.stdout and CANARY not in result.stdout
        assert "the root key is not to be had" in result.stderr and "unlock.key" in result.stderr
    result = inspect("verify", folder)
    assert result.returncode == 2 and "unlock.key" in result.stderr


def test_no_key_is_printed(store):
    keys = unwrapping.every_key(store) | {"customer's key": CUSTOMER_KEY}
    assert {"keyring key", "key 1 of group 0", "key 1 of group 1", "strongroom-root version 1"} <= set(keys), set(keys)
    commands = [["log"], ["pages"], ["pages", "--rows"], ["pages", "--rows", "--values"], ["keyring"]]
    commands += [[*command, "--no-keys"] for command in (["log"], ["pages"], ["keyring"])]
    for command in [*commands, ["verify"]]:
        for form in ([], ["--json"]):
            result = inspect(*command, *form, store)
            assert result.returncode == 0 and result.stdout, (command, form, result.stderr)
            shown = unwrapping.Shown((result.stdout + result.stderr).encode(errors="surrogateescape"))
            assert [name for name, key in keys.items() if shown.has(key)] == [], (command, form)


def test_a_printed_key_would_be_found():
    key = hashlib.sha256(b"some key").digest()
    forms = [key, key.hex(), key.hex().upper(), key.hex(" "), f'"{key[3:].hex()}"', repr(list(key)), key[5:20].hex(":")]
    forms += [base64.b64encode(b"x" * lead + key) for lead in range(3)] + [base64.urlsafe_b64encode(key)]
    for form in forms:
        form = form if isinstance(form, bytes) else form.encode()
        assert unwrapping.Shown(b"{before " + form + b" behind}").has(key), form
    assert not unwrapping.Shown(b"nothing " + key[:11].hex().encode()).has(key)


def test_a_directory_that_may_only_be_read_can_be_verified(store):
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        # The binary and the copy lie where another user can reach them.
        folder.chmod(0o755)
        binary = shutil.copy(harness.binary(), folder / "strongroom")
        copied = copy(store, folder / "store")
        for path in [copied, *copied.rglob("*")]:
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
            path.chmod(0o500 if path.is_dir() else 0o400)
        before = snapshot(copied)
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        result = inspect("verify", copied, binary=binary, **user)
        assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "no damage"), result.stderr
        assert snapshot(copied) == before
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name, size, part",
    [("blob", 300 * KIB, 1), ("kms", 100 * KIB, 1), ("parts", 5 * MIB, 1), ("open", 200 * KIB, 1)],
)
def test_a_damaged_chunk_is_named_with_its_object_and_part(store, tmp_path, name, size, part):
    folder = copy(store, tmp_path / "damaged")
    damaged = []
    for blob in [p for p in (folder / "blobs").rglob("*") if p.is_file() and p.stat().st_size == blob_of(folder, size).stat().st_size]:
        flip(blob, HEADER + CHUNK + 5)
    damaged, _ = damage(folder)
    found = [item for item in damaged if item.get("key") == f"{CANARY}/{name}"]
    assert len(found) == 1, damaged
    assert (found[0]["bucket"], found[0]["part"], found[0]["first_chunk"], found[0]["last_chunk"]) == (BUCKET, part, 1, 1)
    assert f"{CANARY}/{name}" in found[0]["what"] and "chunk 1" in found[0]["what"]


def test_missing_cut_and_nobodys_blobs_are_told_apart(store, tmp_path):
    folder = copy(store, tmp_path / "damaged")
    blob_of(folder, 300 * KIB).unlink()
    with open(blob_of(folder, 5 * MIB), "r+b") as file:
        file.truncate(1000)
    orphan = blob_of(folder, 200 * KIB).parent / ("ab" * 16)
    orphan.write_bytes(b"left by a crash")
    damages, summary = damage(folder)
    assert {item["key"].split("/")[1]: item["what"].split(": ")[-1] for item in damages} == {
        "blob": "its blob is missing",
        "parts": "its blob has the wrong length",
    }
    assert (summary["objects"]["orphans"], summary["objects"]["orphan_bytes"]) == (1, 15)


def test_damage_of_every_kind_of_file_is_named(store, tmp_path):
    segment = max((store / "log").glob("*.log")).name
    frames = [item for item in lines(inspect("log", "--json", store)) if item["kind"] == "frame"]
    frame = [item for item in frames if segment.startswith(item["segment"])][0]
    cases = {
        "log": (f"log/{segment}", frame["offset"] + 110, lambda item: item.get("lsn") == frame["first_lsn"]),
        "mark": ("log/mark", 60, lambda item: item.get("slot") == 0 and item["file"] == "log/mark"),
        "keyring": ("keyring", -5, lambda item: item["file"].endswith("/keyring")),
    }
    for case, (name, at, named) in cases.items():
        folder = copy(store, tmp_path / case)
        flip(folder / name, at)
        damages, _ = damage(folder)
        assert any(named(item) for item in damages), (case, damages)


def test_damaged_index_pages_are_named_and_the_other_bucket_is_still_verified(start, tmp_path):
    server = start()
    s3 = server.client()
    for bucket in ("first", "second"):
        s3.create_bucket(Bucket=bucket)
        for n in range(60):
            s3.put_object(Bucket=bucket, Key=f"key-{n:03}", Body=data(3000, n))
    assert server.stop() == 0
    folder = server.data_dir
    file = folder / "pages" / "00000001.pages"
    content = file.read_bytes()
    places = 2 * 262144 + 4 * 4096
    used = [p for p in range((len(content) - places) // 4096) if any(content[places + p * 4096 :][:4096])]
    for page in used[len(used) // 2 :][:2]:
        flip(file, places + page * 4096 + 100)
    damages, summary = damage(folder)
    pages = {item["page"] for item in damages if "page" in item}
    assert set(used[len(used) // 2 :][:2]) <= pages, damages
    assert summary["objects"]["objects"] >= 60, "the other bucket is read"
    assert not any(item.get("bucket") == "second" for item in damages)


def test_a_list_that_needs_a_damaged_index_page_says_so_and_others_go_on(start):
    """It is neither short nor empty: a client that keeps two places alike would delete what is missing in it."""
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="bucket")
    keys = [f"{letter}/{n:03}" for letter in "abcdefgh" for n in range(40)]
    for key in keys:
        s3.put_object(Bucket="bucket", Key=key, Body=key.encode())
    assert server.stop() == 0
    file = server.data_dir / "pages" / "00000001.pages"
    places = 2 * 262144 + 4 * 4096
    # A page of rows in the middle of the list: nothing else of the bucket is unknown with it.
    for at in range(places + 100, file.stat().st_size, 4096):
        flip(file, at)
        lost = [item for item in damage(server.data_dir)[0] if item.get("table") == "objects"]
        if len(lost) == 1 and lost[0]["after"] and lost[0]["before"]:
            break
        flip(file, at)
    after, before = lost[0]["after"], lost[0]["before"]
    hidden = [key for key in keys if after < key < before]
    assert hidden and hidden[0][0] != "h"

    server.start()
    s3 = server.client()
    names = {"Bucket": "bucket"}
    told = "A part of the bucket's index that is needed here is damaged or cannot be read from the server's disk."
    for ask in (
        lambda: s3.list_objects_v2(**names),
        lambda: s3.list_objects(**names),
        lambda: s3.list_object_versions(**names),
        lambda: s3.list_objects_v2(**names, Prefix=hidden[0][:2]),
        lambda: s3.get_object(**names, Key=hidden[0]),
    ):
        with refused("InternalError", 500) as failed:
            ask()
        message = failed.response["Error"]["Message"]
        assert message.startswith(told) and "inspect verify" in message, message
    assert "is damaged at page" in server.log()
    rest = Rest(server.api_url, here(server, "token", "create", "--scope", "all")["token"])
    status, _, body = rest("GET", f"/api/v1/buckets/bucket/objects/{hidden[0]}")
    assert status == 500 and told in body.decode() and "inspect verify" in body.decode(), body
    whole = [letter for letter in "abcdefgh" if not any(key.startswith(letter) for key in (*hidden, after, before))]
    assert len(whole) >= 4
    for letter in whole:
        listed = [item["Key"] for item in s3.list_objects_v2(**names, Prefix=f"{letter}/")["Contents"]]
        assert listed == [key for key in keys if key.startswith(letter)]
        for key in listed[::13]:
            assert s3.get_object(**names, Key=key)["Body"].read() == key.encode()


def test_a_running_store_is_listed_without_keys_and_not_verified(start):
    server = start()
    server.client().create_bucket(Bucket=BUCKET)
    result = inspect("log", "--no-keys", server.data_dir)
    assert result.returncode == 0 and "segment" in result.stdout and "a server has this store open" in result.stderr
    assert inspect("pages", "--no-keys", server.data_dir).returncode == 0
    assert "active" in inspect("keyring", server.data_dir).stdout
    for command in ("log", "pages", "verify"):
        result = inspect(command, server.data_dir)
        assert (result.returncode, result.stdout) == (2, "")
        assert "is in use by a running server" in result.stderr


def test_what_is_no_store_is_said_to_be_none(tmp_path):
    for command in ("log", "pages", "keyring", "verify"):
        result = inspect(command, tmp_path)
        assert (result.returncode, result.stdout) == (2, "") and "holds no store" in result.stderr
        result = inspect(command, tmp_path / "none")
        assert result.returncode == 2 and "there is no directory" in result.stderr
