"""Every key of a store at rest, in the clear: opened by the pages of `docs/spec` alone, so that tests know what must not be shown."""

import base64
import re
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# Labels of `crates/seal/src/label.rs`.
RECORD, KEYRING_KEY_WRAP, KEYRING_BODY, GROUP_KEY_WRAP = 2, 10, 11, 12
LOCAL_KMS_FILE, LOCAL_KMS_UNLOCK, LOCAL_KMS_WRAP = 51, 52, 53


def context(label, *fields):
    """`sealed-record.md` §2."""
    out = struct.pack("<BH", 1, label)
    for field in fields:
        if isinstance(field, int):
            out += struct.pack("<BQ", 1, field)
        else:
            field = field.encode() if isinstance(field, str) else field
            out += struct.pack("<BI", 2, len(field)) + field
    return out


def hkdf(key, salt, info, length=32):
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(key)


def opened(key, bound, record):
    """`sealed-record.md` §3."""
    assert record[:4] == b"\x01\x01\x00\x00", record[:4]
    info = b"\x00" + struct.pack("<H", RECORD) + record[:4] + bound
    both = hkdf(key, record[4:36], info, 64)
    assert both[32:] == record[36:68], "another key, or another context"
    return AESGCM(both[:32]).decrypt(bytes(12), record[68:], bound)


class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, length):
        self.at += length
        assert self.at <= len(self.data)
        return self.data[self.at - length : self.at]

    def number(self, kind):
        return struct.unpack("<" + kind, self.raw(struct.calcsize("<" + kind)))[0]

    def bytes(self):
        return self.raw(self.number("I"))


def local_keys(folder):
    """`local-kms.md`: the keys that are inside, by id, and what opens the file."""
    file, content = (folder / "kms/local.kms").read_bytes(), (folder / "kms/unlock.key").read_bytes()
    fixed, salt = file[:64], file[24:56]
    unlock = hkdf(content, salt, context(LOCAL_KMS_UNLOCK, "key file"))
    file_key = hkdf(unlock, salt, context(LOCAL_KMS_UNLOCK, "file key", fixed))
    body = Fields(opened(file_key, context(LOCAL_KMS_FILE, file[:104]), file[136:]))
    keys = {}
    for _ in range(body.number("I")):
        name = body.bytes().decode()
        body.raw(1 + 8 + 8)
        keys[name] = [body.raw(8 + 32)[8:] for _ in range(body.number("I"))]
    return keys, {"unlock key": unlock, "key of local.kms": file_key, "unlock.key": content}


def unwrapped(keys, envelope, bound):
    """`envelope.md`, `local-kms.md` §6."""
    fields = Fields(envelope)
    assert fields.number("B") == 1 and fields.bytes() == b"local"
    name, version, blob = fields.bytes().decode(), fields.number("I"), fields.bytes()
    return opened(keys[name][version - 1], context(LOCAL_KMS_WRAP, name, version, bound), blob)


def every_key(folder):
    """By what it is called: the KMS's keys, what opens them, the keyring's key and those of all groups."""
    keys, found = local_keys(folder)
    for name, versions in keys.items():
        found |= {f"{name} version {number}": key for number, key in enumerate(versions, 1)}
    # `keyring.md` §2.
    file = (folder / "keyring").read_bytes()
    head = Fields(file)
    head.raw(12)
    store, envelope = head.raw(16), head.bytes()
    head.raw(4)
    found["keyring key"] = unwrapped(keys, envelope, context(KEYRING_KEY_WRAP, store))
    body = Fields(opened(found["keyring key"], context(KEYRING_BODY, file[: head.at]), file[head.at :]))
    body.raw(16 + 8 + 4 + 8 + 8 + 8 + 4 + 1 + 4)
    for _ in range(body.number("I")):
        group = body.number("I")
        body.raw(8 + 4)
        for _ in range(body.number("I")):
            key = body.number("I")
            body.raw(1 + 6 * 8)
            wrapped = body.bytes()
            if wrapped:
                bound = context(GROUP_KEY_WRAP, store, group, key)
                found[f"key {key} of group {group}"] = unwrapped(keys, wrapped, bound)
    return found


class Shown:
    """What was printed, in the forms in which a key could be in it."""

    def __init__(self, printed):
        self.raw = printed
        # However digits are grouped, and in whichever case.
        self.hex = re.sub(rb"[\s:,_-]|0x", b"", printed.lower())
        self.base64 = re.sub(rb"\s", b"", printed).replace(b"-", b"+").replace(b"_", b"/")
        self.numbers = b"," + re.sub(rb"[\s\[\]]", b"", printed) + b","

    def has(self, key, piece=12):
        """Whether so many bytes of a key in a row are in it."""
        for at in range(len(key) - piece + 1):
            part = key[at : at + piece]
            if part in self.raw or part.hex().encode() in self.hex:
                return True
            if b",".join(b"%d" % byte for byte in part) in self.numbers:
                return True
            # The characters that depend on nothing before or behind.
            if any(base64.b64encode(bytes(lead) + part)[(4 * lead + 2) // 3 : -4] in self.base64 for lead in range(3)):
                return True
        return False
