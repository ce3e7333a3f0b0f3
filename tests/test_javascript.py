"""The JavaScript SDK: each file of tests/js is run by Node's own test runner."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from harness import ACCESS_KEY, REGION, SECRET_KEY

SUITE = pathlib.Path(__file__).parent / "js"
FILES = sorted(path.name for path in SUITE.glob("*.test.mjs"))
# `cargo xtask test` installs it beside the Python environment that runs this.
INSTALLED = pathlib.Path(sys.prefix).parent / "test-js/node_modules"
OVER_TLS = {"encryption.test.mjs"}


@pytest.fixture(scope="session")
def suite(workspace):
    """The files beside the packages: Node looks for these where the file that asks for them is."""
    if shutil.which("node") is None or not INSTALLED.is_dir():
        pytest.skip("node or the packages of tests/js are not here (`cargo xtask test` installs them with npm)")
    folder = workspace / "js"
    shutil.copytree(SUITE, folder)
    (folder / "node_modules").symlink_to(INSTALLED)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_javascript(suite, server, tls_server, certificates, name):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(suite),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "STRONGROOM_S3_URL": server.s3_url,
    }
    if name in OVER_TLS:
        environment["STRONGROOM_S3_URL"] = tls_server.s3_url
        environment["NODE_EXTRA_CA_CERTS"] = str(certificates.authority)
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", name],
        cwd=suite, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
    )
    shown = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, shown
    assert "tests 0" not in shown, shown
