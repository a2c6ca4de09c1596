//! Decodes bodies with a `Content-Encoding`: gzip, deflate, br, zstd.
//!
//! A request's body is decoded in one piece and within a limit ([`decode`]), a response's as it passes
//! ([`StreamDecoder`]).

use std::borrow::Cow;
use std::io::{self, Read, Write};

use brotli_decompressor::{BrotliDecoderParameter, Decompressor, DecompressorWriter};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

/// A content coding (RFC 9110, section 8.4.1) that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Why a body stays encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncodingError {
    /// A coding is unknown, or there are too many of them.
    Unknown,
    /// The bytes are not of the coding that the header names.
    Invalid,
    /// The decoded body is larger than the limit.
    TooLarge,
}

/// The most codings of one body: each may cost as much as the limit allows.
const MAX_CODINGS: usize = 4;
/// The largest window of a zstd frame, in bytes (RFC 9659, section 3).
const MAX_ZSTD_WINDOW: u64 = 8 << 20;
/// The brotli decoders' buffer, in bytes.
const BROTLI_BUFFER: usize = 4096;

/// The codings of a body, the last one applied first: the order in which they are decoded. Empty for a plain body.
pub(crate) fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, EncodingError> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().map_err(|_| EncodingError::Unknown)?;
        for name in names.split(',') {
            codings.push(match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(EncodingError::Unknown),
            });
        }
    }
    if codings.len() > MAX_CODINGS {
        return Err(EncodingError::Unknown);
    }
    codings.reverse();
    Ok(codings)
}

/// Decodes `codings` one after another. No step may yield more than `limit` bytes, so that memory and time stay bounded
/// whatever the bytes claim to hold.
pub(crate) fn decode<'a>(body: &'a [u8], codings: &[Coding], limit: usize) -> Result<Cow<'a, [u8]>, EncodingError> {
    codings.iter().try_fold(Cow::Borrowed(body), |body, coding| Ok(Cow::Owned(decode_one(*coding, &body, limit)?)))
}

fn decode_one(coding: Coding, body: &[u8], limit: usize) -> Result<Vec<u8>, EncodingError> {
    let mut decoded = Vec::new();
    match coding {
        Coding::Gzip => drain(MultiGzDecoder::new(body), &mut decoded, limit)?,
        Coding::Deflate => {
            let mut zlib = ZlibDecoder::new(body);
            match drain(&mut zlib, &mut decoded, limit) {
                Ok(()) if zlib.into_inner().is_empty() => {}
                Err(EncodingError::TooLarge) => return Err(EncodingError::TooLarge),
                // Some senders leave out the zlib wrapper that RFC 9110 requires.
                _ => {
                    decoded.clear();
                    let mut raw = DeflateDecoder::new(body);
                    drain(&mut raw, &mut decoded, limit)?;
                    ensure_empty(raw.into_inner())?;
                }
            }
        }
        Coding::Brotli => {
            let mut brotli = Decompressor::new(body, BROTLI_BUFFER);
            // Windows of up to 1 GiB are an extension that `br` does not include.
            brotli.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
            drain(&mut brotli, &mut decoded, limit)?;
            ensure_empty(brotli.get_ref())?;
        }
        Coding::Zstd => decode_zstd(body, &mut decoded, limit)?,
    }
    Ok(decoded)
}

/// Decodes frame after frame; skippable frames hold no content (RFC 8878, section 3.1).
fn decode_zstd(mut body: &[u8], decoded: &mut Vec<u8>, limit: usize) -> Result<(), EncodingError> {
    while !body.is_empty() {
        let mut frame = match StreamingDecoder::new_with_max_window_size(&mut body, MAX_ZSTD_WINDOW) {
            Ok(frame) => frame,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                body = body.get(length as usize..).ok_or(EncodingError::Invalid)?;
                continue;
            }
            Err(_) => return Err(EncodingError::Invalid),
        };
        drain(&mut frame, decoded, limit)?;
        let frame = frame.into_frame_decoder();
        let checksum = frame.get_checksum_from_data();
        if checksum.is_some() && checksum != frame.get_calculated_checksum() {
            return Err(EncodingError::Invalid);
        }
    }
    Ok(())
}

