//! Crash tests over real processes: what was acknowledged is there afterwards, whatever died.

mod all_at_once;
mod behind;
mod changing;
mod disk_full;
mod disk_trouble;
mod disks;
mod flmctl;
mod goodbye;
mod leader_news;
mod lease;
mod membership;
mod metrics;
mod no_quorum;
mod power_cut;
mod programs;
mod published_watch;
mod refusals;
mod rescue;
mod retention;
mod retries;
mod scenes;
mod silence;
mod stream;
mod stream_protocol;
mod upgrade;
mod watch_across;
