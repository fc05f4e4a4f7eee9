//! tonic: a layer around the server, and an interceptor of one service.

use apikey::{ApiKeyLayer, require_api_key};
use apikey_frameworks::shop::Text;
use apikey_frameworks::shop::orders_client::OrdersClient;
use apikey_frameworks::shop::orders_server::{Orders, OrdersServer};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status};

use super::{Row, any_key, inner, outer};

struct Shop;

#[tonic::async_trait]
impl Orders for Shop {
    #[require_api_key(perm = "orders:read", key = key)]
    async fn list(&self, _request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text::new(key.owner())))
    }

    async fn place(&self, _: Request<Text>) -> Result<Response<Text>, Status> {
        Err(Status::unimplemented("not called"))
    }
}

pub(super) async fn rows() -> Vec<Row> {
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = incoming.local_addr().unwrap().port();
    let intercepted = OrdersServer::with_interceptor(Shop, apikey::tonic::require(inner(), any_key()));
    let server = Server::builder().layer(ApiKeyLayer::supply(outer())).add_service(intercepted);
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
    let ask = move |key: &str| {
        let mut request = Request::new(Text::new("tea"));
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
        let mut orders = OrdersClient::new(channel.clone());
        let answer = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(orders.list(request)));
        match answer.map_err(|status| status.code()) {
            Ok(_) => 200,
            Err(Code::Unauthenticated) => 401,
            Err(_) => 503,
        }
    };
    vec![Row::new("tonic, require in supply", ask)]
}
