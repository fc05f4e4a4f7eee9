//! The first key of a store.

use apikey_core::admin::{NewKeyForm, Request};

use super::Context;
use super::secrets::hand_out;
use crate::args::Init;
use crate::delivery::Delivery;
use crate::failure::{Code, Failure};

/// Only where nothing was ever changed: not merely where no key is left. Else whoever can make the last key go away
/// could have a new one that may do everything.
pub(super) fn init(context: &Context, init: Init) -> Result<(), Failure> {
    let mut delivery = Delivery::prepare_for_secret(init.out.as_deref())?;
    context.with_store(true, |store| {
        if store.health(Request::Health)?.last_durable > 0 {
            let path = context.opening.path()?.display();
            return Err(Failure::new(
                Code::Conflict,
                format!("the key store {path} has had keys: make one more with `apikey create`"),
            ));
        }
        let form = NewKeyForm {
            owner: init.owner,
            name: Some("first".to_owned()),
            permissions: init.permissions,
            ..NewKeyForm::default()
        };
        let made = store.made(Request::Create(form))?;
        hand_out(context, &mut delivery, &made, "made", "revoke it, and make another with `apikey create`")
    })
}
