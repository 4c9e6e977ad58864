//! Bodies in the content codings, whole and streamed.

use std::io::Write;
use weir_conformance::upstream::{Act, Got, Reaction, play};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    pub(crate) const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    /// What `content-encoding` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// A body of one piece.
    pub(crate) fn pack(self, bytes: &[u8]) -> Vec<u8> {
        self.pack_all(&[bytes]).concat()
    }

    /// Pieces of one body, each of which can be read when it is there.
    pub(crate) fn pack_all(self, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        fn each<W: Write>(
            mut to: W,
            pieces: &[&[u8]],
            take: impl Fn(&mut W) -> Vec<u8>,
        ) -> (Vec<Vec<u8>>, W) {
            let mut out = Vec::new();
            for piece in pieces {
                to.write_all(piece).unwrap();
                to.flush().unwrap();
                out.push(take(&mut to));
            }
            (out, to)
        }
        let (mut out, last) = match self {
            Coding::Gzip => {
                let to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                let (out, to) = each(to, pieces, |to| std::mem::take(to.get_mut()));
                (out, to.finish().unwrap())
            }
            Coding::Brotli => {
                let to = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
                let (out, to) = each(to, pieces, |to| std::mem::take(to.get_mut()));
                (out, to.into_inner())
            }
            Coding::Zstd => {
                let to = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
                let (out, to) = each(to, pieces, |to| std::mem::take(to.get_mut()));
                (out, to.finish().unwrap())
            }
        };
        out.push(last);
        out
    }

    /// A scripted answer to this request, packed; one that breaks off does so here too.
    pub(crate) fn answer(self, reaction: Reaction, path: &str, body: &[u8], n: usize) -> Reaction {
        let acts = match reaction {
            Reaction::Entry(entry) => play(&entry, &Got::read(path, body), n),
            Reaction::Acts(acts) => acts,
        };
        let pieces: Vec<&[u8]> = acts
            .iter()
            .filter_map(|act| match act {
                Act::Data(text) => Some(text.as_bytes()),
                Act::Binary(bytes) => Some(bytes.as_slice()),
                _ => None,
            })
            .collect();
        let mut packed = self.pack_all(&pieces).into_iter();
        let mut out: Vec<Act> = Vec::new();
        for act in acts {
            match act {
                Act::Head { status, mut headers } => {
                    headers.retain(|(name, _)| name != "content-length");
                    headers.push(("content-encoding".to_owned(), self.name().to_owned()));
                    out.push(Act::Head { status, headers });
                }
                Act::Data(_) | Act::Binary(_) => out.push(Act::Binary(packed.next().unwrap())),
                Act::End => out.extend([Act::Binary(packed.next().unwrap()), Act::End]),
                other => out.push(other),
            }
        }
        Reaction::Acts(out)
    }
}
