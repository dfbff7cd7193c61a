//! Texts are held against readers of their own: a strict one of HTML, and counting.

use proptest::prelude::*;

use super::*;

fn html(text: &str, chars: usize, bytes: usize) -> String {
    fit_into(text, Mode::Html, Room { chars, bytes }).into_owned()
}

fn words(text: &str, chars: usize) -> String {
    fit_into(text, Mode::Plain, Room { chars, bytes: 1000 }).into_owned()
}

#[test]
fn what_fits_is_not_touched() {
    for (text, mode) in [("a & b <", ""), ("<b>a</b> &amp;", "HTML"), ("*a* \\.", "MarkdownV2"), ("<b>not closed", "html"), ("", "HTML")] {
        assert!(matches!(fit(text, mode), Cow::Borrowed(same) if same == text), "{text}");
    }
    // 4096 characters are seen, of many more bytes.
    let long = format!("<b>{}</b>", "&lt;".repeat(4096));
    assert_eq!(fit(&long, "HTML"), long);
    let emoji = "🚀".repeat(4096);
    assert_eq!(fit(&emoji, ""), emoji);
    let escaped = "\\.".repeat(4096);
    assert_eq!(fit(&escaped, "MarkdownV2"), escaped);
}

#[test]
fn a_long_text_is_cut_at_4096_characters() {
    assert_eq!(fit(&"é".repeat(4097), ""), format!("{}…", "é".repeat(4095)));
    assert_eq!(fit(&format!("<i>{}</i>", "&amp;".repeat(4097)), "HTML"), format!("<i>{}…</i>", "&amp;".repeat(4095)));
    assert_eq!(fit(&format!("*{}*", "\\.".repeat(4097)), "MarkdownV2"), format!("{}…", "\\.".repeat(4095)));
}

#[test]
fn a_text_of_few_characters_and_many_bytes_is_cut() {
    let link = format!("<a href=\"https://e.org/{}\">x</a>", "y".repeat(1000));
    let cut = fit(&link.repeat(40), "HTML").into_owned();
    assert!(cut.len() <= 32_768 && cut.ends_with('…'), "{}", cut.len());
    assert_eq!(cut.matches("<a ").count(), cut.matches("</a>").count());
    let link = format!("[x](https://e\\.org/{})", "y".repeat(1000));
    assert_eq!(fit(&link.repeat(40), "MarkdownV2"), "x".repeat(40), "without markup there is room");
}

#[test]
fn html_is_cut_outside_of_tags_and_entities() {
    assert_eq!(html("<b>ab<i>cdef</i></b>", 4, 100), "<b>ab<i>c…</i></b>");
    assert_eq!(html("ab&lt;cdefghij", 4, 100), "ab&lt;…");
    assert_eq!(html("a<b>bcdef</b>", 10, 12), "a<b>b…</b>");
    assert_eq!(html("abcdef<a href=\">\">x</a>", 100, 20), "abcdef…");
    // Nor is an entity made of what was none.
    assert_eq!(html("abc&ltd efgh", 7, 100), "abc…");
    assert_eq!(html("abc&#x1F6801F680;efgh", 8, 100), "abc…");
    assert_eq!(html("abc&lt efghijk", 5, 100), "abc&lt…", "without a semicolon, which may be missing");
    // What Telegram does not know is text, and counts as such.
    assert_eq!(html("1 < 2 &nbsp; 3", 9, 100), "1 < 2 &n…");
    assert_eq!(html("&#128640;&#x1F680;ab", 3, 100), "&#128640;&#x1F680;…");
}

#[test]
fn signs_of_several_characters_stay_together() {
    let family = "👨\u{200D}👩\u{200D}👧";
    assert_eq!(words(&format!("ab{family}c"), 5), "ab…");
    assert_eq!(words("aa🇩🇪🇫🇷", 5), "aa🇩🇪…");
    assert_eq!(words("abe\u{301}cde", 4), "ab…");
    assert_eq!(words("ab👍🏽cd", 4), "ab…");
    assert_eq!(words(&format!("a{}", "\u{301}".repeat(300)), 100), format!("a{}…", "\u{301}".repeat(98)), "there is a limit");
}

#[test]
fn characters_that_turn_the_text_around_are_removed() {
    assert_eq!(fit("a\u{202E}b\u{2066}c\u{2069}", ""), "abc");
    assert_eq!(plain("<b>a\u{202E}b</b>", "HTML"), "ab");
    // Arabic needs none of them.
    assert_eq!(fit("مرحبا بالعالم", ""), "مرحبا بالعالم");
}

