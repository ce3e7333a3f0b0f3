"""A hundred clients that do everything at once: no answer 5xx, and every read is right.

Half of them are root, and half are a user of its own for whom each request has to be allowed. Each client has keys of its own, of which it knows what they hold, in a bucket without versions and in one with. All of
them also write and read a few keys together; what these hold says by itself who wrote it, so a mixture would show."""

import base64
import http.client
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree

import pytest

import harness
import sigv4
from caller import Caller
from content import KIB, MIB, data, md5
from forms import send
from people import User, admin, statement

CLIENTS = 100
SECONDS = 60 if harness.SOAK else 5
SIZES = [0, 1, 100, 4 * KIB, 4 * KIB, 16 * KIB, 16 * KIB + 1, 64 * KIB, 200 * KIB]
OWN_KEYS = 4
SHARED_KEYS = 5
PLAIN, VERSIONED, LOCKED = "mixed-plain", "mixed-versioned", "mixed-locked"


def field(answer, name):
    """The text of the first element with this name, whatever its namespace."""
    for element in xml.etree.ElementTree.fromstring(answer.body).iter():
        if element.tag.rsplit("}", 1)[-1] == name:
            return element.text or ""
    return None


def elements(answer, *names):
    """Those elements, in the order of the answer, each as a dictionary of its children."""
    found = []
    for element in xml.etree.ElementTree.fromstring(answer.body).iter():
        tag = element.tag.rsplit("}", 1)[-1]
        if tag in names:
            found.append({"": tag} | {child.tag.rsplit("}", 1)[-1]: child.text or "" for child in element})
    return found


def shared_body(client, step, size):
    return f"{client} {step} {size}\n".encode() + data(size, client * 1000 + step % 1000)


