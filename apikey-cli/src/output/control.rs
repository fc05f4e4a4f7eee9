//! Keeps control characters off the terminal.
//!
//! Whoever has the service's account chooses what a store holds and what a service answers, and root may read it at a
//! terminal, where control characters can do harm.

use std::borrow::Cow;

/// What replaces a control character.
pub(super) const REPLACEMENT: &str = "\u{fffd}";

/// Replaces control characters, except line feeds and colours.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter: char| letter.is_control() && letter != '\n') {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = colour(rest).unwrap_or(letter.len_utf8());
        let (now, then) = rest.split_at(length);
        let is_replaced = length == letter.len_utf8() && letter.is_control() && letter != '\n';
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

/// Escapes the control characters that serde leaves in JSON: DEL, and those of two bytes.
pub(super) fn escaped(document: &str) -> Cow<'_, str> {
    if !document.contains(char::is_control) {
        return document.into();
    }
    let mut safe = String::with_capacity(document.len());
    for letter in document.chars() {
        match letter.is_control() {
            true => safe.push_str(&format!("\\u{:04x}", u32::from(letter))),
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
}
