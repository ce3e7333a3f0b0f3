"""Backups of a serving store, and data directories made from them."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

import harness
from content import KIB, MIB, data, read

pytestmark = pytest.mark.ours


def admin(data_dir, *arguments, check=True):
    """`strongroom admin --json` with the environment of a user that has set nothing."""
    command = [harness.binary(), "admin", "--data-dir", str(data_dir), "--json", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    if check:
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return done


def multipart(s3, bucket, key, pieces, **options):
    names = {"Bucket": bucket, "Key": key}
    upload = s3.create_multipart_upload(**names, **options)["UploadId"]
    parts = []
    for number, piece in enumerate(pieces, 1):
        etag = s3.upload_part(**names, UploadId=upload, PartNumber=number, Body=piece)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(**names, UploadId=upload, MultipartUpload={"Parts": parts})
    return b"".join(pieces)


def everything(s3):
    """All buckets with the content of all their objects."""
    found = {}
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        listed = s3.list_objects_v2(Bucket=name).get("Contents", [])
        found[name] = {entry["Key"]: read(s3.get_object(Bucket=name, Key=entry["Key"])) for entry in listed}
    return found


class Backed:
    """A store with two snapshots, and what it held at each."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.target = folder / "backups"
        self.server = harness.Server(self.data).start()
        s3 = self.server.client()
        for bucket in ("album", "letters"):
            s3.create_bucket(Bucket=bucket)
        for number, size in enumerate([0, 1, 500, 16 * KIB + 1, 300 * KIB, 2 * MIB]):
            s3.put_object(Bucket="album", Key=f"object {number}", Body=data(size, number))
        s3.put_object(Bucket="album", Key="by kms", Body=data(100 * KIB, 7), ServerSideEncryption="aws:kms")
        multipart(s3, "album", "in parts", [data(5 * MIB, 8), data(1000, 9)])
        s3.put_object(Bucket="letters", Key="one", Body=b"dear reader", Metadata={"to": "you"}, Tagging="a=b")
        self.first = everything(s3)
        self.first_snapshot = admin(self.data, "backup", self.target)["snapshot"]

        s3.delete_object(Bucket="letters", Key="one")
        s3.delete_bucket(Bucket="letters")
        s3.create_bucket(Bucket="later")
        s3.put_object(Bucket="later", Key="new", Body=data(200 * KIB, 10))
        s3.put_object(Bucket="album", Key="object 1", Body=b"overwritten")
        s3.delete_object(Bucket="album", Key="object 5")
        self.second = everything(s3)
        self.second_snapshot = admin(self.data, "backup", self.target)["snapshot"]
        assert self.server.stop() == 0

    def restore(self, name, *arguments, check=True):
        keys = () if "--kms-from" in arguments else ("--kms-from", self.data / "kms")
        return admin(self.folder / name, "restore", "--from", self.target, *keys, *arguments, check=check)

    def content(self, name):
        server = harness.Server(self.folder / name).start()
        try:
            return everything(server.client())
        finally:
            assert server.stop() == 0


@pytest.fixture(scope="module")
def backed(workspace):
    folder = workspace / "backup"
    folder.mkdir()
    made = Backed(folder)
    yield made
    made.server.kill()


def files(folder):
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())


def test_both_snapshots_come_back_with_everything_that_they_had(backed):
    for name, number, expected in [("first", 1, backed.first), ("second", 2, backed.second)]:
        restored = backed.restore(name, "--snapshot", number)
        assert restored["snapshot"]["number"] == number
        found = backed.content(name)
        assert found.keys() == expected.keys()
        for bucket, objects in expected.items():
            assert found[bucket] == objects, bucket


def test_a_restored_store_is_written_to_and_backed_up_like_any_other(backed, workspace):
    backed.restore("goes on")
    target = workspace / "backup" / "of the restored"
    with_server = harness.Server(backed.folder / "goes on").start()
    s3 = with_server.client()
    s3.create_bucket(Bucket="fresh")
    s3.put_object(Bucket="fresh", Key="key", Body=data(100 * KIB, 1))
    s3.put_object(Bucket="album", Key="object 2", Body=b"after restoring")
    assert admin(with_server.data_dir, "backup", target)["snapshot"]["number"] == 1
    with_server.kill()
    with_server.start()
    s3 = with_server.client()
    assert read(s3.get_object(Bucket="fresh", Key="key")) == data(100 * KIB, 1)
    assert read(s3.get_object(Bucket="album", Key="object 2")) == b"after restoring"
    assert with_server.stop() == 0


def test_the_second_snapshot_wrote_only_what_was_new(backed):
    first, second = backed.first_snapshot, backed.second_snapshot
    assert (first["new_files"], second["new_files"]) == (first["files"], 1)
    assert 200 * KIB < second["new_bytes"] < 1 * MIB < first["new_bytes"]
    listed = admin(backed.data, "backup", "--list", backed.target)
    assert [snapshot["number"] for snapshot in listed] == [1, 2]
    assert admin(backed.data, "backup", "--verify", backed.target)["snapshot"]["number"] == 2


def test_nothing_of_the_content_rests_in_the_clear_in_the_target(backed):
    needles = [b"dear reader", b"overwritten", b"album", b"in parts"]
    for path in files(backed.target):
        content = path.read_bytes()
        for needle in needles:
            assert needle not in content, (path, needle)


