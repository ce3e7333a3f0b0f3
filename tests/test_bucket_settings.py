"""Settings of buckets with boto3: tags, public access block, ownership, ACLs, policy, lifecycle and notification documents."""

import base64
import datetime
import json

import pytest

import sigv4
from conftest import fresh_name
from content import refused

GONE = {
    "tagging": ("get_bucket_tagging", "NoSuchTagSet"),
    "policy": ("get_bucket_policy", "NoSuchBucketPolicy"),
    "status": ("get_bucket_policy_status", "NoSuchBucketPolicy"),
    "cors": ("get_bucket_cors", "NoSuchCORSConfiguration"),
    "lifecycle": ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
}


@pytest.mark.parametrize("setting", sorted(GONE))
def test_what_is_not_set_is_answered_with_the_code_of_that_setting(s3, bucket, setting):
    method, code = GONE[setting]
    with refused(code, 404):
        getattr(s3, method)(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        getattr(s3, method)(Bucket=fresh_name())


def tag_set(count, value="v"):
    return {"TagSet": [{"Key": f"key-{number}", "Value": value} for number in range(count)]}


def test_tags_of_a_bucket_are_replaced_as_a_whole_and_removed(s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(3))
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set(3)["TagSet"]
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(50, "größe/1 +=.:@_-"))
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set(50, "größe/1 +=.:@_-")["TagSet"]
    s3.delete_bucket_tagging(Bucket=bucket)
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=bucket)
    s3.delete_bucket_tagging(Bucket=bucket)


@pytest.mark.parametrize(
    "tags, code",
    [
        (tag_set(51)["TagSet"], "BadRequest"),
        ([{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}], "InvalidTag"),
        ([{"Key": "k" * 129, "Value": ""}], "InvalidTag"),
        ([{"Key": "k", "Value": "v" * 257}], "InvalidTag"),
        ([{"Key": "aws:k", "Value": ""}], "InvalidTag"),
        ([{"Key": "a<b", "Value": ""}], "InvalidTag"),
    ],
)
def test_tags_that_no_bucket_can_have_are_refused(s3, bucket, tags, code):
    with refused(code, 400):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=bucket)


@pytest.mark.ours
def test_settings_survive_a_crash_and_go_with_their_bucket(start):
    server = start()
    s3 = server.client()
    s3.create_bucket(Bucket="kept")
    s3.create_bucket(Bucket="dropped")
    for name in ("kept", "dropped"):
        s3.put_bucket_tagging(Bucket=name, Tagging=tag_set(2))
    s3.delete_bucket(Bucket="dropped")
    server.kill()
    s3 = server.start().client()
    assert s3.get_bucket_tagging(Bucket="kept")["TagSet"] == tag_set(2)["TagSet"]
    s3.create_bucket(Bucket="dropped")
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket="dropped")


def test_a_new_bucket_blocks_public_access_and_the_block_can_be_changed_and_removed(s3, bucket):
    def block():
        return s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]

    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    assert block() == dict.fromkeys(names, True)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    assert block() == dict.fromkeys(names, False) | {"BlockPublicAcls": True}
    s3.delete_public_access_block(Bucket=bucket)
    with refused("NoSuchPublicAccessBlockConfiguration", 404):
        block()
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(names, True))
    assert block() == dict.fromkeys(names, True)


def test_objects_belong_to_the_bucket_and_nothing_else_can_be_set(s3, bucket):
    def rules():
        return s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]

    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert rules() == enforced["Rules"]
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)
    for other in ("BucketOwnerPreferred", "ObjectWriter"):
        with refused("NotImplemented", 501):
            s3.put_bucket_ownership_controls(
                Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": other}]}
            )
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    with refused("OwnershipControlsNotFoundError", 404):
        rules()
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)
    assert rules() == enforced["Rules"]


