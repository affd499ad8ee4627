//! The first page: files of our own, carried in the binary, needing nothing from elsewhere.

/// One file of the page.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Where it is served.
    pub path: &'static str,
    pub content_type: &'static str,
    pub body: &'static [u8],
}

/// Everything the page is made of. It names no other address.
pub const ASSETS: [Asset; 4] = [
    Asset { path: "/", content_type: "text/html; charset=utf-8", body: include_bytes!("index.html") },
    Asset {
        path: "/assets/lethe.css",
        content_type: "text/css; charset=utf-8",
        body: include_bytes!("lethe.css"),
    },
    Asset {
        path: "/assets/lethe.js",
        content_type: "text/javascript; charset=utf-8",
        body: include_bytes!("lethe.js"),
    },
    Asset { path: "/assets/mark.svg", content_type: "image/svg+xml", body: include_bytes!("mark.svg") },
];

/// The `Content-Security-Policy` under which the page works: nothing inline, nothing foreign.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        let asset = ASSETS.iter().find(|asset| asset.path == path).unwrap();
        std::str::from_utf8(asset.body).unwrap()
    }

    #[test]
    fn the_page_asks_only_for_files_it_carries() {
        let html = text("/");
        let mut found = 0;
        for attribute in ["src=\"", "href=\""] {
            for part in html.split(attribute).skip(1) {
                let target = part.split('"').next().unwrap();
                let ours = ASSETS.iter().any(|asset| asset.path == target);
                let route = ["/docs", "/openapi.yaml"].contains(&target) || target.starts_with('#');
                assert!(ours || route, "the page asks for {target}");
                found += usize::from(ours);
            }
        }
        assert!(found >= 3, "the page must load its style, script and mark");
        for (path, body) in [("css", text("/assets/lethe.css")), ("js", text("/assets/lethe.js"))] {
            let foreign = body.replace("http://www.w3.org/", "");
            assert!(
                !foreign.contains("http://") && !foreign.contains("https://"),
                "{path} names another host"
            );
        }
    }

    #[test]
    fn nothing_in_the_page_needs_a_laxer_policy() {
        let html = text("/");
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!html.contains(inline), "inline {inline}");
        }
        for script in html.split("<script").skip(1) {
            let (tag, body) = script.split_once('>').unwrap();
            assert!(tag.contains("src=") && body.starts_with("</script>"), "an inline script");
        }
        let js = text("/assets/lethe.js");
        assert!(!js.contains("innerHTML") && !js.contains("eval("), "text must stay text");
    }
}
