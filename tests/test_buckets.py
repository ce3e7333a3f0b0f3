"""Buckets with boto3."""

import pytest

import sigv4
from conftest import fresh_name
from content import refused


def test_a_bucket_is_made_found_listed_and_deleted(s3):
    name = fresh_name()
    s3.create_bucket(Bucket=name)
    s3.head_bucket(Bucket=name)
    assert name in names(s3)
    s3.delete_bucket(Bucket=name)
    assert name not in names(s3)
    with refused("404", 404):
        s3.head_bucket(Bucket=name)
    with refused("NoSuchBucket", 404):
        s3.delete_bucket(Bucket=name)


def names(s3):
    return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_listing_tells_owner_and_creation_time_and_is_sorted(s3, bucket):
    reply = s3.list_buckets()
    assert reply["Owner"]["ID"]
    assert names(s3) == sorted(names(s3))
    made = next(b for b in reply["Buckets"] if b["Name"] == bucket)
    assert made["CreationDate"].year >= 2024


def test_making_ones_own_bucket_again_changes_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    with refused({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}, 409):
        s3.create_bucket(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"


def test_a_bucket_with_an_object_is_not_deleted(s3, bucket):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="kept")
    s3.delete_bucket(Bucket=bucket)


@pytest.mark.ours
@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "-dash", "a..b", "192.168.5.4", "x" * 64])
def test_a_name_that_s3_does_not_allow_is_refused(server, name):
    reply = sigv4.request(server.s3_url, "PUT", f"/{name}")
    assert reply.status == 400 and b"<Code>InvalidBucketName</Code>" in reply.body, reply.body


def test_the_region_is_told(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket).get("LocationConstraint") in (None, "us-east-1")


def test_a_bucket_made_again_after_deletion_is_empty(s3, bucket):
    s3.put_object(Bucket=bucket, Key="old", Body=b"old")
    s3.delete_object(Bucket=bucket, Key="old")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    "operation, arguments",
    [
        ("get_object", {"Key": "k"}),
        ("put_object", {"Key": "k", "Body": b"x"}),
        ("delete_object", {"Key": "k"}),
        ("list_objects_v2", {}),
        ("list_objects", {}),
        ("create_multipart_upload", {"Key": "k"}),
        ("list_multipart_uploads", {}),
        ("get_bucket_location", {}),
    ],
)
def test_every_operation_names_a_missing_bucket(s3, operation, arguments):
    with refused("NoSuchBucket", 404):
        getattr(s3, operation)(Bucket="no-such-bucket", **arguments)


@pytest.mark.parametrize("locked", [False, True])
def test_a_bucket_is_made_with_tags(s3, locked):
    name = fresh_name()
    tags = [{"Key": "team", "Value": "blue"}, {"Key": "größe", "Value": ""}]
    configuration = {"Tags": tags}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=configuration, ObjectLockEnabledForBucket=locked)
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tags
    s3.delete_bucket(Bucket=name)


def test_no_tags_of_a_new_bucket_are_none(s3):
    name = fresh_name()
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": []})
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=name)


def test_tags_that_no_bucket_can_have_make_none(s3):
    name = fresh_name()
    for tags in ([{"Key": "aws:k", "Value": ""}], [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]):
        with refused("InvalidTag", 400):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": tags})
    with refused("404", 404):
        s3.head_bucket(Bucket=name)


def test_a_configuration_of_a_directory_bucket_makes_none(s3):
    name = fresh_name()
    directory = {"Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"}}
    with refused("NotImplemented", 501):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=directory)
    with refused("404", 404):
        s3.head_bucket(Bucket=name)


def test_a_bucket_is_made_with_no_access_control_list_that_grants(s3):
    name = fresh_name()
    everybody = "uri=http://acs.amazonaws.com/groups/global/AllUsers"
    for acl in ({"ACL": "public-read"}, {"ACL": "authenticated-read"}, {"GrantRead": everybody}):
        with refused("InvalidBucketAclWithObjectOwnership", 400):
            s3.create_bucket(Bucket=name, **acl)
    s3.create_bucket(Bucket=name, ACL="private")


def test_a_digest_of_a_new_buckets_configuration_is_verified(server):
    body = b"<CreateBucketConfiguration/>"
    headers = {"x-amz-checksum-crc32": "AAAAAA=="}
    reply = sigv4.request(server.s3_url, "PUT", "/" + fresh_name(), headers=headers, body=body)
    assert reply.status == 400 and b"<Code>BadDigest</Code>" in reply.body, reply.body


def test_buckets_of_another_region_are_none(s3, bucket):
    assert bucket in [found["Name"] for found in s3.list_buckets(BucketRegion="us-east-1")["Buckets"]]
    assert s3.list_buckets(BucketRegion="eu-west-1").get("Buckets", []) == []
