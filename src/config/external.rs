//! Values from outside the topology file: `{ env = "NAME" }` and `{ file = "path" }`. The process environment is read here only.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// What becomes of values from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolve {
    /// They are read; one that is missing is a fault of the file.
    #[default]
    Values,
    /// What `[kafka]` and `[engine]` need is read, names stand for the rest: for commands that only reach the log.
    Connection,
    /// Nothing is read: the name stands for the value. For the demo, tests, graphs and offline checks.
    Placeholders,
}

/// The environment that `{ env = … }` looks into.
#[derive(Clone, Debug, Default)]
pub struct Environment(Variables);

#[derive(Clone, Default)]
enum Variables {
    #[default]
    Process,
    Given(BTreeMap<String, SecretString>),
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("Process"),
            Self::Given(variables) => f.debug_set().entries(variables.keys()).finish(),
        }
    }
}

impl Environment {
    /// The environment of this process.
    pub fn process() -> Self {
        Self(Variables::Process)
    }

    /// Just these variables.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(Variables::Given(variables.into_iter().map(|(name, value)| (name.to_owned(), SecretString::from(value))).collect()))
    }

    fn get(&self, name: &str) -> Result<SecretString, Missing> {
        match &self.0 {
            Variables::Process => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
                let value = std::env::var(name);
                match value {
                    Ok(value) => Ok(SecretString::from(value)),
                    Err(std::env::VarError::NotPresent) => Err(Missing::Unset),
                    Err(std::env::VarError::NotUnicode(_)) => Err(Missing::NotText),
                }
            }
            Variables::Given(variables) => variables.get(name).cloned().ok_or(Missing::Unset),
        }
    }
}

/// A variable of the process environment that is not a secret, such as `RUST_LOG`; none where it is not set or no text.
pub fn env_var(name: &str) -> Option<String> {
    Environment::process().get(name).ok().map(|value| value.expose_secret().to_owned())
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the file.
    Literal,
    /// An environment variable.
    Env(String),
    /// The content of a file, without the line's end.
    File(PathBuf),
}

/// A value that may come from outside. Its `Debug` shows the origin, never the value.
#[derive(Clone)]
pub struct External {
    origin: Origin,
    value: Option<SecretString>,
}

impl External {
    /// A value that stands in the file itself.
    pub(crate) fn literal(value: &str) -> Self {
        Self { origin: Origin::Literal, value: Some(SecretString::from(value)) }
    }

    /// A value that is still to be read.
    pub(crate) fn outside(origin: Origin) -> Self {
        Self { origin, value: None }
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The value; before it was resolved, the name of its origin as a placeholder.
    pub fn expose(&self) -> String {
        match (&self.value, &self.origin) {
            (Some(value), _) => value.expose_secret().to_owned(),
            (None, Origin::Env(name)) => name.clone(),
            (None, Origin::File(path)) => path.display().to_string(),
            (None, Origin::Literal) => String::new(),
        }
    }

    /// The value, if it is known: a placeholder is not.
    pub(crate) fn value(&self) -> Option<&str> {
        self.value.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The value as a secret; none before it was resolved.
    pub fn secret(&self) -> Option<SecretString> {
        self.value.clone()
    }

    /// Reads the value; paths are relative to `folder`, that of the topology file.
    pub(crate) fn resolve(&mut self, environment: &Environment, folder: &Path) -> Result<(), Missing> {
        let value = match &self.origin {
            Origin::Literal => return Ok(()),
            Origin::Env(name) => environment.get(name)?,
            Origin::File(path) => SecretString::from(std::fs::read_to_string(folder.join(path)).map_err(Missing::Unreadable)?.trim_end()),
        };
        if value.expose_secret().is_empty() {
            return Err(Missing::Empty);
        }
        self.value = Some(value);
        Ok(())
    }
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.value.is_some() { "resolved" } else { "placeholder" };
        match &self.origin {
            Origin::Literal => f.write_str("External(literal)"),
            Origin::Env(name) => write!(f, "External(env {name}, {state})"),
            Origin::File(path) => write!(f, "External(file {}, {state})", path.display()),
        }
    }
}

/// Why a value from outside is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    /// The variable does not exist.
    #[error("is not set")]
    Unset,
    /// The variable or file has no content.
    #[error("is empty")]
    Empty,
    /// The variable is not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// The file cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_shown_by_debug() {
        let environment = Environment::of([("TOKEN", "s3cr3t")]);
        let mut value = External::outside(Origin::Env("TOKEN".to_owned()));
        assert_eq!(value.expose(), "TOKEN", "the placeholder");
        value.resolve(&environment, Path::new("")).unwrap();
        assert_eq!(value.expose(), "s3cr3t");
        let shown = format!("{value:?} {environment:?} {:?}", External::literal("s3cr3t"));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn a_file_gives_its_content_without_the_end_of_the_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("id"), "42\n").unwrap();
        let mut value = External::outside(Origin::File("id".into()));
        value.resolve(&Environment::of([]), folder.path()).unwrap();
        assert_eq!(value.expose(), "42");
        let mut absent = External::outside(Origin::File("none".into()));
        assert!(matches!(absent.resolve(&Environment::of([]), folder.path()), Err(Missing::Unreadable(_))));
    }
}
