"""Object lock: bucket configuration, retention, legal hold, and what they keep from being deleted."""

import datetime

import pytest

from conftest import fresh_name
from content import data, read, refused
from people import User, statement

LOCKED = "Access Denied because object protected by object lock."


def later(**ahead):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ahead)).replace(microsecond=0)


@pytest.fixture
def locked(s3):
    """A bucket with object lock."""
    name = fresh_name("lock")
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def put(s3, bucket, key="k", **arguments):
    return s3.put_object(Bucket=bucket, Key=key, Body=b"x", **arguments)["VersionId"]


def retain(s3, bucket, version, mode, until, **arguments):
    retention = {"Mode": mode, "RetainUntilDate": until} if mode else {}
    return s3.put_object_retention(
        Bucket=bucket, Key="k", VersionId=version, Retention=retention, **arguments
    )


def remove(s3, bucket, version, **arguments):
    return s3.delete_object(Bucket=bucket, Key="k", VersionId=version, **arguments)


def test_lock_comes_with_versioning_and_stays(s3, locked):
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    shown = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert shown == {"ObjectLockEnabled": "Enabled"}
    with refused("InvalidBucketState", 409):
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Enabled"})


def test_configuration_is_given_back_as_it_was_set(s3, locked):
    for retention in ({"Mode": "GOVERNANCE", "Days": 3}, {"Mode": "COMPLIANCE", "Years": 2}):
        configuration = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
        s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=configuration)
        assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == configuration
    for wrong, code in (
        ({"Mode": "GOVERNANCE", "Days": 0}, "InvalidArgument"),
        ({"Mode": "GOVERNANCE", "Years": 101}, "InvalidArgument"),
        ({"Mode": "GOVERNANCE", "Days": 1, "Years": 1}, "MalformedXML"),
        ({"Mode": "OTHER", "Days": 1}, "MalformedXML"),
        ({"Mode": "GOVERNANCE"}, "MalformedXML"),
    ):
        with refused(code, 400):
            s3.put_object_lock_configuration(
                Bucket=locked,
                ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": wrong}},
            )


def test_buckets_without_lock_say_so(s3, bucket):
    with refused("ObjectLockConfigurationNotFoundError", 404):
        s3.get_object_lock_configuration(Bucket=bucket)
    with refused("InvalidRequest", 400) as answer:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ObjectLockLegalHoldStatus="ON")
    assert answer.response["Error"]["Message"] == "Bucket is missing Object Lock Configuration"
    with refused("InvalidRequest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ObjectLockLegalHoldStatus="OFF")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for ask in (s3.get_object_retention, s3.get_object_legal_hold):
        with refused("InvalidRequest", 400):
            ask(Bucket=bucket, Key="k")
    with refused("InvalidBucketState", 409):
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    s3.put_object_legal_hold(Bucket=bucket, Key="k", VersionId="null", LegalHold={"Status": "ON"})
    with refused("AccessDenied", 403):
        s3.delete_object(Bucket=bucket, Key="k", VersionId="null")


def test_new_versions_have_the_retention_of_their_bucket(s3, locked):
    s3.put_object_lock_configuration(
        Bucket=locked,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        },
    )
    version = put(s3, locked)
    for operation in (s3.head_object, s3.get_object):
        shown = operation(Bucket=locked, Key="k")
        assert shown["ObjectLockMode"] == "GOVERNANCE"
        assert later(hours=23) < shown["ObjectLockRetainUntilDate"] < later(hours=25)
        assert "ObjectLockLegalHoldStatus" not in shown
    own = put(s3, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=later(seconds=30))
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockMode"] == "COMPLIANCE"
    copied = s3.copy_object(
        Bucket=locked, Key="k", CopySource={"Bucket": locked, "Key": "k", "VersionId": own}
    )["VersionId"]
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockMode"] == "GOVERNANCE", "locks are not copied"
    for kept in (version, copied):
        with refused("AccessDenied", 403) as answer:
            remove(s3, locked, kept)
        assert answer.response["Error"]["Message"] == LOCKED
        remove(s3, locked, kept, BypassGovernanceRetention=True)


