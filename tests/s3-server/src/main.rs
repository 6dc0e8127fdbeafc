//! `neap-s3-server PORT DIR [DEVIATION…]` runs the test server as its own process, for tests that kill it.

use std::{error::Error, future::pending};

use neap_s3_server::{Deviation, Options, S3Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, directory, deviations @ ..] = arguments.as_slice() else {
        return Err("usage: neap-s3-server PORT DIR [DEVIATION…]".into());
    };
    let named = |name: &String| {
        let names = Deviation::ALL.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ");
        Deviation::from_name(name).ok_or_else(|| format!("'{name}' is not one of {names}"))
    };
    let options = Options {
        port: port.parse()?,
        directory: Some(directory.into()),
        deviations: deviations.iter().map(named).collect::<Result<_, _>>()?,
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
