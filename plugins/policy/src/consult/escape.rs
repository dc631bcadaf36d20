//! Texts as the inside of JSON strings.

/// Appends a text, escaped (RFC 8259, 7), as far as it takes no more than `room` bytes; whether that was all of it. What is no
/// UTF-8 is told as U+FFFD.
pub(super) fn push(out: &mut Vec<u8>, text: &[u8], room: usize) -> bool {
    let end = out.len().saturating_add(room);
    if std::str::from_utf8(text).is_ok() {
        return push_valid(out, text, end);
    }
    text.utf8_chunks().all(|chunk| {
        let replacement = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
        push_valid(out, chunk.valid().as_bytes(), end) && push_valid(out, replacement.as_bytes(), end)
    })
}

/// The longest part from the start that is no longer than this and does not end within a character.
pub(super) fn cut(text: &[u8], length: usize) -> &[u8] {
    let is_within = |length: usize| text.get(length).is_some_and(|byte| byte & 0xc0 == 0x80);
    // No character has more than three bytes behind its first.
    let length = (length.saturating_sub(3)..=length).rev().find(|length| !is_within(*length)).unwrap_or(length);
    text.get(..length).unwrap_or(text)
}

fn push_valid(out: &mut Vec<u8>, text: &[u8], end: usize) -> bool {
    let mut rest = text;
    loop {
        let (run, behind) = rest.split_at(plain(rest));
        let room = end.saturating_sub(out.len());
        if run.len() > room {
            out.extend_from_slice(cut(run, room));
            return false;
        }
        out.extend_from_slice(run);
        let Some((byte, behind)) = behind.split_first() else { return true };
        let buffer;
        let escaped: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            control => {
                let digit =
                    |value: u8| if value < 10 { b'0'.wrapping_add(value) } else { b'a'.wrapping_add(value).wrapping_sub(10) };
                buffer = [b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control & 15)];
                &buffer
            }
        };
        if escaped.len() > end.saturating_sub(out.len()) {
            return false;
        }
        out.extend_from_slice(escaped);
        rest = behind;
    }
}

/// How many bytes from the start need no escape.
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = text.as_chunks::<8>();
    let mut count = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        // The lowest bit is exact: a borrow only reaches bytes after one that was found.
        let found = (below | (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash)) & HIGH;
        if found != 0 {
            let bits = usize::try_from(found.trailing_zeros()).unwrap_or_default();
            return count.saturating_add(bits >> 3);
        }
        count = count.saturating_add(8);
    }
    let is_special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    count.saturating_add(rest.iter().position(is_special).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8], room: usize) -> (String, bool) {
        let mut out = Vec::new();
        let is_whole = push(&mut out, text, room);
        (String::from_utf8(out).unwrap(), is_whole)
    }

    #[test]
    fn texts_come_out_as_serde_writes_them() {
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        for start in 0..16 {
            for text in
                [format!("{}{all}{all}", "x".repeat(start)), format!("{}\"", "x".repeat(start)), "é\u{1f600}".repeat(start)]
            {
                let wanted = serde_json::to_string(&text).unwrap();
                assert_eq!(escaped(text.as_bytes(), usize::MAX), (wanted[1..wanted.len() - 1].to_owned(), true), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_told_as_such() {
        assert_eq!(escaped(b"a\xff\"\xe4b", 100), ("a\u{fffd}\\\"\u{fffd}b".to_owned(), true));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, room, wanted, is_whole) in [
            ("abc", 3, "abc", true),
            ("abc", 2, "ab", false),
            ("aé", 3, "aé", true),
            ("aé", 2, "a", false),
            ("\u{1f600}", 3, "", false),
            ("a\"", 2, "a", false),
            ("a\"", 3, "a\\\"", true),
            ("\u{1}", 5, "", false),
            ("\u{1}", 6, "\\u0001", true),
            ("", 0, "", true),
        ] {
            assert_eq!(escaped(text.as_bytes(), room), (wanted.to_owned(), is_whole), "{text} {room}");
        }
        assert_eq!((cut("aé".as_bytes(), 2), cut(b"ab", 2), cut(b"ab", 9)), (&b"a"[..], &b"ab"[..], &b"ab"[..]));
    }
}
