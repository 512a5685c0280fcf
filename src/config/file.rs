//! The configuration file: YAML to raw settings, each optional, none checked beyond its type.
//!
//! Pure: the text is handed in. Unknown and repeated keys and wrong types are refused with their
//! line, column and key path.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::units::duration;

/// What a configuration file says; what it does not say is absent.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Directories with certificates and the control sockets of the processes that load them.
    pub directories: Option<Vec<FileDirectory>>,
    /// Folders in the directories are scanned as well.
    pub recursive: Option<bool>,
    /// The extensions of certificate files.
    pub file_extensions: Option<Vec<String>>,
    /// Patterns of files that are passed over.
    pub ignore: Option<Vec<String>>,
    /// The permissions of staples' files, in octal.
    pub file_mode: Option<String>,
    /// The group of staples' files, by name or number.
    pub file_group: Option<String>,
    /// Life below which a staple is renewed.
    #[serde(default, deserialize_with = "duration")]
    pub minimum_validity: Option<Duration>,
    /// Share of a staple's life, in percent, that must remain; with less it is renewed.
    pub minimum_validity_percentage: Option<f64>,
    /// What happens to a response that says revoked.
    pub on_revoked: Option<OnRevoked>,
    /// Time between scans.
    #[serde(default, deserialize_with = "duration")]
    pub refresh_interval: Option<Duration>,
    /// Requests in flight at once.
    pub renewal_threads: Option<usize>,
    /// Time to connect to a responder.
    #[serde(default, deserialize_with = "duration")]
    pub connect_timeout: Option<Duration>,
    /// Time for one whole request.
    #[serde(default, deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
    /// Words and networks whose addresses may be asked although they are refused by default.
    pub allow_addresses: Option<Vec<String>>,
    /// Private networks (RFC 1918 and the like) are refused as well.
    pub refuse_private_addresses: Option<bool>,
    /// The forward proxy for `http://` responders.
    pub http_proxy: Option<String>,
    /// The forward proxy for `https://` responders.
    pub https_proxy: Option<String>,
    /// Hosts, domains and networks that are asked without a proxy.
    pub no_proxy: Option<Vec<String>>,
    /// Issuers or responder hosts, with the URL to ask instead, or null for none.
    pub responders: Option<BTreeMap<String, Option<String>>>,
    /// Issuers whose responders may sign with SHA-1 or short RSA keys.
    pub allow_sha1: Option<Vec<String>>,
}

/// What happens to a response that says that the certificate is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRevoked {
    /// It is not handed out; the last good staple runs out where it lies.
    #[default]
    Withhold,
    /// It is stapled, so that clients learn of the revocation.
    Staple,
}

/// One directory in the file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDirectory {
    /// Its path.
    pub path: PathBuf,
    /// The control sockets of the processes that load it.
    #[serde(default)]
    pub sockets: Vec<String>,
    /// Folders in it are scanned as well; the key `recursive` of the file where it is not said.
    pub recursive: Option<bool>,
}

impl From<PathBuf> for FileDirectory {
    /// A directory of which only the path is said.
    fn from(path: PathBuf) -> Self {
        FileDirectory {
            path,
            sockets: Vec::new(),
            recursive: None,
        }
    }
}

/// Why a text is no configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name}{position}: {message}{offender}", position = self.position(), offender = self.offender())]
pub struct InvalidFile {
    name: String,
    message: String,
    location: Option<(usize, usize)>,
    line: String,
}

impl InvalidFile {
    /// Of several mistakes the one that stands first, by line and column.
    fn new(name: &str, text: &str, error: &serde_yaml::Error) -> Self {
        let location = error
            .location()
            .map(|location| (location.line(), location.column()));
        let line = location
            .and_then(|(line, _)| text.lines().nth(line.saturating_sub(1)))
            .unwrap_or_default();
        let message = error.to_string();
        // The library appends what is put in front here.
        let end = message.rfind(" at line ").unwrap_or(message.len());
        InvalidFile {
            name: name.to_owned(),
            message: message[..end].to_owned(),
            location,
            line: line.trim_end().to_owned(),
        }
    }

    fn position(&self) -> String {
        match self.location {
            Some((line, column)) => format!(":{line}:{column}"),
            None => String::new(),
        }
    }

    fn offender(&self) -> String {
        if self.line.is_empty() {
            String::new()
        } else {
            format!("\n    {}", self.line)
        }
    }
}

