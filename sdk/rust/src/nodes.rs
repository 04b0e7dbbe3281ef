//! Calls about workers and executors.

use flame_proto::v1;

use crate::connection::frontend;
use crate::model::{Executor, Node, part};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

impl Connection {
    /// All workers.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// for node in connection.list_nodes().await? {
    ///     println!("{}", node.metadata.name);
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn list_nodes(&self) -> Result<Vec<Node>, FlameError> {
        let reply = self
            .call(Kind::Read, |channel| async move { frontend(channel).list_nodes(v1::ListNodesRequest {}).await })
            .await;
        reply?.nodes.into_iter().map(Node::try_from).collect()
    }

    /// One worker.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let first = &connection.list_nodes().await?[0].metadata.name;
    /// println!("{:?}", connection.get_node(first).await?.status.state);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn get_node(&self, name: &str) -> Result<Node, FlameError> {
        let request = v1::GetNodeRequest { name: name.to_owned() };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { frontend(channel).get_node(request).await }
            })
            .await;
        part(reply?.node, "a node", "node")?.try_into()
    }

    /// All executors.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// println!("{} executors", connection.list_executors().await?.len());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn list_executors(&self) -> Result<Vec<Executor>, FlameError> {
        let reply =
            self.call(Kind::Read, |channel| async move {
                frontend(channel).list_executors(v1::ListExecutorsRequest {}).await
            })
            .await;
        reply?.executors.into_iter().map(Executor::try_from).collect()
    }
}
