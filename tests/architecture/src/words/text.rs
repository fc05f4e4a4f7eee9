use super::Word;

/// The words of a line: `KeyStore::open_db` has four.
pub(super) fn words(line: &str, number: usize) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut before, mut follows) = (None::<char>, true);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_alphabetic() {
            let is_next_small = letters.peek().is_some_and(|next| next.is_lowercase());
            let is_inside = before.is_some_and(char::is_alphabetic);
            let begins = letter.is_uppercase() && (before.is_some_and(char::is_lowercase) || is_next_small);
            match words.last_mut() {
                Some(word) if is_inside && !begins => word.text.extend(letter.to_lowercase()),
                _ => {
                    words.push(Word { text: letter.to_lowercase().collect(), line: number, follows, is_type: false });
                    follows = true;
                }
            }
        } else if !(letter.is_whitespace() || letter.is_ascii_digit() || "_/!#*>".contains(letter)) {
            follows = false;
        }
        before = Some(letter);
    }
    // Punctuation at the end of a line parts it from the next; the first word of that knows nothing of it.
    if !follows {
        words.push(Word { text: String::new(), line: number, follows, is_type: false });
    }
    words
}

/// The first line of each documentation comment, behind an empty word.
pub(super) fn openings<'a>(lines: impl Iterator<Item = (&'a str, usize)>) -> Vec<Word> {
    let mut openings = Vec::new();
    let mut before = "";
    for (line, number) in lines {
        let marker = line.trim_start().get(..3).filter(|marker| matches!(*marker, "///" | "//!")).unwrap_or_default();
        if !marker.is_empty() && marker != before {
            openings.push(Word { text: String::new(), line: number, follows: false, is_type: false });
            let mut words = words(line, number);
            if let Some(first) = words.first_mut() {
                first.follows = false;
            }
            openings.append(&mut words);
        }
        before = marker;
    }
    openings
}
