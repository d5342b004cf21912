//! Names and addresses: which addresses a request may end at.
//!
//! ```text
//!  the registry is at       a realm that nobody confirmed may be at
//!  a public address         public addresses
//!  a private one            public and private ones: a site's own registry and GitLab
//!  loopback, link-local     any
//! ```
//!
//! A redirect (a storage) may lead to private addresses also from a public registry, because the storage
//! of a site often is at one; to loopback and link-local ones only from a registry that is at one.
//!
//! `endpoint` decides about addresses that are written as numbers. The addresses here come from the name service. The
//! connection is made only to those that are allowed, so a second answer of the name service (DNS rebinding) changes
//! nothing. Behind a proxy it is the proxy that looks names up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Asks a name service for the addresses of a host; it may block.
pub type Names = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The system's name service.
#[must_use]
pub fn system_names() -> Names {
    Arc::new(|host| Ok((host, 0).to_socket_addrs()?.map(|found| found.ip()).collect()))
}

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Network {
    Public,
    /// Of a site: 10/8, 172.16/12, 192.168/16, 100.64/10, `fc00::/7`.
    Private,
    /// Of this machine or its link, where cloud metadata is: 127/8, 169.254/16, `::1`, `fe80::/10`.
    Machine,
}

fn place(ip: IpAddr) -> Network {
    let v4 = |ip: Ipv4Addr| {
        let [a, b, ..] = ip.octets();
        if ip.is_loopback() || ip.is_link_local() || a == 0 {
            Network::Machine
        } else if ip.is_private() || (a == 100 && b & 0xc0 == 64) {
            Network::Private
        } else {
            Network::Public
        }
    };
    match ip.to_canonical() {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unspecified() => Network::Machine,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Network::Machine,
        IpAddr::V6(ip) if ip.is_unique_local() => Network::Private,
        // NAT64: the last four bytes are an address of version 4
        IpAddr::V6(ip) => match ip.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
            }
            _ => Network::Public,
        },
    }
}

/// Whether an address is of this machine, its link, or a private network.
pub(super) fn is_internal(ip: IpAddr) -> bool {
    place(ip) != Network::Public
}

/// The address that a URL's host is, when it is written as a number.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// How far into the internal networks a connection may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reach {
    /// To public addresses.
    Public,
    /// To private ones as well.
    Site,
    /// Anywhere.
    #[default]
    Anywhere,
}

impl Reach {
    /// What a host at these addresses may lead to.
    pub(super) fn of(addresses: &[IpAddr]) -> Self {
        match addresses.iter().map(|ip| place(*ip)).max() {
            None | Some(Network::Public) => Self::Public,
            Some(Network::Private) => Self::Site,
            Some(Network::Machine) => Self::Anywhere,
        }
    }

    pub(super) fn allows(self, ip: IpAddr) -> bool {
        match self {
            Self::Public => place(ip) == Network::Public,
            Self::Site => place(ip) != Network::Machine,
            Self::Anywhere => true,
        }
    }
}

/// The addresses of a host; it asks on a thread that may block.
pub(super) async fn look_up(names: &Names, host: &str) -> io::Result<Vec<IpAddr>> {
    if let Some(ip) = literal(host) {
        return Ok(vec![ip]);
    }
    let (names, host) = (Arc::clone(names), host.to_owned());
    tokio::task::spawn_blocking(move || names(&host)).await.map_err(io::Error::other)?
}

/// Gives the HTTP library the addresses within reach.
pub(super) struct Resolver {
    pub(super) names: Names,
    pub(super) reach: Reach,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, reach) = (Arc::clone(&self.names), self.reach);
        Box::pin(async move {
            let mut found = look_up(&names, name.as_str()).await?;
            found.retain(|ip| reach.allows(*ip));
            if found.is_empty() {
                let why = "it has no address that may be asked";
                return Err(io::Error::new(io::ErrorKind::NotFound, why).into());
            }
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_place() {
        for (text, expected) in [
            ("93.184.216.34", Network::Public),
            ("2606:2800::1", Network::Public),
            ("10.0.0.1", Network::Private),
            ("172.16.0.1", Network::Private),
            ("192.168.1.1", Network::Private),
            ("100.64.0.1", Network::Private),
            ("fd12::1", Network::Private),
            ("::ffff:10.0.0.1", Network::Private),
            ("64:ff9b::10.0.0.1", Network::Private),
            ("127.0.0.1", Network::Machine),
            ("169.254.169.254", Network::Machine),
            ("0.0.0.0", Network::Machine),
            ("::1", Network::Machine),
            ("::", Network::Machine),
            ("fe80::1", Network::Machine),
            ("::ffff:127.0.0.1", Network::Machine),
        ] {
            assert_eq!(place(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_host_leads_no_further_inside_than_it_is() {
        let [public, private, machine]: [IpAddr; 3] =
            ["93.184.216.34", "10.0.0.1", "169.254.169.254"].map(|ip| ip.parse().unwrap());
        for (own, allowed) in [
            (vec![public], [true, false, false]),
            (vec![], [true, false, false]),
            (vec![public, private], [true, true, false]),
            (vec![machine], [true, true, true]),
        ] {
            let reach = Reach::of(&own);
            assert_eq!([public, private, machine].map(|ip| reach.allows(ip)), allowed, "{own:?}");
        }
    }
}
