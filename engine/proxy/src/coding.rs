//! Content codings (gzip, br, zstd), decoded piece by piece within a limit.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use std::io::{self, Write};
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

/// How much compressed input is looked at between two checks of the limit: a bomb gets no further than this times its ratio.
const STEP: usize = 4 * 1024;
/// The largest window a zstd frame may ask for, as a power of two: 8 MiB (RFC 9659).
const ZSTD_WINDOW: u32 = 23;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodingError {
    /// It is larger than the limit once decoded.
    #[error("larger than the limit once decompressed")]
    TooLarge,
    /// It is not what its coding says.
    #[error("not encoded as its content-encoding says")]
    Malformed,
}

impl Coding {
    /// What `content-encoding` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// The coding that `content-encoding` names; `None` if it names none; an error if it is none of ours or several.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Coding>, ()> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for token in value.to_str().map_err(|_| ())?.split(',') {
                let coding = match token.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip,
                    "br" => Coding::Brotli,
                    "zstd" => Coding::Zstd,
                    _ => return Err(()),
                };
                if found.replace(coding).is_some() {
                    return Err(());
                }
            }
        }
        Ok(found)
    }
}

/// Where decoded bytes are put: a buffer that refuses to grow over its room.
struct Sink {
    out: Vec<u8>,
    room: u64,
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let len = piece.len() as u64;
        if len > self.room {
            self.room = 0;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.room -= len;
        self.out.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Inner {
    Gzip(flate2::write::MultiGzDecoder<Sink>),
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Zstd { decoder: ZstdDecoder<'static>, sink: Sink, at_end: bool },
}

/// Decodes one body, piece by piece.
pub(crate) struct Decoder {
    inner: Inner,
    /// What may come out of one body; `None`: of one piece at a time.
    started: bool,
    per_piece: Option<u64>,
}

impl Decoder {
    /// A decoder that lets at most `limit` bytes out in all.
    pub(crate) fn whole(coding: Coding, limit: u64) -> Result<Self, CodingError> {
        Self::new(coding, limit, None)
    }

    /// A decoder for a stream without end: at most `limit` bytes out of each piece.
    pub(crate) fn stream(coding: Coding, limit: u64) -> Result<Self, CodingError> {
        Self::new(coding, limit, Some(limit))
    }

    fn new(coding: Coding, room: u64, per_piece: Option<u64>) -> Result<Self, CodingError> {
        let sink = Sink { out: Vec::new(), room };
        let inner = match coding {
            Coding::Gzip => Inner::Gzip(flate2::write::MultiGzDecoder::new(sink)),
            Coding::Brotli => Inner::Brotli(Box::new(brotli::DecompressorWriter::new(sink, 8 * 1024))),
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new().map_err(|_| CodingError::Malformed)?;
                decoder
                    .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))
                    .map_err(|_| CodingError::Malformed)?;
                Inner::Zstd { decoder, sink, at_end: false }
            }
        };
        Ok(Self { inner, started: false, per_piece })
    }

    fn sink(&mut self) -> &mut Sink {
        match &mut self.inner {
            Inner::Gzip(decoder) => decoder.get_mut(),
            Inner::Brotli(decoder) => decoder.get_mut(),
            Inner::Zstd { sink, .. } => sink,
        }
    }

    fn taken(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.sink().out))
    }

    /// Takes the next piece; gives back all that can be decoded so far.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Bytes, CodingError> {
        if let Some(room) = self.per_piece {
            self.sink().room = room;
        }
        self.started |= !piece.is_empty();
        for step in piece.chunks(STEP) {
            let done = match &mut self.inner {
                Inner::Gzip(decoder) => decoder.write_all(step).and_then(|()| decoder.flush()),
                Inner::Brotli(decoder) => decoder.write_all(step).and_then(|()| decoder.flush()),
                Inner::Zstd { decoder, sink, at_end } => inflate_zstd(decoder, sink, at_end, step),
            };
            done.map_err(|error| verdict(&error))?;
        }
        Ok(self.taken())
    }

    /// The body has ended: gives back the rest; an error if it ended too early.
    pub(crate) fn finish(mut self) -> Result<Bytes, CodingError> {
        if !self.started {
            return Ok(Bytes::new());
        }
        let done = match &mut self.inner {
            Inner::Gzip(decoder) => decoder.try_finish(),
            Inner::Brotli(decoder) => decoder.close(),
            Inner::Zstd { at_end: true, .. } => Ok(()),
            Inner::Zstd { .. } => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        };
        done.map_err(|error| verdict(&error))?;
        Ok(self.taken())
    }
}

