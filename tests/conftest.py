"""Fixtures: one shared server for the functional suites, private ones for those that break things."""

import itertools
import pathlib
import secrets
import shutil
import tempfile

import pytest

import harness
from certificates import Certificates


def pytest_collection_modifyitems(items):
    for item in items:
        if harness.FOREIGN and item.get_closest_marker("ours"):
            item.add_marker(pytest.mark.skip(reason="needs our binary"))
        if not harness.SOAK and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="runs in soak only"))


@pytest.fixture(scope="session")
def workspace():
    """A folder for everything that the tests write."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="strongroom-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class ForeignServer:
    s3_url = harness.FOREIGN

    def client(self, **options):
        return harness.client(self.s3_url, **options)


@pytest.fixture(scope="session")
def server(workspace):
    """The server that the functional suites share; it has to stop cleanly after all of them."""
    if harness.FOREIGN:
        yield ForeignServer()
        return
    running = harness.Server(workspace / "shared").start()
    yield running
    code = running.stop()
    assert code == 0, f"the shared server stopped with {code}:\n{running.log()[-4000:]}"


@pytest.fixture(scope="session")
def certificates(workspace):
    return Certificates(workspace / "certificates")


@pytest.fixture(scope="session")
def tls_server(workspace, certificates, server):
    """The same over HTTPS, with a certificate that clients can check."""
    if harness.FOREIGN:
        yield server
        return
    arguments = ["--tls-cert", str(certificates.chain), "--tls-key", str(certificates.key)]
    running = harness.Server(workspace / "tls", arguments=arguments).start()
    assert running.s3_url.startswith("https://")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def s3(server):
    return server.client(connections=64)


@pytest.fixture(scope="session")
def tls_s3(tls_server, certificates):
    return tls_server.client(verify=False if harness.FOREIGN else str(certificates.authority))


RUN = secrets.token_hex(3)
numbers = itertools.count(1)


def fresh_name(what="bucket"):
    """A bucket name that no other test and no earlier run has used."""
    return f"{what}-{RUN}-{next(numbers)}"


@pytest.fixture
def bucket(s3):
    name = fresh_name()
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def tls_bucket(tls_s3):
    name = fresh_name()
    tls_s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def start(tmp_path):
    """Starts private servers and leaves none behind, whatever the test does."""
    started = []

    def make(name="data", **options):
        running = harness.Server(tmp_path / name, **options)
        started.append(running)
        return running.start()

    yield make
    for running in started:
        running.kill()
