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

static ASSETS: &[Asset] = assets![];

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
