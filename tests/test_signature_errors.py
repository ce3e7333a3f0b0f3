"""What a client is told whose signature says something wrong, in AWS's codes, sentences and elements."""

import datetime
import hashlib
import hmac
import http.client
import re
import urllib.parse

import pytest

import sigv4
from harness import ACCESS_KEY, SECRET_KEY

pytestmark = pytest.mark.ours

MALFORMED = "AuthorizationHeaderMalformed"
PARAMETERS = "AuthorizationQueryParametersError"
SIX = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential,"
DATE = "AWS authentication requires a valid Date or x-amz-date header"


def elements(reply):
    return dict(re.findall(r"<(\w[\w-]*)>([^<]*)</\1>", reply.body.decode()))


def plain(text):
    return text.replace("&quot;", '"')


def scope(text):
    """Another credential in the header."""
    return lambda value: re.sub(r"Credential=[^,]+", f"Credential={text}", value)


TODAY = sigv4.Signer().date[:8]

HEADERS = {
    "no scheme": (lambda _: "invalid", 400, "InvalidArgument", "Authorization header is invalid -- one and only one"),
    "bearer": (lambda _: "Bearer abc", 400, "InvalidArgument", "Unsupported Authorization Type"),
    "basic": (lambda _: "Basic dXNlcjpw", 400, "InvalidArgument", "Unsupported Authorization Type"),
    "other algorithm": (
        lambda value: value.replace("AWS4-HMAC-SHA256", "AWS2-HMAC-SHA1"),
        400,
        "InvalidArgument",
        "Unsupported Authorization Type",
    ),
    "version 2": (lambda _: "AWS AKID:c2ln", 400, "InvalidRequest", "Please use AWS4-HMAC-SHA256."),
    "version 4a": (lambda value: value.replace("AWS4-HMAC", "AWS4-ECDSA-P256"), 501, "NotImplemented", ""),
    "two components": (
        lambda value: value.rsplit(",", 1)[0],
        400,
        MALFORMED,
        "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
    ),
    "bad component": (
        lambda value: value.replace("SignedHeaders=host", "SignedHeaders-host"),
        400,
        MALFORMED,
        'the authorization component "SignedHeaders-host',
    ),
    "no credential": (lambda value: value.replace("Credential=", "x="), 400, MALFORMED, "missing Credential."),
    "no names": (lambda value: value.replace("SignedHeaders=", "x="), 400, MALFORMED, "missing SignedHeaders."),
    "no signature": (lambda value: value.replace("Signature=", "x="), 400, MALFORMED, "missing Signature."),
    "short scope": (
        scope("a/b"),
        400,
        MALFORMED,
        'the Credential is mal-formed; expecting "&lt;YOUR-AKID&gt;/YYYYMMDD/REGION/SERVICE/aws4_request".',
    ),
    "terminal": (
        scope(f"a/{TODAY}/us-east-1/s3/aws_request"),
        400,
        MALFORMED,
        'incorrect terminal "aws_request". This endpoint uses "aws4_request".',
    ),
    "service": (
        scope(f"a/{TODAY}/us-east-1/ec2/aws4_request"),
        400,
        MALFORMED,
        'incorrect service "ec2". This endpoint belongs to "s3".',
    ),
    "region": (
        scope(f"a/{TODAY}/us_east_1/s3/aws4_request"),
        400,
        MALFORMED,
        "the region 'us_east_1' is wrong; expecting 'us-east-1'",
    ),
    "date": (
        scope("a/3223423234/us-east-1/s3/aws4_request"),
        400,
        MALFORMED,
        'incorrect date format "3223423234". This date in the credential must be in the format "yyyyMMdd".',
    ),
    "other date": (scope("a/20200101/us-east-1/s3/aws4_request"), 400, MALFORMED, "Invalid credential date."),
}


def signed(server, bucket, *, signer=None):
    host = urllib.parse.urlsplit(server.s3_url).netloc
    return (signer or sigv4.Signer()).headers("GET", host, f"/{bucket}", (), {}, sigv4.EMPTY)


def get(server, bucket, headers, query=()):
    return sigv4.request(server.s3_url, "GET", f"/{bucket}", headers=headers, query=query, sign=False)


