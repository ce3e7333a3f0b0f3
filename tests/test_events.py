"""Event notifications: what webhooks get, when, how often and in which order."""

import collections
import hashlib
import hmac
import http.server
import json
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest
from botocore.exceptions import ClientError

import harness
from certificates import Certificates

pytestmark = pytest.mark.ours
ARN = "arn:strongroom:sqs::orders:webhook"
SECRET = "a-secret-for-signatures-0123"
WAIT_SECONDS_MAX = 60


class Receiver:
    """A webhook that keeps what it gets and answers what it is told to."""

    def __init__(self, port=0, certificates=None):
        self.got = []
        self.status = 200
        self.heard = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver.heard:
                    status = receiver.status
                    receiver.got.append((status, dict(self.headers.items()), body))
                    receiver.heard.notify_all()
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.chain, certificates.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def records(self, status=200):
        """What was taken, in the order it came."""
        with self.heard:
            taken = [body for answered, _, body in self.got if answered == status]
        return [record for body in taken for record in json.loads(body)["Records"]]

    def wait(self, count, status=200):
        """The records once there are this many."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        with self.heard:
            while len([1 for answered, _, _ in self.got if answered == status]) < count:
                assert self.heard.wait(deadline - time.monotonic()), f"only {self.got}"
        return self.records(status)


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def configured(tmp_path, port, more="", scheme="http"):
    """Arguments for a server that has the webhook `orders`."""
    (tmp_path / "token").write_text("a-bearer-token\n")
    (tmp_path / "secret").write_text(SECRET + "\n")
    config = tmp_path / "strongroom.toml"
    config.write_text(
        f"""
