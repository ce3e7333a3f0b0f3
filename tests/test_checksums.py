"""AWS's ten checksums, in headers and in trailers, stored, returned and refused when wrong."""

import base64

import pytest

import sigv4
from content import ALGORITHMS, KIB, MIB, OTHER_ALGORITHMS, checksum, data, read, refused

WRONG = {
    "CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32,
    "SHA512": 64, "MD5": 16, "XXHASH64": 8, "XXHASH3": 8, "XXHASH128": 16,
}


def wrong(algorithm):
    return base64.b64encode(b"\x01" * WRONG[algorithm]).decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [0, 9, 100 * KIB])
def test_a_right_checksum_is_stored_and_returned(s3, bucket, algorithm, size):
    value = checksum(algorithm, data(size))
    field = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=data(size), **{field: value})
    assert put[field] == value
    for operation in (s3.get_object, s3.head_object):
        reply = operation(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert reply[field] == value
        assert reply["ChecksumType"] == "FULL_OBJECT"
    wanted = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ETag", "ObjectSize"])
    assert wanted["Checksum"] == {field: value, "ChecksumType": "FULL_OBJECT"}
    assert (wanted["ETag"].strip('"'), wanted["ObjectSize"]) == (put["ETag"].strip('"'), size)
    [listed] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ([algorithm], "FULL_OBJECT")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_checksum_stores_nothing(s3, bucket, algorithm):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    for size in (9, MIB):
        with refused("BadDigest", 400):
            s3.put_object(Bucket=bucket, Key="k", Body=data(size), **{f"Checksum{algorithm}": wrong(algorithm)})
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"before"


@pytest.mark.parametrize("payload", [sigv4.SIGNED_TRAILER, sigv4.UNSIGNED_TRAILER])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_trailer_is_checked_stored_and_returned(server, s3, bucket, algorithm, payload):
    body = data(200 * KIB + 5)
    name = f"x-amz-checksum-{algorithm.lower()}"
    value = checksum(algorithm, body)
    reply = sigv4.put_chunked(server.s3_url, f"/{bucket}/k", body, payload=payload, trailer=(name, value))
    assert reply.status == 200, reply.body
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == value
    assert read(got) == body
    assert "aws-chunked" not in got.get("ContentEncoding", "")
    bad = sigv4.put_chunked(
        server.s3_url, f"/{bucket}/bad", body, payload=payload, trailer=(name, wrong(algorithm))
    )
    assert bad.status == 400 and b"<Code>BadDigest</Code>" in bad.body, bad.body
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="bad")


def test_signed_chunks_are_stored(server, s3, bucket):
    body = data(300 * KIB)
    reply = sigv4.put_chunked(server.s3_url, f"/{bucket}/k", body, payload=sigv4.SIGNED)
    assert reply.status == 200, reply.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == body


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body.replace(b"chunk-signature=", b"chunk-signature=0", 1)[:-1],
        lambda body: body[:1000] + bytes([body[1000] ^ 1]) + body[1001:],
        lambda body: body[: len(body) // 2],
    ],
    ids=["signature", "content", "truncated"],
)
def test_damaged_chunks_store_nothing(server, s3, bucket, damage):
    reply = sigv4.put_chunked(
        server.s3_url, f"/{bucket}/k", data(300 * KIB), payload=sigv4.SIGNED, damage=damage
    )
    assert 400 <= reply.status < 500, (reply.status, reply.body)
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")


def test_a_header_hash_that_does_not_fit_the_body_is_refused(server, s3, bucket):
    import hashlib

    said = hashlib.sha256(b"something else").hexdigest()
    reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/k", body=data(100), payload=said)
    assert reply.status == 400 and b"<Code>XAmzContentSHA256Mismatch</Code>" in reply.body, reply.body
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", *OTHER_ALGORITHMS])
def test_parts_have_checksums_and_the_object_one_of_them(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    bodies = [data(5 * MIB, 1), data(1000, 2)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm)
    names = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    parts = []
    for number, body in enumerate(bodies, 1):
        value = checksum(algorithm, body)
        reply = s3.upload_part(**names, PartNumber=number, Body=body, **{field: value})
        assert reply[field] == value
        parts.append({"PartNumber": number, "ETag": reply["ETag"], field: value})
    with refused("BadDigest", 400):
        s3.upload_part(**names, PartNumber=3, Body=b"x", **{field: wrong(algorithm)})
    listed = s3.list_parts(**names)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, "COMPOSITE")
    assert [(part["PartNumber"], part["ETag"], part[field]) for part in listed["Parts"]] == [
        (part["PartNumber"], part["ETag"], part[field]) for part in parts
    ]
    lying = [parts[0], {**parts[1], field: wrong(algorithm)}]
    with refused("InvalidPart", 400):
        s3.complete_multipart_upload(**names, MultipartUpload={"Parts": lying})
    joined = b"".join(base64.b64decode(checksum(algorithm, body)) for body in bodies)
    composite = checksum(algorithm, joined)
    with refused("BadDigest", 400):
        s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts}, **{field: f"{wrong(algorithm)}-2"})
    done = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts}, **{field: f"{composite}-2"})
    assert (done[field], done["ChecksumType"]) == (f"{composite}-2", "COMPOSITE")
    assert (done["Bucket"], done["Key"]) == (bucket, "k") and done["ETag"].endswith('-2"')
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (f"{composite}-2", "COMPOSITE")


