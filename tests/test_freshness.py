"""Files put back as they were, against the real binary: named in an error, or as `docs/spec/freshness.md` says."""

import shutil

import pytest
from botocore.exceptions import ClientError

import harness
from content import KIB, MIB, data, read
from state import State
from test_kill import admin
from test_tamper import clone, files

pytestmark = pytest.mark.ours


def blob_files(folder):
    return {path.relative_to(folder) for path in (folder / "blobs").rglob("*") if path.is_file()}


class Store:
    """A store with an earlier and a later state, both stopped cleanly."""

    def __init__(self, start):
        self.server = start()
        s3 = self.server.client()
        self.older = State()
        self.older.make(s3, "bucket")
        for n in range(6):
            self.older.put(s3, "bucket", f"inline {n}", data(2 * KIB, n))
        self.older.put(s3, "bucket", "blob", data(200 * KIB, 1))
        assert self.server.stop() == 0
        self.dir = self.server.data_dir
        self.earlier = self.dir.with_name("earlier")
        clone(self.dir, self.earlier)
        self.server.start()
        s3 = self.server.client()
        self.state = self.older.copy()
        for n in range(6):
            self.state.put(s3, "bucket", f"inline {n}", data(2 * KIB, n + 100))
        self.state.put(s3, "bucket", "blob", data(200 * KIB, 2))
        # One more bucket, so that the keyring changes too.
        self.state.make(s3, "later")
        self.state.put(s3, "later", "blob", data(200 * KIB, 3))

    def stop(self):
        assert self.server.stop() == 0

    def put_back(self, *names):
        for name in names:
            target = self.dir / name
            if target.is_dir():
                shutil.rmtree(target)
            elif target.exists():
                target.unlink()
            clone(self.earlier / name, target)

    def page_file(self):
        """The page file of the first bucket: the larger of those that the earlier state has beside the system's."""
        names = [path for path in files(self.earlier) if path.parts[0] == "pages" and path.name != "00000000.pages"]
        return max(names, key=lambda path: (self.earlier / path).stat().st_size)

    def no_start(self, *words):
        with pytest.raises(harness.StartFailed) as failed:
            self.server.start()
        log = failed.value.log
        assert failed.value.code not in (None, 0) and "panicked" not in log, log
        assert any(word in log for word in words), f"none of {words} in:\n{log}"


@pytest.fixture
def store(start):
    return Store(start)


def test_an_older_keyring_is_named(store):
    store.stop()
    store.put_back("keyring")
    store.no_start("keyring is an older copy")


def test_an_older_log_is_named(store):
    store.stop()
    store.put_back("log")
    store.no_start("log is an older copy")


def test_an_older_log_is_named_after_a_kill(store):
    store.server.kill()
    store.put_back("log")
    store.no_start("log is an older copy")


def test_an_older_log_with_its_keyring_is_told_by_the_pages(store):
    store.stop()
    store.put_back("log", "keyring")
    store.no_start("older copy")


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_an_older_local_keyring_is_named_though_it_has_every_key(store, killed):
    """The root key was changed to another one and back, so the older file has the key that wraps the store's."""
    change = ["keys", "root", "change", "--key-id"]
    for key in (["another", "--create-key"], ["strongroom-root"]):
        changed = admin(store.server, *change, *key)
        assert changed.returncode == 0, changed.stderr
    store.server.kill() if killed else store.stop()
    newest = store.dir.with_name("newest")
    clone(store.dir / "kms", newest)
    store.put_back("kms")
    store.no_start("local keyring is an older copy")
    shutil.rmtree(store.dir / "kms")
    clone(newest, store.dir / "kms")
    store.server.start()
    store.state.check(store.server.client())


def refused_by_name(store):
    """The bucket of the older page file answers errors, the other one its objects, and the log says why."""
    store.server.start()
    s3 = store.server.client()
    for key in ("inline 0", "blob"):
        with pytest.raises(ClientError) as refused:
            read(s3.get_object(Bucket="bucket", Key=key))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    assert read(s3.get_object(Bucket="later", Key="blob")) == data(200 * KIB, 3)
    assert "older copy" in store.server.log() or "rolled back" in store.server.log(), store.server.log()[-2000:]


def test_an_older_page_file_is_an_error_and_never_an_older_object(store):
    store.stop()
    store.put_back(store.page_file())
    refused_by_name(store)


def test_an_older_page_file_after_a_kill_is_an_error_too(store):
    checkpoint = admin(store.server, "checkpoint")
    assert checkpoint.returncode == 0, checkpoint.stderr
    store.state.put(store.server.client(), "bucket", "after", data(KIB, 5))
    store.server.kill()
    store.put_back(store.page_file())
    refused_by_name(store)


def test_a_page_file_that_no_checkpoint_has_changed_is_the_same_and_the_log_has_the_rest(store):
    store.server.kill()
    store.put_back(store.page_file())
    store.server.start()
    store.state.check(store.server.client())


@pytest.mark.parametrize("running", [True, False], ids=["running", "at rest"])
def test_the_blob_of_an_earlier_version_is_damage(store, running):
    if not running:
        store.stop()
    old = next(iter(blob_files(store.earlier)))
    new = [path for path in blob_files(store.dir) - {old} if path.parts[1] == old.parts[1]]
    assert len(new) == 1, "the bucket has one object with a blob"
    shutil.copyfile(store.earlier / old, store.dir / new[0])
    if not running:
        store.server.start()
    with pytest.raises((ClientError, OSError)):
        assert read(store.server.client().get_object(Bucket="bucket", Key="blob")) is None, "an old blob was served"
    # Everything else is right, and an overwritten object is whole again.
    s3 = store.server.client()
    assert read(s3.get_object(Bucket="bucket", Key="inline 0")) == store.state.buckets["bucket"]["inline 0"]
    store.state.put(s3, "bucket", "blob", data(MIB, 9))
    store.state.check(s3)


def test_a_removed_blob_that_is_put_back_is_bytes_that_nobody_reads(store):
    s3 = store.server.client()
    old = next(iter(blob_files(store.earlier)))
    assert not (store.dir / old).exists(), "an overwritten blob is removed"
    (store.dir / old).parent.mkdir(exist_ok=True)
    shutil.copyfile(store.earlier / old, store.dir / old)
    store.state.check(s3)
    store.stop()
    store.server.start()
    store.state.check(store.server.client())


def test_blobs_and_pages_put_back_together_are_an_error(store):
    store.stop()
    store.put_back("blobs", "pages")
    store.no_start("older copy")


def test_a_keyring_put_back_under_a_running_server_is_replaced_or_named(store):
    store.put_back("keyring")
    s3 = store.server.client()
    store.state.put(s3, "bucket", "after", data(KIB, 5))
    store.state.check(s3)
    # The server has it in memory and writes it anew when it closes; killed before that, the next start names it.
    store.server.kill()
    store.no_start("keyring is an older copy")


def test_a_log_put_back_under_a_running_server_is_named_at_the_next_start(store):
    store.put_back("log")
    s3 = store.server.client()
    store.state.put(s3, "bucket", "after", data(KIB, 5))
    store.state.check(s3)
    store.server.kill()
    store.no_start("missing", "damaged", "older copy")


def test_everything_put_back_is_an_earlier_store_and_only_others_can_tell(store):
    """What a single node cannot notice: the whole directory of an earlier time, on purpose or not."""
    store.stop()
    shutil.rmtree(store.dir)
    clone(store.earlier, store.dir)
    store.server.start()
    store.older.check(store.server.client())
    store.stop()
