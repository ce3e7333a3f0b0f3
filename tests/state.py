"""What a store should hold, and whether it does: right bytes or an error, never wrong ones, nothing missing."""

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from content import read


def status(error):
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


class State:
    """Buckets, keys and bytes as acknowledged."""

    def __init__(self):
        self.buckets = {}

    def copy(self):
        other = State()
        other.buckets = {name: dict(keys) for name, keys in self.buckets.items()}
        return other

    def make(self, s3, bucket):
        s3.create_bucket(Bucket=bucket)
        self.buckets[bucket] = {}

    def put(self, s3, bucket, key, body):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        self.buckets[bucket][key] = body

    def delete(self, s3, bucket, key):
        s3.delete_object(Bucket=bucket, Key=key)
        del self.buckets[bucket][key]

    def check(self, s3):
        """Everything is right and nothing fails."""
        assert self.errors(s3) == []

    def errors(self, s3):
        """The errors met while reading everything; fails at once on a wrong byte or a silent gap."""
        met = []
        try:
            names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
            assert names == sorted(self.buckets), "buckets missing, or back from the dead"
        except (ClientError, BotoCoreError) as error:
            met.append(reported("list buckets", error))
        for bucket, keys in sorted(self.buckets.items()):
            try:
                pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
                found = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
                wanted = {key: len(body) for key, body in keys.items()}
                assert found == wanted, f"the listing of {bucket} is wrong without an error"
            except (ClientError, BotoCoreError) as error:
                met.append(reported(f"list {bucket}", error))
            for key, body in keys.items():
                try:
                    assert read(s3.get_object(Bucket=bucket, Key=key)) == body, f"wrong bytes for {bucket}/{key}"
                except (ClientError, BotoCoreError, HTTPError) as error:
                    met.append(reported(f"get {bucket}/{key}", error))
        return met


def reported(what, error):
    """An error counts as reported unless it claims that the thing does not exist."""
    if isinstance(error, ClientError):
        assert status(error) >= 500, f"{what}: damage was reported as {error}"
    return f"{what}: {error}"
