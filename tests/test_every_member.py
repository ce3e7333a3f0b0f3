"""Every member of every request of the operations that are done, as the SDK knows it: heeded, refused, or told in
`docs/s3-compatibility.md` to be passed over. A member that is none of these would be dropped in silence, and whoever
sent it would believe that it holds."""

import pathlib
import re

import pytest

import sigv4
from conftest import fresh_name
from content import ALGORITHMS, read
from test_every_operation import DONE, MODEL, OPERATIONS

pytestmark = pytest.mark.ours
DOCS = pathlib.Path(__file__).parent.parent / "docs/s3-compatibility.md"

CHECKSUMS = [f"Checksum{name}" for name in ALGORITHMS]
OBJECT = ["Bucket", "Key"]
VERSION = [*OBJECT, "VersionId"]
CUSTOMER = ["SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"]
ENCRYPTION = [
    "ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled", *CUSTOMER,
]
META = [
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires", "Metadata",
    "StorageClass", "Tagging", "WebsiteRedirectLocation",
]
LOCKS = ["ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"]
EVENT_HOLDS = ["ObjectLockEventHold", "ObjectLockEventHoldDurationDays", "ObjectLockEventHoldDurationYears"]
ACL = ["ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP"]
SOURCE = [
    "CopySource", "CopySourceIfMatch", "CopySourceIfNoneMatch", "CopySourceIfModifiedSince",
    "CopySourceIfUnmodifiedSince", "CopySourceSSECustomerAlgorithm", "CopySourceSSECustomerKey",
    "CopySourceSSECustomerKeyMD5",
]
READ = [
    *VERSION, *CUSTOMER, "ChecksumMode", "IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince", "PartNumber",
    "Range", "ResponseCacheControl", "ResponseContentDisposition", "ResponseContentEncoding",
    "ResponseContentLanguage", "ResponseContentType", "ResponseExpires",
]
CONTENT = ["Body", "ContentLength", "ContentMD5", "ChecksumAlgorithm", *CHECKSUMS]
CONDITIONS = ["IfMatch", "IfNoneMatch"]
DOCUMENT = ["Bucket", "ContentMD5", "ChecksumAlgorithm"]

