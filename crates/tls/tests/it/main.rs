//! Both sides of TLS against each other: what comes up, and what is said when it does not.

mod files;
mod handshakes;
