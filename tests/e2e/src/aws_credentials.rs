//! The chain of credentials of the AWS SDK, as `neap` uses it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    time::Duration,
};

use tempfile::TempDir;

use crate::harness::{neap_binary, program, wait_for};

/// Maximum time until a program asks for credentials.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_web_identity_signs_in_through_the_proxy_of_the_environment() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "token").unwrap();
    let mut command = program(&neap_binary(), folder.path());
    command
        .args(["check-store", "--object-store", "s3", "--bucket", "b"])
        .args(["--aws-default-region", "eu-central-1"])
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/neap")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HTTPS_PROXY", format!("http://{}", proxy.local_addr().unwrap()));
    let mut child = command.spawn().unwrap();
    let (connection, _) = wait_for("connection to the proxy", LIMIT, || proxy.accept().ok());
    connection.set_nonblocking(false).unwrap();
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(line, "CONNECT sts.eu-central-1.amazonaws.com:443 HTTP/1.1\r\n");
}
