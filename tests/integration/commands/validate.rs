//! `staplerd validate`: mistakes with their places, and what the world lacks.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{last_line, staplerd, stdout};
use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Setup, installations};
use crate::support::pki::Authority;

/// A URL whose host needs no lookup and is always allowed.
const RESPONDER: &str = "http://192.0.2.1/";

/// A folder with a configuration.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("certs")).unwrap();
        World { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Checks this configuration, in which `{dir}` is the folder.
    fn validate(&self, configuration: &str, more: &[&str]) -> Output {
        let directory = self.dir.path().to_str().unwrap();
        // Whether the daemon can be asked is another matter.
        let text = format!("control_socket: null\n{configuration}").replace("{dir}", directory);
        self.write("staplerd.yaml", &text);
        let file = self.path("staplerd.yaml");
        let mut arguments = vec!["validate", file.to_str().unwrap()];
        arguments.extend(more);
        staplerd(&arguments)
    }
}

/// There is a line with this grade and these words.
fn assert_line(output: &Output, grade: &str, words: &[&str]) {
    let text = stdout(output);
    let is_meant =
        |line: &str| line.starts_with(grade) && words.iter().all(|word| line.contains(word));
    assert!(
        text.lines().any(is_meant),
        "no {grade} line with {words:?} in:\n{text}"
    );
}

#[test]
fn mistakes_are_told_all_at_once_with_their_places() {
    let world = World::new();
    let output = world.validate("directorys: [/a]\nrenewal_threads: 0\n", &[]);
    assert_eq!(output.status.code(), Some(78));
    assert_line(
        &output,
        "error",
        &["staplerd.yaml:2:1: directorys: unknown key", "directories?"],
    );
    assert_line(
        &output,
        "error",
        &["staplerd.yaml:3:18: renewal_threads: 0 is not between"],
    );
    assert!(stdout(&output).contains("\n    renewal_threads: 0\n"));
    assert_eq!(last_line(&output), "not valid: 2 errors, 0 warnings");
    let missing = staplerd(&["validate", "/nonexistent/staplerd.yaml"]);
    assert_eq!(missing.status.code(), Some(78));
    assert_line(
        &missing,
        "error",
        &["/nonexistent/staplerd.yaml: No such file"],
    );
}

