//! The homes of secrets, as records and verified keys name them.

use crate::access::verified_key::{IdForm, VerifiedKey};
use crate::base::base62;
use crate::index::home::{imported_home, own_home};
use crate::key::effective_key::EffectiveSecret;
use crate::token::digest::digest_prefix;

pub(super) fn secret_home(id: u128, secret: &EffectiveSecret) -> u32 {
    match secret.imported {
        None => id_home(id),
        Some(_) => imported_home(&digest_prefix(&secret.digest)),
    }
}

/// The home of each of a key's own secrets.
pub(super) fn id_home(id: u128) -> u32 {
    own_home(&base62::encode_u128(id))
}

pub(super) fn verified_home(key: &VerifiedKey) -> u32 {
    match &key.id {
        IdForm::Written(id) => own_home(id),
        IdForm::Known(_) => imported_home(&key.digest),
    }
}
