//! Moving one object's content: from a file or a pipe, to a file or a pipe.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use reqwest::Response;

use super::s3::{Connection, encode_crc64};
use super::{ClientError, interrupt, progress};

const MIB: u64 = 1 << 20;
/// The smallest part of a large object unless --part-size says otherwise; parts grow so that 10,000 are enough.
const PART_LEN: u64 = 16 * MIB;
/// The same where the total is not known: 10,000 of them are 640 GiB.
const PART_LEN_OF_STREAMS: u64 = 64 * MIB;
const PART_COUNT_MAX: u64 = 10_000;
/// Parts under way at once: with their length this bounds the memory an upload takes.
const PARTS_IN_FLIGHT: usize = 4;

/// Where an upload goes, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) content_type: &'a str,
    /// The length of parts that was asked for.
    pub(super) part_mib: Option<u64>,
}

impl Target<'_> {
    /// How long each part is; up to twice that goes in one request.
    fn part_len(&self, total: Option<u64>) -> u64 {
        let least = self.part_mib.map(|mib| mib * MIB);
        match total {
            Some(total) => total.div_ceil(PART_COUNT_MAX).max(least.unwrap_or(PART_LEN)),
            None => least.unwrap_or(PART_LEN_OF_STREAMS),
        }
    }
}

/// Uploads a file.
pub(super) async fn upload(
    connection: &Connection,
    path: &Path,
    target: Target<'_>,
) -> Result<(), ClientError> {
    let file_error = |source| ClientError::File { path: path.display().to_string(), source };
    let file = File::open(path).map_err(file_error)?;
    let total = file.metadata().map_err(file_error)?.len();
    let bar = progress::bytes(target.key, Some(total), connection.quiet);
    let source = Source { from: file, name: path.display().to_string() };
    send(connection, source, Some(total), target, &bar).await?;
    bar.finish();
    Ok(())
}

/// Uploads what comes from standard input.
pub(super) async fn upload_stdin(connection: &Connection, target: Target<'_>) -> Result<(), ClientError> {
    let bar = progress::bytes(target.key, None, connection.quiet);
    let source = Source { from: io::stdin(), name: "standard input".into() };
    send(connection, source, None, target, &bar).await?;
    bar.finish();
    Ok(())
}

/// Downloads into a file, which appears whole or not at all.
pub(super) async fn download(
    connection: &Connection,
    bucket: &str,
    key: &str,
    path: &Path,
) -> Result<(), ClientError> {
    // A part of the content would stay behind if the process just ended.
    interrupt::listen()?;
    let answer = connection.get(bucket, key).await?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.strongroom-partial"));
    let result = receive_into(connection, answer, bucket, key, &partial).await;
    let file_error = |source| ClientError::File { path: path.display().to_string(), source };
    match result {
        Ok(()) => std::fs::rename(&partial, path).map_err(file_error),
        Err(error) => {
            // The error that made us stop is the one to report.
            let _leftover = std::fs::remove_file(&partial);
            Err(error)
        }
    }
}

/// Writes an object's content to standard output.
pub(super) async fn to_stdout(connection: &Connection, bucket: &str, key: &str) -> Result<(), ClientError> {
    let answer = connection.get(bucket, key).await?;
    let bar = progress::bytes(key, answer.content_length(), true);
    receive(answer, &format!("s3://{bucket}/{key}"), &mut io::stdout().lock(), "standard output", &bar).await
}

async fn receive_into(
    connection: &Connection,
    answer: Response,
    bucket: &str,
    key: &str,
    partial: &Path,
) -> Result<(), ClientError> {
    let name = partial.display().to_string();
    let mut file =
        File::create(partial).map_err(|source| ClientError::File { path: name.clone(), source })?;
    let bar = progress::bytes(key, answer.content_length(), connection.quiet);
    receive(answer, &format!("s3://{bucket}/{key}"), &mut file, &name, &bar).await?;
    bar.finish();
    file.sync_all().map_err(|source| ClientError::File { path: name, source })
}

