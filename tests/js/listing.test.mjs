import assert from "node:assert/strict";
import test from "node:test";
import {
  ListObjectsCommand,
  ListObjectsV2Command,
  paginateListObjectsV2,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { freshBucket, s3 } from "./setup.mjs";

const KEYS = [
  ...Array.from({ length: 25 }, (_, n) => `dir/${String(n).padStart(2, "0")}`),
  "a b", "a+b", "a/b/c", "a/b/d", "ü/ä", "z",
];

async function filled() {
  const Bucket = await freshBucket();
  await Promise.all(KEYS.map((Key) => s3.send(new PutObjectCommand({ Bucket, Key, Body: Key }))));
  return Bucket;
}

const byBytes = (left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right));

test("the paginator finds every key once and in order", async () => {
  const Bucket = await filled();
  for (const pageSize of [1, 7, 1000]) {
    const found = [];
    for await (const page of paginateListObjectsV2({ client: s3, pageSize }, { Bucket })) {
      assert.ok(page.KeyCount <= pageSize);
      found.push(...(page.Contents ?? []).map(({ Key }) => Key));
    }
    assert.deepEqual(found, [...KEYS].sort(byBytes));
  }
});

test("a delimiter folds what lies below", async () => {
  const Bucket = await filled();
  const page = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: "/" }));
  assert.deepEqual(page.CommonPrefixes.map(({ Prefix }) => Prefix), ["a/", "dir/", "ü/"]);
  assert.deepEqual(page.Contents.map(({ Key }) => Key), ["a b", "a+b", "z"]);
  assert.equal(page.KeyCount, 6);
  const below = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: "/", Prefix: "a/b/" }));
  assert.deepEqual(below.Contents.map(({ Key }) => Key), ["a/b/c", "a/b/d"]);
});

test("names come encoded if asked for, and a listing starts behind a name", async () => {
  const Bucket = await filled();
  const encoded = await s3.send(new ListObjectsV2Command({ Bucket, EncodingType: "url", Prefix: "ü" }));
  assert.equal(encoded.Contents[0].Key, "%C3%BC/%C3%A4");
  const after = await s3.send(new ListObjectsV2Command({ Bucket, StartAfter: "dir/23" }));
  assert.deepEqual(after.Contents.map(({ Key }) => Key), ["dir/24", "z", "ü/ä"]);
});

test("the first version of the call pages by markers", async () => {
  const Bucket = await filled();
  const found = [];
  let Marker;
  for (;;) {
    const page = await s3.send(new ListObjectsCommand({ Bucket, MaxKeys: 10, Marker }));
    found.push(...page.Contents.map(({ Key }) => Key));
    if (!page.IsTruncated) break;
    Marker = page.NextMarker ?? page.Contents.at(-1).Key;
  }
  assert.deepEqual(found, [...KEYS].sort(byBytes));
});
