//! Code written by the build script. The comments of the `.proto` files are its documentation.

/// The published protocol, 0.6 and 0.7 together.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/flame.v1.rs"));
}

/// Our own protocol.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod ha {
    include!(concat!(env!("OUT_DIR"), "/flame.ha.v1.rs"));
}

/// `flame.v1.Instance` with replies left as bytes.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub(crate) mod raw {
    include!(concat!(env!("OUT_DIR"), "/flame.v1.Instance.rs"));
}
