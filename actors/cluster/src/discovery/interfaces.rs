//! Which of this machine's addresses others may use.

use std::net::{IpAddr, SocketAddr};

/// Beginnings of the names of interfaces that lead to no other machine, or only over detours: Apple's peer-to-peer
/// links, tunnels, and the inner networks of containers and virtual machines.
const IGNORED: [&str; 22] = [
    "awdl",
    "llw",
    "utun",
    "docker",
    "br-",
    "bridge",
    "virbr",
    "veth",
    "vmnet",
    "vnic",
    "vboxnet",
    "podman",
    "lxcbr",
    "lxdbr",
    "cni",
    "cali",
    "flannel",
    "tun",
    "tap",
    "wg",
    "tailscale",
    "zt",
];

/// An address with the interface that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Such as `en0`.
    pub name: String,
    /// The address.
    pub address: IpAddr,
}

/// The interfaces of this machine that others may use, in the system's order: whoever dials tries all of an
/// announcement's addresses at once and keeps the one that answered first, so their order says nothing.
/// With `wanted` only those, ignored ones included.
///
/// # Errors
/// When the system does not tell its interfaces.
pub fn usable(wanted: &[String]) -> std::io::Result<Vec<Interface>> {
    let all = if_addrs::get_if_addrs()?.into_iter();
    let all = all.map(|found| Interface { address: found.addr.ip(), name: found.name });
    Ok(all.filter(|interface| interface.is_usable(wanted)).collect())
}

/// Where a port that is bound to `bound` is reached.
pub fn addresses(bound: SocketAddr, interfaces: &[Interface]) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let speaks = |address: &IpAddr| bound.is_ipv6() || address.is_ipv4();
    let reached = interfaces.iter().map(|interface| interface.address).filter(speaks);
    reached.map(|address| SocketAddr::new(address, bound.port())).collect()
}

impl Interface {
    fn is_usable(&self, wanted: &[String]) -> bool {
        if !wanted.is_empty() {
            return wanted.contains(&self.name);
        }
        let local = match self.address {
            IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
            // Addresses of one link need a zone, which differs between machines.
            IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
        };
        !local && !IGNORED.iter().any(|prefix| self.name.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str) -> Interface {
        Interface { name: name.into(), address: address.parse().unwrap() }
    }

    #[test]
    fn detours_are_left_out_unless_asked_for() {
        let kept = |name, address, wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&name| name.into()).collect();
            interface(name, address).is_usable(&wanted)
        };
        for (name, address) in [("en0", "192.168.1.5"), ("eth0", "10.0.0.2"), ("wlan0", "fd00::5")] {
            assert!(kept(name, address, &[]), "{name}");
        }
        for (name, address) in [
            ("awdl0", "192.168.1.5"),
            ("llw0", "192.168.1.5"),
            ("utun3", "100.64.0.1"),
            ("docker0", "172.17.0.1"),
            ("bridge100", "192.168.64.1"),
            ("br-4e1f", "172.18.0.1"),
            ("vboxnet0", "192.168.56.1"),
            ("podman0", "10.88.0.1"),
            ("tailscale0", "100.64.0.2"),
            ("lo", "127.0.0.1"),
            ("en0", "169.254.3.4"),
            ("en0", "fe80::1"),
        ] {
            assert!(!kept(name, address, &[]), "{name} {address}");
            assert!(kept(name, address, &[name]), "{name} by name");
            assert!(!kept(name, address, &["eth7"]), "{name} while another is asked for");
        }
    }

    #[test]
    fn an_open_port_is_reached_at_every_address_of_its_family() {
        let interfaces = [interface("en0", "192.168.1.5"), interface("en0", "fd00::5")];
        let reached = |bound: &str| addresses(bound.parse().unwrap(), &interfaces);
        assert_eq!(reached("0.0.0.0:7863"), ["192.168.1.5:7863".parse().unwrap()]);
        let both: [SocketAddr; 2] = ["192.168.1.5:7863".parse().unwrap(), "[fd00::5]:7863".parse().unwrap()];
        assert_eq!(reached("[::]:7863"), both);
        assert_eq!(reached("127.0.0.1:7863"), ["127.0.0.1:7863".parse().unwrap()]);
    }
}
