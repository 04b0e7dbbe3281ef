//! Raising the feature level of the cluster.
//!
//! Only the leader can, when every member understands the level; and never back. Asked for twice, it is done once.

use flame_proto::ha;

use crate::at_leader::OfLeader;
use crate::connection::cluster;
use crate::model::Upgrade;
use crate::{Connection, FlameError};

impl Connection {
    /// Whether the level could be raised: by default as far as every member's build goes. Nothing is changed; the answer
    /// says why it would be refused.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// println!("{:?}", connection.plan_upgrade(None).await?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody leads.
    pub async fn plan_upgrade(&self, to: Option<u32>) -> Result<Upgrade, FlameError> {
        self.ask_for_upgrade(to, true).await
    }

    /// Raises the level, for ever: builds that do not understand it cannot come back.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// let connection = flame_sdk::connect().await?;
    /// connection.upgrade(None).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`FlameError::FailedPrecondition`] while a member does not answer or its build does not understand the level;
    /// [`FlameError::Unavailable`] when nobody leads for so long that it may have been done or not: look, or ask again.
    pub async fn upgrade(&self, to: Option<u32>) -> Result<Upgrade, FlameError> {
        self.ask_for_upgrade(to, false).await
    }

    async fn ask_for_upgrade(&self, to: Option<u32>, dry_run: bool) -> Result<Upgrade, FlameError> {
        let request = ha::UpgradeRequest { to: to.unwrap_or(0), dry_run };
        let ask = |channel| async move { cluster(channel).upgrade(request).await };
        Ok(self.ask_leader(ask).await?.into())
    }
}

impl OfLeader for ha::UpgradeReply {
    fn is_elsewhere(&self) -> bool {
        self.not_leader
    }
}
