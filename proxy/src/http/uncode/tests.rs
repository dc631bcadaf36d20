//! Codings off piece by piece, whatever the pieces.

use super::*;

const TEXT: &[u8] = b"and so on, and so on, and so on, until it ends";

fn coded(coding: &str, data: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(data).expect("gzip");
            encoder.finish().expect("gzip")
        }
        "zlib" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(data).expect("zlib");
            encoder.finish().expect("zlib")
        }
        "raw" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(data).expect("deflate");
            encoder.finish().expect("deflate")
        }
        "br" => {
            let mut out = Vec::new();
            brotli::BrotliCompress(&mut &data[..], &mut out, &brotli::enc::BrotliEncoderParams::default()).expect("br");
            out
        }
        _ => zstd::encode_all(data, 3).expect("zstd"),
    }
}

const CODINGS: [(&str, Coding); 5] =
    [("gzip", Coding::Gzip), ("zlib", Coding::Deflate), ("raw", Coding::Deflate), ("br", Coding::Brotli), ("zstd", Coding::Zstd)];

fn uncode(codings: &[Coding], body: &[u8], piece: usize) -> io::Result<Vec<u8>> {
    let mut uncoder = Uncoder::new(codings)?;
    let mut plain = Vec::new();
    for piece in body.chunks(piece) {
        plain.extend(uncoder.push(piece, 1 << 20)?);
    }
    plain.extend(uncoder.end(1 << 20)?);
    Ok(plain)
}

#[test]
fn every_coding_comes_off_whatever_the_pieces() {
    for (name, coding) in CODINGS {
        for piece in [1, 2, 7, 1_000] {
            assert_eq!(uncode(&[coding], &coded(name, TEXT), piece).expect(name), TEXT, "{name} by {piece}");
        }
        assert!(uncode(&[coding], b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", 3).is_err(), "{name}");
        assert_eq!(uncode(&[coding], b"", 1).expect(name), b"", "{name}");
    }
}

#[test]
fn stacked_codings_come_off_last_first() {
    let body = coded("zstd", &coded("gzip", TEXT));
    assert_eq!(uncode(&[Coding::Gzip, Coding::Zstd], &body, 3).expect("plain"), TEXT);
}

#[test]
fn members_of_gzip_follow_each_other() {
    let body = [coded("gzip", TEXT), coded("gzip", b"!")].concat();
    for piece in [1, 5, 1_000] {
        assert_eq!(uncode(&[Coding::Gzip], &body, piece).expect("plain"), [TEXT, b"!"].concat(), "{piece}");
    }
}

#[test]
fn a_flushed_part_is_plain_at_once() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"data: 1\n\n").expect("gzip");
    encoder.flush().expect("gzip");
    let part = mem::take(encoder.get_mut());
    assert_eq!(Uncoder::new(&[Coding::Gzip]).expect("a decoder").push(&part, 100).expect("plain"), b"data: 1\n\n");
}

/// Bytes that hardly shrink, so that they are in more than one block.
fn noise(size: u32) -> Vec<u8> {
    (0..size).map(|place| place.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

#[test]
fn cut_bodies_are_broken_whatever_the_pieces() {
    for (name, coding) in CODINGS {
        for plain in [TEXT.to_vec(), noise(100_000)] {
            let body = coded(name, &plain);
            for piece in [1, 9, 4_096] {
                for left in [1, 2, 5, body.len() / 2, body.len() - 5, body.len() - 2, body.len() - 1] {
                    assert!(uncode(&[coding], &body[..left], piece).is_err(), "{name}: {left} of {} by {piece}", body.len());
                }
                assert!(uncode(&[coding], &body, piece).expect(name) == plain, "{name} by {piece}");
            }
        }
    }
}

#[test]
fn what_follows_the_end_is_broken_unless_it_is_another() {
    for (name, coding) in CODINGS {
        for plain in [TEXT.to_vec(), noise(100_000)] {
            let body = coded(name, &plain);
            for piece in [1, 9, 4_096, 1 << 20] {
                for tail in [&[0][..], &[0; 20], b"garbage", &[0x1f], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f]] {
                    assert!(uncode(&[coding], &[&body, tail].concat(), piece).is_err(), "{name} and {tail:?} by {piece}");
                }
                let twice = uncode(&[coding], &body.repeat(2), piece);
                if matches!(name, "gzip" | "zstd") {
                    assert!(twice.expect(name) == plain.repeat(2), "{name} by {piece}");
                    let cut = [&body, &body[..body.len() - 1]].concat();
                    assert!(uncode(&[coding], &cut, piece).is_err(), "{name} by {piece}");
                } else {
                    assert!(twice.is_err(), "{name} by {piece}");
                }
            }
        }
    }
}

#[test]
fn room_holds_below_at_above() {
    for (name, coding) in CODINGS {
        let body = coded(name, &vec![0; 100_000]);
        for (room, is_enough) in [(99_999, false), (100_000, true), (100_001, true)] {
            let mut uncoder = Uncoder::new(&[coding]).expect("a decoder");
            let plain = uncoder.push(&body, room).and_then(|plain| Ok([plain, uncoder.end(room)?].concat()));
            match plain {
                Ok(plain) => assert!(is_enough && plain.len() == 100_000, "{name} {room}: {}", plain.len()),
                Err(error) => assert_eq!((is_enough, error.kind()), (false, io::ErrorKind::FileTooLarge), "{name} {room}"),
            }
        }
    }
}

#[test]
fn stacked_bombs_find_no_room() {
    let bomb = coded("gzip", &coded("gzip", &vec![0; 50_000_000]));
    let error = Uncoder::new(&[Coding::Gzip, Coding::Gzip]).expect("a decoder").push(&bomb, 1 << 20).expect_err("a bomb");
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn brotli_windows_stay_small() {
    assert!(uncode(&[Coding::Brotli], &[0x11, 0x1e, 0x00, 0x03], 1).is_err());
}
