//! A copy of keys in a store that is gone afterwards, where something can be tried that must not happen.

use std::collections::HashSet;
use std::io::{self, Write};

use apikey_core::{ExportOptions, ImportOptions, KeyId, KeyStore, KeyStoreBuilder};
use zeroize::Zeroizing;

use crate::failure::{Code, Failure};

/// Copies the keys with these ids, or all.
pub(crate) fn copy(
    store: &KeyStore,
    like: KeyStoreBuilder,
    only: Option<&HashSet<KeyId>>,
) -> Result<KeyStore, Failure> {
    let copy = like.temporary()?;
    let ids = only.map(|only| only.iter().map(KeyId::to_string).collect());
    let mut lines = Chosen { ids, kept: Zeroizing::new(Vec::new()), line: Zeroizing::new(Vec::new()) };
    store.export(&mut lines, &ExportOptions::default().digests(true))?;
    let report = copy.import(lines.kept.as_slice(), &ImportOptions::default())?;
    match report.refused.len() {
        0 => Ok(copy),
        some => {
            Err(Failure::new(Code::Refused, format!("{some} keys of the store cannot be copied to try this on them")))
        }
    }
}

/// Keeps the lines of some keys only.
struct Chosen {
    ids: Option<HashSet<String>>,
    kept: Zeroizing<Vec<u8>>,
    line: Zeroizing<Vec<u8>>,
}

#[derive(serde::Deserialize)]
struct OfKey {
    id: String,
}

impl Write for Chosen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.line.push(*byte);
            if *byte == b'\n' {
                self.end_line()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Chosen {
    fn end_line(&mut self) -> io::Result<()> {
        let wanted = match &self.ids {
            None => true,
            Some(ids) => ids.contains(&serde_json::from_slice::<OfKey>(&self.line)?.id),
        };
        if wanted {
            self.kept.extend_from_slice(&self.line);
        }
        self.line.clear();
        Ok(())
    }
}
