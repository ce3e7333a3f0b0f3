// Over HTTPS: a customer's key may come no other way.

import assert from "node:assert/strict";
import test from "node:test";
import { CopyObjectCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { bytes, data, freshBucket, md5, MIB, refused, refusedSilently, s3 } from "./setup.mjs";

const secret = data(32, 9);
const sseC = {
  SSECustomerAlgorithm: "AES256",
  SSECustomerKey: secret.toString("base64"),
  SSECustomerKeyMD5: Buffer.from(md5(secret), "hex").toString("base64"),
};

test("a customer's key opens what it sealed, and nothing else does", async () => {
  const Bucket = await freshBucket();
  const body = data(11 * MIB, 3);
  await new Upload({ client: s3, params: { Bucket, Key: "k", Body: body, ...sseC }, partSize: 5 * MIB }).done();
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k", ...sseC }));
  assert.equal(got.SSECustomerKeyMD5, sseC.SSECustomerKeyMD5);
  assert.ok((await bytes(got)).equals(body));
  await refused(s3.send(new GetObjectCommand({ Bucket, Key: "k" })), "InvalidRequest", 400);
  const other = data(32, 10);
  const wrong = { ...sseC, SSECustomerKey: other.toString("base64") };
  wrong.SSECustomerKeyMD5 = Buffer.from(md5(other), "hex").toString("base64");
  await refused(s3.send(new GetObjectCommand({ Bucket, Key: "k", ...wrong })), "AccessDenied", 403);
});

test("a copy moves an object from a customer's key to the store's", async () => {
  const Bucket = await freshBucket();
  await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "x", ...sseC }));
  await s3.send(new CopyObjectCommand({
    Bucket, Key: "copy", CopySource: `${Bucket}/k`, ServerSideEncryption: "AES256",
    CopySourceSSECustomerAlgorithm: "AES256", CopySourceSSECustomerKey: sseC.SSECustomerKey,
    CopySourceSSECustomerKeyMD5: sseC.SSECustomerKeyMD5,
  }));
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "copy" }));
  assert.equal(head.ServerSideEncryption, "AES256");
  await refusedSilently(s3.send(new HeadObjectCommand({ Bucket, Key: "k" })), 400);
});

test("a key of the key service is named in the answers", async () => {
  const Bucket = await freshBucket();
  const ServerSideEncryption = "aws:kms";
  const put = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "x", ServerSideEncryption }));
  assert.equal(put.ServerSideEncryption, "aws:kms");
  assert.ok(put.SSEKMSKeyId);
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
  assert.equal(got.SSEKMSKeyId, put.SSEKMSKeyId);
  assert.notEqual(put.ETag, `"${md5("x")}"`);
  assert.equal(await got.Body.transformToString(), "x");
});
