//! The description of all our messages and services, for server reflection.

/// An encoded `google.protobuf.FileDescriptorSet` of everything in this crate.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
