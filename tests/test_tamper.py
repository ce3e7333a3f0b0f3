"""Any change to any stored file: an error with a name, never wrong bytes, nothing silently missing."""

import base64
import random
import re
import subprocess
import zlib

import pytest

import harness
from content import KIB, MIB, data
from state import State

pytestmark = pytest.mark.ours

# How many files of one kind are tried, and at how many places each is changed.
FILES_PER_KIND = 12 if harness.SOAK else 2
PLACES = 12 if harness.SOAK else 3


def clone(source, target):
    """Page files have holes; a plain copy would fill them."""
    subprocess.run(["cp", "-a", "--sparse=always", str(source), str(target)], check=True)


def kind(path):
    """`log/0000000000000001.log` and its like are one kind."""
    return re.sub(r"[0-9a-f]{6,}|\d+", "#", str(path))


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


class Image:
    """A stopped store, what it held some time earlier, and what it should hold."""

    def __init__(self, folder, earlier, state, crashed):
        self.folder, self.earlier, self.state, self.crashed = folder, earlier, state, crashed
        self.kinds = {}
        for path in files(folder):
            if path.name != "LOCK":
                self.kinds.setdefault(kind(path), []).append(path)

    def sample(self, rng):
        for paths in self.kinds.values():
            yield from rng.sample(paths, min(FILES_PER_KIND, len(paths)))


def build(start, folder, crash):
    """Two states of one store; the later one ends cleanly or by a crash with its last commits only in the log."""
    server = start(folder.name)
    s3 = server.client()
    state = State()
    for bucket in ("one", "two"):
        state.make(s3, bucket)
        for n, size in enumerate([0, 100, 15 * KIB, 100 * KIB, MIB]):
            state.put(s3, bucket, f"key {n}", data(size, n))
        state.put(s3, bucket, "kms", data(100 * KIB, 5), ServerSideEncryption="aws:kms")
        state.put_parts(s3, bucket, "parts", [data(5 * MIB, 6), data(100 * KIB, 7)])
        for number in range(3):
            state.put_version(s3, bucket, "versions", data(20 * KIB, number))
    assert server.stop() == 0
    earlier = folder.with_name(folder.name + "-earlier")
    clone(folder, earlier)
    server.start()
    s3 = server.client()
    for bucket in ("one", "two"):
        state.put(s3, bucket, "key 1", data(100, 77))
        state.put(s3, bucket, "key 4", data(MIB, 77))
        state.put(s3, bucket, "new", data(200 * KIB, 78))
        state.put(s3, bucket, "kms", data(100 * KIB, 79), ServerSideEncryption="aws:kms")
        state.put_parts(s3, bucket, "parts", [data(5 * MIB, 80), data(100 * KIB, 81)])
        state.put_version(s3, bucket, "versions", data(20 * KIB, 82))
        state.delete(s3, bucket, "key 2")
    if crash:
        server.kill()
    else:
        assert server.stop() == 0
    return Image(folder, earlier, state, crash)


@pytest.fixture(scope="module", params=["stopped", "crashed"])
def image(request, workspace):
    started = []

    def start(name):
        server = harness.Server(workspace / name)
        started.append(server)
        return server.start()

    yield build(start, workspace / f"tamper-{request.param}", request.param == "crashed")
    for server in started:
        server.kill()


def outcome(image, change, scratch):
    """Starts a changed copy; returns what was reported: nothing if all is right."""
    folder = scratch / "store"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    clone(image.folder, folder)
    change(folder)
    server = harness.Server(folder)
    try:
        server.start()
    except harness.StartFailed as failed:
        assert failed.code not in (None, 0), f"it did not come up, nor give up:\n{failed.log}"
        assert "panicked" not in failed.log, failed.log
        assert failed.log.strip(), "it gave up without a word"
        return ["start"]
    try:
        met = image.state.errors(server.client())
        assert "panicked" not in server.log(), server.log()[-3000:]
        return met
    finally:
        server.kill()


def try_all(image, changes, tmp_path, must_show=()):
    """Every change on files of every kind; those of the kinds in `must_show` have to be noticed."""
    rng = random.Random(len(changes))
    tried = 0
    for path in image.sample(rng):
        for name, change in changes:
            tried += 1
            before = f"{name} of {path}"
            try:
                met = outcome(image, lambda folder: change(folder / path, rng), tmp_path)
            except AssertionError as error:
                raise AssertionError(f"after {before}: {error}") from error
            if any(word in str(path) for word in must_show):
                assert met, f"{before} went unnoticed"
    assert tried


def flip(at):
    def change(path, rng):
        size = path.stat().st_size
        if not size:
            return
        place = {"first": 0, "last": size - 1}.get(at)
        with open(path, "r+b") as file:
            if place is None:
                # Somewhere that is not a hole: a zero in a sparse file may belong to nothing.
                for _ in range(200):
                    place = rng.randrange(size)
                    file.seek(place)
                    if file.read(1) != b"\0":
                        break
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ (1 << rng.randrange(8))]))

    return change