/// Appends all of `reader` to `decoded`, which may grow to `limit` bytes.
fn drain(reader: impl Read, decoded: &mut Vec<u8>, limit: usize) -> Result<(), EncodingError> {
    let left = limit - decoded.len();
    // One byte more than allowed tells a body of just that length from a longer one.
    let read = reader.take(left as u64 + 1).read_to_end(decoded);
    if decoded.len() > limit {
        return Err(EncodingError::TooLarge);
    }
    read.map(drop).map_err(|_| EncodingError::Invalid)
}

fn ensure_empty(rest: &[u8]) -> Result<(), EncodingError> {
    if rest.is_empty() { Ok(()) } else { Err(EncodingError::Invalid) }
}

/// Decodes a body that arrives in pieces, and hands each on to a writer at once. Keeps no more than a window of it.
pub(crate) enum StreamDecoder<W: Write> {
    Plain(W),
    Gzip(Box<write::MultiGzDecoder<W>>),
    Deflate(Box<write::ZlibDecoder<W>>),
    Brotli(Box<DecompressorWriter<W>>),
}

impl<W: Write> StreamDecoder<W> {
    /// A decoder for a body with these headers. `None` for zstd, several codings, and unknown ones.
    pub(crate) fn new(headers: &HeaderMap, writer: W) -> Option<Self> {
        match codings(headers).ok()?[..] {
            [] => Some(Self::Plain(writer)),
            [Coding::Gzip] => Some(Self::Gzip(Box::new(write::MultiGzDecoder::new(writer)))),
            [Coding::Deflate] => Some(Self::Deflate(Box::new(write::ZlibDecoder::new(writer)))),
            [Coding::Brotli] => Some(Self::Brotli(Box::new(DecompressorWriter::new(writer, BROTLI_BUFFER)))),
            _ => None,
        }
    }

