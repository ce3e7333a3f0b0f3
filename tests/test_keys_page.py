"""`docs/operations/keys.md`, carried out: what it says to type is typed, and what it says is printed is printed."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

import harness
from content import KIB, MIB, data
from harness import binary

pytestmark = pytest.mark.ours

PAGE = pathlib.Path(__file__).parent.parent / "docs/operations/keys.md"

# What is typed behind the walk of the first test, in the page's order, by the test that types it.
AWAY = ["strongroom admin keys root show"]
ELSEWHERE = ["strongroom server --data-dir data --kms-key-file outside.key"]
BACKUP = [
    "strongroom admin --data-dir data backup backups",
    "strongroom admin restore --from backups --data-dir new",
    "strongroom admin restore --from backups --data-dir new --kms-from data/kms",
]
COPIED = [
    "cp -a data/kms copy/kms",
    "strongroom server --data-dir copy",
    "strongroom admin --data-dir copy keys root change",
]

# The start of each message that stands alone, by the test that gets it.
SAID = {
    "strongroom: no server is running": "stopped",
    "WARN strongroom::server: the keyring is wrapped": "copied",
    "strongroom: the unlock key": "lost",
    "strongroom: the key file": "lost",
    "strongroom: wrong key file": "elsewhere",
    'strongroom: the root key "store-2026"': "older",
}


def blocks():
    """The page's blocks of terminal, each a list of lines."""
    found, block, language = [], None, ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("```") and block is None:
            block, language = [], line[3:]
        elif line == "```":
            if not language:
                found.append(block)
            block = None
        elif block is not None:
            block.append(line)
    return found


def steps():
    """What is typed, each with what it prints."""
    found = []
    for block in blocks():
        typed = False
        for line in block:
            if line.startswith("$ "):
                typed = True
                found.append((line[2:], []))
            elif typed:
                found[-1][1].append(line)
    return found


def said(start_of_line):
    """The line of the page that starts so. One that ends in an ellipsis is another one, cut."""
    lines = {line for block in blocks() for line in block if line.startswith(start_of_line)}
    [line] = {line for line in lines if not line.endswith("…")}
    return line


