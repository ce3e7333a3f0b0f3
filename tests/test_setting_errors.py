"""What a client is told who makes a bucket or sets something on it in a way that AWS does not take."""

import base64
import hashlib
import json
import re

import pytest

import sigv4
from conftest import fresh_name

pytestmark = pytest.mark.ours

NAMESPACE = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def send(server, method, path, query="", body=b"", headers=None):
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    pairs = [tuple(pair.split("=", 1)) if "=" in pair else (pair, "") for pair in query.split("&") if pair]
    headers = {"content-md5": md5, **(headers or {})}
    return sigv4.request(server.s3_url, method, path, query=pairs, body=body, headers=headers)


def told(reply):
    found = dict(re.findall(r"<(\w[\w-]*)>([^<]*)</\1>", reply.body.decode()))
    return {name: text.replace("&quot;", '"').replace("&apos;", "'") for name, text in found.items()}


def place(name):
    return f"<CreateBucketConfiguration><LocationConstraint>{name}</LocationConstraint></CreateBucketConfiguration>"


NEW_BUCKETS = {
    "elsewhere": (place("eu-west-1"), {}, "IllegalLocationConstraintException", "The eu-west-1 location constraint"),
    "nowhere": (place("invalid"), {}, "InvalidLocationConstraint", "The specified location-constraint is not valid"),
    "ownership": (
        "",
        {"x-amz-object-ownership": "Mine"},
        "InvalidArgument",
        "Invalid x-amz-object-ownership header: Mine",
    ),
    "canned list": ("", {"x-amz-acl": "open"}, "InvalidArgument", ""),
    "two lists": (
        "",
        {"x-amz-acl": "private", "x-amz-grant-read": "id=1"},
        "InvalidRequest",
        "Specifying both Canned ACLs and Header Grants is not allowed",
    ),
}


@pytest.mark.parametrize("name", NEW_BUCKETS)
def test_a_bucket_that_cannot_be_made_so_is_refused(server, name):
    document, headers, code, message = NEW_BUCKETS[name]
    reply = send(server, "PUT", f"/{fresh_name()}", body=document.encode(), headers=headers)
    assert (reply.status, told(reply)["Code"]) == (400, code), reply.body
    assert told(reply)["Message"].startswith(message)
    if name == "nowhere":
        assert told(reply)["LocationConstraint"] == "invalid"
    if name == "canned list":
        assert (told(reply)["ArgumentName"], told(reply)["ArgumentValue"]) == ("x-amz-acl", "open")


def test_a_place_without_a_name_is_this_one(server):
    assert send(server, "PUT", f"/{fresh_name()}", body=place("").encode()).status == 200


