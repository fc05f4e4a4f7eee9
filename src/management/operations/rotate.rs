//! New secrets of keys.

use apikey_core::{Overlap, RotateOptions};
use serde::Deserialize;

use crate::management::call::{Answer, Call};
use crate::management::operations::body::Object;
use crate::management::operations::revoke::Reason;
use crate::management::reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    overlap: Option<Overlap>,
}

pub(super) fn rotate(call: &Call) -> Answer {
    let id = call.id()?;
    let Object(Rotate { overlap }) = call.json()?;
    let options = RotateOptions::new(overlap.unwrap_or(Overlap::UntilFirstUse));
    let options = match call.idempotency_key()? {
        Some(idempotency_key) => options.idempotency_key(idempotency_key),
        None => options,
    };
    let created = call.caller.rotate(&call.store, id, options).map_err(|error| call.problem(error))?;
    Ok(reply::secret(200, &created))
}

pub(super) fn replace(call: &Call) -> Answer {
    let id = call.id()?;
    let reason = call.json::<Object<Reason>>()?.0.text();
    let created = call.caller.replace(&call.store, id, reason).map_err(|error| call.problem(error))?;
    Ok(reply::secret(200, &created))
}
