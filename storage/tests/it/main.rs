//! Storage from outside: what survives, what is refused, what readers see.

mod damage;
mod directory;
mod figures;
mod identity;
mod log;
mod log_model;
mod machine;
mod offline;
mod rows;
mod suite;
