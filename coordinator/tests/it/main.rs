//! The coordinator from outside its modules: one binary, so that RocksDB is linked once.

mod caches;
mod consensus;
mod frozen;
mod frozen_rows;
mod operate;
mod overload;
mod requests;
mod run;
mod served;
