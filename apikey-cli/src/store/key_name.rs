//! The operator's name for a key: its id, or the first characters of the id.

use apikey_core::admin::{IdPrefix, IdPrefixError, Request};
use apikey_core::{KeyId, KeyInfo};

use super::backend::Backend;
use crate::failure::{Code, Failure};
use crate::output::key_view;

/// The most keys that the error for an ambiguous name shows.
const MAX_CANDIDATES: usize = 10;
/// The length from which a text may be a secret of another system, so that no error repeats it.
const MAX_REPEATED: usize = 20;

/// A key's id, or the beginning of one.
#[derive(Debug, Clone)]
pub(crate) enum KeyName {
    Id(KeyId),
    Prefix { prefix: IdPrefix, text: String },
}

impl KeyName {
    /// Parses the name of a key. No error repeats the text: it may be a secret.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        match text.parse() {
            Ok(prefix) => Ok(Self::Prefix { prefix, text: text.to_owned() }),
            Err(error @ IdPrefixError::Form) => {
                Err(Failure::usage(format!("{error}; `apikey list --text TEXT` searches owners, names and hints")))
            }
            Err(error) => Err(Failure::usage(error.to_string())),
        }
    }
}

impl Backend {
    /// The id of the one key that has this name. An id needs no look-up: the request says whether there is such a key.
    pub(crate) fn resolve(&mut self, name: &KeyName) -> Result<KeyId, Failure> {
        let (prefix, text) = match name {
            KeyName::Id(id) => return Ok(*id),
            KeyName::Prefix { prefix, text } => (prefix, text),
        };
        let page = self.keys(Request::List(prefix.filter().limit(MAX_CANDIDATES + 1)))?;
        let found: Vec<&KeyInfo> = page.keys.iter().take_while(|key| prefix.matches(key.id())).collect();
        let shown = if text.len() < MAX_REPEATED { format!(" with {text:?}") } else { " so".to_owned() };
        match found.as_slice() {
            [] => {
                let capitals = match text.contains(|letter: char| letter.is_ascii_uppercase()) {
                    true => "; in the beginning of a token, capitals and small letters differ",
                    false => "",
                };
                Err(Failure::new(Code::NotFound, format!("there is no key whose id begins{shown}{capitals}")))
            }
            [one] => Ok(one.id()),
            several => {
                let lines = several.iter().take(MAX_CANDIDATES).map(|key| format!("\n  {}", key_view::line(key)));
                let more = if several.len() > MAX_CANDIDATES { "\n  and more" } else { "" };
                let lines: String = lines.collect();
                let text =
                    format!("the ids of several keys begin{shown}: give more of the one that you mean{lines}{more}");
                Err(Failure::usage(text))
            }
        }
    }
}
