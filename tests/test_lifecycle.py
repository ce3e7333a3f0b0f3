"""The lifecycle worker in a running server. Days are tested beside the code, under a clock; here a date in the past stands for them."""

import datetime
import time

import pytest

pytestmark = pytest.mark.ours
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


def eventually(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def keys(s3, bucket):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def expire(s3, bucket, **changes):
    rule = {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "gone/"}, "Expiration": {"Date": PAST}} | changes
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})


def test_what_a_new_rule_means_goes_and_nothing_else(s3, bucket):
    for key in ("gone/a", "gone/b", "kept/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 50_000)
    expire(s3, bucket)
    eventually(lambda: keys(s3, bucket) == ["kept/a"])


def test_tags_choose_what_goes(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="kind=temporary&more=1")
    s3.put_object(Bucket=bucket, Key="b", Body=b"x", Tagging="kind=lasting")
    expire(s3, bucket, Filter={"Tag": {"Key": "kind", "Value": "temporary"}})
    eventually(lambda: keys(s3, bucket) == ["b"])


def test_with_versions_objects_are_hidden_and_lone_markers_go(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="gone/a", Body=b"x")["VersionId"]
    expire(s3, bucket)
    eventually(lambda: keys(s3, bucket) == [])
    assert s3.get_object(Bucket=bucket, Key="gone/a", VersionId=version)["Body"].read() == b"x"
    listed = s3.list_object_versions(Bucket=bucket)
    assert [marker["IsLatest"] for marker in listed["DeleteMarkers"]] == [True]
    s3.delete_object(Bucket=bucket, Key="gone/a", VersionId=version)
    expire(s3, bucket, Expiration={"ExpiredObjectDeleteMarker": True})
    eventually(lambda: not s3.list_object_versions(Bucket=bucket).get("DeleteMarkers"))


def test_a_rule_that_is_off_does_nothing(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="gone/a", Body=b"x")
    expire(s3, bucket, Status="Disabled")
    # Another bucket's rule, which is set later, shows that the worker came by.
    other = f"{bucket}-other"
    s3.create_bucket(Bucket=other)
    s3.put_object(Bucket=other, Key="gone/a", Body=b"x")
    expire(s3, other)
    eventually(lambda: keys(s3, other) == [])
    assert keys(s3, bucket) == ["gone/a"]
    assert server.metric("strongroom_lifecycle_expired_total", what="current") >= 1
