//! The presentation tier: static files, served from an origin of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use tower_http::set_header::SetResponseHeaderLayer;
use two_tier::Failure;

/// The page, for people who open `page_origin`; its script calls `api_origin`.
pub(crate) fn router(page_origin: &str, api_origin: &str) -> Result<Router, Failure> {
    let html: Arc<str> = include_str!("page/index.html").replace("{{api}}", api_origin).into();
    let html = move || async move { Html(html.to_string()) };
    let mut router = Router::new()
        .route("/", get(html))
        .route("/app.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/app.js"))))
        .route("/style.css", get(|| file("text/css; charset=utf-8", include_str!("page/style.css"))))
        .route("/favicon.svg", get(|| file("image/svg+xml", include_str!("page/favicon.svg"))))
        .layer(from_fn_with_state(Arc::from(page_origin), one_origin));
    for (name, value) in protection(api_origin) {
        router = router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_str(&value)?));
    }
    Ok(router)
}

/// A page that handles keys is worth attacking. These headers keep scripts of others out, and the key in.
fn protection(api_origin: &str) -> [(HeaderName, String); 6] {
    let policy = [
        // Nothing is allowed but what follows: no inline script or style, nothing from elsewhere.
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        // The key can be sent to the API, and to no other place.
        &format!("connect-src {api_origin}"),
        // Without script a form would send itself; this forbids that.
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        // The browser refuses `innerHTML` and its like: text from the API stays text.
        "require-trusted-types-for 'script'",
    ];
    [
        (header::CONTENT_SECURITY_POLICY, policy.join("; ")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        // For browsers that do not know `frame-ancestors`.
        (header::X_FRAME_OPTIONS, "DENY".to_owned()),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin".to_owned()),
        // The page names the API's port, which another start may change. It also keeps a left page, with the key in
        // its memory, out of the browser's back-forward cache.
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]
}

/// The API and the console allow one origin: this redirects `localhost` to `127.0.0.1`.
pub(crate) async fn one_origin(State(origin): State<Arc<str>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    if host == origin.strip_prefix("http://").map(str::as_bytes) {
        next.run(request).await
    } else {
        Redirect::temporary(&format!("{origin}/")).into_response()
    }
}

async fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}
