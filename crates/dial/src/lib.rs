//! TCP connections with hosts that have several addresses, some of which may be dead
//! (happy eyeballs, RFC 8305 section 5).
//!
//! Attempts start 250 ms apart, IPv6 and IPv4 in turn, and the first connection wins. An
//! attempt that fails lets the next one start at once.
//!
//! **Elsewhere**: connecting through a proxy is in [`proxy`]. TLS and what is spoken on top of it
//! belong to the callers.
//!
//! **Always**: each address has its own time limit, so that one that swallows packets never
//! keeps the next one from being tried. At most [`ADDRESSES`] are tried.

pub mod proxy;

use std::{
    collections::VecDeque,
    future::{Future, pending},
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt as _, future::Either, stream::FuturesUnordered};
pub use proxy::{ProxyError, Route, RouteError, RouteMalformed};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, sleep_until, timeout},
};

/// Attempts start this far apart (RFC 8305 section 8, Connection Attempt Delay).
pub const STAGGER: Duration = Duration::from_millis(250);
/// How long one address may take to answer.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
/// How long the name look-up may take.
pub const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried, at most.
pub const ADDRESSES: usize = 16;

/// Connects with a host: a DNS name, or an IP address without brackets.
///
/// # Errors
/// Where the name has no address, or none of its addresses answers. The error is the one
/// that says most: `ConnectionRefused` before `TimedOut` before all others.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    // An address needs no look-up.
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => timeout(LOOK_UP_LIMIT, lookup_host((host, port)))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
            .collect(),
    };
    connect_to_any(addresses).await
}

/// Connects with one of these addresses of a host, which are in the order of preference.
///
/// # Errors
/// As [`connect`].
pub async fn connect_to_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    first(addresses, TcpStream::connect).await
}

/// The first of these addresses with which `attempt` succeeds. Attempts that are under way
/// then are dropped.
///
/// # Errors
/// As [`connect`].
pub async fn first<T, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = VecDeque::from(interleaved(addresses));
    waiting.truncate(ADDRESSES);
    let mut attempts = FuturesUnordered::new();
    let mut failed: Option<io::Error> = None;
    let mut next_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= next_at
            && let Some(address) = waiting.pop_front()
        {
            attempts.push(timeout(ATTEMPT_LIMIT, attempt(address)));
            next_at = now + STAGGER;
        }
        if attempts.is_empty() && waiting.is_empty() {
            return Err(failed.unwrap_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the name has no address")
            }));
        }
        let next_start = if waiting.is_empty() {
            Either::Left(pending())
        } else {
            Either::Right(sleep_until(next_at))
        };
        let outcome = tokio::select! {
            biased;
            Some(outcome) = attempts.next() => outcome,
            () = next_start => continue,
        };
        match outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(connection) => return Ok(connection),
            Err(error) => {
                next_at = Instant::now();
                if failed
                    .as_ref()
                    .is_none_or(|known| weight(known) < weight(&error))
                {
                    failed = Some(error);
                }
            }
        }
    }
}

/// The first address's family first, then both in turn; within a family in their order
/// (RFC 8305 section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == is_first_v6);
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return ordered,
            (one, other) => ordered.extend(one.into_iter().chain(other)),
        }
    }
}