def test_delete_markers_come_and_go_over_what_is_locked(s3, locked):
    version = put(s3, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=later(days=1))
    marker = s3.delete_object(Bucket=locked, Key="k")
    assert marker["DeleteMarker"] is True
    remove(s3, locked, marker["VersionId"])
    with refused("AccessDenied", 403):
        remove(s3, locked, version, BypassGovernanceRetention=True)
    reply = s3.delete_objects(
        Bucket=locked,
        Delete={"Objects": [{"Key": "k", "VersionId": version}, {"Key": "other"}]},
        BypassGovernanceRetention=True,
    )
    assert [(e["Key"], e["Code"]) for e in reply["Errors"]] == [("k", "AccessDenied")]
    assert [d["Key"] for d in reply["Deleted"]] == ["other"]
    assert read(s3.get_object(Bucket=locked, Key="k")) == b"x"


def test_retention_is_extended_and_hardly_shortened(s3, locked):
    version = put(s3, locked)
    with refused("NoSuchObjectLockConfiguration", 404):
        s3.get_object_retention(Bucket=locked, Key="k")
    until = later(days=2)
    retain(s3, locked, version, "GOVERNANCE", until)
    shown = s3.get_object_retention(Bucket=locked, Key="k", VersionId=version)["Retention"]
    assert (shown["Mode"], shown["RetainUntilDate"]) == ("GOVERNANCE", until)
    retain(s3, locked, version, "GOVERNANCE", later(days=3))
    with refused("AccessDenied", 403):
        retain(s3, locked, version, "GOVERNANCE", later(days=1))
    with refused("AccessDenied", 403):
        retain(s3, locked, version, None, None)
    retain(s3, locked, version, "GOVERNANCE", later(days=1), BypassGovernanceRetention=True)
    retain(s3, locked, version, None, None, BypassGovernanceRetention=True)
    retain(s3, locked, version, "COMPLIANCE", later(days=1))
    for mode, ahead in (("GOVERNANCE", 5), ("COMPLIANCE", 0.5), (None, 0)):
        with refused("AccessDenied", 403):
            retain(s3, locked, version, mode, later(days=ahead), BypassGovernanceRetention=True)
    retain(s3, locked, version, "COMPLIANCE", later(days=2))
    with refused("InvalidArgument", 400):
        retain(s3, locked, put(s3, locked), "GOVERNANCE", later(days=-1))


