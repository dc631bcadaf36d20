//! What else servers may read in a path.

use std::borrow::Cow;

use super::path::{Segments, before, decoded, has_dots, is_slash};

/// What a server makes of a path. Those behind it may make more of it, and no less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each says yes or no to another question")]
struct Way {
    /// Empty segments count for nothing.
    drops: bool,
    /// So does what comes after `;`.
    strips: bool,
    /// What is encoded for a slash ends a segment, and so does `\\`.
    splits: bool,
    /// Which dot segments are resolved (RFC 3986, 5.2.4).
    dots: Dots,
    /// What is a dot segment only without its parameters is taken for `.`.
    skips: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Dots {
    Left,
    /// Those that are not encoded.
    Written,
    All,
}

/// A segment, decoded.
#[derive(Debug, Clone, Copy)]
struct Piece<'a> {
    text: &'a [u8],
    /// Bytes before a `;`.
    bare: usize,
    /// Whether it was written as it is.
    is_written: bool,
}

/// Segments of a path that can be read in several ways; of longer ones it is not asked what they may be.
const MAX: usize = 128;

/// Whether this holds for what a server may read in the path, other than what is written; of what is longer than [`MAX`] segments
/// it is taken to. It is told, too, whether the reading takes what is encoded for a slash, without making dot segments of it.
pub(super) fn any(path: &[u8], mut holds: impl FnMut(&Segments<'_>, bool) -> bool) -> bool {
    let Some(path) = path.strip_prefix(b"/") else { return false };
    let segments = || path.split(|&byte| byte == b'/');
    let is_hollow = path.starts_with(b"/") || path.windows(2).any(|pair| pair == b"//");
    let is_odd = |segment: &[u8]| {
        let text = decoded(segment);
        has_dots(&text) || text.iter().any(|&byte| is_slash(byte) || byte == b';')
    };
    if !is_hollow && !segments().any(is_odd) {
        return false;
    }
    let texts: Vec<Cow<'_, [u8]>> = segments().map(decoded).collect();
    if texts.iter().map(|text| 1 + text.iter().filter(|&&byte| is_slash(byte)).count()).sum::<usize>() > MAX {
        return true;
    }
    let pieces: Vec<Piece<'_>> = texts
        .iter()
        .zip(segments())
        .map(|(text, segment)| Piece { text, bare: decoded(before(segment)).len(), is_written: **text == *segment })
        .collect();
    // Where a slash is encoded, that only matters for where it leads, unless it makes dot segments.
    let is_deep = pieces.iter().any(|piece| has_dots(piece.text)) || path.contains(&b'\\');
    let ways = ways(&pieces);
    ways.iter().any(|early| {
        let first = early.read(&pieces);
        ways.iter().filter(|late| late.goes_on_from(*early)).any(|late| {
            let is_loose = late.splits && !is_deep;
            let read = if late == early { None } else { Some(late.read(&first)) };
            let pieces = read.as_ref().unwrap_or(&first);
            holds(&Segments(pieces.iter().map(|piece| Cow::Borrowed(piece.text)).collect()), is_loose)
        })
    })
}

/// All ways that make a difference.
fn ways(pieces: &[Piece<'_>]) -> Vec<Way> {
    let either = |differs: bool| if differs { &[false, true][..] } else { &[false] };
    let has = |byte: fn(u8) -> bool| pieces.iter().any(|piece| piece.text.iter().any(|&found| byte(found)));
    let (has_slash, has_parameters) = (has(is_slash), has(|byte| byte == b';'));
    let has_dots = pieces.iter().any(|piece| has_dots(piece.text));
    let dots: &[Dots] = match has_dots {
        false => &[Dots::Left],
        true if pieces.iter().all(|piece| piece.is_written) => &[Dots::Left, Dots::All],
        true => &[Dots::Left, Dots::Written, Dots::All],
    };
    let has_empty = has_slash || has_parameters || pieces.iter().any(|piece| piece.text.is_empty());
    let mut all = Vec::new();
    for &drops in either(has_empty) {
        for &strips in either(has_parameters) {
            for &splits in either(has_slash || has_parameters) {
                for &dots in dots {
                    for &skips in either(strips && dots != Dots::Left) {
                        all.push(Way { drops, strips, splits, dots, skips });
                    }
                }
            }
        }
    }
    all
}

impl Way {
    fn goes_on_from(self, early: Self) -> bool {
        self.drops >= early.drops
            && self.strips >= early.strips
            && self.splits >= early.splits
            && self.dots >= early.dots
            && (!early.strips || self.skips == early.skips)
    }

    fn read<'a>(self, pieces: &[Piece<'a>]) -> Vec<Piece<'a>> {
        let (mut kept, mut is_open) = (Vec::with_capacity(pieces.len()), false);
        for piece in pieces.iter().flat_map(|piece| self.split(*piece)) {
            let bare = if self.strips { piece.stripped() } else { piece };
            is_open = true;
            match bare.text {
                b"" if self.drops => {}
                b"." | b".." if self.resolves(bare) => {
                    let is_skipped = self.skips && bare.text.len() < piece.text.len();
                    if bare.text == b".." && !is_skipped {
                        kept.pop();
                    }
                }
                _ => {
                    kept.push(bare);
                    is_open = false;
                }
            }
        }
        if is_open {
            kept.push(Piece { text: b"", bare: 0, is_written: true });
        }
        kept
    }

    fn split(self, piece: Piece<'_>) -> impl Iterator<Item = Piece<'_>> {
        let whole = (!self.splits).then_some(piece);
        let parts = self.splits.then(|| piece.text.split(|&byte| is_slash(byte)));
        // Who decodes first finds parameters that were encoded, too.
        let part = move |text| Piece { text, bare: before(text).len(), is_written: piece.is_written };
        whole.into_iter().chain(parts.into_iter().flatten().map(part))
    }

    fn resolves(self, piece: Piece<'_>) -> bool {
        match self.dots {
            Dots::Left => false,
            Dots::Written => piece.is_written,
            Dots::All => true,
        }
    }
}

impl Piece<'_> {
    fn stripped(self) -> Self {
        Self { text: self.text.get(..self.bare).unwrap_or(self.text), ..self }
    }
}
