//! A file's bytes, sparse, and cheap to copy: copies share the blocks in which they do not differ.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The unit of allocation and of sharing.
pub(super) const BLOCK_LEN: usize = 4096;

type Block = [u8; BLOCK_LEN];

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    len: usize,
    /// What is not here is zero. Behind the end, every byte is zero.
    blocks: BTreeMap<usize, Arc<Block>>,
}

impl Content {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        for (index, piece) in bytes.chunks(BLOCK_LEN).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                content.write(index * BLOCK_LEN, piece);
            }
        }
        content.set_len(bytes.len());
        content
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes, 0);
        bytes
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many blocks have a place on the disk.
    pub(super) fn allocated(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn is_allocated(&self, block: usize) -> bool {
        self.blocks.contains_key(&block)
    }

    /// The blocks that have a place on the disk.
    pub(super) fn blocks(&self) -> impl Iterator<Item = usize> {
        self.blocks.keys().copied()
    }

    /// Fills `out` from `at`; zeros past the end.
    pub(super) fn read(&self, out: &mut [u8], at: usize) {
        each_block(at, out.len(), |block, within, from, len| {
            let out = &mut out[from..from + len];
            match self.blocks.get(&block) {
                Some(block) => out.copy_from_slice(&block[within..within + len]),
                None => out.fill(0),
            }
        });
    }

    pub(super) fn write(&mut self, at: usize, data: &[u8]) {
        self.len = self.len.max(at + data.len());
        each_block(at, data.len(), |block, within, from, len| {
            let block = self.blocks.entry(block).or_insert_with(|| Arc::new([0; BLOCK_LEN]));
            Arc::make_mut(block)[within..within + len].copy_from_slice(&data[from..from + len]);
        });
    }

    /// Cuts or grows; new bytes are zero.
    pub(super) fn set_len(&mut self, len: usize) {
        if len < self.len {
            drop(self.blocks.split_off(&len.div_ceil(BLOCK_LEN)));
            if let Some(last) = self.blocks.get_mut(&(len / BLOCK_LEN)) {
                Arc::make_mut(last)[len % BLOCK_LEN..].fill(0);
            }
        }
        self.len = len;
    }
}

/// Calls `visit` with each block's number, the place within it, the place in the whole and the length.
fn each_block(at: usize, len: usize, mut visit: impl FnMut(usize, usize, usize, usize)) {
    let mut from = 0;
    while from < len {
        let place = at + from;
        let within = place % BLOCK_LEN;
        let piece = (BLOCK_LEN - within).min(len - from);
        visit(place / BLOCK_LEN, within, from, piece);
        from += piece;
    }
}
