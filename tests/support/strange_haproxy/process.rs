//! What the process holds, and what its commands do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use staplerd::ocsp::CertId;
use staplerd::x509::Certificate;

use super::speech::{Break, Dialect, constant, printed};

/// What the program may say; anything else was written by a stranger.
const COMMANDS: [&str; 12] = [
    "prompt i",
    "set severity-output none",
    "show cli level",
    "show info",
    "show pools",
    "echo ",
    "show ssl cert",
    "show ssl ocsp-response ",
    "set ssl ocsp-response ",
    "set ssl cert ",
    "commit ssl cert ",
    "abort ssl cert ",
];

/// A certificate store.
pub struct Store {
    pub name: Vec<u8>,
    pub serial: Vec<u8>,
    pub alternative_name: Vec<u8>,
    pub subject: Vec<u8>,
    pub issuer: Vec<u8>,
    pub fingerprint: Vec<u8>,
    pub cert_id: Vec<u8>,
    /// Where its description breaks off.
    pub breaks: Break,
    /// Its place for a staple, and what is in it.
    pub slot: Option<Vec<u8>>,
}

impl Store {
    /// One with this certificate in it.
    pub fn holding(name: &str, certificate: &Certificate, issuer: &Certificate) -> Self {
        Store {
            name: name.into(),
            serial: certificate.serial().to_vec(),
            alternative_name: b"honest.example".to_vec(),
            subject: b"honest.example".to_vec(),
            issuer: b"Issuer".to_vec(),
            fingerprint: certificate.sha1_fingerprint().to_vec(),
            cert_id: CertId::new(certificate, issuer).der().to_vec(),
            breaks: Break::Nowhere,
            slot: None,
        }
    }

    /// Gives it a place for a staple, with nothing in it.
    pub fn makes_slot(&mut self) {
        self.slot = Some(Vec::new());
    }

    /// Whether a response is for this store's certificate.
    fn takes(&self, response: &[u8]) -> bool {
        let id = &self.cert_id;
        response.windows(id.len()).any(|part| part == id.as_slice())
    }
}

/// The one `set ssl cert` transaction of a process.
struct Transaction {
    store: String,
    staple: Vec<u8>,
}

pub struct Process {
    pub dialect: Dialect,
    buffer: usize,
    stores: Vec<Store>,
    transaction: Option<Transaction>,
    /// How many connections began with a greeting; others ask whether there is room for one more.
    pub conversations: usize,
    /// It ends before it answers, and is started again.
    ends: bool,
    pub pid: u32,
    /// Commands that the program never gives.
    pub misunderstood: Vec<String>,
}

impl Process {
    pub fn new(dialect: Dialect, buffer: usize, stores: Vec<Store>) -> Self {
        Process {
            dialect,
            buffer,
            stores,
            transaction: None,
            conversations: 0,
            ends: false,
            pid: 4711,
            misunderstood: Vec::new(),
        }
    }

    /// What a store holds in its slot.
    pub fn held(&self, name: &str) -> &[u8] {
        let store = self.stores.iter().find(|it| it.name == name.as_bytes());
        store.and_then(|it| it.slot.as_deref()).unwrap_or_default()
    }

    /// Has the process end over the next question about a store, or over none any more.
    pub fn ends_over(&mut self, name: &str, ends: bool) {
        if let Some(store) = self.store(name) {
            store.breaks = if ends { Break::Process } else { Break::Nowhere };
        }
    }

    /// Ends the process at its next command; another one has the same stores, without staples.
    pub fn end(&mut self) {
        self.ends = true;
    }

    /// Whether the process has come to its end; if so, there is another one now.
    pub fn has_ended(&mut self) -> bool {
        let ended = std::mem::take(&mut self.ends);
        if ended {
            self.pid += 1;
            self.transaction = None;
            for store in &mut self.stores {
                store.slot = None;
            }
        }
        ended
    }

