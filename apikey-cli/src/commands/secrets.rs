//! Commands that give out a secret.

use apikey_core::admin::{Expiry, Made, NewKeyForm, Request};
use apikey_core::wiped;
use chrono::Utc;

use super::{Context, id};
use crate::args::{Create, Rotate};
use crate::delivery::Delivery;
use crate::failure::{Code, Failure};
use crate::key_view::{self, KeyView};
use crate::out;

pub(super) fn create(context: &Context, create: Create) -> Result<(), Failure> {
    let mut form = NewKeyForm {
        owner: create.owner,
        name: create.name,
        permissions: create.permissions,
        not_before: create.not_before,
        expiry: create.expires_in.map(Expiry::after).or(create.expires_at.map(Expiry::At)),
        rotation: create.rotation.form(),
        limit: create.limits.limit,
        networks: create.limits.networks(),
        ..NewKeyForm::default()
    };
    form.metadata.extend(create.metadata);
    context.with_store(false, |store| {
        let mut delivery = Delivery::prepare_for_secret(create.out.as_deref())?;
        let made = store.made(Request::Create(form))?;
        hand_out(context, &mut delivery, &made, "made", "revoke it")
    })
}

pub(super) fn rotate(context: &Context, rotate: &Rotate) -> Result<(), Failure> {
    let id = id(&rotate.id)?;
    context.with_store(false, |store| {
        let mut delivery = Delivery::prepare_for_secret(rotate.out.as_deref())?;
        let made = store.made(Request::Rotate { id, overlap: rotate.overlap.into() })?;
        hand_out(context, &mut delivery, &made, "rotated", "rotate it again")
    })
}

/// The secret to standard output or its file; what else there is to say, beside it.
pub(super) fn hand_out(
    context: &Context,
    delivery: &mut Delivery,
    made: &Made,
    done: &str,
    remedy: &str,
) -> Result<(), Failure> {
    let now = Utc::now();
    let secret = made.secret.expose_secret();
    let which = key_view::line(&made.key);
    let lost = |error: std::io::Error| {
        let text = format!("key {which} was {done}, and its secret could not be written ({error}): {remedy}");
        Failure::new(Code::Refused, text)
    };
    // A service that is none may answer anything, and root may read it at a terminal.
    if secret.contains(char::is_control) {
        let text = format!("key {which} was {done}, and what came for its secret is none: {remedy}");
        return Err(Failure::new(Code::Refused, text));
    }
    match (context.json, delivery.path().map(std::path::Path::to_owned)) {
        (true, None) => {
            let document = Document { secret: Some(secret), secret_file: None, key: KeyView::new(&made.key, now) };
            let text = wiped::json(&document);
            text.map_err(std::io::Error::from).and_then(|text| delivery.deliver(&text)).map_err(lost)
        }
        (json, path) => {
            delivery.deliver(secret).map_err(lost)?;
            if json {
                return out::json(&Document {
                    secret: None,
                    secret_file: path.as_deref(),
                    key: KeyView::new(&made.key, now),
                });
            }
            out::note(&format!("{done} {}", key_view::line(&made.key)));
            match path {
                Some(path) => out::note(&format!("its secret is in {}, and nowhere else", path.display())),
                None => out::note("its secret is on standard output, this once"),
            }
            Ok(())
        }
    }
}

/// What `--json` answers where a secret is given out.
#[derive(serde::Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<&'a std::path::Path>,
    key: KeyView<'a>,
}
