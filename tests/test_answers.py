"""What AWS answers to requests for objects that its SDKs never send: codes, messages, and the fields of its errors."""

import base64
import hashlib
import html
import http.client
import re
import urllib.parse

import pytest

import sigv4
from conftest import fresh_name
from content import refused

pytestmark = pytest.mark.ours

PART_NUMBER = "Part number must be an integer between 1 and 10000, inclusive"
TAG_KEY = "The TagKey you have provided is invalid"
TAG_VALUE = "The TagValue you have provided is invalid"
TAGGING = (
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
    "duplicates."
)
NOT_DONE = "A header you provided implies functionality that is not implemented"


def number(name):
    return f"Provided {name} not an integer or within integer range"


def negative(name):
    return f"Argument {name} must be an integer between 0 and 2147483647"


def field(reply, name):
    found = re.search(rf"<{name}>(.*?)</{name}>", reply.body.decode(), re.DOTALL)
    return found and html.unescape(found.group(1))


@pytest.fixture(scope="module")
def ask(server, s3):
    """Asks for an object of a bucket with one object, `there`, of ten bytes."""
    bucket = fresh_name("answers")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="there", Body=b"0123456789")

    def send(method, key="", query=(), headers=None, body=b"", sign=True):
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
        headers = {name: value.replace("{bucket}", bucket) for name, value in (headers or {}).items()}
        return sigv4.request(server.s3_url, method, path, query=query, headers=headers, body=body, sign=sign)

    send.bucket, send.s3, send.url = bucket, s3, server.s3_url
    return send


@pytest.fixture(scope="module")
def upload(ask):
    """An upload of `upload` with one part of ten bytes; the id, and the part's tag."""
    begun = ask("POST", "upload", [("uploads", "")])
    upload = field(begun, "UploadId")
    part = ask("PUT", "upload", [("partNumber", "1"), ("uploadId", upload)], body=b"0123456789")
    return upload, part.headers["etag"]


def refuses(reply, status, code, message, **fields):
    found = {name: field(reply, name) for name in ("Code", "Message", *fields)}
    assert (reply.status, found) == (status, {"Code": code, "Message": message, **fields})


BUCKET = "The specified bucket is not valid."


def test_name_that_no_bucket_can_have_is_told(ask):
    for name in ("Upper", "a_b", "ab", "a..b", "192.168.1.1", "x" * 64, "b%20c"):
        for method, path in (("PUT", f"/{name}"), ("GET", f"/{name}/key"), ("DELETE", f"/{name}/")):
            host = urllib.parse.urlsplit(ask.url).netloc
            headers = sigv4.Signer().headers(method, host, path, (), {}, sigv4.EMPTY)
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request(method, path, headers=headers)
            reply = sigv4.Reply(connection.getresponse())
            connection.close()
            refuses(reply, 400, "InvalidBucketName", BUCKET, BucketName=urllib.parse.unquote(name))


def test_key_that_is_too_long_is_told_with_its_length(ask):
    for key, size in (("k" * 1025, 1025), ("ä" * 513, 1026), ("a/" * 600, 1200)):
        for method in ("PUT", "GET", "DELETE"):
            reply = ask(method, key)
            refuses(reply, 400, "KeyTooLongError", "Your key is too long", Size=str(size), MaxSizeAllowed="1024")


LISTS = [
    ([], "max-keys", "max-keys", "maxKeys", negative("maxKeys")),
    ([("list-type", "2")], "max-keys", "max-keys", "maxKeys", negative("maxKeys")),
    ([("versions", "")], "max-keys", "max-keys", "maxKeys", "max-keys cannot be negative"),
    ([("uploads", "")], "max-uploads", "max-uploads", "max-uploads", negative("max-uploads")),
]


@pytest.mark.parametrize("query, name, unreadable, below, message", LISTS)
def test_limit_of_a_listing_that_is_none(ask, query, name, unreadable, below, message):
    for value in ("abc", "2147483648", "2736457823532448723"):
        reply = ask("GET", query=[*query, (name, value)])
        refuses(reply, 400, "InvalidArgument", number(unreadable), ArgumentName=unreadable, ArgumentValue=value)
    reply = ask("GET", query=[*query, (name, "-5")])
    refuses(reply, 400, "InvalidArgument", message, ArgumentName=below, ArgumentValue="-5")


@pytest.mark.parametrize("query, name, unreadable, below, message", LISTS)
def test_limit_without_a_number_is_none(ask, query, name, unreadable, below, message):
    reply = ask("GET", query=[*query, (name, "")])
    most = "MaxUploads" if name == "max-uploads" else "MaxKeys"
    assert (reply.status, field(reply, most)) == (200, "1000")


