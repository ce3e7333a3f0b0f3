"""Requests made up from the OpenAPI document: every answer is one that the document describes, and none is a 5xx."""

import json
import subprocess

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

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
    loaded = schemathesis.openapi.from_dict(reply.json())
    loaded.config.update(base_url=rest.api_url)
    return loaded


def each(described, examples, look):
    """Makes up so many requests for each operation, the same ones in every run, and has a look at each."""
    for found in described.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )
        def one(case):
            look(case)

        one()


def test_an_answer_is_one_that_the_document_describes(described, token):
    def look(case):
        response = case.call(headers={"authorization": f"Bearer {token}"}, timeout=60)
        case.validate_response(response, checks=CHECKS)

    each(described, EXAMPLES, look)


def test_nothing_is_told_without_a_token(described):
    def look(case):
        response = case.call(headers={"authorization": "Bearer srt_nobody-knows-this"}, timeout=60)
        if case.operation.path.endswith("/openapi.json"):
            assert response.status_code == 200
        else:
            assert response.status_code in (400, 401, 404, 405, 413, 415), (case, response.status_code, response.text)

    each(described, max(2, EXAMPLES // 10), look)
