"""Users, policies, tokens: `strongroom admin` at the server's socket and from elsewhere, and what S3 clients may do then."""

import http.client
import json
import os
import subprocess
import urllib.parse

import boto3
import botocore.exceptions
import pytest

import harness
import people
from harness import binary

pytestmark = pytest.mark.ours

READ_ONE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shelf/*"}],
}


@pytest.fixture(scope="module")
def own(workspace):
    """A server whose identities nobody else changes."""
    running = harness.Server(workspace / "identities").start()
    yield running
    assert running.stop() == 0


def run(*arguments, input=None, **environment):
    """A run of `strongroom admin`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    return subprocess.run(
        [binary(), "admin", *arguments],
        input=input, capture_output=True, text=True, timeout=60, env=clean | {"NO_COLOR": "1"} | environment,
    )


def here(server, *arguments, input=None):
    """What it says at the server's socket, as JSON; it must succeed."""
    done = run("--data-dir", str(server.data_dir), "--json", *arguments, input=input)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def words(server, *arguments):
    """What it says there to people."""
    done = run("--data-dir", str(server.data_dir), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(server, *arguments):
    """Why it fails there."""
    done = run("--data-dir", str(server.data_dir), *arguments)
    assert done.returncode == 1, done.stdout
    return done.stderr


def elsewhere(server, token, *arguments):
    """A run against the API's port."""
    return run("--api-url", server.api_url, *arguments, STRONGROOM_TOKEN=token)


def client_of(server, user):
    key = here(server, "user", "key", "create", user)
    return server.client(access_key=key["access_key"], secret_key=key["secret_key"]), key["access_key"]


def denied(call, **arguments):
    """The code of the refusal."""
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        call(**arguments)
    return failure.value.response["Error"]["Code"]


def test_user_may_do_what_its_policies_say_until_it_is_disabled_or_gone(own):
    root = own.client()
    root.create_bucket(Bucket="shelf")
    root.put_object(Bucket="shelf", Key="book", Body=b"words")
    here(own, "user", "create", "alice")
    s3, _ = client_of(own, "alice")
    assert denied(s3.get_object, Bucket="shelf", Key="book") == "AccessDenied"
    here(own, "policy", "attach", "readonly", "--user", "alice")
    assert s3.get_object(Bucket="shelf", Key="book")["Body"].read() == b"words"
    assert denied(s3.put_object, Bucket="shelf", Key="book", Body=b"") == "AccessDenied"
    here(own, "policy", "detach", "readonly", "--user", "alice")
    here(own, "policy", "attach", "readwrite", "--user", "alice")
    s3.put_object(Bucket="shelf", Key="own", Body=b"mine")
    here(own, "user", "disable", "alice")
    assert denied(s3.get_object, Bucket="shelf", Key="own") in ("InvalidAccessKeyId", "AccessDenied")
    here(own, "user", "enable", "alice")
    assert s3.get_object(Bucket="shelf", Key="own")["Body"].read() == b"mine"
    here(own, "user", "delete", "alice")
    assert denied(s3.get_object, Bucket="shelf", Key="own") == "InvalidAccessKeyId"


def test_buckets_are_made_shown_and_deleted(own):
    assert here(own, "bucket", "create", "drawer")["name"] == "drawer"
    assert words(own, "bucket", "create", "drawer-2") == "bucket drawer-2 made\n"
    own.client().put_bucket_versioning(Bucket="drawer-2", VersioningConfiguration={"Status": "Enabled"})
    here(own, "bucket", "encryption", "set", "drawer-2", "--algorithm", "aws:kms")
    listed = {bucket["name"]: bucket for bucket in here(own, "bucket", "list")["buckets"]}
    assert listed["drawer"]["versioning"] == "off" and listed["drawer-2"]["encryption"]["algorithm"] == "aws:kms"
    assert here(own, "bucket", "show", "drawer-2") == listed["drawer-2"]
    lines = words(own, "bucket", "list").splitlines()
    assert lines[0].split() == ["BUCKET", "VERSIONING", "ENCRYPTION", "CREATED"]
    assert ["drawer-2", "enabled", "aws:kms"] in [line.split()[:3] for line in lines]
    assert "enabled" in words(own, "bucket", "show", "drawer-2")

    here(own, "user", "create", "clerk")
    names = people.policy(people.statement("s3:ListAllMyBuckets", "*"))
    here(own, "policy", "put", "read-names", "-", input=names)
    here(own, "policy", "attach", "read-names", "--user", "clerk")
    token = here(own, "token", "create", "--user", "clerk", "--scope", "all")["token"]
    done = elsewhere(own, token, "bucket", "list")
    assert ["drawer-2", "-", "-"] in [line.split()[:3] for line in done.stdout.splitlines()], done
    done = elsewhere(own, token, "bucket", "delete", "drawer-2")
    assert done.returncode == 1 and "AccessDenied" in done.stderr, done

    own.client().put_object(Bucket="drawer", Key="k", Body=b"x")
    assert "BucketNotEmpty" in refused(own, "bucket", "delete", "drawer")
    own.client().delete_object(Bucket="drawer", Key="k")
    assert words(own, "bucket", "delete", "drawer") == "bucket drawer deleted\n"
    assert here(own, "bucket", "delete", "drawer-2") == {"done": "deleted", "what": "bucket", "name": "drawer-2"}
    assert "NoSuchBucket" in refused(own, "bucket", "show", "drawer")
    here(own, "user", "delete", "clerk")


def test_own_policy_and_group_bound_a_user(own):
    root = own.client()
    root.put_object(Bucket="shelf", Key="book", Body=b"words")
    here(own, "policy", "put", "read-one", "-", input=json.dumps(READ_ONE))
    here(own, "user", "create", "bob")
    here(own, "group", "create", "readers")
    here(own, "policy", "attach", "read-one", "--group", "readers")
    s3, access_key = client_of(own, "bob")
    assert denied(s3.get_object, Bucket="shelf", Key="book") == "AccessDenied"
    assert here(own, "group", "add", "readers", "bob")["members"] == ["bob"]
    assert s3.get_object(Bucket="shelf", Key="book")["Body"].read() == b"words"
    assert denied(s3.list_objects_v2, Bucket="shelf") == "AccessDenied"
    assert here(own, "user", "show", "bob")["groups"] == ["readers"]
    assert here(own, "policy", "show", "read-one")["document"] == READ_ONE
    here(own, "user", "key", "disable", "bob", access_key)
    assert denied(s3.get_object, Bucket="shelf", Key="book") in ("InvalidAccessKeyId", "AccessDenied")
    here(own, "user", "key", "delete", "bob", access_key)
    assert here(own, "user", "key", "list", "bob")["access_keys"] == []
    assert "InUse" in refused(own, "policy", "delete", "read-one")
    here(own, "group", "remove", "readers", "bob")
    here(own, "policy", "detach", "read-one", "--group", "readers")
    here(own, "group", "delete", "readers")
    here(own, "policy", "delete", "read-one")
    here(own, "user", "delete", "bob")


def test_service_account_may_do_less_than_its_parent(own, tmp_path):
    own.client().put_object(Bucket="shelf", Key="book", Body=b"words")
    here(own, "user", "create", "carol")
    here(own, "policy", "attach", "readwrite", "--user", "carol")
    bound = tmp_path / "bound.json"
    bound.write_text(json.dumps(READ_ONE))
    made = here(own, "service-account", "create", "--user", "carol", "--policy", str(bound), "--expires", "1h")
    s3 = own.client(access_key=made["access_key"], secret_key=made["secret_key"])
    assert s3.get_object(Bucket="shelf", Key="book")["Body"].read() == b"words"
    assert denied(s3.put_object, Bucket="shelf", Key="book", Body=b"") == "AccessDenied"
    [account] = here(own, "service-account", "list")["service_accounts"]
    assert account["parent"] == "carol" and account["expires"]
    here(own, "user", "delete", "carol")
    assert denied(s3.get_object, Bucket="shelf", Key="book") == "InvalidAccessKeyId"


def test_token_lets_the_same_commands_work_from_elsewhere(own, tmp_path):
    token = here(own, "token", "create", "--scope", "identities:read", "--expires", "1h", "--description", "watch")
    shown = elsewhere(own, token["token"], "--json", "whoami")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["token"]["scopes"] == ["identities:read"]
    assert elsewhere(own, token["token"], "user", "list").stdout.startswith("USER")
    written = elsewhere(own, token["token"], "user", "create", "mallory")
    assert written.returncode == 1 and "identities:write" in written.stderr
    in_file = tmp_path / "token"
    in_file.write_text(token["token"] + "\n")
    assert run("--api-url", own.api_url, "--token-file", str(in_file), "user", "list").returncode == 0
    missing = run("--api-url", own.api_url, "user", "list")
    assert missing.returncode == 1 and "STRONGROOM_TOKEN" in missing.stderr
    only_here = elsewhere(own, token["token"], "keys", "groups")
    assert only_here.returncode == 1 and "its own machine" in only_here.stderr
    in_clear = run("--api-url", "http://192.0.2.1:8080", "whoami", STRONGROOM_TOKEN=token["token"])
    assert in_clear.returncode == 1 and "in the clear" in in_clear.stderr
    here(own, "token", "revoke", token["info"]["id"])
    revoked = elsewhere(own, token["token"], "whoami")
    assert revoked.returncode == 1 and "TokenInvalid" in revoked.stderr


def test_people_read_tables_and_are_told_that_a_secret_is_shown_once(own):
    assert "next:" in words(own, "user", "create", "dave")
    key = words(own, "user", "key", "create", "dave")
    assert "AWS_SECRET_ACCESS_KEY=" in key and "shown this once" in key
    assert "shown this once" in words(own, "token", "create", "--scope", "objects:read", "--user", "dave")
    table = words(own, "user", "list").splitlines()
    assert table[0].split() == ["USER", "STATE", "POLICIES", "GROUPS", "CREATED"]
    assert any(line.startswith("dave") and "enabled" in line for line in table)
    assert "consoleAdmin" in words(own, "policy", "list")
    assert "root" in words(own, "whoami")
    here(own, "user", "delete", "dave")


def test_mistakes_are_named(own, tmp_path):
    assert "NoSuchUser" in refused(own, "user", "show", "nobody")
    assert "InvalidName" in refused(own, "user", "create", "no/body")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert "is not JSON" in refused(own, "policy", "put", "broken", str(broken))
    broken.write_text('{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*"}]}')
    assert "MalformedPolicy" in refused(own, "policy", "put", "broken", str(broken))
    assert run("token", "create", "--scope", "everything").returncode == 2
    assert run("token", "create", "--scope", "objects:read", "--expires", "soon").returncode == 2


def test_a_policy_goes_to_the_server_as_it_was_written(own, tmp_path):
    """Whoever looks through a file with a member twice sees another policy than who takes the last of the two."""
    twice = tmp_path / "twice.json"
    twice.write_text(
        '{"Version": "2012-10-17", "Statement": [\n'
        '  {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}\n]}\n'
    )
    here(own, "user", "create", "twice")
    for arguments in (
        ("policy", "put", "twice", str(twice)),
        ("service-account", "create", "--user", "twice", "--policy", str(twice)),
    ):
        said = refused(own, *arguments)
        assert "MalformedPolicy" in said and "twice" in said, (arguments, said)
    assert "NoSuchPolicy" in refused(own, "policy", "show", "twice")
    assert here(own, "service-account", "list")["service_accounts"] == []
    here(own, "user", "delete", "twice")


def test_encryption_of_a_bucket_is_set_and_reset(own):
    s3 = own.client()
    s3.create_bucket(Bucket="sealed")
    assert here(own, "bucket", "encryption", "get", "sealed")["algorithm"] == "AES256"
    held = here(own, "bucket", "encryption", "set", "sealed", "--algorithm", "aws:kms", "--bucket-key")
    assert (held["algorithm"], held["bucket_key_enabled"]) == ("aws:kms", True)
    assert s3.put_object(Bucket="sealed", Key="a", Body=b"a")["ServerSideEncryption"] == "aws:kms"
    assert here(own, "bucket", "encryption", "reset", "sealed")["algorithm"] == "AES256"
    assert s3.put_object(Bucket="sealed", Key="a", Body=b"a")["ServerSideEncryption"] == "AES256"


def test_a_change_can_be_for_one_version_alone(own, tmp_path):
    own.client().create_bucket(Bucket="versioned-setting")
    seen = here(own, "bucket", "encryption", "get", "versioned-setting")["version"]
    assert seen in words(own, "bucket", "encryption", "get", "versioned-setting")
    set_to = ["bucket", "encryption", "set", "versioned-setting", "--algorithm", "aws:kms", "--if-match"]
    held = here(own, *set_to, seen)
    assert held["version"] != seen
    assert "PreconditionFailed" in refused(own, *set_to, seen)
    assert "PreconditionFailed" in refused(
        own, "bucket", "encryption", "reset", "versioned-setting", "--if-match", seen
    )
    here(own, "bucket", "encryption", "reset", "versioned-setting", "--if-match", held["version"])
    document = tmp_path / "policy.json"
    document.write_text(json.dumps(READ_ONE))
    first = here(own, "policy", "put", "of-one-version", str(document))["version"]
    assert first == here(own, "policy", "show", "of-one-version")["version"]
    document.write_text(json.dumps(READ_ONE | {"Id": "second"}))
    here(own, "policy", "put", "of-one-version", str(document), "--if-match", first)
    assert "PreconditionFailed" in refused(own, "policy", "put", "of-one-version", str(document), "--if-match", first)
    assert "PreconditionFailed" in refused(own, "policy", "delete", "of-one-version", "--if-match", first)
    here(own, "policy", "delete", "of-one-version", "--if-match", "*")


def test_bound_of_a_service_account_is_changed_later(own, tmp_path):
    own.client().put_object(Bucket="shelf", Key="book", Body=b"words")
    here(own, "user", "create", "frank")
    here(own, "policy", "attach", "readwrite", "--user", "frank")
    made = here(own, "service-account", "create", "--user", "frank")
    s3 = own.client(access_key=made["access_key"], secret_key=made["secret_key"])
    s3.put_object(Bucket="shelf", Key="franks", Body=b"")
    bound = tmp_path / "bound.json"
    bound.write_text(json.dumps(READ_ONE))
    assert here(own, "service-account", "policy", "set", made["access_key"], str(bound))["policy"] == READ_ONE
    assert denied(s3.put_object, Bucket="shelf", Key="franks", Body=b"") == "AccessDenied"
    assert s3.get_object(Bucket="shelf", Key="book")["Body"].read() == b"words"
    assert "bounded by nothing" in words(own, "service-account", "policy", "remove", made["access_key"])
    s3.put_object(Bucket="shelf", Key="franks", Body=b"")
    here(own, "user", "delete", "frank")


def test_temporary_credentials_of_everybody_can_be_ended(own):
    own.client().create_bucket(Bucket="for-a-while")
    asked = {"RoleArn": "arn:aws:iam::strongroom:role/any", "RoleSessionName": "job"}

    def session():
        made = people.sts(own).assume_role(**asked)["Credentials"]
        session = boto3.session.Session(
            made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], region_name=harness.REGION
        )
        return session.client("s3", endpoint_url=own.s3_url)

    s3 = session()
    s3.head_bucket(Bucket="for-a-while")
    here(own, "session", "revoke-all")
    assert denied(s3.list_objects_v2, Bucket="for-a-while") == "InvalidToken"
    session().head_bucket(Bucket="for-a-while")


def test_identities_survive_a_restart(workspace):
    server = harness.Server(workspace / "identities-restart").start()
    here(server, "user", "create", "erin")
    here(server, "policy", "attach", "readwrite", "--user", "erin")
    key = here(server, "user", "key", "create", "erin")
    token = here(server, "token", "create", "--scope", "buckets:read", "--user", "erin")["token"]
    server.kill()
    server.start()
    s3 = server.client(access_key=key["access_key"], secret_key=key["secret_key"])
    s3.create_bucket(Bucket="erins")
    assert elsewhere(server, token, "bucket", "encryption", "get", "erins").returncode == 0
    assert server.stop() == 0


def test_a_list_longer_than_a_page_is_shown_whole(start):
    server = start(arguments=["--api-config-requests-per-second", "100000", "--api-config-requests-burst", "100000"])
    token = here(server, "token", "create", "--scope", "all")["token"]
    names = [f"user{number:04}" for number in range(1001)]
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.api_url).netloc, timeout=60)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    for name in names:
        connection.request("POST", "/api/v1/users", json.dumps({"name": name}), headers)
        reply = connection.getresponse()
        assert (reply.status, reply.read() != b"") == (201, True)
    connection.request("GET", "/api/v1/users", headers=headers)
    page = json.loads(connection.getresponse().read())
    assert (len(page["users"]), page["next"]) == (1000, names[999])
    connection.close()
    listed = here(server, "user", "list")
    assert [user["name"] for user in listed["users"]] == names
    assert "next" not in listed
    assert all(name in words(server, "user", "list") for name in (names[0], names[1000]))
    assert server.stop() == 0


def test_a_description_does_nothing_to_the_terminal_of_an_administrator(server):
    evil = "\x1b[2Jcron\nAAAAAAAAAAAAAAAA  root  all"
    shown = "\\u{1b}[2Jcron\\nAAAAAAAAAAAAAAAA  root  all"
    token = here(server, "token", "create", "--scope", "objects:read", "--description", evil, "--expires", "1h")
    account = here(server, "service-account", "create", "--description", evil)["access_key"]
    for arguments in (["token", "list"], ["service-account", "list"], ["service-account", "show", account]):
        told = words(server, *arguments)
        assert shown in told and "\x1b" not in told and "\nAAAA" not in told, told
    assert evil in [found["description"] for found in here(server, "token", "list")["tokens"]]
    here(server, "token", "revoke", token["info"]["id"])
    here(server, "service-account", "delete", account)