impl File {
    /// Reads a configuration file's text; `name` is for the error.
    ///
    /// # Errors
    /// [`InvalidFile`] with the position of the first mistake.
    pub fn parse(name: &str, text: &str) -> Result<Self, InvalidFile> {
        serde_yaml::from_str::<Option<File>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| InvalidFile::new(name, text, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        File::parse("staplerd.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_read() {
        let file = File::parse(
            "staplerd.yaml",
            "directories:\n  - path: /etc/haproxy/certs\n    sockets: [/run/haproxy/admin.sock]\n    recursive: true\n\
             recursive: false\nfile_extensions: [pem]\nignore: [old.pem]\nfile_mode: 0640\n\
             file_group: haproxy\n\
             minimum_validity: 2h\nminimum_validity_percentage: 42.8\non_revoked: staple\nrefresh_interval: 30\nrenewal_threads: 16\n\
             connect_timeout: 3s\nrequest_timeout: 8s\nallow_addresses: [loopback, 192.0.2.0/24]\n\
             refuse_private_addresses: true\nhttp_proxy: http://proxy:3128\nhttps_proxy: null\n\
             no_proxy: [.internal]\nresponders:\n  ocsp.example.net: null\n\
             \x20 CN=Example CA: http://10.0.0.1/ocsp\nallow_sha1: [CN=Old CA]\n",
        )
        .unwrap();
        let directory = &file.directories.unwrap()[0];
        assert_eq!(directory.sockets, ["/run/haproxy/admin.sock"]);
        assert_eq!(directory.recursive, Some(true));
        assert_eq!(file.file_mode.as_deref(), Some("0640"));
        assert_eq!(file.minimum_validity, Some(Duration::from_secs(7200)));
        assert_eq!(file.refresh_interval, Some(Duration::from_secs(30)));
        assert_eq!(file.minimum_validity_percentage, Some(42.8));
        assert_eq!(file.on_revoked, Some(OnRevoked::Staple));
        assert_eq!(file.responders.unwrap().len(), 2);
    }

    #[test]
    fn the_example_is_valid_as_it_is_and_with_every_key_in_use() {
        let example = include_str!("../../haproxy/staplerd.yaml");
        let file = File::parse("staplerd.yaml", example).unwrap();
        assert_eq!(file.directories.unwrap().len(), 1);
        // A setting stands right behind its mark or is indented below one; prose has one space.
        let is_setting = |line: &str| !line.starts_with(' ') || line.starts_with("  ");
        let in_use: String = example
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|line| is_setting(line))
                    .unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let file = File::parse("staplerd.yaml", &in_use).unwrap();
        assert_eq!(file.renewal_threads, Some(crate::fetch::RENEWAL_THREADS));
        assert_eq!(file.responders.unwrap().len(), 3);
        assert!(file.allow_sha1.is_some() && file.no_proxy.is_some());
        // The refusal of an unknown key lists the known ones.
        let known = mistake("no_such_key: 1\n");
        let (_, known) = known.split_once("expected one of ").unwrap();
        let known = known.split('\n').next().unwrap();
        for key in known.split(", ").map(|key| key.trim_matches('`')) {
            let shown = in_use
                .lines()
                .any(|line| line.starts_with(&format!("{key}:")));
            assert!(shown, "the example lacks {key}");
        }
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(File::parse("x", "").unwrap(), File::default());
        assert_eq!(File::parse("x", "# nothing\n").unwrap(), File::default());
    }

    #[test]
    fn mistakes_come_with_file_line_column_key_and_the_line_itself() {
        let unknown = mistake("directories:\n  - path: /a\n    sockt: [x]\n");
        assert!(
            unknown.starts_with("staplerd.yaml:3:5: directories[0]: unknown field `sockt`"),
            "{unknown}"
        );
        assert!(unknown.ends_with("\n        sockt: [x]"), "{unknown}");
        let wrong = mistake("minimum_validity: soon\n");
        assert!(wrong.starts_with("staplerd.yaml:1:19: minimum_validity: invalid value: string \"soon\", expected a duration such as"), "{wrong}");
        assert!(mistake("renewal_threads: 1\nrenewal_threads: 2\n").contains("duplicate"));
        assert!(mistake("renewal_threads: [\n").starts_with("staplerd.yaml:"));
        assert!(mistake("- 1\n").starts_with("staplerd.yaml:"));
    }
}