fn verdict(error: &io::Error) -> CodingError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => CodingError::TooLarge,
        _ => CodingError::Malformed,
    }
}

fn inflate_zstd(
    decoder: &mut ZstdDecoder<'static>,
    sink: &mut Sink,
    at_end: &mut bool,
    step: &[u8],
) -> io::Result<()> {
    let mut buffer = [0_u8; 16 * 1024];
    let mut input = InBuffer::around(step);
    loop {
        let mut output = OutBuffer::around(&mut buffer[..]);
        let hint = decoder.run(&mut input, &mut output)?;
        let written = output.as_slice();
        let full = written.len() == 16 * 1024;
        sink.write_all(written)?;
        *at_end = hint == 0;
        if input.pos() >= step.len() && !full {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(coding: Coding, plain: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Brotli => {
                let mut out = Vec::new();
                brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(plain).unwrap();
                out
            }
            Coding::Zstd => zstd::encode_all(plain, 3).unwrap(),
        }
    }

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    fn decode(coding: Coding, encoded: &[u8], piece: usize, limit: u64) -> Result<Vec<u8>, CodingError> {
        let mut decoder = Decoder::whole(coding, limit)?;
        let mut out = Vec::new();
        for piece in encoded.chunks(piece) {
            out.extend_from_slice(&decoder.push(piece)?);
        }
        out.extend_from_slice(&decoder.finish()?);
        Ok(out)
    }

    #[test]
    fn decodes_whatever_the_pieces() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for coding in ALL {
            let encoded = encode(coding, &plain);
            for piece in [7, 1000, usize::MAX] {
                assert_eq!(
                    decode(coding, &encoded, piece, 1 << 30).as_ref(),
                    Ok(&plain),
                    "{coding:?} {piece}"
                );
            }
        }
    }

    #[test]
    fn stops_a_bomb_at_the_limit() {
        let plain = vec![b'a'; 64 << 20];
        for coding in ALL {
            let encoded = encode(coding, &plain);
            assert_eq!(
                decode(coding, &encoded, usize::MAX, 1 << 20),
                Err(CodingError::TooLarge),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn takes_exactly_the_limit() {
        for coding in ALL {
            assert_eq!(decode(coding, &encode(coding, b"hello"), 99, 5), Ok(b"hello".to_vec()), "{coding:?}");
            assert_eq!(
                decode(coding, &encode(coding, b"hello"), 99, 4),
                Err(CodingError::TooLarge),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn tells_rubbish_and_a_missing_end() {
        for coding in ALL {
            assert_eq!(
                decode(coding, b"{\"model\":\"fast\"}", 99, 100),
                Err(CodingError::Malformed),
                "{coding:?}"
            );
            let encoded = encode(coding, &[b"0123456789".repeat(50), b"abc".to_vec()].concat());
            let short = &encoded[..encoded.len() - 2];
            assert_eq!(decode(coding, short, 99, 10_000), Err(CodingError::Malformed), "{coding:?}");
        }
    }

    #[test]
    fn gives_out_what_a_stream_has_flushed() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let mut decoder = Decoder::stream(Coding::Gzip, 1000).unwrap();
        for _ in 0..1000 {
            encoder.write_all(b"data: x\n\n").unwrap();
            encoder.flush().unwrap();
            let piece = std::mem::take(encoder.get_mut());
            assert_eq!(decoder.push(&piece).unwrap(), "data: x\n\n");
        }
    }

    #[test]
    fn names_the_coding() {
        for (value, want) in [
            ("gzip", Ok(Some(Coding::Gzip))),
            ("X-GZIP", Ok(Some(Coding::Gzip))),
            ("br", Ok(Some(Coding::Brotli))),
            ("zstd", Ok(Some(Coding::Zstd))),
            ("identity", Ok(None)),
            ("deflate", Err(())),
            ("gzip, br", Err(())),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, value.parse().unwrap());
            assert_eq!(Coding::of(&headers), want, "{value}");
        }
        assert_eq!(Coding::of(&HeaderMap::new()), Ok(None));
    }
}
