//! A network of hosts that can be cut in two.
//!
//! Each host is a network namespace with one cable to a switch, which is a namespace of its own: in the root namespace
//! rules of others (those of a container engine, say) could swallow what passes. The test's own process has a cable too.
//!
//! | module | holds |
//! |---|---|
//! | [`switch`] | making the hosts, cutting some off, and putting them back |

pub mod switch;

pub use switch::Network;
