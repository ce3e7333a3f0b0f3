"""Requests signed by hand, for what the SDKs never send: trailers of every kind, wrong chunks, wrong clocks."""

import base64
import datetime
import hashlib
import hmac
import http.client
import urllib.parse

from harness import ACCESS_KEY, REGION, SECRET_KEY

EMPTY = hashlib.sha256(b"").hexdigest()
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Signer:
    """Signs one request and, for signed chunks, the chunks that follow it."""

    def __init__(self, *, access_key=ACCESS_KEY, secret_key=SECRET_KEY, skew=datetime.timedelta()):
        moment = datetime.datetime.now(datetime.timezone.utc) + skew
        self.date = moment.strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.date[:8]}/{REGION}/s3/aws4_request"
        self.access_key = access_key
        key = _hmac(f"AWS4{secret_key}".encode(), self.date[:8])
        for part in (REGION, "s3", "aws4_request"):
            key = _hmac(key, part)
        self.key = key
        self.previous = None

    def headers(self, method, host, path, query, headers, payload):
        """The given headers with date, payload hash and Authorization added. `path` is already encoded."""
        signed = {name.lower(): value for name, value in headers.items()}
        signed |= {"host": host, "x-amz-date": self.date, "x-amz-content-sha256": payload}
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
        pairs = sorted((quote(name), quote(value)) for name, value in query)
        canonical_query = "&".join(f"{name}={value}" for name, value in pairs)
        canonical = "\n".join([method, path, canonical_query, lines, names, payload])
        self.previous = self._sign("AWS4-HMAC-SHA256", [hashlib.sha256(canonical.encode()).hexdigest()])
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{self.scope}, "
            f"SignedHeaders={names}, Signature={self.previous}"
        )
        return signed

    def presign(self, method, host, path, query):
        """The signature of a URL whose query is complete but for it."""
        pairs = "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(query))
        canonical = "\n".join([method, path, pairs, f"host:{host}\n", "host", "UNSIGNED-PAYLOAD"])
        return self._sign("AWS4-HMAC-SHA256", [hashlib.sha256(canonical.encode()).hexdigest()])

    def _sign(self, kind, rest):
        text = "\n".join([kind, self.date, self.scope, *rest])
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def chunk(self, body):
        """One signed chunk of an aws-chunked body."""
        rest = [self.previous, EMPTY, hashlib.sha256(body).hexdigest()]
        self.previous = self._sign("AWS4-HMAC-SHA256-PAYLOAD", rest)
        return b"%x;chunk-signature=%s\r\n" % (len(body), self.previous.encode()) + body + b"\r\n"

    def trailer(self, name, value):
        """The signed trailer that follows the last chunk."""
        line = f"{name}:{value}\n"
        rest = [self.previous, hashlib.sha256(line.encode()).hexdigest()]
        signature = self._sign("AWS4-HMAC-SHA256-TRAILER", rest)
        return f"{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


class Reply:
    def __init__(self, reply):
        self.status = reply.status
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self.body = reply.read()


def request(
    url, method, path, *, query=(), headers=None, body=b"", payload=None, signer=None, sign=True, host=None, tls=None
):
    """Sends one request and returns its reply; `path` is given unencoded, `tls` is the context for https."""
    at = urllib.parse.urlsplit(url).netloc
    host = host or at
    encoded = urllib.parse.quote(path, safe="/-_.~")
    headers = dict(headers or {})
    if sign:
        payload = payload or hashlib.sha256(body).hexdigest()
        headers = (signer or Signer()).headers(method, host, encoded, query, headers, payload)
    target = encoded + ("?" + "&".join(f"{quote(n)}={quote(v)}" for n, v in query) if query else "")
    if tls:
        connection = http.client.HTTPSConnection(at, timeout=30, context=tls)
    else:
        connection = http.client.HTTPConnection(at, timeout=30)
    try:
        connection.putrequest(method, target, skip_host="host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if "content-length" not in headers:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders()
        if body:
            connection.send(body)
        return Reply(connection.getresponse())
    finally:
        connection.close()


def put_chunked(url, path, body, **options):
    """An aws-chunked upload; the options are those of `send_chunked`."""
    return send_chunked(url, "PUT", path, body, **options)


def send_chunked(
    url, method, path, body, *, payload, query=(), trailer=None, chunk_size=64 * 1024, damage=None, headers=None
):
    """A request with an aws-chunked body. `trailer` is (name, value); `damage` may change the finished body."""
    signer = Signer()
    host = urllib.parse.urlsplit(url).netloc
    encoded = urllib.parse.quote(path, safe="/-_.~")
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(body)),
        **(headers or {}),
    }
    if trailer:
        headers.setdefault("x-amz-trailer", trailer[0])
    headers = signer.headers(method, host, encoded, query, headers, payload)
    pieces = [body[at : at + chunk_size] for at in range(0, len(body), chunk_size)] + [b""]
    out = bytearray()
    for piece in pieces:
        if payload == UNSIGNED_TRAILER:
            out += b"%x\r\n" % len(piece) + piece + (b"\r\n" if piece else b"")
        elif piece or not trailer:
            out += signer.chunk(piece)
        else:
            # The last chunk of a body with trailers has no line of its own after it.
            out += signer.chunk(piece)[:-2]
    if payload == UNSIGNED_TRAILER:
        out += f"{trailer[0]}:{trailer[1]}\r\n\r\n".encode()
    elif trailer:
        out += signer.trailer(*trailer)
    out = damage(bytes(out)) if damage else bytes(out)
    target = encoded + ("?" + "&".join(f"{quote(n)}={quote(v)}" for n, v in query) if query else "")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(out)))
        connection.endheaders()
        connection.send(out)
        return Reply(connection.getresponse())
    finally:
        connection.close()


def sse_c(key):
    """The arguments by which boto3 sends a customer's key."""
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}


def key_md5(key):
    return base64.b64encode(hashlib.md5(key).digest()).decode()