    /// The answer to these lines, once they are a whole command; they are taken then.
    pub fn answer(&mut self, lines: &mut Vec<String>) -> Vec<u8> {
        // However it is escaped, what follows the mark is the line that ends the payload.
        let (line, end) = match lines[0].split_once(" <<") {
            Some((line, end)) => (line.to_owned(), Some(end.to_owned())),
            None => (lines[0].clone(), None),
        };
        if let Some(end) = end
            && (lines.len() == 1 || lines.last() != Some(&end))
        {
            return Vec::new();
        }
        let lines = std::mem::take(lines);
        let payload: String = lines.iter().skip(1).map(String::as_str).collect();
        let commands = commands(&line);
        let said = commands.iter().enumerate().map(|(number, arguments)| {
            let marks = if number == 0 { lines.len() - 1 } else { 0 };
            self.obey(arguments, &payload, marks)
        });
        said.collect::<Vec<_>>().concat()
    }

    fn obey(&mut self, arguments: &[String], payload: &str, marks: usize) -> Vec<u8> {
        let mut arguments = arguments;
        if let (Some("@1"), Some(rest)) =
            (arguments.first().map(String::as_str), arguments.get(1..))
        {
            arguments = rest;
        }
        let command = arguments.join(" ");
        let is_known = COMMANDS.iter().any(|known| command.starts_with(known));
        if !is_known && constant(&command).is_none() {
            self.misunderstood.push(command.clone());
        }
        if command == "prompt i" {
            self.conversations += 1;
            return self.dialect.greeting();
        }
        let text = self.reply(&command, arguments, payload);
        self.dialect.framed(&text, marks)
    }

