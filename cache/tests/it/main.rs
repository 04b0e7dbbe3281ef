//! The object cache: every operation of every protocol, limits, restarts.

mod across;
mod arena;
mod cluster;
mod flight;
mod limits;
mod native;
mod own;
mod processes;
mod published;
mod several;
mod support;
