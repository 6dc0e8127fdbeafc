//! Tests of the options of distributed queries.

use crate::{ServeArgs, cluster, tests::parse};

fn refusal(args: &[&str]) -> String {
    let args = [&["--object-store", "memory"], args].concat();
    let args: ServeArgs = parse(&args).unwrap();
    match cluster::check(&args) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_worker_port_that_others_reach_needs_tls_or_permission() {
    for local in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        assert_eq!(refusal(&["--cluster-address", local]), "", "{local}");
    }
    let open = ["--cluster-address", "0.0.0.0:8182"];
    assert_eq!(
        refusal(&open),
        "--cluster-address 0.0.0.0:8182 can be reached from other machines: set --cluster-tls-cert, --cluster-tls-key \
         and --cluster-tls-ca, or --cluster-without-tls in a network that others cannot listen to"
    );
    let allowed = [&open[..], &["--cluster-without-tls"]].concat();
    assert_eq!(refusal(&allowed), "");
    let other_mode = [&allowed[..], &["--mode", "compact"]].concat();
    assert_eq!(refusal(&other_mode), "--cluster-address needs --mode query or all");
}

#[test]
fn the_files_of_tls_are_set_together() {
    let refused = refusal(&["--cluster-tls-cert", "c.pem"]);
    assert!(refused.contains("--cluster-tls-key is not"), "{refused}");
    let refused = refusal(&["--cluster-tls-key", "k.pem"]);
    assert!(refused.contains("--cluster-tls-cert is not"), "{refused}");
    let both = ["--cluster-tls-cert", "c.pem", "--cluster-tls-key", "k.pem"];
    let refused = refusal(&both);
    assert!(refused.contains("--cluster-tls-ca is not"), "{refused}");
}

#[test]
fn the_advertised_url_is_the_option_or_an_address_of_this_machine() {
    let url = |args: &[&str], bound: &str, is_encrypted| {
        let args = [&["--object-store", "memory"], args].concat();
        let args: ServeArgs = parse(&args).unwrap();
        let url =
            cluster::advertised_url::find(&args.cluster, bound.parse().unwrap(), is_encrypted);
        url.unwrap().to_string()
    };
    assert_eq!(url(&[], "10.0.0.1:8182", false), "http://10.0.0.1:8182/");
    assert_eq!(url(&[], "[::1]:8182", true), "https://[::1]:8182/");
    let advertised = ["--cluster-advertise", "https://a.example.org:1"];
    assert_eq!(url(&advertised, "0.0.0.0:8182", false), "https://a.example.org:1/");
    for malformed in ["a.example.org:1", "ftp://a:1", "http://a:1/path", "http://u@a:1"] {
        assert!(parse(&["--cluster-advertise", malformed]).is_err(), "{malformed}");
    }
}
