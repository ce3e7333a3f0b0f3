import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import test from "node:test";
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { bytes, data, freshBucket, refused, s3, settings } from "./setup.mjs";

const ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

function crc32Of(body) {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(body));
  return value.toString("base64");
}

test("the checksum that the SDK adds by itself is kept and checked on reading", async () => {
  const Bucket = await freshBucket();
  const Body = data(100_000, 1);
  const put = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body }));
  assert.equal(put.ChecksumCRC32, crc32Of(Body));
  assert.equal(put.ChecksumType, "FULL_OBJECT");
  // ChecksumMode is on by default: the SDK verifies while the body is read.
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
  assert.equal(got.ChecksumCRC32, crc32Of(Body));
  assert.deepEqual(await bytes(got), Body);
});

for (const ChecksumAlgorithm of ALGORITHMS) {
  test(`${ChecksumAlgorithm} goes with the object`, async () => {
    const Bucket = await freshBucket();
    const field = `Checksum${ChecksumAlgorithm}`;
    const Body = data(70_000, 2);
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body, ChecksumAlgorithm }));
    assert.ok(put[field], JSON.stringify(put));
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "k", ChecksumMode: "ENABLED" }));
    assert.equal(head[field], put[field]);
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
    assert.equal(got[field], put[field]);
    assert.deepEqual(await bytes(got), Body);
  });
}

test("a wrong checksum stores nothing", async () => {
  const Bucket = await freshBucket();
  const ChecksumSHA256 = createHash("sha256").update("other").digest("base64");
  await refused(s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "x", ChecksumSHA256 })), "BadDigest", 400);
  const ChecksumCRC32 = crc32Of("other");
  await refused(s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "x", ChecksumCRC32 })), "BadDigest", 400);
  await refused(s3.send(new HeadObjectCommand({ Bucket, Key: "k" })), "NotFound", 404);
});

test("a client that adds none works too", async () => {
  const Bucket = await freshBucket();
  const plain = new S3Client({
    ...settings, requestChecksumCalculation: "WHEN_REQUIRED", responseChecksumValidation: "WHEN_REQUIRED",
  });
  const Body = data(5000, 3);
  await plain.send(new PutObjectCommand({ Bucket, Key: "k", Body }));
  assert.deepEqual(await bytes(await plain.send(new GetObjectCommand({ Bucket, Key: "k" }))), Body);
});
