"""What AWS answers to wrong requests about encryption, one row per case: code, status, message, argument."""

import base64
import hashlib
import re
import ssl
import types

import pytest

import forms
import sigv4
from conftest import fresh_name
from content import MIB, data, md5, read
from sigv4 import key_md5, sse_c

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
SSE = "x-amz-server-side-encryption"
CUSTOMER = f"{SSE}-customer"
SOURCE = "x-amz-copy-source-server-side-encryption-customer"
MUST = "Requests specifying Server Side Encryption with Customer provided keys must provide"

INCOMPATIBLE = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
ALGORITHM = "The Encryption request you specified is not valid. Supported value: AES256."
NO_ALGORITHM = f"{MUST} a valid encryption algorithm."
NO_KEY = f"{MUST} an appropriate secret key."
INVALID_KEY = "The secret key was invalid for the specified algorithm."
WRONG_MD5 = "The calculated MD5 hash of the key did not match the hash that was provided."
PARAMETERS = (
    "The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object."
)
WRONG_KEY = f"{MUST} the correct secret key."
PART_PARAMETERS = (
    "The multipart upload initiate requested encryption. "
    "Subsequent part requests must include the appropriate encryption parameters."
)
PART_KEY = "The provided encryption parameters did not match the ones used originally."
ITSELF = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
    "metadata, storage class, website redirect location or encryption attributes."
)
NOT_APPLICABLE = (
    "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
)
MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"


def key_headers(prefix=CUSTOMER, key=KEY, **changes):
    """The three headers of a customer's key; a change of None leaves one out."""
    headers = {
        "algorithm": "AES256",
        "key": None if key is None else base64.b64encode(key).decode(),
        "key_md5": key_md5(KEY if key is None else key),
    } | changes
    names = {"algorithm": "algorithm", "key": "key", "key_md5": "key-MD5"}
    return {f"{prefix}-{names[name]}": value for name, value in headers.items() if value is not None}


@pytest.fixture(scope="module")
def wire(tls_server, tls_s3, certificates):
    """A bucket with an object and an upload of each kind, and requests by hand to it."""
    bucket = fresh_name("sse-errors")
    tls_s3.create_bucket(Bucket=bucket)
    tls_s3.put_object(Bucket=bucket, Key="plain", Body=b"plain")
    tls_s3.put_object(Bucket=bucket, Key="customer", Body=b"customer", **sse_c(KEY))
    begin = lambda **sse: tls_s3.create_multipart_upload(Bucket=bucket, Key="upload", **sse)["UploadId"]
    uploads = {"plain": begin(), "customer": begin(**sse_c(KEY))}
    tls = ssl.create_default_context(cafile=str(certificates.authority))

    def send(method, key, headers=None, query=(), body=b""):
        headers = {name: value.replace("{bucket}", bucket) for name, value in (headers or {}).items()}
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
        return sigv4.request(
            tls_server.s3_url, method, path, query=query, headers=headers, body=body, tls=tls
        )

    return types.SimpleNamespace(bucket=bucket, uploads=uploads, send=send, s3=tls_s3)


def put(headers):
    return lambda wire: wire.send("PUT", "new", headers, body=b"new")


def copy(headers, source="plain", target="copied"):
    return lambda wire: wire.send("PUT", target, {"x-amz-copy-source": "/{bucket}/" + source} | headers)


def get(headers, key="customer"):
    return lambda wire: wire.send("GET", key, headers)


def head(headers, key="customer"):
    return lambda wire: wire.send("HEAD", key, headers)


def attributes(headers, key="customer"):
    wanted = {"x-amz-object-attributes": "ETag,ObjectSize"}
    return lambda wire: wire.send("GET", key, wanted | headers, query=[("attributes", "")])


def begin(headers):
    return lambda wire: wire.send("POST", "new", headers, query=[("uploads", "")])


def part(upload, headers, **rest):
    def send(wire):
        query = [("partNumber", "1"), ("uploadId", wire.uploads[upload])]
        return wire.send("PUT", "upload", headers | rest, query=query, body=b"" if rest else b"part")

    return send


def part_copy(upload, headers, source="plain"):
    return part(upload, headers, **{"x-amz-copy-source": "/{bucket}/" + source})


