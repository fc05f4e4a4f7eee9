//! salvo has the request's extensions, and a depot beside the request.

use apikey::salvo::{require, supply};
use apikey::{KeyStore, VerifiedKey, require_api_key};
use apikey_testkit::Call;
use salvo::conn::{Acceptor, Listener, TcpListener};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, Writer, async_trait};

use super::{INNER, MIDDLE, Named, OUTER, Row, Used, any_key, inner, outer};

#[require_api_key(perm = "orders:read")]
#[salvo::handler]
async fn list(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[require_api_key(perm = "orders:read", request = (&*req, &*depot), key = key, on_reject = |rejection| res.render(rejection))]
#[salvo::handler]
async fn in_body(req: &mut Request, depot: &mut Depot, res: &mut Response) {
    res.render(key.owner().to_owned());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Nothing,
    Inject,
    Extension,
    Supply,
    Require,
}

use Form::{Extension, Inject, Nothing, Require, Supply};

/// Puts a store into the request's extensions, as an application may.
struct Leave(KeyStore);

#[async_trait]
impl Handler for Leave {
    async fn handle(&self, request: &mut Request, _: &mut Depot, _: &mut Response, _: &mut FlowCtrl) {
        request.extensions_mut().insert(self.0.clone());
    }
}

fn with(router: Router, form: Form, store: KeyStore) -> Router {
    match form {
        Nothing => router,
        Inject => router.hoop(salvo::affix_state::inject(store)),
        Extension => router.hoop(Leave(store)),
        Supply => router.hoop(supply(store)),
        Require => router.hoop(require(store, any_key())),
    }
}

fn nested(path: &str, forms: [Form; 3], stores: [KeyStore; 3]) -> Router {
    let ([outer, middle, inner], [first, second, third]) = (forms, stores);
    let handlers = Router::new().get(list).push(Router::with_path("body").get(in_body));
    let innermost = with(Router::with_path("in"), inner, third).push(handlers);
    with(Router::with_path(path), outer, first).push(with(Router::with_path("in"), middle, second).push(innermost))
}

async fn serve(routes: Router) -> u16 {
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let port = acceptor.holdings()[0].local_addr.clone().into_std().unwrap().port();
    tokio::spawn(salvo::Server::new(acceptor).serve(routes));
    port
}

pub(super) async fn rows() -> Vec<Row> {
    let (mut routes, mut rows) = (Router::new(), Vec::new());
    for around in [Inject, Extension, Supply] {
        for within in [Nothing, Inject, Extension, Supply, Require] {
            let path = format!("{around:?}-{within:?}");
            routes = routes.push(nested(&path, [around, Nothing, within], [outer(), inner(), inner()]));
            let used = match (around, within) {
                (_, Nothing) => Used::Outer,
                (Inject, Extension) | (Extension, Inject) => Used::Neither,
                _ => Used::Inner,
            };
            rows.push((path, used));
        }
    }
    let port = serve(routes).await;
    let row = |(path, used): (String, Used)| {
        ["", "/body"]
            .map(|end| Row::http(format!("salvo, {path}{end}"), port, format!("/{path}/in/in{end}")).uses(used))
    };
    rows.into_iter().flat_map(row).collect()
}

/// Three levels, in every combination of forms, of three stores and of two.
#[tokio::test(flavor = "multi_thread")]
async fn every_nesting_of_depot_extensions_and_hoops_is_distinguished() {
    let (mut routes, mut cases) = (Router::new(), Vec::new());
    for outer in [Nothing, Inject, Extension, Supply] {
        for middle in [Nothing, Inject, Extension, Supply] {
            for inner in [Nothing, Inject, Extension, Supply, Require] {
                for levels in [[&*OUTER, &*MIDDLE, &*INNER], [&*OUTER, &*MIDDLE, &*OUTER]] {
                    let forms = [outer, middle, inner];
                    let path = format!("case{}", cases.len());
                    routes = routes.push(nested(&path, forms, levels.map(|named| named.store.clone())));
                    cases.push((path, forms, levels));
                }
            }
        }
    }
    let port = serve(routes).await;
    for (path, forms, levels) in cases {
        let expected = expected(forms, levels);
        for level in levels {
            let status = Call::get(format!("/{path}/in/in")).key(&level.key).send(port).status;
            let wanted = expected.map_or(503, |expected| if std::ptr::eq(expected, level) { 200 } else { 401 });
            assert_eq!(status, wanted, "{forms:?}");
        }
    }
}

/// The expected store: the innermost one that is named, unless the other place has another store that was put there after
/// the last of our hoops.
fn expected(forms: [Form; 3], levels: [&'static Named; 3]) -> Option<&'static Named> {
    let named: Vec<_> = forms.into_iter().zip(levels).rev().filter(|(form, _)| *form != Nothing).collect();
    let (form, innermost) = *named.first()?;
    if matches!(form, Supply | Require) {
        return Some(innermost);
    }
    let mut around = named[1..].iter().take_while(|(form, _)| !matches!(form, Supply | Require));
    let torn = around.any(|(around, other)| *around != form && !std::ptr::eq(*other, innermost));
    (!torn).then_some(innermost)
}
