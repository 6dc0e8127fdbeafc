//! The message printed when the server is ready: where the data is stored, how to write, and how to query.

use std::{fmt, net::SocketAddr};

use url::Url;

/// Default server address of the client commands.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8181";

/// The contents of the startup message.
#[derive(Debug)]
pub(super) struct StartupMessage<'a> {
    /// Address of the listener.
    pub(super) address: SocketAddr,
    /// Whether the server uses HTTPS.
    pub(super) is_encrypted: bool,
    /// Description of the store.
    pub(super) place: &'a str,
    /// Names of this process and its cluster, if set.
    pub(super) names: [Option<&'a str>; 2],
    /// Address for QuestDB's clients over TCP, if there is one.
    pub(super) questdb: Option<SocketAddr>,
    /// Address for clients of PostgreSQL, if there is one.
    pub(super) postgres: Option<SocketAddr>,
    /// URL at which other processes send parts of queries, if there is one.
    pub(super) worker: Option<&'a Url>,
    /// Whether the server shows a page in browsers.
    pub(super) has_console: bool,
    /// Authentication state of the server.
    pub(super) entry: AuthState,
    /// Whether users can sign in with a password.
    pub(super) has_passwords: bool,
    /// The program, as commands name it.
    pub(super) program: &'a str,
}

/// Returns the name under which this process was started, so that the example commands work as typed: `neap` if the shell
/// found it, otherwise its path.
pub(super) fn program_name() -> String {
    let name = std::env::args_os().next();
    name.map_or_else(|| "neap".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Authentication state of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthState {
    /// Authentication is disabled.
    Open,
    /// Requests need a token.
    Tokens,
    /// Requests need a token, but no token exists yet.
    NoTokenYet,
}

impl StartupMessage<'_> {
    /// Returns an address that a client on this machine can use.
    fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        match (self.address.ip().is_unspecified(), self.address.port()) {
            (true, port) => format!("{scheme}://127.0.0.1:{port}"),
            (false, _) => format!("{scheme}://{}", self.address),
        }
    }

    /// Returns whether the server is reachable from other machines.
    pub(super) fn is_open_to_others(&self) -> bool {
        !self.address.ip().is_loopback()
    }
}