@pytest.mark.parametrize("name", HEADERS)
def test_a_mistake_in_an_authorization_header_is_told_as_aws_does(server, bucket, name):
    change, status, code, message = HEADERS[name]
    headers = signed(server, bucket)
    headers["authorization"] = change(headers["authorization"])
    reply = get(server, bucket, headers)
    told = elements(reply)
    assert (reply.status, told["Code"]) == (status, code), reply.body
    assert message in plain(told["Message"])
    if code == MALFORMED:
        assert told["Message"].startswith("The authorization header is malformed; ")
    if name == "region":
        assert told["Region"] == "us-east-1"
    if code == "InvalidArgument":
        assert told["ArgumentName"] == "Authorization"


@pytest.mark.parametrize(
    "header, value, status, code, message",
    [
        ("x-amz-date", None, 403, "AccessDenied", DATE),
        ("x-amz-date", "", 403, "AccessDenied", DATE),
        ("x-amz-date", "03032006", 403, "AccessDenied", DATE),
        ("x-amz-content-sha256", None, 400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"),
        ("x-amz-content-sha256", "hash", 400, "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "),
    ],
)
def test_a_signed_request_needs_a_time_and_a_payload(server, bucket, header, value, status, code, message):
    headers = signed(server, bucket)
    del headers[header]
    if value is not None:
        headers[header] = value
    reply = get(server, bucket, headers)
    told = elements(reply)
    assert (reply.status, told["Code"]) == (status, code), reply.body
    assert told["Message"].startswith(message)


def test_a_request_may_be_signed_with_the_date_that_http_has(server, bucket):
    host = urllib.parse.urlsplit(server.s3_url).netloc
    signer = sigv4.Signer()
    at = datetime.datetime.strptime(signer.date, "%Y%m%dT%H%M%SZ")

    def send(date):
        headers = {"date": date, "host": host, "x-amz-content-sha256": sigv4.EMPTY}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = "\n".join(["GET", f"/{bucket}", "", lines, names, sigv4.EMPTY])
        text = "\n".join(
            ["AWS4-HMAC-SHA256", signer.date, signer.scope, hashlib.sha256(canonical.encode()).hexdigest()]
        )
        signature = hmac.new(signer.key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{signer.scope}, SignedHeaders={names}, Signature={signature}"
        )
        return get(server, bucket, headers)

    assert send(at.strftime("%a, %d %b %Y %H:%M:%S GMT")).status == 200
    other = send((at + datetime.timedelta(seconds=1)).strftime("%a, %d %b %Y %H:%M:%S GMT"))
    assert (other.status, elements(other)["Code"]) == (403, "SignatureDoesNotMatch")


def test_a_wrong_clock_is_told_both_times(server, bucket):
    signer = sigv4.Signer(skew=datetime.timedelta(minutes=-20))
    reply = get(server, bucket, signed(server, bucket, signer=signer))
    told = elements(reply)
    assert (reply.status, told["Code"]) == (403, "RequestTimeTooSkewed")
    assert told["RequestTime"] == signer.date
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["ServerTime"])
    assert told["MaxAllowedSkewMilliseconds"] == "900000"


def test_a_wrong_signature_is_told_with_whose_it_was(server, bucket):
    headers = signed(server, bucket, signer=sigv4.Signer(secret_key="no"))
    told = elements(get(server, bucket, headers))
    assert told["Code"] == "SignatureDoesNotMatch"
    assert told["AWSAccessKeyId"] == ACCESS_KEY
    assert told["SignatureProvided"] == headers["authorization"].rsplit("=", 1)[1]


def test_two_signatures_in_one_request_are_refused(server, bucket):
    query = [("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Signature", "0" * 64)]
    told = elements(get(server, bucket, signed(server, bucket), query))
    assert told["Code"] == "InvalidArgument" and told["Message"].startswith("Only one auth mechanism allowed")


def presigned(server, path, *, skew=datetime.timedelta(), change=None, without=()):
    signer = sigv4.Signer(skew=skew, secret_key=SECRET_KEY)
    host = urllib.parse.urlsplit(server.s3_url).netloc
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{ACCESS_KEY}/{signer.scope}",
        "X-Amz-Date": signer.date,
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host",
    }
    query |= change or {}
    query["X-Amz-Signature"] = signer.presign("GET", host, path, query.items())
    pairs = [(name, value) for name, value in query.items() if name not in without]
    return sigv4.request(server.s3_url, "GET", path, query=pairs, sign=False)


def of_scope(date=TODAY, region="us-east-1", service="s3", end="aws4_request"):
    return {"X-Amz-Credential": f"{ACCESS_KEY}/{date}/{region}/{service}/{end}"}


