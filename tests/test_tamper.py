"""Any change to any stored file: an error with a name, never wrong bytes, nothing silently missing."""

import pathlib
import random
import re
import subprocess

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
    assert server.stop() == 0
    earlier = folder.with_name(folder.name + "-earlier")
    clone(folder, earlier)
    server.start()
    s3 = server.client()
    for bucket in ("one", "two"):
        state.put(s3, bucket, "key 1", data(100, 77))
        state.put(s3, bucket, "key 4", data(MIB, 77))
        state.put(s3, bucket, "new", data(200 * KIB, 78))
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

    try_all(image, [("removal", remove)], tmp_path, WHOLE)


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


def test_every_file_is_of_a_kind_that_the_specification_lists(image):
    """No file rests here that a page of the specification does not argue for."""
    pages = pathlib.Path(__file__).parent.parent / "docs/spec"
    text = "".join(page.read_text() for page in sorted(pages.glob("*.md")))
    for name in image.kinds:
        parts = [part for part in pathlib.Path(name).parts if "#" not in part]
        assert parts and all(f"{part}" in text for part in parts), f"{name} is not in docs/spec"
