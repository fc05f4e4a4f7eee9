//! The user as which this process works, and the names that the operator gave its directories.

use std::borrow::Cow;
use std::sync::OnceLock;

/// A process of root's that has become the owner of a store.
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

/// The addition to an error of the system that may come from no longer being root.
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

/// The user that ran the command.
#[cfg(unix)]
pub(crate) fn caller() -> u32 {
    became().map_or_else(|| rustix::process::geteuid().as_raw(), |became| became.caller)
}
