"""Requests made up from the OpenAPI document: every answer is one that the document describes, none is a 5xx, and what makes no sense
is refused."""

import json
import subprocess

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks

import harness
from caller import Caller
from content import data

pytestmark = pytest.mark.ours
EXAMPLES = 200 if harness.SOAK else 8
BODY = data(5000, 5)
CHECKS = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def rest(workspace):
    """A server that does not mind being asked often, with something in it."""
    config = workspace / "rest-fuzz.toml"
    config.write_text("[api]\nconfig_requests_per_second = 0\n")
    server = harness.Server(workspace / "rest-fuzz", arguments=["--config", str(config)]).start()
    call = Caller(server.s3_url)
    assert call("PUT", "/kept").status == 200
    assert call("PUT", "/kept/k", body=BODY).status == 200
    yield server
    # Whatever was asked for: the server is there, and so is what nobody deleted.
    assert server.running(), server.log()[-4000:]
    assert call("GET", "/kept").status in (200, 404)
    assert server.stop() == 0
    assert "panicked" not in server.log()


@pytest.fixture(scope="module")
def token(rest):
    command = [harness.binary(), "admin", "--data-dir", str(rest.data_dir), "--json", "token", "create", "--scope", "all"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["token"]


@pytest.fixture(scope="module")
def described(rest):
    reply = requests.get(f"{rest.api_url}/api/v1/openapi.json", timeout=30)
    assert reply.status_code == 200
    # Each answer that says the request is at fault says so.
    refusals = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}}
    loaded = schemathesis.openapi.from_dict(reply.json(), config=schemathesis.Config.from_dict(refusals))
    loaded.config.update(base_url=rest.api_url)
    return loaded


@pytest.fixture(scope="module")
def there(rest, token):
    """Makes something of each kind, if it is gone, and gives its names as an operation's path has them."""
    call = Caller(rest.s3_url)

    def ask(method, path, **body):
        headers = {"authorization": f"Bearer {token}"}
        reply = requests.request(method, f"{rest.api_url}/api/v1{path}", json=body or None, headers=headers, timeout=60)
        assert reply.ok or reply.status_code == 409, (method, path, reply.text)
        return reply.json() if reply.ok and reply.content else None

    def names(operation):
        call("PUT", "/kept")
        assert call("PUT", "/kept/k", body=BODY).status == 200
        ask("POST", "/users", name="there")
        ask("POST", "/groups", name="there")
        ask("PUT", "/policies/there", **POLICY)
        of = {"bucket": "kept", "key": "k", "user": "there", "group": "there", "policy": "there"}
        wanted = [parameter.name for parameter in operation.path_parameters]
        if "access_key" in wanted:
            keys = "/users/there/keys" if "user" in wanted else "/service-accounts"
            of["access_key"] = ask("POST", keys, **({} if "user" in wanted else {"user": "there"}))["access_key"]
        if "token" in wanted:
            of["token"] = ask("POST", "/tokens", user="there", scopes=["objects:read"])["info"]["id"]
        return {name: of[name] for name in wanted}

    return names


def each(described, examples, look, operations=lambda operation: True, **strategy):
    """Makes up so many requests for each operation, the same ones in every run, and has a look at each. What `strategy` has is
    given, or is made for each operation."""
    for found in described.get_all_operations():
        operation = found.ok()
        if not operations(operation):
            continue
        made = {name: given(operation) if callable(given) else given for name, given in strategy.items()}

        @given(case=operation.as_strategy(**made))
        @settings(
            max_examples=examples, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )
        def one(case):
            look(case)

        one()


POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
TEXT = {"content-type": "text/plain"}
# A request for each operation that succeeds after those before it, and what of its answer is the name of something later.
GOOD = [
    ("GET", "/whoami", {}, None, None),
    ("GET", "/openapi.json", {}, None, None),
    ("POST", "/buckets", {}, {"name": "made"}, None),
    ("GET", "/buckets", {}, None, None),
    ("GET", "/buckets/{bucket}", {"bucket": "made"}, None, None),
    ("PUT", "/buckets/{bucket}/encryption", {"bucket": "made"}, {"enabled": True, "algorithm": "aws:kms"}, None),
    ("GET", "/buckets/{bucket}/encryption", {"bucket": "made"}, None, None),
    ("DELETE", "/buckets/{bucket}/encryption", {"bucket": "made"}, None, None),
    ("PUT", "/buckets/{bucket}/objects/{key}", {"bucket": "made", "key": "k"}, "content", None),
    ("GET", "/buckets/{bucket}/objects", {"bucket": "made"}, None, None),
    ("GET", "/buckets/{bucket}/objects/{key}", {"bucket": "made", "key": "k"}, None, None),
    ("HEAD", "/buckets/{bucket}/objects/{key}", {"bucket": "made", "key": "k"}, None, None),
    ("DELETE", "/buckets/{bucket}/objects/{key}", {"bucket": "made", "key": "k"}, None, None),
    ("DELETE", "/buckets/{bucket}", {"bucket": "made"}, None, None),
    ("POST", "/users", {}, {"name": "alice"}, None),
    ("GET", "/users", {}, None, None),
    ("GET", "/users/{user}", {"user": "alice"}, None, None),
    ("PATCH", "/users/{user}", {"user": "alice"}, {"enabled": True}, None),
    ("POST", "/users/{user}/keys", {"user": "alice"}, None, "access_key"),
    ("GET", "/users/{user}/keys", {"user": "alice"}, None, None),
    ("PATCH", "/users/{user}/keys/{access_key}", {"user": "alice"}, {"enabled": False}, None),
    ("DELETE", "/users/{user}/keys/{access_key}", {"user": "alice"}, None, None),
    ("PUT", "/policies/{policy}", {"policy": "pol"}, POLICY, None),
    ("GET", "/policies", {}, None, None),
    ("GET", "/policies/{policy}", {"policy": "pol"}, None, None),
    ("PUT", "/users/{user}/policies/{policy}", {"user": "alice", "policy": "pol"}, None, None),
    ("DELETE", "/users/{user}/policies/{policy}", {"user": "alice", "policy": "pol"}, None, None),
    ("POST", "/groups", {}, {"name": "staff"}, None),
    ("GET", "/groups", {}, None, None),
    ("GET", "/groups/{group}", {"group": "staff"}, None, None),
    ("PUT", "/groups/{group}/members/{user}", {"group": "staff", "user": "alice"}, None, None),
    ("DELETE", "/groups/{group}/members/{user}", {"group": "staff", "user": "alice"}, None, None),
    ("PUT", "/groups/{group}/policies/{policy}", {"group": "staff", "policy": "pol"}, None, None),
    ("DELETE", "/groups/{group}/policies/{policy}", {"group": "staff", "policy": "pol"}, None, None),
    ("DELETE", "/groups/{group}", {"group": "staff"}, None, None),
    ("DELETE", "/policies/{policy}", {"policy": "pol"}, None, None),
    ("POST", "/service-accounts", {}, {"user": "alice", "policy": POLICY, "description": "x"}, "access_key"),
    ("GET", "/service-accounts", {}, None, None),
    ("GET", "/service-accounts/{access_key}", {}, None, None),
    ("PATCH", "/service-accounts/{access_key}", {}, {"enabled": True}, None),
    ("PUT", "/service-accounts/{access_key}/policy", {}, POLICY, None),
    ("DELETE", "/service-accounts/{access_key}/policy", {}, None, None),
    ("DELETE", "/service-accounts/{access_key}", {}, None, None),
    ("POST", "/tokens", {}, {"user": "alice", "scopes": ["objects:read"]}, "token"),
    ("GET", "/tokens", {}, None, None),
    ("DELETE", "/tokens/{token}", {}, None, None),
    ("DELETE", "/users/{user}", {"user": "alice"}, None, None),
    ("DELETE", "/sessions", {}, None, None),
]