    /// Decodes the next piece.
    ///
    /// # Errors
    /// The bytes are not of the coding, or the writer fails.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.write_all(piece),
            Self::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(piece),
        }
    }

    /// The writer.
    pub(crate) fn get_mut(&mut self) -> &mut W {
        match self {
            Self::Plain(writer) => writer,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    const LIMIT: usize = 1 << 20;
    /// 300 times `lopper `, as Google's encoder writes it at quality 5.
    pub const BROTLI: &[u8] = b"\x1b\x33\x08\x00\x04\x36\xc6\xd6\xf5\x9f\x5e\x90\x14\xb6\x45\xf2\xfc\x4e\x73\x00";

    pub fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    pub fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    pub fn raw_deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    pub fn zstd(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    /// Brotli meta-blocks that hold their bytes as they are (RFC 7932, section 9.2).
    fn brotli(text: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        for (at, block) in text.chunks(1 << 16).enumerate() {
            // ISLAST 0, MNIBBLES 4, MLEN - 1, ISUNCOMPRESSED 1; the window size (16 bits) stands before the first.
            let header = ((block.len() as u32 - 1) << 3) | 1 << 19;
            let header = if at == 0 { header << 1 } else { header };
            encoded.extend_from_slice(&header.to_le_bytes()[..3]);
            encoded.extend_from_slice(block);
        }
        // ISLAST 1, ISLASTEMPTY 1; an empty text has the window size here.
        encoded.push(if text.is_empty() { 0b110 } else { 0b11 });
        encoded
    }

    pub type Encode = fn(&[u8]) -> Vec<u8>;
    const ALL: [(Coding, Encode); 5] = [
        (Coding::Gzip, gzip),
        (Coding::Deflate, zlib),
        (Coding::Deflate, raw_deflate),
        (Coding::Brotli, brotli),
        (Coding::Zstd, zstd),
    ];

    #[test]
    fn headers_name_codings_in_the_order_of_their_making() {
        let named = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
            }
            codings(&headers)
        };
        assert_eq!(named(&[]), Ok(vec![]));
        assert_eq!(named(&["identity, "]), Ok(vec![]));
        assert_eq!(named(&["GZip, br", "zstd"]), Ok(vec![Coding::Zstd, Coding::Brotli, Coding::Gzip]));
        assert_eq!(named(&["deflate", "x-gzip"]), Ok(vec![Coding::Gzip, Coding::Deflate]));
        for unknown in ["compress", "gzip, exi", "aws-chunked", "gzip, gzip, gzip, gzip, gzip"] {
            assert_eq!(named(&[unknown]), Err(EncodingError::Unknown), "{unknown}");
        }
    }

    #[test]
    fn the_limit_is_the_decoded_length() {
        let text = vec![b'x'; 200_000];
        for (coding, encode) in ALL {
            let encoded = encode(&text);
            assert_eq!(decode(&encoded, &[coding], 200_000).unwrap(), &text[..], "{coding:?}");
            assert_eq!(decode(&encoded, &[coding], 199_999), Err(EncodingError::TooLarge), "{coding:?}");
        }
        assert_eq!(decode(&gzip(&gzip(&text)), &[Coding::Gzip; 2], 199_999), Err(EncodingError::TooLarge));
    }

    #[test]
    fn a_bomb_inside_a_bomb_is_stopped_at_the_limit() {
        // Ten megabytes of empty gzip members: they decode to nothing, but on the way there is that much.
        let members = gzip(b"").repeat(500_000);
        let bomb = gzip(&members);
        assert!(bomb.len() < members.len() / 100);
        assert_eq!(decode(&bomb, &[Coding::Gzip; 2], LIMIT), Err(EncodingError::TooLarge));
    }

    #[test]
    fn what_a_real_brotli_encoder_wrote() {
        assert_eq!(decode(BROTLI, &[Coding::Brotli], LIMIT).unwrap(), "lopper ".repeat(300).as_bytes());
    }

    #[test]
    fn zstd_may_have_several_frames_and_frames_to_skip() {
        let mut encoded = zstd(b"one ");
        encoded.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
        encoded.extend_from_slice(&zstd(b"two"));
        assert_eq!(decode(&encoded, &[Coding::Zstd], LIMIT).unwrap(), &b"one two"[..]);
        encoded.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decode(&encoded, &[Coding::Zstd], LIMIT), Err(EncodingError::Invalid));
        // A window of 2 GiB in a frame of a few bytes.
        let greedy = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert_eq!(decode(&greedy, &[Coding::Zstd], LIMIT), Err(EncodingError::Invalid));
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a')], 0..3000), which in prop::collection::vec(0..ALL.len(), 0..3)) {
            let mut encoded = text.clone();
            for &at in &which {
                encoded = ALL[at].1(&encoded);
            }
            let codings: Vec<Coding> = which.iter().rev().map(|&at| ALL[at].0).collect();
            let decoded = decode(&encoded, &codings, LIMIT);
            prop_assert_eq!(decoded.as_deref(), Ok(&text[..]));
        }

        #[test]
        fn broken_bytes_are_no_panic(text in "[a-z ]{0,300}", which in 0..ALL.len(), cut: prop::sample::Index, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let (coding, encode) = ALL[which];
            let mut encoded = encode(text.as_bytes());
            let whole = encoded.len();
            encoded.truncate(cut.index(whole + 1));
            // Cut off, it never counts as whole; but no bytes at all are an empty body.
            if !encoded.is_empty() && encoded.len() < whole {
                prop_assert_eq!(decode(&encoded, &[coding], LIMIT), Err(EncodingError::Invalid));
            }
            let flips = if encoded.is_empty() { Vec::new() } else { flips };
            for (at, value) in flips {
                let at = at.index(encoded.len());
                encoded[at] = value;
            }
            let _ = decode(&encoded, &[coding], LIMIT);
        }
    }
}
