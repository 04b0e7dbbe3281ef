//! One property per file: each runs random batches and looks at one thing that must always hold.

mod avoidance;
mod bound;
mod capacity;
mod closed;
mod counters;
mod directory;
mod ids;
mod instances;
mod kept;
mod memory;
mod one_place;
mod reachable;
mod refused;
mod repeated;
mod replay;
mod requests;
mod retries;
mod time;
mod tokens;
