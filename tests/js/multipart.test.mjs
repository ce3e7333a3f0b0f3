import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import test from "node:test";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { bytes, data, freshBucket, md5, MIB, refused, s3 } from "./setup.mjs";

const LARGE = data(12 * MIB + 5, 1);

async function openUploads(Bucket) {
  return (await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? [];
}

test("lib-storage sends a buffer in parts, several at a time", async () => {
  const Bucket = await freshBucket();
  const upload = new Upload({
    client: s3, params: { Bucket, Key: "k", Body: LARGE, ContentType: "image/x-test" }, partSize: 5 * MIB, queueSize: 3,
  });
  let told = 0;
  upload.on("httpUploadProgress", ({ loaded }) => { told = Math.max(told, loaded); });
  const done = await upload.done();
  assert.match(done.ETag, /^"[0-9a-f]{32}-3"$/);
  assert.equal(done.Bucket, Bucket);
  assert.ok(done.Location.includes("k"));
  assert.equal(told, LARGE.length);
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
  assert.equal(got.ContentType, "image/x-test");
  assert.ok((await bytes(got)).equals(LARGE));
  const second = await s3.send(new GetObjectCommand({ Bucket, Key: "k", PartNumber: 2 }));
  assert.equal(second.PartsCount, 3);
  assert.ok((await bytes(second)).equals(LARGE.subarray(5 * MIB, 10 * MIB)));
});

test("lib-storage sends a stream of unknown length, and a small one in one piece", async () => {
  const Bucket = await freshBucket();
  for (const [Key, length] of [["large", LARGE.length], ["small", 1000], ["empty", 0]]) {
    const body = LARGE.subarray(0, length);
    const pieces = [];
    for (let at = 0; at < length; at += 777_777) pieces.push(body.subarray(at, at + 777_777));
    await new Upload({ client: s3, params: { Bucket, Key, Body: Readable.from(pieces) } }).done();
    const hash = createHash("sha256");
    await pipeline((await s3.send(new GetObjectCommand({ Bucket, Key }))).Body, hash);
    assert.equal(hash.digest("hex"), createHash("sha256").update(body).digest("hex"), Key);
  }
});

test("an upload that is aborted leaves nothing", async () => {
  const Bucket = await freshBucket();
  const endless = new Readable({ read() { this.push(LARGE.subarray(0, MIB)); } });
  const upload = new Upload({ client: s3, params: { Bucket, Key: "k", Body: endless } });
  upload.on("httpUploadProgress", () => upload.abort());
  await assert.rejects(upload.done(), { name: "AbortError" });
  endless.destroy();
  // The SDK aborts the upload by itself, once what it has under way has ended, and does not say when. So it may come before us or after.
  for (const { Key, UploadId } of await openUploads(Bucket)) {
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })).catch((error) => {
      assert.equal(error.name, "NoSuchUpload", error.message);
    });
  }
  assert.deepEqual(await openUploads(Bucket), []);
  await refused(s3.send(new HeadObjectCommand({ Bucket, Key: "k" })), "NotFound", 404);
});

test("parts by hand, one of them a copy, with a checksum of checksums", async () => {
  const Bucket = await freshBucket();
  await s3.send(new PutObjectCommand({ Bucket, Key: "source", Body: LARGE }));
  const ChecksumAlgorithm = "SHA256";
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: "k", ChecksumAlgorithm }));
  const names = { Bucket, Key: "k", UploadId };
  const first = await s3.send(
    new UploadPartCommand({ ...names, PartNumber: 1, Body: LARGE.subarray(0, 6 * MIB), ChecksumAlgorithm }),
  );
  const CopySourceRange = `bytes=${6 * MIB}-${LARGE.length - 1}`;
  const second = await s3.send(
    new UploadPartCopyCommand({ ...names, PartNumber: 2, CopySource: `${Bucket}/source`, CopySourceRange }),
  );
  const listed = (await s3.send(new ListPartsCommand(names))).Parts;
  assert.deepEqual(listed.map(({ PartNumber, Size }) => [PartNumber, Size]), [[1, 6 * MIB], [2, 6 * MIB + 5]]);
  const Parts = [
    { PartNumber: 1, ETag: first.ETag, ChecksumSHA256: first.ChecksumSHA256 },
    { PartNumber: 2, ETag: second.CopyPartResult.ETag, ChecksumSHA256: second.CopyPartResult.ChecksumSHA256 },
  ];
  const reversed = new CompleteMultipartUploadCommand({ ...names, MultipartUpload: { Parts: [Parts[1], Parts[0]] } });
  await refused(s3.send(reversed), "InvalidPartOrder", 400);
  const done = await s3.send(new CompleteMultipartUploadCommand({ ...names, MultipartUpload: { Parts } }));
  const digests = [LARGE.subarray(0, 6 * MIB), LARGE.subarray(6 * MIB)].map((part) =>
    createHash("sha256").update(part).digest());
  const composite = createHash("sha256").update(Buffer.concat(digests)).digest("base64");
  assert.equal(done.ChecksumSHA256, `${composite}-2`);
  assert.equal(done.ChecksumType, "COMPOSITE");
  assert.ok((await bytes(await s3.send(new GetObjectCommand({ Bucket, Key: "k" })))).equals(LARGE));
  await refused(s3.send(new ListPartsCommand(names)), "NoSuchUpload", 404);
});

test("a stream whose length is told goes in one request", async () => {
  const Bucket = await freshBucket();
  const Body = Readable.from([LARGE.subarray(0, 100_000), LARGE.subarray(100_000, 250_000)]);
  const put = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body, ContentLength: 250_000 }));
  assert.equal(put.ETag, `"${md5(LARGE.subarray(0, 250_000))}"`);
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
  assert.ok((await bytes(got)).equals(LARGE.subarray(0, 250_000)));
});

test("a reader that goes away in the middle disturbs nobody", async () => {
  const Bucket = await freshBucket();
  await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: LARGE }));
  for (let round = 0; round < 3; round += 1) {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
    for await (const piece of Body) {
      assert.ok(piece.length > 0);
      break;
    }
    Body.destroy();
  }
  assert.ok((await bytes(await s3.send(new GetObjectCommand({ Bucket, Key: "k" })))).equals(LARGE));
});
