//! The proxy between published clients and coordinators that misbehave on purpose. All in this process, over loopback.

mod calls;
mod fake;
mod lists;
mod own_thread;
mod pipes;
mod stopping;
mod watches;
mod watches_of_many;
