import assert from "node:assert/strict";
import test from "node:test";
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { bytes, data, freshBucket, MIB, refused, refusedSilently, s3 } from "./setup.mjs";

async function versioned() {
  const Bucket = await freshBucket();
  const VersioningConfiguration = { Status: "Enabled" };
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
  assert.equal((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, "Enabled");
  return Bucket;
}

const text = async (input) => (await s3.send(new GetObjectCommand(input))).Body.transformToString();

test("every write is a version, and a delete hides them", async () => {
  const Bucket = await versioned();
  const first = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "1" }));
  const second = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "2" }));
  assert.notEqual(first.VersionId, second.VersionId);
  assert.equal(await text({ Bucket, Key: "k" }), "2");
  assert.equal(await text({ Bucket, Key: "k", VersionId: first.VersionId }), "1");
  const marker = await s3.send(new DeleteObjectCommand({ Bucket, Key: "k" }));
  assert.equal(marker.DeleteMarker, true);
  await refused(s3.send(new GetObjectCommand({ Bucket, Key: "k" })), "NoSuchKey", 404);
  await refusedSilently(s3.send(new HeadObjectCommand({ Bucket, Key: "k", VersionId: marker.VersionId })), 405);
  assert.equal((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 0);
  const listed = await s3.send(new ListObjectVersionsCommand({ Bucket }));
  assert.deepEqual(listed.Versions.map(({ VersionId }) => VersionId), [second.VersionId, first.VersionId]);
  assert.deepEqual(listed.DeleteMarkers.map(({ IsLatest }) => IsLatest), [true]);
  await s3.send(new DeleteObjectCommand({ Bucket, Key: "k", VersionId: marker.VersionId }));
  assert.equal(await text({ Bucket, Key: "k" }), "2");
  const CopySource = `${Bucket}/k?versionId=${first.VersionId}`;
  const copy = await s3.send(new CopyObjectCommand({ Bucket, Key: "k", CopySource }));
  assert.equal(copy.CopySourceVersionId, first.VersionId);
  assert.equal(await text({ Bucket, Key: "k" }), "1");
});

test("lib-storage makes a version, and a batch of deletes removes versions", async () => {
  const Bucket = await versioned();
  const body = data(6 * MIB, 4);
  const done = await new Upload({ client: s3, params: { Bucket, Key: "k", Body: body } }).done();
  assert.ok(done.VersionId);
  await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "newer" }));
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "k", VersionId: done.VersionId }));
  assert.ok((await bytes(got)).equals(body));
  const { Versions } = await s3.send(new ListObjectVersionsCommand({ Bucket }));
  const Objects = Versions.map(({ Key, VersionId }) => ({ Key, VersionId }));
  const deleted = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  assert.equal(deleted.Deleted.length, 2);
  assert.equal((await s3.send(new ListObjectVersionsCommand({ Bucket }))).Versions, undefined);
});

test("each version has tags of its own", async () => {
  const Bucket = await versioned();
  const first = await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "1", Tagging: "a=1" }));
  await s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "2" }));
  const old = { Bucket, Key: "k", VersionId: first.VersionId };
  const tags = async (input) => (await s3.send(new GetObjectTaggingCommand(input))).TagSet;
  assert.deepEqual(await tags(old), [{ Key: "a", Value: "1" }]);
  assert.deepEqual(await tags({ Bucket, Key: "k" }), []);
  const TagSet = [{ Key: "b", Value: "ü" }];
  await s3.send(new PutObjectTaggingCommand({ ...old, Tagging: { TagSet } }));
  assert.deepEqual(await tags(old), TagSet);
  await s3.send(new DeleteObjectTaggingCommand(old));
  assert.deepEqual(await tags(old), []);
});
