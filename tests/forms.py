"""Uploads with HTML forms."""

import http.client
import re
import urllib.parse
import uuid


def send(form, body, *, name="file.bin", extra=(), drop=(), tls=None):
    """Status, headers and text of what a browser would send; `tls` is the context for https."""
    boundary = uuid.uuid4().hex
    fields = [(key, value) for key, value in form["fields"].items() if key not in drop] + list(extra)
    parts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields
    )
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    content = parts + head.encode() + body + f"\r\n--{boundary}--\r\n".encode()
    url = urllib.parse.urlsplit(form["url"])
    if tls:
        connection = http.client.HTTPSConnection(url.netloc, timeout=60, context=tls)
    else:
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
    try:
        connection.request(
            "POST", url.path or "/", content, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read().decode()
    finally:
        connection.close()


def code(reply):
    found = re.search("<Code>(.*?)</Code>", reply[2])
    return reply[0], found and found.group(1)