def test_lists_that_grant_nothing_to_others_are_taken_and_the_rest_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    for acl in ("private", "bucket-owner-full-control"):
        s3.put_object_acl(Bucket=bucket, Key="key", ACL=acl)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    for acl in ("public-read", "public-read-write", "authenticated-read"):
        with refused("AccessControlListNotSupported", 400):
            s3.put_bucket_acl(Bucket=bucket, ACL=acl)
        with refused("AccessControlListNotSupported", 400):
            s3.put_object_acl(Bucket=bucket, Key="key", ACL=acl)
    with refused("AccessControlListNotSupported", 400):
        s3.put_bucket_acl(Bucket=bucket, GrantRead="uri=http://acs.amazonaws.com/groups/global/AllUsers")
    # What was read can be set.
    acl = s3.get_bucket_acl(Bucket=bucket)
    own = {"Owner": acl["Owner"], "Grants": acl["Grants"]}
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=own)
    everybody = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
    public = {"Owner": acl["Owner"], "Grants": [{"Grantee": everybody, "Permission": "READ"}]}
    with refused("AccessControlListNotSupported", 400):
        s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=public)
    with refused("NoSuchKey", 404):
        s3.put_object_acl(Bucket=bucket, Key="missing", ACL="private")
    with refused("NoSuchBucket", 404):
        s3.put_bucket_acl(Bucket=fresh_name(), ACL="private")


