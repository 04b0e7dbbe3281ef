//! The stream without gRPC: its frames as they are on a plain unix socket, each behind its length.
//!
//! **Invariant:** what was read is never lost: whoever waits for a frame may be dropped at any time. What is to be written
//! leaves while somebody waits for a frame.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flame_proto::ha;
use flame_types::limits::MESSAGE_BYTES_MAX;
use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use super::reply::CallError;
use super::stream::FRAMES_AHEAD;

/// Bytes of the length before a frame, most significant first.
const LENGTH_BYTES: usize = 4;

/// Room for what one look at the socket finds.
const READ_BYTES: usize = 16 << 10;

/// Most frames in one write; the kernel's own limit is higher.
const FRAMES_PER_WRITE: usize = 64;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Frames {
    socket: UnixStream,
    lengths: LengthDelimitedCodec,
    incoming: BytesMut,
    /// What has not left, the first of it perhaps in part.
    outgoing: VecDeque<Bytes>,
    /// The other side takes nothing more. What it has said before is still read.
    is_deaf: bool,
}

impl Frames {
    /// Connects; the service must listen already.
    pub(super) async fn connect(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self::new)
    }

    fn new(socket: UnixStream) -> Self {
        let lengths = LengthDelimitedCodec::builder()
            .length_field_length(LENGTH_BYTES)
            .max_frame_length(MESSAGE_BYTES_MAX)
            .new_codec();
        Self { socket, lengths, incoming: BytesMut::new(), outgoing: VecDeque::new(), is_deaf: false }
    }

    /// Takes a frame along. It leaves with the next look at the socket, in one write with all that is there by then.
    pub(super) fn send(&mut self, frame: &ha::ServiceDown) -> Result<(), CallError> {
        if self.outgoing.len() >= FRAMES_AHEAD {
            return Err(CallError::Broken("it does not read".into()));
        }
        self.outgoing.push_back(encoded(frame)?);
        Ok(())
    }

    /// The next frame; None when the service has ended the connection.
    pub(super) async fn receive(&mut self) -> Result<Option<ha::ServiceUp>, CallError> {
        loop {
            self.write();
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            let wanted =
                if self.outgoing.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            self.socket.ready(wanted).await.map_err(broken)?;
            self.incoming.reserve(READ_BYTES);
            match self.socket.try_read_buf(&mut self.incoming) {
                Ok(0) if self.incoming.is_empty() => return Ok(None),
                Ok(0) => return Err(CallError::Broken("it ended in the middle of a frame".into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<ha::ServiceUp>, CallError> {
        let frame = self.lengths.decode(&mut self.incoming).map_err(|_| {
            CallError::Broken(format!(
                "it announced a frame of more than {MESSAGE_BYTES_MAX} bytes, the most there may be"
            ))
        })?;
        let Some(frame) = frame else { return Ok(None) };
        let read = ha::ServiceUp::decode(frame.freeze());
        read.map(Some).map_err(|error| CallError::Broken(format!("it sent a frame that cannot be read: {error}")))
    }

    /// Writes as much as there is room for.
    fn write(&mut self) {
        while !self.outgoing.is_empty() && !self.is_deaf {
            let frames: Vec<IoSlice<'_>> =
                self.outgoing.iter().take(FRAMES_PER_WRITE).map(|frame| IoSlice::new(frame)).collect();
            match self.socket.try_write_vectored(&frames) {
                Ok(written) => self.on_written(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(%error, "a service reads no more");
                    self.is_deaf = true;
                }
            }
        }
        if self.is_deaf {
            self.outgoing.clear();
        }
    }

    fn on_written(&mut self, mut written: usize) {
        while let Some(first) = self.outgoing.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.outgoing.pop_front();
        }
    }
}

fn encoded(frame: &ha::ServiceDown) -> Result<Bytes, CallError> {
    let length = frame.encoded_len();
    let head = u32::try_from(length).ok().filter(|_| length <= MESSAGE_BYTES_MAX);
    let head = head.ok_or_else(|| {
        CallError::Broken(format!(
            "it was to be told {length} bytes in one frame, at most {MESSAGE_BYTES_MAX} are allowed"
        ))
    })?;
    let mut bytes = BytesMut::with_capacity(LENGTH_BYTES + length);
    bytes.put_u32(head);
    frame.encode(&mut bytes).map_err(|error| CallError::Broken(format!("it cannot be told: {error}")))?;
    Ok(bytes.freeze())
}

fn broken(error: io::Error) -> CallError {
    CallError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Service;

    use flame_proto::ha::service_down::Frame as Down;
    use flame_proto::ha::service_up::Frame as Up;

    use super::*;

    fn pair() -> (Frames, Service) {
        let (ours, theirs) = Service::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Frames::new(UnixStream::from_std(ours).unwrap()), theirs)
    }

    fn done(token: u64, output: &Bytes) -> ha::ServiceUp {
        let done = ha::TaskDone { token, output: Some(output.clone()), ..ha::TaskDone::default() };
        ha::ServiceUp { frame: Some(Up::Done(ha::TasksDone { done: vec![done] })) }
    }

    fn up(frame: &ha::ServiceUp) -> Vec<u8> {
        let mut bytes = u32::try_from(frame.encoded_len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(frame.encode_to_vec());
        bytes
    }

    fn cancel(token: u64) -> ha::ServiceDown {
        ha::ServiceDown { frame: Some(Down::Cancel(ha::CancelInvoke { token })) }
    }

    fn invoke(token: u64) -> ha::ServiceDown {
        let input = Some(Bytes::from(vec![b'x'; 64 << 10]));
        let task = ha::InvokeTask { token, input, ..ha::InvokeTask::default() };
        ha::ServiceDown { frame: Some(Down::Invoke(ha::InvokeTasks { tasks: vec![task] })) }
    }

    fn read_frame(mut service: &Service) -> ha::ServiceDown {
        let mut length = [0; LENGTH_BYTES];
        service.read_exact(&mut length).unwrap();
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        service.read_exact(&mut frame).unwrap();
        ha::ServiceDown::decode(&frame[..]).unwrap()
    }

    async fn breaks_with(mut frames: Frames, text: &str) {
        let error = frames.receive().await.unwrap_err();
        assert!(matches!(&error, CallError::Broken(why) if why.contains(text)), "{error}");
        assert!(!matches!(frames.receive().await, Ok(Some(_))), "nothing is read after that");
    }

    #[tokio::test]
    async fn frames_arrive_whole_however_they_are_cut() {
        let (mut frames, mut service) = pair();
        let large = done(7, &Bytes::from(vec![b'x'; 3 * READ_BYTES]));
        let small = [done(1, &Bytes::new()), done(2, &Bytes::from_static(b"two"))];
        let bytes: Vec<u8> = [&small[0], &large, &small[1]].into_iter().flat_map(up).collect();
        for piece in bytes.chunks(1021) {
            service.write_all(piece).unwrap();
            // Whoever waits is dropped between two pieces, as a `select!` does it.
            let _ = futures::poll!(Box::pin(frames.socket.ready(Interest::READABLE)));
        }
        for expected in [&small[0], &large, &small[1]] {
            assert_eq!(frames.receive().await.unwrap().as_ref(), Some(expected));
        }
        drop(service);
        assert_eq!(frames.receive().await.unwrap(), None);
    }

    #[tokio::test]
    async fn whoever_waits_for_half_a_frame_may_be_dropped() {
        let (mut frames, mut service) = pair();
        let frame = done(1, &Bytes::from_static(b"output"));
        let bytes = up(&frame);
        for piece in bytes.chunks(3) {
            let mut waiting = Box::pin(frames.receive());
            assert!(futures::poll!(&mut waiting).is_pending());
            service.write_all(piece).unwrap();
            tokio::task::yield_now().await;
            if let std::task::Poll::Ready(read) = futures::poll!(&mut waiting) {
                assert_eq!(read.unwrap(), Some(frame));
                return;
            }
        }
        assert_eq!(frames.receive().await.unwrap(), Some(frame));
    }

    #[tokio::test]
    async fn what_is_sent_leaves_in_order_and_in_one_write() {
        let (mut frames, service) = pair();
        frames.socket.writable().await.unwrap();
        (1..=3).for_each(|token| frames.send(&cancel(token)).unwrap());
        assert!(futures::poll!(Box::pin(frames.receive())).is_pending());
        service.set_nonblocking(true).unwrap();
        let mut bytes = [0; 1024];
        let read = (&service).read(&mut bytes).unwrap();
        let expected: Vec<u8> = (1..=3).flat_map(|token| encoded(&cancel(token)).unwrap().to_vec()).collect();
        assert_eq!(bytes[..read], expected[..]);
    }

    #[tokio::test]
    async fn a_service_that_does_not_read_is_given_up_and_one_that_reads_late_gets_everything() {
        let (mut frames, service) = pair();
        let mut sent: u64 = 0;
        let refused = loop {
            match frames.send(&invoke(sent)) {
                Ok(()) => sent += 1,
                Err(error) => break error.to_string(),
            }
            let _ = futures::poll!(Box::pin(frames.receive()));
        };
        assert!(refused.contains("does not read"), "{refused}");
        assert!(sent >= u64::try_from(FRAMES_AHEAD).unwrap(), "{sent}");

        let reader = std::thread::spawn(move || {
            (0..sent).for_each(|token| assert_eq!(read_frame(&service), invoke(token)));
            (&service).write_all(&up(&done(9, &Bytes::new()))).unwrap();
        });
        assert!(frames.receive().await.unwrap().is_some());
        reader.join().unwrap();
    }

    #[tokio::test]
    async fn what_a_service_said_before_it_died_is_read() {
        let (mut frames, mut service) = pair();
        service.write_all(&up(&done(1, &Bytes::new()))).unwrap();
        frames.send(&cancel(1)).unwrap();
        drop(service);
        assert!(frames.receive().await.unwrap().is_some());
        frames.send(&cancel(2)).unwrap();
        assert!(matches!(frames.receive().await, Ok(None)));
    }

    #[tokio::test]
    async fn wrong_frames_end_it() {
        let (frames, mut service) = pair();
        let length = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap();
        service.write_all(&length.to_be_bytes()).unwrap();
        breaks_with(frames, "more than 67108864 bytes").await;

        let (frames, mut service) = pair();
        service.write_all(&[0, 0, 0, 2, 0xff, 0xff]).unwrap();
        drop(service);
        breaks_with(frames, "cannot be read").await;

        let (frames, mut service) = pair();
        let bytes = up(&done(1, &Bytes::new()));
        service.write_all(&bytes[..bytes.len() - 1]).unwrap();
        drop(service);
        breaks_with(frames, "in the middle of a frame").await;
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_sent() {
        let input = Some(Bytes::from(vec![0; MESSAGE_BYTES_MAX]));
        let tasks = vec![ha::InvokeTask { input, ..ha::InvokeTask::default() }];
        let frame = ha::ServiceDown { frame: Some(Down::Invoke(ha::InvokeTasks { tasks })) };
        assert!(encoded(&frame).unwrap_err().to_string().contains("at most 67108864 are allowed"));
    }
}