PARSING = "Error parsing the X-Amz-Credential parameter; "
URLS = {
    "algorithm": ({"X-Amz-Algorithm": "AWS4-SHA256"}, "X-Amz-Algorithm only supports"),
    "short scope": ({"X-Amz-Credential": "a/b/c"}, PARSING + "the Credential is mal-formed"),
    "terminal": (of_scope(end="aws5_request"), PARSING + 'incorrect terminal "aws5_request".'),
    "service": (of_scope(service="sns"), PARSING + 'incorrect service "sns".'),
    "region": (of_scope(region="us_west_1"), PARSING + "the region 'us_west_1' is wrong; expecting 'us-east-1'"),
    "scope's date": (of_scope(date="32234Z34"), PARSING + 'incorrect date format "32234Z34".'),
    "other date": (of_scope(date="20060102"), 'Invalid credential date "20060102". This date is not the same as'),
    "date": ({"X-Amz-Date": "2006"}, "X-Amz-Date must be in the ISO8601 Long Format"),
    "no number": ({"X-Amz-Expires": "soon"}, "X-Amz-Expires should be a number"),
    "negative": ({"X-Amz-Expires": "-3"}, "X-Amz-Expires must be non-negative"),
    "too long": ({"X-Amz-Expires": "604801"}, "X-Amz-Expires must be less than a week (in seconds)"),
}


@pytest.mark.parametrize("name", URLS)
def test_a_mistake_in_a_presigned_url_is_told_as_aws_does(server, bucket, name):
    change, message = URLS[name]
    reply = presigned(server, f"/{bucket}", change=change)
    told = elements(reply)
    assert (reply.status, told["Code"]) == (400, PARAMETERS), reply.body
    assert plain(told["Message"]).startswith(message)


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_presigned_url_needs_all_of_its_parameters(server, bucket, name):
    reply = presigned(server, f"/{bucket}", without=[f"X-Amz-{name}"])
    told = elements(reply)
    assert (reply.status, told["Code"]) == (400, PARAMETERS), reply.body
    assert told["Message"].startswith(SIX)


def test_a_presigned_url_whose_parameter_is_hidden_is_refused(server, bucket):
    """Readers that decode names would see a signature, and others none."""
    signer = sigv4.Signer()
    host = urllib.parse.urlsplit(server.s3_url).netloc
    query = [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", f"{ACCESS_KEY}/{signer.scope}"),
        ("X-Amz-Date", signer.date),
        ("X-Amz-Expires", "60"),
        ("X-Amz-SignedHeaders", "host"),
    ]
    signature = signer.presign("GET", host, f"/{bucket}", query)
    pairs = "&".join(f"{name}={sigv4.quote(value)}" for name, value in query)
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", f"/{bucket}?{pairs}&X%2DAmz-Signature={signature}")
    reply = sigv4.Reply(connection.getresponse())
    connection.close()
    assert (reply.status, elements(reply)["Code"]) == (400, PARAMETERS), reply.body


def test_an_expired_url_tells_when_it_expired(server, bucket):
    reply = presigned(server, f"/{bucket}", skew=datetime.timedelta(hours=-1))
    told = elements(reply)
    assert (reply.status, told["Code"], told["Message"]) == (403, "AccessDenied", "Request has expired")
    assert told["X-Amz-Expires"] == "60"
    assert told["Expires"] < told["ServerTime"]


def test_a_url_of_the_future_is_not_valid_yet(server, bucket):
    told = elements(presigned(server, f"/{bucket}", skew=datetime.timedelta(hours=1)))
    assert (told["Code"], told["Message"]) == ("AccessDenied", "Request is not valid yet")


@pytest.mark.parametrize(
    "query, message",
    [
        ([("AWSAccessKeyId", "a"), ("Signature", "b")], "Query-string authentication requires the Signature, Expires"),
        ([("AWSAccessKeyId", "a"), ("Signature", "b"), ("Expires", "soon")], "Invalid date (should be seconds since epoch): soon"),
        ([("AWSAccessKeyId", "a"), ("Signature", "b"), ("Expires", "1")], "Request has expired"),
    ],
)
def test_a_mistake_in_an_old_presigned_url_is_told_as_aws_does(server, bucket, query, message):
    reply = get(server, bucket, {}, query)
    told = elements(reply)
    assert (reply.status, told["Code"]) == (403, "AccessDenied"), reply.body
    assert told["Message"].startswith(message)
