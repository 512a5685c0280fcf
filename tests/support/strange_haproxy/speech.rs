//! How HAProxys of several versions speak: what stands around and between the answers.

use super::process::{Store, hexadecimal};

/// The versions: their number, and whether `prompt i` makes them silent (then they know `echo`,
/// too).
const VERSIONS: [(&str, bool); 4] = [
    ("2.2.9", false),
    ("2.6.12", false),
    ("3.0.11", false),
    ("3.2.26", true),
];

/// How a description of a certificate can break off.
#[derive(Clone, Copy)]
pub enum Break {
    /// It does not.
    Nowhere,
    /// After so many bytes.
    After(usize),
    /// In place of the algorithm's name (2.2, Ed25519).
    AtAlgorithm,
    /// With the whole process (2.6.12, names that just fill the buffer).
    Process,
}

/// A version, and which of its command lines listens.
#[derive(Clone, Copy)]
pub struct Dialect {
    version: &'static str,
    silent: bool,
    master: bool,
}

impl Dialect {
    pub fn of(byte: u8) -> Self {
        let (version, silent) = VERSIONS[usize::from(byte >> 1) % VERSIONS.len()];
        Dialect {
            version,
            silent,
            master: byte & 1 == 1,
        }
    }

    pub fn address_prefix(self) -> &'static str {
        if self.master { "master:" } else { "" }
    }

    fn prompt(self) -> &'static str {
        match (self.silent, self.master) {
            (true, _) => "",
            (false, true) => "master> ",
            (false, false) => "> ",
        }
    }

    pub fn knows_echo(self) -> bool {
        self.silent
    }

    /// Shows responses in base64.
    pub fn shows_base64(self) -> bool {
        self.version >= "2.8"
    }

    /// Shows responses, and keys of slots.
    pub fn shows_responses(self) -> bool {
        self.version >= "2.5"
    }

    /// The answer to `prompt i`.
    pub fn greeting(self) -> Vec<u8> {
        match (self.silent, self.master) {
            (true, true) => Vec::new(),
            (false, true) => self.prompt().into(),
            _ => format!("\n{}", self.prompt()).into_bytes(),
        }
    }

    /// A text with what follows it, and the marks for the lines of a payload before it.
    pub fn framed(self, text: &[u8], payload: usize) -> Vec<u8> {
        let marks = if self.silent { 0 } else { payload };
        [
            "+ ".repeat(marks).as_bytes(),
            text,
            b"\n",
            self.prompt().as_bytes(),
        ]
        .concat()
    }

    pub fn info(self, pid: u32) -> String {
        let version = self.version;
        format!(
            "Name: HAProxy\nVersion: {version}\nRelease_date: 2026/01/10\nNbthread: 2\n\
             Nbproc: 1\nProcess_num: 1\nPid: {pid}\nUptime: 0d 0h01m40s\nUptime_sec: 100\n\
             Stopping: 0\nnode: here\n"
        )
    }

    pub fn unknown(self, command: &str) -> String {
        match self.version {
            "2.2.9" => "Unknown command. Please enter one of the following commands only :\n  \
                        help           : this message\n  prompt         : toggle interactive mode \
                        with prompt\n  quit           : disconnect\n"
                .to_owned(),
            _ => format!(
                "Unknown command: '{command}', but maybe one of the following ones is a better \
                 match:\n  quit                                    : disconnect\n"
            ),
        }
    }

    /// A store's description. A piece for which there is no room in the buffer is left out.
    pub fn description(self, store: &Store, buffer: usize) -> Vec<u8> {
        let mut pieces: Vec<Vec<u8>> = vec![line("Filename: ", &store.name)];
        if self.silent {
            pieces.push(line("Crt filename: ", &store.name));
            pieces.push(line(
                "OCSP filename: ",
                &[&store.name, &b".ocsp"[..]].concat(),
            ));
        }
        pieces.push(line("Status: ", b"Used"));
        pieces.push(line("Serial: ", hexadecimal(&store.serial).as_bytes()));
        pieces.push(line("notBefore: ", b"Jan 14 12:00:00 2026 GMT"));
        pieces.push(line("notAfter: ", b"Jan 16 12:00:00 2026 GMT"));
        let names = [&b"DNS:"[..], &store.alternative_name].concat();
        pieces.push(line("Subject Alternative Name: ", &names));
        match store.breaks {
            Break::AtAlgorithm => pieces.push(b"Algorithm: ".to_vec()),
            _ => {
                pieces.push(line("Algorithm: ", b"EC256"));
                let fingerprint = hexadecimal(&store.fingerprint);
                pieces.push(line("SHA1 FingerPrint: ", fingerprint.as_bytes()));
                pieces.push(line("Subject: /CN=", &store.subject));
                pieces.push(line("Issuer: /CN=", &store.issuer));
                pieces.push(line("Chain Subject: /CN=", &store.issuer));
            }
        }
        if self.shows_responses() {
            let key = match &store.slot {
                Some(_) => hexadecimal(&store.cert_id),
                None => String::new(),
            };
            pieces.push(line("OCSP Response Key: ", key.as_bytes()));
        }
        let mut text = Vec::new();
        for piece in pieces {
            if text.len() + piece.len() < buffer {
                text.extend(piece);
            }
        }
        if let Break::After(length) = store.breaks {
            text.truncate(length.max("Filename:".len()));
        }
        text
    }
}

fn line(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), value, b"\n"].concat()
}

/// A response as OpenSSL prints it, in the parts that are of use here.
pub fn printed(response: &[u8]) -> String {
    let mut text = "OCSP Response Data:\n    OCSP Response Status: successful (0x0)\n    \
                    Responses:\n    This Update: Jan 15 11:00:00 2026 GMT\n    \
                    Next Update: Jan 19 12:00:00 2026 GMT\n \n    \
                    Signature Algorithm: ecdsa-with-SHA256\n"
        .to_owned();
    // The signature is what such a response ends with.
    let signature = &response[response.len() - 64..];
    for bytes in signature.chunks(18) {
        let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("         {}\n", bytes.join(":"));
    }
    text
}

/// What 2.2 to 3.0 answer to questions about what there is not.
pub fn constant(command: &str) -> Option<&'static str> {
    let question = command.strip_suffix(" /dev/null/nothing")?;
    Some(match question {
        "show env" => "Variable not found\n",
        "show table" => "No such table\n",
        "show resolvers" => "Can't find that resolvers section\n",
        "show servers state" => "Can't find backend.\n",
        "show errors" => "No such proxy.\n",
        "show peers" => "No such peers\n",
        "get weight" => "No such backend.\n",
        "show map" => "Unknown map identifier. Please use #<id> or <file>.\n",
        "show acl" => "Unknown ACL identifier. Please use #<id> or <file>.\n",
        "show tls-keys" => "'show tls-keys' unable to locate referenced filename\n",
        _ => return None,
    })
}
