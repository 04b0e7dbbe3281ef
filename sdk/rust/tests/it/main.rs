//! The client against servers that misbehave on purpose, and the service side against a real client. All in this
//! process, over loopback.

mod calls;
mod directory;
mod fake;
mod fake_sessions;
mod handles;
mod objects;
mod operate;
mod overload;
mod services;
mod session_streams;
mod streams;
mod typed;
mod watches;
