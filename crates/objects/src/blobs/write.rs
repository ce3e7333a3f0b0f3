//! Writing a blob: temp → seal and write → fsync → rename → fsync of the directory, or a further name for one that is there
//! (`docs/spec/blobs.md` §3).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use metrics::{counter, histogram};
use strongroom_seal::stream::{HEADER_LEN, Last, Sealer, StreamError, StreamSpec};
use strongroom_seal::{Context, ObjectKey, Random, TAG_LEN};
use strongroom_store::GroupId;
use strongroom_store::disk::{DiskFile, is_no_space};
use strongroom_telemetry::names;

use super::{Blobs, TEMP, fault};
use crate::ObjectError;
use crate::commit::outcome_unknown;
use crate::layers::{ContentKeys, Places, inner_spec};
use crate::patient::patiently;
use crate::rows::BlobId;

/// Sealed bytes are handed to the file in runs of about this length.
const RUN_LEN: usize = 1 << 20;

/// A blob that is being written. Dropping it removes the file.
pub(crate) struct BlobWriter {
    blob: WrittenBlob,
    to: Target,
    layer: Layer,
    /// What seals the sealed bytes of `layer` once more, under DSSE-KMS.
    outer: Option<Layer>,
}

impl BlobWriter {
    /// Starts a blob under `keys`. `places` must name `id`.
    pub(crate) fn create(
        blobs: &Arc<Blobs>,
        group: GroupId,
        id: BlobId,
        (keys, places, spec): (&ContentKeys, &Places, StreamSpec),
        random: &dyn Random,
    ) -> Result<Self, ObjectError> {
        let path = blobs.dir.join(TEMP).join(hex::encode(id.id));
        let file = blobs.disk.create_new(&path).map_err(|error| fault("creating a blob", error))?;
        let temp = Temp { blobs: Arc::clone(blobs), path, armed: true };
        let outer = keys.outer.as_ref().map(|key| Layer::new(key, &places.outer, spec, random));
        let inner_spec = if outer.is_some() { inner_spec(spec) } else { spec };
        let layer = Layer::new(&keys.inner, &places.inner, inner_spec, random);
        let blob = WrittenBlob { blobs: Arc::clone(blobs), temp, group, id, length: 0 };
        Ok(Self { blob, to: Target { file, at: 0 }, layer, outer })
    }

    /// Takes the next pieces of the content.
    pub(crate) fn write(&mut self, pieces: &[Bytes]) -> Result<(), ObjectError> {
        let Self { to, layer, outer, .. } = self;
        for piece in pieces {
            layer.take(piece, &mut |run| below(outer, to, run))?;
        }
        Ok(())
    }

    /// Seals the end and makes the content durable. The file still has its temporary name.
    pub(crate) fn finish(mut self) -> Result<WrittenBlob, ObjectError> {
        let started = Instant::now();
        let Self { to, layer, outer, .. } = &mut self;
        layer.finish(&mut |run| below(outer, to, run))?;
        if let Some(outer) = outer {
            outer.finish(&mut |run| to.write(run))?;
        }
        to.file.sync().map_err(|error| fault("making a blob durable", error))?;
        histogram!(names::BLOB_SYNC_SECONDS).record(started.elapsed().as_secs_f64());
        self.blob.length = self.to.at;
        Ok(self.blob)
    }
}

/// Hands sealed bytes of the inner layer on: to the outer one, or to the file if it is the only one.
fn below(outer: &mut Option<Layer>, to: &mut Target, run: &[u8]) -> Result<(), ObjectError> {
    match outer {
        Some(outer) => outer.take(run, &mut |run| to.write(run)),
        None => to.write(run),
    }
}

/// The file and where the next run goes.
struct Target {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Target {
    fn write(&mut self, run: &[u8]) -> Result<(), ObjectError> {
        self.file.write_at(run, self.at).map_err(|error| fault("writing a blob", error))?;
        self.at += run.len() as u64;
        Ok(())
    }
}

/// Where a layer's sealed bytes go, a run at a time.
type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), ObjectError>;

/// One sealed stream that is being written.
struct Layer {
    sealer: Sealer,
    /// Sealed chunks that are not handed on yet, then the plaintext of the chunk that is being filled.
    run: Vec<u8>,
    /// How much of `run` is that plaintext.
    filled: usize,
}

impl Layer {
    fn new(key: &ObjectKey, context: &Context, spec: StreamSpec, random: &dyn Random) -> Self {
        let (sealer, header) = Sealer::new(key, context, spec, random);
        let mut run = Vec::with_capacity(RUN_LEN + 2 * (sealer.chunk_size() + TAG_LEN) + HEADER_LEN);
        run.extend_from_slice(&header);
        Self { sealer, run, filled: 0 }
    }

    fn take(&mut self, plain: &[u8], sink: Sink<'_>) -> Result<(), ObjectError> {
        let chunk = self.sealer.chunk_size();
        let mut rest = plain;
        while !rest.is_empty() {
            // A full chunk is sealed only once more is known to follow: the last one is sealed as such.
            if self.filled == chunk {
                self.seal(Last::No, sink)?;
            }
            let (now, later) = rest.split_at(rest.len().min(chunk - self.filled));
            self.run.extend_from_slice(now);
            self.filled += now.len();
            rest = later;
        }
        Ok(())
    }

    fn finish(&mut self, sink: Sink<'_>) -> Result<(), ObjectError> {
        self.seal(Last::Yes, sink)?;
        self.flush(sink)
    }

