//! Replaces characters that could control the terminal, or make a line look like another one.
//!
//! A user with the service's account controls the content of a store and the answers of a service, and root may read
//! them on a terminal. Control characters control the terminal, directional marks reorder the text around them, and
//! invisible characters make two different names look the same.

use std::borrow::Cow;

/// The replacement of a control character.
pub(super) const REPLACEMENT: &str = "\u{fffd}";

/// Whether a character has an effect beyond its own cell. The joiners (U+200C and U+200D) are allowed, since some
/// scripts need them.
pub(super) fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Replaces such characters, except line feeds and colours.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter: char| is_unsafe(letter) && letter != '\n') {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = colour(rest).unwrap_or(letter.len_utf8());
        let (now, then) = rest.split_at(length);
        let is_replaced = length == letter.len_utf8() && is_unsafe(letter) && letter != '\n';
        safe.push_str(if is_replaced { REPLACEMENT } else { now });
        rest = then;
    }
    safe.into()
}

/// The length of the colour sequence at the start of the text.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    numbers.get(end..)?.starts_with('m').then_some(end + 3)
}

/// Escapes such characters in JSON, of which serde escapes only the ASCII control characters.
pub(super) fn escaped(document: &str) -> Cow<'_, str> {
    if !document.contains(is_unsafe) {
        return document.into();
    }
    let mut safe = String::with_capacity(document.len());
    for letter in document.chars() {
        match is_unsafe(letter) {
            true => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}"))),
            false => safe.push(letter),
        }
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::super::table::{aligned, state, title};
    use super::*;
    use apikey_core::KeyState;

    #[test]
    fn no_control_character_gets_to_a_terminal_but_colours() {
        let own = aligned(&[vec![title("owner"), state(KeyState::Active), "b\n\u{1b}[2Jx\u{9b}31m".into()]]);
        assert_eq!(harmless(&own), own);
        assert!(own.ends_with("b\u{fffd}\u{fffd}[2Jx\u{fffd}31m"), "{own:?}");
        assert_eq!(harmless("a\u{1b}[1mb\u{1b}[0m\nü"), "a\u{1b}[1mb\u{1b}[0m\nü");
        assert_eq!(
            harmless("\u{1b}]52;c;\u{7}\u{1b}[\u{1b}[1\u{1b}[3H\r"),
            "\u{fffd}]52;c;\u{fffd}\u{fffd}[\u{fffd}[1\u{fffd}[3H\u{fffd}"
        );
        let document = serde_json::to_string("a\u{1b}\u{7f}\u{9b}ü").unwrap();
        assert_eq!(escaped(&document), "\"a\\u001b\\u007f\\u009bü\"");
        assert_eq!(serde_json::from_str::<String>(&escaped(&document)).unwrap(), "a\u{1b}\u{7f}\u{9b}ü");
    }

    #[test]
    fn what_reorders_or_hides_text_is_replaced() {
        assert_eq!(harmless("a\u{202e}b\u{2066}c\u{200b}d\u{2028}e"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e");
        let scripts = "می\u{200c}خواهم עברית 👩\u{200d}👧 Zürich";
        assert_eq!(harmless(scripts), scripts);
        let row = aligned(&[vec!["al\u{2028}ice\u{e0041}".into(), "b".into()]]);
        assert_eq!(row, "al\u{fffd}ice\u{fffd}  b");
        let text = "a\u{202e}b\u{e0041}";
        let document = serde_json::to_string(text).unwrap();
        assert_eq!(escaped(&document), "\"a\\u202eb\\udb40\\udc41\"");
        assert_eq!(serde_json::from_str::<String>(&escaped(&document)).unwrap(), text);
    }
}
