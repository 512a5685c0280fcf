//! A responder behind TLS on 127.0.0.1, with a certificate nobody issued.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::scripted_responder::ocsp_answer;

/// Answers every request with the same OCSP response, one per connection; stops when dropped.
pub struct TlsResponder {
    pub address: SocketAddr,
    /// The certificate as PEM, for whoever wants to trust it.
    pub certificate: tempfile::NamedTempFile,
    stopped: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl TlsResponder {
    pub fn start(response: &'static [u8]) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(certificate.path(), certified.cert.pem()).unwrap();
        let key = certified.signing_key.serialize_der().try_into().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let told = stopped.clone();
        let listener = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                let tls = ServerConnection::new(config.clone()).unwrap();
                // A client that trusts nobody breaks off: its own affair.
                let _ = serve(StreamOwned::new(tls, stream), response);
            }
        });
        TlsResponder {
            address,
            certificate,
            stopped,
            listener: Some(listener),
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}/", self.address)
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    response: &[u8],
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    stream.write_all(&ocsp_answer(response))?;
    stream.conn.send_close_notify();
    stream.flush()
}

impl Drop for TlsResponder {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}