    fn seal(&mut self, last: Last, sink: Sink<'_>) -> Result<(), ObjectError> {
        let start = self.run.len() - self.filled;
        let tag = self.sealer.seal_next(&mut self.run[start..], last).map_err(too_long)?;
        self.run.extend_from_slice(&tag);
        self.filled = 0;
        if self.run.len() >= RUN_LEN { self.flush(sink) } else { Ok(()) }
    }

    fn flush(&mut self, sink: Sink<'_>) -> Result<(), ObjectError> {
        sink(&self.run)?;
        self.run.clear();
        Ok(())
    }
}

/// A blob whose content is durable under a temporary name. Dropping it removes the file.
pub(crate) struct WrittenBlob {
    blobs: Arc<Blobs>,
    temp: Temp,
    group: GroupId,
    id: BlobId,
    length: u64,
}

impl WrittenBlob {
    /// Gives the blob its name, durably.
    pub(crate) fn place(self) -> Result<NewBlob, ObjectError> {
        let placing = |error| fault("naming a blob", error);
        let Self { blobs, temp, group, id, .. } = self;
        blobs.begin_placing()?;
        // From here on its drop ends what was begun.
        let mut blob = NewBlob { blobs: Arc::clone(&blobs), temp, id, committing: false };
        blobs.make_dir(group).map_err(placing)?;
        let path = blobs.path(group, &id);
        // One that answers with an error may have happened: then the removal of the old name finds that out.
        blobs.disk.rename(&blob.temp.path, &path).map_err(placing)?;
        blob.temp.path = path;
        blobs.disk.sync_dir(&blobs.epoch_dir(group, id.epoch)).map_err(placing)?;
        counter!(names::BLOBS_WRITTEN).increment(1);
        counter!(names::BLOBS_WRITTEN_BYTES).increment(self.length);
        Ok(blob)
    }
}

impl Blobs {
    /// Gives blobs a further name each, in this run's directory, durably: what they are named now is a blob of its own, whose content
    /// is that of the old one and stays when the old one goes. `None` if the file system does not do that, or a blob is not
    /// there any more: then nothing was done, and the content can be copied. Blocks.
    pub(crate) fn link(
        self: &Arc<Self>,
        group: GroupId,
        from: &[BlobId],
        random: &dyn Random,
    ) -> Result<Option<Vec<NewBlob>>, ObjectError> {
        let linking = |error| fault("giving a blob another name", error);
        let mut linked = Vec::with_capacity(from.len());
        for old in from {
            self.begin_placing()?;
            let id = self.new_id(random);
            let path = self.path(group, &id);
            let temp = Temp { blobs: Arc::clone(self), path, armed: false };
            // From here on its drop ends what was begun.
            let mut blob = NewBlob { blobs: Arc::clone(self), temp, id, committing: false };
            self.make_dir(group).map_err(linking)?;
            if let Err(error) = self.disk.link(&self.path(group, old), &blob.temp.path) {
                // One that answers with an error may have happened. What was there before is not ours to remove.
                match self.disk.exists(&blob.temp.path) {
                    Ok(there) if error.kind() != io::ErrorKind::AlreadyExists => blob.temp.armed = there,
                    _ => self.set_unclean(),
                }
                if is_no_space(&error) {
                    return Err(linking(error));
                }
                tracing::debug!(%error, "a blob gets no further name, so its content is copied");
                return Ok(None);
            }
            blob.temp.armed = true;
            linked.push(blob);
        }
        if !linked.is_empty() {
            self.disk.sync_dir(&self.epoch_dir(group, self.epoch)).map_err(linking)?;
        }
        Ok(Some(linked))
    }
}

/// A blob in its place that no row names yet. Dropping it removes the file, unless [`Self::end`] knew better or a command that
/// names it is under way.
pub(crate) struct NewBlob {
    blobs: Arc<Blobs>,
    temp: Temp,
    id: BlobId,
    committing: bool,
}

impl NewBlob {
    pub(crate) fn id(&self) -> BlobId {
        self.id
    }

    /// A command that names it is about to be handed out. If its outcome is never heard of, because the runtime ends in between,
    /// the file stays and the sweep decides: a row may name it.
    pub(crate) fn commits(&mut self) {
        self.committing = true;
    }

    /// Its command succeeded, or failed so. If a row names it now, or may, the file stays: in the latter case the sweep
    /// decides at the next opening.
    pub(crate) fn end(mut self, failed: Option<&ObjectError>) {
        let unknown = failed.is_some_and(outcome_unknown);
        if unknown {
            self.blobs.set_unclean();
        }
        self.temp.armed = failed.is_some() && !unknown;
        self.committing = false;
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        // Before it is said to have ended, so that a close which sees that knows whether anything stayed.
        if self.committing {
            self.blobs.set_unclean();
            self.temp.armed = false;
        }
        self.temp.remove();
        self.blobs.placing_ended();
    }
}

/// A file that goes when this does.
struct Temp {
    blobs: Arc<Blobs>,
    path: PathBuf,
    armed: bool,
}

impl Temp {
    fn remove(&mut self) {
        if !std::mem::take(&mut self.armed) {
            return;
        }
        // This may be the drop of a request that was given up, on a thread that others need.
        if let Err(error) = patiently(|| self.blobs.disk.remove(&self.path)) {
            tracing::debug!(%error, "an unfinished blob stays until the next start");
            self.blobs.set_unclean();
        }
        self.blobs.gone_from(self.path.parent().unwrap_or(&self.blobs.dir));
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        self.remove();
    }
}

fn too_long(error: StreamError) -> ObjectError {
    match error {
        StreamError::TooLong { plain_len_max: most } => {
            ObjectError::EntityTooLarge { size: most.saturating_add(1), most }
        }
        // The writer above hands in chunks of the right length, and none after the last.
        _ => ObjectError::Stopping,
    }
}
