//! An OCSP responder with a status source of one's own: a table that changes while it runs.
//!
//! ```sh
//! cargo run --example responder -- ca.pem ocsp.pem ocsp.key 127.0.0.1:8080
//! ```
//! Then each line on standard input changes a row: `good 03A2EF`, `revoked 03A2EF`, or `forget
//! 03A2EF`, the serial number in hexadecimal. It ends with its input.

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use staplerd::ocsp::{CertificateStatus, RevocationReason};
use staplerd::responder::{
    Authority, Inquiry, Responder, Server, Settings, SigningKey, StatementFuture, StatusSource,
    serial, serve,
};
use staplerd::time::Timestamp;
use staplerd::x509::Bundle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The statuses by serial number. Yours may ask a database: a source may wait for its answer.
#[derive(Clone, Default)]
struct Table(Arc<RwLock<HashMap<Vec<u8>, CertificateStatus>>>);

impl StatusSource for Table {
    fn statement<'a>(&'a self, inquiry: Inquiry<'a>) -> StatementFuture<'a> {
        Box::pin(async {
            let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let status = rows.get(inquiry.serial).copied();
            // A certificate that was never issued: neither good nor revoked.
            Ok(status.unwrap_or(CertificateStatus::Unknown).into())
        })
    }
}

impl Table {
    /// Does what a line says; what is wrong with it.
    fn change(&self, line: &str) -> Result<(), &'static str> {
        let (word, number) = line.split_once(' ').ok_or("expected a word and a number")?;
        let number = serial::from_hexadecimal(number).ok_or("no hexadecimal number")?;
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match word {
            "good" => rows.insert(number, CertificateStatus::Good),
            "revoked" => rows.insert(
                number,
                CertificateStatus::Revoked {
                    at: now(),
                    reason: Some(RevocationReason::KeyCompromise),
                },
            ),
            "forget" => rows.remove(&number),
            _ => return Err("expected good, revoked or forget"),
        };
        Ok(())
    }
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

fn main() -> Result<(), Box<dyn Error>> {
    // What the responder has to say comes through `tracing`; without a subscriber it is lost.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [issuer, signer, key, address] = &arguments[..] else {
        return Err("usage: responder ISSUER.pem SIGNER.pem KEY.pem ADDRESS:PORT".into());
    };
    let certificate = |path: &str| -> Result<_, Box<dyn Error>> {
        Ok(Bundle::from_pem(&std::fs::read(path)?)?.leaf().clone())
    };
    let table = Table::default();
    let authority = Authority::new(
        certificate(issuer)?,
        certificate(signer)?,
        SigningKey::from_pem(&std::fs::read_to_string(key)?)?,
        table.clone(),
    )?;
    let server = Arc::new(Server {
        responder: Responder::new(vec![authority], Settings::default()),
        clock: now,
        faults: None,
    });

    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind(address))?;
    println!("http://{}/", listener.local_addr()?);
    let stop = CancellationToken::new();
    let serving = runtime.spawn(serve(listener, server, stop.clone()));
    for line in std::io::stdin().lock().lines() {
        match table.change(&line?) {
            Ok(()) => println!("done"),
            Err(problem) => println!("{problem}"),
        }
    }
    stop.cancel();
    runtime.block_on(serving)?;
    Ok(())
}
