"""Users for tests, made with `strongroom admin` at the server's socket."""

import json
import os
import subprocess

import boto3
from botocore.config import Config

import harness


def admin(server, *arguments, input=None):
    """What `strongroom admin` says, as JSON; it must succeed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    done = subprocess.run(
        [harness.binary(), "admin", "--data-dir", str(server.data_dir), "--json", *arguments],
        input=input, capture_output=True, text=True, timeout=60, env=clean | {"NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def statement(actions, resource, effect="Allow", **condition):
    """A statement; `condition` is operator={key: value}."""
    made = {"Effect": effect, "Action": actions, "Resource": resource}
    return made | ({"Condition": condition} if condition else {})


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class User:
    """A user with one policy of the same name."""

    def __init__(self, server, name, *statements):
        self.server, self.name = server, name
        admin(server, "user", "create", name)
        self.may(*statements)
        admin(server, "policy", "attach", name, "--user", name)
        made = admin(server, "user", "key", "create", name)
        self.access_key, self.secret_key = made["access_key"], made["secret_key"]

    def may(self, *statements):
        """Replaces the policy."""
        admin(self.server, "policy", "put", self.name, "-", input=policy(*statements))

    def client(self, **options):
        return self.server.client(access_key=self.access_key, secret_key=self.secret_key, **options)

    def session(self):
        return boto3.session.Session(self.access_key, self.secret_key, region_name=harness.REGION)

    def sts(self):
        return sts(self.server, self.access_key, self.secret_key)

    def gone(self):
        admin(self.server, "user", "delete", self.name)
        admin(self.server, "policy", "delete", self.name)


def sts(server, access_key=harness.ACCESS_KEY, secret_key=harness.SECRET_KEY, token=None):
    """boto3's client of the token service."""
    return boto3.session.Session(access_key, secret_key, token, region_name=harness.REGION).client(
        "sts", endpoint_url=server.s3_url, config=Config(retries={"total_max_attempts": 1})
    )


def refused(call, *arguments, **options):
    """The code with which a call is refused."""
    from botocore.exceptions import ClientError

    try:
        call(*arguments, **options)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError("the call was not refused")
