//! Framing of `aws-chunked` uploads, watched before the signature layer sees it.
//!
//! The signature layer holds a whole chunk before it passes it on. Some SDKs send an unsigned upload as one chunk of
//! the object's full length, so unsigned chunks are cut into the pieces in which they arrive; signed chunks cannot
//! be cut and are bounded instead. Framing: AWS, "Signature calculation: transferring payload in multiple chunks".

use std::collections::VecDeque;

use bytes::Bytes;

use super::body::BodyFault;

/// What may be done to the chunks of this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunking {
    /// Chunks carry no signatures: any framing of the same bytes is as good.
    Unsigned,
    /// Every chunk is signed; none may be longer than this.
    Signed {
        /// Longest chunk in bytes.
        chunk_bytes_max: u64,
    },
}

/// Longest chunk header: a size and a signature need 85 bytes.
const META_BYTES_MAX: usize = 256;

/// Follows the framing of one body.
#[derive(Debug)]
pub(crate) struct ChunkWatch {
    chunking: Chunking,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Reading a chunk's header line.
    Meta(Vec<u8>),
    /// Inside a chunk's data.
    Data { left: u64 },
    /// Reading the line end after a chunk's data; how many of its two bytes came.
    DataEnd(u8),
    /// After the final chunk: trailers, which the signature layer reads.
    Rest,
}

impl ChunkWatch {
    pub(crate) fn new(chunking: Chunking) -> Self {
        Self { chunking, state: State::Meta(Vec::new()) }
    }

    /// Takes what arrived and appends to `out` what the signature layer gets. `content` is shown what is inside of the framing; of
    /// signed chunks before the signature layer has checked them.
    pub(crate) fn feed(
        &mut self,
        mut arrived: Bytes,
        out: &mut VecDeque<Bytes>,
        content: impl Fn(&Bytes),
    ) -> Result<(), BodyFault> {
        let cut = self.chunking == Chunking::Unsigned;
        if !cut {
            out.push_back(arrived.clone());
        }
        while !arrived.is_empty() {
            match &mut self.state {
                State::Meta(line) => {
                    let end = arrived.iter().position(|byte| *byte == b'\n');
                    let piece = arrived.split_to(end.map_or(arrived.len(), |at| at + 1));
                    if line.len() + piece.len() > META_BYTES_MAX {
                        return Err(BodyFault::Framing);
                    }
                    line.extend_from_slice(&piece);
                    if end.is_some() {
                        let size = chunk_size(line).ok_or(BodyFault::Framing)?;
                        self.state = self.after_meta(size, out)?;
                    }
                }
                State::Data { left } => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(arrived.len());
                    let piece = arrived.split_to(take);
                    *left -= take as u64;
                    content(&piece);
                    if *left == 0 {
                        self.state = State::DataEnd(0);
                    }
                    if cut {
                        out.push_back(Bytes::from(format!("{take:x}\r\n")));
                        out.push_back(piece);
                        out.push_back(Bytes::from_static(b"\r\n"));
                    }
                }
                State::DataEnd(seen) => {
                    if arrived[0] != b"\r\n"[usize::from(*seen)] {
                        return Err(BodyFault::Framing);
                    }
                    let _ = arrived.split_to(1);
                    self.state = if *seen == 0 { State::DataEnd(1) } else { State::Meta(Vec::new()) };
                }
                State::Rest => {
                    if cut {
                        out.push_back(arrived);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn after_meta(&self, size: u64, out: &mut VecDeque<Bytes>) -> Result<State, BodyFault> {
        match self.chunking {
            Chunking::Signed { chunk_bytes_max } if size > chunk_bytes_max => Err(BodyFault::ChunkTooLong),
            Chunking::Unsigned if size == 0 => {
                out.push_back(Bytes::from_static(b"0\r\n"));
                Ok(State::Rest)
            }
            _ if size == 0 => Ok(State::Rest),
            _ => Ok(State::Data { left: size }),
        }
    }

    /// The body has ended.
    pub(crate) fn finish(&self) -> Result<(), BodyFault> {
        match self.state {
            State::Rest => Ok(()),
            _ => Err(BodyFault::Incomplete),
        }
    }
}

/// The size in a chunk's header line, `<hex>[;extension]\r\n`.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let digits = line.split(|byte| *byte == b';').next()?;
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunking: Chunking, wire: &[u8], piece: usize) -> Result<Vec<u8>, BodyFault> {
        let mut watch = ChunkWatch::new(chunking);
        let mut out = VecDeque::new();
        for bytes in wire.chunks(piece) {
            watch.feed(Bytes::copy_from_slice(bytes), &mut out, |_| {})?;
        }
        watch.finish()?;
        Ok(out.into_iter().flatten().collect())
    }

    /// The payload of framed bytes, and what follows the last chunk.
    fn payload(mut wire: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut data = Vec::new();
        loop {
            let end = wire.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let size = usize::try_from(chunk_size(&wire[..end]).unwrap()).unwrap();
            wire = &wire[end..];
            if size == 0 {
                return (data, wire.to_vec());
            }
            data.extend_from_slice(&wire[..size]);
            assert_eq!(&wire[size..size + 2], b"\r\n");
            wire = &wire[size + 2..];
        }
    }

    const WIRE: &[u8] = b"b\r\nhello world\r\n3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";

    #[test]
    fn unsigned_chunks_keep_payload_and_trailers_however_they_arrive() {
        for piece in 1..WIRE.len() {
            let (data, rest) = payload(&run(Chunking::Unsigned, WIRE, piece).unwrap());
            assert_eq!(data, b"hello worldabc");
            assert_eq!(rest, b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        }
    }

    #[test]
    fn one_huge_unsigned_chunk_leaves_in_the_pieces_in_which_it_came() {
        let mut watch = ChunkWatch::new(Chunking::Unsigned);
        let mut out = VecDeque::new();
        watch.feed(Bytes::from_static(b"fffffffff\r\n"), &mut out, |_| {}).unwrap();
        watch.feed(Bytes::from_static(b"some"), &mut out, |_| {}).unwrap();
        let framed: Vec<u8> = out.into_iter().flatten().collect();
        assert_eq!(framed, b"4\r\nsome\r\n");
    }

    #[test]
    fn signed_chunks_pass_unchanged_up_to_the_limit() {
        let wire = b"3;chunk-signature=00\r\nabc\r\n0;chunk-signature=11\r\n\r\n";
        for piece in 1..wire.len() {
            assert_eq!(run(Chunking::Signed { chunk_bytes_max: 3 }, wire, piece).unwrap(), wire);
            assert_eq!(
                run(Chunking::Signed { chunk_bytes_max: 2 }, wire, piece),
                Err(BodyFault::ChunkTooLong)
            );
        }
    }

    #[test]
    fn body_cut_anywhere_before_the_final_chunk_is_incomplete() {
        let end = WIRE.windows(3).position(|w| w == b"0\r\n").unwrap() + 3;
        for cut in 0..end {
            assert_eq!(run(Chunking::Unsigned, &WIRE[..cut], 7), Err(BodyFault::Incomplete), "{cut}");
        }
    }

    #[test]
    fn malformed_framing_is_refused() {
        for wire in [
            &b"\r\n"[..],
            b"zz\r\n",
            b"3\nabc",
            b"3\r\nabcX\r\n0\r\n",
            b"-1\r\n",
            b"ffffffffffffffff\r\n",
            &[b'1'; 300],
        ] {
            assert_eq!(run(Chunking::Unsigned, wire, 5), Err(BodyFault::Framing));
        }
    }
}
