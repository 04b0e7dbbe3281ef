//! Caches of a cluster of real coordinators: what is left when some of them die.

mod copies;
mod deleting;
mod published;
mod scene;
mod secure;
mod writing;
