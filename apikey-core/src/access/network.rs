//! The networks that a key may be used from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex};

use ipnet::{IpNet, Ipv4Net};

use crate::base::interner::Full;
use crate::base::lock::lock;

/// The set of a key that names no networks: the key is valid from anywhere.
pub(crate) const ANYWHERE: u32 = 0;

/// Sets of networks, each once, for the life of the process, as owners and sets of grants are (`base/interner.rs`).
static SETS: boxcar::Vec<Box<[IpNet]>> = boxcar::Vec::new();
static NUMBERS: LazyLock<Mutex<HashMap<Box<[IpNet]>, u32>>> = LazyLock::new(Mutex::default);

/// Parses a network (`10.0.0.0/8`), or an address as a network of one. Returns `None` for anything else, and for a
/// network with bits set after its prefix: `10.1.2.3/8` is more likely a mistake than a way to write `10.0.0.0/8`.
pub(crate) fn parse(text: &str) -> Option<IpNet> {
    // `IpNet` does not parse this: it accepts `010.0.0.0`, which other parsers read as 8.0.0.0.
    let net = match text.split_once('/') {
        Some((address, prefix)) if prefix.bytes().all(|digit| digit.is_ascii_digit()) => {
            IpNet::new(address.parse().ok()?, prefix.parse().ok()?).ok()?
        }
        Some(_) => return None,
        None => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    if net.addr() != net.network() {
        return None;
    }
    // An IPv4 address that is mapped into IPv6 counts as IPv4, as it does for peers.
    match net {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).ok().map(IpNet::V4),
            _ => Some(net),
        },
        IpNet::V4(_) => Some(net),
    }
}

/// Whether an address is in one of the networks.
pub(crate) fn contains(networks: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    networks.iter().any(|net| net.contains(&peer))
}

/// Returns the number of the set that a record names. A text that is not a network contains no address.
pub(crate) fn number(named: &[String]) -> Result<u32, Full> {
    if named.is_empty() { Ok(ANYWHERE) } else { intern(named.iter().filter_map(|net| parse(net)).collect()) }
}

/// Whether a peer is in the set; an unknown peer is in none but "anywhere".
pub(crate) fn set_contains(set: u32, peer: Option<IpAddr>) -> bool {
    set == ANYWHERE || peer.is_some_and(|peer| contains(networks(set), peer))
}

/// The number of the set of all that is in both.
pub(crate) fn meet(one: u32, other: u32) -> Result<u32, Full> {
    match (one, other) {
        (ANYWHERE, set) | (set, ANYWHERE) => Ok(set),
        (one, other) if one == other => Ok(one),
        (one, other) => intern(overlaps(networks(one), networks(other))),
    }
}

/// The same for the networks of two records; `None` if they share no address, which a record cannot express.
pub(crate) fn meet_names(one: &[String], other: &[String]) -> Option<Vec<String>> {
    match (one, other) {
        ([], named) | (named, []) => Some(named.to_vec()),
        (one, other) if one == other => Some(one.to_vec()),
        (one, other) => {
            let parsed = |named: &[String]| named.iter().filter_map(|net| parse(net)).collect::<Vec<_>>();
            let overlaps = overlaps(&parsed(one), &parsed(other));
            (!overlaps.is_empty()).then(|| overlaps.iter().map(IpNet::to_string).collect())
        }
    }
}

/// Whether a network of the old set is in none of the new one.
pub(crate) fn lose(old: u32, new: u32) -> bool {
    match (old, new) {
        (_, ANYWHERE) => false,
        (ANYWHERE, _) => true,
        (old, new) => !networks(old).iter().all(|net| networks(new).iter().any(|wide| wide.contains(net))),
    }
}

/// Returns the first network in `inner` that `outer` does not contain, or `anywhere`. An empty list means anywhere.
pub(crate) fn beyond<'a>(inner: &'a [String], outer: &[String]) -> Option<&'a str> {
    if outer.is_empty() {
        return None;
    }
    if inner.is_empty() {
        return Some("anywhere");
    }
    let outer: Vec<IpNet> = outer.iter().filter_map(|net| parse(net)).collect();
    let is_beyond = |net: IpNet| !outer.iter().any(|wide| wide.contains(&net));
    inner.iter().find(|net| parse(net).is_some_and(is_beyond)).map(String::as_str)
}

/// Returns the networks that both contain. Of two networks, one contains the other, or they share no address.
fn overlaps(one: &[IpNet], other: &[IpNet]) -> Vec<IpNet> {
    let within = |narrow: &[IpNet], wide: &[IpNet]| {
        narrow.iter().copied().filter(|net| wide.iter().any(|wide| wide.contains(net))).collect::<Vec<_>>()
    };
    let mut shared = [within(one, other), within(other, one)].concat();
    shared.sort_unstable();
    shared.dedup();
    shared
}

