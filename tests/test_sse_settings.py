"""What is set on the encryption of a bucket or a write, and what is told of it."""

import base64

import pytest
from botocore.exceptions import ClientError

import sigv4
from content import read, refused
from test_admin_identities import here
from test_sse_errors import FRESH, KEY, field, rule, set_rule, the_rule


@pytest.mark.ours
def test_a_presigned_configuration_says_what_is_blocked(s3, bucket, server):
    blocked = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>"
    rest = rule("AES256", rest=blocked)

    def send(document):
        signer = sigv4.Signer()
        pairs = [
            ("encryption", ""),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{signer.access_key}/{signer.scope}"),
            ("X-Amz-Date", signer.date),
            ("X-Amz-Expires", "60"),
            ("X-Amz-SignedHeaders", "host"),
        ]
        path, host = f"/{bucket}", server.s3_url.split("://")[1]
        pairs.append(("X-Amz-Signature", signer.presign("PUT", host, path, pairs)))
        return sigv4.request(server.s3_url, "PUT", path, query=pairs, body=document.encode(), sign=False)

    root = "ServerSideEncryptionConfiguration"
    reply = send(f"<{root}>{rest}</{root}>")
    assert reply.status == 200, reply.body
    assert the_rule(s3, bucket)["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
    # Names with a prefix are other names to the parser: refused as a whole, and nothing of it is done.
    prefixed = rest.replace("</", "<//").replace("<", "<s:").replace("<s://", "</s:")
    inside = rest.replace("</Blocked", "</s:Blocked").replace("<Blocked", "<s:Blocked")
    space = 'xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/"'
    for document in (f"<s:{root} {space}>{prefixed}</s:{root}>", f"<{root} {space}>{inside}</{root}>"):
        reply = send(document.replace("SSE-C", "NONE"))
        assert (reply.status, field(reply.body, "Code")) == (400, "MalformedXML"), reply.body
    assert the_rule(s3, bucket)["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}


@pytest.mark.ours
@pytest.mark.parametrize("sse_c", [None, False, True], ids=["default", "blocked", "allowed"])
def test_new_buckets_take_customer_keys_unless_the_server_blocks_them_as_aws_does(start, sse_c):
    """S3 User Guide, "Default SSE-C setting for new buckets FAQ"."""
    told = [] if sse_c is None else [f"--sse-c-in-new-buckets={str(sse_c).lower()}"]
    server = start(arguments=["--sse-c-over-http", *told])
    s3 = server.client()
    s3.create_bucket(Bucket="by-s3")
    assert here(server, "bucket", "create", "by-rest")["name"] == "by-rest"
    blocked = {"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
    for bucket in ("by-s3", "by-rest"):
        target = {"Bucket": bucket, "Key": "k"}
        if sse_c is not False:
            assert the_rule(s3, bucket) == FRESH
        else:
            assert the_rule(s3, bucket) == FRESH | blocked
            with pytest.raises(ClientError) as told:
                s3.put_object(**target, Body=b"secret", **sigv4.sse_c(KEY))
            error = told.value.response["Error"]
            assert error["Code"] == "AccessDenied" and "customer-provided keys" in error["Message"], error
            with refused("AccessDenied", 403):
                s3.create_multipart_upload(**target, **sigv4.sse_c(KEY))
            # A client that sets another default and does not know of it unblocks nothing.
            set_rule(s3, bucket, "AES256")
            assert the_rule(s3, bucket) == FRESH | blocked
            set_rule(s3, bucket, "AES256", BlockedEncryptionTypes={"EncryptionType": ["NONE"]})
        s3.put_object(**target, Body=b"secret", **sigv4.sse_c(KEY))
        assert read(s3.get_object(**target, **sigv4.sse_c(KEY))) == b"secret"


@pytest.mark.ours
@pytest.mark.parametrize("algorithm", ["aws:kms", "aws:kms:dsse"])
def test_copies_and_uploads_answer_the_context_too(s3, bucket, algorithm):
    context = base64.b64encode(b'{"team": "blue"}').decode()
    target = {"Bucket": bucket, "Key": "to"}
    sse = {"ServerSideEncryption": algorithm, "SSEKMSEncryptionContext": context}
    told = lambda reply: (reply["ServerSideEncryption"], base64.b64decode(reply["SSEKMSEncryptionContext"]))
    s3.put_object(Bucket=bucket, Key="from", Body=b"x")
    assert told(s3.put_object(Bucket=bucket, Key="k", Body=b"x", **sse)) == (algorithm, b'{"team":"blue"}')
    copied = s3.copy_object(CopySource={"Bucket": bucket, "Key": "from"}, **target, **sse)
    assert told(copied) == (algorithm, b'{"team":"blue"}')
    assert read(s3.get_object(**target)) == b"x"
    upload = s3.create_multipart_upload(**target, **sse)
    assert told(upload) == (algorithm, b'{"team":"blue"}')
    of_upload = {"UploadId": upload["UploadId"]}
    part = s3.upload_part(PartNumber=1, Body=b"part", **target, **of_upload)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(MultipartUpload=parts, **target, **of_upload)
    assert read(s3.get_object(**target)) == b"part"


@pytest.mark.ours
def test_the_alias_of_awss_own_key_is_the_default_key(s3, bucket):
    arn = "arn:aws:kms:us-east-1:000000000000:alias/aws/s3"
    for key_id in ("alias/aws/s3", arn, arn.replace("arn:aws:", "arn:aws-us-gov:")):
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
        assert put["SSEKMSKeyId"] == "arn:aws:kms:::key/default"
        set_rule(s3, bucket, "aws:kms", key_id)
        # It is told as it was set, which is what Terraform compares.
        told = the_rule(s3, bucket)["ApplyServerSideEncryptionByDefault"]
        assert told == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_id}
        assert s3.put_object(Bucket=bucket, Key="k", Body=b"x")["SSEKMSKeyId"] == "arn:aws:kms:::key/default"
    with refused("KMS.NotFoundException", 400):
        other = arn.replace("us-east-1", "eu-west-1")
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=other)
