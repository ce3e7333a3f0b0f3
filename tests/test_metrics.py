"""What a Prometheus server reads: the figures that operators set alarms on are there, named, explained, and move."""

import re
import time

import pytest

import harness

from content import KIB, MIB, data, read
from people import admin
from sigv4 import sse_c

pytestmark = pytest.mark.ours

# After the traffic of `busy`: name, type, labels, and what the figure has at least.
SERIES = [
    ("strongroom_s3_requests_total", "counter", {"operation": "PutObject", "status": "2xx"}, 4),
    ("strongroom_s3_requests_total", "counter", {"operation": "GetObject", "status": "4xx"}, 1),
    ("strongroom_s3_request_seconds", "histogram", {"operation": "PutObject"}, 4),
    ("strongroom_s3_first_byte_seconds", "histogram", {"operation": "GetObject"}, 4),
    ("strongroom_s3_errors_total", "counter", {"operation": "GetObject", "code": "NoSuchKey"}, 1),
    ("strongroom_s3_received_bytes_total", "counter", {}, MIB),
    ("strongroom_s3_sent_bytes_total", "counter", {}, MIB),
    ("strongroom_s3_connections_total", "counter", {}, 1),
    ("strongroom_s3_connections_open", "gauge", {}, 1),
    ("strongroom_objects_operations_total", "counter", {"outcome": "ok"}, 8),
    ("strongroom_objects_written_total", "counter", {"sse": "s3", "place": "inline"}, 1),
    ("strongroom_objects_written_total", "counter", {"sse": "s3", "place": "blob"}, 1),
    ("strongroom_objects_written_total", "counter", {"sse": "kms"}, 1),
    ("strongroom_objects_written_total", "counter", {"sse": "customer"}, 1),
    ("strongroom_objects_sealed_bytes_total", "counter", {}, MIB),
    ("strongroom_objects_opened_bytes_total", "counter", {}, MIB),
    ("strongroom_objects_sse_errors_total", "counter", {"sse": "customer"}, 1),
    ("strongroom_blobs_written_bytes_total", "counter", {}, MIB),
    ("strongroom_blobs_read_bytes_total", "counter", {}, MIB),
    ("strongroom_blobs_sync_seconds", "histogram", {}, 1),
    ("strongroom_kms_calls_total", "counter", {"provider": "local"}, 1),
    ("strongroom_kms_call_seconds", "histogram", {"provider": "local"}, 1),
    ("strongroom_kms_errors_total", "counter", {"provider": "local"}, 1),
    ("strongroom_kms_cache_hits_total", "counter", {}, 1),
    ("strongroom_kms_cache_misses_total", "counter", {}, 1),
    ("strongroom_kms_keys", "gauge", {"provider": "local", "state": "enabled"}, 1),
    ("strongroom_store_commits_total", "counter", {"outcome": "applied"}, 5),
    ("strongroom_store_commit_seconds", "histogram", {}, 5),
    ("strongroom_store_poisoned", "gauge", {}, 0),
    ("strongroom_log_appends_total", "counter", {}, 5),
    ("strongroom_log_appended_bytes_total", "counter", {}, KIB),
    ("strongroom_log_fsyncs_total", "counter", {}, 1),
    ("strongroom_log_fsync_seconds", "histogram", {}, 1),
    ("strongroom_log_commands_per_fsync", "histogram", {}, 1),
    ("strongroom_log_bytes", "gauge", {}, 100),
    ("strongroom_log_segments", "gauge", {}, 1),
    ("strongroom_pages_written_total", "counter", {}, 1),
    # What they count is shown by a restart, below: a store that was just made has all its pages in memory.
    ("strongroom_pages_tags_cache_hits_total", "counter", {}, 0),
    ("strongroom_pages_tags_cache_misses_total", "counter", {}, 0),
    ("strongroom_pages_read_total", "counter", {}, 0),
    ("strongroom_checkpoints_total", "counter", {"outcome": "ok"}, 1),
    ("strongroom_checkpoint_seconds", "histogram", {}, 1),
    ("strongroom_groups", "gauge", {}, 2),
    ("strongroom_keys", "gauge", {"state": "active"}, 2),
    ("strongroom_api_requests_total", "counter", {"route": "/health/ready", "status": "200"}, 1),
    ("strongroom_ready", "gauge", {"check": "kms"}, 1),
    ("strongroom_ready", "gauge", {"check": "store"}, 1),
    ("strongroom_process_resident_bytes", "gauge", {}, MIB),
    ("strongroom_process_open_files", "gauge", {}, 5),
    ("strongroom_build_info", "gauge", {}, 1),
]


