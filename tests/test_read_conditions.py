"""Conditions of reads as HTTP has them (RFC 9110, section 13.1): lists of tags, weak tags, tags without quotes, dates that are none."""

import pytest

import sigv4

pytestmark = pytest.mark.ours

OTHER = "0" * 32


def read(server, bucket, headers=None, *, method="GET", query=()):
    return sigv4.request(server.s3_url, method, f"/{bucket}/k", headers=headers, query=query)


@pytest.fixture
def tag(s3, bucket):
    return s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires="2030-01-01")["ETag"].strip('"')


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reads_compare_with_each_tag_of_a_list(server, bucket, tag, method):
    for value, is_match, is_none_match in [
        (f'"{OTHER}", "{tag}"', True, True),
        (f'"{tag}","{OTHER}"', True, True),
        (f"{OTHER}, {tag}", True, True),
        (tag, True, True),
        (f'"{tag}"', True, True),
        ("*", True, True),
        (f'"{OTHER}", "{OTHER}-2"', False, False),
        (f'"{tag}{OTHER}"', False, False),
        # Only If-None-Match compares weakly.
        (f'W/"{tag}"', False, True),
        (f'"{OTHER}", W/"{tag}"', False, True),
    ]:
        reply = read(server, bucket, {"if-match": value}, method=method)
        assert reply.status == (200 if is_match else 412), ("if-match", value)
        reply = read(server, bucket, {"if-none-match": value}, method=method)
        assert reply.status == (304 if is_none_match else 200), ("if-none-match", value)


def test_a_write_compares_with_one_tag(server, s3, bucket, tag):
    for value in (f'"{OTHER}", "{tag}"', f'"{tag}", "{OTHER}"'):
        reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/k", headers={"if-match": value}, body=b"new")
        assert reply.status == 412 and b"<Code>PreconditionFailed</Code>" in reply.body, (value, reply.body)


@pytest.mark.parametrize("value", ["tomorrow", "2030-01-01", "0"])
def test_a_date_that_is_none_is_no_condition(server, bucket, tag, value):
    for name in ("if-modified-since", "if-unmodified-since"):
        for method in ("GET", "HEAD"):
            assert read(server, bucket, {name: value}, method=method).status == 200, (name, value)
        headers = {"x-amz-copy-source": f"/{bucket}/k", f"x-amz-copy-source-{name}": value}
        reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/copy", headers=headers)
        assert reply.status == 200, (name, reply.body)


@pytest.mark.parametrize("value", ["0", "5d", "tomorrow, perhaps", "Thu, 01 Dec 1994 16:00:00 GMT"])
def test_expires_is_answered_as_it_was_asked_for(server, bucket, tag, value):
    for method in ("GET", "HEAD"):
        reply = read(server, bucket, method=method, query=[("response-expires", value)])
        assert (reply.status, reply.headers["expires"]) == (200, value), reply.body
