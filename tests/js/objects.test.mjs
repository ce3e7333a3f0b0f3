import assert from "node:assert/strict";
import test from "node:test";
import {
  CopyObjectCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { bytes, data, freshBucket, KIB, md5, MIB, refused, refusedSilently, s3 } from "./setup.mjs";

const ODD_KEYS = [
  "with space", "plus+sign", "percent%20encoded", "100%", "a//b", "trailing/", "grüße/naïve", "日本語/テスト",
  "emoji-😀", "quote'\"<>&;", "query?x=1&y=2#frag", "colon:semi;comma,equals=at@", "(brackets)!*[]{}|^`~",
];

test("what is put is what is got, in every size class", async () => {
  const Bucket = await freshBucket();
  for (const size of [0, 1, 4 * KIB, 16 * KIB, 16 * KIB + 1, 200 * KIB, 3 * MIB + 7]) {
    const Body = data(size, 1);
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body }));
    assert.equal(put.ETag, `"${md5(Body)}"`);
    assert.equal(put.ServerSideEncryption, "AES256");
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
    assert.equal(got.ContentLength, size);
    assert.deepEqual(await bytes(got), Body);
  }
});

test("a string, headers and metadata come back as they were sent", async () => {
  const Bucket = await freshBucket();
  await s3.send(new PutObjectCommand({
    Bucket, Key: "k", Body: "Grüße", ContentType: "text/plain; charset=utf-8", CacheControl: "no-store",
    ContentDisposition: "attachment; filename=\"k.txt\"", ContentLanguage: "de", ContentEncoding: "identity",
    Metadata: { colour: "green", "two-words": "a b" },
  }));
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
  assert.equal(await got.Body.transformToString("utf-8"), "Grüße");
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "k" }));
  for (const reply of [got, head]) {
    assert.equal(reply.ContentType, "text/plain; charset=utf-8");
    assert.equal(reply.CacheControl, "no-store");
    assert.equal(reply.ContentDisposition, "attachment; filename=\"k.txt\"");
    assert.equal(reply.ContentLanguage, "de");
    assert.deepEqual(reply.Metadata, { colour: "green", "two-words": "a b" });
    assert.ok(Math.abs(reply.LastModified - Date.now()) < 5 * 60 * 1000);
  }
});

test("odd names are names like others", async () => {
  const Bucket = await freshBucket();
  for (const Key of ODD_KEYS) {
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(await got.Body.transformToString(), Key);
    const copy = `copy of ${Key}`;
    const CopySource = `${Bucket}/${encodeURIComponent(Key)}`;
    await s3.send(new CopyObjectCommand({ Bucket, Key: copy, CopySource }));
    assert.equal(await (await s3.send(new GetObjectCommand({ Bucket, Key: copy }))).Body.transformToString(), Key);
  }
});

test("ranges are the slices they name", async () => {
  const Bucket = await freshBucket();
  const Body = data(300 * KIB, 2);
  await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body }));
  for (const [Range, from, to] of [
    ["bytes=0-0", 0, 1], ["bytes=65530-65545", 65530, 65546], ["bytes=-5", Body.length - 5, Body.length],
    ["bytes=300000-", 300000, Body.length],
  ]) {
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k", Range }));
    assert.equal(got.$metadata.httpStatusCode, 206);
    assert.equal(got.ContentRange, `bytes ${from}-${to - 1}/${Body.length}`);
    assert.deepEqual(await bytes(got), Body.subarray(from, to));
  }
  await refused(s3.send(new GetObjectCommand({ Bucket, Key: "k", Range: "bytes=999999-" })), "InvalidRange", 416);
});

test("errors have the names that applications catch", async () => {
  const Bucket = await freshBucket();
  await refused(s3.send(new GetObjectCommand({ Bucket, Key: "missing" })), "NoSuchKey", 404);
  await refused(s3.send(new HeadObjectCommand({ Bucket, Key: "missing" })), "NotFound", 404);
  await refused(s3.send(new GetObjectCommand({ Bucket: "no-such-bucket-here", Key: "k" })), "NoSuchBucket", 404);
  await refused(s3.send(new HeadBucketCommand({ Bucket: "no-such-bucket-here" })), "NotFound", 404);
  await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "x" }));
  await refused(s3.send(new DeleteBucketCommand({ Bucket })), "BucketNotEmpty", 409);
  await refusedSilently(s3.send(new GetObjectCommand({ Bucket, Key: "k", IfNoneMatch: `"${md5("x")}"` })), 304);
});

test("a write happens only on its condition", async () => {
  const Bucket = await freshBucket();
  const { ETag } = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "1", IfNoneMatch: "*" }));
  const again = new PutObjectCommand({ Bucket, Key: "k", Body: "2", IfNoneMatch: "*" });
  await refused(s3.send(again), "PreconditionFailed", 412);
  await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "3", IfMatch: ETag }));
  const late = new PutObjectCommand({ Bucket, Key: "k", Body: "4", IfMatch: ETag });
  await refused(s3.send(late), "PreconditionFailed", 412);
  assert.equal(await (await s3.send(new GetObjectCommand({ Bucket, Key: "k" }))).Body.transformToString(), "3");
});

test("attributes, one delete, a batch of deletes, and the bucket itself", async () => {
  const Bucket = await freshBucket();
  for (const Key of ["a", "b", "c"]) await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
  const attributes = await s3.send(
    new GetObjectAttributesCommand({ Bucket, Key: "a", ObjectAttributes: ["ETag", "ObjectSize", "Checksum"] }),
  );
  assert.equal(attributes.ETag.replaceAll('"', ""), md5("a"));
  assert.equal(attributes.ObjectSize, 1);
  assert.ok(attributes.Checksum.ChecksumCRC32);
  await s3.send(new DeleteObjectCommand({ Bucket, Key: "a" }));
  await s3.send(new DeleteObjectCommand({ Bucket, Key: "a" }));
  const Delete = { Objects: [{ Key: "b" }, { Key: "c" }, { Key: "never" }] };
  const deleted = await s3.send(new DeleteObjectsCommand({ Bucket, Delete }));
  assert.deepEqual(deleted.Deleted.map(({ Key }) => Key).sort(), ["b", "c", "never"]);
  assert.equal(deleted.Errors, undefined);
  const names = async () => (await s3.send(new ListBucketsCommand({}))).Buckets.map(({ Name }) => Name);
  assert.ok((await names()).includes(Bucket));
  await s3.send(new DeleteBucketCommand({ Bucket }));
  assert.ok(!(await names()).includes(Bucket));
});
