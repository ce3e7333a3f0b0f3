"""Starts the real binary, finds out where it listens, and stops it the way a user would."""

import os
import pathlib
import re
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

ACCESS_KEY = "SRTESTROOT0000000001"
SECRET_KEY = "only-a-test-secret-0123456789abcdefghijk"
REGION = "us-east-1"
# A foreign endpoint to check the tests themselves against; the suites that need our binary are then skipped.
FOREIGN = os.environ.get("STRONGROOM_TEST_ENDPOINT")
SOAK = os.environ.get("STRONGROOM_SOAK") == "1"
START_SECONDS_MAX = 60
# The API serves HTTPS if S3 does, with certificates that tests make themselves.
UNVERIFIED = ssl._create_unverified_context()
STOP_SECONDS_MAX = 60


def binary():
    path = os.environ.get("STRONGROOM_BINARY")
    if path:
        return path
    found = pathlib.Path(__file__).parent.parent / "target/release/strongroom"
    return str(found)


class StartFailed(Exception):
    """The server ended before it was ready."""

    def __init__(self, code, log):
        super().__init__(f"exit code {code}\n{log}")
        self.code = code
        self.log = log


class Server:
    """One server process on one data directory; start, stop and kill it as often as a test likes."""

    def __init__(self, data_dir, *, arguments=(), environment=None, wrapper=(), log_path=None):
        self.data_dir = pathlib.Path(data_dir)
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.wrapper = list(wrapper)
        self.log_path = pathlib.Path(log_path or f"{data_dir}.log")
        self.process = None
        self.s3_url = None
        self.api_url = None

    def command(self):
        listen = []
        for face in ("s3", "api", "manager"):
            if f"--{face}-listen" not in self.arguments:
                listen += [f"--{face}-listen", "127.0.0.1:0"]
        return [*self.wrapper, binary(), "server", "--data-dir", str(self.data_dir), *listen, *self.arguments]

    def spawn(self):
        """Starts the process without waiting for it to be ready."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "AWS_"))
        }
        environment |= {
            "STRONGROOM_ROOT_ACCESS_KEY": ACCESS_KEY,
            "STRONGROOM_ROOT_SECRET_KEY": SECRET_KEY,
            "NO_COLOR": "1",
        }
        environment |= self.environment
        environment = {name: value for name, value in environment.items() if value is not None}
        self.log_from = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        return self

    def start(self):
        self.spawn()
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            code = self.process.poll()
            if code is not None:
                raise StartFailed(code, self.log())
            self.s3_url = self._printed("S3")
            self.api_url = self._printed("API")
            if self.s3_url and self.api_url and self.ready():
                return self
            time.sleep(0.02)
        self.kill()
        raise StartFailed(None, self.log())

    def _printed(self, face):
        found = re.search(rf"^\s*{face}\b.*?(https?://[^\s/]+:\d+)", self.log(), re.MULTILINE)
        return found and found.group(1)

    def log(self):
        """What this start has printed so far."""
        if not self.log_path.exists():
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return re.sub(r"\x1b\[[0-9;]*m", "", log.read().decode(errors="replace"))

    def api(self, path):
        """Status and text of a GET on the API listener."""
        try:
            with urllib.request.urlopen(self.api_url + path, timeout=30, context=UNVERIFIED) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self):
        try:
            return self.api("/health/ready")[0] == 200
        except OSError:
            return False

    def metric(self, name, **labels):
        """The sum of a metric over the series that carry these labels."""
        total = 0.0
        for line in self.api("/metrics")[1].splitlines():
            if re.match(rf"{name}(\{{|\s)", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, how=signal.SIGTERM):
        """Asks it to stop and returns its exit code."""
        if self.running():
            self._signal(how)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def _signal(self, how):
        self.process.send_signal(how)

    def kill(self):
        """What a crash does: no handler runs."""
        if self.running():
            self.process.kill()
            self.process.wait()

    def client(self, **options):
        return client(self.s3_url, **options)


def client(url, *, access_key=ACCESS_KEY, secret_key=SECRET_KEY, style="path", connections=10, **options):
    """A boto3 client that does not retry, so that every answer is seen."""
    settings = {"addressing_style": style} | options.pop("s3", {})
    config = Config(
        signature_version=options.pop("signature_version", "s3v4"),
        retries={"total_max_attempts": 1},
        s3=settings,
        connect_timeout=10,
        read_timeout=options.pop("read_timeout", 120),
        max_pool_connections=connections,
        **options.pop("config", {}),
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=config,
        **options,
    )
