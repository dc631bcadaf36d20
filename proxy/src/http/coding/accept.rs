//! Which coding a client takes (RFC 9110, 12.5.3).

use super::Coding;
use crate::http::Headers;

/// The last of `codings` that a client takes, by its Accept-Encoding fields. None: it is sent no coding.
///
/// A client that refuses even that (`identity;q=0`) gets whatever it likes best of what can be made. One without the field gets
/// no coding: it would have to take any, but may well not know it.
#[must_use]
pub fn choose(accept: &Headers, codings: &[Coding]) -> Option<Coding> {
    let wishes: Vec<Wish> = accept.list("accept-encoding").map(Wish::parse).collect();
    if wishes.is_empty() {
        return None;
    }
    if let Some(coding) = codings.iter().rev().find(|coding| weight(&wishes, **coding) > 0) {
        return Some(*coding);
    }
    let takes_plain = of(&wishes, |name| name == b"identity").or_else(|| of(&wishes, |name| name == b"*"));
    if takes_plain != Some(0) {
        return None;
    }
    let mut best: Option<(Coding, u16)> = None;
    for coding in Coding::ALL {
        let weight = weight(&wishes, coding);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

struct Wish {
    /// In lower case.
    name: Vec<u8>,
    /// In thousandths.
    weight: u16,
}

impl Wish {
    fn parse(text: &[u8]) -> Self {
        let mut parts = text.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.next().map_or(1000, |part| quality(part).unwrap_or(0));
        Self { name, weight }
    }
}

/// `q=0.5` in thousandths (RFC 9110, 12.4.2).
fn quality(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let value = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?;
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

fn weight(wishes: &[Wish], coding: Coding) -> u16 {
    let named = of(wishes, |name| Coding::named(name) == Some(coding));
    named.or_else(|| of(wishes, |name| name == b"*")).unwrap_or(0)
}

/// Weight of the first that fits.
fn of(wishes: &[Wish], fits: impl Fn(&[u8]) -> bool) -> Option<u16> {
    wishes.iter().find(|wish| fits(&wish.name)).map(|wish| wish.weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Field;

    fn chosen(accept: &'static str, codings: &[Coding]) -> Option<Coding> {
        choose(&[Field::from_static("Accept-Encoding", accept)].into_iter().collect(), codings)
    }

    #[test]
    fn last_coding_that_is_taken_counts() {
        use Coding::{Brotli, Deflate, Gzip, Zstd};
        for (accept, codings, expected) in [
            ("gzip", &[Gzip][..], Some(Gzip)),
            ("X-GZip", &[Gzip], Some(Gzip)),
            ("gzip, br", &[Gzip, Brotli], Some(Brotli)),
            ("gzip", &[Gzip, Brotli], Some(Gzip)),
            ("deflate ; q=0.001", &[Deflate], Some(Deflate)),
            ("gzip;q=0", &[Gzip], None),
            ("gzip;q=0.000, *", &[Gzip], None),
            ("*", &[Zstd], Some(Zstd)),
            ("*;q=0", &[Gzip], None),
            ("br;q=1, *;q=0", &[Gzip, Brotli], Some(Brotli)),
            ("identity", &[Gzip], None),
            ("", &[Gzip], None),
            ("gzip;q=1.5", &[Gzip], None),
            ("gzip;q=half", &[Gzip], None),
            ("gzip;q=0.1234", &[Gzip], None),
        ] {
            assert_eq!(chosen(accept, codings), expected, "{accept:?} {codings:?}");
        }
        assert_eq!(choose(&Headers::new(), &[Gzip]), None);
    }

    #[test]
    fn refused_identity_gives_way_to_the_best() {
        for (accept, expected) in [
            ("identity;q=0, br;q=0.5, zstd;q=0.8", Some(Coding::Zstd)),
            ("*;q=0, deflate", Some(Coding::Deflate)),
            ("identity;q=0, *;q=0.5", Some(Coding::Gzip)),
            ("identity;q=0", None),
            ("*;q=0, identity;q=0.1", None),
        ] {
            assert_eq!(chosen(accept, &[]), expected, "{accept}");
        }
    }
}