def resize(how):
    def change(path, rng):
        size = path.stat().st_size
        with open(path, "r+b") as file:
            if how == "byte more":
                file.seek(size)
                file.write(b"\x01")
            elif how == "page of zeros more":
                file.truncate(size + 4096)
            else:
                file.truncate({"empty": 0, "half": size // 2, "byte less": max(0, size - 1)}[how])

    return change


# Files that one object or one step of the start depends on as a whole.
WHOLE = ("blob", "keyring", "local.kms", "unlock.key", "FORMAT")


def test_a_flipped_bit(image, tmp_path):
    places = [(f"a flip at {n}", flip(n)) for n in range(PLACES)]
    try_all(image, [("a flip of the first", flip("first")), ("a flip of the last", flip("last")), *places], tmp_path, WHOLE)


def test_a_truncated_file(image, tmp_path):
    changes = [(f"truncation ({how})", resize(how)) for how in ("empty", "half", "byte less")]
    try_all(image, changes, tmp_path, ("blob", "keyring", "local.kms", "unlock.key"))


def test_an_extended_file(image, tmp_path):
    changes = [(f"extension ({how})", resize(how)) for how in ("byte more", "page of zeros more")]
    try_all(image, changes, tmp_path, ("blob", "keyring", "local.kms"))


def test_a_missing_file(image, tmp_path):
    def remove(path, _):
        path.unlink()

    try_all(image, [("removal", remove)], tmp_path, (*WHOLE, "pages/", "log/"))


def test_another_file_of_the_same_kind(image, tmp_path):
    def replace(path, rng):
        folder = path
        while folder.name != "store":
            folder = folder.parent
        mine = path.relative_to(folder)
        others = [other for other in image.kinds[kind(mine)] if other != mine]
        if others:
            path.write_bytes((image.folder / rng.choice(others)).read_bytes())

    several = Image(image.folder, image.earlier, image.state, image.crashed)
    several.kinds = {name: paths for name, paths in image.kinds.items() if len(paths) > 1}
    assert any("blob" in name for name in several.kinds)
    try_all(several, [("replacement by a sibling", replace)], tmp_path, ("blob",))


def test_two_files_swapped(image, tmp_path):
    for name, paths in image.kinds.items():
        if len(paths) < 2:
            continue

        def swap(folder, paths=paths):
            left, right = (folder / path for path in paths[:2])
            a, b = left.read_bytes(), right.read_bytes()
            left.write_bytes(b)
            right.write_bytes(a)

        met = outcome(image, swap, tmp_path)
        if "blob" in name:
            assert met, f"a swap among {name} went unnoticed"


def older(image):
    """Files that differ from what they were earlier."""
    for path in files(image.folder):
        before = image.earlier / path
        if before.is_file() and before.read_bytes() != (image.folder / path).read_bytes():
            yield path


def test_an_older_content_of_one_file(image, tmp_path):
    changed = list(older(image))
    assert changed, "nothing was rewritten between the two states"
    for path in changed:
        def restore(folder, path=path):
            (folder / path).write_bytes((image.earlier / path).read_bytes())

        try:
            outcome(image, restore, tmp_path)
        except AssertionError as error:
            raise AssertionError(f"after older content of {path}: {error}") from error


def test_an_older_content_of_a_whole_folder(image, tmp_path):
    """All page files, or the whole log, or all blobs, as they were: nothing old is served as new."""
    folders = {path.parts[0] for path in files(image.folder) if len(path.parts) > 1}
    assert len(folders) >= 3
    for name in sorted(folders):
        def restore(folder, name=name):
            subprocess.run(["rm", "-rf", str(folder / name)], check=True)
            clone(image.earlier / name, folder / name)

        try:
            met = outcome(image, restore, tmp_path)
        except AssertionError as error:
            raise AssertionError(f"after older content of {name}/: {error}") from error
        if name == "log":
            assert met == ["start"], "the keyring knows of a longer log"


# The layout of docs/spec/data-directory.md §1 and docs/spec/blobs.md §1, name by name.
LAYOUT = [
    r"FORMAT",
    r"LOCK",
    r"keyring",
    r"log/mark",
    r"log/[0-9a-f]{16}\.log",
    r"pages/[0-9a-f]{8}\.pages",
    r"blobs/[0-9a-f]{8}/[0-9a-f]{8}/[0-9a-f]{32}",
    r"kms/local\.kms",
    r"kms/unlock\.key",
]


def strangers(folder):
    """Files that the specification does not list."""
    return [str(path) for path in files(folder) if not any(re.fullmatch(one, str(path)) for one in LAYOUT)]


def readable(content, least=0.95):
    """The first stretch of a file that a packer makes smaller, as it does with anything but ciphertext and holes."""
    for at in range(0, len(content), 64 * KIB):
        # Holes and space written ahead are zeros; no ciphertext has as many in a row.
        stretch = re.sub(rb"\0{16,}", b"", content[at : at + 64 * KIB])
        if len(stretch) >= 4 * KIB and len(zlib.compress(stretch, 9)) < least * len(stretch):
            return f"{len(stretch)} bytes at {at}"
    return None


def test_every_file_is_one_that_the_specification_lists(image):
    """No file rests here that a page of the specification does not argue for."""
    assert strangers(image.folder) == []
    found = [one for one in LAYOUT if any(re.fullmatch(one, str(path)) for path in files(image.folder))]
    assert found == LAYOUT, "the store under test has every kind of file"


def test_every_file_but_the_format_is_ciphertext(image):
    for path in files(image.folder):
        # The log's frames have headers that are read without keys, and many frames are small (docs/spec/log.md).
        told = readable((image.folder / path).read_bytes(), 0.8 if path.parts[0] == "log" else 0.95)
        assert told is None, f"{path} can be packed: {told}"


def test_the_search_for_strangers_and_for_readable_bytes_finds_them(image, tmp_path):
    for name in ("log/leak-1.txt", "pages/00000001.pages.bak", "blobs/00000001/0badcafe.txt", "123456", "kms/1/local.kms"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        assert strangers(tmp_path) == [name]
        path.unlink()
    blob = next(path for path in files(image.folder) if path.parts[0] == "blobs")
    sealed = (image.folder / blob).read_bytes()
    assert readable(sealed) is None
    # More than one stretch of it, wherever the blob ends.
    assert readable(sealed + b"The board has decided. " * 6000) is not None
    assert readable(sealed + base64.b64encode(data(128 * KIB))) is not None