def test_each_operation_succeeds_as_the_document_says(rest, described, token):
    operations = [found.ok() for found in described.get_all_operations()]
    by_name = {(found.method.upper(), found.path.removeprefix("/api/v1")): found for found in operations}
    assert sorted(by_name) == sorted((method, path) for method, path, *_ in GOOD), "each once"
    # Names that an answer gave: the access key made last, and the token.
    made = {}
    for method, path, names, body, gives in GOOD:
        names = {name: value for name, value in (made | names).items() if "{" + name + "}" in path}
        kind = {} if body is None else TEXT if isinstance(body, str) else {"content-type": "application/json"}
        response = requests.request(
            method, f"{rest.api_url}/api/v1{path}".format(**names), timeout=60,
            headers={"authorization": f"Bearer {token}"} | kind,
            data=None if body is None else body.encode() if isinstance(body, str) else json.dumps(body),
        )
        assert response.ok, (method, path, response.status_code, response.text)
        by_name[method, path].validate_response(response)
        if gives:
            made[gives] = response.json()["info"]["id"] if gives == "token" else response.json()[gives]


def test_an_answer_is_one_that_the_document_describes(described, token):
    def look(case):
        response = case.call(headers={"authorization": f"Bearer {token}"}, timeout=60)
        case.validate_response(response, checks=CHECKS)

    each(described, EXAMPLES, look)


def test_an_answer_about_what_is_there_is_one_that_the_document_describes(described, token, there):
    found = set()

    def look(case):
        response = case.call(headers={"authorization": f"Bearer {token}"}, timeout=60)
        case.validate_response(response, checks=CHECKS)
        if response.status_code != 404:
            found.add(case.operation.label)

    each(described, EXAMPLES, look, operations=lambda operation: operation.path_parameters, path_parameters=there)
    named = {found.ok().label for found in described.get_all_operations() if found.ok().path_parameters}
    assert found == named, "names of what is there find it"


def test_a_request_that_does_not_fit_the_document_is_refused(described, token, there):
    refused = set()

    def look(case):
        response = case.call(headers={"authorization": f"Bearer {token}"}, timeout=60)
        case.validate_response(response, checks=[*CHECKS, checks.negative_data_rejection])
        if 400 <= response.status_code < 500:
            refused.add(case.operation.label)

    def can_misfit(operation):
        """Of JSON and queries there is a wrong form; every text is a name, a header's value or an object's content."""
        return operation.query or any(body.media_type == "application/json" for body in operation.body)

    each(described, EXAMPLES // 2, look, can_misfit, path_parameters=there, generation_mode=GenerationMode.NEGATIVE)
    assert refused == {found.ok().label for found in described.get_all_operations() if can_misfit(found.ok())}


@pytest.mark.parametrize("body", [
    b"{", b"", b"null", b"[]", b'"x"', b"1e999", b"\xff\xfe", b"{}{}", b'{"a": "\\ud800"}', b"[" * 60_000, b'{"a":' * 10_000,
    b'{"name": 1}', b'{"scopes": [null]}', b'{"enabled": "yes"}', b'{"Statement": []}',
])
def test_a_body_that_is_no_such_json_is_refused(rest, described, token, there, body):
    for found in described.get_all_operations():
        operation = found.ok()
        if not any(part.media_type == "application/json" for part in operation.body):
            continue
        path = operation.path.format(**there(operation))
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        reply = requests.request(operation.method, rest.api_url + path, data=body, headers=headers, timeout=60)
        assert reply.status_code in (400, 413, 415), (operation.label, body[:20], reply.status_code, reply.text)
        operation.validate_response(reply)


def test_nothing_is_told_without_a_token(described):
    def look(case):
        response = case.call(headers={"authorization": "Bearer srt_nobody-knows-this"}, timeout=60)
        if case.operation.path.endswith("/openapi.json"):
            assert response.status_code == 200
        else:
            assert response.status_code in (400, 401, 404, 405, 413, 415), (case, response.status_code, response.text)

    each(described, max(2, EXAMPLES // 10), look)