def statement(**members):
    policy = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::BUCKET/*"}
    policy = {name: value for name, value in {**policy, **members}.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [policy]})


INVALID_ACTION = "Policy has invalid action"
INVALID_RESOURCE = "Policy has invalid resource"
INVALID_PRINCIPAL = "Invalid principal in policy"
NO_RESOURCE = "Action does not apply to any resource(s) in statement"
WHERE = "(statement 1, {})"
POLICIES = [
    ("{true}", "This policy contains invalid Json", None),
    ('{"Statement": []', "This policy contains invalid Json", None),
    ("false", "Policies must be valid JSON and the first byte must be '{'", None),
    ("[]", "Policies must be valid JSON and the first byte must be '{'", None),
    ("{}", "Missing required field Statement", None),
    ('{"Statement": []}', "Could not parse the policy: Statement is empty!", None),
    (statement(Effect=None), "Missing required field Effect", WHERE.format("Effect")),
    (statement(Effect="Perhaps"), "Invalid effect: Perhaps", WHERE.format("Effect")),
    (statement(Action="s3:No"), INVALID_ACTION, "s3:No " + WHERE.format("Action")),
    (statement(Action=[]), INVALID_ACTION, WHERE.format("Action")),
    (statement(Principal=[]), INVALID_PRINCIPAL, WHERE.format("Principal")),
    (statement(Principal={"Service": "x"}), INVALID_PRINCIPAL, "Service " + WHERE.format("Principal")),
    (statement(Resource=[]), INVALID_RESOURCE, WHERE.format("Resource")),
    (statement(Resource="*"), INVALID_RESOURCE, "* " + WHERE.format("Resource")),
    (statement(Resource="arn:aws:s3:::BUCKET"), NO_RESOURCE, "s3:getobject " + WHERE.format("Action")),
    (
        statement(Condition={"StringIs": {"aws:UserAgent": "x"}}),
        "Invalid Condition type : StringIs",
        WHERE.format("Condition"),
    ),
    (
        statement(Condition={"Bool": {"aws:Nobody": "x"}}),
        "Policy has an invalid condition key",
        "aws:Nobody " + WHERE.format("Condition"),
    ),
    (
        statement(Condition={"IpAddress": {"aws:SourceIp": "300.1.1.1/40"}}),
        "Invalid IP address in Conditions",
        "300.1.1.1/40 " + WHERE.format("Condition"),
    ),
]


@pytest.mark.parametrize("document, message, detail", POLICIES)
def test_a_policy_that_is_none_is_told_in_the_words_of_aws(server, bucket, document, message, detail):
    reply = send(server, "PUT", f"/{bucket}", "policy", document.replace("BUCKET", bucket).encode())
    error = told(reply)
    assert (reply.status, error["Code"], error["Message"]) == (400, "MalformedPolicy", message), reply.body
    assert error.get("Detail") == detail


def test_a_public_policy_is_refused_with_who_wanted_it_where(server, bucket):
    document = statement().replace("BUCKET", bucket).encode()
    reply = send(server, "PUT", f"/{bucket}", "policy", document)
    message = told(reply)["Message"]
    assert (reply.status, told(reply)["Code"]) == (403, "AccessDenied")
    assert re.fullmatch(
        rf'User: \S+ is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::{bucket}" because public '
        r"policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access\.",
        message,
    ), message


def test_a_policy_is_json(server, s3, bucket):
    document = statement(Effect="Deny").replace("BUCKET", bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=document)
    reply = send(server, "GET", f"/{bucket}", "policy")
    assert (reply.headers["content-type"], reply.body.decode()) == ("application/json", document)


def rule(**members):
    rule = {"AllowedOrigin": "http://a", "AllowedMethod": "GET", **members}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in rule.items())
    return f"<CORSConfiguration><CORSRule>{inside}</CORSRule></CORSConfiguration>"


@pytest.mark.parametrize("element", ["AllowedHeader", "ExposeHeader"])
@pytest.mark.parametrize("text", ["invalid header", "X-Custom:Header", "X(Custom)", "Bad/Header"])
def test_a_cross_origin_rule_names_headers_that_there_can_be(server, bucket, element, text):
    reply = send(server, "PUT", f"/{bucket}", "cors", rule(**{element: text}).encode())
    error = told(reply)
    assert (reply.status, error["Code"]) == (400, "InvalidRequest"), reply.body
    assert error["Message"] == f'{element} "{text}" contains invalid character.'


def test_a_preflight_asks_for_headers_that_there_can_be(server, bucket):
    assert send(server, "PUT", f"/{bucket}", "cors", rule(AllowedHeader="*").encode()).status == 200
    asked = {"origin": "http://a", "access-control-request-method": "GET"}
    for names, status in [("x-a, X-B", 200), ("x-a,Bad name", 400)]:
        headers = {**asked, "access-control-request-headers": names}
        reply = sigv4.request(server.s3_url, "OPTIONS", f"/{bucket}/k", headers=headers, sign=False)
        assert reply.status == status, reply.body
    assert told(reply)["Code"] == "BadRequest"
    assert told(reply)["Message"] == 'Access-Control-Request-Headers "Bad name" contains invalid character.'


@pytest.mark.parametrize("setting", ["lifecycle", "object-lock"])
def test_a_setting_without_a_document_is_told_so(server, s3, setting):
    name = fresh_name()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    reply = send(server, "PUT", f"/{name}", setting)
    assert (reply.status, told(reply)["Code"]) == (400, "MissingRequestBodyError"), reply.body


def test_a_second_factor_that_is_neither_on_nor_off_is_malformed(server, bucket):
    inside = "<Status>Enabled</Status><MfaDelete>Perhaps</MfaDelete>"
    document = f"<VersioningConfiguration>{inside}</VersioningConfiguration>".encode()
    reply = send(server, "PUT", f"/{bucket}", "versioning", document)
    assert (reply.status, told(reply)["Code"]) == (400, "MalformedXML")


@pytest.mark.parametrize(
    "method, path, resource",
    [
        ("POST", "/", "SERVICE"),
        ("PUT", "/", "SERVICE"),
        ("DELETE", "/", "SERVICE"),
        ("POST", "/BUCKET", "BUCKET"),
        ("POST", "/BUCKET/k", "OBJECT"),
        ("PATCH", "/BUCKET/k", "OBJECT"),
    ],
)
def test_a_method_that_s3_does_not_have_there_is_not_allowed(server, bucket, method, path, resource):
    reply = send(server, method, path.replace("BUCKET", bucket))
    error = told(reply)
    assert (reply.status, error["Code"]) == (405, "MethodNotAllowed"), reply.body
    assert (error["Method"], error["ResourceType"]) == (method, resource)


@pytest.mark.parametrize(
    "path, query, message",
    [
        ("/BUCKET/k", "uploads", "Key is not expected for the GET method ?uploads subresource"),
        ("/BUCKET/k", "versions", "There is no such thing as the ?versions sub-resource for a key"),
    ],
)
def test_lists_of_a_bucket_are_not_for_a_key(server, bucket, path, query, message):
    reply = send(server, "GET", path.replace("BUCKET", bucket), query)
    assert (reply.status, told(reply)["Code"], told(reply)["Message"]) == (400, "InvalidRequest", message)


@pytest.mark.parametrize("path, name", [("/", "max-buckets"), ("/BUCKET", "max-keys"), ("/BUCKET", "max-uploads")])
def test_a_number_that_is_none_is_named(server, bucket, path, name):
    query = f"{name}=abc" + ("&uploads" if name == "max-uploads" else "")
    error = told(send(server, "GET", path.replace("BUCKET", bucket), query))
    assert error["Code"] == "InvalidArgument"
    assert error["Message"] == f"Provided {name} not an integer or within integer range"
    assert (error["ArgumentName"], error["ArgumentValue"]) == (name, "abc")


def test_every_document_is_in_the_namespace_of_s3(server, s3):
    name = fresh_name()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=name, Key="k", Body=b"x", ObjectLockLegalHoldStatus="OFF")
    s3.put_bucket_policy(Bucket=name, Policy=statement(Effect="Deny").replace("BUCKET", name))
    paths = [f"/{name}?{query}" for query in ("encryption", "ownershipControls", "publicAccessBlock", "policyStatus", "object-lock", "acl", "location", "versioning", "uploads", "versions", "list-type=2", "requestPayment", "logging", "accelerate", "notification")]
    for path in paths:
        reply = send(server, "GET", *path.split("?"))
        assert reply.status == 200 and NAMESPACE in reply.body, (path, reply.body)
    reply = send(server, "PUT", f"/{name}/copy", headers={"x-amz-copy-source": f"{name}/k"})
    assert reply.status == 200 and b"<CopyObjectResult" + NAMESPACE in reply.body
    assert int(reply.headers["content-length"]) == len(reply.body)


BLOCK = "<PublicAccessBlockConfiguration><BlockPublicPolcy>true</BlockPublicPolcy></PublicAccessBlockConfiguration>"
UNKNOWN = {
    "tagging": "<Tagging><TagSet><tag><Key>a</Key><Value>b</Value></tag></TagSet></Tagging>",
    "publicAccessBlock": BLOCK,
    "ownershipControls": "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule><Rules/></OwnershipControls>",
    "versioning": "<VersioningConfiguration><Status>Enabled</Status><Mfa>Disabled</Mfa></VersioningConfiguration>",
    "cors": rule().replace("</CORSConfiguration>", "<CorsRule/></CORSConfiguration>"),
}


@pytest.mark.parametrize("setting", UNKNOWN)
def test_an_element_that_nobody_knows_is_not_passed_over(server, s3, bucket, setting):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    before = send(server, "GET", f"/{bucket}", setting)
    reply = send(server, "PUT", f"/{bucket}", setting, UNKNOWN[setting].encode())
    assert (reply.status, told(reply)["Code"]) == (400, "MalformedXML"), reply.body
    after = send(server, "GET", f"/{bucket}", setting)
    assert after.status == before.status
    assert before.status != 200 or after.body == before.body


def test_a_list_of_deletes_with_an_element_that_nobody_knows_deletes_nothing(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    document = b"<Delete><Object><Key>a</Key></Object><Objects><Key>b</Key></Objects></Delete>"
    reply = send(server, "POST", f"/{bucket}", "delete", document)
    assert (reply.status, told(reply)["Code"]) == (400, "MalformedXML"), reply.body
    assert s3.head_object(Bucket=bucket, Key="a")["ContentLength"] == 1


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_only_a_write_copies(server, s3, bucket, method):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    reply = send(server, method, f"/{bucket}/k", headers={"x-amz-copy-source": f"{bucket}/k"})
    error = told(reply)
    assert (reply.status, error["Code"], error["ArgumentName"]) == (400, "InvalidArgument", "x-amz-copy-source")
    assert error["Message"] == "You can only specify a copy source header for copy requests."
    s3.head_object(Bucket=bucket, Key="k")


def test_a_document_with_another_hash_is_told_both(server, bucket):
    document, signed = b"<Tagging><TagSet/></Tagging>", hashlib.sha256(b"another").hexdigest()
    reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}", query=[("tagging", "")], body=document, payload=signed)
    error = told(reply)
    assert (reply.status, error["Code"]) == (400, "XAmzContentSHA256Mismatch")
    assert error["ClientComputedContentSHA256"] == signed
    assert error["S3ComputedContentSHA256"] == hashlib.sha256(document).hexdigest()
