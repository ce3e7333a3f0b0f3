"""Who may do what, with boto3: users and their policies, conditions, keys of the KMS, strangers."""

import json
import urllib.error
import urllib.request

import botocore
import pytest
from botocore.exceptions import ClientError

import forms
from people import User, refused, statement

pytestmark = pytest.mark.ours

BUCKET = "authorisation"
OBJECTS = f"arn:aws:s3:::{BUCKET}/*"


@pytest.fixture(scope="module")
def place(server):
    root = server.client()
    root.create_bucket(Bucket=BUCKET)
    root.put_object(Bucket=BUCKET, Key="public/a", Body=b"for all")
    root.put_object(Bucket=BUCKET, Key="secret/a", Body=b"for few", Tagging="project=red")
    yield root
    versions = root.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    for found in versions:
        root.delete_object(Bucket=BUCKET, Key=found["Key"])
    root.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def user(server, place):
    made = User(server, "tester", statement("s3:ListAllMyBuckets", "*"))
    yield made
    made.gone()


# Policies, and for each what may be done of these.
CALLS = {
    "list": lambda s3: s3.list_objects_v2(Bucket=BUCKET),
    "list public": lambda s3: s3.list_objects_v2(Bucket=BUCKET, Prefix="public/"),
    "get public": lambda s3: s3.get_object(Bucket=BUCKET, Key="public/a"),
    "get secret": lambda s3: s3.get_object(Bucket=BUCKET, Key="secret/a"),
    "head secret": lambda s3: s3.head_object(Bucket=BUCKET, Key="secret/a"),
    "put": lambda s3: s3.put_object(Bucket=BUCKET, Key="new", Body=b"x"),
    "put kms": lambda s3: s3.put_object(Bucket=BUCKET, Key="new", Body=b"x", ServerSideEncryption="aws:kms"),
    "tag": lambda s3: s3.put_object_tagging(Bucket=BUCKET, Key="public/a", Tagging={"TagSet": []}),
    "delete": lambda s3: s3.delete_object(Bucket=BUCKET, Key="never"),
    "location": lambda s3: s3.get_bucket_location(Bucket=BUCKET),
}
MATRIX = [
    ([], set()),
    ([statement("s3:*", ["arn:aws:s3:::*"])], set(CALLS) - {"put kms"}),
    ([statement(["s3:*", "kms:*"], "*")], set(CALLS)),
    (
        [statement("s3:*", "*"), statement("s3:*", f"arn:aws:s3:::{BUCKET}/secret/*", "Deny")],
        set(CALLS) - {"get secret", "head secret", "put kms"},
    ),
    ([statement("s3:GetObject", f"arn:aws:s3:::{BUCKET}/public/*")], {"get public"}),
    ([statement("s3:GetObject", "arn:aws:s3:::another/*")], set()),
    ([statement("s3:ListBucket", f"arn:aws:s3:::{BUCKET}")], {"list", "list public"}),
    (
        [statement("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", StringEquals={"s3:prefix": "public/"})],
        {"list public"},
    ),
    (
        [statement("s3:GetObject", OBJECTS, StringEquals={"s3:ExistingObjectTag/project": "red"})],
        {"get secret", "head secret"},
    ),
    (
        [
            statement(["s3:PutObject", "kms:GenerateDataKey"], "*"),
            statement("s3:PutObject", "*", "Deny", StringNotEquals={"s3:x-amz-server-side-encryption": "aws:kms"}),
        ],
        {"put kms"},
    ),
    ([statement("s3:GetObject", OBJECTS, IpAddress={"aws:SourceIp": "127.0.0.1/32"})],
     {"get public", "get secret", "head secret"}),
    ([statement("s3:GetObject", OBJECTS, Bool={"aws:SecureTransport": "true"})], set()),
    ([statement("s3:Get*", OBJECTS), statement("s3:GetBucket*", f"arn:aws:s3:::{BUCKET}")],
     {"get public", "get secret", "head secret", "location"}),
]


def test_the_matrix_of_policies_and_calls(user):
    s3 = user.client()
    for statements, allowed in MATRIX:
        user.may(*(statements or [statement("s3:ListAllMyBuckets", "*")]))
        for name, call in CALLS.items():
            if name in allowed:
                call(s3)
            else:
                assert refused(call, s3) in ("AccessDenied", "403"), (statements, name)


