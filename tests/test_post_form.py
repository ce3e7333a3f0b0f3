"""Uploads with HTML forms, as boto3's `generate_presigned_post` prepares them for browsers."""

import urllib.parse

import pytest

from content import ALGORITHMS, MIB, checksum, data
from forms import code, send
from people import User, statement


@pytest.mark.parametrize("size", [0, 10, 5 * MIB + 1])
def test_a_form_uploads(s3, bucket, size):
    form = s3.generate_presigned_post(bucket, "from/form")
    status, headers, text = send(form, data(size))
    assert (status, text) == (204, ""), text
    stored = s3.get_object(Bucket=bucket, Key="from/form")
    assert stored["Body"].read() == data(size)
    assert stored["ETag"] == headers["etag"]


def test_an_old_signature_does_as_well(server, s3, bucket):
    old = server.client(signature_version="s3")
    form = old.generate_presigned_post(bucket, "old")
    assert "signature" in form["fields"]
    assert send(form, b"x")[0] == 204
    form["fields"]["signature"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert code(send(form, b"x")) == (403, "SignatureDoesNotMatch")


def test_the_name_of_the_file_becomes_the_key(s3, bucket):
    form = s3.generate_presigned_post(bucket, "up/${filename}")
    assert send(form, b"x", name="C:\\pictures\\cat.gif")[0] == 204
    assert s3.get_object(Bucket=bucket, Key="up/cat.gif")["Body"].read() == b"x"


def test_fields_describe_the_object(s3, bucket):
    fields = {
        "Content-Type": "image/gif",
        "Cache-Control": "no-cache",
        "x-amz-meta-who": "mé",
        "x-amz-server-side-encryption": "AES256",
        "success_action_status": "201",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
    }
    form = s3.generate_presigned_post(bucket, "all", Fields=dict(fields), Conditions=[{k: v} for k, v in fields.items()])
    status, headers, text = send(form, b"gif")
    assert status == 201, text
    assert f"<Bucket>{bucket}</Bucket><Key>all</Key>" in text
    assert urllib.parse.urlsplit(headers["location"]).path == f"/{bucket}/all"
    stored = s3.get_object(Bucket=bucket, Key="all")
    assert (stored["ContentType"], stored["CacheControl"]) == ("image/gif", "no-cache")
    assert stored["TagCount"] == 1
    assert s3.get_object_tagging(Bucket=bucket, Key="all")["TagSet"] == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_file_is_checked_against_the_checksum_of_a_field(s3, bucket, algorithm):
    fields = {f"x-amz-checksum-{algorithm.lower()}": checksum(algorithm, data(9))}
    form = s3.generate_presigned_post(bucket, "k", Fields=dict(fields), Conditions=[fields])
    assert code(send(form, b"another file")) == (400, "BadDigest")
    assert send(form, data(9))[0] == 204
    stored = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert stored[f"Checksum{algorithm}"] == checksum(algorithm, data(9))


def test_a_browser_is_sent_on(s3, bucket):
    where = {"success_action_redirect": "https://example.org/done?x=1"}
    form = s3.generate_presigned_post(bucket, "k", Fields=dict(where), Conditions=[where])
    status, headers, _ = send(form, b"x")
    assert status == 303
    assert headers["location"].startswith(f"https://example.org/done?x=1&bucket={bucket}&key=k&etag=")


def test_what_the_policy_does_not_allow_is_refused(s3, bucket):
    ranged = s3.generate_presigned_post(bucket, "no", Conditions=[["content-length-range", 2, 4]])
    assert send(ranged, b"123")[0] == 204
    s3.delete_object(Bucket=bucket, Key="no")
    assert code(send(ranged, b"1")) == (400, "EntityTooSmall")
    assert code(send(ranged, b"12345")) == (400, "EntityTooLarge")
    form = s3.generate_presigned_post(bucket, "no")
    assert code(send(form, b"x", extra=[("x-amz-meta-more", "1")])) == (403, "AccessDenied")
    other = dict(form, fields=dict(form["fields"], key="other"))
    assert code(send(other, b"x")) == (403, "AccessDenied")
    late = s3.generate_presigned_post(bucket, "no", ExpiresIn=-1)
    assert code(send(late, b"x")) == (403, "AccessDenied")
    assert code(send(form, b"x", drop=("policy", "x-amz-signature")))[0] in (400, 403)
    assert s3.list_objects_v2(Bucket=bucket).get("KeyCount") == 0


@pytest.mark.ours
def test_a_form_may_do_what_its_signer_may(server, s3, bucket):
    user = User(server, "form-user", statement("s3:PutObject", f"arn:aws:s3:::{bucket}/mine/*"))
    try:
        mine = user.client().generate_presigned_post(bucket, "mine/x")
        assert send(mine, b"x")[0] == 204
        theirs = user.client().generate_presigned_post(bucket, "theirs/x")
        assert code(send(theirs, b"x")) == (403, "AccessDenied")
    finally:
        user.gone()
