//! The real program `flame-worker`, with real services, against a hub that the test plays.

mod bind;
mod cost;
mod frames;
mod hub;
mod install;
mod install_cache;
mod metrics;
mod news;
mod proxy;
mod reattach;
mod serve;
mod stop;
mod stream;
mod uv;
mod worker;
