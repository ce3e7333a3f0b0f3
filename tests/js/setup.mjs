// What every file of this suite starts from: a client for the server under test, and a bucket of its own.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** The settings that a user writes for a store that is not AWS; everything else stays at the SDK's defaults. */
export const settings = {
  endpoint: process.env.STRONGROOM_S3_URL,
  region: process.env.AWS_REGION,
  forcePathStyle: true,
  maxAttempts: 1,
};

export const s3 = new S3Client(settings);

export async function freshBucket(options = {}) {
  const Bucket = `js-${randomBytes(8).toString("hex")}`;
  await s3.send(new CreateBucketCommand({ Bucket, ...options }));
  return Bucket;
}

/** Bytes that are the same in every run: SHA-256 of a counter, one block after the other. */
export function data(size, seed = 0) {
  const blocks = [];
  for (let at = 0; at < size; at += 32) {
    blocks.push(createHash("sha256").update(`${seed} ${at}`).digest());
  }
  return Buffer.concat(blocks).subarray(0, size);
}

export const md5 = (body) => createHash("md5").update(body).digest("hex");

/** The call is refused with this error name and status. */
export async function refused(call, name, status) {
  await assert.rejects(call, (error) => {
    assert.equal(error.name, name, error.stack);
    assert.equal(error.$metadata.httpStatusCode, status, error.stack);
    return true;
  });
}

/** As above, for answers without a body, which have no name of their own. */
export async function refusedSilently(call, status) {
  await assert.rejects(call, (error) => error.$metadata?.httpStatusCode === status);
}

/** The whole body of a GetObject answer. */
export async function bytes(answer) {
  return Buffer.from(await answer.Body.transformToByteArray());
}
