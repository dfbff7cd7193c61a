//! The files of the deployment: that Compose takes them, and that what they name is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The words of a line of the compose file or the Dockerfile, without the signs of lists.
fn words(line: &str) -> Vec<&str> {
    line.split(|sign: char| sign.is_whitespace() || "[]\",".contains(sign)).filter(|word| !word.is_empty() && *word != "-").collect()
}

/// Each command line of tidewatch in the deployment's files.
fn command_lines() -> Vec<Vec<String>> {
    let (compose, dockerfile) = (text("docker-compose.yml"), text("Dockerfile"));
    let mut found = Vec::new();
    let mut lines = compose.lines().chain(dockerfile.lines()).peekable();
    while let Some(line) = lines.next() {
        let mut line_words: Vec<&str> = words(line);
        if line.trim() == "command:" {
            line_words = vec!["tidewatch"];
            while let Some(item) = lines.next_if(|line| line.trim_start().starts_with("- ")) {
                line_words.extend(words(item));
            }
        }
        // The image's default command has the binary in the entry point.
        if line_words.first() == Some(&"CMD") && line_words.get(1) != Some(&"tidewatch") {
            line_words[0] = "tidewatch";
        }
        let Some(place) = line_words.iter().position(|word| *word == "tidewatch") else { continue };
        let arguments: Vec<String> = line_words[place + 1..].iter().map(|word| (*word).to_owned()).collect();
        let is_command = |name: &String| ["run", "setup", "status"].contains(&name.as_str());
        if arguments.first().is_some_and(is_command) && arguments.iter().any(|word| word.starts_with("--")) {
            found.push(arguments);
        }
    }
    found
}

#[test]
fn compose_takes_the_file() {
    let compose = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("compose").args(arguments).current_dir(root()).env("TELEGRAM_CHAT_ID", "4711").stdin(Stdio::null());
        command.output()
    };
    if !compose(&["version"]).is_ok_and(|output| output.status.success()) {
        let note = "SKIPPED: `docker compose` is not installed, docker-compose.yml was not checked\n";
        std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes()).unwrap();
        return;
    }
    for profile in [&[][..], &["--profile", "connect"]] {
        let output = compose(&[&["--file", "docker-compose.yml"], profile, &["config", "--quiet"]].concat()).unwrap();
        assert!(output.status.success(), "{profile:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_commands_of_the_deployment_exist() {
    let lines = command_lines();
    let names: BTreeSet<&str> = lines.iter().map(|line| line[0].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["run", "setup", "status"]), "{lines:?}");
    for line in &lines {
        let help = Command::new(env!("CARGO_BIN_EXE_tidewatch")).args([&line[0], "--help"]).output().unwrap();
        assert!(help.status.success(), "tidewatch {} is no command", line[0]);
        let help = String::from_utf8(help.stdout).unwrap();
        for flag in line.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap();
            assert!(help.contains(&format!("{flag} ")), "tidewatch {} has no {flag}:\n{help}", line[0]);
        }
    }
}

#[test]
fn the_image_is_built_from_what_the_repository_has() {
    let passed: BTreeSet<String> = text(".dockerignore").lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect();
    for name in &passed {
        assert!(root().join(name).exists(), ".dockerignore lets through {name}, which does not exist");
    }
    // What cargo reads, beside what the sources include.
    for name in ["Cargo.toml", "Cargo.lock", "src", "benches"] {
        assert!(passed.contains(name), ".dockerignore holds back {name}");
    }
    let dockerfile = text("Dockerfile");
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        let source = words(line)[1];
        assert!(source == "." || passed.contains(source), "the Dockerfile copies {source}, which .dockerignore holds back");
    }
    for (path, text) in crate::layout::rust_files("src") {
        for included in text.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let file = fs::canonicalize(root().join(&path).parent().unwrap().join(included)).unwrap();
            let top = file.strip_prefix(fs::canonicalize(root()).unwrap()).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
            assert!(passed.contains(&top), "{} includes {included}, which .dockerignore holds back", path.display());
        }
    }
}

#[test]
fn what_the_shipped_topology_takes_from_the_environment_is_handed_on() {
    let (topology, compose) = (text("topology.toml"), text("docker-compose.yml"));
    // Also what is commented out: it can be had by removing the sign.
    let names = topology.split("{ env = \"").skip(1).filter_map(|rest| rest.split('"').next());
    // Where it explains the form of such a value it says NAME.
    let names: BTreeSet<&str> = names.filter(|name| *name != "NAME").collect();
    assert_eq!(names, BTreeSet::from(["TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID", "YOUTUBE_API_KEY"]));
    let shared = compose.split("\nservices:").next().unwrap();
    let manual = text("docs/deployment.md");
    for name in names {
        assert!(shared.contains(&format!("    {name}: ${{{name}:")), "the compose file does not hand on {name}");
        assert!(manual.contains(&format!("echo '{name}=")), "docs/deployment.md does not say how to set {name}");
    }
}

#[test]
fn no_secret_stands_in_the_compose_file() {
    let compose = text("docker-compose.yml");
    let secret = |name: &str| ["TOKEN", "KEY", "PASSWORD", "SECRET", "CHAT_ID"].iter().any(|part| name.contains(part));
    let settings: Vec<_> =
        compose.lines().filter_map(|line| line.trim().split_once(": ")).filter(|(name, _)| secret(name) && !name.contains(' ')).collect();
    assert!(settings.len() >= 4, "{settings:?}");
    assert!(settings.iter().all(|(_, value)| value.starts_with("${")), "{settings:?}");
}
