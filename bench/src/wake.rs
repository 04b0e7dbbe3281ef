//! What it costs here to wake a thread that sleeps on a processor that sleeps: much of what a lone task takes.
//!
//! On a virtual machine an idle processor goes back to the host, and comes back from there when it is woken, unless its
//! kernel looks for work itself for a while (`guest_halt_poll_ns`).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

/// Trips there and back.
const TRIPS: usize = 500;

/// Between two of them: long enough to fall asleep.
const PAUSE: Duration = Duration::from_micros(200);

/// As large as a small frame.
const MESSAGE: [u8; 100] = [0; 100];

/// How long the kernel of a virtual machine looks for work before it lets a processor sleep; `None` where nothing decides
/// that.
pub fn guest_halt_poll_ns() -> Option<u64> {
    std::fs::read_to_string("/sys/module/haltpoll/parameters/guest_halt_poll_ns").ok()?.trim().parse().ok()
}

/// Median time from a write to a loopback connection until the thread at its other end, which slept, has read it; in
/// microseconds.
///
/// # Errors
/// If there is no loopback.
pub fn wake_us() -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on the loopback interface")?;
    let mut near = TcpStream::connect(listener.local_addr()?).context("connect to the loopback interface")?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = thread::spawn(move || {
        let mut message = MESSAGE;
        // Ends with the connection.
        while far.read_exact(&mut message).is_ok() && far.write_all(&message).is_ok() {}
    });
    let mut trips = (0..TRIPS).map(|_| trip(&mut near)).collect::<Result<Vec<_>>>()?;
    drop(near);
    echo.join().ok().context("the other end broke")?;
    trips.sort();
    Ok(trips[TRIPS / 2].as_secs_f64() * 1e6 / 2.0)
}

#[allow(clippy::disallowed_methods, reason = "idling is what is measured")]
fn trip(near: &mut TcpStream) -> Result<Duration> {
    thread::sleep(PAUSE);
    let began = Instant::now();
    let mut message = MESSAGE;
    near.write_all(&message)?;
    near.read_exact(&mut message)?;
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_takes_some_time() -> Result<()> {
        assert!(wake_us()? > 0.0);
        Ok(())
    }
}
