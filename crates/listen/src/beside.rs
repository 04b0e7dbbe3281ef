//! A stream with something beside it: whatever is read and written goes through, and what is beside it may hold a place
//! for as long as the stream is open, or have a say in when it is written.
//!
//! **Invariant:** here, and nowhere else, the calls of a stream are passed on by hand: none is forgotten, as the vectored
//! writes are when only the required ones are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// What is beside a stream. By itself it has no say.
pub trait Beside {
    /// Ready when the stream may be written.
    fn poll_turn(&mut self, _context: &Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The stream is about to be flushed.
    fn on_flush(&mut self) {}
}

/// A stream and what is beside it.
#[derive(Debug)]
pub struct With<S, B> {
    stream: S,
    beside: B,
}

impl<S, B> With<S, B> {
    /// Both together.
    pub fn new(stream: S, beside: B) -> Self {
        Self { stream, beside }
    }

    /// The stream, to be looked at.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: Connected, B> Connected for With<S, B> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<S: AsyncRead + Unpin, B: Unpin> AsyncRead for With<S, B> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin, B: Beside + Unpin> AsyncWrite for With<S, B> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.beside.poll_turn(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.beside.poll_turn(context));
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.beside.on_flush();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