def policy(bucket, **changes):
    statement = {
        "Sid": "one",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{bucket}/kept/*",
    } | changes
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=1)


def test_a_policy_is_given_back_as_it_was_set(s3, bucket):
    text = policy(bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == text
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False
    s3.delete_bucket_policy(Bucket=bucket)
    with refused("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket=bucket)


def test_a_public_policy_needs_the_block_to_be_off(s3, bucket):
    public = policy(bucket, Effect="Allow", Action="s3:GetObject")
    with refused("AccessDenied", 403):
        s3.put_bucket_policy(Bucket=bucket, Policy=public)
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=public)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    s3.delete_bucket_policy(Bucket=bucket)


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "{}",
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}',
        json.dumps({"Version": "2012-10-17", "Statement": [], "Unknown": 1}),
        policy("bucket") + " " * 20481,
    ],
)
def test_a_policy_that_is_none_is_refused(s3, bucket, text):
    with refused("MalformedPolicy", 400):
        s3.put_bucket_policy(Bucket=bucket, Policy=text)


def test_a_policy_says_nothing_of_other_buckets(s3, bucket):
    with refused("MalformedPolicy", 400):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(fresh_name()))


FULL = [
    {
        "ID": "logs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 30},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    },
    {
        "ID": "tagged",
        "Status": "Disabled",
        "Filter": {
            "And": {
                "Prefix": "p/",
                "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}],
                "ObjectSizeGreaterThan": 10,
                "ObjectSizeLessThan": 20,
            }
        },
        "Expiration": {"Date": datetime.datetime(2031, 1, 1, tzinfo=datetime.timezone.utc)},
    },
    {"ID": "one tag", "Status": "Enabled", "Filter": {"Tag": {"Key": "a", "Value": "1"}}, "Expiration": {"Days": 1}},
    {"ID": "sizes", "Status": "Enabled", "Filter": {"ObjectSizeLessThan": 5}, "Expiration": {"Days": 1}},
    {"ID": "markers", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
    {"ID": "old style", "Status": "Enabled", "Prefix": "old/", "Expiration": {"Days": 2}},
]


def put_rules(s3, bucket, *rules):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def test_lifecycle_rules_of_every_shape_come_back_as_they_were_set(s3, bucket):
    put_rules(s3, bucket, *FULL)
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == FULL
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with refused("NoSuchLifecycleConfiguration", 404):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_the_smallest_size_of_a_transition_is_kept_and_told(s3, bucket):
    name = "TransitionDefaultMinimumObjectSize"
    configuration = {"Bucket": bucket, "LifecycleConfiguration": {"Rules": [rule()]}}
    for given, told in (
        ({}, "all_storage_classes_128K"),
        ({name: "varies_by_storage_class"}, "varies_by_storage_class"),
        ({name: "all_storage_classes_128K"}, "all_storage_classes_128K"),
    ):
        assert s3.put_bucket_lifecycle_configuration(**configuration, **given)[name] == told
        assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)[name] == told
    with refused("InvalidArgument", 400):
        s3.put_bucket_lifecycle_configuration(**configuration, **{name: "none"})


def rule(**changes):
    return {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}} | changes


def test_a_rule_without_an_id_gets_one(s3, bucket):
    unnamed = rule()
    del unnamed["ID"]
    put_rules(s3, bucket, unnamed, unnamed | {"Filter": {"Prefix": "x"}})
    ids = [rule["ID"] for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]]
    assert len(set(ids)) == 2 and all(ids)


def without(given, name):
    return {key: value for key, value in given.items() if key != name}


@pytest.mark.parametrize(
    "rules, code",
    [
        ([rule(Expiration={"Days": 0})], "InvalidArgument"),
        ([rule(Expiration={"Days": -1})], "InvalidArgument"),
        ([rule(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True})], "MalformedXML"),
        ([rule(Expiration={"Date": datetime.datetime(2031, 1, 1, 1, 0)})], "InvalidArgument"),
        ([rule(ID="x" * 256)], "InvalidArgument"),
        ([rule(), rule()], "InvalidArgument"),
        ([without(rule(), "Expiration")], "InvalidRequest"),
        ([without(rule(), "Filter")], "MalformedXML"),
        ([rule(Status="Maybe")], "MalformedXML"),
        ([rule(Prefix="also")], "MalformedXML"),
        ([rule(NoncurrentVersionExpiration={"NoncurrentDays": 0})], "InvalidArgument"),
        (
            [rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 101})],
            "InvalidArgument",
        ),
        ([rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0})], "InvalidArgument"),
        (
            [
                rule(
                    Filter={"Tag": {"Key": "a", "Value": "b"}},
                    AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1},
                )
            ],
            "InvalidRequest",
        ),
        ([rule(Filter={"And": {"Prefix": "only one"}})], "MalformedXML"),
        ([rule(Filter={"Prefix": "x" * 1025})], "InvalidRequest"),
        ([rule(ID=str(number)) for number in range(1001)], "MalformedXML"),
    ],
)
def test_lifecycle_rules_that_mean_nothing_are_refused(s3, bucket, rules, code):
    with refused(code, 400):
        put_rules(s3, bucket, *rules)
    with refused("NoSuchLifecycleConfiguration", 404):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


@pytest.mark.ours
def test_transitions_are_refused_in_so_many_words(s3, bucket):
    transition = {"Days": 1, "StorageClass": "GLACIER"}
    with refused("NotImplemented", 501):
        put_rules(s3, bucket, rule(Transitions=[transition]))


def test_reads_and_writes_tell_when_an_object_expires(s3, bucket):
    put_rules(s3, bucket, rule(ID="to be told", Filter={"Prefix": "logs/"}, Expiration={"Days": 2}))
    written = s3.put_object(Bucket=bucket, Key="logs/a", Body=b"x")
    head = s3.head_object(Bucket=bucket, Key="logs/a")
    day = head["LastModified"].date() + datetime.timedelta(days=3)
    expected = f'expiry-date="{day:%a, %d %b %Y} 00:00:00 GMT", rule-id="to+be+told"'
    for reply in (written, head, s3.get_object(Bucket=bucket, Key="logs/a")):
        assert reply["Expiration"] == expected
    copied = s3.copy_object(Bucket=bucket, Key="logs/b", CopySource={"Bucket": bucket, "Key": "logs/a"})
    assert copied["Expiration"] == expected
    upload = {"Bucket": bucket, "Key": "logs/c"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = {"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]}
    for _ in range(2):
        # A completion that is sent again is answered alike.
        done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
        assert done["Expiration"] == expected
    source = {"Bucket": bucket, "Key": "logs/a"}
    assert "Expiration" not in s3.copy_object(Bucket=bucket, Key="other", CopySource=source)
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="other", Body=b"x")


def test_copies_and_completions_tell_what_their_tags_make_of_them(s3, bucket):
    put_rules(s3, bucket, rule(ID="tagged", Filter={"Tag": {"Key": "a", "Value": "1"}}, Expiration={"Days": 2}))
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"x", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "tagged"}
    assert "tagged" in s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["Expiration"]
    itself = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source | {"Key": "copy"}, ServerSideEncryption="aws:kms")
    assert "tagged" in itself["Expiration"]
    other = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="a=2")
    assert "Expiration" not in other
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, Tagging="a=1")["UploadId"]
    part = {"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]}
    assert "tagged" in s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})["Expiration"]


def test_no_notifications_are_an_empty_configuration(s3, bucket):
    def queues():
        return s3.get_bucket_notification_configuration(Bucket=bucket).get("QueueConfigurations", [])

    assert queues() == []
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert queues() == []
    for arn in ("arn:strongroom:sqs::nowhere:webhook", "arn:aws:sqs:us-east-1:1:queue", "nothing"):
        queue = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
        with refused("InvalidArgument", 400):
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
            )
    topic = {"TopicArn": "arn:aws:sns:us-east-1:1:topic", "Events": ["s3:ObjectCreated:*"]}
    with refused("NotImplemented", 501):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [topic]}
        )


@pytest.mark.parametrize("header, length", [("content-md5", 16), ("x-amz-checksum-sha256", 32)])
def test_a_document_that_is_not_the_one_its_header_says_is_refused(server, bucket, header, length):
    document = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    wrong = base64.b64encode(bytes(length)).decode()
    query = [("tagging", "")]
    reply = sigv4.request(
        server.s3_url, "PUT", f"/{bucket}", query=query, body=document, headers={header: wrong}
    )
    assert reply.status == 400 and b"BadDigest" in reply.body
    assert b"NoSuchTagSet" in sigv4.request(server.s3_url, "GET", f"/{bucket}", query=query).body


OFF = {
    "put_bucket_accelerate_configuration": {"AccelerateConfiguration": {"Status": "Suspended"}},
    "put_bucket_request_payment": {"RequestPaymentConfiguration": {"Payer": "BucketOwner"}},
    "put_bucket_logging": {"BucketLoggingStatus": {}},
    "delete_bucket_website": {},
    "delete_bucket_replication": {},
}
ON = {
    "put_bucket_accelerate_configuration": {"AccelerateConfiguration": {"Status": "Enabled"}},
    "put_bucket_request_payment": {"RequestPaymentConfiguration": {"Payer": "Requester"}},
    "put_bucket_logging": {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "b", "TargetPrefix": "p"}}},
}
LISTS = {
    "list_bucket_analytics_configurations": "AnalyticsConfigurationList",
    "list_bucket_intelligent_tiering_configurations": "IntelligentTieringConfigurationList",
    "list_bucket_inventory_configurations": "InventoryConfigurationList",
    "list_bucket_metrics_configurations": "MetricsConfigurationList",
}


@pytest.mark.parametrize("method", OFF)
def test_what_no_bucket_has_can_be_switched_off(s3, bucket, method):
    getattr(s3, method)(Bucket=bucket, **OFF[method])
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        getattr(s3, method)(Bucket=fresh_name(), **OFF[method])


@pytest.mark.ours
@pytest.mark.parametrize("method", ON)
def test_what_no_bucket_has_cannot_be_switched_on(s3, bucket, method):
    with refused("NotImplemented", 501):
        getattr(s3, method)(Bucket=bucket, **ON[method])


@pytest.mark.parametrize("method", LISTS)
def test_configurations_that_no_bucket_has_are_an_empty_list(s3, bucket, method):
    found = getattr(s3, method)(Bucket=bucket)
    assert LISTS[method] not in found and found["IsTruncated"] is False
    with refused("NoSuchBucket", 404):
        getattr(s3, method)(Bucket=fresh_name())
