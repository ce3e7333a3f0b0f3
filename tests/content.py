"""Bytes to store and what S3 says about them."""

import base64
import hashlib
import random
import re
import zlib

import pytest
from botocore.exceptions import ClientError

KIB = 1024
MIB = 1024 * KIB

# Names that have broken stores: spaces, signs with a meaning in URLs and file systems, other scripts, emptiness.
ODD_KEYS = [
    "plain",
    "with space",
    " leading and trailing ",
    "plus+sign",
    "percent%20encoded",
    "100%",
    "a//b",
    "/leading/slash",
    "trailing/",
    "..",
    "../escape",
    "a/../b",
    "./dot",
    "grüße/naïve",
    "日本語/テスト",
    "emoji-😀",
    "quote'\"<>&;",
    "query?x=1&y=2#frag",
    "back\\slash",
    "brackets[]{}|^`~",
    "colon:semi;comma,equals=at@",
    "k" * 1024,
]


def data(size, seed=0):
    """Bytes that are the same in every run."""
    return random.Random(size * 1_000_003 + seed).randbytes(size)


def md5(body):
    return hashlib.md5(body).hexdigest()


def md5_base64(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def etag_of_parts(parts):
    digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts))
    return f'"{digest.hexdigest()}-{len(parts)}"'


def looks_like_md5(etag):
    return re.fullmatch(r'"[0-9a-f]{32}"', etag) is not None


def read(reply):
    return reply["Body"].read()


def _table(polynomial, bits):
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table, (1 << bits) - 1


_CRC32C = _table(0x82F63B78, 32)
_CRC64NVME = _table(0x9A6C9329AC4BC9B5, 64)


def _crc(body, form):
    table, mask = form
    value = mask
    for byte in body:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ mask


def checksum(algorithm, body):
    """The value of an x-amz-checksum header."""
    if algorithm == "CRC32":
        raw = zlib.crc32(body).to_bytes(4, "big")
    elif algorithm == "CRC32C":
        raw = _crc(body, _CRC32C).to_bytes(4, "big")
    elif algorithm == "CRC64NVME":
        raw = _crc(body, _CRC64NVME).to_bytes(8, "big")
    else:
        raw = hashlib.new(algorithm.lower(), body).digest()
    return base64.b64encode(raw).decode()


ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


class refused:
    """`with refused("NoSuchKey", 404):` the call inside fails in exactly this way."""

    def __init__(self, code, status=None):
        self.codes = {code} if isinstance(code, str) else set(code)
        self.status = status
        self.response = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            pytest.fail(f"was accepted, and {self.codes} was expected")
        if not isinstance(error, ClientError):
            return False
        self.response = error.response
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert code in self.codes, f"{code} ({error}), and {self.codes} was expected"
        assert self.status in (None, status), f"status {status}, and {self.status} was expected"
        return True