def configure(*rules):
    document = "<ServerSideEncryptionConfiguration>" + "".join(rules) + "</ServerSideEncryptionConfiguration>"
    body = document.encode()
    checksum = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    return lambda wire: wire.send("PUT", "", checksum, query=[("encryption", "")], body=body)


def rule(algorithm, key_id=None, rest=""):
    key_id = f"<KMSMasterKeyID>{key_id}</KMSMasterKeyID>" if key_id else ""
    default = f"<SSEAlgorithm>{algorithm}</SSEAlgorithm>{key_id}"
    return (
        "<Rule><ApplyServerSideEncryptionByDefault>"
        f"{default}</ApplyServerSideEncryptionByDefault>{rest}</Rule>"
    )


def argument(message, value="null", name=SSE, code="InvalidArgument"):
    return (400, code, message, name, value)


def request(message):
    return (400, "InvalidRequest", message, None, None)


BAD_ALGORITHM = argument(ALGORITHM, "AES512", code="InvalidEncryptionAlgorithmError")
# What cannot be a key is not repeated.
BAD_KEY = argument(INVALID_KEY, "")
BAD_MD5 = argument(WRONG_MD5, key_md5(OTHER_KEY))
DENIED = (403, "AccessDenied", WRONG_KEY, None, None)
both = key_headers() | {SSE: "AES256"}
bad_algorithm = key_headers(algorithm="AES512")
short_key = key_headers(key=b"short")
wrong_md5 = key_headers(key_md5=key_md5(OTHER_KEY))
no_algorithm, no_key, no_md5 = (key_headers(**{name: None}) for name in ("algorithm", "key", "key_md5"))
of_source = lambda **changes: key_headers(SOURCE, **changes)
not_supported = lambda name, value: argument(f"{name} header is not supported for this operation.", value, name)
UUID = "134f2428-cec1-4b25-a1ae-9048164dba47"
kms = {SSE: "aws:kms"}
with_key = lambda key_id: kms | {f"{SSE}-aws-kms-key-id": key_id}
KMS_CODE = "KMS.NotFoundException"