def test_without_the_root_key_restoring_fails_and_names_it(backed, workspace):
    nowhere = workspace / "backup" / "no keys"
    nowhere.mkdir()
    refused = backed.restore("keyless", "--kms-from", nowhere, check=False)
    assert refused.returncode != 0
    for part in ("strongroom-root", "version 1", "local", "--kms-from"):
        assert part in refused.stderr, refused.stderr
    other = harness.Server(workspace / "backup" / "another store").start()
    assert other.stop() == 0
    refused = backed.restore("keyless", "--kms-from", other.data_dir / "kms", check=False)
    assert refused.returncode != 0
    for part in ("strongroom-root", "version 1", "local"):
        assert part in refused.stderr, refused.stderr
    assert not (backed.folder / "keyless").exists()


def test_a_restore_that_was_cut_short_is_run_again(backed):
    # As a kill leaves it: one key file copied, the other on its way, and the store begun.
    folder = backed.folder / "cut"
    kms = folder / "kms"
    kms.mkdir(parents=True)
    shutil.copy(backed.data / "kms" / "local.kms", kms)
    (kms / "local.kms.tmp").write_bytes(b"half a key file")
    for name in ("RESTORING", "LOCK"):
        (folder / name).touch()
    backed.restore("cut")
    for name in ("local.kms", "unlock.key"):
        assert (kms / name).read_bytes() == (backed.data / "kms" / name).read_bytes()
    assert sorted(path.name for path in kms.iterdir()) == ["local.kms", "unlock.key"]
    assert backed.content("cut") == backed.second


def test_a_restore_writes_over_no_other_keys(backed):
    other = backed.folder / "other keys"
    (other / "kms").mkdir(parents=True)
    (other / "kms" / "local.kms").write_bytes(b"what opens another store")
    refused = backed.restore("other keys", check=False)
    assert refused.returncode != 0
    for part in (str(other / "kms" / "local.kms"), str(backed.data / "kms" / "local.kms"), "move it away"):
        assert part in refused.stderr, refused.stderr
    assert files(other) == [other / "kms" / "local.kms"]
    assert (other / "kms" / "local.kms").read_bytes() == b"what opens another store"


def test_a_damaged_or_partial_backup_is_refused_by_name_and_leaves_nothing(backed):
    victims = [
        files(backed.target / "chunks")[0],
        files(backed.target / "blobs")[0],
        backed.target / "snapshots" / f"{1:016x}",
    ]
    for path in victims:
        good = path.read_bytes()
        middle = len(good) // 2
        flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        for bad in (flipped, good[:-1], None):
            if bad is None:
                path.unlink()
            else:
                path.write_bytes(bad)
            refused = backed.restore("damaged", "--snapshot", 1, check=False)
            if refused.returncode == 0:
                # What only the second snapshot has.
                shutil.rmtree(backed.folder / "damaged")
                refused = backed.restore("damaged", "--snapshot", 2, check=False)
            path.write_bytes(good)
            named = "snapshot 1" if bad is None and "snapshots" in path.parts else str(path)
            assert refused.returncode != 0 and named in refused.stderr, (path, refused.stderr)
            assert not (backed.folder / "damaged").exists()


def test_only_an_empty_directory_is_restored_into(backed):
    busy = backed.folder / "busy"
    busy.mkdir()
    (busy / "notes.txt").write_text("mine")
    refused = backed.restore("busy", check=False)
    assert refused.returncode != 0 and "notes.txt" in refused.stderr
    assert [path.name for path in busy.iterdir()] == ["notes.txt"]


def test_a_backup_to_a_directory_that_is_none_is_refused_and_the_server_goes_on(backed, workspace):
    server = harness.Server(workspace / "backup" / "serving").start()
    refused = admin(server.data_dir, "backup", backed.folder / "data", check=False)
    assert refused.returncode != 0 and "FORMAT" in refused.stderr, refused.stderr
    refused = admin(server.data_dir, "backup", backed.target, check=False)
    assert refused.returncode != 0 and "another store" in refused.stderr, refused.stderr
    assert server.ready()
    assert server.stop() == 0


def test_only_the_newest_snapshots_are_kept_if_that_is_asked_for(start):
    server = start()
    target = server.data_dir.parent / "kept"
    s3 = server.client()
    s3.create_bucket(Bucket="album")
    bodies = []
    for turn in range(3):
        if turn:
            s3.delete_object(Bucket="album", Key=f"object {turn - 1}")
        bodies.append(data(300 * KIB, turn))
        s3.put_object(Bucket="album", Key=f"object {turn}", Body=bodies[-1])
        taken = admin(server.data_dir, "backup", target, "--keep", "2")
        assert taken["snapshot"]["number"] == turn + 1
        removed = taken["removed"]
        assert removed["snapshots"] == ([1] if turn == 2 else []), removed
    assert removed["files"] == 1 and removed["bytes"] > 300 * KIB and removed["chunks"] >= 1
    listed = admin(server.data_dir, "backup", target, "--list")
    assert [snapshot["number"] for snapshot in listed] == [2, 3]
    for number in (2, 3):
        admin(server.data_dir, "backup", target, "--verify", "--snapshot", str(number))
    gone = admin(server.data_dir, "backup", target, "--verify", "--snapshot", "1", check=False)
    assert gone.returncode == 1 and "no snapshot 1" in gone.stderr
    # A manifest that cannot be read keeps everything where it is, and the new snapshot is there all the same.
    manifest = target / "snapshots" / f"{2:016x}"
    right = manifest.read_bytes()
    manifest.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    refused = admin(server.data_dir, "backup", target, "--keep", "1", check=False)
    assert refused.returncode == 1 and str(manifest) in refused.stderr, refused.stderr
    manifest.write_bytes(right)
    done = admin(server.data_dir, "backup", target, "--keep", "1")
    assert done["removed"]["snapshots"] == [2, 3, 4] and done["snapshot"]["number"] == 5
    for arguments in (("--keep", "0"), ("--keep", "1", "--list")):
        assert admin(server.data_dir, "backup", target, *arguments, check=False).returncode == 2
