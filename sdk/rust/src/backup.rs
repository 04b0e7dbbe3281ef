//! Backups of the whole cluster, taken while it works.
//!
//! Any coordinator gives one. The bytes that come, one after the other, are the file; what is in them only coordinators
//! know.
//!
//! **Invariant:** a download that has come to its end is whole: its length and checksum were compared.

use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::backup_client::BackupClient;
use flame_proto::ha::backup_frame::Frame;
use flame_types::CoordinatorId;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::model::BackupInfo;
use crate::repeats::Kind;
use crate::{Connection, FlameError};

/// A backup on its way.
#[derive(Debug)]
pub struct BackupDownload {
    frames: Streaming<ha::BackupFrame>,
    info: BackupInfo,
    /// A coordinator that says nothing for so long is given up.
    silence_max: Duration,
    bytes: u64,
    crc32c: u32,
    is_whole: bool,
}

impl Connection {
    /// Has a coordinator take a backup: this one, or the one that is reached when none is named. Returns when it has begun to
    /// send, which takes it a reading of all its data. `stale`: what it holds will do, although nobody confirms that this is
    /// all that was acknowledged.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use std::io::Write;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let mut backup = connection.take_backup(None, false).await?;
    /// let mut file = Vec::new();
    /// while let Some(bytes) = backup.next().await? {
    ///     file.write_all(&bytes).map_err(|error| flame_sdk::FlameError::Internal(error.to_string()))?;
    /// }
    /// assert_eq!(backup.bytes(), file.len() as u64);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when no majority confirms, or nobody answers; [`FlameError::FailedPrecondition`] when that
    /// coordinator is at it already; [`FlameError::NotFound`] when there is no such coordinator.
    pub async fn take_backup(&self, of: Option<CoordinatorId>, stale: bool) -> Result<BackupDownload, FlameError> {
        match of {
            None => self.begin_backup(stale).await,
            Some(id) => {
                let members = self.members().await?;
                let found = members.members.iter().find(|member| member.id == id.0);
                let found = found.ok_or_else(|| FlameError::NotFound(format!("coordinator {id} not found")))?;
                self.one_try_at(&found.client_endpoint, self.options().attempt_timeout)?.begin_backup(stale).await
            }
        }
    }

    async fn begin_backup(&self, stale: bool) -> Result<BackupDownload, FlameError> {
        let reply = self
            .call(Kind::Read, |channel| {
                let mut client = BackupClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
                async move { client.take(ha::TakeBackupRequest { stale }).await }
            })
            .await;
        let silence_max = self.options().attempt_timeout;
        let (frames, info) = (reply?, BackupInfo::default());
        let mut download = BackupDownload { frames, info, silence_max, bytes: 0, crc32c: 0, is_whole: false };
        download.info = download.begun().await?;
        Ok(download)
    }
}

impl BackupDownload {
    /// What the backup stands for.
    #[must_use]
    pub fn info(&self) -> &BackupInfo {
        &self.info
    }

    /// Bytes that have come.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next bytes of the file; `None` when all have come, whole.
    ///
    /// # Errors
    /// What has come is of no use; [`FlameError::Unavailable`] when the coordinator is gone or silent.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FlameError> {
        if self.is_whole {
            return Ok(None);
        }
        match self.frame().await? {
            Frame::Data(data) => {
                self.bytes += data.len() as u64;
                self.crc32c = crc32c::crc32c_append(self.crc32c, &data);
                Ok(Some(data))
            }
            Frame::Done(ha::BackupDone { bytes, crc32c }) if (bytes, crc32c) == (self.bytes, self.crc32c) => {
                self.is_whole = true;
                Ok(None)
            }
            Frame::Done(_) => Err(FlameError::Internal("what has come of the backup is not what was sent".to_owned())),
            Frame::Begun(_) | Frame::Preparing(_) => Err(out_of_order()),
        }
    }

    async fn begun(&mut self) -> Result<BackupInfo, FlameError> {
        loop {
            match self.frame().await? {
                Frame::Preparing(_) => {}
                Frame::Begun(begun) => return Ok(begun.into()),
                Frame::Data(_) | Frame::Done(_) => return Err(out_of_order()),
            }
        }
    }

    async fn frame(&mut self) -> Result<Frame, FlameError> {
        let limit = self.silence_max;
        let silent = || FlameError::Unavailable(format!("the coordinator was silent for {} s", limit.as_secs_f64()));
        let message = timeout(limit, self.frames.message()).await.map_err(|_| silent())?;
        let ended = || FlameError::Unavailable("the stream ended before the backup was whole".to_owned());
        let frame = message.map_err(broken)?.ok_or_else(ended)?.frame;
        frame.ok_or_else(|| FlameError::Unimplemented("a frame of a kind that this client does not know".to_owned()))
    }
}

/// A connection that breaks has no status of its own; take another coordinator then.
fn broken(status: Status) -> FlameError {
    match FlameError::from_answer(&status) {
        FlameError::Internal(why) => FlameError::Unavailable(format!("the coordinator has given up: {why}")),
        error => error,
    }
}

fn out_of_order() -> FlameError {
    FlameError::Internal("the frames of the backup came in another order than they may".to_owned())
}
