//! Hands a new secret to the operator, for the commands that create one.

use apikey_core::admin::NewSecret;
use apikey_core::wiped;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::delivery::Delivery;
use crate::output::key_view;

/// Writes the secret to standard output or its file, and everything else to standard error.
pub(super) fn hand_out(
    context: &Context,
    delivery: &mut Delivery,
    new: &NewSecret,
    done: &str,
    remedy: &str,
) -> Result<(), Failure> {
    let secret = new.secret.expose_secret();
    let which = key_view::line(&new.key);
    let lost = |error: std::io::Error| {
        let text = format!("key {which} was {done}, and its secret could not be written ({error}): {remedy}");
        Failure::new(Code::Refused, text)
    };
    // A false service may answer anything, and root may read it on a terminal.
    if secret.contains(char::is_control) {
        let text = format!("key {which} was {done}, and the answer has no valid secret: {remedy}");
        return Err(Failure::new(Code::Refused, text));
    }
    match (context.json, delivery.path().map(std::path::Path::to_owned)) {
        (true, None) => {
            let document = Document { secret: Some(secret), secret_file: None, key: &new.key };
            let text = wiped::json(&document);
            text.map_err(std::io::Error::from).and_then(|text| delivery.deliver(&text)).map_err(lost)
        }
        (json, path) => {
            delivery.deliver(secret).map_err(lost)?;
            if json {
                return output::json(&Document { secret: None, secret_file: path.as_deref(), key: &new.key });
            }
            output::note(&format!("{done} {}", key_view::line(&new.key)));
            match path {
                Some(path) => output::note(&format!("its secret is in {} and nowhere else", path.display())),
                None => output::note("its secret is on standard output, only this once"),
            }
            Ok(())
        }
    }
}

/// The answer of `--json` with a new secret.
#[derive(serde::Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<&'a std::path::Path>,
    key: &'a apikey_core::KeyInfo,
}
