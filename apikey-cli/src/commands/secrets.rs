//! Commands that give out a secret.

use apikey_core::{CreatedKey, NewKey};
use chrono::Utc;
use zeroize::Zeroizing;

use super::{Context, id};
use crate::args::{Create, Rotate};
use crate::delivery::Delivery;
use crate::failure::{Code, Failure};
use crate::key_view::{self, KeyView};
use crate::out;

pub(super) fn create(context: &Context, create: Create) -> Result<(), Failure> {
    context.with_store(false, |store| {
        let mut new = NewKey::for_owner(create.owner).permissions(create.permissions);
        if let Some(name) = create.name {
            new = new.name(name);
        }
        if let Some(span) = create.expires_in {
            new = new.expires_in(span);
        }
        if let Some(end) = create.expires_at {
            new = new.expires_at(end);
        }
        if let Some(start) = create.not_before {
            new = new.not_before(start);
        }
        for (name, value) in create.metadata {
            new = new.metadata(name, value);
        }
        let mut delivery = Delivery::prepare(create.out.as_deref())?;
        let created = store.create(new)?;
        hand_out(context, &mut delivery, &created, "made", "revoke it")
    })
}

pub(super) fn rotate(context: &Context, rotate: &Rotate) -> Result<(), Failure> {
    let id = id(&rotate.id)?;
    context.with_store(false, |store| {
        let mut delivery = Delivery::prepare(rotate.out.as_deref())?;
        let created = store.rotate(id, rotate.overlap)?;
        hand_out(context, &mut delivery, &created, "rotated", "rotate it again")
    })
}

/// The secret to standard output or its file; what else there is to say, beside it.
pub(super) fn hand_out(
    context: &Context,
    delivery: &mut Delivery,
    created: &CreatedKey,
    done: &str,
    remedy: &str,
) -> Result<(), Failure> {
    let now = Utc::now();
    let secret = created.key.expose_secret();
    let lost = |error: std::io::Error| {
        let which = key_view::line(&created.info);
        let text = format!("key {which} was {done}, and its secret could not be written ({error}): {remedy}");
        Failure::new(Code::Refused, text)
    };
    match (context.json, delivery.path().map(std::path::Path::to_owned)) {
        (true, None) => {
            let document = Document { secret: Some(secret), secret_file: None, key: KeyView::new(&created.info, now) };
            let text = serde_json::to_string(&document).map(Zeroizing::new);
            text.map_err(std::io::Error::from).and_then(|text| delivery.deliver(&text)).map_err(lost)
        }
        (json, path) => {
            delivery.deliver(secret).map_err(lost)?;
            if json {
                return out::json(&Document {
                    secret: None,
                    secret_file: path.as_deref(),
                    key: KeyView::new(&created.info, now),
                });
            }
            out::note(&format!("{done} {}", key_view::line(&created.info)));
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