def test_limit_and_marker_of_a_list_of_parts(ask, upload):
    def parts(*pair):
        return ask("GET", "upload", [("uploadId", upload[0]), pair])

    for name in ("max-parts", "part-number-marker"):
        for value in ("abc", "2736457823532448723"):
            told = dict(ArgumentName=name, ArgumentValue=value)
            refuses(parts(name, value), 400, "InvalidArgument", number(name), **told)
        told = dict(ArgumentName=name, ArgumentValue="-3")
        refuses(parts(name, "-3"), 400, "InvalidArgument", negative(name), **told)
        assert field(parts(name, ""), "PartNumber") == "1"
    beyond = parts("part-number-marker", "99999")
    assert (beyond.status, field(beyond, "PartNumber"), field(beyond, "PartNumberMarker")) == (200, None, "99999")


@pytest.mark.parametrize("value", ["0", "-1", "10001", "abc", "", "99999999999"])
def test_number_of_a_part_that_is_none(ask, upload, value):
    told = dict(ArgumentName="partNumber", ArgumentValue=value)
    reply = ask("PUT", "upload", [("partNumber", value), ("uploadId", upload[0])], body=b"x")
    refuses(reply, 400, "InvalidArgument", PART_NUMBER, **told)
    refuses(ask("GET", "there", [("partNumber", value)]), 400, "InvalidArgument", PART_NUMBER, **told)


def test_part_of_no_upload(ask):
    why = "This operation does not accept partNumber without uploadId"
    told = dict(ArgumentName="partNumber", ArgumentValue="1")
    refuses(ask("PUT", "there", [("partNumber", "1")], body=b"x"), 400, "InvalidArgument", why, **told)
    assert ask("GET", "there").body == b"0123456789"


