//! Calls about the object directory: where cached objects lie. The objects themselves are with the nodes of the object cache.

use std::collections::VecDeque;

use flame_proto::ha;
use flame_proto::ha::object_directory_client::ObjectDirectoryClient;
use flame_types::limits::MESSAGE_BYTES_MAX;
use flame_types::{ObjectKey, ObjectTarget};
use futures::Stream;
use futures::stream::try_unfold;
use tonic::transport::Channel;

use crate::model::{CacheNode, ObjectEntry};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

impl Connection {
    /// Where an object lies, by its key `application/session/object`.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let key = flame_sdk::types::ObjectKey::parse("echo-rust/shared/model").unwrap();
    /// match connection.locate_object(&key).await {
    ///     Ok(object) => println!("version {} is with {} nodes", object.version, object.places.len()),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when it was never put, or is deleted. One that is lost with the nodes that had it is found,
    /// and says so ([`ObjectEntry::is_lost`]).
    pub async fn locate_object(&self, key: &ObjectKey) -> Result<ObjectEntry, FlameError> {
        let request = ha::LocateObjectRequest { key: key.to_string() };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { directory(channel).locate(request).await }
            })
            .await;
        Ok(reply?.into())
    }

    /// The objects of a session or an application, or all there are, in the order of their keys, page by page.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let mut objects = std::pin::pin!(connection.list_objects(None));
    /// while let Some(object) = objects.next().await {
    ///     println!("{}", object?.key);
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// Its items are [`FlameError::Unavailable`] when nobody answers; nothing comes after an error.
    pub fn list_objects(
        &self,
        target: Option<&ObjectTarget>,
    ) -> impl Stream<Item = Result<ObjectEntry, FlameError>> + Send + use<> {
        let target = target.map(ToString::to_string).unwrap_or_default();
        let list = ObjectList { connection: self.clone(), target, after: Some(String::new()), page: VecDeque::new() };
        try_unfold(list, |mut list| async move { Ok(list.next().await?.map(|object| (object, list))) })
    }

    /// Deletes objects wherever they lie: from the answer on nobody finds them. Succeeds also when there is nothing.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let target = flame_sdk::types::ObjectTarget::parse("echo-rust/*").unwrap();
    /// connection.delete_objects(&target).await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers, [`FlameError::UnknownOutcome`] when an answer was lost.
    pub async fn delete_objects(&self, target: &ObjectTarget) -> Result<(), FlameError> {
        let request = ha::DeleteEntriesRequest { target: target.to_string() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { directory(channel).delete(request).await }
            })
            .await;
        reply.map(|_| ())
    }

    /// The nodes of the object cache, by name.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// for node in connection.list_cache_nodes().await? {
    ///     println!("{} at {}", node.name, node.endpoint);
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn list_cache_nodes(&self) -> Result<Vec<CacheNode>, FlameError> {
        let reply = self
            .call(Kind::Read, |channel| async move { directory(channel).nodes(ha::CacheNodesRequest {}).await })
            .await;
        Ok(reply?.nodes.into_iter().map(CacheNode::from).collect())
    }

    /// Removes a node of the object cache that is gone and will not come back: what only it had is lost for good.
    ///
    /// ```no_run
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// connection.remove_cache_node("cache-3").await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when no such node is known, [`FlameError::FailedPrecondition`] while it is attached or its
    /// lease runs, and as [`Connection::delete_objects`].
    pub async fn remove_cache_node(&self, name: &str) -> Result<(), FlameError> {
        let request = ha::RemoveCacheRequest { cache: name.to_owned() };
        loop {
            let reply = self
                .change(|channel, mark| {
                    let request = mark.attach(request.clone());
                    async move { directory(channel).remove(request).await }
                })
                .await;
            if reply?.left == 0 {
                return Ok(());
            }
        }
    }
}

/// Where a listing stands.
struct ObjectList {
    connection: Connection,
    /// What is listed; empty: all.
    target: String,
    /// After which key the next page begins; `None`: there is none.
    after: Option<String>,
    /// What has come and was not given out.
    page: VecDeque<ha::DirectoryEntry>,
}

impl ObjectList {
    async fn next(&mut self) -> Result<Option<ObjectEntry>, FlameError> {
        loop {
            if let Some(entry) = self.page.pop_front() {
                return Ok(Some(entry.into()));
            }
            let Some(after) = self.after.take() else { return Ok(None) };
            let request = ha::ListDirectoryRequest { target: self.target.clone(), after, limit: 0 };
            let reply = self
                .connection
                .call(Kind::Read, |channel| {
                    let request = request.clone();
                    async move { directory(channel).list(request).await }
                })
                .await?;
            // A page may hold nothing although more comes.
            self.after = Some(reply.next).filter(|next| !next.is_empty());
            self.page = reply.entries.into();
        }
    }
}

fn directory(channel: Channel) -> ObjectDirectoryClient<Channel> {
    ObjectDirectoryClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
