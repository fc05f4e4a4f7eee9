//! tonic: `cargo run -p apikey-frameworks --example tonic`. It answers over gRPC; the key that it prints goes into the
//! metadata `x-api-key`.

use apikey::{ApiKeyLayer, KeyStore, Requirement, require_api_key};
use apikey_frameworks::shop::Text;
use apikey_frameworks::shop::admin_server::{Admin, AdminServer};
use apikey_frameworks::shop::orders_server::{Orders, OrdersServer};
use apikey_frameworks::{Outcome, demo};
use tonic::{Request, Response, Status};

struct Shop;

#[tonic::async_trait]
impl Orders for Shop {
    #[require_api_key(perm = "orders:read", key = key)]
    async fn list(&self, _request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text::new(format!("orders of {}", key.owner()))))
    }

    #[require_api_key(perm = "orders:write", key = key)]
    async fn place(&self, request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text::new(format!("{} for {}", request.into_inner().text, key.owner()))))
    }
}

#[tonic::async_trait]
impl Admin for Shop {
    /// No attribute: the layer around it requires `admin`.
    async fn stats(&self, _: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text::new("fine")))
    }

    /// Requires more than the layer around it.
    #[require_api_key(perm = "audit:read", key = key)]
    async fn audit(&self, _request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text::new(format!("read by {}", key.owner()))))
    }

    /// Takes five uses of the key's quota.
    #[require_api_key(perm = "audit:read", cost = 5, key = key)]
    async fn report(&self, _request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text::new(format!("report for {}", key.owner()))))
    }
}

#[tokio::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    let admin = apikey::tonic::require(store.clone(), Requirement::permission("admin")?);
    let server = tonic::transport::Server::builder()
        .layer(ApiKeyLayer::supply(store))
        .add_service(OrdersServer::new(Shop))
        .add_service(AdminServer::with_interceptor(Shop, admin));
    Ok(server.serve(([127, 0, 0, 1], port).into()).await?)
}

pub(crate) fn main() -> Outcome {
    let (store, port) = demo()?;
    run(store, port)
}
