//! Secrets that stand in the file itself: reports show lines of it, and must not show those.

use std::ops::Range;

use toml::Spanned;

use super::super::diagnostics::SourceFile;
use super::super::document::Document;
use super::super::external::{External, Origin};
use super::super::kafka::is_secret;

/// The file with stars in the place of its secrets, each byte at its place.
pub(super) fn masked(file: &SourceFile, document: &Document) -> SourceFile {
    let token = document.telegram.iter().filter_map(|telegram| telegram.token.as_ref());
    let key = document.youtube.iter().filter_map(|youtube| youtube.api_key.as_ref());
    let registry = document.kafka.iter().filter_map(|kafka| kafka.registry.as_ref()?.password.as_ref());
    let properties = document.kafka.iter().flat_map(|kafka| &kafka.properties);
    let properties = properties.filter(|property| is_secret(property.name.get_ref())).map(|property| &property.value);
    let secrets = token.chain(key).chain(registry).chain(properties).filter_map(literal);
    SourceFile::new(&*file.name, secrets.fold(file.text.to_string(), |text, place| starred(&text, &place)))
}

fn literal(value: &Spanned<External>) -> Option<Range<usize>> {
    (*value.get_ref().origin() == Origin::Literal).then(|| value.span())
}

/// Quotes stay, so that it still looks like what it is.
fn starred(text: &str, place: &Range<usize>) -> String {
    let star = |(at, c): (usize, char)| {
        if place.contains(&at) && !matches!(c, '"' | '\'' | '\n') { "*".repeat(c.len_utf8()) } else { c.to_string() }
    };
    text.char_indices().map(star).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::diagnostics::{SourceFile, Style};
    use crate::config::{LoadOptions, load_text};

    #[test]
    fn no_report_shows_a_secret_of_the_file() {
        let secrets = ["7000000001:AAtöken", "AIza odd key", "sasl-s3cret", "registry-s3cret"];
        let text = format!(
            "application_id = \"a\"\ntelegram = {{ token = \"{}\", remember = \"1m\" }}\nyoutube = {{ api_key = \"{}\", evry = 1 }}\n\
             kafka = {{ bootstrap_servers = [\"b\"], registry = {{ url = \"x\", password = \"{}\" }}, properties = {{ \"sasl.password\" = \"{}\", \
             \"no.such\" = true }} }}\n",
            secrets[0], secrets[1], secrets[3], secrets[2]
        );
        for options in [LoadOptions::online(), LoadOptions::offline()] {
            let faults = load_text(&SourceFile::new("t.toml", text.clone()), None, &options).unwrap_err();
            let shown = faults.render(Style::Plain);
            for secret in secrets {
                assert!(!shown.contains(secret), "{secret} is in {shown}");
            }
            assert!(shown.contains("remember") && shown.contains("*****"), "{shown}");
        }
    }
}