async fn receive(
    answer: Response,
    what: &str,
    to: &mut impl Write,
    name: &str,
    bar: &ProgressBar,
) -> Result<(), ClientError> {
    let expected = answer
        .headers()
        .get("x-amz-checksum-crc64nvme")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    let mut body = answer.bytes_stream();
    let http_error = |source| ClientError::http(what, source);
    while let Some(piece) = interrupt::or(async { body.try_next().await.map_err(http_error) }).await? {
        digest.update(&piece);
        to.write_all(&piece).map_err(|source| ClientError::File { path: name.to_owned(), source })?;
        bar.inc(piece.len() as u64);
    }
    to.flush().map_err(|source| ClientError::File { path: name.to_owned(), source })?;
    match expected {
        // A checksum of checksums (`…-3`) covers the parts and cannot be compared with the whole.
        Some(expected) if !expected.contains('-') && expected != encode_crc64(digest.finalize()) => {
            Err(ClientError::Checksum { what: what.to_owned() })
        }
        _ => Ok(()),
    }
}

struct Source<R> {
    from: R,
    name: String,
}

impl<R: Read + Send + 'static> Source<R> {
    /// The next up to `length` bytes; fewer only at the end. Reads on a thread of its own: a pipe may stay silent.
    async fn next(mut self, length: u64) -> Result<(Self, Bytes), ClientError> {
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::new();
            let result = (&mut self.from).take(length).read_to_end(&mut piece);
            match result {
                Ok(_) => Ok((self, piece.into())),
                Err(source) => Err(ClientError::File { path: self.name, source }),
            }
        });
        let lost = |error| ClientError::Usage(format!("reading was given up: {error}"));
        interrupt::or(async { reading.await.map_err(lost)? }).await
    }
}

async fn send<R: Read + Send + 'static>(
    connection: &Connection,
    source: Source<R>,
    total: Option<u64>,
    target: Target<'_>,
    bar: &ProgressBar,
) -> Result<(), ClientError> {
    let single_len_max = 2 * target.part_len(total);
    let (source, first) = source.next(single_len_max).await?;
    let Target { bucket, key, content_type, .. } = target;
    if (first.len() as u64) < single_len_max {
        let length = first.len() as u64;
        connection.put(bucket, key, &[], Some(content_type), first).await?;
        bar.inc(length);
        return Ok(());
    }
    // From here on something would stay behind if the process just ended.
    interrupt::listen()?;
    let upload = connection.create_upload(bucket, key, content_type).await?;
    let completed = match send_parts(connection, source, first, total, target, &upload, bar).await {
        Ok(etags) => connection.complete_upload(bucket, key, &upload, &etags).await,
        Err(error) => Err(error),
    };
    if completed.is_err() {
        // Parts of an upload that nobody completes would stay; the first error is the one to report.
        let _aborted = connection.abort_upload(bucket, key, &upload).await;
    }
    completed
}

async fn send_parts<R: Read + Send + 'static>(
    connection: &Connection,
    source: Source<R>,
    first: Bytes,
    total: Option<u64>,
    target: Target<'_>,
    upload: &str,
    bar: &ProgressBar,
) -> Result<Vec<String>, ClientError> {
    let part_len = target.part_len(total);
    let pieces = stream::try_unfold((source, Some(first)), move |(source, first)| async move {
        let (source, piece) = match first {
            Some(first) => (source, first),
            None => source.next(part_len).await?,
        };
        Ok::<_, ClientError>(if piece.is_empty() { None } else { Some((piece, (source, None))) })
    });
    pieces
        .enumerate()
        .map(|(index, piece)| async move {
            let piece = piece?;
            let (number, length) = ((index + 1).to_string(), piece.len() as u64);
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let etag = connection.put(target.bucket, target.key, &query, None, piece).await?;
            bar.inc(length);
            Ok(etag)
        })
        .buffered(PARTS_IN_FLIGHT)
        .try_collect()
        .await
}