# Operation → what its code reads and what it does is by. Others of the bucket alone need no row.
HEEDED = {
    "ListBuckets": ["BucketRegion", "ContinuationToken", "MaxBuckets", "Prefix"],
    "CreateBucket": [
        "Bucket", *ACL, "GrantWrite", "CreateBucketConfiguration", "ObjectLockEnabledForBucket", "ObjectOwnership",
    ],
    "PutBucketVersioning": [*DOCUMENT, "VersioningConfiguration"],
    "PutBucketEncryption": [*DOCUMENT, "ServerSideEncryptionConfiguration"],
    "PutBucketNotificationConfiguration": ["Bucket", "NotificationConfiguration"],
    "PutBucketOwnershipControls": [*DOCUMENT, "OwnershipControls"],
    "PutPublicAccessBlock": [*DOCUMENT, "PublicAccessBlockConfiguration"],
    "PutBucketPolicy": [*DOCUMENT, "Policy"],
    "PutBucketCors": [*DOCUMENT, "CORSConfiguration"],
    "PutBucketLifecycleConfiguration": [
        "Bucket", "ChecksumAlgorithm", "LifecycleConfiguration", "TransitionDefaultMinimumObjectSize",
    ],
    "PutBucketAccelerateConfiguration": ["Bucket", "AccelerateConfiguration", "ChecksumAlgorithm"],
    "PutBucketLogging": [*DOCUMENT, "BucketLoggingStatus"],
    "PutBucketRequestPayment": [*DOCUMENT, "RequestPaymentConfiguration"],
    "ListBucketAnalyticsConfigurations": ["Bucket", "ContinuationToken"],
    "ListBucketIntelligentTieringConfigurations": ["Bucket", "ContinuationToken"],
    "ListBucketInventoryConfigurations": ["Bucket", "ContinuationToken"],
    "ListBucketMetricsConfigurations": ["Bucket", "ContinuationToken"],
    "PutBucketTagging": [*DOCUMENT, "Tagging"],
    "PutBucketAcl": [*DOCUMENT, *ACL, "GrantWrite", "AccessControlPolicy"],
    "PutObjectAcl": [*DOCUMENT, *VERSION, *ACL, "GrantWrite", "AccessControlPolicy"],
    "PutObjectLockConfiguration": [*DOCUMENT, "ObjectLockConfiguration"],
    "PutObjectRetention": [*DOCUMENT, *VERSION, "Retention", "BypassGovernanceRetention"],
    "PutObjectLegalHold": [*DOCUMENT, *VERSION, "LegalHold"],
    "PutObjectTagging": [*DOCUMENT, *VERSION, "Tagging"],
    "GetObjectRetention": VERSION,
    "GetObjectLegalHold": VERSION,
    "GetObjectTagging": VERSION,
    "DeleteObjectTagging": VERSION,
    "GetObjectAcl": VERSION,
    "PutObject": [*OBJECT, *ACL, *CONTENT, *META, *LOCKS, *ENCRYPTION, *CONDITIONS],
    "GetObject": READ,
    "HeadObject": READ,
    "GetObjectAttributes": [*VERSION, *CUSTOMER, "MaxParts", "ObjectAttributes", "PartNumberMarker"],
    "CopyObject": [
        *OBJECT, *ACL, *META, *LOCKS, *ENCRYPTION, *SOURCE, *CONDITIONS, "ChecksumAlgorithm", "MetadataDirective",
        "TaggingDirective",
    ],
    "DeleteObject": [*VERSION, "BypassGovernanceRetention", "IfMatch", "IfMatchLastModifiedTime", "IfMatchSize"],
    "DeleteObjects": ["Bucket", "BypassGovernanceRetention", "ChecksumAlgorithm", "Delete"],
    "ListObjects": ["Bucket", "Delimiter", "EncodingType", "Marker", "MaxKeys", "Prefix"],
    "ListObjectsV2": [
        "Bucket", "ContinuationToken", "Delimiter", "EncodingType", "FetchOwner", "MaxKeys", "Prefix", "StartAfter",
    ],
    "ListObjectVersions": [
        "Bucket", "Delimiter", "EncodingType", "KeyMarker", "MaxKeys", "Prefix", "VersionIdMarker",
    ],
    "CreateMultipartUpload": [*OBJECT, *ACL, *META, *LOCKS, *ENCRYPTION, "ChecksumAlgorithm", "ChecksumType"],
    "UploadPart": [*OBJECT, *CONTENT, *CUSTOMER, "PartNumber", "UploadId"],
    "UploadPartCopy": [*OBJECT, *SOURCE, *CUSTOMER, "CopySourceRange", "PartNumber", "UploadId"],
    "CompleteMultipartUpload": [
        *OBJECT, *CHECKSUMS, *CUSTOMER, *CONDITIONS, "ChecksumType", "MpuObjectSize", "MultipartUpload", "UploadId",
    ],
    "AbortMultipartUpload": [*OBJECT, "UploadId"],
    "ListParts": [*OBJECT, "MaxParts", "PartNumberMarker", "UploadId"],
    "ListMultipartUploads": [
        "Bucket", "Delimiter", "EncodingType", "KeyMarker", "MaxUploads", "Prefix", "UploadIdMarker",
    ],
}
# Operation → what is answered with an error; each is sent below.
REFUSED = {
    "CreateBucket": ["BucketNamespace"],
    "PutObject": [*EVENT_HOLDS, "WriteOffsetBytes"],
    "CopyObject": EVENT_HOLDS,
    "CreateMultipartUpload": EVENT_HOLDS,
    "AbortMultipartUpload": ["IfMatchInitiatedTime"],
}
# Documents of which only a part is read: what else AWS has in them must be refused. The members of all other documents
# are read by a parser that refuses what it does not know.
WITHIN = {
    "CreateBucket": {"LocationConstraint", "Location", "Bucket", "Tags"},
    "CompleteMultipartUpload": {"Parts"},
    "DeleteObjects": {"Objects", "Quiet"},
    "PutBucketEncryption": {"Rules"},
    "PutBucketVersioning": {"MFADelete", "Status"},
}


