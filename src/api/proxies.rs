//! The client's address when proxies stand in front: what they say counts, and nobody else's word.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use poem::http::HeaderMap;

use crate::request;

/// Where proxies ask whether a request may pass.
pub(crate) const VERIFY: &str = "/v1/verify";

/// The proxies whose word counts, as networks. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// The proxies of these addresses and networks, such as `10.0.0.0/8` or `::1`.
    ///
    /// # Errors
    /// What is wrong with the first one that cannot be taken.
    pub fn parse(networks: &[String]) -> Result<Self, &'static str> {
        networks.iter().map(|text| network(text)).collect::<Result<_, _>>().map(Self)
    }

    /// The address of the client on whose behalf `peer` calls.
    ///
    /// Each proxy adds the address that called it at the right end of `X-Forwarded-For`: from there to the left, the
    /// first one that is no trusted proxy is the client; further left stands what anybody may have written. An entry
    /// that is no address ends the search at the proxy that passed it on. From a peer that is no trusted proxy the
    /// field counts for nothing.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let fields = headers.get_all("x-forwarded-for").into_iter().rev();
        let mut entries = fields.flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b','));
        while self.trusts(client) {
            match entries.next().and_then(address) {
                Some(next) => client = next,
                None => break,
            }
        }
        client
    }

    /// The name that a trusted proxy gave the request, in the one `X-Request-Id`, when it is a sane one.
    #[must_use]
    pub fn request_id<'a>(&self, peer: Option<IpAddr>, headers: &'a HeaderMap) -> Option<&'a str> {
        if self.0.is_empty() || !peer.is_some_and(|peer| self.trusts(peer.to_canonical())) {
            return None;
        }
        let mut fields = headers.get_all("x-request-id").into_iter();
        match (fields.next().and_then(|field| field.to_str().ok()), fields.next()) {
            (Some(id), None) if request::is_sane(id) => Some(id),
            _ => None,
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    let text = text.trim();
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    match network.ok_or("not an address or a network")? {
        IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some() => Err("IPv4 in the clothes of IPv6"),
        network if network.prefix_len() == 0 => Err("everybody"),
        network => Ok(network),
    }
}

/// The address of an entry, which may have a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderValue};

    use super::Proxies;

    fn proxies(networks: &[&str]) -> Result<Proxies, &'static str> {
        Proxies::parse(&networks.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_client_is_the_right_most_that_is_no_trusted_proxy() {
        let trusted = proxies(&["10.0.0.0/8", " 192.0.2.7", "2001:db8:ffff::/48", "::1"]).unwrap();
        let table: [(&str, &[&[u8]], &str); 24] = [
            // Nobody's word but a trusted proxy's.
            ("203.0.113.9", &[b"1.1.1.1"], "203.0.113.9"),
            ("203.0.113.9", &[b"1.1.1.1, 10.0.0.1"], "203.0.113.9"),
            ("::ffff:203.0.113.9", &[b"1.1.1.1"], "203.0.113.9"),
            ("2001:db8::9", &[b"1.1.1.1"], "2001:db8::9"),
            // The chain is walked from the right.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1"], "1.1.1.1"),
            ("::ffff:10.0.0.1", &[b"1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &[b"8.8.8.8, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &[b"8.8.8.8, 1.1.1.1,\t192.0.2.7 , 10.9.9.9"], "1.1.1.1"),
            ("10.0.0.1", &[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("::1", &[b"2001:db8::1, 2001:db8:ffff:1::1"], "2001:db8::1"),
            ("10.0.0.1", &[b"1.1.1.1, ::ffff:10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", &[b"::ffff:1.1.1.1"], "1.1.1.1"),
            // Many lines are one, in their order.
            ("10.0.0.1", &[b"8.8.8.8", b"1.1.1.1", b"10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", &[b"8.8.8.8, 10.0.0.3", b"10.0.0.2"], "8.8.8.8"),
            // Some proxies add a port.
            ("10.0.0.1", &[b"1.1.1.1:4711"], "1.1.1.1"),
            ("10.0.0.1", &[b"[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &[b"[2001:db8::1]"], "2001:db8::1"),
            // What is no address ends the search; what stands left of it never counts.
            ("10.0.0.1", &[b"1.1.1.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[b"1.1.1.1, \xff"], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1", b""], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1, 300.1.1.1"], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1, fe80::1%eth0"], "10.0.0.1"),
        ];
        for (peer, fields, client) in table {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(field).unwrap());
            }
            headers.append("x-real-ip", HeaderValue::from_static("9.9.9.9"));
            headers.append("forwarded", HeaderValue::from_static("for=9.9.9.9"));
            assert_eq!(trusted.client(peer.parse().unwrap(), &headers).to_string(), client, "{peer} {fields:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
        assert_eq!(Proxies::default().client("127.0.0.1".parse().unwrap(), &headers).to_string(), "127.0.0.1");
    }

    #[test]
    fn who_would_be_everybody_or_nobody_is_refused() {
        for wrong in ["", "10.0.0.0/33", "proxy.example", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "10.0.0.0/8 x"] {
            assert!(proxies(&[wrong]).is_err(), "{wrong}");
        }
    }
}
