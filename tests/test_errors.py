"""Who is let in, and how refusals look on the wire."""

import datetime
import http.client
import re
import urllib.parse

import pytest

import harness
import sigv4
from content import data, md5_base64, read, refused


def field(body, name):
    found = re.search(rf"<{name}>(.*?)</{name}>".encode(), body)
    return found and found.group(1).decode()


def test_an_error_is_xml_with_the_request_id_of_the_reply(server, bucket):
    reply = sigv4.request(server.s3_url, "GET", f"/{bucket}/missing key")
    assert reply.status == 404
    assert reply.headers["content-type"].startswith("application/xml")
    assert field(reply.body, "Code") == "NoSuchKey"
    assert field(reply.body, "Message")
    assert field(reply.body, "RequestId") == reply.headers["x-amz-request-id"]


def test_every_reply_has_a_request_id_of_its_own(server, bucket):
    replies = [sigv4.request(server.s3_url, "GET", f"/{bucket}") for _ in range(3)]
    assert len({reply.headers["x-amz-request-id"] for reply in replies}) == 3


def test_nobody_unknown_is_let_in(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tried = [("GET", "/"), ("GET", f"/{bucket}"), ("GET", f"/{bucket}/k"), ("PUT", f"/{bucket}/new"), ("DELETE", f"/{bucket}/k")]
    for method, path in tried:
        reply = sigv4.request(server.s3_url, method, path, sign=False)
        assert reply.status == 403 and field(reply.body, "Code") == "AccessDenied", (method, path, reply.body)
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"x"


def test_a_wrong_secret_and_an_unknown_key_are_told_apart(server, bucket):
    with refused("SignatureDoesNotMatch", 403):
        server.client(secret_key="not-the-secret-0123456789abcdefghijklmno").list_objects_v2(Bucket=bucket)
    with refused("InvalidAccessKeyId", 403):
        server.client(access_key="SRNOBODYKNOWSME00000").list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_is_wrong_by_more_than_a_quarter_hour_is_refused(server, bucket, minutes):
    signer = sigv4.Signer(skew=datetime.timedelta(minutes=minutes))
    reply = sigv4.request(server.s3_url, "GET", f"/{bucket}", signer=signer)
    assert reply.status == 403 and field(reply.body, "Code") == "RequestTimeTooSkewed", reply.body


def test_a_clock_that_is_a_little_wrong_is_fine(server, bucket):
    signer = sigv4.Signer(skew=datetime.timedelta(minutes=-10))
    assert sigv4.request(server.s3_url, "GET", f"/{bucket}", signer=signer).status == 200


@pytest.mark.ours
def test_xml_that_is_none_is_refused(server, bucket):
    for body in (b"", b"<Delete><Object>", b"not xml", b"<Delete>" * 1000):
        headers = {"content-md5": md5_base64(body)}
        reply = sigv4.request(
            server.s3_url, "POST", f"/{bucket}", query=[("delete", "")], body=body, headers=headers
        )
        assert reply.status == 400, reply.body
        assert field(reply.body, "Code") in ("MalformedXML", "MissingRequestBodyError", "InvalidRequest")


def test_a_body_shorter_than_announced_stores_nothing(server, s3, bucket):
    at = urllib.parse.urlsplit(server.s3_url)
    headers = {"content-length": "1000000"}
    headers = sigv4.Signer().headers("PUT", at.netloc, f"/{bucket}/k", (), headers, "UNSIGNED-PAYLOAD")
    connection = http.client.HTTPConnection(at.netloc, timeout=20)
    connection.putrequest("PUT", f"/{bucket}/k", skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(data(500_000))
    connection.close()
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")


@pytest.mark.ours
def test_a_huge_header_is_refused_and_the_server_goes_on(server, bucket):
    reply = sigv4.request(server.s3_url, "GET", f"/{bucket}", headers={"x-long": "v" * 200_000}, sign=False)
    assert reply.status in (400, 403, 431)
    assert sigv4.request(server.s3_url, "GET", f"/{bucket}").status == 200


@pytest.mark.ours
def test_an_operation_that_is_not_there_says_so(s3, bucket):
    with refused({"NotImplemented", "MethodNotAllowed"}):
        s3.get_object_torrent(Bucket=bucket, Key="k")


@pytest.mark.ours
def test_health_and_metrics_answer_without_credentials(server, s3, bucket):
    assert server.api("/health/live")[0] == 200
    assert server.api("/health/ready")[0] == 200
    status, text = server.api("/metrics")
    assert status == 200
    names = set(re.findall(r"^(strongroom_\w+?)(?:_bucket|_sum|_count)?(?:\{| )", text, re.MULTILINE))
    assert names, text[:1000]
    for name in names:
        base = re.search(rf"# HELP {name}(?:_total)? \S", text)
        assert base, f"{name} has no help"
    assert harness.ACCESS_KEY not in text and bucket not in text


@pytest.mark.ours
def test_the_request_id_of_a_reply_is_in_the_log(start):
    server = start(environment={"STRONGROOM_LOG_LEVEL": "debug"})
    reply = sigv4.request(server.s3_url, "GET", "/no-such-bucket/k")
    assert reply.status == 404
    assert server.stop() == 0
    assert reply.headers["x-amz-request-id"] in server.log()
