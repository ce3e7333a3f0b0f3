"""The REST API as programs use it: the seed's requests, large objects, HTTPS, and tokens that are kept safe."""

import hashlib
import json
import ssl
import urllib.error
import urllib.request

import pytest

from content import MIB, data
from test_admin_identities import here

pytestmark = pytest.mark.ours


class Rest:
    """Requests with a token."""

    def __init__(self, url, token, context=None):
        self.url, self.token, self.context = url, token, context

    def __call__(self, method, path, body=None, **headers):
        """Status, header and body."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=120, context=self.context) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def json(self, method, path, value, **headers):
        return self(method, path, json.dumps(value).encode(), Content_Type="application/json", **headers)


@pytest.fixture(scope="module")
def rest(server):
    made = here(server, "token", "create", "--scope", "all", "--expires", "1h")
    yield Rest(server.api_url, made["token"])
    here(server, "token", "revoke", made["info"]["id"])


@pytest.fixture(scope="module")
def bucket(server, rest):
    s3 = server.client()
    status, _, body = rest.json("POST", "/api/v1/buckets", {"name": "rest-api"})
    assert status == 201, body
    yield "rest-api"
    for found in s3.list_objects_v2(Bucket="rest-api").get("Contents", []):
        s3.delete_object(Bucket="rest-api", Key=found["Key"])
    assert rest("DELETE", "/api/v1/buckets/rest-api")[0] == 204


def test_object_goes_in_and_out_and_s3_sees_the_same(server, rest, bucket):
    path = f"/api/v1/buckets/{bucket}/objects/secret.txt"
    status, _, body = rest("PUT", path, b"a secret", Content_Type="text/plain", x_amz_meta_colour="red")
    assert status == 201, body
    assert json.loads(body)["encryption"]["algorithm"] == "AES256"
    status, headers, body = rest("GET", path)
    assert (status, body, headers["Content-Type"]) == (200, b"a secret", "text/plain")
    seen = server.client().get_object(Bucket=bucket, Key="secret.txt")
    assert (seen["Body"].read(), seen["Metadata"]) == (b"a secret", {"colour": "red"})
    server.client().put_object(Bucket=bucket, Key="from/s3", Body=b"other", ServerSideEncryption="aws:kms")
    status, headers, body = rest("GET", f"/api/v1/buckets/{bucket}/objects/from/s3")
    assert (status, body, headers["x-amz-server-side-encryption"]) == (200, b"other", "aws:kms")
    assert rest("DELETE", path)[0] == 204
    assert rest("GET", path)[0] == 404


def test_encryption_is_configured_in_the_form_that_clients_know(server, rest, bucket):
    path = f"/api/v1/buckets/{bucket}/encryption"
    status, seen, body = rest("GET", path)
    assert (status, json.loads(body)["algorithm"]) == (200, "AES256")
    wanted = {"enabled": True, "algorithm": "AES256", "kms_key_id": "default"}
    status, changed, body = rest.json("PUT", path, wanted, If_Match=seen["ETag"])
    assert (status, json.loads(body)["kms_key_id"]) == (200, "default"), body
    rule = server.client().get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "default"}
    assert rest.json("PUT", path, {"enabled": False}, If_Match=seen["ETag"])[0] == 412
    status, _, body = rest.json("PUT", path, {"enabled": False}, If_Match=changed["ETag"])
    assert (status, json.loads(body)["algorithm"], json.loads(body)["enabled"]) == (200, "AES256", True)


def test_large_object_streams_both_ways_and_in_ranges(rest, bucket):
    content = data(96 * MIB, seed=7)
    path = f"/api/v1/buckets/{bucket}/objects/large"
    status, _, body = rest("PUT", path, content, Content_Type="application/octet-stream")
    assert status == 201, body
    assert json.loads(body)["etag"] == hashlib.md5(content).hexdigest()
    assert rest("GET", path)[2] == content
    status, headers, body = rest("GET", path, Range=f"bytes={70 * MIB}-{70 * MIB + 99}")
    assert (status, body) == (206, content[70 * MIB : 70 * MIB + 100])
    assert headers["Content-Range"] == f"bytes {70 * MIB}-{70 * MIB + 99}/{len(content)}"


def test_refused_upload_gets_its_answer(server, bucket):
    """A client that is still sending is told why it is refused."""
    status, headers, body = Rest(server.api_url, None)(
        "PUT", f"/api/v1/buckets/{bucket}/objects/refused", bytes(4 * MIB), Content_Type="text/plain"
    )
    assert (status, json.loads(body)["error"]["code"]) == (401, "TokenMissing")
    assert headers["WWW-Authenticate"] == "Bearer"


def test_document_describes_the_api(server):
    status, headers, body = Rest(server.api_url, None)("GET", "/api/v1/openapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    document = json.loads(body)
    assert document["openapi"].startswith("3.")
    assert "/api/v1/buckets/{bucket}/encryption" in document["paths"]


def test_metrics_count_by_route_and_never_by_name(server, rest, bucket):
    rest("GET", f"/api/v1/buckets/{bucket}/objects/a-name-nobody-should-see")
    metrics = server.api("/metrics")[1]
    assert 'route="/api/v1/buckets/{bucket}/objects/{*key}"' in metrics
    assert "a-name-nobody-should-see" not in metrics


def test_tokens_are_neither_in_the_log_nor_in_answers(server, rest):
    rest("GET", "/api/v1/whoami")
    listed = rest("GET", "/api/v1/tokens")[2].decode()
    assert rest.token not in listed
    assert rest.token not in server.log()


def test_api_serves_https_where_s3_does(tls_server, certificates):
    assert tls_server.api_url.startswith("https://")
    made = here(tls_server, "token", "create", "--scope", "buckets:read")
    trusting = ssl.create_default_context(cafile=str(certificates.authority))
    rest = Rest(tls_server.api_url, made["token"], trusting)
    assert rest("GET", "/api/v1/buckets")[0] == 200
