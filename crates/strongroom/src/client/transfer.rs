//! Moving one object's content: from a file or a pipe, to a file or a pipe.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use reqwest::Response;

use super::s3::{Connection, encode_crc64};
use super::{ClientError, progress};

/// Up to this size an object goes in one request.
const SINGLE_LEN_MAX: u64 = 32 << 20;
/// The smallest part of a larger one; parts grow so that 10,000 are enough.
const PART_LEN_MIN: u64 = 16 << 20;
const PART_COUNT_MAX: u64 = 10_000;
/// Parts under way at once: with their length this bounds the memory an upload takes.
const PARTS_IN_FLIGHT: usize = 4;

/// Uploads a file.
pub(super) async fn upload(
    connection: &Connection,
    path: &Path,
    bucket: &str,
    key: &str,
    content_type: &str,
) -> Result<(), ClientError> {
    let file_error = |source| ClientError::File { path: path.display().to_string(), source };
    let file = File::open(path).map_err(file_error)?;
    let total = file.metadata().map_err(file_error)?.len();
    let bar = progress::bytes(key, Some(total), connection.quiet);
    send(
        connection,
        Source { from: file, name: path.display().to_string() },
        Some(total),
        bucket,
        key,
        content_type,
        &bar,
    )
    .await?;
    bar.finish();
    Ok(())
}

/// Uploads what comes from standard input.
pub(super) async fn upload_stdin(
    connection: &Connection,
    bucket: &str,
    key: &str,
    content_type: &str,
) -> Result<(), ClientError> {
    let bar = progress::bytes(key, None, connection.quiet);
    send(
        connection,
        Source { from: io::stdin(), name: "standard input".into() },
        None,
        bucket,
        key,
        content_type,
        &bar,
    )
    .await?;
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
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|source| ClientError::http(what, source))?;
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

impl<R: Read> Source<R> {
    /// The next up to `length` bytes; fewer only at the end.
    fn next(&mut self, length: u64) -> Result<Bytes, ClientError> {
        let mut piece = Vec::new();
        (&mut self.from)
            .take(length)
            .read_to_end(&mut piece)
            .map_err(|source| ClientError::File { path: self.name.clone(), source })?;
        Ok(piece.into())
    }
}

async fn send<R: Read + Send + 'static>(
    connection: &Connection,
    mut source: Source<R>,
    total: Option<u64>,
    bucket: &str,
    key: &str,
    content_type: &str,
    bar: &ProgressBar,
) -> Result<(), ClientError> {
    let first = source.next(SINGLE_LEN_MAX)?;
    if (first.len() as u64) < SINGLE_LEN_MAX {
        bar.inc(first.len() as u64);
        return connection.put(bucket, key, &[], Some(content_type), first).await.map(drop);
    }
    let upload = connection.create_upload(bucket, key, content_type).await?;
    let result = send_parts(connection, source, first, total, bucket, key, &upload, bar).await;
    let completed = match result {
        Ok(etags) => connection.complete_upload(bucket, key, &upload, &etags).await,
        Err(error) => Err(error),
    };
    if completed.is_err() {
        // Parts of an upload that nobody completes would stay; the first error is the one to report.
        let _aborted = connection.abort_upload(bucket, key, &upload).await;
    }
    completed
}

#[expect(clippy::too_many_arguments, reason = "one caller, and each is a different thing")]
async fn send_parts<R: Read + Send + 'static>(
    connection: &Connection,
    source: Source<R>,
    first: Bytes,
    total: Option<u64>,
    bucket: &str,
    key: &str,
    upload: &str,
    bar: &ProgressBar,
) -> Result<Vec<String>, ClientError> {
    // Without a known total, parts of 64 MiB reach 640 GiB.
    let part_len = total.map_or(64 << 20, |total| total.div_ceil(PART_COUNT_MAX)).max(PART_LEN_MIN);
    let pieces = stream::try_unfold((source, Some(first)), move |(mut source, first)| async move {
        let piece = match first {
            Some(first) => first,
            None => source.next(part_len)?,
        };
        Ok::<_, ClientError>(if piece.is_empty() { None } else { Some((piece, (source, None))) })
    });
    pieces
        .enumerate()
        .map(|(index, piece)| async move {
            let piece = piece?;
            let (number, length) = ((index + 1).to_string(), piece.len() as u64);
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let etag = connection.put(bucket, key, &query, None, piece).await?;
            bar.inc(length);
            Ok(etag)
        })
        .buffered(PARTS_IN_FLIGHT)
        .try_collect()
        .await
}
