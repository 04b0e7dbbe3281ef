//! Calls of operators: workers and what they hold, why a task does not run, what happened in the cluster.

use flame_proto::ha;
use flame_proto::ha::operate_client::OperateClient;
use flame_types::TaskNo;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tonic::transport::Channel;

use crate::at_leader::OfLeader;
use crate::model::{ClusterEvents, InstallLog, NodeLoad, TaskExplanation};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

impl Connection {
    /// All workers and what they hold, by name, without their executors one by one.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// for load in connection.list_node_loads().await? {
    ///     println!("{load:?}");
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn list_node_loads(&self) -> Result<Vec<NodeLoad>, FlameError> {
        let reply =
            self.call(Kind::Read, |channel| async move {
                operate(channel).list_node_loads(ha::ListNodeLoadsRequest {}).await
            })
            .await;
        Ok(reply?.nodes.into_iter().map(NodeLoad::from).collect())
    }

    /// One worker and what it holds, with its executors.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// # let nodes = connection.list_nodes().await?;
    /// let name = &nodes[0].metadata.name;
    /// println!("{:?}", connection.get_node_load(name).await?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn get_node_load(&self, name: &str) -> Result<NodeLoad, FlameError> {
        let request = ha::GetNodeLoadRequest { name: name.to_owned() };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { operate(channel).get_node_load(request).await }
            })
            .await;
        Ok(reply?.into())
    }

    /// Has a worker take no new executors, or take them again; that ends a drain as well. Returns how it stands then.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// let connection = flame_sdk::connect().await?;
    /// connection.cordon_node("worker-7", true).await?;
    /// // Mend it; then:
    /// connection.cordon_node("worker-7", false).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn cordon_node(&self, name: &str, on: bool) -> Result<NodeLoad, FlameError> {
        let request = ha::CordonNodeRequest { name: name.to_owned(), on };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { operate(channel).cordon_node(request).await }
            })
            .await;
        reply.map(NodeLoad::from)
    }

    /// Has a worker take nothing new and give up what it has: what runs may end. Returns how it stands right then; it
    /// holds nothing any more when it has no executors.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// let connection = flame_sdk::connect().await?;
    /// connection.drain_node("worker-7").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn drain_node(&self, name: &str) -> Result<NodeLoad, FlameError> {
        let request = ha::DrainNodeRequest { name: name.to_owned() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { operate(channel).drain_node(request).await }
            })
            .await;
        reply.map(NodeLoad::from)
    }

    /// Why a task does not run; of one that runs or has ended, where and how.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// connection.suspend_session(session.id()).await?;
    /// let task = connection.create_task(session.id(), None).await?.number()?;
    /// println!("{:?}", connection.explain_task(session.id(), task).await?);
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn explain_task(&self, session: &str, task: TaskNo) -> Result<TaskExplanation, FlameError> {
        let request = ha::ExplainTaskRequest { session_id: session.to_owned(), task_id: task.to_string() };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { operate(channel).explain_task(request).await }
            })
            .await;
        Ok(reply?.into())
    }

    /// What happened in the cluster after the event of this number (0: from the beginning), the newest `last` of it (0: all
    /// that is kept). Whoever follows asks again with the highest number; when `oldest` is above that by more than one,
    /// some have left meanwhile.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let events = connection.list_cluster_events(0, 10).await?;
    /// println!("{events:?}");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn list_cluster_events(&self, after: u64, last: u32) -> Result<ClusterEvents, FlameError> {
        let request = ha::ListClusterEventsRequest { after, last };
        let reply =
            self.call(Kind::Read, |channel| async move { operate(channel).list_cluster_events(request).await }).await;
        Ok(reply?.into())
    }
}

impl Connection {
    /// What the last install of an application's package wrote, on one worker or on all that have installed it. The workers
    /// are asked, so the answer is as old as their answers are.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// let connection = flame_sdk::connect().await?;
    /// for log in connection.read_install_logs("crawler", None).await? {
    ///     println!("{}:\n{}", log.node, log.text);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] when there are too many workers to ask all of them.
    pub async fn read_install_logs(
        &self,
        application: &str,
        node: Option<&str>,
    ) -> Result<Vec<InstallLog>, FlameError> {
        let node = node.unwrap_or_default().to_owned();
        let request = ha::ReadInstallLogsRequest { application: application.to_owned(), node };
        let ask = |channel| {
            let request = request.clone();
            async move { operate(channel).read_install_logs(request).await }
        };
        Ok(self.ask_leader(ask).await?.logs.into_iter().map(InstallLog::from).collect())
    }
}

impl OfLeader for ha::ReadInstallLogsReply {
    fn is_elsewhere(&self) -> bool {
        self.not_leader
    }
}

fn operate(channel: Channel) -> OperateClient<Channel> {
    OperateClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
