"""Many at once: clients, buckets, sizes."""

import concurrent.futures
import random

import pytest

import harness
from conftest import fresh_name
from content import KIB, MIB, data, md5, read

SIZES = [0, 100, 4 * KIB, 16 * KIB, 17 * KIB, 200 * KIB, MIB, 3 * MIB]


def test_sixty_four_clients_with_mixed_sizes(server, s3, bucket):
    """Each client works on keys of its own and checks every answer against what it last did."""
    rounds = 200 if harness.SOAK else 20

    def work(number):
        rng = random.Random(number)
        client = server.client(connections=1)
        state = {}
        for step in range(rounds):
            key = f"client {number}/{rng.randrange(5)}"
            action = rng.choice(["put", "put", "get", "get", "head", "delete", "list"])
            if action == "put":
                body = data(rng.choice(SIZES), rng.randrange(50))
                reply = client.put_object(Bucket=bucket, Key=key, Body=body)
                assert reply["ETag"] == f'"{md5(body)}"'
                state[key] = body
            elif action == "delete":
                client.delete_object(Bucket=bucket, Key=key)
                state.pop(key, None)
            elif action == "list":
                page = client.list_objects_v2(Bucket=bucket, Prefix=f"client {number}/")
                found = {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
                assert found == {key: len(body) for key, body in state.items()}, step
            elif key not in state:
                with pytest.raises((client.exceptions.NoSuchKey, client.exceptions.ClientError)):
                    client.get_object(Bucket=bucket, Key=key)
            elif action == "get":
                assert read(client.get_object(Bucket=bucket, Key=key)) == state[key], step
            else:
                assert client.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(state[key])
        return state

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        states = list(pool.map(work, range(64)))
    expected = {key: len(body) for state in states for key, body in state.items()}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    found = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
    assert found == expected


@pytest.mark.ours
def test_a_thousand_buckets_and_a_restart(start):
    server = start()
    s3 = server.client(connections=16)
    names = [f"bucket-{n:04}" for n in range(1000)]

    def make(name):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="k", Body=name.encode())

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(make, names))
    for restarted in (False, True):
        if restarted:
            assert server.stop() == 0
            server.start()
            s3 = server.client(connections=16)
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == names
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            bodies = list(pool.map(lambda name: read(s3.get_object(Bucket=name, Key="k")), names))
        assert bodies == [name.encode() for name in names]
    assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.ours
def test_four_gibibytes_there_and_back(start, tmp_path):
    import hashlib

    from boto3.s3.transfer import TransferConfig

    server = start()
    s3 = server.client(connections=16, read_timeout=600)
    s3.create_bucket(Bucket="large")
    path = tmp_path / "large.bin"
    block = data(64 * MIB)
    digest = hashlib.sha256()
    with open(path, "wb") as out:
        for n in range(64):
            piece = bytes([n]) + block[1:]
            digest.update(piece)
            out.write(piece)
    with open(path, "rb") as body:
        s3.put_object(Bucket="large", Key="single", Body=body)
    transfer = TransferConfig(multipart_chunksize=64 * MIB, max_concurrency=4)
    s3.upload_file(str(path), "large", "parts", Config=transfer)
    for key in ("single", "parts"):
        back = hashlib.sha256()
        for piece in s3.get_object(Bucket="large", Key=key)["Body"].iter_chunks(MIB):
            back.update(piece)
        assert back.hexdigest() == digest.hexdigest(), key
    assert server.stop() == 0
