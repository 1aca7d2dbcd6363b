//! Links of READMEs whose copies lie elsewhere than they do.

/// The text with its links to files that the package has under other names, and with the text alone of links to files that it lacks. `places` has the
/// end of a link's path, and the name beside the copy.
pub fn relinked(text: &str, places: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("](") {
        let (before, link) = rest.split_at(at);
        let Some(end) = link.find(')') else { break };
        let (target, after) = (&link[2..end], &link[end + 1..]);
        let (path, anchor) = target.split_at(target.find('#').unwrap_or(target.len()));
        out += before;
        rest = after;
        if path.is_empty() || path.contains("://") {
            out += &link[..=end];
        } else if let Some((_, name)) = places.iter().find(|(ending, _)| path.ends_with(ending)) {
            out += &format!("]({name}{anchor})");
        } else if let Some(open) = out.rfind('[') {
            let is_picture = out[..open].ends_with('!');
            out.replace_range(open - usize::from(is_picture)..=open, "");
        }
    }
    out + rest
}

#[test]
fn links_lead_to_what_is_there() {
    let places = [("slt/README.md", "voice-slt.md"), ("../README.md", "models.md")];
    let text = "[a](../slt/README.md#licence), [b](../../README.md) [`c`](../c.py) ![d](d.png) [e](https://e.org) [f](#f) (g)";
    let expected = "[a](voice-slt.md#licence), [b](models.md) `c` d [e](https://e.org) [f](#f) (g)";
    assert_eq!(relinked(text, &places), expected);
}
