//! How fast, how cheap and how isolated fetching is. Run with `cargo bench --bench fetch`.
//!
//! The responder runs in a process of its own on loopback and answers after 20 ms, so that CPU time
//! and memory are the fetcher's alone. Ten thousand certificates are fetched and validated at the
//! default settings; then a thousand, without and with a hundred of them belonging to a responder
//! that never answers. Arguments after `--` are numbers of renewal threads to compare.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/pki.rs"]
mod pki;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use staplerd::fetch::{
    AddressRules, FetchedAnswer, Job, Need, RENEWAL_THREADS, Settings, Verdict, run, verdict,
};
use staplerd::ocsp::{CertId, Policy, Subject, encode_request, get_url, verify};
use staplerd::x509::Certificate;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CERTIFICATES: usize = 10_000;
const ANSWER_AFTER: Duration = Duration::from_millis(20);
/// How often the clock of `/proc/self/stat` ticks in a second (USER_HZ, the same on all of Linux).
const TICKS: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, directory] = &arguments[..]
        && role == "responder"
    {
        return serve(Path::new(directory));
    }
    let threads: Vec<usize> = arguments
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();

    let directory = tempfile::tempdir().unwrap();
    let responder = Responder::start(directory.path());
    let certified = Arc::new(Certified::load(directory.path()));
    println!("{CERTIFICATES} responses, each after {ANSWER_AFTER:?}, P-256, validated");
    println!("peak memory before fetching {:.1} MiB", peak_memory());
    match &threads[..] {
        [] => report(RENEWAL_THREADS, &certified, &responder),
        threads => threads
            .iter()
            .for_each(|threads| report(*threads, &certified, &responder)),
    }
    isolation(&certified, &responder);
}

fn report(threads: usize, certified: &Arc<Certified>, responder: &Responder) {
    let urls = vec![responder.url.clone(); CERTIFICATES];
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let times = fetch(threads, certified, &urls, CERTIFICATES);
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = (cpu_seconds() - cpu) / CERTIFICATES as f64 * 1000.0;
    assert_eq!(times.len(), CERTIFICATES);
    println!(
        "renewal_threads {threads}: {seconds:.2} s, {cpu:.3} ms CPU per response, peak memory {:.1} MiB",
        peak_memory()
    );
}

/// The time after which 900 certificates are done, alone and beside 100 that never are.
fn isolation(certified: &Arc<Certified>, responder: &Responder) {
    let healthy = |number: usize| !number.is_multiple_of(10);
    let urls = |other: &str| -> Vec<String> {
        (0..1000)
            .map(|number| match healthy(number) {
                true => responder.url.clone(),
                false => other.to_owned(),
            })
            .collect()
    };
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let [alone, beside] = [urls(""), urls(&responder.silent_url)]
            .map(|urls| fetch(RENEWAL_THREADS, certified, &urls, 900))
            .map(|times| times.last().unwrap().as_secs_f64());
        println!("900 responses alone {alone:.3} s, beside 100 that never come {beside:.3} s");
        ratios.push(beside / alone);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "isolation ratio {:.2} (median of {})",
        ratios[ratios.len() / 2],
        ratios.len()
    );
}