def test_a_batch_is_refused_object_by_object(user, place):
    place.put_object(Bucket=BUCKET, Key="mine/1", Body=b"x")
    user.may(statement("s3:DeleteObject", f"arn:aws:s3:::{BUCKET}/mine/*"))
    keys = [{"Key": "mine/1"}, {"Key": "secret/a"}]
    reply = user.client().delete_objects(Bucket=BUCKET, Delete={"Objects": keys})
    assert [found["Key"] for found in reply["Deleted"]] == ["mine/1"]
    assert [(found["Key"], found["Code"]) for found in reply["Errors"]] == [("secret/a", "AccessDenied")]
    assert place.get_object(Bucket=BUCKET, Key="secret/a")["Body"].read() == b"for few"


def test_a_user_sees_the_buckets_it_may_list(user, place):
    place.create_bucket(Bucket="authorisation-other")
    try:
        s3 = user.client()
        user.may(statement("s3:ListBucket", f"arn:aws:s3:::{BUCKET}"))
        assert [found["Name"] for found in s3.list_buckets()["Buckets"]] == [BUCKET]
        user.may(statement("s3:GetObject", OBJECTS))
        assert refused(s3.list_buckets) == "AccessDenied"
    finally:
        place.delete_bucket(Bucket="authorisation-other")


def test_what_is_missing_is_told_only_to_those_who_may_list(user):
    s3 = user.client()
    user.may(statement("s3:GetObject", OBJECTS))
    assert refused(s3.get_object, Bucket=BUCKET, Key="missing") == "AccessDenied"
    user.may(statement(["s3:GetObject", "s3:ListBucket"], "*"))
    assert refused(s3.get_object, Bucket=BUCKET, Key="missing") == "NoSuchKey"


def test_a_presigned_url_does_what_its_signer_may_when_it_is_used(user):
    user.may(statement("s3:GetObject", OBJECTS))
    url = user.client().generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "public/a"})
    with urllib.request.urlopen(url, timeout=30) as reply:
        assert reply.read() == b"for all"
    user.may(statement("s3:GetObject", OBJECTS, StringEquals={"s3:authType": "REST-HEADER"}))
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url, timeout=30)
    assert error.value.code == 403


def test_a_user_without_a_valid_key_is_nobody(user, server):
    wrong = server.client(access_key=user.access_key, secret_key="not the secret")
    assert refused(wrong.list_buckets) == "SignatureDoesNotMatch"
    unknown = server.client(access_key="SRNOBODY00000000001", secret_key="x" * 40)
    assert refused(unknown.list_buckets) == "InvalidAccessKeyId"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{server.s3_url}/{BUCKET}/public/a", timeout=30)
    assert error.value.code == 403


