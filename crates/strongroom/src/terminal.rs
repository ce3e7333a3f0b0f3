//! What others wrote, on somebody's terminal.

use std::borrow::Cow;

/// Text in which nothing acts on a terminal: keys of objects and descriptions of tokens come from whoever may write them, and are read
/// by administrators. What would move the cursor, colour, begin a line or turn the direction of writing is written out instead.
/// Programs get what is meant with `--json`.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match acts(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that change the order in which letters are shown (Unicode Standard Annex 9, §2).
fn acts(letter: char) -> bool {
    const ORDER: [std::ops::RangeInclusive<char>; 4] =
        ['\u{61c}'..='\u{61c}', '\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    letter.is_control() || ORDER.iter().any(|order| order.contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_nothing_to_a_terminal() {
        for same in ["photo \"x\".jpg", "größe", "a\\b", "☃ 日本"] {
            assert!(matches!(harmless(same), Cow::Borrowed(text) if text == same));
        }
        assert_eq!(harmless("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(harmless("a\nroot  enabled\r\t"), "a\\nroot  enabled\\r\\t");
        assert_eq!(harmless("\u{9b}31m \u{7f} \u{202e}gpj.exe"), "\\u{9b}31m \\u{7f} \\u{202e}gpj.exe");
    }
}
