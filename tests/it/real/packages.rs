//! What the parts are made of, fetched once into a cache: `$XDG_CACHE_HOME/tidewatch/packages`, else `~/.cache/tidewatch/packages`.
//!
//! A folder's name holds a hash of its recipe, so that a changed recipe gets a new folder. It is made under another name and renamed, behind a
//! lock: test runs at the same time share it, and one that is killed leaves nothing that looks complete.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64;

/// A set of files that a part needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    /// Kafka's broker, its tools and its Connect: `lib/*.jar`.
    Kafka,
    /// Apicurio: `apicurio-registry-app-*-runner.jar`.
    Registry,
    /// Connect's converter for Avro: `lib/*.jar`, so that the folder may stand in a `plugin.path`.
    Converter,
    /// A virtual environment of Python: `bin/python`.
    Python,
}

/// A folder, or why it cannot be had.
pub(crate) type Found = Result<PathBuf, String>;

impl Package {
    /// Its folder; fetched where it is not there yet. Or why it cannot be had.
    pub(crate) fn folder(self) -> Found {
        // Also an error is kept: what is missing will be missing for the next test, and the attempt may have been a long one.
        static FOLDERS: [OnceLock<Found>; 4] = [const { OnceLock::new() }; 4];
        FOLDERS[self as usize].get_or_init(|| self.provide()).clone()
    }

    fn provide(self) -> Found {
        match self {
            Self::Kafka => from_maven("kafka", |_| Ok(())),
            Self::Converter => from_maven("converter", |_| Ok(())),
            Self::Registry => from_maven("registry", |folder| {
                let archive = only_file(&folder.join("lib"), ".tar.gz")?;
                succeed("tar", Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder))?;
                fs::remove_file(archive).map_err(|error| error.to_string())
            }),
            Self::Python => from_pypi("python", "requirements.txt"),
        }
    }
}

/// Fails with a reason where there is no Java that runs Kafka 4.
pub(crate) fn java() -> Result<(), String> {
    static JAVA: OnceLock<Result<(), String>> = OnceLock::new();
    let look = || {
        const REMEDY: &str = "install Java 17 or newer (Debian: openjdk-17-jre-headless)";
        let output = Command::new("java").arg("-version").output().map_err(|_| format!("there is no `java`: {REMEDY}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match major_version(&said) {
            Some(17..) => Ok(()),
            _ => Err(format!("`java -version` says {:?}: {REMEDY}", said.lines().next().unwrap_or_default())),
        }
    };
    JAVA.get_or_init(look).clone()
}

/// The major version in what `java -version` says: `openjdk version "17.0.15"`, and `"1.8.0_412"` for 8.
fn major_version(said: &str) -> Option<u32> {
    let version = said.split('"').nth(1)?;
    version.split(['.', '-', '+']).next()?.parse().ok()
}

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages")
}

fn cache() -> Result<PathBuf, String> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("tidewatch/packages")).ok_or_else(|| "neither XDG_CACHE_HOME nor HOME is set".to_owned())
}

/// The folder of a recipe, made by `make` where it is not there yet.
fn provide(cache: &Path, name: &str, recipe: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Found {
    let folder = cache.join(format!("{name}-{:016x}", xxh3_64(recipe.as_bytes())));
    if folder.is_dir() {
        return Ok(folder);
    }
    let told = |error: std::io::Error| format!("{} cannot be filled: {error}", cache.display());
    fs::create_dir_all(cache).map_err(told)?;
    // One lock for all: Maven's own repository is not made for two at a time.
    let lock = fs::File::create(cache.join("LOCK")).map_err(told)?;
    lock.lock().map_err(told)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(told)?;
    }
    fs::create_dir_all(&partial).map_err(told)?;
    make(&partial)?;
    fs::rename(&partial, &folder).map_err(told)?;
    Ok(folder)
}

/// The folder of a recipe of `tests/packages`: `lib/*.jar`, and what `finish` makes of them.
pub(crate) fn from_maven(name: &str, finish: impl FnOnce(&Path) -> Result<(), String>) -> Found {
    let pom = recipes().join(name).join("pom.xml");
    let recipe = fs::read_to_string(&pom).map_err(|error| format!("{}: {error}", pom.display()))?;
    provide(&cache()?, name, &recipe, |folder| {
        let mut output = std::ffi::OsString::from("-DoutputDirectory=");
        output.push(folder.join("lib"));
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies").arg(output);
        succeed("mvn", &mut maven).map_err(|error| format!("{error} (Maven fetches the {name}; Debian: maven)"))?;
        finish(folder)
    })
}

/// The virtual environment of a recipe of `tests/packages`: `bin/python`.
pub(crate) fn from_pypi(name: &str, requirements: &str) -> Found {
    let requirements = recipes().join(requirements);
    let text = fs::read_to_string(&requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    // A virtual environment belongs to the interpreter that made it.
    let which = ["-c", "import sys; print(sys.executable, sys.version)"];
    let interpreter = succeed("python3", Command::new("python3").args(which))?;
    provide(&cache()?, name, &format!("{text}{interpreter}"), |folder| {
        succeed("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(folder))
            .map_err(|error| format!("{error} (Debian: python3-venv)"))?;
        // `python -m pip`, as its own script has the folder's first name in it.
        let mut pip = Command::new(folder.join("bin/python"));
        succeed("pip", pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]).arg(&requirements)).map(drop)
    })
}

/// Runs a command to its end; its standard output, or what it said when it failed.
pub(crate) fn succeed(name: &str, command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("`{name}` cannot be run: {error}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("`{name}` failed ({}): {}{}", output.status, text(&output.stderr), text(&output.stdout)))
}

/// The only file of a folder whose name ends like this.
pub(crate) fn only_file(folder: &Path, ending: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten();
    let ends = |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(ending));
    let found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(ends).collect();
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(found) => Err(format!("{} holds {} files *{ending}, 1 was expected", folder.display(), found.len())),
    }
}

#[test]
fn java_is_old_or_new_enough() {
    assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
    assert_eq!(major_version("java version \"1.8.0_412\""), Some(1));
    assert_eq!(major_version("openjdk version \"21-ea\""), Some(21));
    assert_eq!(major_version("no such thing"), None);
}

#[test]
fn a_package_is_made_once_by_whoever_is_first() {
    let cache = tempfile::tempdir().unwrap();
    let made = std::sync::atomic::AtomicUsize::new(0);
    let get = || {
        provide(cache.path(), "thing", "recipe", |folder| {
            made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            fs::write(folder.join("file"), "whole").map_err(|error| error.to_string())
        })
    };
    let folders: Vec<Found> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.into_inner(), 1);
    for folder in folders {
        assert_eq!(fs::read_to_string(folder.unwrap().join("file")).unwrap(), "whole");
    }
}

#[test]
fn a_package_that_failed_half_way_is_begun_again() {
    let cache = tempfile::tempdir().unwrap();
    let half = provide(cache.path(), "thing", "recipe", |folder| {
        fs::write(folder.join("half"), "").unwrap();
        Err("no network".to_owned())
    });
    assert_eq!(half, Err("no network".to_owned()));
    let whole = provide(cache.path(), "thing", "recipe", |_| Ok(())).unwrap();
    assert!(!whole.join("half").exists());
    let other = provide(cache.path(), "thing", "another recipe", |_| Ok(())).unwrap();
    assert_ne!(other, whole);
}