ROWS = {
    # Both kinds at once.
    "put, both kinds": (put(both), argument(INCOMPATIBLE, "AES256")),
    "copy target, both kinds": (copy(both), argument(INCOMPATIBLE, "AES256")),
    "upload, both kinds": (begin(both), argument(INCOMPATIBLE, "AES256")),
    # The algorithm.
    "put, algorithm": (put(bad_algorithm), BAD_ALGORITHM),
    "get, algorithm": (get(bad_algorithm), BAD_ALGORITHM),
    "attributes, algorithm": (attributes(bad_algorithm), BAD_ALGORITHM),
    "copy target, algorithm": (copy(bad_algorithm), BAD_ALGORITHM),
    "copy source, algorithm": (copy(key_headers(SOURCE, algorithm="AES512"), "customer"), BAD_ALGORITHM),
    "upload, algorithm": (begin(bad_algorithm), BAD_ALGORITHM),
    "part, algorithm": (part("customer", bad_algorithm), BAD_ALGORITHM),
    "head, algorithm": (head(bad_algorithm), (400, None, None, None, None)),
    "put, no algorithm": (put(key_headers(algorithm=None)), argument(NO_ALGORITHM)),
    "get, no algorithm": (get(key_headers(algorithm=None)), argument(NO_ALGORITHM)),
    # The key.
    "put, no key": (put(key_headers(key=None)), argument(NO_KEY)),
    "get, no key but an algorithm": (get(key_headers(key=None)), argument(NO_KEY)),
    "put, no md5": (put(key_headers(key_md5=None)), BAD_KEY),
    "put, short key": (put(short_key), BAD_KEY),
    "get, short key": (get(short_key), BAD_KEY),
    "put, key that is not base64": (put(key_headers(key=b"") | {f"{CUSTOMER}-key": "?"}), BAD_KEY),
    "put, wrong md5": (put(wrong_md5), BAD_MD5),
    "get, wrong md5": (get(wrong_md5), BAD_MD5),
    "copy target, wrong md5": (copy(wrong_md5), BAD_MD5),
    "copy source, no algorithm": (copy(of_source(algorithm=None), "customer"), argument(NO_ALGORITHM)),
    "copy source, no key": (copy(of_source(key=None), "customer"), argument(NO_KEY)),
    "copy source, no md5": (copy(of_source(key_md5=None), "customer"), DENIED),
    "copy source, wrong md5": (copy(of_source(key_md5=key_md5(OTHER_KEY)), "customer"), BAD_MD5),
    "copy source, short key": (copy(of_source(key=b"short"), "customer"), BAD_KEY),
    "part copy source, no algorithm": (
        part_copy("plain", of_source(algorithm=None), "customer"),
        argument(NO_ALGORITHM),
    ),
    "part copy source, no md5": (part_copy("plain", of_source(key_md5=None), "customer"), DENIED),
    "attributes, no algorithm": (attributes(no_algorithm), argument(NO_ALGORITHM)),
    "attributes, no key": (attributes(no_key), argument(NO_KEY)),
    "attributes, no md5": (attributes(no_md5), DENIED),
    "attributes, wrong md5": (attributes(wrong_md5), BAD_MD5),
    "upload, no algorithm": (begin(no_algorithm), argument(NO_ALGORITHM)),
    "upload, no key": (begin(no_key), argument(NO_KEY)),
    "upload, no md5": (begin(no_md5), BAD_KEY),
    "upload, wrong md5": (begin(wrong_md5), BAD_MD5),
    "part, no algorithm": (part("customer", no_algorithm), argument(NO_ALGORITHM)),
    "part, no key": (part("customer", no_key), argument(NO_KEY)),
    "part, no md5": (part("customer", no_md5), BAD_KEY),
    "part, wrong md5": (part("customer", wrong_md5), BAD_MD5),
    "head, no algorithm": (head(no_algorithm), (400, None, None, None, None)),
    "head, no key": (head(no_key), (400, None, None, None, None)),
    "head, wrong md5": (head(wrong_md5), (400, None, None, None, None)),
    # What belongs to the object and not to its parts or to a read of it.
    "part, method": (part("plain", {SSE: "AES256"}), not_supported(SSE, "AES256")),
    "part copy, method": (part_copy("plain", {SSE: "AES256"}), not_supported(SSE, "AES256")),
    "part, KMS key": (
        part("plain", {f"{SSE}-aws-kms-key-id": "default"}),
        not_supported(f"{SSE}-aws-kms-key-id", "default"),
    ),
    "get, method": (get({SSE: "AES256"}, "plain"), not_supported(SSE, "AES256")),
    "attributes, method": (attributes({SSE: "AES256"}, "plain"), not_supported(SSE, "AES256")),
    # Reading.
    "get, nothing": (get({}), request(PARAMETERS)),
    "head, nothing": (head({}), (400, None, None, None, None)),
    "attributes, nothing": (attributes({}), request(PARAMETERS)),
    "copy source, nothing": (copy({}, "customer"), request(PARAMETERS)),
    "part copy source, nothing": (part_copy("plain", {}, "customer"), request(PARAMETERS)),
    "get, other key": (get(key_headers(key=OTHER_KEY)), DENIED),
    "head, other key": (head(key_headers(key=OTHER_KEY)), (403, None, None, None, None)),
    "attributes, other key": (attributes(key_headers(key=OTHER_KEY)), DENIED),
    "copy source, other key": (copy(key_headers(SOURCE, key=OTHER_KEY), "customer"), DENIED),
    "part copy source, other key": (
        part_copy("plain", key_headers(SOURCE, key=OTHER_KEY), "customer"),
        DENIED,
    ),
    "get, no md5": (get(key_headers(key_md5=None)), DENIED),
    "head, no md5": (head(key_headers(key_md5=None)), (403, None, None, None, None)),
    # Parts.
    "part with a key, upload without": (part("plain", key_headers()), request(PART_PARAMETERS)),
    "part without a key, upload with": (part("customer", {}), request(PART_PARAMETERS)),
    "part with another key": (part("customer", key_headers(key=OTHER_KEY)), request(PART_KEY)),
    "part copy without a key, upload with": (part_copy("customer", {}), request(PART_PARAMETERS)),
    "part copy with another key": (part_copy("customer", key_headers(key=OTHER_KEY)), request(PART_KEY)),
    # Keys of the KMS.
    **{
        f"{what}, {which} KMS key": (make(with_key(key_id)), (400, KMS_CODE, message, None, None))
        for what, make in {"put": put, "copy": copy, "upload": begin}.items()
        for which, key_id, message in [
            ("unknown", "no-such-key", "Invalid keyId 'no-such-key'"),
            ("unknown UUID as", UUID, f"Key 'arn:aws:kms:::key/{UUID}' does not exist"),
            (
                "unknown ARN as",
                f"arn:aws:kms:us-east-1:000000000000:key/{UUID}",
                f"Key 'arn:aws:kms:::key/{UUID}' does not exist",
            ),
            ("other region's", f"arn:aws:kms:us-west-2:000000000000:key/{UUID}", "Invalid arn us-west-2"),
        ]
    },
    "put, context that is no JSON": (
        put(kms | {f"{SSE}-context": base64.b64encode(b"no").decode()}),
        (400, "InvalidArgument", None, f"{SSE}-context", base64.b64encode(b"no").decode()),
    ),
    "put, context that is no base64": (
        put(kms | {f"{SSE}-context": "{}"}),
        (400, "InvalidArgument", None, f"{SSE}-context", "{}"),
    ),
    "put, unknown method": (put({SSE: "rot13"}), argument("The encryption method specified is not supported", "rot13")),
    # Settings.
    "configuration without rules": (configure(), (400, "MalformedXML", MALFORMED, None, None)),
    "configuration with two rules": (
        configure(rule("AES256"), rule("AES256")),
        (400, "MalformedXML", MALFORMED, None, None),
    ),
    "configuration with an unknown method": (configure(rule("rot13")), (400, "MalformedXML", MALFORMED, None, None)),
    "configuration with an unknown blocked type": (
        configure(
            rule("AES256", rest="<BlockedEncryptionTypes><EncryptionType>x</EncryptionType></BlockedEncryptionTypes>")
        ),
        (400, "MalformedXML", MALFORMED, None, None),
    ),
    "configuration of AES256 with a key": (
        configure(rule("AES256", "default")),
        argument(NOT_APPLICABLE, "", "ApplyServerSideEncryptionByDefault"),
    ),
    # Copies onto themselves.
    "copy onto itself without a change": (copy({}, "plain", "plain"), request(ITSELF)),
}


