//! The user of this process, and the operator's names of its directories.

use std::borrow::Cow;
use std::sync::OnceLock;

use apikey_core::Actor;

/// The change of a root process to the owner of a store.
#[derive(Debug)]
pub(crate) struct Became {
    pub(crate) caller: u32,
    pub(crate) owner: u32,
    /// The paths of open handles, and the names that the operator gave them.
    pub(crate) names: Vec<(String, String)>,
}

static BECAME: OnceLock<Became> = OnceLock::new();

fn became() -> Option<&'static Became> {
    BECAME.get()
}

/// Records that root has become the owner of a store.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn note(became: Became) {
    // The only call.
    let _ = BECAME.set(became);
}

/// Replaces the paths of handles in a text by the names that the operator gave.
pub(crate) fn named(text: &str) -> Cow<'_, str> {
    renamed(text, str::to_owned)
}

/// The same for a JSON document.
pub(crate) fn named_in_json(document: &str) -> Cow<'_, str> {
    renamed(document, |name| serde_json::Value::from(name).to_string().trim_matches('"').to_owned())
}

fn renamed(text: &str, form: impl Fn(&str) -> String) -> Cow<'_, str> {
    became().map_or(Cow::Borrowed(text), |became| {
        let name = |text: String, (handle, given): &(String, String)| text.replace(handle, &form(given));
        became.names.iter().fold(text.to_owned(), name).into()
    })
}

/// Returns an addition to a system error that may occur because the process is no longer root.
pub(crate) fn hint(text: &str) -> Option<String> {
    let became = became().filter(|became| became.owner != became.caller)?;
    if !text.contains("Permission denied") {
        return None;
    }
    Some(format!(
        "; run by root, this works as uid {}, the owner of the store: name files that this user may read and places where it \
         may write, or use standard input and output",
        became.owner
    ))
}

/// Returns the actor for events: the user that ran the command.
#[cfg(unix)]
pub(crate) fn actor() -> Actor {
    Actor::Uid(became().map_or_else(|| rustix::process::geteuid().as_raw(), |became| became.caller))
}

/// Windows has no numbers of users: events name the command.
#[cfg(not(unix))]
pub(crate) fn actor() -> Actor {
    Actor::Application(env!("CARGO_BIN_NAME").to_owned())
}
