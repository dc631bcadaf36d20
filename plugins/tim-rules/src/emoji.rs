//! What one emoji is (UTS #51, 1.4.9), without letters, digits and keycaps.

use std::{iter::Peekable, str::Chars};

use unicode_properties::emoji::{UnicodeEmoji as _, is_regional_indicator, is_zwj};

const VARIATION: char = '\u{fe0f}';
const END_OF_TAGS: char = '\u{e007f}';
/// Elements of a sequence with joiners: families and kisses have four.
const MAX_JOINED: usize = 4;
/// Characters of the tags of a flag: there are none with more than six.
const MAX_TAGS: usize = 6;

/// Whether a text is exactly one emoji. What is joined counts as one.
pub(crate) fn is_one(text: &str) -> bool {
    let mut characters = text.chars().peekable();
    for _ in 0..MAX_JOINED {
        if !element(&mut characters) {
            return false;
        }
        match characters.next() {
            None => return true,
            Some(character) if is_zwj(character) => {}
            Some(_) => return false,
        }
    }
    false
}

/// Reads a flag, or an emoji with its variation, its skin tone and its tags.
fn element(characters: &mut Peekable<Chars<'_>>) -> bool {
    let Some(first) = characters.next() else { return false };
    if is_regional_indicator(first) {
        return characters.next().is_some_and(is_regional_indicator);
    }
    if first.is_ascii() || !first.is_emoji_char() {
        return false;
    }
    characters.next_if_eq(&VARIATION);
    if characters.next_if(|character| is_skin_tone(*character)).is_some() {
        characters.next_if_eq(&VARIATION);
    }
    let mut tags = 0_usize;
    while characters.next_if(|character| is_tag(*character)).is_some() {
        tags = tags.saturating_add(1);
    }
    tags == 0 || (tags <= MAX_TAGS && characters.next() == Some(END_OF_TAGS))
}

const fn is_skin_tone(character: char) -> bool {
    matches!(character, '\u{1f3fb}'..='\u{1f3ff}')
}

const fn is_tag(character: char) -> bool {
    matches!(character, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_one() {
        for text in [
            "\u{1f600}",                                                                             // grinning face
            "\u{2764}",                                                                              // heavy black heart
            "\u{2764}\u{fe0f}",                                                                      // … as emoji
            "\u{1f44d}\u{1f3fd}",                                                                    // thumbs up, medium skin
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}",                          // family
            "\u{1f469}\u{1f3fb}\u{200d}\u{2764}\u{fe0f}\u{200d}\u{1f48b}\u{200d}\u{1f468}\u{1f3fc}", // kiss
            "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",                                                    // rainbow flag
            "\u{1f1e9}\u{1f1ea}",                                                                    // flag
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",                       // England
            "\u{26f9}\u{fe0f}\u{200d}\u{2640}\u{fe0f}",                                              // woman bouncing ball
            "\u{2705}",                                                                              // check mark
        ] {
            assert!(is_one(text), "{text} {}", text.escape_unicode());
        }
    }

    #[test]
    fn anything_else_is_not() {
        for text in [
            "",
            " ",
            "a",
            "1",
            "#",
            "\u{e4}",
            "ok",
            "+1",
            "\u{1f600}\u{1f600}",
            "\u{1f600} ",
            " \u{1f600}",
            "\u{1f600}a",
            "1\u{fe0f}\u{20e3}",
            "\u{1f1e9}",
            "\u{1f1e9}\u{1f1ea}\u{1f1e9}",
            "\u{1f600}\u{200d}",
            "\u{200d}\u{1f600}",
            "\u{1f600}\u{301}",
            "\u{fe0f}",
            "\u{1f3f4}\u{e0067}\u{e0062}",
            "\u{1f3f4}\u{e0067}\u{e0067}\u{e0067}\u{e0067}\u{e0067}\u{e0067}\u{e0067}\u{e007f}",
            "\u{1f600}\u{200d}\u{1f600}\u{200d}\u{1f600}\u{200d}\u{1f600}\u{200d}\u{1f600}",
            "\u{1f44d}\u{1f3fd}\u{1f3fd}",
            "\u{200b}",
        ] {
            assert!(!is_one(text), "{text} {}", text.escape_unicode());
        }
    }
}