def test_a_policy_that_forbids_overwriting_binds_copies_as_well(user, place):
    writes = statement(["s3:PutObject", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging"], OBJECTS)
    overwrites = statement("s3:PutObject", OBJECTS, "Deny", Null={"s3:if-none-match": "true"})
    user.may(writes, overwrites)
    client = user.client()
    source = {"Bucket": BUCKET, "Key": "secret/a"}
    copy = lambda **conditions: client.copy_object(Bucket=BUCKET, Key="once", CopySource=source, **conditions)
    assert refused(copy) == "AccessDenied"
    assert refused(client.put_object, Bucket=BUCKET, Key="once", Body=b"x") == "AccessDenied"
    copy(IfNoneMatch="*")
    place.put_object(Bucket=BUCKET, Key="once", Body=b"precious")
    assert refused(copy, IfNoneMatch="*") == "PreconditionFailed"
    assert refused(copy, IfNoneMatch='"x"') == "NotImplemented"
    assert refused(copy, IfMatch="*") == "AccessDenied"
    assert place.get_object(Bucket=BUCKET, Key="once")["Body"].read() == b"precious"


def test_a_stranger_writes_where_a_policy_lets_it_but_begins_no_upload_in_parts(server):
    root = server.client()
    root.create_bucket(Bucket="strangers")
    root.delete_public_access_block(Bucket="strangers")
    everything = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::strangers/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    root.put_bucket_policy(Bucket="strangers", Policy=document)
    stranger = server.client(signature_version=botocore.UNSIGNED)
    stranger.put_object(Bucket="strangers", Key="k", Body=b"x")
    assert stranger.get_object(Bucket="strangers", Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="Anonymous users cannot initiate multipart uploads") as error:
        stranger.create_multipart_upload(Bucket="strangers", Key="k")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "Uploads" not in root.list_multipart_uploads(Bucket="strangers")
    stranger.delete_object(Bucket="strangers", Key="k")
    root.delete_bucket(Bucket="strangers")


def test_a_source_is_read_as_the_version_and_with_the_tags_that_it_has(server, user):
    root = server.client()
    root.create_bucket(Bucket="sources")
    root.put_bucket_versioning(Bucket="sources", VersioningConfiguration={"Status": "Enabled"})
    put = lambda colour: root.put_object(Bucket="sources", Key="k", Body=b"x", Tagging=f"project={colour}")["VersionId"]
    red, blue = put("red"), put("blue")
    # The target has the tag that the source does not have.
    root.put_object(Bucket=BUCKET, Key="target", Body=b"", Tagging="project=red")
    everything = "arn:aws:s3:::sources/*"
    writes = statement("s3:PutObject", OBJECTS)
    s3 = user.client()
    source = lambda version=None: {"Bucket": "sources", "Key": "k"} | ({"VersionId": version} if version else {})
    user.may(writes)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="target")["UploadId"]

    def may(version=None):
        """Whether it may be copied, which is the same for a whole object and for a part."""
        copy = dict(Bucket=BUCKET, Key="target", CopySource=source(version))
        told = set()
        for call, more in [
            (s3.copy_object, {"TaggingDirective": "REPLACE"}),
            (s3.upload_part_copy, {"UploadId": upload, "PartNumber": 1}),
        ]:
            try:
                call(**copy, **more)
                told.add("allowed")
            except ClientError as error:
                told.add(error.response["Error"]["Code"])
        (one,) = told
        return one

    assert may() == "AccessDenied"
    user.may(writes, statement("s3:GetObject", everything))
    assert (may(), may(red)) == ("allowed", "AccessDenied")
    user.may(writes, statement("s3:GetObjectVersion", everything))
    assert (may(), may(red)) == ("AccessDenied", "allowed")
    red_alone = {"StringEquals": {"s3:ExistingObjectTag/project": "red"}}
    user.may(writes, statement(["s3:GetObject", "s3:GetObjectVersion"], everything, **red_alone))
    assert (may(), may(red), may(blue)) == ("AccessDenied", "allowed", "AccessDenied")
    root.abort_multipart_upload(Bucket=BUCKET, Key="target", UploadId=upload)
    for version in (red, blue):
        root.delete_object(Bucket="sources", Key="k", VersionId=version)
    root.delete_bucket(Bucket="sources")


def test_a_form_writes_where_its_signer_may_whatever_its_file_is_called(user):
    user.may(statement("s3:PutObject", f"arn:aws:s3:::{BUCKET}/mine/*"))

    def sent(key, file_name, **fields):
        made = user.client().generate_presigned_post(
            BUCKET, key, Fields=fields, Conditions=[["starts-with", "$key", ""]] + [{k: v} for k, v in fields.items()]
        )
        return forms.send(made, b"x", name=file_name)[0]

    assert sent("mine/${filename}", "a.txt") == 204
    for key, file_name in [("${filename}", "secret/a"), ("${filename}", "a.txt"), ("secret/${filename}", "a")]:
        assert sent(key, file_name) == 403, key
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    for fields in [{"tagging": tags}, {"acl": "private"}, {"x-amz-object-lock-legal-hold": "ON"}]:
        assert sent("mine/a.txt", "a.txt", **fields) == 403, fields


def test_a_link_does_what_it_was_signed_for_alone(user):
    user.may(statement(["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectAcl", "s3:GetObject"], OBJECTS))
    url = user.client().generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "link"})

    def put(**headers):
        request = urllib.request.Request(url, data=b"x", method="PUT")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    assert put() == 200
    for added in [
        {"x_amz_copy_source": f"{BUCKET}/secret/a"}, {"x_amz_tagging": "a=b"}, {"x_amz_meta_a": "b"},
        {"x_amz_acl": "private"}, {"x_amz_storage_class": "STANDARD_IA"},
    ]:
        assert put(**added) == 403, added


def test_a_name_with_dots_is_a_name_of_its_own(user, place):
    s3 = user.client()
    user.may(statement(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"arn:aws:s3:::{BUCKET}/public/*"))
    for name in ("public/../secret/a", "public/%2e%2e/secret/a", "public//../secret/a"):
        assert refused(s3.get_object, Bucket=BUCKET, Key=name) == "AccessDenied", "it is not there"
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"overwritten")
        s3.delete_object(Bucket=BUCKET, Key=name)
    for name in ("secret/a", "secret/../public/a", "Public/a", "public"):
        assert refused(s3.get_object, Bucket=BUCKET, Key=name) == "AccessDenied", name
    assert place.get_object(Bucket=BUCKET, Key="secret/a")["Body"].read() == b"for few"