impl fmt::Display for StartupMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, program) = (self.url(), self.program);
        let is_usual = url == format!("http://{DEFAULT_ADDRESS}");
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
        writeln!(f, "Neap {} is ready at {url}{node}{cluster}", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  data:   {}", self.place)?;
        writeln!(f, "  write:  {program} write {host}--database mydb 'cpu,host=a usage=0.5'")?;
        write!(f, "  query:  {program} query {host}--database mydb 'SELECT * FROM cpu'")?;
        if self.has_console {
            write!(f, "\n  browse: {url}/")?;
        }
        if let Some(address) = self.questdb {
            let scheme = if self.is_encrypted { "tcps" } else { "tcp" };
            write!(f, "\n  QuestDB's clients: {scheme}::addr={address};")?;
        }
        if let Some(address) = self.postgres {
            write!(f, "\n  PostgreSQL's clients: postgresql://{address}/mydb")?;
        }
        if let Some(url) = self.worker {
            write!(f, "\n  Worker of the cluster: {url}")?;
        }
        match self.entry {
            AuthState::Open if self.is_open_to_others() => write!(
                f,
                "\n  Authentication is disabled: anyone who can reach {} can read, write and delete.",
                self.address
            ),
            AuthState::NoTokenYet if self.has_passwords => write!(
                f,
                "\n  There is no administrator yet: anyone who can reach {} can become the first one.\
                 \n  user:   {program} manage init-admin {host}--username admin\
                 \n  Then: {program} auth login {host}--username admin",
                self.address
            ),
            AuthState::NoTokenYet => write!(
                f,
                "\n  There is no token yet: anyone who can reach {} can create the first one, the admin token.\
                 \n  token:  {program} create token {host}--admin\
                 \n  Then: export NEAP_AUTH_TOKEN=…, or --token. (Better: --admin-token-file. --without-auth disables authentication.)",
                self.address
            ),
            AuthState::Open | AuthState::Tokens => Ok(()),
        }?;
        let has_secrets = self.entry != AuthState::Open;
        if has_secrets && self.is_open_to_others() && !self.is_encrypted {
            let secrets = if self.has_passwords {
                "Tokens and passwords"
            } else {
                "Tokens"
            };
            write!(
                f,
                "\n  {secrets} are sent unencrypted over the network: use --tls-cert and --tls-key, or a proxy."
            )
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(address: &str) -> StartupMessage<'static> {
        StartupMessage {
            address: address.parse().unwrap(),
            is_encrypted: false,
            place: "directory /data",
            names: [None, None],
            questdb: None,
            postgres: None,
            worker: None,
            has_console: false,
            entry: AuthState::Open,
            has_passwords: false,
            program: "neap",
        }
    }

    fn shown(greeting: &StartupMessage<'_>) -> String {
        greeting.to_string().replace(env!("CARGO_PKG_VERSION"), "<version>")
    }

    #[test]
    fn the_default_server_shows_example_commands() {
        insta::assert_snapshot!(shown(&greeting("127.0.0.1:8181")), @r"
        Neap <version> is ready at http://127.0.0.1:8181
          data:   directory /data
          write:  neap write --database mydb 'cpu,host=a usage=0.5'
          query:  neap query --database mydb 'SELECT * FROM cpu'
        ");
    }

    #[test]
    fn a_server_with_a_console_shows_its_address() {
        let greeting = StartupMessage { has_console: true, ..greeting("127.0.0.1:8181") };
        let shown = shown(&greeting);
        assert!(shown.ends_with("\n  browse: http://127.0.0.1:8181/"), "{shown}");
    }

    #[test]
    fn a_server_reachable_from_other_machines_warns() {
        let greeting =
            StartupMessage { names: [Some("n1"), Some("c1")], ..greeting("0.0.0.0:9000") };
        insta::assert_snapshot!(shown(&greeting), @r"
        Neap <version> is ready at http://127.0.0.1:9000 as node n1 of cluster c1
          data:   directory /data
          write:  neap write --host http://127.0.0.1:9000 --database mydb 'cpu,host=a usage=0.5'
          query:  neap query --host http://127.0.0.1:9000 --database mydb 'SELECT * FROM cpu'
          Authentication is disabled: anyone who can reach 0.0.0.0:9000 can read, write and delete.
        ");
    }

    #[test]
    fn a_server_without_tokens_shows_how_to_create_the_first() {
        let greeting = |entry| StartupMessage { entry, ..greeting("0.0.0.0:9000") };
        insta::assert_snapshot!(shown(&greeting(AuthState::NoTokenYet)), @"
        Neap <version> is ready at http://127.0.0.1:9000
          data:   directory /data
          write:  neap write --host http://127.0.0.1:9000 --database mydb 'cpu,host=a usage=0.5'
          query:  neap query --host http://127.0.0.1:9000 --database mydb 'SELECT * FROM cpu'
          There is no token yet: anyone who can reach 0.0.0.0:9000 can create the first one, the admin token.
          token:  neap create token --host http://127.0.0.1:9000 --admin
          Then: export NEAP_AUTH_TOKEN=…, or --token. (Better: --admin-token-file. --without-auth disables authentication.)
          Tokens are sent unencrypted over the network: use --tls-cert and --tls-key, or a proxy.
        ");
        let tokens = shown(&greeting(AuthState::Tokens));
        assert!(!tokens.contains("no token") && !tokens.contains("authentication"));
    }

    #[test]
    fn a_server_whose_users_have_passwords_shows_how_to_create_the_first() {
        let greeting = StartupMessage {
            entry: AuthState::NoTokenYet,
            has_passwords: true,
            ..greeting("0.0.0.0:9000")
        };
        insta::assert_snapshot!(shown(&greeting), @"
        Neap <version> is ready at http://127.0.0.1:9000
          data:   directory /data
          write:  neap write --host http://127.0.0.1:9000 --database mydb 'cpu,host=a usage=0.5'
          query:  neap query --host http://127.0.0.1:9000 --database mydb 'SELECT * FROM cpu'
          There is no administrator yet: anyone who can reach 0.0.0.0:9000 can become the first one.
          user:   neap manage init-admin --host http://127.0.0.1:9000 --username admin
          Then: neap auth login --host http://127.0.0.1:9000 --username admin
          Tokens and passwords are sent unencrypted over the network: use --tls-cert and --tls-key, or a proxy.
        ");
    }

    #[test]
    fn unencrypted_tokens_on_a_network_address_cause_a_warning() {
        let is_warned = |address, is_encrypted, entry| {
            let greeting = StartupMessage { is_encrypted, entry, ..greeting(address) };
            shown(&greeting).contains("unencrypted")
        };
        assert!(is_warned("0.0.0.0:1", false, AuthState::Tokens));
        assert!(!is_warned("0.0.0.0:1", true, AuthState::NoTokenYet));
        assert!(!is_warned("127.0.0.1:1", false, AuthState::Tokens));
        assert!(!is_warned("0.0.0.0:1", false, AuthState::Open));
    }
}