@pytest.mark.ours
def test_an_upload_without_a_checksum_gets_crc64nvme(server, s3, bucket):
    body = data(1000)
    reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/k", body=body)
    assert reply.status == 200, reply.body
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == checksum("CRC64NVME", body)


@pytest.mark.parametrize("algorithm", ["SHA256", *OTHER_ALGORITHMS])
def test_a_copy_keeps_the_checksum_or_gets_the_one_that_is_asked_for(s3, bucket, algorithm):
    body = data(70 * KIB)
    field, value = f"Checksum{algorithm}", checksum(algorithm, body)
    s3.put_object(Bucket=bucket, Key="a", Body=body, **{field: value})
    kept = s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    s3.put_object(Bucket=bucket, Key="c", Body=body, ChecksumCRC32=checksum("CRC32", body))
    source = {"Bucket": bucket, "Key": "c"}
    asked = s3.copy_object(Bucket=bucket, Key="d", CopySource=source, ChecksumAlgorithm=algorithm)
    for key, copied in (("b", kept), ("d", asked)):
        result = copied["CopyObjectResult"]
        assert (result[field], result["ChecksumType"]) == (value, "FULL_OBJECT") and result["LastModified"]
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert head[field] == value and result["ETag"] == head["ETag"]


@pytest.mark.parametrize("algorithm", OTHER_ALGORITHMS)
def test_only_the_checksums_of_crcs_cover_a_whole_upload(s3, bucket, algorithm):
    with refused("InvalidRequest", 400) as failed:
        s3.create_multipart_upload(
            Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT"
        )
    assert failed.response["Error"]["Message"] == (
        f"The FULL_OBJECT checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
    )
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm)
    assert (begun["ChecksumAlgorithm"], begun["ChecksumType"]) == (algorithm, "COMPOSITE")
    [upload] = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert (upload["ChecksumAlgorithm"], upload["ChecksumType"]) == (algorithm, "COMPOSITE")


@pytest.mark.parametrize("algorithm", OTHER_ALGORITHMS)
def test_documents_are_checked_against_every_checksum(server, s3, bucket, algorithm):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    batch = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    for path, query, body in [
        (f"/{bucket}", [("delete", "")], batch),
        (f"/{bucket}/kept", [("tagging", "")], b"<Tagging><TagSet/></Tagging>"),
    ]:
        method = "POST" if query[0][0] == "delete" else "PUT"
        headers = {f"x-amz-checksum-{algorithm.lower()}": wrong(algorithm)}
        reply = sigv4.request(server.s3_url, method, path, query=query, headers=headers, body=body)
        assert reply.status == 400 and b"<Code>BadDigest</Code>" in reply.body, reply.body
    assert read(s3.get_object(Bucket=bucket, Key="kept")) == b"kept"


UNKNOWN = {"MD6": 64, "SHA3": 32, "XXHASH32": 4}


@pytest.mark.parametrize("algorithm", UNKNOWN)
def test_a_checksum_that_is_not_verified_here_is_refused(server, s3, bucket, algorithm):
    """Whoever sends one relies on its being verified."""
    value = base64.b64encode(b"\x01" * UNKNOWN[algorithm]).decode()
    name = f"x-amz-checksum-{algorithm.lower()}"
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    batch = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    for method, path, query, body in [
        ("PUT", "k", (), b"x"),
        ("PUT", "k", [("partNumber", "1"), ("uploadId", begun)], b"x"),
        ("POST", "", [("delete", "")], batch),
        ("PUT", "", [("encryption", "")], b"<ServerSideEncryptionConfiguration/>"),
    ]:
        path = f"/{bucket}/{path}" if path else f"/{bucket}"
        reply = sigv4.request(server.s3_url, method, path, query=query, headers={name: value}, body=body)
        assert reply.status == 400 and b"<Code>InvalidRequest</Code>" in reply.body, (query, reply.body)
    reply = sigv4.put_chunked(
        server.s3_url, f"/{bucket}/k", b"x", payload=sigv4.UNSIGNED_TRAILER, trailer=(name, value)
    )
    assert reply.status == 400, reply.body
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
    assert read(s3.get_object(Bucket=bucket, Key="kept")) == b"kept"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", *OTHER_ALGORITHMS])
