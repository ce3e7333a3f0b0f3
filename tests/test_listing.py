"""Listings, version 1 and 2, beside a model that does the same in memory."""

import concurrent.futures

import pytest

import harness
from conftest import fresh_name
from content import ODD_KEYS, refused

KEYS = sorted(
    [f"a/{n}" for n in range(10)]
    + ["a", "a0", "b/c/d", "b/c/e", "b/x", "with space/1", "plus+/1", "ü/1", "z"]
    + [key for key in ODD_KEYS if len(key) < 100],
    key=lambda key: key.encode(),
)


@pytest.fixture(scope="module")
def filled(s3):
    name = fresh_name("listing")
    s3.create_bucket(Bucket=name)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=name, Key=key, Body=key.encode()), KEYS))
    return name


if harness.FOREIGN:
    # A store over a file system keeps no such names; here the tests are on trial, not that store.
    KEYS = [key for key in KEYS if not any(sign in key for sign in ("..", "//", "./", "\\")) and key.strip("/") == key]
    KEYS = [key for key in KEYS if key not in ("a",)]


def model(prefix="", delimiter="", after=""):
    """What S3 lists: keys and common prefixes, in one order by UTF-8 bytes."""
    found = []
    for key in KEYS:
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        entry = key
        if delimiter and delimiter in rest:
            entry = prefix + rest[: rest.index(delimiter) + len(delimiter)]
        if key.encode() > after.encode() and entry not in found:
            found.append(entry)
    return found


def entries(page):
    found = [entry["Key"] for entry in page.get("Contents", [])]
    found += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
    return found


def merged(pages):
    return sorted((entry for page in pages for entry in entries(page)), key=lambda key: key.encode())


CASES = [
    ("", ""), ("", "/"), ("a", ""), ("a/", "/"), ("a", "/"), ("b/", "/"), ("b/c/", "/"), ("b/c", "/"),
    ("with ", "/"), ("plus+", ""), ("ü", "/"), ("nothing", "/"), ("", "c/"), ("", "0"), ("..", "/"), ("/", "/"),
]


@pytest.mark.parametrize("prefix, delimiter", CASES)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_version_2_pages_follow_each_other(s3, filled, prefix, delimiter, size):
    pages = []
    token = {}
    while True:
        page = s3.list_objects_v2(Bucket=filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size, **token)
        assert page["KeyCount"] == len(entries(page)) <= size
        pages.append(page)
        assert len(pages) <= len(KEYS) + 1, "the listing does not come to its end"
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert merged(pages) == model(prefix, delimiter)
    assert sum(len(entries(page)) for page in pages) == len(model(prefix, delimiter)), "an entry came twice"


@pytest.mark.parametrize("prefix, delimiter", CASES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_version_1_pages_follow_each_other(s3, filled, prefix, delimiter, size):
    pages = []
    marker = ""
    while True:
        page = s3.list_objects(Bucket=filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size, Marker=marker)
        pages.append(page)
        assert len(pages) <= len(KEYS) + 1, "the listing does not come to its end"
        if not page["IsTruncated"]:
            break
        last = max(entries(page), key=lambda key: key.encode())
        # Without a delimiter S3 leaves the marker to the caller: the last key.
        marker = page.get("NextMarker", last)
        assert marker == last
    assert merged(pages) == model(prefix, delimiter)


@pytest.mark.parametrize("after", ["", "a", "a/5", "b/c", "zzzz", "ü"])
def test_a_listing_starts_after_a_key(s3, filled, after):
    page = s3.list_objects_v2(Bucket=filled, StartAfter=after)
    assert entries(page) == model(after=after)


def test_an_entry_tells_size_etag_and_time(s3, filled):
    page = s3.list_objects_v2(Bucket=filled)
    for entry in page["Contents"]:
        assert entry["Size"] == len(entry["Key"].encode())
        head = s3.head_object(Bucket=filled, Key=entry["Key"])
        assert entry["ETag"] == head["ETag"]
        assert abs((entry["LastModified"] - head["LastModified"]).total_seconds()) < 1
        assert entry["StorageClass"] == "STANDARD"
        assert "Owner" not in entry


def test_the_owner_is_told_when_asked_for(s3, filled):
    page = s3.list_objects_v2(Bucket=filled, FetchOwner=True, MaxKeys=1)
    assert page["Contents"][0]["Owner"]["ID"]
    assert s3.list_objects(Bucket=filled, MaxKeys=1)["Contents"][0]["Owner"]["ID"]


def test_names_come_encoded_when_asked_for(server, filled):
    import sigv4

    query = [("encoding-type", "url"), ("list-type", "2"), ("prefix", "with ")]
    reply = sigv4.request(server.s3_url, "GET", f"/{filled}", query=query)
    assert reply.status == 200
    assert b"<EncodingType>url</EncodingType>" in reply.body
    assert b"<Key>with+space" in reply.body or b"<Key>with%20space" in reply.body


def test_no_keys_asked_for_none_told(s3, filled):
    page = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)


def test_a_page_has_at_most_a_thousand(s3, bucket):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket=bucket, Key=f"{n:05}", Body=b""), range(1005)))
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert len(page["Contents"]) == 1000 and page["IsTruncated"]
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"])
    assert [entry["Key"] for entry in rest["Contents"]] == [f"{n:05}" for n in range(1000, 1005)]


@pytest.mark.ours
def test_a_continuation_token_that_we_never_gave_is_refused(s3, filled):
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=filled, ContinuationToken="not one of ours!")


def test_a_listing_goes_on_past_a_deleted_key(s3, bucket):
    for n in range(6):
        s3.put_object(Bucket=bucket, Key=f"k{n}", Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=3)
    s3.delete_object(Bucket=bucket, Key="k2")
    s3.delete_object(Bucket=bucket, Key="k3")
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"])
    assert entries(rest) == ["k4", "k5"]