#[test]
fn a_text_can_be_said_without_its_markup() {
    let link = "<b>Likes</b> 412 → 415 (+3)\n<a href=\"https://youtu.be/x\">Streams &amp; Tables: a 5 &lt; 6 story (*part_1*)</a>";
    assert_eq!(plain(link, "HTML"), "Likes 412 → 415 (+3)\nStreams & Tables: a 5 < 6 story (*part_1*)");
    assert_eq!(plain("1 < 2 & 3 <5>", "HTML"), "1 < 2 & 3 <5>");
    let link = "*Likes* 412 → 415 \\(\\+3\\)\n[Streams & Tables: a 5 < 6 story \\(\\*part\\_1\\*\\)](https://youtu.be/a\\)b) `a*b\\`` ```\nc_d``` ||x||";
    assert_eq!(plain(link, "MarkdownV2"), "Likes 412 → 415 (+3)\nStreams & Tables: a 5 < 6 story (*part_1*) a*b` \nc_d x");
    assert_eq!(plain(">quote\n>more", "MarkdownV2"), "quote\nmore");
    assert_eq!(plain("a *b* <c>", ""), "a *b* <c>");
    assert_eq!(plain(&"&lt;".repeat(5000), "HTML").chars().count(), 4096);
}

/// Reads HTML strictly: every tag closed in its place, every entity known. The number of characters that are seen, or what is wrong.
fn read(mut text: &str) -> Result<usize, String> {
    let (mut open, mut seen) = (Vec::new(), 0);
    while let Some(c) = text.chars().next() {
        let end = match c {
            '<' => {
                let end = text.find('>').ok_or("a tag without end")?;
                match text[1..end].strip_prefix('/') {
                    Some(name) if open.pop() == Some(name) => {}
                    Some(name) => return Err(format!("{name} is not open")),
                    None => open.push(text[1..end].split(' ').next().unwrap()),
                }
                end + 1
            }
            '&' => {
                let end = text.find(';').ok_or("an entity without end")?;
                if !["&lt", "&gt", "&amp", "&quot", "&#39"].contains(&&text[..end]) {
                    return Err(format!("{} is no entity", &text[..end]));
                }
                seen += 1;
                end + 1
            }
            _ => {
                seen += 1;
                c.len_utf8()
            }
        };
        text = &text[end..];
    }
    if open.is_empty() { Ok(seen) } else { Err(format!("{open:?} are not closed")) }
}

/// Well-formed HTML.
fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-zé🚀👍🏽 \u{301}\u{200D}🇩🇪]{0,8}",
        Just("&amp;".to_owned()),
        Just("&lt;b&gt;".to_owned()),
        Just("&quot;&#39;".to_owned()),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        let tag = prop_oneof![Just("b"), Just("i"), Just("tg-spoiler"), Just("a href=\"https://e.org/?a=1\""), Just("code class=\"x\"")];
        (tag, prop::collection::vec(inner, 0..6)).prop_map(|(tag, inside)| {
            let name = tag.split(' ').next().unwrap();
            format!("<{tag}>{}</{name}>", inside.concat())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn html_that_is_cut_is_still_html(pieces in prop::collection::vec(well_formed(), 1..8), chars in 1_usize..60, bytes in 40_usize..300) {
        let text = pieces.concat();
        let cut = html(&text, chars, bytes);
        let seen = read(&cut);
        prop_assert!(seen.as_ref().is_ok_and(|seen| *seen <= chars), "{text}\n{cut}\n{seen:?}");
        prop_assert!(cut.len() <= bytes);
        prop_assert_eq!(html(&cut, chars, bytes), cut.clone());
        // It says the beginning of what the whole says.
        let (said, whole) = (html::said(&cut), html::said(&text));
        prop_assert!(said == whole || whole.starts_with(said.strip_suffix(ELLIPSIS).unwrap()));
    }

    #[test]
    fn any_text_is_cut_to_what_there_is_room_for(text in "[a<>/b&lt;#x'\" =*_`()\\[\\]\\\\!é🚀\u{301}\u{200D}🇩🇪\u{202E}\n.-]{0,120}", chars in 1_usize..60, bytes in 40_usize..300) {
        for mode in [Mode::Plain, Mode::Html, Mode::MarkdownV2] {
            let room = Room { chars, bytes };
            let cut = fit_into(&text, mode, room).into_owned();
            let said = match mode {
                Mode::Plain => cut.clone(),
                Mode::Html => html::said(&cut),
                Mode::MarkdownV2 => markdown::said(&cut),
            };
            prop_assert!(said.chars().count() <= chars, "{mode:?} {cut}");
            prop_assert!(cut.len() <= bytes);
            prop_assert!(!cut.contains(is_bidi_control));
            prop_assert_eq!(fit_into(&cut, mode, room).into_owned(), cut.clone());
        }
    }

    #[test]
    fn what_is_escaped_for_markdown_says_the_same(text in "\\PC{0,80}") {
        prop_assert_eq!(markdown::said(&markdown::escaped(&text)), text);
    }
}