def passed_over(operation=None):
    """The members that the table of the documentation names, for this operation or for any."""
    text = DOCS.read_text().split("## What of a request is passed over")[1].split("\n## ")[0]
    found = set()
    for cell in (line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")):
        of = re.search(r" of (\w+)$", cell)
        if operation is None or not of or of.group(1) == operation:
            found |= set(re.findall(r"`(\w+)`", cell))
    return found


def members(operation):
    shape = MODEL.service_model.operation_model(operation).input_shape
    return dict(shape.members) if shape else {}


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name in DONE])
def test_each_member_is_heeded_or_refused_or_told_to_be_passed_over(operation):
    heeded = set(HEEDED.get(operation, ["Bucket"]))
    refused = set(REFUSED.get(operation, []))
    all_of = set(members(operation))
    assert heeded | refused <= all_of, "the SDK does not know these"
    assert not heeded & refused and not (heeded | refused) & passed_over(operation)
    assert all_of - heeded - refused <= passed_over(operation), "nobody says what becomes of these"


def test_nothing_is_passed_over_that_no_request_has():
    known = {name for operation in DONE & set(OPERATIONS) for name in members(operation)}
    assert passed_over() <= known


@pytest.mark.parametrize("operation", WITHIN)
def test_documents_have_no_members_that_nobody_thought_of(operation):
    [document] = [shape for shape in members(operation).values() if shape.type_name == "structure"]
    assert set(document.members) == WITHIN[operation]


VALUES = {
    "BucketNamespace": "account-regional",
    "IfMatchInitiatedTime": "Sun, 06 Nov 1994 08:49:37 GMT",
    "ObjectLockEventHold": "ON",
    "WriteOffsetBytes": "1",
}


@pytest.mark.parametrize(
    "operation, member", [(operation, member) for operation, names in REFUSED.items() for member in names]
)
def test_what_is_refused_is_answered_with_an_error_and_changes_nothing(server, s3, bucket, operation, member):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    fresh = fresh_name()
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    complete = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    method, path, query, headers, body = {
        "CreateBucket": ("PUT", f"/{fresh}", [], {}, b""),
        "PutObject": ("PUT", f"/{bucket}/k", [], {}, b"after"),
        "CopyObject": ("PUT", f"/{bucket}/new", [], {"x-amz-copy-source": f"/{bucket}/k"}, b""),
        "CreateMultipartUpload": ("POST", f"/{bucket}/new", [("uploads", "")], {}, b""),
        "UploadPart": ("PUT", f"/{bucket}/k", [("partNumber", "2"), ("uploadId", upload)], {}, b"y"),
        "CompleteMultipartUpload": ("POST", f"/{bucket}/k", [("uploadId", upload)], {}, complete),
        "AbortMultipartUpload": ("DELETE", f"/{bucket}/k", [("uploadId", upload)], {}, b""),
    }[operation]
    shape = members(operation)[member]
    assert shape.serialization["location"] == "header"
    headers |= {shape.serialization["name"]: VALUES.get(member, "1")}
    reply = sigv4.request(server.s3_url, method, path, query=query, headers=headers, body=body)
    assert reply.status in (400, 501), reply.body
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"before"
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert [part["PartNumber"] for part in listed["Parts"]] == [1]
    assert [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["k"]
    assert fresh not in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]
