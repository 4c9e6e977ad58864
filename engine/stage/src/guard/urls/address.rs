//! Where an address leads, read as browsers read it.

use unicode_normalization::UnicodeNormalization;

/// An address of another host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The host, as hosts are compared.
    pub(super) host: String,
    /// Whether it shows a user or a password, or something that looks like a host in front of the host.
    pub(super) has_user: bool,
    /// The bytes of what may carry most: query and fragment, the longest piece of the path, the host.
    pub(super) longest: usize,
}

/// Where what is written as an address leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a host.
    Host(Address),
    /// Nowhere else: a place of the same page or site, an image in the address itself, a mail address.
    Here,
    /// Into a script, or somewhere that is written so that it cannot be read.
    Disguised,
}

/// Schemes that lead to a host.
const WEB: [&str; 5] = ["https", "http", "wss", "ws", "ftp"];

/// The length of the scheme of the web that the letters end with.
pub(super) fn is_web(letters: &str) -> Option<usize> {
    WEB.iter().map(|scheme| scheme.len()).find(|len| {
        let end = letters.len().checked_sub(*len).and_then(|at| letters.get(at..));
        end.is_some_and(|end| WEB.iter().any(|scheme| scheme.eq_ignore_ascii_case(end)))
    })
}

/// Where `written` leads. `shown`: as an image, not as a link.
pub(super) fn target(written: &str, shown: bool) -> Target {
    let written = written.trim();
    // What browsers leave out or decode before they look.
    let hides = ["&#", "&colon", "&sol", "&period", "&tab", "&newline", "&bsol"];
    let lower = written.to_ascii_lowercase();
    if written.chars().any(char::is_control) || hides.iter().any(|entity| lower.contains(entity)) {
        return Target::Disguised;
    }
    let slashes = lower.replace('\\', "/");
    if slashes.starts_with("//") {
        return host_of(slashes.trim_start_matches('/'));
    }
    if slashes.starts_with("www.") {
        return host_of(&slashes);
    }
    let Some((scheme, rest)) = slashes.split_once(':') else { return Target::Here };
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
    {
        return Target::Here;
    }
    match scheme {
        _ if WEB.contains(&scheme) => host_of(rest.trim_start_matches('/')),
        "data" if shown && rest.starts_with("image/") && !rest.starts_with("image/svg") => Target::Here,
        "javascript" | "vbscript" | "data" | "blob" | "view-source" => Target::Disguised,
        _ if rest.starts_with("//") => host_of(rest.trim_start_matches('/')),
        _ => Target::Here,
    }
}

fn host_of(rest: &str) -> Target {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let (user, name) = match authority.rsplit_once('@') {
        Some((_, name)) => (true, name),
        None => (false, authority),
    };
    let Some(host) = host(name) else { return Target::Disguised };
    let (path, said) = tail.find(['?', '#']).and_then(|at| tail.split_at_checked(at)).unwrap_or((tail, ""));
    let longest = path.split('/').map(str::len).chain([said.len().saturating_sub(1), host.len()]).max();
    Target::Host(Address { host, has_user: user, longest: longest.unwrap_or(0) })
}

/// A host as hosts are compared: without port, in lower case, its compatibility forms put plain. `None`: it cannot be one.
pub(super) fn host(written: &str) -> Option<String> {
    let name = match written.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => written.split(':').next().unwrap_or_default(),
    };
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((head, code)) = rest.split_once('%') {
        plain.push_str(head);
        let byte = u8::from_str_radix(code.get(..2)?, 16).ok().filter(u8::is_ascii)?;
        plain.push(char::from(byte));
        rest = code.get(2..)?;
    }
    plain.push_str(rest);
    let host: String =
        plain.nfkc().flat_map(char::to_lowercase).map(|c| if c == '。' { '.' } else { c }).collect();
    let host = host.trim_end_matches('.');
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_where_browsers_go() {
        for (written, host, user) in [
            ("https://acme.com/a?b", "acme.com", false),
            ("HTTPS://ACME.com.", "acme.com", false),
            ("http:/acme.com", "acme.com", false),
            ("https:acme.com", "acme.com", false),
            ("\\\\acme.com\\x", "acme.com", false),
            ("//acme.com:8443", "acme.com", false),
            ("https://good.com@evil.com/", "evil.com", true),
            ("https://good.com\\@evil.com/", "good.com", false),
            ("https://e%76il.com", "evil.com", false),
            ("https://ｅｖｉｌ。com", "evil.com", false),
            ("https://[2001:db8::1]:80/", "2001:db8::1", false),
            ("www.acme.com/x", "www.acme.com", false),
            ("slack://acme.com", "acme.com", false),
        ] {
            let Target::Host(address) = target(written, false) else { panic!("{written}") };
            assert_eq!((address.host.as_str(), address.has_user), (host, user), "{written}");
        }
        for (written, shown, want) in [
            ("/docs", false, Target::Here),
            ("#top", false, Target::Here),
            ("a.png", true, Target::Here),
            ("mailto:a@b.c", false, Target::Here),
            ("data:image/png;base64,aGk=", true, Target::Here),
            ("data:image/svg+xml,<svg>", true, Target::Disguised),
            ("data:text/html,x", false, Target::Disguised),
            ("javascript:alert(1)", false, Target::Disguised),
            ("h&#116;tps://evil.com", true, Target::Disguised),
            ("java\nscript:x", false, Target::Disguised),
            ("https://", false, Target::Disguised),
        ] {
            assert_eq!(target(written, shown), want, "{written}");
        }
        let Target::Host(address) = target("https://a.com/abc/de?fghij#k", false) else { panic!() };
        assert_eq!(address.longest, "fghij#k".len());
    }
}