@pytest.mark.parametrize(
    "method, query, body",
    [
        ("PUT", [("partNumber", "1")], b"x"),
        ("GET", [], b""),
        ("DELETE", [], b""),
        ("POST", [], b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"),
    ],
)
def test_bucket_that_is_not_there_is_told_before_an_upload_that_is_none(ask, method, query, body):
    query = [*query, ("uploadId", "none")]
    reply = sigv4.request(ask.url, method, "/no-bucket-of-this-name/k", query=query, body=body)
    assert (reply.status, field(reply, "Code")) == (404, "NoSuchBucket")
    reply = ask(method, "k", query, body=body)
    assert (reply.status, field(reply, "Code"), field(reply, "UploadId")) == (404, "NoSuchUpload", "none")


def test_completion_that_is_wrong(ask, upload):
    upload, tag = upload

    def complete(part, **headers):
        part = f"<Part><PartNumber>{part}</PartNumber><ETag>{tag}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask("POST", "upload", [("uploadId", upload)], headers, body)

    for part in ("0", "-4"):
        told = dict(ArgumentName="PartNumber", ArgumentValue=part)
        refuses(complete(part), 400, "InvalidArgument", "PartNumber must be >= 1", **told)
    why = "Value for x-amz-mp-object-size header is less than zero: '-1'"
    refuses(complete(1, x_amz_mp_object_size="-1"), 400, "InvalidRequest", why)


ENCODING, OF_BUCKET, OF_KEY = (
    f"Invalid copy source {what}" for what in ("encoding", "bucket name", "object key")
)


@pytest.mark.parametrize(
    "source, why",
    [
        ("bucket/%ZZ", ENCODING),
        ("100%/foo/bar", ENCODING),
        ("bucket/%A/bar", ENCODING),
        ("%", ENCODING),
        ("bucket/%C3%", ENCODING),
        ("192.168.1.1/foo", OF_BUCKET),
        ("my-buc@k&()t/obj", OF_BUCKET),
        ("bucket", OF_KEY),
        ("bucket/", OF_KEY),
        ("/", OF_KEY),
    ],
)
def test_source_of_a_copy_that_is_none(ask, source, why):
    told = dict(ArgumentName="x-amz-copy-source", ArgumentValue=source)
    reply = ask("PUT", "copy", headers={"x-amz-copy-source": source})
    refuses(reply, 400, "InvalidArgument", why, **told)
    query = [("partNumber", "1"), ("uploadId", "x")]
    refuses(ask("PUT", "copy", query, {"x-amz-copy-source": source}), 400, "InvalidArgument", why, **told)


@pytest.mark.parametrize("tagging", ["=", "=v", "key%", "a=1&a=2"])
def test_tags_of_a_header_that_are_none(ask, tagging):
    reply = ask("PUT", "tagged", headers={"x-amz-tagging": tagging}, body=b"x")
    told = dict(ArgumentName="x-amz-tagging", ArgumentValue=tagging)
    refuses(reply, 400, "InvalidArgument", TAGGING, **told)


@pytest.mark.parametrize("sign", "?(*$#!")
def test_tag_that_is_not_allowed_is_named(ask, sign):
    def tagged(key, value):
        return [
            ask("PUT", "tagged", headers={"x-amz-tagging": f"ok=v&{key}={value}"}, body=b"x"),
            ask("PUT", "there", [("tagging", "")], body=document(("ok", "v"), (key, value))),
        ]

    for reply in tagged(f"k{sign}", "v"):
        refuses(reply, 400, "InvalidTag", TAG_KEY, TagKey=f"k{sign}", TagValue=None)
    for reply in tagged("k", f"v{sign}"):
        refuses(reply, 400, "InvalidTag", TAG_VALUE, TagKey="k", TagValue=f"v{sign}")


def document(*tags):
    tags = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    return f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()


def test_tag_that_comes_twice_is_named(ask):
    reply = ask("PUT", "there", [("tagging", "")], body=document(("a", "1"), ("b", "2"), ("b", "3")))
    refuses(reply, 400, "InvalidTag", "Cannot provide multiple Tags with the same key", TagKey="b")


def test_tag_has_a_value_even_if_it_is_empty(ask):
    without = b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>"
    reply = ask("PUT", "there", [("tagging", "")], body=without)
    assert (reply.status, field(reply, "Code")) == (400, "MalformedXML")
    assert ask("PUT", "there", [("tagging", "")], body=document(("k", ""))).status == 200
    assert ask("DELETE", "there", [("tagging", "")]).status == 204


# A tag of no object, quoted wrongly or not at all, matches nothing; it is no error.
NO_TAGS = ["no_tag", '"half', 'ha"lf', "two words"]


@pytest.mark.parametrize("tag", NO_TAGS)
def test_tag_of_no_object_is_compared_like_any_other(ask, tag):
    for method in ("GET", "HEAD"):
        assert ask(method, "there", headers={"if-none-match": tag}).status == 200
        assert ask(method, "there", headers={"if-match": tag}).status == 412
    for name, status in (("if-none-match", 200), ("if-match", 412)):
        headers = {"x-amz-copy-source": "{bucket}/there", f"x-amz-copy-source-{name}": tag}
        assert ask("PUT", "copy", headers=headers).status == status
    assert ask("DELETE", "there", headers={"if-match": tag}).status == 412
    assert ask("PUT", "there", headers={"if-match": tag}, body=b"x").status == 412
    refuses(ask("PUT", "there", headers={"if-none-match": tag}, body=b"x"), 501, "NotImplemented", NOT_DONE)
    assert ask("GET", "there").body == b"0123456789"


def test_condition_on_an_upload_in_chunks_is_compared_with_it(ask):
    path = f"/{ask.bucket}/there"
    reply = sigv4.put_chunked(ask.url, path, b"x" * 200_000, payload=sigv4.SIGNED, headers={"if-match": "no_tag"})
    assert (reply.status, field(reply, "Code")) == (412, "PreconditionFailed")
    reply = sigv4.put_chunked(
        ask.url, f"/{ask.bucket}/chunks", b"x" * 200_000, payload=sigv4.SIGNED, headers={"expires": "0"}
    )
    assert reply.status == 200
    assert ask("GET", "chunks").body == b"x" * 200_000


@pytest.mark.parametrize("date", ["tomorrow", "2020-01-01T00:00:00Z", "0"])
def test_date_that_is_none_is_no_condition(ask, date):
    assert ask("GET", "there", headers={"if-modified-since": date}).body == b"0123456789"


@pytest.mark.parametrize(
    "asked, status, answered",
    [
        ("bytes=0-18446744073709551616", 206, "bytes 0-9/10"),
        ("bytes=-18446744073709551616", 206, "bytes 0-9/10"),
        ("bytes=18446744073709551616-", 416, "bytes */10"),
        ("bytes=-", 200, None),
        ("bytes=-0", 416, "bytes */10"),
    ],
)
def test_range_with_ends_that_are_no_place_in_the_object(ask, asked, status, answered):
    for method in ("GET", "HEAD"):
        reply = ask(method, "there", headers={"range": asked})
        assert (reply.status, reply.headers.get("content-range")) == (status, answered)


def test_attributes_that_are_not_asked_for(ask):
    why = (
        "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"
    )
    refuses(ask("GET", "there", [("attributes", "")]), 400, "InvalidRequest", why)


def test_entity_tag_has_no_quotes_among_attributes_and_quotes_elsewhere(ask):
    known = ask.s3.get_object_attributes(
        Bucket=ask.bucket, Key="there", ObjectAttributes=["ETag", "ObjectSize", "StorageClass", "Checksum"]
    )
    head = ask.s3.head_object(Bucket=ask.bucket, Key="there", ChecksumMode="ENABLED")
    assert (f'"{known["ETag"]}"', known["ObjectSize"]) == (head["ETag"], 10)
    assert known["Checksum"]["ChecksumCRC64NVME" if "ChecksumCRC64NVME" in head else "ChecksumCRC32"]
    assert known["StorageClass"] == "STANDARD"


def test_results_of_copies_are_in_the_namespace_of_s3(ask):
    namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    source = {"x-amz-copy-source": "{bucket}/there"}
    whole = ask("PUT", "copy", headers=source)
    assert whole.status == 200 and f"<CopyObjectResult {namespace}>".encode() in whole.body
    upload = field(ask("POST", "parts", [("uploads", "")]), "UploadId")
    part = ask("PUT", "parts", [("partNumber", "1"), ("uploadId", upload)], source)
    assert part.status == 200 and f"<CopyPartResult {namespace}>".encode() in part.body
    assert ask("DELETE", "parts", [("uploadId", upload)]).status == 204


def test_control_signs_in_names_are_written_as_references(ask):
    """A parser would read a carriage return as the end of a line, and what is listed would be another name."""
    names = ["control/a\rb", "control/a\nb"]
    for name in names:
        assert ask("PUT", name, body=b"x").status == 200
    for query in ([("prefix", "control/")], [("list-type", "2"), ("prefix", "control/")]):
        reply = ask("GET", query=query)
        assert re.findall(rb"<Key>(.*?)</Key>", reply.body, re.DOTALL) == [b"control/a\nb", b"control/a&#13;b"]
        assert int(reply.headers["content-length"]) == len(reply.body)
    reply = ask("GET", query=[("versions", ""), ("prefix", "control/")])
    assert b"<Key>control/a&#13;b</Key>" in reply.body
    listed = ask.s3.list_objects_v2(Bucket=ask.bucket, Prefix="control/")["Contents"]
    assert sorted(entry["Key"] for entry in listed) == sorted(names)
    batch = "<Delete><Object><Key>control/a&#13;b</Key></Object></Delete>".encode()
    assert b"<Key>control/a&#13;b</Key>" in ask("POST", query=[("delete", "")], body=batch).body
    with refused("404", 404):
        ask.s3.head_object(Bucket=ask.bucket, Key=names[0])
    assert ask("GET", names[1]).body == b"x"


def test_answers_with_checksums_that_few_know_write_control_signs_as_references_too(ask):
    key = "few/a\rb"
    begun = ask("POST", key, [("uploads", "")], {"x-amz-checksum-algorithm": "SHA512"})
    upload = [("uploadId", field(begun, "UploadId"))]
    digest = base64.b64encode(hashlib.sha512(b"0123456789").digest()).decode()
    part = ask("PUT", key, [("partNumber", "1"), *upload], {"x-amz-checksum-sha512": digest}, b"0123456789")
    listed = ask("GET", key, upload).body
    assert f"<ChecksumSHA512>{digest}</ChecksumSHA512>".encode() in listed
    assert b"<Key>few/a&#13;b</Key>" in listed
    parts = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.headers['etag']}</ETag>"
        f"<ChecksumSHA512>{digest}</ChecksumSHA512></Part></CompleteMultipartUpload>"
    )
    completed = ask("POST", key, upload, body=parts.encode())
    assert completed.status == 200 and b"<ChecksumSHA512>" in completed.body, completed.body
    assert b"<Key>few/a&#13;b</Key>" in completed.body


