import assert from "node:assert/strict";
import test from "node:test";
import { CopyObjectCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { bytes, data, freshBucket, s3 } from "./setup.mjs";

test("whoever has the URL reads and writes, and nothing else", async () => {
  const Bucket = await freshBucket();
  const Key = "with space+plus/ü";
  const body = data(50_000, 1);
  const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  const stored = await fetch(put, { method: "PUT", body });
  assert.equal(stored.status, 200, await stored.text());
  assert.deepEqual(await bytes(await s3.send(new GetObjectCommand({ Bucket, Key }))), body);
  const get = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  const reply = await fetch(get);
  assert.equal(reply.status, 200);
  assert.deepEqual(Buffer.from(await reply.arrayBuffer()), body);
  for (const [url, method] of [[get, "DELETE"], [get, "PUT"], [get.replace("Expires=60", "Expires=6000"), "GET"]]) {
    const tried = await fetch(url, { method });
    assert.equal(tried.status, 403);
    assert.match(await tried.text(), /<Code>SignatureDoesNotMatch<\/Code>/);
  }
  assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key }))).ContentLength, body.length);
});

test("headers that were signed must come with the request", async () => {
  const Bucket = await freshBucket();
  const command = new PutObjectCommand({ Bucket, Key: "k", ContentType: "text/x-signed" });
  const url = await getSignedUrl(s3, command, { expiresIn: 60, signableHeaders: new Set(["content-type"]) });
  const without = await fetch(url, { method: "PUT", body: "x", headers: { "content-type": "text/other" } });
  assert.equal(without.status, 403);
  const right = await fetch(url, { method: "PUT", body: "x", headers: { "content-type": "text/x-signed" } });
  assert.equal(right.status, 200, await right.text());
  assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: "k" }))).ContentType, "text/x-signed");
});

test("a form that was signed uploads within its conditions", async () => {
  const Bucket = await freshBucket();
  const { url, fields } = await createPresignedPost(s3, {
    Bucket, Key: "uploads/${filename}", Expires: 60,
    Conditions: [["content-length-range", 1, 1000], ["starts-with", "$Content-Type", "text/"]],
    Fields: { "x-amz-meta-from": "form" },
  });
  const send = (body, type) => {
    const form = new FormData();
    for (const [name, value] of Object.entries({ ...fields, "Content-Type": type })) form.append(name, value);
    form.append("file", new Blob([body]), "name.txt");
    return fetch(url, { method: "POST", body: form });
  };
  const stored = await send("hello", "text/plain");
  assert.equal(stored.status, 204, await stored.text());
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "uploads/name.txt" }));
  assert.equal(await got.Body.transformToString(), "hello");
  assert.deepEqual([got.ContentType, got.Metadata], ["text/plain", { from: "form" }]);
  assert.equal((await send("x".repeat(2000), "text/plain")).status, 400);
  assert.equal((await send("hello", "image/png")).status, 403);
});

test("what a URL was signed for is stored with the object", async () => {
  const Bucket = await freshBucket();
  await s3.send(new PutObjectCommand({ Bucket, Key: "source", Body: "source" }));
  const command = new PutObjectCommand({
    Bucket, Key: "k", Metadata: { colour: "light blue" }, Tagging: "team=blue", StorageClass: "STANDARD_IA",
  });
  const stored = await fetch(await getSignedUrl(s3, command, { expiresIn: 60 }), { method: "PUT", body: "body" });
  assert.equal(stored.status, 200, await stored.text());
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "k" }));
  assert.deepEqual([head.Metadata, head.StorageClass, head.TagCount], [{ colour: "light blue" }, "STANDARD_IA", 1]);
  const copy = new CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/source` });
  const copied = await fetch(await getSignedUrl(s3, copy, { expiresIn: 60 }), { method: "PUT" });
  assert.equal(copied.status, 200, await copied.text());
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "copy" }));
  assert.equal(await got.Body.transformToString(), "source");
});

test("the encryption that a URL was signed for comes with the request", async () => {
  const Bucket = await freshBucket();
  const command = new PutObjectCommand({ Bucket, Key: "k", ServerSideEncryption: "aws:kms" });
  const url = await getSignedUrl(s3, command, { expiresIn: 60 });
  const headers = new URL(url).searchParams.has("x-amz-server-side-encryption")
    ? {} : { "x-amz-server-side-encryption": "aws:kms" };
  const stored = await fetch(url, { method: "PUT", body: "body", headers });
  assert.equal(stored.status, 200, await stored.text());
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "k" }));
  assert.equal(head.ServerSideEncryption, "aws:kms");
});