class Client:
    """One of the hundred: a dice of its own, a connection of its own, and what it knows."""

    def __init__(self, url, number, keys, rest, boto):
        self.number = number
        self.dice = random.Random(number)
        self.boto = boto
        # Of root, or of the user.
        self.keys = keys if number % 2 else {}
        self.rest = rest
        self.connect(url)
        # Key → (body, tags); what the client has deleted is not there.
        self.plain = {}
        # Key → versions, newest first: (version id, body or None for a delete marker).
        self.versions = {}
        self.step = 0
        self.counts = {}

    def connect(self, url):
        self.call = Caller(url, strict=True, **self.keys)

    def run(self, until):
        moves = [
            self.put, self.put, self.get, self.get, self.range, self.head, self.delete, self.list, self.copy,
            self.multipart, self.tags, self.conditional, self.put_shared, self.get_shared, self.batch,
            self.put_version, self.put_version, self.get_version, self.delete_version, self.list_versions,
            self.encrypted, self.copied_part, self.if_match, self.presigned, self.setting, self.by_rest, self.held,
            self.own_key, self.form,
        ]
        while time.monotonic() < until:
            self.step += 1
            move = self.dice.choice(moves)
            move()
            self.counts[move.__name__] = self.counts.get(move.__name__, 0) + 1

    def ask(self, expected, method, path, **options):
        answer = self.call(method, path, **options)
        allowed = expected if isinstance(expected, tuple) else (expected,)
        assert answer.status in allowed, f"client {self.number}, step {self.step}: {method} {path} {options.get('query')}: {answer}"
        return answer

    def key(self):
        return f"client {self.number:03}/ü {self.dice.randrange(OWN_KEYS)}"

    def body(self):
        return data(self.dice.choice(SIZES), self.dice.randrange(1000))

    def put(self):
        key, body = self.key(), self.body()
        answer = self.ask(200, "PUT", f"/{PLAIN}/{key}", body=body)
        assert answer.headers["etag"] == f'"{md5(body)}"'
        self.plain[key] = (body, {})

    def get(self):
        key = self.key()
        if key not in self.plain:
            return self.ask(404, "GET", f"/{PLAIN}/{key}")
        answer = self.ask(200, "GET", f"/{PLAIN}/{key}")
        assert answer.body == self.plain[key][0], f"client {self.number}, step {self.step}: wrong bytes"

    def range(self):
        key = self.key()
        body = self.plain.get(key, (b"",))[0]
        if not body:
            return
        first = self.dice.randrange(len(body))
        last = self.dice.randrange(first, len(body) + 10)
        answer = self.ask(206, "GET", f"/{PLAIN}/{key}", headers={"range": f"bytes={first}-{last}"})
        assert answer.body == body[first : last + 1]

    def head(self):
        key = self.key()
        answer = self.ask(200 if key in self.plain else 404, "HEAD", f"/{PLAIN}/{key}")
        if key in self.plain:
            assert int(answer.headers["content-length"]) == len(self.plain[key][0])

    def delete(self):
        key = self.key()
        self.ask(204, "DELETE", f"/{PLAIN}/{key}")
        self.plain.pop(key, None)

    def list(self):
        query = [("list-type", "2"), ("prefix", f"client {self.number:03}/")]
        found = {entry["Key"]: int(entry["Size"]) for entry in elements(self.ask(200, "GET", f"/{PLAIN}", query=query), "Contents")}
        assert found == {key: len(body) for key, (body, _) in self.plain.items()}

    def copy(self):
        source, target = self.key(), self.key()
        if source == target:
            return
        headers = {"x-amz-copy-source": f"{PLAIN}/{source}".replace(" ", "%20").replace("ü", "%C3%BC")}
        self.ask(200 if source in self.plain else 404, "PUT", f"/{PLAIN}/{target}", headers=headers)
        if source in self.plain:
            self.plain[target] = self.plain[source]

    def multipart(self):
        key = self.key()
        path = f"/{PLAIN}/{key}"
        upload = field(self.ask(200, "POST", path, query=[("uploads", "")]), "UploadId")
        large = self.dice.randrange(10) == 0
        parts = [data(5 * MIB, self.number), self.body()] if large else [self.body()]
        tags = []
        for number, body in enumerate(parts, 1):
            query = [("partNumber", str(number)), ("uploadId", upload)]
            tags.append(self.ask(200, "PUT", path, query=query, body=body).headers["etag"])
        if self.dice.randrange(3) == 0:
            self.ask(204, "DELETE", path, query=[("uploadId", upload)])
            self.ask(404, "GET", path, query=[("uploadId", upload)])
            return
        listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        answer = self.ask(200, "POST", path, query=[("uploadId", upload)], body=document)
        assert field(answer, "ETag"), answer
        self.plain[key] = (b"".join(parts), {})

    def tags(self):
        key = self.key()
        query = [("tagging", "")]
        if key not in self.plain:
            return self.ask(404, "GET", f"/{PLAIN}/{key}", query=query)
        body, known = self.plain[key]
        found = {tag["Key"]: tag["Value"] for tag in elements(self.ask(200, "GET", f"/{PLAIN}/{key}", query=query), "Tag")}
        assert found == known
        new = {f"t{n}": str(self.step) for n in range(self.dice.randrange(4))}
        tags = "".join(f"<Tag><Key>{k}</Key><Value>{v}</Value></Tag>" for k, v in new.items())
        document = f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()
        self.ask(200, "PUT", f"/{PLAIN}/{key}", query=query, body=document)
        self.plain[key] = (body, new)

    def conditional(self):
        key, body = self.key(), self.body()
        absent = key not in self.plain
        self.ask(200 if absent else 412, "PUT", f"/{PLAIN}/{key}", headers={"if-none-match": "*"}, body=body)
        if absent:
            self.plain[key] = (body, {})

    def encrypted(self):
        key, body = self.key(), self.body()
        sse = self.dice.choice(["AES256", "aws:kms", "aws:kms:dsse"])
        headers = {"x-amz-server-side-encryption": sse}
        if sse == "aws:kms" and self.dice.randrange(2):
            headers["x-amz-server-side-encryption-bucket-key-enabled"] = "true"
        answer = self.ask(200, "PUT", f"/{PLAIN}/{key}", headers=headers, body=body)
        assert answer.headers["x-amz-server-side-encryption"] == sse
        self.plain[key] = (body, {})

    def copied_part(self):
        source, target = self.key(), self.key()
        # An empty object is no part.
        if source == target or not self.plain.get(source, (b"",))[0]:
            return
        path, body = f"/{PLAIN}/{target}", self.plain[source][0]
        sse = self.dice.choice([{}, {"x-amz-server-side-encryption": "aws:kms"}])
        upload = field(self.ask(200, "POST", path, query=[("uploads", "")], headers=sse), "UploadId")
        query = [("partNumber", "1"), ("uploadId", upload)]
        headers = {"x-amz-copy-source": urllib.parse.quote(f"{PLAIN}/{source}")}
        if len(body) > 1 and self.dice.randrange(2):
            first = self.dice.randrange(len(body) - 1)
            headers["x-amz-copy-source-range"] = f"bytes={first}-{len(body) - 1}"
            body = body[first:]
        tag = field(self.ask(200, "PUT", path, query=query, headers=headers), "ETag")
        begun = self.ask(200, "GET", f"/{PLAIN}", query=[("uploads", ""), ("prefix", target)])
        assert upload in [entry["UploadId"] for entry in elements(begun, "Upload")]
        parts = elements(self.ask(200, "GET", path, query=[("uploadId", upload)]), "Part")
        assert [(part["PartNumber"], int(part["Size"]), part["ETag"]) for part in parts] == [("1", len(body), tag)]
        document = (
            f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
        )
        self.ask(200, "POST", path, query=[("uploadId", upload)], body=document.encode())
        self.plain[target] = (body, {})

    def if_match(self):
        key, body = self.key(), self.body()
        if key not in self.plain:
            return
        etag = self.ask(200, "HEAD", f"/{PLAIN}/{key}").headers["etag"]
        self.ask(412, "PUT", f"/{PLAIN}/{key}", headers={"if-match": f'"{"0" * 32}"'}, body=body)
        self.ask(200, "PUT", f"/{PLAIN}/{key}", headers={"if-match": etag}, body=body)
        self.plain[key] = (body, {})

    def presigned(self):
        key = self.key()
        path = urllib.parse.quote(f"/{PLAIN}/{key}", safe="/-_.~")
        signer = sigv4.Signer(**self.call.signer)
        query = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{signer.access_key}/{signer.scope}"),
            ("X-Amz-Date", signer.date),
            ("X-Amz-Expires", "600"),
            ("X-Amz-SignedHeaders", "host"),
        ]
        query.append(("X-Amz-Signature", signer.presign("GET", self.call.host, path, query)))
        text = "&".join(f"{sigv4.quote(name)}={sigv4.quote(value)}" for name, value in query)
        try:
            with urllib.request.urlopen(f"http://{self.call.host}{path}?{text}", timeout=60) as reply:
                assert reply.read() == self.plain[key][0]
        except urllib.error.HTTPError as error:
            assert (error.code, key in self.plain) == (404, False), error

    def setting(self):
        # Each sets what nobody else looks at; what it reads was set by one of them.
        tags = f"<Tagging><TagSet><Tag><Key>client</Key><Value>{self.number}</Value></Tag></TagSet></Tagging>"
        self.ask(200, "PUT", f"/{PLAIN}", query=[("tagging", "")], body=tags.encode())
        found = elements(self.ask(200, "GET", f"/{PLAIN}", query=[("tagging", "")]), "Tag")
        assert [tag["Key"] for tag in found] == ["client"] and int(found[0]["Value"]) < CLIENTS
        self.ask(200, "GET", f"/{PLAIN}", query=[("encryption", "")])

    def by_rest(self):
        key, body = self.key(), self.body()
        connection = self.rest()
        try:
            path = urllib.parse.quote(f"/api/v1/buckets/{PLAIN}/objects/{key}", safe="/-_.~")
            status, answer = connection("PUT", path, body)
            assert status == 201, answer
            self.plain[key] = (body, {})
            status, answer = connection("GET", path, b"")
            assert (status, answer) == (200, body)
        finally:
            connection.close()

    def held(self):
        key, body = f"client {self.number:03}/held", self.body()
        headers = {"x-amz-object-lock-legal-hold": "ON", "x-amz-checksum-crc32": _crc32(body)}
        answer = self.ask(200, "PUT", f"/{LOCKED}/{key}", headers=headers, body=body)
        version = [("versionId", answer.headers["x-amz-version-id"])]
        self.ask(403, "DELETE", f"/{LOCKED}/{key}", query=version)
        assert self.ask(200, "GET", f"/{LOCKED}/{key}", query=version).body == body
        off = b"<LegalHold><Status>OFF</Status></LegalHold>"
        headers = {"x-amz-checksum-crc32": _crc32(off)}
        self.ask(200, "PUT", f"/{LOCKED}/{key}", query=[("legal-hold", ""), *version], headers=headers, body=off)
        self.ask(204, "DELETE", f"/{LOCKED}/{key}", query=version)

    def own_key(self):
        # Where no listing of this client's looks.
        path, copied, body = f"/{PLAIN}/own key/{self.number}", f"/{PLAIN}/own key/{self.number} copied", self.body()
        key, other = data(32, self.step), data(32, self.step + 1)
        self.ask(200, "PUT", path, headers=_customer(key), body=body)
        assert self.ask(200, "GET", path, headers=_customer(key)).body == body
        self.ask(400, "GET", path)
        self.ask(403, "GET", path, headers=_customer(other))
        headers = {"x-amz-copy-source": urllib.parse.quote(path[1:])}
        headers |= _customer(key, "copy-source-") | _customer(other)
        self.ask(200, "PUT", copied, headers=headers)
        assert self.ask(200, "GET", copied, headers=_customer(other)).body == body
        for name in (path, copied):
            self.ask(204, "DELETE", name)

    def form(self):
        key, body = self.key(), self.body()
        status, headers, text = send(self.boto.generate_presigned_post(PLAIN, key), body)
        assert (status, headers.get("etag")) == (204, f'"{md5(body)}"'), text
        self.plain[key] = (body, {})

    def batch(self):
        keys = sorted({self.key() for _ in range(2)})
        objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        document = f"<Delete>{objects}</Delete>".encode()
        headers = {"x-amz-checksum-crc32": _crc32(document), "content-type": "application/xml"}
        answer = self.ask(200, "POST", f"/{PLAIN}", query=[("delete", "")], headers=headers, body=document)
        assert [entry["Key"] for entry in elements(answer, "Deleted")] == keys, answer
        for key in keys:
            self.plain.pop(key, None)

    def put_shared(self):
        body = shared_body(self.number, self.step, self.dice.choice(SIZES))
        self.ask(200, "PUT", f"/{PLAIN}/shared/{self.dice.randrange(SHARED_KEYS)}", body=body)

    def get_shared(self):
        answer = self.ask((200, 404), "GET", f"/{PLAIN}/shared/{self.dice.randrange(SHARED_KEYS)}")
        if answer.status == 200:
            client, step, size = map(int, answer.body.split(b"\n", 1)[0].split())
            assert answer.body == shared_body(client, step, size), "a mixture of two writes"

    def put_version(self):
        key, body = self.key(), self.body()
        answer = self.ask(200, "PUT", f"/{VERSIONED}/{key}", body=body)
        version = answer.headers["x-amz-version-id"]
        assert all(version != known for known, _ in self.versions.get(key, []))
        self.versions.setdefault(key, []).insert(0, (version, body))

    def get_version(self):
        key = self.key()
        versions = self.versions.get(key, [])
        if not versions or self.dice.randrange(2):
            current = versions[0][1] if versions else None
            answer = self.ask(404 if current is None else 200, "GET", f"/{VERSIONED}/{key}")
            assert current is None or answer.body == current
            return
        version, body = self.dice.choice(versions)
        answer = self.ask(405 if body is None else 200, "GET", f"/{VERSIONED}/{key}", query=[("versionId", version)])
        assert body is None or answer.body == body

    def delete_version(self):
        key = self.key()
        versions = self.versions.setdefault(key, [])
        if not versions or self.dice.randrange(2):
            answer = self.ask(204, "DELETE", f"/{VERSIONED}/{key}")
            assert answer.headers["x-amz-delete-marker"] == "true"
            versions.insert(0, (answer.headers["x-amz-version-id"], None))
            return
        chosen = self.dice.choice(versions)
        self.ask(204, "DELETE", f"/{VERSIONED}/{key}", query=[("versionId", chosen[0])])
        versions.remove(chosen)

    def list_versions(self):
        query = [("versions", ""), ("prefix", f"client {self.number:03}/")]
        answer = self.ask(200, "GET", f"/{VERSIONED}", query=query)
        if field(answer, "IsTruncated") == "true":
            return
        found = [
            (entry["Key"], entry["VersionId"], entry[""] == "DeleteMarker", entry["IsLatest"] == "true")
            for entry in elements(answer, "Version", "DeleteMarker")
        ]
        known = [
            (key, version, body is None, at == 0)
            for key in sorted(self.versions)
            for at, (version, body) in enumerate(self.versions[key])
        ]
        # Each kind is in order; how they are mixed is the library's choice.
        for marker in (False, True):
            wanted = [entry for entry in known if entry[2] == marker]
            assert [entry for entry in found if entry[2] == marker] == wanted, f"client {self.number}, step {self.step}"

    def check_all(self):
        """What is there at the end is what this client knows."""
        for key, (body, _) in self.plain.items():
            assert self.ask(200, "GET", f"/{PLAIN}/{key}").body == body
        for key, versions in self.versions.items():
            for version, body in versions:
                if body is not None:
                    assert self.ask(200, "GET", f"/{VERSIONED}/{key}", query=[("versionId", version)]).body == body
        self.list()
        self.list_versions()