/// How much an error tells about the host: a missing IPv6 route tells nothing about it.
fn weight(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 2,
        io::ErrorKind::TimedOut => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::net::TcpListener;

    use super::*;

    fn addresses(hosts: &[&str]) -> Vec<SocketAddr> {
        let parse = |host: &&str| SocketAddr::new(host.parse().unwrap(), 443);
        hosts.iter().map(parse).collect()
    }

    /// How an address behaves.
    #[derive(Clone, Copy)]
    enum Host {
        /// Swallows packets.
        Dead,
        Refuses,
        NoRoute,
        Answers(Duration),
    }

    /// Which address won, or how all failed; when each attempt began, and when all was over.
    async fn dial(
        hosts: &[(&str, Host)],
    ) -> (io::Result<IpAddr>, Vec<(IpAddr, Duration)>, Duration) {
        let began = Instant::now();
        let tried = RefCell::new(Vec::new());
        let names: Vec<&str> = hosts.iter().map(|(name, _)| *name).collect();
        let result = first(addresses(&names), |address| {
            tried.borrow_mut().push((address.ip(), began.elapsed()));
            let (_, host) = hosts
                .iter()
                .find(|(name, _)| name.parse::<IpAddr>().unwrap() == address.ip())
                .unwrap();
            let host = *host;
            async move {
                match host {
                    Host::Dead => pending().await,
                    Host::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
                    Host::NoRoute => Err(io::ErrorKind::NetworkUnreachable.into()),
                    Host::Answers(after) => {
                        tokio::time::sleep(after).await;
                        Ok(address.ip())
                    }
                }
            }
        })
        .await;
        (result, tried.into_inner(), began.elapsed())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const QUICK: Host = Host::Answers(Duration::from_millis(20));

    #[tokio::test(start_paused = true)]
    async fn a_dead_first_address_costs_a_quarter_of_a_second() {
        let (won, tried, took) = dial(&[("2001:db8::1", Host::Dead), ("192.0.2.1", QUICK)]).await;
        assert_eq!(won.unwrap(), ip("192.0.2.1"));
        assert_eq!(tried[1].1, STAGGER);
        assert!(took < Duration::from_millis(300), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_lets_the_next_start_at_once() {
        let (won, _, took) = dial(&[
            ("2001:db8::1", Host::NoRoute),
            ("2001:db8::2", Host::Refuses),
            ("192.0.2.1", QUICK),
        ])
        .await;
        assert_eq!(won.unwrap(), ip("192.0.2.1"));
        assert!(took < Duration::from_millis(50), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_is_not_given_up_for_the_next() {
        let slow = Host::Answers(Duration::from_secs(3));
        let (won, tried, _) = dial(&[("192.0.2.1", slow), ("192.0.2.2", Host::Dead)]).await;
        assert_eq!(won.unwrap(), ip("192.0.2.1"));
        assert_eq!(tried.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn families_take_turns_and_the_first_is_the_systems_choice() {
        let hosts = [
            ("2001:db8::1", Host::Dead),
            ("2001:db8::2", Host::Dead),
            ("2001:db8::3", Host::Dead),
            ("192.0.2.1", Host::Dead),
            ("192.0.2.2", Host::Dead),
        ];
        let (result, tried, took) = dial(&hosts).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let order: Vec<IpAddr> = tried.iter().map(|(address, _)| *address).collect();
        let turns = [
            "2001:db8::1",
            "192.0.2.1",
            "2001:db8::2",
            "192.0.2.2",
            "2001:db8::3",
        ];
        assert_eq!(order, turns.map(ip));
        // Each has its own ten seconds, and they run side by side.
        assert_eq!(took, ATTEMPT_LIMIT + 4 * STAGGER);
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_that_says_most_is_reported() {
        let (result, ..) = dial(&[
            ("2001:db8::1", Host::NoRoute),
            ("192.0.2.1", Host::Refuses),
            ("192.0.2.2", Host::Dead),
        ])
        .await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let (result, ..) = dial(&[("192.0.2.1", Host::Dead), ("2001:db8::1", Host::NoRoute)]).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (result, ..) = dial(&[]).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_with_a_thousand_addresses_is_given_up_in_bounded_time() {
        let names: Vec<String> = (0..1000)
            .map(|n| format!("192.0.{}.{}", n / 250, n % 250))
            .collect();
        let hosts: Vec<(&str, Host)> = names
            .iter()
            .map(|name| (name.as_str(), Host::Dead))
            .collect();
        let (_, tried, took) = dial(&hosts).await;
        assert_eq!(tried.len(), ADDRESSES);
        assert!(took < Duration::from_secs(15), "{took:?}");
    }

    #[tokio::test]
    async fn a_socket_that_listens_is_found_behind_one_that_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listening = listener.local_addr().unwrap();
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let stream = connect_to_any(vec![closed, listening]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listening);
        let stream = connect("127.0.0.1", listening.port()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listening);
    }
}
