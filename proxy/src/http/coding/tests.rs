//! Codings off and on, and what bombs come to.

use std::io::Write as _;

use super::*;
use crate::http::Field;

const NO_CAP: Bounds = Bounds { cap: 1000, ratio: 200 };

const fn capped(cap: usize) -> Bounds {
    Bounds { cap, ratio: 10_000 }
}

const TEXT: &[u8] = b"{\"versions\":[\"v1.1\",\"v1.2\"]} and so on and so on and so on";

fn encode(coding: &str, data: &[u8]) -> Vec<u8> {
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

#[test]
fn every_coding_comes_off() {
    for (name, coding) in [
        ("gzip", Coding::Gzip),
        ("zlib", Coding::Deflate),
        ("raw", Coding::Deflate),
        ("br", Coding::Brotli),
        ("zstd", Coding::Zstd),
    ] {
        assert_eq!(decode(&[coding], &encode(name, TEXT), NO_CAP), Uncoded::Whole(TEXT.to_vec()), "{name}");
        assert_eq!(decode(&[coding], b"\xff\xfe\xfd\xfc\xfb\xfa", NO_CAP), Uncoded::Broken(Vec::new()), "{name}");
        assert_eq!(decode(&[coding], b"", NO_CAP), Uncoded::Whole(Vec::new()), "{name}");
    }
}

#[test]
fn stacked_codings_come_off_last_first() {
    let body = encode("br", &encode("gzip", TEXT));
    assert_eq!(decode(&[Coding::Gzip, Coding::Brotli], &body, NO_CAP), Uncoded::Whole(TEXT.to_vec()));
}

#[test]
fn the_cap_holds_below_at_above() {
    let body = encode("gzip", TEXT);
    assert_eq!(decode(&[Coding::Gzip], &body, capped(TEXT.len() + 1)), Uncoded::Whole(TEXT.to_vec()));
    assert_eq!(decode(&[Coding::Gzip], &body, capped(TEXT.len())), Uncoded::Whole(TEXT.to_vec()));
    assert_eq!(decode(&[Coding::Gzip], &body, capped(TEXT.len() - 1)), Uncoded::OverCap(TEXT[..TEXT.len() - 1].to_vec()));
}

#[test]
fn bombs_end_at_the_cap() {
    let bomb = encode("gzip", &vec![0; 50_000_000]);
    assert_eq!(decode(&[Coding::Gzip], &bomb, capped(1000)), Uncoded::OverCap(vec![0; 1000]));
}

#[test]
fn unknown_codings_are_told() {
    let of = |value: &'static str| codings(&[Field::from_static("Content-Encoding", value)].into_iter().collect());
    assert_eq!(of("GZIP, br"), Ok(vec![Coding::Gzip, Coding::Brotli]));
    assert_eq!(of("identity"), Ok(vec![]));
    assert_eq!(of("compress"), Err(Stays::Unknown));
    assert_eq!(of("gzip,gzip,gzip,gzip").map(|codings| codings.len()), Ok(4));
    assert_eq!(of("gzip,gzip,gzip,gzip,gzip"), Err(Stays::TooMany));
}

#[test]
fn what_is_put_on_comes_off() {
    for coding in Coding::ALL {
        for text in [&b""[..], TEXT, &vec![7; 300_000]] {
            let coded = encode::encode(coding, text).expect("coded");
            let decoded = decode(&[coding], &coded, Bounds { cap: 1 << 20, ratio: usize::MAX });
            assert!(decoded == Uncoded::Whole(text.to_vec()), "{coding:?}, {} bytes", text.len());
        }
    }
}

#[test]
fn the_ratio_holds_below_at_above() {
    for name in ["gzip", "zlib", "raw", "br", "zstd"] {
        let coding = match name {
            "gzip" => Coding::Gzip,
            "zlib" | "raw" => Coding::Deflate,
            "br" => Coding::Brotli,
            _ => Coding::Zstd,
        };
        // Noise, so that there is enough of it coded; and zeros, so that it grows.
        let noise: Vec<u8> = (0..40_000_u32).map(|place| place.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        let plain = [noise, vec![0; 2_000_000]].concat();
        let body = encode(name, &plain);
        let ratio = plain.len() / body.len();
        let of = |ratio| decode(&[coding], &body, Bounds { cap: 10 << 20, ratio });
        assert!(of(ratio + 1) == Uncoded::Whole(plain.clone()), "{name}");
        for ratio in [ratio - 1, ratio] {
            let limit = body.len() * ratio;
            let is_exact = limit == plain.len();
            let expected = if is_exact { Uncoded::Whole(plain.clone()) } else { Uncoded::OverCap(plain[..limit].to_vec()) };
            assert!(of(ratio) == expected, "{name} {ratio}");
        }
    }
}

#[test]
fn small_bodies_may_grow_to_the_floor() {
    for (size, is_whole) in [(65_535, true), (65_536, true), (65_537, false)] {
        let body = encode("gzip", &vec![0; size]);
        let expected = if is_whole { Uncoded::Whole(vec![0; size]) } else { Uncoded::OverCap(vec![0; 65_536]) };
        assert!(decode(&[Coding::Gzip], &body, Bounds { cap: 1 << 20, ratio: 1 }) == expected, "{size}");
    }
}

#[test]
fn stacked_bombs_end_at_the_ratio() {
    let once = encode("gzip", &vec![0; 50_000_000]);
    let bomb = encode("zstd", &once);
    let decoded = decode(&[Coding::Gzip, Coding::Zstd], &bomb, Bounds { cap: 10 << 20, ratio: 200 });
    assert!(decoded == Uncoded::OverCap(vec![0; (bomb.len() * 200).clamp(65_536, 10 << 20)]));
}

#[test]
fn bombs_that_come_to_nothing_end_too() {
    // A gibibyte of empty gzip members, each of which is whole and holds nothing.
    let nothing = encode("gzip", b"").repeat(1 << 20);
    let bomb = encode("zstd", &nothing);
    let decoded = decode(&[Coding::Gzip, Coding::Zstd], &bomb, Bounds { cap: 100_000, ratio: 200 });
    assert_eq!(decoded, Uncoded::OverCap(Vec::new()));
}

#[test]
fn brotli_windows_stay_small() {
    // What begins like this has a window of up to 2^62 bytes.
    assert_eq!(decode(&[Coding::Brotli], &[0x11, 0x1e, 0x00, 0x03], NO_CAP), Uncoded::Broken(Vec::new()));
}

#[test]
fn room_is_bounded_by_the_limit() {
    let body = encode("gzip", &vec![1; 3_000_000]);
    for cap in [1_000_000, 2_999_999, 3_000_000] {
        let (Uncoded::Whole(plain) | Uncoded::OverCap(plain)) = decode(&[Coding::Gzip], &body, capped(cap)) else {
            panic!("broken");
        };
        assert!(plain.len() <= cap && plain.capacity() <= cap + 1, "{}", plain.capacity());
    }
}

/// Bytes that hardly shrink, so that what is cut of them is not all in one block.
fn noise(size: u32) -> Vec<u8> {
    (0..size).map(|place| place.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

const WAYS: [(&str, Coding); 5] =
    [("gzip", Coding::Gzip), ("zlib", Coding::Deflate), ("raw", Coding::Deflate), ("br", Coding::Brotli), ("zstd", Coding::Zstd)];

#[test]
fn cut_bodies_are_broken() {
    let bounds = Bounds { cap: 1 << 20, ratio: usize::MAX };
    for (name, coding) in WAYS {
        for plain in [TEXT.to_vec(), noise(100_000)] {
            let body = encode(name, &plain);
            for left in [1, 2, 5, body.len() / 2, body.len() - 5, body.len() - 2, body.len() - 1] {
                let Uncoded::Broken(begun) = decode(&[coding], &body[..left], bounds) else {
                    panic!("{name}: {left} of {} bytes are taken for all", body.len());
                };
                assert!(plain.starts_with(&begun), "{name} {left}");
            }
            assert!(decode(&[coding], &body, bounds) == Uncoded::Whole(plain), "{name}");
        }
    }
}

#[test]
fn what_follows_the_end_is_broken_unless_it_is_another() {
    let bounds = Bounds { cap: 1 << 20, ratio: usize::MAX };
    for (name, coding) in WAYS {
        for plain in [TEXT.to_vec(), noise(100_000)] {
            let body = encode(name, &plain);
            for tail in [&[0][..], &[0; 20], b"garbage", &[0x1f], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f]] {
                let with_tail = [&body, tail].concat();
                assert!(matches!(decode(&[coding], &with_tail, bounds), Uncoded::Broken(_)), "{name} and {tail:?}");
            }
            let twice = decode(&[coding], &body.repeat(2), bounds);
            if matches!(name, "gzip" | "zstd") {
                assert!(twice == Uncoded::Whole(plain.repeat(2)), "{name}");
                let cut = [&body, &body[..body.len() - 1]].concat();
                assert!(matches!(decode(&[coding], &cut, bounds), Uncoded::Broken(_)), "{name}");
            } else {
                assert!(matches!(twice, Uncoded::Broken(_)), "{name}");
            }
        }
    }
}
