"""Cross-origin requests: rules with boto3, and what a browser would see."""

import http.client
import urllib.parse

import pytest

import sigv4
from conftest import fresh_name
from content import refused

RULES = [
    {
        "ID": "one",
        "AllowedOrigins": ["https://app.example.com", "https://*.example.org"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["content-type", "x-amz-*"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 600,
    },
    {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
]
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


@pytest.fixture
def shared(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    s3.put_object(Bucket=bucket, Key="key", Body=b"content")
    return bucket


def preflight(server, path, *, host=None, **asked):
    """What a browser sends before the request of a page: without a signature."""
    headers = {name.replace("_", "-"): value for name, value in asked.items()}
    return sigv4.request(server.s3_url, "OPTIONS", path, headers=headers, sign=False, host=host)


def header(reply, name):
    return {key.lower(): value for key, value in dict(reply.headers).items()}.get(name)


def test_rules_come_back_as_they_were_set_and_can_be_removed(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    s3.delete_bucket_cors(Bucket=bucket)
    with refused("NoSuchCORSConfiguration", 404):
        s3.get_bucket_cors(Bucket=bucket)


def rule(**changes):
    return {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]} | changes


@pytest.mark.parametrize(
    "rules, code",
    [
        ([rule(AllowedMethods=["PATCH"])], "InvalidRequest"),
        ([rule(AllowedMethods=["OPTIONS"])], "InvalidRequest"),
        ([rule(AllowedOrigins=["http://*.*"])], "InvalidRequest"),
        ([rule(AllowedHeaders=["*-*"])], "InvalidRequest"),
        ([rule(ExposeHeaders=["*"])], "InvalidRequest"),
        ([rule(ID="x" * 256)], "InvalidRequest"),
        ([rule()] * 101, "InvalidRequest"),
        ([], "MalformedXML"),
        ([rule(AllowedOrigins=[])], "MalformedXML"),
    ],
)
def test_rules_that_mean_nothing_are_refused(s3, bucket, rules, code):
    with refused(code, 400):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


def test_a_preflight_of_an_allowed_origin_says_what_the_page_may_do(server, shared):
    reply = preflight(
        server,
        f"/{shared}/key",
        origin="https://app.example.com",
        access_control_request_method="PUT",
        access_control_request_headers="Content-Type, X-Amz-Meta-A",
    )
    assert reply.status == 200
    expected = {
        "access-control-allow-origin": "https://app.example.com",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "content-type, x-amz-meta-a",
        "access-control-expose-headers": "ETag, x-amz-request-id",
        "access-control-max-age": "600",
        "access-control-allow-credentials": "true",
        "vary": VARY,
    }
    assert {name: header(reply, name) for name in expected} == expected


def test_a_rule_for_everybody_answers_with_a_star_and_no_credentials(server, shared):
    reply = preflight(server, f"/{shared}", origin="null", access_control_request_method="HEAD")
    assert reply.status == 200
    assert header(reply, "access-control-allow-origin") == "*"
    assert header(reply, "access-control-allow-credentials") is None


@pytest.mark.parametrize(
    "asked",
    [
        {"origin": "https://evil.example", "access_control_request_method": "PUT"},
        {"origin": "https://example.org", "access_control_request_method": "PUT"},
        {"origin": "https://app.example.com", "access_control_request_method": "DELETE"},
        {
            "origin": "https://app.example.com",
            "access_control_request_method": "PUT",
            "access_control_request_headers": "authorization",
        },
    ],
)
def test_a_preflight_of_anything_else_is_forbidden(server, shared, asked):
    reply = preflight(server, f"/{shared}/key", **asked)
    assert reply.status == 403 and b"<Code>AccessForbidden</Code>" in reply.body
    assert header(reply, "access-control-allow-origin") is None


def test_a_preflight_needs_an_origin_and_a_method(server, shared):
    for asked in (
        {"access_control_request_method": "PUT"},
        {"origin": "https://app.example.com"},
        {"origin": "https://app.example.com", "access_control_request_method": "PATCH"},
    ):
        reply = preflight(server, f"/{shared}/key", **asked)
        assert reply.status == 400 and b"<Code>BadRequest</Code>" in reply.body


def test_a_bucket_without_rules_and_one_that_is_not_there_answer_alike(server, bucket):
    asked = {"origin": "https://app.example.com", "access_control_request_method": "PUT"}
    replies = [preflight(server, f"/{name}/key", **asked) for name in (bucket, fresh_name())]
    assert [reply.status for reply in replies] == [403, 403]
    assert all(b"CORS is not enabled for this bucket" in reply.body for reply in replies)


def test_answers_to_allowed_origins_say_so_and_errors_as_well(server, shared):
    origin = {"origin": "https://a.example.org"}
    for path, status, sign in (("key", 200, True), ("missing", 404, True), ("key", 403, False)):
        reply = sigv4.request(server.s3_url, "GET", f"/{shared}/{path}", headers=origin, sign=sign)
        assert reply.status == status
        assert header(reply, "access-control-allow-origin") == "https://a.example.org"
        assert header(reply, "access-control-expose-headers") == "ETag, x-amz-request-id"
        assert header(reply, "vary") == VARY
    other = sigv4.request(server.s3_url, "GET", f"/{shared}/key", headers={"origin": "https://evil.example"})
    assert other.status == 200 and header(other, "access-control-allow-origin") is None
    assert header(other, "vary") == VARY, "a cache must not give it to an allowed origin"


def test_a_bucket_without_rules_says_nothing_of_origins(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    reply = sigv4.request(server.s3_url, "GET", f"/{bucket}/key", headers={"origin": "https://a.example"})
    assert reply.status == 200
    assert header(reply, "access-control-allow-origin") is None and header(reply, "vary") is None


@pytest.mark.ours
def test_the_bucket_may_stand_in_the_host(start):
    server = start(arguments=["--domain", "s3.test"])
    s3 = server.client()
    s3.create_bucket(Bucket="hosted")
    s3.put_bucket_cors(Bucket="hosted", CORSConfiguration={"CORSRules": RULES})
    at = urllib.parse.urlsplit(server.s3_url)
    connection = http.client.HTTPConnection(at.netloc, timeout=10)
    connection.request(
        "OPTIONS",
        "/key",
        headers={
            "Host": f"hosted.s3.test:{at.port}",
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "PUT",
        },
    )
    reply = connection.getresponse()
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == "https://app.example.com"
    connection.close()