def test_content_is_never_written_otherwise_whatever_its_type(ask):
    content = b"<Key>a\rb</Key>"
    assert ask("PUT", "document", headers={"content-type": "application/xml"}, body=content).status == 200
    assert ask("GET", "document").body == content


@pytest.mark.parametrize(
    "method, path, kind",
    [
        ("POST", "/", "SERVICE"),
        ("PUT", "/", "SERVICE"),
        ("POST", "/{bucket}", "BUCKET"),
        ("PATCH", "/{bucket}", "BUCKET"),
        ("POST", "/{bucket}/there", "OBJECT"),
        ("PATCH", "/{bucket}/there", "OBJECT"),
    ],
)
def test_method_without_an_operation_is_not_allowed(ask, method, path, kind):
    reply = sigv4.request(ask.url, method, path.replace("{bucket}", ask.bucket))
    why = "The specified method is not allowed against this resource."
    refuses(reply, 405, "MethodNotAllowed", why, Method=method, ResourceType=kind)


def test_operation_that_is_not_done_is_told_from_one_that_is_none(ask):
    for method, query in (("POST", "metadataTable"), ("POST", "annotation"), ("PUT", "renameObject")):
        reply = ask(method, "there", [(query, "")], body=b"<x/>")
        assert (reply.status, field(reply, "Code")) == (501, "NotImplemented"), (method, query)
    reply = ask("PUT", "there", [("uploadId", "x")], body=b"x")
    assert (reply.status, field(reply, "Code"), field(reply, "ResourceType")) == (405, "MethodNotAllowed", "OBJECT")
    assert ask("GET", "there").body == b"0123456789"