class Rest:
    """A connection to the REST API, with a token."""

    def __init__(self, url, token):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
        self.token = token

    def __call__(self, method, path, body):
        headers = {"authorization": f"Bearer {self.token}", "content-type": "text/plain"}
        self.connection.request(method, path, body=body, headers=headers)
        reply = self.connection.getresponse()
        return reply.status, reply.read()

    def close(self):
        self.connection.close()


def _crc32(body):
    from content import checksum

    return checksum("CRC32", body)


def _customer(key, of=""):
    prefix = f"x-amz-{of}server-side-encryption-customer-"
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": base64.b64encode(key).decode(),
        f"{prefix}key-md5": sigv4.key_md5(key),
    }


def together(clients, work):
    """Runs all of them at once and hands out the first failure."""
    failures = []

    def guarded(client):
        try:
            work(client)
        except BaseException as failure:  # noqa: BLE001 (it is raised again below)
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.ours
def test_a_hundred_clients_mixing_everything(start):
    server = start(arguments=["--sse-c-over-http"])
    first = Caller(server.s3_url)
    for bucket in (PLAIN, VERSIONED):
        assert first("PUT", f"/{bucket}").status == 200
    document = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert first("PUT", f"/{VERSIONED}", query=[("versioning", "")], body=document).status == 200
    locked = first("PUT", f"/{LOCKED}", headers={"x-amz-bucket-object-lock-enabled": "true"})
    assert locked.status == 200
    user = User(server, "mixer", statement(["s3:*", "kms:*"], "*"))
    keys = {"access_key": user.access_key, "secret_key": user.secret_key}
    token = admin(server, "token", "create", "--user", "mixer", "--scope", "all")["token"]
    boto = server.client()
    clients = [Client(server.s3_url, number, keys, lambda: Rest(server.api_url, token), boto) for number in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    together(clients, lambda client: client.run(until))
    counts = {}
    for client in clients:
        for move, count in client.counts.items():
            counts[move] = counts.get(move, 0) + count
    print(f"{sum(counts.values())} moves: {counts}")
    assert len(counts) == 26, f"too slow to mix: {counts}"
    together(clients, Client.check_all)
    # Nor after a kill: everything above was acknowledged.
    for client in clients:
        client.call.close()
    server.kill()
    server.start()
    for client in clients:
        client.connect(server.s3_url)
    together(clients, Client.check_all)
    assert server.stop() == 0
    assert "panicked" not in server.log()
