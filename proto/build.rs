//! Compiles `flame/**/*.proto` with protox, so that nobody needs a system `protoc`, and writes the descriptor set that
//! server reflection serves.

use std::path::PathBuf;

use protox::prost::Message;
use tonic_prost_build::manual;

const PROTOS: &[&str] = &[
    "flame/v1/types.proto",
    "flame/v1/frontend.proto",
    "flame/v1/shim.proto",
    "flame/v1/cache.proto",
    "flame/ha/v1/arena.proto",
    "flame/ha/v1/backup.proto",
    "flame/ha/v1/cache.proto",
    "flame/ha/v1/cluster.proto",
    "flame/ha/v1/membership.proto",
    "flame/ha/v1/objects.proto",
    "flame/ha/v1/operate.proto",
    "flame/ha/v1/peer.proto",
    "flame/ha/v1/service.proto",
    "flame/ha/v1/session.proto",
    "flame/ha/v1/worker.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for proto in PROTOS {
        println!("cargo::rerun-if-changed={proto}");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let descriptors = protox::compile(PROTOS, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    raw_instance();
    Ok(())
}

/// The same service as `flame.v1.Instance`, with replies left as bytes: what they mean is decided after reading them.
fn raw_instance() {
    let method = |name: &'static str, route: &'static str, input: &'static str| {
        manual::Method::builder()
            .name(name)
            .route_name(route)
            .input_type(input)
            .output_type("::bytes::Bytes")
            .codec_path("crate::instance::RawCodec")
            .build()
    };
    let service = manual::Service::builder()
        .name("Instance")
        .package("flame.v1")
        .method(method("on_session_enter", "OnSessionEnter", "crate::v1::SessionContext"))
        .method(method("on_task_invoke", "OnTaskInvoke", "crate::v1::TaskContext"))
        .method(method("on_session_leave", "OnSessionLeave", "crate::v1::EmptyRequest"))
        .build();
    manual::Builder::new().compile(&[service]);
}
