"""Temporary credentials with boto3's client of the token service."""

import datetime
import re
import urllib.request

import pytest

import harness
from people import User, policy, refused, statement, sts

pytestmark = pytest.mark.ours

ROLE = "arn:aws:iam::000000000000:role/anything"


@pytest.fixture(scope="module")
def place(server):
    root = server.client()
    root.create_bucket(Bucket="sts-tests")
    root.put_object(Bucket="sts-tests", Key="k", Body=b"content")
    yield root
    for key in ("k", "new"):
        root.delete_object(Bucket="sts-tests", Key=key)
    root.delete_bucket(Bucket="sts-tests")


@pytest.fixture
def user(server, place):
    made = User(server, "sts-user", statement(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::sts-tests/*"))
    yield made
    made.gone()


def with_session(server, reply):
    made = reply["Credentials"]
    return server.client(
        access_key=made["AccessKeyId"], secret_key=made["SecretAccessKey"], aws_session_token=made["SessionToken"]
    )


def test_a_session_reads_and_writes_and_is_bound_by_its_policy(server, user):
    reply = user.sts().assume_role(RoleArn=ROLE, RoleSessionName="job-1", DurationSeconds=900)
    left = reply["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 840 < left.total_seconds() <= 901
    assert reply["AssumedRoleUser"]["Arn"].endswith("/job-1")
    s3 = with_session(server, reply)
    assert s3.get_object(Bucket="sts-tests", Key="k")["Body"].read() == b"content"
    s3.put_object(Bucket="sts-tests", Key="new", Body=b"x")

    named = [{"arn": "arn:aws:iam::000000000000:policy/readonly"}]
    asked = dict(RoleArn=ROLE, RoleSessionName="less", PolicyArns=named)
    assert refused(user.sts().assume_role, **asked) == "NotImplemented", "a bound that is dropped would be none"
    bound = policy(statement("s3:GetObject", "*"))
    s3 = with_session(server, user.sts().assume_role(RoleArn=ROLE, RoleSessionName="less", Policy=bound))
    s3.get_object(Bucket="sts-tests", Key="k")
    assert refused(s3.put_object, Bucket="sts-tests", Key="new", Body=b"x") == "AccessDenied"


def test_a_session_presigns(server, user):
    s3 = with_session(server, user.sts().assume_role(RoleArn=ROLE, RoleSessionName="links"))
    url = s3.generate_presigned_url("get_object", {"Bucket": "sts-tests", "Key": "k"})
    with urllib.request.urlopen(url, timeout=30) as reply:
        assert reply.read() == b"content"
    form = s3.generate_presigned_post("sts-tests", "new")
    assert "x-amz-security-token" in form["fields"]


def test_the_root_makes_sessions_too(server, place):
    s3 = with_session(server, sts(server).assume_role(RoleArn=ROLE, RoleSessionName="root"))
    assert s3.list_objects_v2(Bucket="sts-tests")["KeyCount"] >= 1


def test_everybody_learns_who_they_are(server, user):
    assert sts(server).get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"
    assert user.sts().get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:user/sts-user"
    assert re.fullmatch(r"\d{12}", user.sts().get_caller_identity()["Account"]), "as clients of AWS check it"
    made = user.sts().assume_role(RoleArn=ROLE, RoleSessionName="me")["Credentials"]
    who = sts(server, made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::000000000000:assumed-role/sts-user/me"


def test_a_policy_denies_a_role_by_its_name_and_sessions_from_before_a_time(server, user):
    allowed = statement("s3:GetObject", "*")
    s3 = with_session(server, user.sts().assume_role(RoleArn=ROLE, RoleSessionName="early"))
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    user.may(allowed, statement("*", "*", effect="Deny", DateLessThan={"aws:TokenIssueTime": later}))
    assert refused(s3.get_object, Bucket="sts-tests", Key="k") == "AccessDenied"
    assert user.client().get_object(Bucket="sts-tests", Key="k")["Body"].read() == b"content"
    user.may(allowed, statement("sts:AssumeRole", ROLE, effect="Deny"))
    assert refused(user.sts().assume_role, RoleArn=ROLE, RoleSessionName="no") == "AccessDenied"
    user.sts().assume_role(RoleArn=ROLE + "-else", RoleSessionName="yes")


def test_wrong_requests_are_answered_as_the_service_does(server, user):
    service = user.sts()
    ask = lambda **more: refused(service.assume_role, **({"RoleArn": ROLE, "RoleSessionName": "x1"} | more))
    assert ask(DurationSeconds=43201) == "ValidationError"
    assert ask(Policy="{") == "MalformedPolicyDocument"
    wrong = sts(server, user.access_key, "not the secret")
    assert refused(wrong.get_caller_identity) == "SignatureDoesNotMatch"
    unknown = sts(server, "SRNOBODY00000000001", "x" * 40)
    assert refused(unknown.get_caller_identity) == "InvalidClientTokenId"
    made = service.assume_role(RoleArn=ROLE, RoleSessionName="x1")["Credentials"]
    s3 = server.client(
        access_key=made["AccessKeyId"], secret_key=made["SecretAccessKey"], aws_session_token="bm9uc2Vuc2U="
    )
    assert refused(s3.list_objects_v2, Bucket="sts-tests") == "InvalidToken"


def test_a_session_ends_with_its_user(server, place):
    user = User(server, "sts-leaver", statement("s3:*", "*"))
    s3 = with_session(server, user.sts().assume_role(RoleArn=ROLE, RoleSessionName="x1"))
    s3.get_object(Bucket="sts-tests", Key="k")
    user.gone()
    assert refused(s3.get_object, Bucket="sts-tests", Key="k") in ("InvalidToken", "AccessDenied", "InvalidAccessKeyId")
