//! The page: files in the binary.

use std::sync::LazyLock;

use apikey_core::random_text;
use http::HeaderMap;
use http::header::IF_NONE_MATCH;

use crate::answer::{PlainResponse, Problem};
use crate::management::Tags;

/// A file of the page.
struct Asset {
    /// Its path below the mount.
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// The files in `assets/`, each with its media type.
macro_rules! assets {
    ($($path:literal $media_type:ident),* $(,)?) => {
        &[$(Asset {
            path: concat!("/assets/", $path),
            media_type: $media_type,
            text: include_str!(concat!("assets/", $path)),
        }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

static ASSETS: &[Asset] = assets![
    "actions.js" JS,
    "api.js" JS,
    "chart.js" JS,
    "dialog.js" JS,
    "dom.js" JS,
    "fields.js" JS,
    "filters.js" JS,
    "form.js" JS,
    "key_form.js" JS,
    "main.js" JS,
    "revoke_all.js" JS,
    "router.js" JS,
    "screens/edit.js" JS,
    "screens/events.js" JS,
    "screens/key.js" JS,
    "screens/keys.js" JS,
    "screens/named.js" JS,
    "screens/overview.js" JS,
    "screens/roles.js" JS,
    "screens/sessions.js" JS,
    "screens/sign_in.js" JS,
    "screens/tenants.js" JS,
    "screens/try.js" JS,
    "secret.js" JS,
    "session.js" JS,
    "table.js" JS,
    "time.js" JS,
    "words.js" JS,
    "style.css" CSS,
    "favicon.svg" SVG,
];

static PAGE: Asset = Asset { path: "/", media_type: HTML, text: include_str!("assets/index.html") };

/// The entity tags of the page and of the files, in their order.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |asset: &Asset| {
        let digest = random_text::digest(asset.text);
        let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{digits}\"")
    };
    std::iter::once(&PAGE).chain(ASSETS).map(tag).collect()
});

/// The file at a path below the mount.
pub(super) fn find(path: &str) -> Option<usize> {
    std::iter::once(&PAGE).chain(ASSETS).position(|asset| asset.path == path)
}

/// The answer with a file.
///
/// # Errors
/// `If-None-Match` has something else than entity tags.
pub(super) fn answer(file: usize, headers: &HeaderMap) -> Result<PlainResponse, Problem> {
    let (Some(asset), Some(tag)) = (std::iter::once(&PAGE).chain(ASSETS).nth(file), TAGS.get(file)) else {
        return Err(Problem::new(404, "not_found", "there is no such file"));
    };
    // A browser asks each time whether it is still the same, as that of another release is not.
    let fields = |answer: PlainResponse| {
        let others = answer.headers.into_iter().filter(|(name, _)| name != "cache-control").collect();
        let answer = PlainResponse { headers: others, ..answer };
        answer.with("cache-control", "no-cache").with("etag", tag.clone())
    };
    if Tags::read(headers, IF_NONE_MATCH)?.is_some_and(|tags| tags.has(tag)) {
        return Ok(fields(PlainResponse::empty(304)));
    }
    Ok(fields(PlainResponse::new(200, asset.media_type, asset.text.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The files below a directory, by their path there.
    fn files(dir: &Path, at: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{at}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                files(&entry.path(), &path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_file_is_served_and_all_of_them_are_small() {
        let mut found = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/assets"), "/assets", &mut found);
        found.retain(|path| path != "/assets/index.html");
        found.sort_unstable();
        let mut served: Vec<&str> = ASSETS.iter().map(|asset| asset.path).collect();
        served.sort_unstable();
        assert_eq!(served, found);
        let size: usize = std::iter::once(&PAGE).chain(ASSETS).map(|asset| asset.text.len()).sum();
        assert!(size <= 90_000, "the page has {size} bytes");
    }

    #[test]
    fn the_page_has_no_way_to_make_markup_or_code_of_text() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "srcdoc",
            "DOMParser",
            "localStorage",
            "sessionStorage",
            "indexedDB",
            "document.cookie",
            "javascript:",
            "style=",
            "http:",
            "import(",
        ];
        for asset in std::iter::once(&PAGE).chain(ASSETS) {
            for word in forbidden {
                // The name of a vocabulary, which no browser asks for.
                let text = asset.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(word), "{} has {word}", asset.path);
            }
        }
    }
}