    /// The text of the answer, with the line feeds that are its own.
    fn reply(&mut self, command: &str, arguments: &[String], payload: &str) -> Vec<u8> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let text = match words.as_slice() {
            ["set", "severity-output", "none"] => String::new(),
            ["show", "cli", "level"] => "admin\n".into(),
            ["echo", word] if self.dialect.knows_echo() => format!("{word}\n"),
            ["show", "info"] => self.dialect.info(self.pid),
            ["show", "pools", ..] => format!(
                "Dumping pools usage. Use SIGQUIT to flush them.\n  - Pool buffer ({} bytes) : 2 allocated\n",
                self.buffer
            ),
            ["show", "ssl", "cert"] => return self.listing(),
            ["show", "ssl", "cert", name] => return self.description(name),
            ["show", "ssl", "ocsp-response", "base64", id] if self.dialect.shows_base64() => {
                return self.dump(id);
            }
            ["show", "ssl", "ocsp-response", id] if self.dialect.shows_responses() => {
                return self.dump(id);
            }
            ["set", "ssl", "ocsp-response", response] => self.update(response).into(),
            ["set", "ssl", "cert", name] => self.set(name, payload),
            ["commit", "ssl", "cert", name] => self.commit(name),
            ["abort", "ssl", "cert", name] => self.abort(name),
            _ => constant(command).map_or_else(|| self.dialect.unknown(command), str::to_owned),
        };
        text.into_bytes()
    }

    fn listing(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(transaction) = &self.transaction {
            text.extend(format!("# transaction\n*{}\n\n", transaction.store).into_bytes());
        }
        text.extend(b"# filename\n");
        for store in &self.stores {
            text.extend([&store.name[..], b"\n"].concat());
        }
        text
    }

    fn store(&mut self, name: &str) -> Option<&mut Store> {
        // With a star it is the open transaction that is meant.
        let is_it = |store: &&mut Store| store.name == name.as_bytes() && !name.starts_with('*');
        self.stores.iter_mut().find(is_it)
    }

    fn description(&mut self, name: &str) -> Vec<u8> {
        let (dialect, buffer) = (self.dialect, self.buffer);
        // Nobody here puts another certificate into a transaction.
        let begun = self.transaction.as_ref().map(|it| it.store.clone());
        let begun = begun.filter(|begun| name.strip_prefix('*') == Some(begun));
        let found = self.store(begun.as_deref().unwrap_or(name));
        let is_fatal = found
            .as_ref()
            .is_some_and(|it| matches!(it.breaks, Break::Process));
        let found = found.map(|it| dialect.description(it, buffer));
        self.ends |= is_fatal;
        let missing = "Can't display the certificate: Not found or the certificate is a bundle!\n";
        found.unwrap_or_else(|| missing.into())
    }

    fn dump(&self, id: &str) -> Vec<u8> {
        let mut holders = self.stores.iter().filter(|store| {
            store.slot.is_some() && hexadecimal(&store.cert_id).eq_ignore_ascii_case(id)
        });
        let text = match holders.next().and_then(|store| store.slot.as_deref()) {
            None if self.dialect.shows_base64() => {
                "Certificate ID or path does not match any certificate.\n".to_owned()
            }
            None => "Certificate ID does not match any certificate.\n".to_owned(),
            Some([]) => String::new(),
            // The line feed behind it is the only one.
            Some(held) if self.dialect.shows_base64() => STANDARD.encode(held),
            Some(held) => printed(held),
        };
        text.into_bytes()
    }

    fn update(&mut self, response: &str) -> &'static str {
        let Ok(response) = STANDARD.decode(response) else {
            return "'set ssl ocsp-response' received invalid base64 encoded response.\n";
        };
        let mut taken = false;
        for store in &mut self.stores {
            if store.slot.is_some() && store.takes(&response) {
                store.slot = Some(response.clone());
                taken = true;
            }
        }
        match taken {
            true => "OCSP Response updated!\n",
            false => {
                "OCSP single response: Certificate ID does not match any certificate or issuer.\n"
            }
        }
    }

    fn set(&mut self, name: &str, payload: &str) -> String {
        let Some((store, kind)) = name.rsplit_once('.') else {
            return "Can't replace a certificate which is not referenced by the configuration!\n"
                .into();
        };
        if self.store(store).is_none() {
            return "Can't replace a certificate which is not referenced by the configuration!\n"
                .into();
        }
        let is_new = self.transaction.is_none();
        let transaction = self.transaction.get_or_insert_with(|| Transaction {
            store: store.to_owned(),
            staple: Vec::new(),
        });
        if kind == "ocsp" {
            transaction.staple = STANDARD.decode(payload).unwrap_or_default();
        }
        let verb = if is_new { "created" } else { "updated" };
        format!(
            "Transaction {verb} for certificate {}!\n",
            transaction.store
        )
    }

    fn commit(&mut self, name: &str) -> String {
        match self.transaction.take_if(|it| it.store == name) {
            None => "No ongoing transaction! !\n".into(),
            Some(Transaction { store, staple }) => {
                if let Some(store) = self.store(&store)
                    && store.takes(&staple)
                {
                    store.slot = Some(staple);
                }
                format!("Committing {store}.\nSuccess!\n")
            }
        }
    }

    fn abort(&mut self, name: &str) -> String {
        match &self.transaction {
            None => "No ongoing transaction!\n".into(),
            Some(open) if open.store != name => format!(
                "The ongoing transaction is about '{}' but you are trying to abort a transaction for '{name}'\n",
                open.store
            ),
            Some(_) => {
                self.transaction = None;
                format!("Transaction aborted for certificate '{name}'!\n")
            }
        }
    }
}

/// The commands of a line, each as its arguments: a `;` ends one, and what follows a `\` means
/// itself.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![String::new()]];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let Some(arguments) = commands.last_mut() else {
            break;
        };
        match character {
            ';' => commands.push(vec![String::new()]),
            ' ' | '\t' => arguments.push(String::new()),
            _ => {
                let means = match character {
                    '\\' => characters.next(),
                    _ => Some(character),
                };
                if let Some(argument) = arguments.last_mut() {
                    argument.extend(means);
                }
            }
        }
    }
    for arguments in &mut commands {
        arguments.retain(|argument| !argument.is_empty());
    }
    commands
}

/// Upper-case hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
