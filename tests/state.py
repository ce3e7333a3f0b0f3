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
        # Of buckets beside the others, which keep every version: what each version of each key holds.
        self.versions = {}

    def copy(self):
        other = State()
        other.buckets = {name: dict(keys) for name, keys in self.buckets.items()}
        other.versions = {name: dict(versions) for name, versions in self.versions.items()}
        return other

    def make(self, s3, bucket):
        s3.create_bucket(Bucket=bucket)
        self.buckets[bucket] = {}

    def put(self, s3, bucket, key, body, **options):
        s3.put_object(Bucket=bucket, Key=key, Body=body, **options)
        self.buckets[bucket][key] = body

    def put_parts(self, s3, bucket, key, pieces):
        names = {"Bucket": bucket, "Key": key}
        names["UploadId"] = s3.create_multipart_upload(**names)["UploadId"]
        parts = []
        for number, piece in enumerate(pieces, 1):
            etag = s3.upload_part(**names, PartNumber=number, Body=piece)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
        self.buckets[bucket][key] = b"".join(pieces)

    def put_version(self, s3, bucket, key, body):
        """Into the bucket of the same name that keeps versions."""
        bucket = f"{bucket}-versions"
        if bucket not in self.versions:
            self.make(s3, bucket)
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
            self.versions[bucket] = {}
        answer = s3.put_object(Bucket=bucket, Key=key, Body=body)
        self.buckets[bucket][key] = body
        self.versions[bucket][key, answer["VersionId"]] = body

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
        for bucket, versions in sorted(self.versions.items()):
            try:
                pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
                found = {(one["Key"], one["VersionId"]): one["Size"] for page in pages for one in page.get("Versions", [])}
                wanted = {place: len(body) for place, body in versions.items()}
                assert found == wanted, f"the list of versions of {bucket} is wrong without an error"
            except (ClientError, BotoCoreError) as error:
                met.append(reported(f"list versions of {bucket}", error))
            for (key, version), body in versions.items():
                try:
                    reply = s3.get_object(Bucket=bucket, Key=key, VersionId=version)
                    assert read(reply) == body, f"wrong bytes for {bucket}/{key} {version}"
                except (ClientError, BotoCoreError, HTTPError) as error:
                    met.append(reported(f"get {bucket}/{key} {version}", error))
        return met


def reported(what, error):
    """An error counts as reported unless it claims that the thing does not exist."""
    if isinstance(error, ClientError):
        assert status(error) >= 500, f"{what}: damage was reported as {error}"
    return f"{what}: {error}"
