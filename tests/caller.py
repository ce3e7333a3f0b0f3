"""A lean signed client on one kept-alive connection, for tests that count requests by the thousand."""

import hashlib
import http.client
import socket
import time
import urllib.parse

import sigv4

TIMEOUT_SECONDS = 60
# The server closes a connection that is idle for longer than this, and no sooner.
IDLE_SECONDS_MIN = 10


class Answer:
    def __init__(self, reply, body):
        self.status = reply.status
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Caller:
    """Sends requests one after the other and opens the connection again when the server has closed it."""

    def __init__(self, url, *, access_key=sigv4.ACCESS_KEY, secret_key=sigv4.SECRET_KEY, strict=False):
        """Strict: a connection that was used a moment ago must not be closed without an answer."""
        self.host = urllib.parse.urlsplit(url).netloc
        self.signer = {"access_key": access_key, "secret_key": secret_key}
        self.strict = strict
        self.connection = None
        self.used = 0.0

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __call__(self, method, path, *, query=(), headers=None, body=b""):
        """`path` is given unencoded, `query` as pairs."""
        payload = hashlib.sha256(body).hexdigest()
        encoded = urllib.parse.quote(path, safe="/-_.~")
        signed = sigv4.Signer(**self.signer).headers(method, self.host, encoded, query, dict(headers or {}), payload)
        target = encoded + ("?" + "&".join(f"{sigv4.quote(n)}={sigv4.quote(v)}" for n, v in query) if query else "")
        fresh = self.connection is None
        while True:
            try:
                return self._send(method, target, signed, body)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # A kept-alive connection may have been closed before the request reached the server; a new one not, nor one
                # that was not idle.
                self.close()
                if fresh or (self.strict and time.monotonic() - self.used < IDLE_SECONDS_MIN):
                    raise
                fresh = True

    def _send(self, method, target, signed, body):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, timeout=TIMEOUT_SECONDS)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in signed.items():
            self.connection.putheader(name, value)
        self.connection.putheader("content-length", str(len(body)))
        self.connection.endheaders(body or None)
        reply = self.connection.getresponse()
        answer = Answer(reply, reply.read())
        self.used = time.monotonic()
        if reply.will_close:
            self.close()
        return answer