def stable(lines):
    """Lines without what comes out differently each time: sizes, counts of uses, times, random names."""
    rules = [
        (r"\b[0-9A-Fa-f]{16,}\b", "HEX"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (r"\b(\d+ (ms|s|min|h|d|days) ago|now|never)\b", "WHEN"),
        (r"\b[\d.,]+ (B|KiB|MiB|GiB)(?=[ ;)]|$)", "SIZE"),
        (r"\b\d+ (ms|s|min|h)\b", "AGE"),
        (r"\b\d+ rows?\b", "N rows"),
        (r"\b\d+ (new )?files?\b", "N files"),
        (r"\(LSN \d+\)", "(LSN N)"),
        # Counts of seals stand between an age and a size.
        (r"AGE +[\d,]+ +SIZE", "AGE N SIZE"),
        (r" +", " "),
    ]
    out = []
    for line in lines:
        for pattern, name in rules:
            line = re.sub(pattern, name, line)
        out.append(line.strip())
    return out


class Walk:
    """The page's store, in a directory of its own: `data` is its data directory."""

    def __init__(self, folder):
        self.folder = folder
        self.server = harness.Server("data", log_path=folder / "log")
        self.server.data_dir = pathlib.Path("data")

    def run(self, line, folder="data"):
        words = line.split()
        assert words[0] == "strongroom", line
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
        environment |= {"STRONGROOM_DATA_DIR": folder, "NO_COLOR": "1"}
        done = subprocess.run(
            [binary(), *words[1:]], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120
        )
        return (done.stdout + done.stderr).splitlines()

    def refused(self, *arguments):
        """The last line of a server that does not start."""
        server = harness.Server("data", arguments=arguments, log_path=self.folder / "refused")
        try:
            with pytest.raises(harness.StartFailed) as failed:
                server.start()
        finally:
            server.kill()
        return failed.value.log.strip().splitlines()[-1]

    def write(self):
        s3 = self.server.client()
        s3.create_bucket(Bucket="photos")
        for number in range(40):
            s3.put_object(Bucket="photos", Key=f"photo {number}", Body=data(10 * KIB, number))


@pytest.fixture
def walk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Walk(tmp_path)
    made.server.start()
    made.write()
    yield made
    made.server.kill()


def look(walk, typed, printed):
    found = stable(walk.run(typed))
    assert found == stable(printed), typed


def test_what_the_page_says_to_type_prints_what_it_says(walk):
    todo = steps()
    def next_is(text):
        typed, printed = todo.pop(0)
        assert typed == text, f"the page goes on with {typed!r}: teach this test what comes before it"
        return typed, printed

    def go(text):
        look(walk, *next_is(text))

    go("strongroom admin keys groups")
    go("strongroom admin keys root show")
    # As the page shows it at the moment after the change, before anything moved.
    walk.run("strongroom admin reseal pause")
    go("strongroom admin keys rotate --bucket photos")
    go("strongroom admin keys groups --bucket photos")
    walk.run("strongroom admin reseal resume")
    typed, printed = next_is("strongroom admin reseal status --follow")
    found = stable(walk.run(typed))
    assert found[-1] == stable(printed)[-1]
    # How much is seen of the work is a matter of moments.
    assert found[0] in (stable(printed)[0], found[-1])
    go("strongroom admin keys groups --bucket photos")
    go("strongroom admin reseal rate 20")
    go("strongroom admin reseal pause")
    go("strongroom admin reseal resume")
    (walk.folder / "strongroom.toml").write_text("[keys]\nrotate_after_days = 90\nreseal_workers = 2\n")
    typed, printed = next_is("strongroom config check --config strongroom.toml")
    found = stable(walk.run(typed))
    assert all(line in found for line in stable(printed)), found
    go("strongroom admin keys root change --new-version")
    go("strongroom admin keys root change --key-id store-2026 --create-key")
    go("strongroom admin keys root change --key-id nothing")
    left = [typed for typed, _ in todo]
    assert left == AWAY + ELSEWHERE + BACKUP + COPIED, "the page has a step that nobody types: teach a test of this file"


def test_every_message_of_the_page_is_one_that_a_test_gets():
    alone = [line for block in blocks() if not block[0].startswith("$ ") for line in block]
    found = [line for line in alone if line.startswith(("strongroom:", "WARN ", "ERROR "))]
    assert len(found) == len(SAID) and all(any(line.startswith(start) for line in found) for start in SAID), found
    for start in SAID:
        assert said(start) in found, start


def test_without_a_server_the_administration_says_so(walk):
    assert walk.server.stop() == 0
    assert walk.run("strongroom admin keys groups") == [said("strongroom: no server is running")]


def test_what_the_page_says_of_lost_files_is_what_a_server_says(walk):
    assert walk.server.stop() == 0
    for name, start in (("unlock.key", "strongroom: the unlock key"), ("local.kms", "strongroom: the key file")):
        there, away = walk.folder / "data/kms" / name, walk.folder / name
        there.rename(away)
        assert stable([walk.refused()]) == stable([said(start)])
        away.rename(there)
    walk.server.start()


def test_a_backup_is_taken_and_restored_as_the_page_shows(walk):
    printed = dict(steps())
    for typed in BACKUP:
        look(walk, typed, printed[typed])


def printed_of(typed):
    """What the page says that a step prints. One that is typed twice is meant in its last place."""
    return dict(steps())[typed]


def test_the_unlock_key_is_kept_elsewhere_as_the_page_shows(walk):
    assert walk.server.stop() == 0
    [typed] = ELSEWHERE
    words = typed.split()
    (walk.folder / "data/kms/unlock.key").rename(walk.folder / "outside.key")
    assert (walk.folder / "outside.key").stat().st_mode & 0o777 == 0o600
    wrong = walk.folder / "wrong.key"
    wrong.write_bytes(bytes(range(64)))
    wrong.chmod(0o600)
    assert stable([walk.refused("--kms-key-file", "wrong.key")]) == stable([said("strongroom: wrong key file")])
    assert words[:4] == ["strongroom", "server", "--data-dir", "data"]
    server = harness.Server("data", arguments=words[4:], log_path=walk.folder / "elsewhere").start()
    try:
        log = stable(server.log().splitlines())
        assert all(line in log for line in stable(printed_of(typed))), log
        assert server.client().get_object(Bucket="photos", Key="photo 3")["Body"].read() == data(10 * KIB, 3)
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_key_file_from_before_a_change_is_told_as_the_page_says(walk):
    walk.run("strongroom admin keys root change --key-id store-2026 --create-key")
    there, older = walk.folder / "data/kms/local.kms", walk.folder / "older.kms"
    shutil.copy2(there, older)
    walk.run("strongroom admin keys root change --new-version")
    assert walk.server.stop() == 0
    newest = walk.folder / "newest.kms"
    there.rename(newest)
    shutil.copy2(older, there)
    assert [walk.refused()] == [said('strongroom: the root key "store-2026"')]
    newest.replace(there)
    walk.server.start()


def test_a_copy_that_was_away_starts_with_the_newest_keys_as_the_page_shows(walk):
    assert walk.server.stop() == 0
    subprocess.run(["cp", "-a", "data", "copy"], cwd=walk.folder, check=True)
    shutil.rmtree(walk.folder / "copy/kms")
    walk.server.start()
    walk.run("strongroom admin keys root change --new-version")
    assert walk.server.stop() == 0
    bring, start, change = COPIED
    subprocess.run(bring.split(), cwd=walk.folder, check=True)
    words = start.split()
    assert words[:3] == ["strongroom", "server", "--data-dir"]
    server = harness.Server(words[3], arguments=words[4:], log_path=walk.folder / "copied").start()
    try:
        told = said("WARN strongroom::server: the keyring is wrapped")
        [shown] = printed_of(start)
        assert told.startswith(shown.removesuffix("…")) and any(line.endswith(told) for line in server.log().splitlines())
        [show] = AWAY
        assert stable(walk.run(show, "copy")) == stable(printed_of(show))
        assert stable(walk.run(change)) == stable(printed_of(change))
        assert server.client().get_object(Bucket="photos", Key="photo 3")["Body"].read() == data(10 * KIB, 3)
        assert server.stop() == 0
    finally:
        server.kill()