[[webhooks]]
id = "orders"
url = "{scheme}://127.0.0.1:{port}/hook?x=1"
auth_token_file = "{tmp_path}/token"
signature_secret_file = "{tmp_path}/secret"
{more}
"""
    )
    return ["--config", str(config)]


def notify(s3, bucket, events=("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"), **rule):
    queue = {"Id": "rule", "QueueArn": ARN, "Events": list(events)} | rule
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
    )


def told(records):
    return [(record["eventName"], urllib.parse.unquote_plus(record["s3"]["object"]["key"])) for record in records]


def test_webhooks_get_what_happened_as_aws_says_it(start, tmp_path, receiver):
    server = start(arguments=configured(tmp_path, receiver.port))
    s3 = server.client()
    s3.create_bucket(Bucket="events")
    notify(s3, "events", Filter={"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}})
    put = s3.put_object(Bucket="events", Key="in/red flower+ü.jpg", Body=b"hello", Tagging="a=b")
    s3.put_object(Bucket="events", Key="out/b", Body=b"not asked for")
    s3.copy_object(Bucket="events", Key="in/copy", CopySource="events/in/red flower+ü.jpg")
    tags = {"TagSet": [{"Key": "k", "Value": "v"}]}
    s3.put_object_tagging(Bucket="events", Key="in/copy", Tagging=tags)
    s3.delete_object_tagging(Bucket="events", Key="in/copy")
    s3.delete_object(Bucket="events", Key="in/copy")
    upload = s3.create_multipart_upload(Bucket="events", Key="in/parts")["UploadId"]
    part = s3.upload_part(Bucket="events", Key="in/parts", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(
        Bucket="events",
        Key="in/parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    records = receiver.wait(6)
    assert sorted(told(records)) == sorted(
        [
            ("ObjectCreated:Put", "in/red flower+ü.jpg"),
            ("ObjectCreated:Copy", "in/copy"),
            ("ObjectTagging:Put", "in/copy"),
            ("ObjectTagging:Delete", "in/copy"),
            ("ObjectRemoved:Delete", "in/copy"),
            ("ObjectCreated:CompleteMultipartUpload", "in/parts"),
        ]
    )
    record = next(record for record in records if record["eventName"] == "ObjectCreated:Put")
    assert record["eventVersion"].startswith("2.") and record["eventSource"] == "aws:s3"
    assert record["awsRegion"] == harness.REGION
    assert record["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}
    assert record["responseElements"]["x-amz-request-id"] == put["ResponseMetadata"]["RequestId"]
    assert record["s3"]["configurationId"] == "rule"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::events"
    stored = record["s3"]["object"]
    assert stored["key"] == "in/red+flower%2B%C3%BC.jpg"
    assert (stored["size"], stored["eTag"]) == (5, put["ETag"].strip('"'))
    of_copy = [record["s3"]["object"]["sequencer"] for record in records if "copy" in told([record])[0][1]]
    assert of_copy == sorted(of_copy), "in the order of the requests"

    for _, headers, body in receiver.got:
        assert headers["authorization"] == "Bearer a-bearer-token"
        expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["x-strongroom-signature"] == f"sha256={expected}"
    for secret in ("a-bearer-token", SECRET, "red flower"):
        assert secret not in server.log()
    assert server.stop() == 0


def test_versions_and_their_markers_are_told(start, tmp_path, receiver):
    server = start(arguments=configured(tmp_path, receiver.port))
    s3 = server.client()
    s3.create_bucket(Bucket="events")
    s3.put_bucket_versioning(Bucket="events", VersioningConfiguration={"Status": "Enabled"})
    notify(s3, "events")
    put = s3.put_object(Bucket="events", Key="a", Body=b"x")
    marker = s3.delete_object(Bucket="events", Key="a")
    s3.delete_object(Bucket="events", Key="a", VersionId=put["VersionId"])
    records = receiver.wait(3)
    names = [record["eventName"] for record in records]
    assert names == ["ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectRemoved:Delete"]
    versions = [record["s3"]["object"]["versionId"] for record in records]
    assert versions == [put["VersionId"], marker["VersionId"], put["VersionId"]]


def test_what_could_not_be_delivered_is_after_a_crash(start, tmp_path):
    down = Receiver()
    port = down.port
    down.close()
    server = start(arguments=configured(tmp_path, port))
    s3 = server.client()
    s3.create_bucket(Bucket="events")
    notify(s3, "events")
    for n in range(20):
        s3.put_object(Bucket="events", Key=f"k{n % 5}", Body=b"x" * n)
    server.kill()
    server.start()
    server.client().put_object(Bucket="events", Key="k0", Body=b"after the crash")
    receiver = Receiver(port)
    try:
        records = receiver.wait(21)
        sizes = collections.defaultdict(list)
        for record in records:
            stored = record["s3"]["object"]
            if not sizes[stored["key"]] or sizes[stored["key"]][-1][0] != stored["sequencer"]:
                sizes[stored["key"]].append((stored["sequencer"], stored["size"]))
        for key, seen in sizes.items():
            assert [sequencer for sequencer, _ in seen] == sorted(sequencer for sequencer, _ in seen), key
            expected = [n for n in range(20) if f"k{n % 5}" == key] + ([15] if key == "k0" else [])
            assert [size for _, size in seen] == expected, key
        assert "in trouble" in server.log()
    finally:
        receiver.close()
    assert server.stop() == 0


def test_a_receiver_that_fails_gets_everything_later_in_order(start, tmp_path, receiver):
    receiver.status = 503
    server = start(arguments=configured(tmp_path, receiver.port))
    s3 = server.client()
    s3.create_bucket(Bucket="events")
    notify(s3, "events")
    s3.put_object(Bucket="events", Key="a", Body=b"1")
    receiver.wait(1, status=503)
    s3.put_object(Bucket="events", Key="a", Body=b"22")
    s3.delete_object(Bucket="events", Key="a")
    with receiver.heard:
        receiver.status = 200
    records = receiver.wait(3)
    assert [record["eventName"] for record in records] == ["ObjectCreated:Put"] * 2 + ["ObjectRemoved:Delete"]
    assert [record["s3"]["object"].get("size") for record in records] == [1, 2, None]
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while server.metric("strongroom_events_pending", target="orders") > 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.metric("strongroom_events_delivered_total", target="orders") == 3
    assert server.metric("strongroom_events_failed_total", target="orders", reason="trouble") >= 1


def test_forms_batches_and_the_rest_api_are_told_with_who_did_it(start, tmp_path, receiver):
    server = start(arguments=configured(tmp_path, receiver.port))
    s3 = server.client()
    s3.create_bucket(Bucket="events")
    notify(s3, "events")
    form = s3.generate_presigned_post("events", "from-a-form")
    boundary = "----boundary"
    fields = [(name, value) for name, value in form["fields"].items()] + [("file", "content")]
    body = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    )
    post = urllib.request.Request(form["url"], data=(body + f"--{boundary}--\r\n").encode(), method="POST")
    post.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
    with urllib.request.urlopen(post, timeout=60) as reply:
        assert reply.status in (200, 204)
    for key in ("batch/1", "batch/2"):
        s3.put_object(Bucket="events", Key=key, Body=b"x")
    s3.delete_objects(Bucket="events", Delete={"Objects": [{"Key": "batch/1"}, {"Key": "batch/2"}]})
    admin(server, "user", "create", "alice")
    admin(server, "policy", "attach", "readwrite", "--user", "alice")
    token = json.loads(admin(server, "--json", "token", "create", "--user", "alice", "--scope", "all"))["token"]
    for method, data in (("PUT", b"rest"), ("DELETE", None)):
        request = urllib.request.Request(
            f"{server.api_url}/api/v1/buckets/events/objects/rest", data=data, method=method
        )
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.status in (201, 204)
    records = receiver.wait(7)
    assert sorted(told(records)) == sorted(
        [
            ("ObjectCreated:Post", "from-a-form"),
            ("ObjectCreated:Put", "batch/1"),
            ("ObjectCreated:Put", "batch/2"),
            ("ObjectRemoved:Delete", "batch/1"),
            ("ObjectRemoved:Delete", "batch/2"),
            ("ObjectCreated:Put", "rest"),
            ("ObjectRemoved:Delete", "rest"),
        ]
    )
    for record in records:
        by_rest = told([record])[0][1] == "rest"
        who = "arn:aws:iam::000000000000:user/alice" if by_rest else "root"
        assert record["userIdentity"]["principalId"] == who, record
        assert record["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}, record
        assert record["responseElements"]["x-amz-request-id"], record


def test_changes_of_identities_are_told(start, tmp_path, receiver):
    server = start(arguments=configured(tmp_path, receiver.port, 'events = ["iam"]'))
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    # A webhook is told from when it is first known, which is a moment after the start.
    n = 0
    while not receiver.records():
        admin(server, "user", "create", f"try-{n}")
        n += 1
        assert time.monotonic() < deadline
    admin(server, "user", "create", "alice")
    admin(server, "policy", "attach", "readonly", "--user", "alice")
    server.client().create_bucket(Bucket="not-asked-for")
    admin(server, "user", "delete", "alice")
    while "UserDeleted" not in [record["eventName"] for record in receiver.records()]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mine = [record for record in receiver.records() if not record["subject"].startswith("try-")]
    told = [record["eventName"] for record in mine]
    assert told == ["UserCreated", "PolicyAttached", "PolicyDetached", "UserDeleted"]
    assert {record["eventSource"] for record in mine} == {"strongroom:iam"}
    assert {record["userIdentity"]["principalId"] for record in mine} == {"root"}
    numbers = [int(record["sequencer"], 16) for record in receiver.records()]
    assert numbers == sorted(set(numbers)), "in order, and once"


def test_a_webhook_behind_tls_is_trusted_by_the_authority_that_is_named(start, tmp_path):
    certificates = Certificates(tmp_path / "certificates")
    receiver = Receiver(certificates=certificates)
    try:
        trust = f'ca_file = "{certificates.authority}"'
        server = start(arguments=configured(tmp_path, receiver.port, trust, scheme="https"))
        s3 = server.client()
        s3.create_bucket(Bucket="events")
        notify(s3, "events")
        s3.put_object(Bucket="events", Key="a", Body=b"x")
        assert told(receiver.wait(1)) == [("ObjectCreated:Put", "a")]
    finally:
        receiver.close()


def test_a_webhook_behind_tls_that_nobody_vouches_for_gets_nothing(start, tmp_path):
    receiver = Receiver(certificates=Certificates(tmp_path / "certificates"))
    try:
        server = start(arguments=configured(tmp_path, receiver.port, scheme="https"))
        s3 = server.client()
        s3.create_bucket(Bucket="events")
        notify(s3, "events")
        s3.put_object(Bucket="events", Key="a", Body=b"x")
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while server.metric("strongroom_events_failed_total", target="orders", reason="trouble") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert receiver.got == []
        assert server.metric("strongroom_events_pending", target="orders") == 1
    finally:
        receiver.close()


def test_events_for_a_webhook_that_is_gone_wait_and_are_seen(start, tmp_path, receiver):
    receiver.status = 503
    server = start(arguments=configured(tmp_path, receiver.port))
    s3 = server.client()
    s3.create_bucket(Bucket="events")
    notify(s3, "events")
    s3.put_object(Bucket="events", Key="a", Body=b"x")
    receiver.wait(1, status=503)
    server.stop()
    (tmp_path / "strongroom.toml").write_text("")
    server.start()
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        targets = json.loads(admin(server, "events", "--json"))["targets"]
        if [(target["id"], target["pending"]) for target in targets] == [("orders", 1)]:
            break
        assert time.monotonic() < deadline, targets
        time.sleep(0.05)
    assert "not in the configuration" in server.log()


def test_configurations_that_make_no_sense_are_refused(start, tmp_path, receiver):
    server = start(arguments=configured(tmp_path, receiver.port))
    s3 = server.client()
    s3.create_bucket(Bucket="events")
    for rule in (
        {"QueueArn": "arn:strongroom:sqs::nobody:webhook"},
        {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:queue"},
        {"Events": ["s3:ObjectRestore:Post"]},
    ):
        with pytest.raises(ClientError) as refused:
            notify(s3, "events", **rule)
        assert refused.value.response["Error"]["Code"] == "InvalidArgument", rule
    notify(s3, "events")
    shown = s3.get_bucket_notification_configuration(Bucket="events")["QueueConfigurations"]
    assert [(rule["Id"], rule["QueueArn"]) for rule in shown] == [("rule", ARN)]


def test_mistakes_in_the_configuration_are_explained(tmp_path):
    config = tmp_path / "strongroom.toml"
    config.write_text('[[webhooks]]\nid = "a b"\nurl = "ftp://x/"\nevents = ["objects"]\n')
    check = subprocess.run(
        [harness.binary(), "config", "check", "--config", str(config)], capture_output=True, text=True, timeout=60
    )
    assert check.returncode != 0
    for key in ("webhooks.1.id", "webhooks.1.url", "webhooks.1.events"):
        assert key in check.stdout + check.stderr, check


def test_a_token_that_would_be_sent_in_the_clear_is_warned_of(tmp_path):
    (tmp_path / "token").write_text("a-bearer-token\n")
    config = tmp_path / "strongroom.toml"
    for host, warned in (("hooks.example.com", True), ("127.0.0.1", False)):
        config.write_text(
            f'[[webhooks]]\nid = "orders"\nurl = "http://{host}/x"\nauth_token_file = "{tmp_path}/token"\n'
        )
        check = subprocess.run(
            [harness.binary(), "config", "check", "--config", str(config)], capture_output=True, text=True, timeout=60
        )
        assert check.returncode == 0, check
        assert ("in the clear" in check.stdout) == warned, check.stdout
        assert "a-bearer-token" not in check.stdout + check.stderr


def test_administration_is_told_and_kept(start, tmp_path, receiver):
    server = start(arguments=configured(tmp_path, receiver.port, 'events = ["buckets", "keys"]'))
    s3 = server.client()
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    # A webhook is told from when it is first known, which is a moment after the start.
    n = 0
    while not receiver.records():
        s3.create_bucket(Bucket=f"try-{n}")
        n += 1
        time.sleep(0.1)
        assert time.monotonic() < deadline
    s3.create_bucket(Bucket="made")
    admin(server, "keys", "rotate", "--bucket", "made")
    s3.delete_bucket(Bucket="made")
    while "BucketDeleted" not in [record["eventName"] for record in receiver.records()]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mine = [record for record in receiver.records() if record["subject"] == "made"]
    assert [record["eventName"] for record in mine] == ["BucketCreated", "GroupKeyRotated", "BucketDeleted"]
    assert mine[0]["userIdentity"]["principalId"] == "root"

    server.kill()
    server.start()
    lines = [json.loads(line) for line in admin(server, "audit", "--json").splitlines()]
    assert [act["name"] for act in lines if act["subject"] == "made"] == [
        "BucketCreated",
        "GroupKeyRotated",
        "BucketDeleted",
    ]
    assert admin(server, "audit", "--since", "2100-01-01T00:00:00Z") == ""
    report = json.loads(admin(server, "events", "--json"))
    assert [target["id"] for target in report["targets"]] == ["orders"]


def admin(server, *arguments):
    done = subprocess.run(
        [harness.binary(), "admin", "--data-dir", str(server.data_dir), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    return done.stdout