/// Fetches one response per URL, for the certificates in order, until `wanted` good ones are there;
/// the times at which they came. An empty URL is left out.
fn fetch(
    threads: usize,
    certified: &Arc<Certified>,
    urls: &[String],
    wanted: usize,
) -> Vec<Duration> {
    let settings = Settings {
        renewal_threads: threads,
        addresses: AddressRules::parse(&["loopback"]).unwrap(),
        ..Settings::default()
    };
    let for_judge = certified.clone();
    let judge = move |number: &usize, response: &[u8]| {
        let subject = Subject {
            certificate: &for_judge.certificates[*number],
            issuer: &for_judge.issuer,
        };
        let judged = verify(response, subject, None, pki::NOW, Policy::default());
        match verdict(judged, None, false, pki::NOW) {
            Verdict::Settled(Ok(assessment)) => Verdict::Settled(assessment.stapling.is_ok()),
            _ => Verdict::NextUrl(false),
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let times = runtime.block_on(async {
        let (job_sender, jobs) = mpsc::unbounded_channel();
        let (results, mut reports) = mpsc::channel(256);
        let stop = CancellationToken::new();
        let begun = Instant::now();
        for (key, url) in urls.iter().enumerate().filter(|(_, url)| !url.is_empty()) {
            let cert_id = CertId::new(&certified.certificates[key], &certified.issuer);
            let job = Job {
                key,
                urls: vec![url.clone()],
                request: encode_request(&cert_id, None).into(),
                need: Need {
                    certificate: key as u64,
                    ..Need::default()
                },
                conditional: None,
            };
            job_sender.send(job).unwrap();
        }
        let service = tokio::spawn(run(settings, jobs, judge, results, stop.clone()));
        let mut times = Vec::with_capacity(wanted);
        while times.len() < wanted {
            let report = reports.recv().await.unwrap();
            match report.outcome {
                Ok(FetchedAnswer::Judged {
                    judgement: true, ..
                }) => times.push(begun.elapsed()),
                other => panic!("not fetched or not valid: {other:?}"),
            }
        }
        stop.cancel();
        service.await.unwrap();
        times
    });
    runtime.shutdown_background();
    times
}

/// The certificates the responder made, and their issuer.
struct Certified {
    issuer: Certificate,
    certificates: Vec<Certificate>,
}

impl Certified {
    fn load(directory: &Path) -> Self {
        let bytes = std::fs::read(directory.join("certificates")).unwrap();
        let mut rest = &bytes[..];
        let mut certificates = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk() {
            let (der, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            certificates.push(Certificate::from_der(der).unwrap());
            rest = after;
        }
        let issuer = certificates.remove(0);
        Certified {
            issuer,
            certificates,
        }
    }
}

/// The process that answers.
struct Responder {
    process: Child,
    url: String,
    silent_url: String,
}

impl Responder {
    fn start(directory: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("responder")
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut url = || lines.next().unwrap().unwrap();
        Responder {
            url: url(),
            silent_url: url(),
            process,
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes certificates and responses, says where it listens, answers until it is killed.
fn serve(directory: &Path) {
    let key = pki::Key::p256();
    let leaf_key = pki::Key::p256();
    let issuer = pki::CertificateBuilder::new("Bench CA", "Bench CA", &[1])
        .with(pki::basic_constraints(true))
        .sign(&key, &key);
    let mut file = Vec::new();
    let mut store = |certificate: &Certificate| {
        let length = u32::try_from(certificate.der().len()).unwrap();
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(certificate.der());
    };
    store(&issuer);
    let mut answers = HashMap::new();
    for number in 0..CERTIFICATES as u32 {
        let serial = [&[0x01][..], &number.to_be_bytes()].concat();
        let name = format!("host-{number}.example");
        let leaf = pki::CertificateBuilder::new("Bench CA", &name, &serial).sign(&leaf_key, &key);
        store(&leaf);
        let cert_id = CertId::new(&leaf, &issuer);
        let request = encode_request(&cert_id, None);
        let target = get_url("http://x", &request)
            .unwrap()
            .split_off("http://x".len());
        let response = pki::ResponseBuilder::good(&cert_id, &issuer).sign(&key);
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: {}\r\n\r\n",
            response.len()
        )
        .into_bytes();
        answer.extend_from_slice(&response);
        answers.insert(target, answer);
    }
    std::fs::write(directory.join("certificates"), file).unwrap();
    let answers = Arc::new(answers);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("http://{}", listener.local_addr().unwrap());
        println!("http://{}", silent.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        let mut unanswered = Vec::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    tokio::spawn(answer(accepted.unwrap().0, answers.clone()));
                }
                accepted = silent.accept() => unanswered.push(accepted.unwrap()),
            }
        }
    });
}

async fn answer(mut stream: TcpStream, answers: Arc<HashMap<String, Vec<u8>>>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        while !buffer.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let text = String::from_utf8_lossy(&buffer);
        let target = text.split(' ').nth(1).unwrap_or_default();
        tokio::time::sleep(ANSWER_AFTER).await;
        if stream.write_all(&answers[target]).await.is_err() {
            return;
        }
    }
}

/// User and system time this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = [fields[11], fields[12]]
        .iter()
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    ticks / TICKS
}

/// Largest resident memory this process ever had, in MiB.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes / 1024.0
}
