//! The gRPC services of the example, without a `.proto` file, which would need `protoc`.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str| {
        let method = Method::builder().name(name).route_name(route);
        method
            .input_type("crate::shop::Text")
            .output_type("crate::shop::Text")
            .codec_path("tonic_prost::ProstCodec")
            .build()
    };
    let service = |name: &str, methods: &[(&str, &str)]| {
        let service = Service::builder().name(name).package("shop");
        methods.iter().fold(service, |service, (name, route)| service.method(method(name, route))).build()
    };
    let orders = service("Orders", &[("list", "List"), ("place", "Place")]);
    let admin = service("Admin", &[("stats", "Stats"), ("audit", "Audit"), ("report", "Report")]);
    Builder::new().compile(&[orders, admin]);
}