def test_header_that_may_not_appear_otherwise(ask):
    why = (
        "response-etag is not in the set of overridable response headers. Please refer to the S3 API documentation "
        "for a complete list of overridable response headers."
    )
    query = [("response-content-type", "text/plain"), ("response-etag", "x")]
    told = dict(ArgumentName="response-etag", ArgumentValue="x")
    refuses(ask("GET", "there", query), 400, "InvalidArgument", why, **told)
    assert ask("HEAD", "there", query).status == 400
    assert ask("GET", "there", query[:1]).headers["content-type"] == "text/plain"


def test_metadata_and_lists_may_come_in_several_lines(ask):
    lines = [("x-amz-meta-who", "fred"), ("x-amz-meta-who", "barney"), ("content-encoding", "gzip"), ("content-encoding", "br")]
    joined = {"x-amz-meta-who": "fred,barney", "content-encoding": "gzip,br"}
    at, path = urllib.parse.urlsplit(ask.url).netloc, f"/{ask.bucket}/lines"
    signed = sigv4.Signer().headers("PUT", at, path, (), joined, sigv4.EMPTY)
    connection = http.client.HTTPConnection(at, timeout=20)
    connection.putrequest("PUT", path, skip_host=True, skip_accept_encoding=True)
    for name, value in [*((name, value) for name, value in signed.items() if name not in joined), *lines]:
        connection.putheader(name, value)
    connection.putheader("content-length", "0")
    connection.endheaders()
    reply = sigv4.Reply(connection.getresponse())
    connection.close()
    assert reply.status == 200, reply.body
    found = ask("HEAD", "lines").headers
    assert {name: found[name] for name in joined} == joined


@pytest.mark.parametrize(
    "method, key, query, body",
    [
        ("GET", "there", [], b""),
        ("HEAD", "there", [], b""),
        ("DELETE", "there", [], b""),
        ("GET", "", [], b""),
        ("GET", "", [("list-type", "2")], b""),
        ("POST", "k", [("uploadId", "x")], b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"),
    ],
)
def test_source_of_a_copy_is_for_copies(ask, method, key, query, body):
    reply = ask(method, key, query, {"x-amz-copy-source": "{bucket}/there"}, body)
    if method == "HEAD":
        assert reply.status == 400
        return
    why = "You can only specify a copy source header for copy requests."
    told = dict(ArgumentName="x-amz-copy-source", ArgumentValue=f"{ask.bucket}/there")
    refuses(reply, 400, "InvalidArgument", why, **told)
    assert ask("GET", "there").body == b"0123456789"


def test_list_of_a_bucket_is_none_of_a_key(ask):
    for name, why in (
        ("uploads", "Key is not expected for the GET method ?uploads subresource"),
        ("versions", "There is no such thing as the ?versions sub-resource for a key"),
    ):
        refuses(ask("GET", "there", [(name, "")]), 400, "InvalidRequest", why)


@pytest.mark.parametrize("location, status", [("elsewhere", 400), ("ftp://a/b", 400), ("/a", 200), ("https://a/b", 200)])
def test_redirect_leads_to_a_path_or_a_page(ask, location, status):
    headers = {"x-amz-website-redirect-location": location}
    why = "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
    copy = {"x-amz-copy-source": "{bucket}/there", **headers}
    for reply in (
        ask("PUT", "redirect", headers=headers, body=b"x"),
        ask("PUT", "redirect", headers=copy),
        ask("POST", "redirect", [("uploads", "")], headers),
    ):
        if status == 200:
            assert reply.status == 200
        else:
            refuses(reply, 400, "InvalidRedirectLocation", why)
