//! The way of services to the cluster: a proxy of the worker's own, so that a service with a published client of its own
//! lives through the loss of any coordinator.
//!
//! **Invariant:** the worker does not depend on it. Where it cannot be, services get what they got without it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use flame_proxy::OwnThread;

use crate::Options;

/// Its thread, as process lists show it.
const THREAD: &str = "proxy";

/// Starts it, if it is wanted, and makes it the endpoint of services.
pub(crate) fn start(options: &mut Options) -> Option<OwnThread> {
    let wanted = options.proxy.as_ref()?;
    match OwnThread::start(THREAD, &wanted.listen, &wanted.endpoints, wanted.tls.clone()) {
        Ok(proxy) => {
            let endpoint = format!("http://{}", reached_here(proxy.address()));
            tracing::info!(%endpoint, "services reach the cluster through a proxy of this worker");
            options.services.endpoint = Some(endpoint);
            Some(proxy)
        }
        Err(error) => {
            tracing::warn!(
                %error,
                listen = wanted.listen,
                endpoint = options.services.endpoint,
                "no proxy for services: they get this endpoint itself, and lose the cluster when it is gone; choose \
                 another address with --proxy, or off"
            );
            None
        }
    }
}

/// How this machine itself reaches a listener.
fn reached_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_given_an_address_that_they_can_reach() {
        let reached = |text: &str| reached_here(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(reached("[::]:1"), "[::1]:1");
        assert_eq!(reached("127.0.0.1:1"), "127.0.0.1:1");
    }
}