def field(body, name):
    found = re.search(rf"<{name}>(.*?)</{name}>".encode(), body, re.DOTALL)
    unescape = lambda text: text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    return found and unescape(found.group(1).decode())


@pytest.mark.ours
@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_request_is_answered_as_aws_does(wire, name):
    send, (status, code, message, argument_name, argument_value) = ROWS[name]
    reply = send(wire)
    assert reply.status == status, reply.body
    if code is None:
        assert reply.body == b""
        return
    assert field(reply.body, "Code") == code
    assert field(reply.body, "RequestId") == reply.headers["x-amz-request-id"]
    if message:
        assert field(reply.body, "Message") == message
    assert field(reply.body, "ArgumentName") == argument_name
    assert field(reply.body, "ArgumentValue") == argument_value
    assert base64.b64encode(KEY) not in reply.body and base64.b64encode(OTHER_KEY) not in reply.body


@pytest.mark.ours
def test_a_completion_of_an_sse_c_upload_needs_no_key(tls_s3, tls_bucket):
    names = {"Bucket": tls_bucket, "Key": "k"}
    names["UploadId"] = tls_s3.create_multipart_upload(**names, **sse_c(KEY))["UploadId"]
    etag = tls_s3.upload_part(**names, PartNumber=1, Body=b"part", **sse_c(KEY))["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert tls_s3.complete_multipart_upload(**names, MultipartUpload=parts)["ResponseMetadata"]["HTTPStatusCode"] == 200
    # For this operation boto3 leaves the encoding of the key to its caller.
    encoded = {"SSECustomerKey": base64.b64encode(KEY).decode(), "SSECustomerKeyMD5": key_md5(KEY)}
    got = tls_s3.get_object_attributes(
        Bucket=tls_bucket, Key="k", ObjectAttributes=["ETag", "ObjectSize"], **(sse_c(KEY) | encoded)
    )
    assert got["ObjectSize"] == 4


def the_rule(s3, bucket):
    [found] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    return found


def set_rule(s3, bucket, algorithm, key_id=None, **rest):
    default = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": key_id} if key_id else {})
    configuration = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, **rest}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)


