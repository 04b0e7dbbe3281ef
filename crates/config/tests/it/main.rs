//! Files, environments and flags as users write them, and what becomes of them.

mod layers;
mod samples;
mod sections;
mod support;
