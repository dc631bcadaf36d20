//! UTF-8 that comes in pieces.

/// Checks text as it comes: what cannot become UTF-8 any more is found with the byte that makes it so.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The beginning of a character.
    begun: [u8; 4],
    length: usize,
}

impl Text {
    /// Whether all so far is the beginning of UTF-8.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        while self.length > 0 {
            let Some((first, rest)) = bytes.split_first() else { return true };
            let Some(place) = self.begun.get_mut(self.length) else { return false };
            *place = *first;
            (bytes, self.length) = (rest, self.length + 1);
            match std::str::from_utf8(self.begun.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let rest = bytes.get(error.valid_up_to()..).unwrap_or_default();
                let Some(begun) = self.begun.get_mut(..rest.len()) else { return false };
                begun.copy_from_slice(rest);
                self.length = rest.len();
                true
            }
        }
    }

    /// Whether no character is left half.
    pub(super) const fn is_whole(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_be_cut_anywhere() {
        let text = "aéκ€😀z".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut checker = Text::default();
                assert!(checker.push(&text[..first]) && checker.push(&text[first..second]) && checker.push(&text[second..]));
                assert!(checker.is_whole());
            }
        }
    }

    #[test]
    fn what_is_not_utf8_is_found_at_its_first_byte() {
        for (bytes, good) in [
            (&b"a\x80"[..], 1),
            (b"\xc0\x80", 0),
            (b"\xe0\x80\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5\x80\x80\x80", 0),
            (b"\xe2\x82a", 2),
        ] {
            let mut checker = Text::default();
            let taken = bytes.iter().take_while(|byte| checker.push(&[**byte])).count();
            assert_eq!(taken, good, "{bytes:x?}");
            assert!(!Text::default().push(bytes), "{bytes:x?}");
        }
        let mut checker = Text::default();
        assert!(checker.push(b"\xe2\x82") && !checker.is_whole());
    }
}
