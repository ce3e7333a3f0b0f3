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


# What the reference implementation (libxxhash 0.8.1: XXH64, XXH3_64bits, XXH3_128bits, seed 0) says of the contents that are used,
# by the beginning of their SHA-256. Python has no xxHash of its own, and botocore only with awscrt.
_XXHASH = {
    # b""
    "e3b0c44298fc1c14": (
        "ef46db3751d8e999", "2d06800538d394c2", "99aa06d3014798d86001c324468d497f",
    ),
    # data(9)
    "d6cb58dd93f6c27c": (
        "9c4f202459011aa7", "ae03517fb2a2e817", "101293eeb052c5254dccfc79d5f5189e",
    ),
    # data(100 * KIB)
    "10a1d80d444a991a": (
        "1d08b3109294b766", "eb6ef9d03eb93bc7", "6b6fc122a134e188eb6ef9d03eb93bc7",
    ),
    # data(200 * KIB + 5)
    "570ca979934a684b": (
        "88ec52a51e241c69", "c009d16a9632935b", "154f5ee5609079f8c009d16a9632935b",
    ),
    # data(70 * KIB)
    "351a1a4f036dd527": (
        "1852834a08a746f9", "7b766b8941f6f5ef", "1e7737fdf324af887b766b8941f6f5ef",
    ),
    # data(5 * MIB, 1)
    "d03579d1dd6dd3f0": (
        "3094b5e692e51a2b", "d0a31ff6cb3990b6", "f30e932ff8cfe5c4d0a31ff6cb3990b6",
    ),
    # data(1000, 2)
    "95c712f222c3cbea": (
        "a22df2da3eaf14ea", "8813e0611b6d620b", "33f6dd76c46faf3b8813e0611b6d620b",
    ),
    # b"part"
    "37a680133bd09342": (
        "7a777379b987835a", "8d02c41296946fdb", "2987d004de0ac8690b731a4e2efeeb0d",
    ),
    # the XXHASH64 values of data(5 * MIB, 1) and data(1000, 2)
    "f9ca072afe99b761": (
        "9d315348792ac1a9", "17471faa2cbad698", "7dd6ba6898e242c93883f2c6a6f0024c",
    ),
    # the XXHASH3 values of data(5 * MIB, 1) and data(1000, 2)
    "eea67e9c6cbe80cd": (
        "f36aa5e7658cc867", "747653a74aed8686", "adae482cd3a76cd30c380e65a3678371",
    ),
    # the XXHASH128 values of data(5 * MIB, 1) and data(1000, 2)
    "a4f04aacf4baaa33": (
        "251d3b395cbc913c", "b6f445c989626f3f", "0a2bf8d98edffa1a92871560e7e6d253",
    ),
    # the XXHASH64 value of b"part"
    "179322cb4931ff5d": (
        "a22a101edb06ef0b", "9d66d1b61fbd88cd", "f632a2972737195200d03b42cd99fce9",
    ),
    # the XXHASH3 value of b"part"
    "39c8e7da9aee5fde": (
        "4e8b23d2a91c3425", "8ebabda63a8ab95c", "9e06c9d8ca7862c82a2069fc220ccd71",
    ),
    # the XXHASH128 value of b"part"
    "108c9b67ee3b3e36": (
        "475501b4a334efa0", "e7c901b95fd2d1e2", "30b3d4bbb2e6a93ae0c16e2649be22d8",
    ),
}
_XXHASH_NAMES = ("XXHASH64", "XXHASH3", "XXHASH128")


def checksum(algorithm, body):
    """The value of an x-amz-checksum header."""
    if algorithm == "CRC32":
        raw = zlib.crc32(body).to_bytes(4, "big")
    elif algorithm == "CRC32C":
        raw = _crc(body, _CRC32C).to_bytes(4, "big")
    elif algorithm == "CRC64NVME":
        raw = _crc(body, _CRC64NVME).to_bytes(8, "big")
    elif algorithm in _XXHASH_NAMES:
        values = _XXHASH[hashlib.sha256(body).hexdigest()[:16]]
        raw = bytes.fromhex(values[_XXHASH_NAMES.index(algorithm)])
    else:
        raw = hashlib.new(algorithm.lower(), body).digest()
    return base64.b64encode(raw).decode()


# Those that the protocol library of the server has no places for.
OTHER_ALGORITHMS = ["SHA512", "MD5", *_XXHASH_NAMES]
ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", *OTHER_ALGORITHMS]


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
