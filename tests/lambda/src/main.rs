//! `neap-lambda-local [--until-end-of-input] CONFIGURATION` runs the functions of a configuration file until SIGTERM or
//! SIGINT, or until its standard input is closed. It prints one line of JSON with the addresses when it is ready.

use std::{error::Error, fs, future::pending, io, thread};

use neap_lambda_local::{Configuration, Emulator};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [path] => run(path, pending()).await,
        [flag, path] if flag == "--until-end-of-input" => run(path, end_of_input()).await,
        _ => Err("usage: neap-lambda-local [--until-end-of-input] CONFIGURATION".into()),
    }
}

async fn run(path: &str, end: impl Future<Output = ()>) -> Result<(), Box<dyn Error>> {
    let configuration: Configuration = serde_json::from_str(&fs::read_to_string(path)?)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let local = Emulator::start(configuration).await?;
    let addresses = json!({
        "gateway": local.gateway(),
        "control": local.control(),
        "store": local.store(),
        "bucket": local.bucket(),
    });
    print(&addresses.to_string());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = end => {}
    }
    local.stop().await;
    Ok(())
}

/// Waits until standard input is closed, by the parent process or because that has ended.
async fn end_of_input() {
    let (sender, ended) = oneshot::channel::<()>();
    // A thread, so that a blocking read does not delay the exit of the process.
    thread::spawn(move || {
        io::copy(&mut io::stdin().lock(), &mut io::sink()).ok();
        drop(sender);
    });
    ended.await.ok();
}

#[expect(
    clippy::print_stdout,
    reason = "the parent process waits for this line"
)]
fn print(line: &str) {
    println!("{line}");
}