@pytest.fixture(scope="module")
def busy(workspace):
    """The text of /metrics after some of everything."""
    server = harness.Server(workspace / "metrics", arguments=["--sse-c-over-http"]).start()
    s3 = server.client()
    try:
        s3.create_bucket(Bucket="busy")
        s3.put_object(Bucket="busy", Key="small", Body=data(100))
        s3.put_object(Bucket="busy", Key="large", Body=data(MIB))
        s3.put_object(Bucket="busy", Key="kms", Body=data(100 * KIB), ServerSideEncryption="aws:kms")
        s3.put_object(Bucket="busy", Key="customer", Body=b"x", **sse_c(bytes(32)))
        for key in ("small", "large", "kms", "kms"):
            read(s3.get_object(Bucket="busy", Key=key))
        for wrong in ({"Key": "missing"}, {"Key": "customer", **sse_c(b"k" * 32)}):
            with pytest.raises(s3.exceptions.ClientError):
                s3.get_object(Bucket="busy", **wrong)
        with pytest.raises(s3.exceptions.ClientError):
            s3.put_object(
                Bucket="busy", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="no-such-key"
            )
        admin(server, "checkpoint")
        s3.head_bucket(Bucket="busy")
        # Keys are looked at every other second.
        deadline = time.monotonic() + 30
        while server.metric("strongroom_keys", state="active") < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        yield server.api("/metrics")[1]
        assert server.stop() == 0
    finally:
        server.kill()


def figure(text, name, kind, labels):
    """The sum of the series of a metric that carry these labels; of a histogram, how many values it has."""
    name = f"{name}_count" if kind == "histogram" else name
    found = [
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if re.match(rf"{name}(\{{|\s)", line) and all(f'{key}="{value}"' in line for key, value in labels.items())
    ]
    assert found, f"there is no {name} with {labels}"
    return sum(found)


@pytest.mark.parametrize("name, kind, labels, least", SERIES, ids=lambda value: str(value).removeprefix("strongroom_"))
def test_a_figure_is_there_with_its_help_and_unit(busy, name, kind, labels, least):
    helped = re.search(rf"^# HELP {name} (.+)$", busy, re.MULTILINE)
    assert helped and len(helped.group(1)) > 10
    assert re.search(rf"^# TYPE {name} {kind}$", busy, re.MULTILINE)
    assert name.endswith("_total") == (kind == "counter")
    assert figure(busy, name, kind, labels) >= least


def test_bytes_and_seconds_are_of_the_size_that_their_unit_says(busy):
    sealed = figure(busy, "strongroom_objects_sealed_bytes_total", "counter", {})
    assert MIB + 100 * KIB <= sealed < 2 * MIB
    spent = re.search(r'^strongroom_s3_request_seconds_sum\{operation="PutObject"\} (\S+)$', busy, re.MULTILINE)
    assert 0 < float(spent.group(1)) < 60
    assert figure(busy, "strongroom_store_poisoned", "gauge", {}) == 0


def test_no_figure_names_what_a_client_named(busy):
    assert "busy" not in busy and "customer-key" not in busy and "no-such-key" not in busy


def test_pages_that_are_read_from_the_disk_are_counted_and_so_are_their_tags(workspace):
    server = harness.Server(workspace / "pages").start()
    try:
        s3 = server.client()
        s3.create_bucket(Bucket="pages")
        for number in range(100):
            s3.put_object(Bucket="pages", Key=f"k{number}", Body=data(8 * KIB, number))
        assert server.stop() == 0
        server.start()
        s3 = server.client()
        for number in range(100):
            assert read(s3.get_object(Bucket="pages", Key=f"k{number}")) == data(8 * KIB, number)
        assert server.metric("strongroom_pages_read_total") >= 100
        assert server.metric("strongroom_pages_tags_cache_hits_total") >= 1
        assert server.metric("strongroom_pages_tags_cache_misses_total") >= 1
        assert server.stop() == 0
    finally:
        server.kill()


def test_each_key_has_its_own_figures_and_no_bucket_its_name(workspace):
    server = harness.Server(workspace / "metrics-keys").start()
    try:
        s3 = server.client()
        s3.create_bucket(Bucket="named")
        s3.put_object(Bucket="named", Key="k", Body=data(100))
        admin(server, "keys", "rotate", "--bucket", "named")
        text = server.api("/metrics/keys")[1]
        assert "named" not in text
        for name in ("created_timestamp_seconds", "seals", "sealed_bytes", "last_used_timestamp_seconds"):
            name = f"strongroom_key_{name}"
            assert re.search(rf"^# HELP {name} .{{20,}}\n# TYPE {name} gauge$", text, re.MULTILINE)
            series = re.findall(rf'^{name}{{group="(\d+)",key="(\d+)",state="(\w+)"}} (\d+)$', text, re.MULTILINE)
            assert [(group, key) for group, key, _, _ in series] == [("0", "1"), ("1", "1"), ("1", "2")]
            assert [state for *_, state, _ in series][0::2] == ["active", "active"]
        created = figure(text, "strongroom_key_created_timestamp_seconds", "gauge", {"group": "1", "key": "2"})
        assert abs(created - time.time()) < 120
        assert figure(text, "strongroom_key_seals", "gauge", {"group": "1", "key": "1"}) >= 1
        assert figure(text, "strongroom_key_sealed_bytes", "gauge", {"group": "1", "key": "1"}) >= 100
        assert server.stop() == 0
    finally:
        server.kill()
