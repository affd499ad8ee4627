//! Addresses webhooks may be sent to, as far as they can be judged without a look-up.

use super::Reach;
use super::address::{NotPublic, is_public};
use reqwest::Url;
use std::net::IpAddr;

const MAX_URL: usize = 2048;

/// The address in its normal form.
///
/// # Errors
///
/// What it must be instead.
pub fn check(text: &str, reach: Reach) -> Result<String, String> {
    if text.len() > MAX_URL {
        return Err(format!("must have at most {MAX_URL} characters"));
    }
    let url = Url::parse(text).map_err(|error| format!("must be an absolute URL: {error}"))?;
    match (url.scheme(), reach) {
        ("https", _) | ("http", Reach::Anywhere) => {}
        ("http", Reach::Public) => {
            return Err(
                "must begin with `https://`; plain HTTP needs a server with `--webhook-private`".to_owned()
            );
        }
        (_, Reach::Public) => return Err("must begin with `https://`".to_owned()),
        (_, Reach::Anywhere) => return Err("must begin with `https://` or `http://`".to_owned()),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password: it is shown to whoever lists webhooks".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment: it would not be sent".to_owned());
    }
    match literal(&url) {
        Some(address) if reach == Reach::Public && !is_public(address) => {
            Err(format!("{}; that needs a server with `--webhook-private`", NotPublic(address)))
        }
        _ => Ok(url.into()),
    }
}

/// The address if the host is one instead of a name, however it was written.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_is_taken_in_its_normal_form() {
        for (text, normal) in [
            ("https://example.com/hook?a=1", "https://example.com/hook?a=1"),
            ("HTTPS://Example.COM", "https://example.com/"),
            ("https://1.1.1.1:8443/x", "https://1.1.1.1:8443/x"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        ] {
            assert_eq!(check(text, Reach::Public).as_deref(), Ok(normal));
        }
    }

    #[test]
    fn an_address_inside_is_refused_however_it_is_written() {
        for text in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://017700000001/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.1.2.3:9000/",
        ] {
            let refused = check(text, Reach::Public).unwrap_err();
            assert!(refused.contains("not public"), "{text}: {refused}");
            assert!(check(text, Reach::Anywhere).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_for_a_webhook_is_refused() {
        let long = format!("https://example.com/{}", "x".repeat(2048));
        for text in [
            "",
            "example.com",
            "/hook",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https://u:p@example.com/",
            "https://u@example.com/",
            "https://example.com/#a",
            "unix:/run/x",
            &long,
        ] {
            assert!(check(text, Reach::Anywhere).is_err(), "{text}");
        }
        assert!(check("http://example.com/", Reach::Public).unwrap_err().contains("https"));
        for (reach, schemes) in [(Reach::Public, "`https://`"), (Reach::Anywhere, "`https://` or `http://`")]
        {
            assert_eq!(check("ftp://example.com/", reach), Err(format!("must begin with {schemes}")));
        }
        assert!(check("http://localhost:3000/", Reach::Anywhere).is_ok());
    }
}
