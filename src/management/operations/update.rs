//! Changing keys.

use apikey_core::{Conflict, KeyUpdate, StoreError};
use http::header::IF_MATCH;

use crate::answer::Problem;
use crate::management::call::{Answer, Call};
use crate::management::operations::create::Given;
use crate::management::operations::keys;
use crate::management::reply;
use crate::management::tags::Tags;

pub(super) fn update(call: &Call) -> Answer {
    let id = call.id()?;
    let tags = Tags::read(&call.headers, IF_MATCH)?.ok_or_else(|| {
        let detail = "the request needs If-Match: the ETag of the key as it was read, or * for whatever it is";
        Problem::new(428, "precondition_required", detail)
    })?;
    let change: KeyUpdate = call.json()?;
    let key = keys::read(call, id)?;
    let change = match tags {
        Tags::Any => change,
        // The store compares again when it makes the change.
        tags if tags.has_strong(&reply::tag(&key)) => change.only_if(key.last_event()),
        _ => {
            return Err(StoreError::Conflict(Conflict::Changed { last_event: key.last_event() }).into());
        }
    };
    Given::read(call).check(call, key.tenant(), key.permissions(), key.roles())?;
    let key = call.caller.update(&call.store, id, change).map_err(|error| call.problem(error))?;
    Ok(reply::key(200, &key))
}

pub(super) fn disable(call: &Call) -> Answer {
    switch(call, true)
}

pub(super) fn enable(call: &Call) -> Answer {
    switch(call, false)
}

fn switch(call: &Call, disabled: bool) -> Answer {
    let change = KeyUpdate::new().disabled(disabled);
    let key = call.caller.update(&call.store, call.id()?, change).map_err(|error| call.problem(error))?;
    Ok(reply::key(200, &key))
}
