//! A leader that is left alone judges nobody.

use anyhow::{Result, ensure};
use flame_chaos::scenarios::no_quorum::{self, Options};
use flame_chaos::scenarios::report::Outcome;

/// Longer than a lease: who is given up by a leader without a majority is given up when the majority comes back.
const SECONDS: u64 = 18;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_acknowledged_and_nobody_is_given_up() -> Result<()> {
    let report = no_quorum::run(Options { seconds: SECONDS }).await?;
    ensure!(report.outcome == Outcome::Passed, "{report}");
    Ok(())
}
