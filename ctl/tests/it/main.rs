//! What the commands print and how they end, without a cluster: golden files through the real render code, and the real
//! binaries against addresses where nobody listens.

mod deploy;
mod documentation;
mod exec;
mod golden;
mod help;
mod processes;
mod proxy;
mod samples;
mod screens;