def test_a_composite_checksum_needs_those_of_its_parts(server, s3, bucket, algorithm):
    names = {"Bucket": bucket, "Key": "k"}
    names["UploadId"] = s3.create_multipart_upload(**names, ChecksumAlgorithm=algorithm)["UploadId"]
    query = [("partNumber", "1"), ("uploadId", names["UploadId"])]
    reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/k", query=query, body=b"part")
    assert reply.status == 400, reply.body
    mismatch = (
        f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower()}, actual checksum Type: null"
    )
    assert f"<Message>{mismatch}</Message>".encode() in reply.body
    field = f"Checksum{algorithm}"
    value = checksum(algorithm, b"part")
    etag = s3.upload_part(**names, PartNumber=1, Body=b"part", **{field: value})["ETag"]
    with refused("InvalidRequest", 400) as failed:
        s3.complete_multipart_upload(**names, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert failed.response["Error"]["Message"] == (
        f"The upload was created using a {algorithm.lower()} checksum. The complete request must include the checksum "
        "for each part. It was missing for part 1 in the request."
    )
    parts = [{"PartNumber": 1, "ETag": etag, field: value}]
    s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})


def test_parts_of_a_full_object_checksum_need_none_of_their_own(server, s3, bucket):
    names = {"Bucket": bucket, "Key": "k"}
    begun = s3.create_multipart_upload(**names, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    names["UploadId"] = begun["UploadId"]
    query = [("partNumber", "1"), ("uploadId", names["UploadId"])]
    reply = sigv4.request(server.s3_url, "PUT", f"/{bucket}/k", query=query, body=b"part")
    assert reply.status == 200, reply.body
    parts = [{"PartNumber": 1, "ETag": reply.headers["etag"]}]
    done = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert done["ChecksumCRC32"] == checksum("CRC32", b"part")


@pytest.mark.parametrize("algorithm", ["SHA256", *OTHER_ALGORITHMS])
def test_a_part_that_is_copied_into_a_composite_checksum_needs_none(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    s3.put_object(Bucket=bucket, Key="source", Body=b"part")
    names = {"Bucket": bucket, "Key": "k"}
    names["UploadId"] = s3.create_multipart_upload(**names, ChecksumAlgorithm=algorithm)["UploadId"]
    source = {"Bucket": bucket, "Key": "source"}
    part = s3.upload_part_copy(**names, PartNumber=1, CopySource=source)["CopyPartResult"]
    assert part[field] == checksum(algorithm, b"part") and part["LastModified"]
    parts = [{"PartNumber": 1, "ETag": part["ETag"], field: part[field]}]
    done = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert done[field].endswith("-1")


@pytest.mark.parametrize("algorithm", ["SHA256", *OTHER_ALGORITHMS])
def test_a_part_is_answered_with_its_own_checksum(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    bodies = [data(5 * MIB, 1), data(1000, 2)]
    names = {"Bucket": bucket, "Key": "k"}
    upload = {**names, "UploadId": s3.create_multipart_upload(**names, ChecksumAlgorithm=algorithm)["UploadId"]}
    parts = []
    for number, body in enumerate(bodies, 1):
        etag = s3.upload_part(**upload, PartNumber=number, Body=body, **{field: checksum(algorithm, body)})["ETag"]
        parts.append({"PartNumber": number, "ETag": etag, field: checksum(algorithm, body)})
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    for number, body in enumerate(bodies, 1):
        got = s3.get_object(**names, PartNumber=number, ChecksumMode="ENABLED")
        head = s3.head_object(**names, PartNumber=number, ChecksumMode="ENABLED")
        assert read(got) == body
        for reply in (got, head):
            assert (reply[field], reply["ChecksumType"]) == (checksum(algorithm, body), "COMPOSITE")
    # A range is no part, and has none.
    assert field not in s3.get_object(**names, Range="bytes=0-4", ChecksumMode="ENABLED")
    told = s3.get_object_attributes(**names, ObjectAttributes=["Checksum", "ObjectParts"])
    assert done[field] == told["Checksum"][field] + "-2"
    assert told["Checksum"]["ChecksumType"] == "COMPOSITE"
    assert [part[field] for part in told["ObjectParts"]["Parts"]] == [checksum(algorithm, body) for body in bodies]
    assert (told["ObjectParts"]["TotalPartsCount"], told["ObjectParts"]["IsTruncated"]) == (2, False)
    second = s3.get_object_attributes(**names, ObjectAttributes=["ObjectParts"], PartNumberMarker=1)["ObjectParts"]
    assert [(part["PartNumber"], part[field]) for part in second["Parts"]] == [(2, checksum(algorithm, bodies[1]))]