def test_a_legal_hold_keeps_until_it_is_taken_off(s3, locked):
    version = put(s3, locked, ObjectLockLegalHoldStatus="ON")
    hold = lambda: s3.get_object_legal_hold(Bucket=locked, Key="k", VersionId=version)["LegalHold"]["Status"]
    assert hold() == "ON"
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockLegalHoldStatus"] == "ON"
    with refused("AccessDenied", 403):
        remove(s3, locked, version, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(Bucket=locked, Key="k", VersionId=version, LegalHold={"Status": "OFF"})
    assert hold() == "OFF"
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockLegalHoldStatus"] == "OFF"
    remove(s3, locked, version)
    with refused("MalformedXML", 400):
        s3.put_object_legal_hold(Bucket=locked, Key="k", LegalHold={"Status": "other"})


def test_a_legal_hold_that_never_was_is_none_and_not_off(s3, locked):
    version = put(s3, locked)
    for asked in ({}, {"VersionId": version}):
        with refused("NoSuchObjectLockConfiguration", 404) as answer:
            s3.get_object_legal_hold(Bucket=locked, Key="k", **asked)
        message = answer.response["Error"]["Message"]
        assert message == "The specified object does not have a ObjectLock configuration"
    # Retention is something else, and so are tags.
    retain(s3, locked, version, "GOVERNANCE", later(days=1))
    s3.put_object_tagging(Bucket=locked, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    with refused("NoSuchObjectLockConfiguration", 404):
        s3.get_object_legal_hold(Bucket=locked, Key="k")
    s3.put_object_legal_hold(Bucket=locked, Key="k", VersionId=version, LegalHold={"Status": "OFF"})
    off = s3.put_object(Bucket=locked, Key="off", Body=b"x", ObjectLockLegalHoldStatus="OFF")
    for key in ("k", "off"):
        assert s3.get_object_legal_hold(Bucket=locked, Key=key)["LegalHold"] == {"Status": "OFF"}
        for show in (s3.head_object, s3.get_object):
            assert show(Bucket=locked, Key=key)["ObjectLockLegalHoldStatus"] == "OFF"
        for copy, directive in (("copy", "COPY"), (key, "REPLACE")):
            source = {"Bucket": locked, "Key": key}
            s3.copy_object(Bucket=locked, Key=copy, CopySource=source, MetadataDirective=directive)
            with refused("NoSuchObjectLockConfiguration", 404):
                s3.get_object_legal_hold(Bucket=locked, Key=copy)
    with refused("NoSuchVersion", 404):
        s3.get_object_legal_hold(Bucket=locked, Key="k", VersionId=off["VersionId"])


def test_who_may_not_ask_for_a_legal_hold_is_shown_none_whether_on_or_off(s3, locked, server):
    put(s3, locked, "on", ObjectLockLegalHoldStatus="ON")
    put(s3, locked, "off", ObjectLockLegalHoldStatus="OFF")
    objects = f"arn:aws:s3:::{locked}/*"
    user = User(server, fresh_name("reader"), statement("s3:GetObject", objects))
    client = user.client()
    for key in ("on", "off"):
        assert "ObjectLockLegalHoldStatus" not in client.head_object(Bucket=locked, Key=key)
    user.may(statement(["s3:GetObject", "s3:GetObjectLegalHold"], objects))
    for key in ("on", "off"):
        assert client.head_object(Bucket=locked, Key=key)["ObjectLockLegalHoldStatus"] == key.upper()
    user.gone()


def test_uploads_in_parts_are_locked_as_they_were_begun(s3, locked):
    upload = s3.create_multipart_upload(
        Bucket=locked, Key="k", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=later(days=1)
    )["UploadId"]
    part = s3.upload_part(Bucket=locked, Key="k", UploadId=upload, PartNumber=1, Body=data(1000))
    done = s3.complete_multipart_upload(
        Bucket=locked, Key="k", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    with refused("AccessDenied", 403):
        remove(s3, locked, done["VersionId"])
    remove(s3, locked, done["VersionId"], BypassGovernanceRetention=True)


def test_headers_of_locks_are_checked(s3, locked):
    for arguments in (
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockRetainUntilDate": later(days=1)},
        {"ObjectLockMode": "OTHER", "ObjectLockRetainUntilDate": later(days=1)},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later(days=-1)},
        {"ObjectLockLegalHoldStatus": "MAYBE"},
    ):
        with refused("InvalidArgument", 400):
            put(s3, locked, **arguments)
    assert s3.list_objects_v2(Bucket=locked)["KeyCount"] == 0


def test_an_event_hold_is_refused_and_not_dropped(s3, locked):
    version = put(s3, locked)
    for hold in ({"EventHold": "ON"}, {"EventHoldDuration": {"Days": 1}}):
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": later(days=1)} | hold
        with refused("NotImplemented", 501):
            s3.put_object_retention(Bucket=locked, Key="k", VersionId=version, Retention=retention)
    default = {"Mode": "GOVERNANCE", "Days": 1, "DefaultEventHold": {"Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": default}}
    with refused({"MalformedXML", "NotImplemented"}):
        s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=configuration)
    remove(s3, locked, version)