FRESH = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}


def test_a_fresh_bucket_has_the_default_and_deleting_a_configuration_returns_to_it(s3, bucket):
    assert the_rule(s3, bucket) == FRESH
    for _ in range(2):
        assert s3.delete_bucket_encryption(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    set_rule(s3, bucket, "aws:kms", "default", BucketKeyEnabled=True)
    assert the_rule(s3, bucket) == {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "default"},
        "BucketKeyEnabled": True,
    }
    s3.delete_bucket_encryption(Bucket=bucket)
    assert the_rule(s3, bucket) == FRESH
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ServerSideEncryption"] == "AES256"


@pytest.mark.ours
@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms", "aws:kms:dsse"])
@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_a_buckets_default_is_what_a_write_gets_that_asks_for_nothing(s3, bucket, algorithm, size):
    set_rule(s3, bucket, algorithm)
    body = data(size)
    stored = s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert read(got) == body
    ranged = s3.get_object(Bucket=bucket, Key="k", Range="bytes=3-7")
    assert read(ranged) == body[3:8]
    for reply in (stored, got, ranged, s3.head_object(Bucket=bucket, Key="k")):
        assert reply["ServerSideEncryption"] == algorithm
        if algorithm != "AES256":
            assert reply["SSEKMSKeyId"] == "arn:aws:kms:::key/default"
        assert (reply["ETag"] == f'"{md5(body)}"') == (algorithm == "AES256")
    explicit = s3.put_object(Bucket=bucket, Key="k", Body=body, ServerSideEncryption="AES256")
    assert explicit["ServerSideEncryption"] == "AES256"


@pytest.mark.ours
def test_two_layers_from_headers_parts_and_copies(s3, bucket):
    dsse = {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "default"}
    names = {"Bucket": bucket, "Key": "parts"}
    begun = s3.create_multipart_upload(**names, **dsse)
    assert begun["ServerSideEncryption"] == "aws:kms:dsse"
    names["UploadId"] = begun["UploadId"]
    bodies = [data(5 * MIB, 1), data(100, 2)]
    parts = []
    for number, body in enumerate(bodies, 1):
        reply = s3.upload_part(**names, PartNumber=number, Body=body)
        assert reply["ServerSideEncryption"] == "aws:kms:dsse"
        parts.append({"PartNumber": number, "ETag": reply["ETag"]})
    done = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert done["ServerSideEncryption"] == "aws:kms:dsse" and done["ETag"].endswith('-2"')
    whole = b"".join(bodies)
    got = s3.get_object(Bucket=bucket, Key="parts")
    assert read(got) == whole
    edge = 5 * MIB
    assert read(s3.get_object(Bucket=bucket, Key="parts", Range=f"bytes={edge - 3}-{edge + 3}")) == whole[edge - 3 : edge + 4]
    source = {"Bucket": bucket, "Key": "parts"}
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **dsse)
    assert copied["ServerSideEncryption"] == "aws:kms:dsse"
    assert read(s3.get_object(Bucket=bucket, Key="copy")) == whole
    plain = s3.copy_object(Bucket=bucket, Key="plain", CopySource=source)
    assert plain["ServerSideEncryption"] == "AES256"
    assert read(s3.get_object(Bucket=bucket, Key="plain")) == whole


