"""Paths of the REST API as somebody writes them who wants another object than its policy lets it have: what is decided about is what is
read and written, however it is spelled."""

import http.client
import json
import urllib.parse

import pytest

from conftest import fresh_name
from people import User, admin, statement
from test_rest import Rest

pytestmark = pytest.mark.ours

# What follows `…/objects/` in a path, and the key that it names. Nothing is resolved, put together or decoded twice.
SPELLINGS = {
    "secret/k": "secret/k",
    "secret%2Fk": "secret/k",
    "secret%2fk": "secret/k",
    "%73ecret/k": "secret/k",
    "mine/../secret/k": "mine/../secret/k",
    "mine/%2e%2e/secret/k": "mine/../secret/k",
    "mine%2F..%2Fsecret%2Fk": "mine/../secret/k",
    "mine/..%2fsecret/k": "mine/../secret/k",
    "./secret/k": "./secret/k",
    "/secret/k": "/secret/k",
    "%2Fsecret/k": "/secret/k",
    "secret//k": "secret//k",
    "secret/k/": "secret/k/",
    "secret%252Fk": "secret%2Fk",
    "%2573ecret/k": "%73ecret/k",
    "secret/k%00": "secret/k\0",
    "secret/k%3Fversion=null": "secret/k?version=null",
    "secret/k%23": "secret/k#",
    "secret/k;a=b": "secret/k;a=b",
    "secret+k": "secret+k",
    "Secret/k": "Secret/k",
    "secret%5Ck": "secret\\k",
    "secret/%EF%BC%8F": "secret/／",
    "secret/e%CC%81": "secret/e\u0301",
    "secret/%C3%A9": "secret/é",
    "*": "*",
    "secret/*": "secret/*",
    "${aws:username}": "${aws:username}",
}


def ask(server, token, method, path, body=None):
    """Status and body; the path goes as it is."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.api_url).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Type", "text/plain")
        connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def place(server):
    bucket = fresh_name("paths")
    s3 = server.client()
    s3.create_bucket(Bucket=bucket)
    user = User(server, fresh_name("paths"), statement("s3:*", f"arn:aws:s3:::{bucket}/mine/*"))
    token = lambda of: admin(server, "token", "create", "--user", of, "--scope", "all", "--expires", "1h")["token"]
    root = admin(server, "token", "create", "--scope", "all", "--expires", "1h")["token"]
    yield bucket, user, token(user.name), root, s3
    user.gone()


def test_a_path_names_one_key_and_that_one_is_decided_about(server, place):
    bucket, user, own, root, s3 = place
    for spelled, key in SPELLINGS.items():
        path = f"/api/v1/buckets/{bucket}/objects/{spelled}"
        status, body = ask(server, root, "PUT", path, b"x")
        assert (status, json.loads(body)["key"]) == (201, key), spelled
        listed = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
        assert listed == [key], spelled
        assert ask(server, root, "GET", path) == (200, b"x"), spelled
        allowed = key.startswith("mine/")
        for method, right in (("GET", 200), ("PUT", 201), ("DELETE", 204)):
            status, _ = ask(server, own, method, path, b"y" if method == "PUT" else None)
            assert status == (right if allowed else 403), (spelled, method)
        if not allowed:
            assert ask(server, root, "GET", path) == (200, b"x"), spelled
        # Only these: one that the resource of a policy names exactly.
        user.may(statement("s3:GetObject", f"arn:aws:s3:::{bucket}/secret/k"))
        ask(server, root, "PUT", path, b"x")
        assert ask(server, own, "GET", path)[0] == (200 if key == "secret/k" else 403), spelled
        user.may(statement("s3:*", f"arn:aws:s3:::{bucket}/mine/*"))
        assert ask(server, root, "DELETE", path)[0] == 204


def test_what_is_no_path_of_the_api_is_none(server, place):
    bucket, _, _, root, _ = place
    for path in [
        f"/api/v1/buckets/{bucket}/objects/%FF", f"/api/v1/buckets/{bucket}%2Fobjects/k", f"/api/v1//buckets/{bucket}",
        f"/api/v1/Buckets/{bucket}", f"/API/v1/buckets/{bucket}", f"/api/v1/buckets/{bucket.upper()}",
        f"/api/v1/users/../buckets/{bucket}", "/api/v1/users/%2e%2e/keys", "/api/v1/users/%00", "/api/v1/users/root",
        f"/api/v1/buckets/{bucket}%00", f"/api/v1/buckets/%2e%2e/objects/k", "/api/v1/admin/keys/groups",
        "/health/live/../../api/v1/users", "/api/v1/openapi.json/../users",
    ]:
        status, body = ask(server, root, "GET", path)
        assert status in (400, 404), (path, status, body)
        assert json.loads(body)["error"]["code"], path


def test_a_body_with_more_than_is_asked_for_is_refused(server, place):
    _, user, _, root, _ = place
    rest = Rest(server.api_url, root)
    name = fresh_name("user")
    for path, value in [
        ("/api/v1/users", {"name": name, "policies": ["consoleAdmin"]}),
        ("/api/v1/users", {"name": name, "id": "AAAA"}),
        ("/api/v1/users", {"name": name, "groups": ["admins"]}),
        ("/api/v1/users", {"Name": name}),
        ("/api/v1/groups", {"name": name, "members": [user.name]}),
        ("/api/v1/buckets", {"name": name, "owner": "root"}),
        ("/api/v1/service-accounts", {"user": user.name, "parent": "root"}),
        ("/api/v1/service-accounts", {"user": user.name, "access_key": "AKIDCHOSEN"}),
        ("/api/v1/service-accounts", {"user": user.name, "secret_key": "chosen"}),
        ("/api/v1/tokens", {"user": user.name, "scopes": ["objects:read"], "owner": "root"}),
        ("/api/v1/tokens", {"user": user.name, "scopes": ["objects:read"], "expires": None}),
        ("/api/v1/tokens", {"user": user.name, "scopes": ["*"]}),
        ("/api/v1/tokens", {"user": user.name, "scopes": "objects:read"}),
        ("/api/v1/tokens", {"user": [user.name], "scopes": ["objects:read"]}),
    ]:
        status, _, body = rest.json("POST", path, value)
        assert status == 400, (path, value, body)
    for body in (
        f'{{"user": "{user.name}", "scopes": ["objects:read"], "scopes": ["identities:write"]}}',
        f'{{"user": "nobody", "user": "{user.name}", "scopes": ["objects:read"]}}',
        f'{{"user": "{user.name}", "scopes": ["objects:read"]}} {{"user": "root"}}',
    ):
        status, _, answer = rest("POST", "/api/v1/tokens", body.encode(), Content_Type="application/json")
        assert status == 400, (body, answer)
    twice = '{"user": "%s", "policy": {"Statement": [{"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}]}}'
    status, _, answer = rest(
        "POST", "/api/v1/service-accounts", (twice % user.name).encode(), Content_Type="application/json"
    )
    assert status == 400, answer
    names = [found["name"] for found in json.loads(rest("GET", "/api/v1/users")[2])["users"]]
    assert name not in names
