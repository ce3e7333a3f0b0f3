"""Policies that ask how a request came (`aws:SecureTransport`, `s3:TlsVersion`), over connections that are what they say: plain, TLS 1.2
and TLS 1.3, through S3 and the REST API, in policies of users and of buckets."""

import http.client
import json
import ssl
import urllib.parse

import pytest

import sigv4
from conftest import fresh_name
from people import User, admin, statement
from test_rest import Rest

pytestmark = pytest.mark.ours

VERSIONS = {"plain": None, "TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


def context(certificates, version):
    if version is None:
        return None
    made = ssl.create_default_context(cafile=certificates.authority)
    made.minimum_version = made.maximum_version = version
    return made


class Place:
    """A server with a bucket that has one object, and a user with a token."""

    def __init__(self, server, certificates, how):
        self.server, self.tls = server, context(certificates, VERSIONS[how])
        self.bucket = fresh_name("tls")
        self.root = server.client(verify=str(certificates.authority) if self.tls else None)
        self.root.create_bucket(Bucket=self.bucket)
        self.root.put_object(Bucket=self.bucket, Key="k", Body=b"content")
        # It says nothing of a right to these objects.
        self.user = User(server, fresh_name("user"), statement("s3:ListAllMyBuckets", "*"))
        made = admin(server, "token", "create", "--user", self.user.name, "--scope", "all", "--expires", "1h")
        self.rest = Rest(server.api_url, made["token"], self.tls)

    def gone(self):
        self.user.gone()
        self.root.delete_bucket_policy(Bucket=self.bucket)
        self.root.delete_object(Bucket=self.bucket, Key="k")
        self.root.delete_bucket(Bucket=self.bucket)

    def answers(self):
        """The status of a read through S3 and of one through the REST API."""
        signer = sigv4.Signer(access_key=self.user.access_key, secret_key=self.user.secret_key)
        s3 = sigv4.request(self.server.s3_url, "GET", f"/{self.bucket}/k", signer=signer, tls=self.tls)
        rest, _, body = self.rest("GET", f"/api/v1/buckets/{self.bucket}/objects/k")
        assert all((status == 200) == (content == b"content") for status, content in [(s3.status, s3.body), (rest, body)])
        return s3.status, rest

    def of_bucket(self, *statements):
        if not statements:
            self.root.delete_bucket_policy(Bucket=self.bucket)
            return
        who = {"AWS": f"arn:aws:iam::strongroom:user/{self.user.name}"}
        document = {"Version": "2012-10-17", "Statement": [{**made, "Principal": who} for made in statements]}
        self.root.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(document))


@pytest.fixture(scope="module", params=VERSIONS)
def how(request):
    return request.param


@pytest.fixture(scope="module")
def place(how, server, tls_server, certificates):
    made = Place(server if VERSIONS[how] is None else tls_server, certificates, how)
    yield made
    made.gone()


# Conditions, and over which connections they are met. A plain one has no version: what asks for one is not met, unless it asks whether
# there is none, or is content without (`IfExists`).
CONDITIONS = [
    ({"Bool": {"aws:SecureTransport": "true"}}, {"TLS 1.2", "TLS 1.3"}),
    ({"Bool": {"aws:SecureTransport": "false"}}, {"plain"}),
    ({"BoolIfExists": {"aws:securetransport": "true"}}, {"TLS 1.2", "TLS 1.3"}),
    ({"Null": {"aws:SecureTransport": "true"}}, set()),
    ({"NumericGreaterThanEquals": {"s3:TlsVersion": "1.2"}}, {"TLS 1.2", "TLS 1.3"}),
    ({"NumericGreaterThan": {"s3:TlsVersion": "1.2"}}, {"TLS 1.3"}),
    ({"NumericLessThan": {"s3:TlsVersion": "1.3"}}, {"TLS 1.2"}),
    ({"NumericLessThan": {"s3:TlsVersion": 1.3}}, {"TLS 1.2"}),
    ({"NumericLessThanIfExists": {"s3:TlsVersion": "1.3"}}, {"plain", "TLS 1.2"}),
    ({"NumericEquals": {"s3:tlsversion": "1.3"}}, {"TLS 1.3"}),
    ({"Null": {"s3:TlsVersion": "true"}}, {"plain"}),
    ({"Null": {"s3:TlsVersion": "false"}}, {"TLS 1.2", "TLS 1.3"}),
    ({"Bool": {"aws:SecureTransport": "true"}, "NumericLessThan": {"s3:TlsVersion": "1.3"}}, {"TLS 1.2"}),
]


def test_policies_tell_connections_apart(how, place):
    allow = statement("s3:GetObject", f"arn:aws:s3:::{place.bucket}/*")
    nothing = statement("s3:ListAllMyBuckets", "*")
    for condition, connections in CONDITIONS:
        met = how in connections
        granted, denied = (200, 200) if met else (403, 403), (403, 403) if met else (200, 200)
        conditional, deny = {**allow, "Condition": condition}, {**allow, "Effect": "Deny", "Condition": condition}
        place.of_bucket()
        place.user.may(conditional)
        assert place.answers() == granted, ("a user's", how, condition)
        place.user.may(allow, deny)
        assert place.answers() == denied, ("a user's, against it", how, condition)
        place.user.may(nothing)
        place.of_bucket(conditional)
        assert place.answers() == granted, ("a bucket's", how, condition)
        place.user.may(allow)
        place.of_bucket(deny)
        assert place.answers() == denied, ("a bucket's, against it", how, condition)


def test_what_a_client_says_of_its_connection_is_not_what_it_is(how, place):
    place.of_bucket()
    path = f"/{place.bucket}/k"
    place.user.may(statement("s3:GetObject", f"arn:aws:s3:::{path[1:]}", Bool={"aws:SecureTransport": "true"}))
    expected = 403 if VERSIONS[how] is None else 200
    keys = {"access_key": place.user.access_key, "secret_key": place.user.secret_key}
    for name, value in [
        ("X-Forwarded-Proto", "https"), ("X-Forwarded-Scheme", "https"), ("Forwarded", "proto=https"), ("Front-End-Https", "on"),
    ]:
        url, signer = place.server.s3_url, sigv4.Signer(**keys)
        assert sigv4.request(url, "GET", path, headers={name: value}, signer=signer, tls=place.tls).status == expected, name
        objects = f"/api/v1/buckets/{place.bucket}/objects"
        assert place.rest("GET", f"{objects}/k", **{name.replace("-", "_"): value})[0] == expected, name
    # The scheme of an address in full is the client's too.
    at = urllib.parse.urlsplit(place.server.s3_url).netloc
    for scheme in ("http", "https"):
        kind = http.client.HTTPSConnection if place.tls else http.client.HTTPConnection
        connection = kind(at, timeout=30, **({"context": place.tls} if place.tls else {}))
        headers = sigv4.Signer(**keys).headers("GET", at, path, (), {}, sigv4.EMPTY)
        connection.request("GET", f"{scheme}://{at}{path}", headers=headers)
        assert connection.getresponse().status == expected, scheme
        connection.close()