#[test]
fn a_world_as_it_should_be_is_valid() {
    let Some(installation) = installations("validate").into_iter().next() else {
        return;
    };
    let authority = Authority::new();
    let site = authority.issue("site.example", Some(RESPONDER)).pem();
    let plain = authority.issue("plain.example", None).pem();
    let files: &[(&str, &[u8])] = &[
        ("site.pem", site.as_bytes()),
        ("plain.pem", plain.as_bytes()),
    ];
    let haproxy = Haproxy::start(&installation, Setup::default(), files);
    let world = World::new();
    let configuration = format!(
        "directories: [{{path: {}, sockets: [{}]}}]\nhooks: {{renewed: sh}}\n",
        haproxy.path("certs"),
        haproxy.path("admin.sock")
    );
    let output = world.validate(&configuration, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert_line(
        &output,
        "ok",
        &["certificates", "1 to staple for, 1 without a responder"],
    );
    assert_line(
        &output,
        "ok",
        &["socket", "admin.sock: HAProxy ", "level admin"],
    );
    assert_line(
        &output,
        "ok",
        &["responder", "http://192.0.2.1 at 192.0.2.1:80"],
    );
    assert_line(&output, "ok", &["staples", &haproxy.path("certs")]);
    assert_line(&output, "ok", &["hook", "sh"]);
    assert_eq!(last_line(&output), "valid: 0 warnings");
    // The same, found through HAProxy's own configuration.
    let configuration = format!("haproxy_config: {}\n", haproxy.path("haproxy.cfg"));
    let output = world.validate(&configuration, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert_line(
        &output,
        "ok",
        &["certificates", "1 to staple for, 1 without a responder"],
    );
    assert_line(
        &output,
        "ok",
        &["socket", "admin.sock: HAProxy ", "level admin"],
    );
}

#[test]
fn a_control_socket_needs_somebody_behind_it_and_the_level_admin() {
    let Some(installation) = installations("validate level").into_iter().next() else {
        return;
    };
    let authority = Authority::new();
    let site = authority.issue("site.example", Some(RESPONDER)).pem();
    let setup = Setup {
        level: Some("operator"),
        ..Setup::default()
    };
    let haproxy = Haproxy::start(&installation, setup, &[("site.pem", site.as_bytes())]);
    let world = World::new();
    let configuration = format!(
        "directories: [{{path: {}, sockets: [{}, '{{dir}}/nobody.sock']}}]\n",
        haproxy.path("certs"),
        haproxy.path("admin.sock")
    );
    let output = world.validate(&configuration, &[]);
    assert_eq!(output.status.code(), Some(78), "{}", stdout(&output));
    assert_line(
        &output,
        "error",
        &["admin.sock", "level 'operator'", "level admin"],
    );
    assert_line(&output, "error", &["nobody.sock: there is no such socket"]);
    assert_eq!(last_line(&output), "not valid: 2 errors, 0 warnings");
}

#[test]
fn certificates_without_issuer_and_colliding_names_are_found() {
    let world = World::new();
    let authority = Authority::new();
    let one = authority.issue("one.example", Some(RESPONDER));
    let other = authority.issue("other.example", Some(RESPONDER));
    world.write("certs/one.pem", &one.pem());
    world.write("certs/other.pem", &other.pem());
    // The leaf is the first of the file.
    let whole = other.pem();
    let end = whole.find("-----END CERTIFICATE-----\n").unwrap();
    let alone = &whole[..end + "-----END CERTIFICATE-----\n".len()];
    world.write("certs/alone.pem", alone);
    let output = world.validate(
        "directories: ['{dir}/certs', '{dir}/missing']\n\
         domains:\n  d: {cert: '{dir}/certs/other.pem', ocsp: '{dir}/certs/one.pem.ocsp'}\n  \
         gone: {cert: '{dir}/gone.pem', ocsp: '{dir}/gone.ocsp'}\n",
        &[],
    );
    assert_eq!(output.status.code(), Some(78), "{}", stdout(&output));
    assert_line(&output, "warning", &["alone.pem: no issuer found"]);
    assert_line(
        &output,
        "error",
        &["one.pem.ocsp would hold the staples of two certificates"],
    );
    assert_line(
        &output,
        "error",
        &["gone.pem: cannot be read: No such file"],
    );
    assert_line(&output, "error", &["missing does not exist"]);
    assert_eq!(
        last_line(&output),
        "not valid: 3 errors, 1 warning",
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_responder_that_the_configuration_names_has_to_be_found() {
    let world = World::new();
    let authority = Authority::new();
    let site = authority.issue("site.example", Some("http://127.0.0.1:1/"));
    world.write("certs/site.pem", &site.pem());
    let own = world.validate("directories: ['{dir}/certs']\n", &[]);
    assert_line(
        &own,
        "warning",
        &["http://127.0.0.1:1: ", "allow_addresses: [\"loopback\"]"],
    );
    assert_eq!(own.status.code(), Some(0), "{}", stdout(&own));
    let other = world.validate(
        "directories: ['{dir}/certs']\n\
         responders: {127.0.0.1: 'http://does-not-exist.invalid/'}\n",
        &[],
    );
    assert_line(&other, "error", &["http://does-not-exist.invalid: "]);
    assert_eq!(other.status.code(), Some(78), "{}", stdout(&other));
}

/// Whether the files of a temporary folder can be somebody else's business.
fn nobody_is_somebody_else() -> bool {
    let id = |arguments: &[&str]| {
        let output = Command::new("id")
            .args(arguments)
            .stderr(Stdio::null())
            .output();
        output
            .ok()
            .filter(|output| output.status.success())
            .map(|output| output.stdout)
    };
    let nobody = id(&["-u", "nobody"]);
    let is_other = nobody.is_some() && nobody != id(&["-u"]);
    if !is_other {
        skipped("permissions of another user: there is no 'nobody' beside this one");
    }
    is_other
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn who_may_read_a_certificate_and_could_not_read_its_staple_is_named() {
    let world = World::new();
    let site = Authority::new().issue("site.example", Some(RESPONDER));
    for name in ["one", "two"] {
        world.write(&format!("certs/{name}.pem"), &site.pem());
        set_mode(&world.path(&format!("certs/{name}.pem")), 0o604);
    }
    let check = |mode: &str| {
        let configuration = format!("directories: ['{{dir}}/certs']\nfile_mode: {mode}\n");
        world.validate(&configuration, &[])
    };
    let output = check("0600");
    let words = [
        "file_mode",
        "everybody may read",
        "one.pem and another one",
        "0600",
    ];
    assert_line(&output, "warning", &words);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let output = check("0644");
    assert!(!stdout(&output).contains("may read"), "{}", stdout(&output));
}

#[test]
fn permissions_are_judged_for_the_user_who_will_run_it() {
    if !nobody_is_somebody_else() {
        return;
    }
    let world = World::new();
    let authority = Authority::new();
    let site = authority.issue("site.example", Some(RESPONDER));
    world.write("certs/site.pem", &site.pem());
    let check = || world.validate("directories: ['{dir}/certs']\n", &["--user", "nobody"]);
    set_mode(world.dir.path(), 0o700);
    let output = check();
    assert_line(
        &output,
        "error",
        &["directory", "certs: nobody may not enter "],
    );
    assert_eq!(output.status.code(), Some(78));
    set_mode(world.dir.path(), 0o755);
    set_mode(&world.path("certs"), 0o755);
    set_mode(&world.path("certs/site.pem"), 0o600);
    let output = check();
    assert_line(&output, "ok", &["directory", "certs"]);
    assert_line(
        &output,
        "error",
        &["certificate", "site.pem: nobody may not read it"],
    );
    assert_line(
        &output,
        "error",
        &["staples", "certs: nobody may not write"],
    );
    set_mode(&world.path("certs/site.pem"), 0o644);
    set_mode(&world.path("certs"), 0o777);
    let output = check();
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let unknown = world.validate("quiet: true\n", &["--user", "no-such-user-here"]);
    assert_line(
        &unknown,
        "error",
        &["'no-such-user-here': there is no such user"],
    );
}

#[test]
fn programs_logs_and_the_responders_files_have_to_be_there() {
    let world = World::new();
    world.write("script", "no program");
    let output = world.validate(
        "directories: ['{dir}/certs']\nlogdir: '{dir}/logs'\nfile_group: no-such-group\n\
         output_log: '{dir}/nowhere/{year}.log'\n\
         hooks: {renewed: '{dir}/script', failing: no-such-program, revoked: '{dir}/missing'}\n\
         responder: {authorities: [{issuer: '{dir}/ca.pem', key: '{dir}/ca.key', index: '{dir}/i'}]}\n",
        &[],
    );
    for words in [
        ["hook", "script: permission denied"],
        ["hook", "no-such-program: not found in PATH"],
        ["hook", "missing: does not exist"],
        ["logdir", "logs: does not exist"],
        ["output_log", "nowhere: does not exist"],
        ["file_group", "no-such-group"],
        ["responder", "ca.key: does not exist"],
    ] {
        assert_line(&output, "error", &words);
    }
    assert_eq!(output.status.code(), Some(78));
}

/// `validate` without a file's name, by a user whose home directory the world is.
fn validate_at_home(world: &World) -> Output {
    Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .arg("validate")
        .env("HOME", world.dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn without_a_name_the_file_of_the_machine_or_of_the_user_is_taken() {
    if Path::new("/etc/staplerd/staplerd.yaml").exists() {
        return skipped("the user's configuration file: the machine has one");
    }
    let world = World::new();
    world.write(".staplerd.yaml", "recursive: perhaps\n");
    let output = validate_at_home(&world);
    assert_line(
        &output,
        "error",
        &[".staplerd.yaml:1:12: recursive: expected true or false"],
    );
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn nothing_named_is_not_valid() {
    let world = World::new();
    let output = world.validate("quiet: true\n", &[]);
    assert_line(
        &output,
        "error",
        &["names no certificates and no control sockets"],
    );
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn what_lies_where_a_certificate_or_a_socket_should_is_called_by_its_name() {
    let world = World::new();
    let authority = Authority::new();
    let site = authority.issue("site.example", Some(RESPONDER));
    let turned = format!("{}{}", authority.pem(), site.pem());
    world.write("certs/turned.pem", &turned);
    fs::write(world.path("certs/site.der"), site.certificate.der()).unwrap();
    fs::create_dir(world.path("folder.sock")).unwrap();
    world.write("file.sock", "");
    let output = world.validate(
        "directories: [{path: '{dir}/certs', sockets: ['{dir}/folder.sock', '{dir}/file.sock']}]\n",
        &[],
    );
    for (grade, words) in [
        (
            "warning",
            ["turned.pem", "put the server's certificate first"],
        ),
        ("warning", ["site.der", "HAProxy reads PEM: convert it"]),
        (
            "error",
            ["folder.sock", "there is a directory, and no socket"],
        ),
        ("error", ["file.sock", "there is a file, and no socket"]),
    ] {
        assert_line(&output, grade, &words);
    }
}

#[test]
fn a_haproxy_configuration_as_debian_installs_it_names_no_certificate() {
    let world = World::new();
    world.write(
        "haproxy.cfg",
        "global\n\tlog /dev/log local0\n\tca-base /etc/ssl/certs\n\tcrt-base /etc/ssl/private\n\n\
         defaults\n\tmode http\n\ttimeout connect 5000\n",
    );
    let output = world.validate("haproxy_config: '{dir}/haproxy.cfg'\n", &[]);
    let words = ["haproxy.cfg:1: no certificate is named here", "ssl crt"];
    assert_line(&output, "warning", &words);
    let words = ["haproxy.cfg:1: no 'stats socket' can be connected to"];
    assert_line(&output, "warning", &words);
}

#[test]
fn the_file_in_the_home_directory_may_end_in_yml() {
    if Path::new("/etc/staplerd/staplerd.yaml").exists() {
        return skipped("the file in the home directory: there is one in /etc");
    }
    let world = World::new();
    world.write(".staplerd.yml", "recursive: perhaps\n");
    let output = validate_at_home(&world);
    assert_line(&output, "error", &[".staplerd.yml:1:12: recursive:"]);
}

/// A command with nothing where HAProxy's configuration is by default, and nothing in the home
/// directory; none where this process may not hide files.
fn without_haproxy(home: &Path, words: &[&str]) -> Option<Output> {
    let mut script = "mount -t tmpfs none /etc/haproxy && exec \"$@\"";
    if !Path::new("/etc/haproxy").exists() {
        script = "exec \"$@\"";
    }
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(env!("CARGO_BIN_EXE_staplerd"))
        .args(words)
        .env("HOME", home)
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .output();
    let output = output.ok()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    (!errors.contains("unshare: ") && !errors.contains("mount: ")).then_some(output)
}

#[test]
fn nothing_at_all_is_said_alike_by_the_daemon_and_by_validate() {
    let world = World::new();
    if Path::new("/etc/staplerd/staplerd.yaml").exists() {
        return skipped("nothing configured at all: there is a file in /etc");
    }
    let words = "nothing says where the certificates are: there are no options and no \
                 configuration file, and /etc/haproxy/haproxy.cfg: No such file or directory";
    let Some(daemon) = without_haproxy(world.dir.path(), &[]) else {
        return skipped("nothing configured at all: files cannot be hidden here");
    };
    assert_eq!(daemon.status.code(), Some(78));
    let log = String::from_utf8_lossy(&daemon.stderr);
    assert!(log.contains(words), "{log}");
    let validate = without_haproxy(world.dir.path(), &["validate"]).unwrap();
    assert_eq!(validate.status.code(), Some(78));
    assert_line(&validate, "error", &[words, "staplerd -d"]);
}

#[test]
fn the_default_place_of_haproxys_configuration_counts_for_validate_as_for_the_daemon() {
    if Path::new("/etc/staplerd/staplerd.yaml").exists() || !Path::new("/etc/haproxy").exists() {
        return skipped("HAProxy's configuration in its place: this machine has another");
    }
    let world = World::new();
    let authority = Authority::new();
    let site = authority.issue("site.example", Some(RESPONDER)).pem();
    world.write("certs/site.pem", &site);
    let certs = world.path("certs");
    world.write(
        "haproxy.cfg",
        &format!("frontend f\n  bind :443 ssl crt {}\n", certs.display()),
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind \"$1\" /etc/haproxy && exec \"$2\" validate")
        .args(["sh", world.dir.path().to_str().unwrap()])
        .arg(env!("CARGO_BIN_EXE_staplerd"))
        .env("HOME", world.dir.path())
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        return skipped("HAProxy's configuration in its place: there is no unshare");
    };
    if String::from_utf8_lossy(&output.stderr).contains("unshare: ") {
        return skipped("HAProxy's configuration in its place: files cannot be hidden here");
    }
    assert_line(
        &output,
        "ok",
        &[
            "configuration",
            "nothing is configured",
            "haproxy.cfg are taken",
        ],
    );
    assert_line(&output, "ok", &["certificates", "1 to staple for"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn one_directory_by_two_paths_is_one_and_links_are_followed_before_parents() {
    let world = World::new();
    let authority = Authority::new();
    for (folder, name) in [("certs", "here"), ("far/certs", "there")] {
        fs::create_dir_all(world.path(folder)).unwrap();
        let site = authority.issue(name, Some(RESPONDER)).pem();
        fs::write(world.path(folder).join("site.pem"), site).unwrap();
    }
    fs::create_dir_all(world.path("far/below")).unwrap();
    symlink(world.path("far/below"), world.path("link")).unwrap();
    let place = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let (certs, roundabout) = (place("certs"), place("far/../certs"));
    let through_link = place("link/../certs");
    for (directories, certificates) in [
        (vec![&certs, &roundabout], "1 to staple for"),
        (vec![&certs, &through_link], "2 to staple for"),
    ] {
        let directories = directories.into_iter().map(String::as_str);
        let words: Vec<&str> = ["validate"].into_iter().chain(directories).collect();
        assert_line(&staplerd(&words), "ok", &["certificates", certificates]);
    }
}

#[test]
fn a_mistake_is_one_line_in_the_log() {
    let world = World::new();
    world.write("staplerd.yaml", "directorys: [/a]\n");
    let file = world.path("staplerd.yaml");
    let output = staplerd(&["run", "-c", file.to_str().unwrap()]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.ends_with("unknown key; did you mean directories?\n"),
        "{log}"
    );
}
