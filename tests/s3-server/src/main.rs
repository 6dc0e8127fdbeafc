//! `neap-s3-server PORT DIR` runs the test server as its own process, for tests that kill it.

use std::{error::Error, future::pending};

use neap_s3_server::{Options, S3Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, directory] = arguments.as_slice() else {
        return Err("usage: neap-s3-server PORT DIR".into());
    };
    let options = Options {
        port: port.parse()?,
        directory: Some(directory.into()),
        ..Options::default()
    };
    let server = S3Server::start(options).await?;
    #[expect(
        clippy::print_stdout,
        reason = "the parent process waits for this line"
    )]
    {
        println!("{} {}", server.endpoint(), server.bucket());
    }
    pending().await
}