#[inline]
fn networks(set: u32) -> &'static [IpNet] {
    let at = set.checked_sub(1).and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| SETS.get(at)).map_or(&[], |set| &**set)
}

fn intern(mut set: Vec<IpNet>) -> Result<u32, Full> {
    set.sort_unstable();
    set.dedup();
    let mut numbers = lock(&NUMBERS);
    if let Some(number) = numbers.get(set.as_slice()) {
        return Ok(*number);
    }
    // The lock is held, so only this thread adds a set.
    let number = u32::try_from(SETS.count() + 1).map_err(|_| Full)?;
    let set = set.into_boxed_slice();
    SETS.push(set.clone());
    numbers.insert(set, number);
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(nets: &[&str]) -> u32 {
        number(&nets.iter().map(|net| (*net).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn how_networks_are_written() {
        let shown = |text: &str| parse(text).map(|net| net.to_string());
        for (given, net) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::1", "::1/128"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(shown(given).as_deref(), Some(net), "{given}");
        }
        for bad in [
            "",
            " ",
            "10.0.0.0/8 ",
            "10.1.2.3/8",
            "10.0.0.0/33",
            "10.0.0",
            "010.0.0.0/8",
            "::/129",
            "2001:db8::1/32",
            "fe80::1%eth0",
            "localhost",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.0.0",
            "::ffff:0:0/90",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }

    #[test]
    fn sets_contain_peers() {
        assert!(set_contains(ANYWHERE, None) && set_contains(ANYWHERE, peer("8.8.8.8")));
        let office = set(&["10.0.0.0/8", "::1"]);
        assert!(set_contains(office, peer("10.255.0.1")) && set_contains(office, peer("::1")));
        assert!(set_contains(office, peer("::ffff:10.0.0.1")), "an address of IPv4");
        assert!(
            !set_contains(office, None)
                && !set_contains(office, peer("11.0.0.1"))
                && !set_contains(office, peer("::2"))
        );
        assert!(!set_contains(set(&["::/0"]), peer("::ffff:10.0.0.1")), "IPv4 is not IPv6");
        assert!(!set_contains(set(&["nonsense"]), peer("10.0.0.1")) && set(&["nonsense"]) != ANYWHERE);
    }

    #[test]
    fn what_sets_share_and_lose() {
        let (wide, narrow) = (set(&["10.0.0.0/8", "::1"]), set(&["10.1.0.0/16"]));
        assert_eq!(meet(wide, narrow).unwrap(), narrow);
        assert_eq!(meet(wide, ANYWHERE).unwrap(), wide);
        let nowhere = meet(narrow, set(&["::1"])).unwrap();
        assert!(nowhere != ANYWHERE && !set_contains(nowhere, peer("::1")) && !set_contains(nowhere, peer("10.1.0.1")));
        assert!(lose(wide, narrow) && lose(ANYWHERE, wide) && lose(narrow, nowhere));
        assert!(!lose(narrow, wide) && !lose(wide, ANYWHERE) && !lose(nowhere, narrow) && !lose(wide, wide));
        let names = |nets: &[&str]| nets.iter().map(|net| (*net).to_owned()).collect::<Vec<_>>();
        assert_eq!(meet_names(&names(&["10.0.0.0/8"]), &names(&["10.1.0.0/16"])), Some(names(&["10.1.0.0/16"])));
        assert_eq!(meet_names(&names(&["10.0.0.0/8"]), &[]), Some(names(&["10.0.0.0/8"])));
        assert_eq!(meet_names(&names(&["10.0.0.0/8"]), &names(&["::1"])), None);
    }

    fn nets() -> impl Strategy<Value = Vec<IpNet>> {
        // Few leading bits, so that networks are in each other.
        let v4 = (0u32..8, 0u8..=6)
            .prop_map(|(bits, prefix)| IpNet::from(Ipv4Net::new((bits << 29).into(), prefix).unwrap().trunc()));
        let v6 = (0u128..8, 0u8..=6)
            .prop_map(|(bits, prefix)| IpNet::from(ipnet::Ipv6Net::new((bits << 125).into(), prefix).unwrap().trunc()));
        proptest::collection::vec(prop_oneof![v4, v6], 0..6)
    }

    fn peers() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()))
        ]
    }

    proptest! {
        #[test]
        fn a_set_is_its_networks(one in nets(), other in nets(), peer in peers()) {
            let (a, b) = (intern(one.clone()).unwrap(), intern(other.clone()).unwrap());
            let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&peer.to_canonical()));
            prop_assert_eq!(set_contains(a, Some(peer)), is_in(&one));
            prop_assert_eq!(set_contains(meet(a, b).unwrap(), Some(peer)), is_in(&one) && is_in(&other));
            if !lose(a, b) && is_in(&one) {
                prop_assert!(is_in(&other));
            }
        }
    }
}
