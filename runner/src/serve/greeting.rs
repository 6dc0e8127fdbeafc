//! What is said when the server is ready: where the data are, how to write, and how to query.

use std::{fmt, net::SocketAddr};

/// The address of commands that are not told another one.
const USUAL_ADDRESS: &str = "127.0.0.1:8181";

/// What there is to say.
#[derive(Debug)]
pub(super) struct Greeting<'a> {
    /// The address that is listened on.
    pub(super) address: SocketAddr,
    /// HTTPS is spoken.
    pub(super) is_encrypted: bool,
    /// What people call the place of the data.
    pub(super) place: &'a str,
    /// The names of this process and its cluster, as far as they were given.
    pub(super) names: [Option<&'a str>; 2],
    /// Who is let in.
    pub(super) entry: Entry,
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Everybody.
    Open,
    /// Whoever has a token.
    Tokens,
    /// Nobody: there is no token yet.
    NoTokenYet,
}

impl Greeting<'_> {
    /// An address that a client on this machine can use.
    fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        match (self.address.ip().is_unspecified(), self.address.port()) {
            (true, port) => format!("{scheme}://127.0.0.1:{port}"),
            (false, _) => format!("{scheme}://{}", self.address),
        }
    }

    /// Whether others than the users of this machine can reach the server.
    pub(super) fn is_open_to_others(&self) -> bool {
        !self.address.ip().is_loopback()
    }
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url();
        let is_usual = url == format!("http://{USUAL_ADDRESS}");
        let host = if is_usual {
            String::new()
        } else {
            format!("--host {url} ")
        };
        let named = |title, name: Option<&str>| {
            name.map_or(String::new(), |name| format!(" {title} {name}"))
        };
        let [node, cluster] = self.names;
        let (node, cluster) = (named("as node", node), named("of cluster", cluster));
        writeln!(
            f,
            "Neap {} is ready at {url}{node}{cluster}",
            env!("CARGO_PKG_VERSION")
        )?;
        writeln!(f, "  data:   {}", self.place)?;
        writeln!(
            f,
            "  write:  neap write {host}--database mydb 'cpu,host=a usage=0.5'"
        )?;
        write!(
            f,
            "  query:  neap query {host}--database mydb 'SELECT * FROM cpu'"
        )?;
        match self.entry {
            Entry::Open if self.is_open_to_others() => write!(
                f,
                "\n  There is no authentication: whoever reaches {} can read, write and delete.",
                self.address
            ),
            Entry::NoTokenYet => write!(
                f,
                "\n  There is no token yet: whoever reaches {} first can create the one that may do everything.\
                 \n  token:  neap create token {host}--admin\
                 \n  Then: export NEAP_AUTH_TOKEN=…, or --token. (Better: --admin-token-file. --without-auth asks for none.)",
                self.address
            ),
            Entry::Open | Entry::Tokens => Ok(()),
        }?;
        let has_secrets = self.entry != Entry::Open;
        match has_secrets && self.is_open_to_others() && !self.is_encrypted {
            true => f.write_str(
                "\n  Tokens come over the network in clear: use --tls-cert and --tls-key, or a proxy.",
            ),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(address: &str) -> Greeting<'static> {
        Greeting {
            address: address.parse().unwrap(),
            is_encrypted: false,
            place: "directory /data",
            names: [None, None],
            entry: Entry::Open,
        }
    }

    fn shown(greeting: &Greeting<'_>) -> String {
        greeting
            .to_string()
            .replace(env!("CARGO_PKG_VERSION"), "<version>")
    }

    #[test]
    fn the_usual_server_says_how_to_use_it() {
        insta::assert_snapshot!(shown(&greeting("127.0.0.1:8181")), @r"
        Neap <version> is ready at http://127.0.0.1:8181
          data:   directory /data
          write:  neap write --database mydb 'cpu,host=a usage=0.5'
          query:  neap query --database mydb 'SELECT * FROM cpu'
        ");
    }

    #[test]
    fn a_server_that_others_reach_warns() {
        let greeting = Greeting {
            names: [Some("n1"), Some("c1")],
            ..greeting("0.0.0.0:9000")
        };
        insta::assert_snapshot!(shown(&greeting), @r"
        Neap <version> is ready at http://127.0.0.1:9000 as node n1 of cluster c1
          data:   directory /data
          write:  neap write --host http://127.0.0.1:9000 --database mydb 'cpu,host=a usage=0.5'
          query:  neap query --host http://127.0.0.1:9000 --database mydb 'SELECT * FROM cpu'
          There is no authentication: whoever reaches 0.0.0.0:9000 can read, write and delete.
        ");
    }

    #[test]
    fn a_server_that_asks_for_tokens_says_how_to_get_the_first() {
        let greeting = |entry| Greeting {
            entry,
            ..greeting("0.0.0.0:9000")
        };
        insta::assert_snapshot!(shown(&greeting(Entry::NoTokenYet)), @"
        Neap <version> is ready at http://127.0.0.1:9000
          data:   directory /data
          write:  neap write --host http://127.0.0.1:9000 --database mydb 'cpu,host=a usage=0.5'
          query:  neap query --host http://127.0.0.1:9000 --database mydb 'SELECT * FROM cpu'
          There is no token yet: whoever reaches 0.0.0.0:9000 first can create the one that may do everything.
          token:  neap create token --host http://127.0.0.1:9000 --admin
          Then: export NEAP_AUTH_TOKEN=…, or --token. (Better: --admin-token-file. --without-auth asks for none.)
          Tokens come over the network in clear: use --tls-cert and --tls-key, or a proxy.
        ");
        let tokens = shown(&greeting(Entry::Tokens));
        assert!(!tokens.contains("no token") && !tokens.contains("authentication"));
    }

    #[test]
    fn tokens_in_clear_are_warned_of_where_others_can_listen() {
        let is_warned = |address, is_encrypted, entry| {
            let greeting = Greeting {
                is_encrypted,
                entry,
                ..greeting(address)
            };
            shown(&greeting).contains("in clear")
        };
        assert!(is_warned("0.0.0.0:1", false, Entry::Tokens));
        assert!(!is_warned("0.0.0.0:1", true, Entry::NoTokenYet));
        assert!(!is_warned("127.0.0.1:1", false, Entry::Tokens));
        assert!(!is_warned("0.0.0.0:1", false, Entry::Open));
    }
}
