//! `prefixed-api-key` with a `HashMap`, as its documentation shows it: the short token finds the hash, and it checks only
//! the hash. No checksum, no state, no times, no permission.

use std::collections::HashMap;

use apikey_bench::Tokens;
use prefixed_api_key::rand::rngs::OsRng;
use prefixed_api_key::sha2::Sha256;
use prefixed_api_key::{PrefixedApiKey, PrefixedApiKeyController};

type Controller = PrefixedApiKeyController<OsRng, Sha256>;

pub struct Prefixed {
    controller: Controller,
    hashes: HashMap<String, String>,
}

impl Prefixed {
    /// So many keys, and their tokens. Those differ a little in length; this keeps only those of one length.
    pub fn with(keys: usize) -> (Self, Tokens) {
        let controller = PrefixedApiKeyController::configure().prefix("mycompany".to_owned()).seam_defaults();
        let controller: Controller = controller.finalize().unwrap();
        let mut hashes = HashMap::with_capacity(keys);
        let mut tokens = Vec::with_capacity(keys);
        while tokens.len() < keys {
            let (key, hash) = controller.try_generate_key_and_hash().unwrap();
            let token = key.to_string();
            if tokens.first().is_none_or(|first: &String| first.len() == token.len()) {
                hashes.insert(key.short_token().to_owned(), hash);
                tokens.push(token);
            }
        }
        (Self { controller, hashes }, Tokens::shuffled(&tokens))
    }

    /// 1 for a good token.
    pub fn check(&self, token: &str) -> u32 {
        let Ok(key) = PrefixedApiKey::from_string(token) else { return 0 };
        let Some(hash) = self.hashes.get(key.short_token()) else { return 0 };
        u32::from(self.controller.check_hash(&key, hash))
    }
}