@pytest.mark.ours
def test_bucket_keys_by_setting_and_by_header(s3, bucket):
    on = s3.put_object(Bucket=bucket, Key="a", Body=b"a", ServerSideEncryption="aws:kms", BucketKeyEnabled=True)
    assert on["BucketKeyEnabled"] is True
    off = s3.put_object(Bucket=bucket, Key="b", Body=b"b", ServerSideEncryption="aws:kms")
    assert "BucketKeyEnabled" not in off
    set_rule(s3, bucket, "aws:kms", BucketKeyEnabled=True)
    assert s3.put_object(Bucket=bucket, Key="c", Body=b"c")["BucketKeyEnabled"] is True
    off = {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": False}
    assert "BucketKeyEnabled" not in s3.put_object(Bucket=bucket, Key="d", Body=b"d", **off)
    for key, enabled in [("a", True), ("b", None), ("c", True), ("d", None)]:
        got = s3.get_object(Bucket=bucket, Key=key)
        assert read(got) == key.encode()
        assert got.get("BucketKeyEnabled") == s3.head_object(Bucket=bucket, Key=key).get("BucketKeyEnabled") == enabled


@pytest.mark.ours
def test_a_hot_bucket_asks_the_kms_once(s3, bucket, server):
    set_rule(s3, bucket, "aws:kms", BucketKeyEnabled=True)
    calls = lambda operation: server.metric("strongroom_kms_calls_total", operation=operation)
    generated, unwrapped = calls("generate"), calls("unwrap")
    for number in range(30):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x")
    for number in range(30):
        s3.get_object(Bucket=bucket, Key=f"k{number}")
    s3.list_objects_v2(Bucket=bucket)
    assert calls("generate") == generated + 1
    assert calls("unwrap") <= unwrapped + 1


@pytest.mark.ours
def test_blocked_customer_keys(tls_s3, tls_bucket, wire):
    blocked = {"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
    tls_s3.put_object(Bucket=tls_bucket, Key="old", Body=b"old", **sse_c(KEY))
    begun = tls_s3.create_multipart_upload(Bucket=tls_bucket, Key="begun", **sse_c(KEY))["UploadId"]
    set_rule(tls_s3, tls_bucket, "AES256", **blocked)
    assert the_rule(tls_s3, tls_bucket) == FRESH | blocked
    nonsense = {f"{CUSTOMER}-algorithm": "nonsense"}
    source = {"x-amz-copy-source": f"/{wire.bucket}/plain"}
    path = "/" + tls_bucket + "/new"
    for headers in (key_headers(), nonsense, key_headers() | source):
        reply = sigv4.request(wire_url(tls_s3), "PUT", path, headers=headers, tls=context(tls_s3))
        assert (reply.status, field(reply.body, "Code")) == (403, "AccessDenied"), reply.body
    reply = sigv4.request(
        wire_url(tls_s3), "POST", path, query=[("uploads", "")], headers=key_headers(), tls=context(tls_s3)
    )
    assert (reply.status, field(reply.body, "Code")) == (403, "AccessDenied"), reply.body
    # Nor does an upload that was begun before take parts, written or copied.
    of_part = [("partNumber", "1"), ("uploadId", begun)]
    for headers in (key_headers(), key_headers() | source):
        reply = sigv4.request(
            wire_url(tls_s3), "PUT", f"/{tls_bucket}/begun", query=of_part, headers=headers, tls=context(tls_s3)
        )
        assert (reply.status, field(reply.body, "Code")) == (403, "AccessDenied"), reply.body
    fields = key_headers()
    form = tls_s3.generate_presigned_post(tls_bucket, "new", Fields=dict(fields), Conditions=[{k: v} for k, v in fields.items()])
    assert forms.code(forms.send(form, b"x", tls=context(tls_s3))) == (403, "AccessDenied")
    assert read(tls_s3.get_object(Bucket=tls_bucket, Key="old", **sse_c(KEY))) == b"old"
    # A client that does not know of it leaves it as it is; one that does can unblock.
    set_rule(tls_s3, tls_bucket, "aws:kms", "a&<key>", BucketKeyEnabled=True)
    assert the_rule(tls_s3, tls_bucket) == blocked | {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "a&<key>"},
        "BucketKeyEnabled": True,
    }
    nothing = {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    set_rule(tls_s3, tls_bucket, "AES256", **nothing)
    assert the_rule(tls_s3, tls_bucket) == FRESH | nothing
    # What was said of it stays said, until the configuration is deleted.
    set_rule(tls_s3, tls_bucket, "AES256")
    assert the_rule(tls_s3, tls_bucket) == FRESH | nothing
    tls_s3.delete_bucket_encryption(Bucket=tls_bucket)
    assert the_rule(tls_s3, tls_bucket) == FRESH
    tls_s3.put_object(Bucket=tls_bucket, Key="new", Body=b"new", **sse_c(KEY))


def wire_url(client):
    return client.meta.endpoint_url


def context(client):
    return ssl.create_default_context(cafile=client._endpoint.http_session._verify)


@pytest.mark.ours
def test_a_context_is_bound_and_answered(s3, bucket):
    context = base64.b64encode(b'{"team": "blue"}').decode()
    sse = {"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": context}
    for bucket_key in (False, True):
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", BucketKeyEnabled=bucket_key, **sse)
        assert base64.b64decode(put["SSEKMSEncryptionContext"]) == b'{"team":"blue"}'
        assert read(s3.get_object(Bucket=bucket, Key="k")) == b"x"


@pytest.mark.ours
def test_a_key_by_its_arn_is_the_key(s3, bucket):
    for key_id in ("default", "arn:aws:kms:::key/default", "arn:aws:kms:us-east-1:000000000000:key/default"):
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
        assert put["SSEKMSKeyId"] == "arn:aws:kms:::key/default"


@pytest.mark.ours
def test_a_copy_onto_itself_that_changes_the_encryption_leaves_the_data_where_they_are(
    start, certificates
):
    arguments = ["--tls-cert", str(certificates.chain), "--tls-key", str(certificates.key)]
    server = start(arguments=arguments)
    s3 = server.client(verify=str(certificates.authority))
    s3.create_bucket(Bucket="b-rewrap")
    body = data(3 * MIB)
    s3.put_object(Bucket="b-rewrap", Key="k", Body=body, Metadata={"kept": "yes"})
    blobs = lambda: {
        (path.name, path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (server.data_dir / "blobs").rglob("*")
        if path.is_file()
    }
    before = blobs()
    assert len(before) == 1
    source = {"Bucket": "b-rewrap", "Key": "k"}
    of_source = lambda key: {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key}
    steps = [
        ({"ServerSideEncryption": "aws:kms"}, {}),
        ({"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True}, {}),
        (sse_c(KEY), {}),
        (sse_c(OTHER_KEY), sse_c(KEY)),
        ({"ServerSideEncryption": "AES256"}, sse_c(OTHER_KEY)),
    ]
    tags = set()
    for target, was in steps:
        read_with = of_source(was["SSECustomerKey"]) if was else {}
        copied = s3.copy_object(Bucket="b-rewrap", Key="k", CopySource=source, **target, **read_with)
        tags.add(copied["CopyObjectResult"]["ETag"])
        key = {name: value for name, value in target.items() if name.startswith("SSECustomer")}
        got = s3.get_object(Bucket="b-rewrap", Key="k", **key)
        assert read(got) == body and got["Metadata"] == {"kept": "yes"}
        assert got.get("ServerSideEncryption") == target.get("ServerSideEncryption")
        assert got["ETag"] == copied["CopyObjectResult"]["ETag"]
        assert blobs() == before
    assert len(tags) == len(steps)
    # Under SSE-S3 again, the tag is the content's MD5 again.
    assert s3.head_object(**source)["ETag"] == f'"{md5(body)}"'
    # Two layers are other data.
    s3.copy_object(Bucket="b-rewrap", Key="k", CopySource=source, ServerSideEncryption="aws:kms:dsse")
    assert read(s3.get_object(**source)) == body
    assert blobs().isdisjoint(before)


def test_a_plain_copy_onto_itself_is_allowed_where_a_default_was_set(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    set_rule(s3, bucket, "AES256", BucketKeyEnabled=False)
    copied = s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k"})
    assert copied["ServerSideEncryption"] == "AES256"
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"x"


@pytest.mark.ours
def test_a_rule_may_be_about_the_rest_alone(tls_s3, tls_bucket):
    def set_rest(**rest):
        tls_s3.put_bucket_encryption(Bucket=tls_bucket, ServerSideEncryptionConfiguration={"Rules": [rest]})

    blocked = {"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
    set_rule(tls_s3, tls_bucket, "aws:kms", "default")
    set_rest(**blocked)
    assert the_rule(tls_s3, tls_bucket) == FRESH | blocked
    set_rest(BucketKeyEnabled=True)
    assert the_rule(tls_s3, tls_bucket) == FRESH | blocked | {"BucketKeyEnabled": True}
    # As on AWS nothing is blocked any more once there is no configuration.
    tls_s3.delete_bucket_encryption(Bucket=tls_bucket)
    assert the_rule(tls_s3, tls_bucket) == FRESH
