//! Nodes of the object cache and the directory of what they have, on a cluster of one. The nodes are streams that say what
//! the tests want.

mod directory;
mod node;
mod streams;
