//! What must hold of every page: axe-core finds nothing serious, what a stranger wrote is text, no script gets in.

use crate::webdriver::{self, Browser};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// What would run if anything that a stranger wrote were taken for a page.
pub(crate) const MARKUP: &str =
    "<img src=x onerror='window.taken=1'><script>window.taken=1</script>&lt;b&gt;";

/// A driver of Chromium, and axe-core's source. `None`, and said, where there is none.
pub(crate) fn tools() -> Option<(PathBuf, String)> {
    let Some(driver) = webdriver::find() else {
        println!("skipped: no chromium");
        return None;
    };
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("web");
    let Ok(source) = std::fs::read_to_string(web.join("node_modules/axe-core/axe.min.js")) else {
        println!("skipped: no axe-core (make web)");
        return None;
    };
    Some((driver, source))
}

/// Nothing serious, in both sizes and schemes. With `MASCARET_PICTURES=folder` each is kept as it looks, in base64.
pub(crate) fn axe(browser: &Browser, axe: &str, page: &str) {
    for (width, scheme) in [(1280, "dark"), (1280, "light"), (360, "dark"), (360, "light")] {
        browser.looks_like(width, scheme);
        let wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().is_some_and(|wide| wide <= 0), "{page} at {width} px is {wide} px too wide");
        browser.run(&format!("if (!window.axe) {{ {axe} }}; 0"));
        let found = browser.runs_on(
            "const done = arguments[0]; axe.run().then((found) => done(found.violations
                .filter((it) => ['serious', 'critical'].includes(it.impact))
                .map((it) => `${it.id}: ${it.nodes.map((node) => node.html).join(' ')}`)));",
        );
        assert_eq!(found, serde_json::json!([]), "{page} at {width} px, {scheme}");
        if let Some(folder) = std::env::var_os("MASCARET_PICTURES") {
            let file = format!("{}-{width}-{scheme}.png.base64", page.replace([',', ' '], "-"));
            std::fs::write(Path::new(&folder).join(file), browser.picture()).expect("a picture");
        }
    }
    browser.looks_like(1280, "dark");
}

/// Nothing that a stranger wrote has run, or become an element.
pub(crate) fn is_not_taken(browser: &Browser, page: &str) {
    let found = browser
        .run("return [window.taken ?? null, document.querySelectorAll('main img, main script').length]");
    assert_eq!(found, serde_json::json!([null, 0]), "{page}");
}

/// A script that somebody got into this page does not run.
pub(crate) fn policy_holds(browser: &Browser, page: &str) {
    let said = browser.console();
    assert!(!said.contains("Content Security Policy"), "{page} breaks its own policy: {said}");
    browser.run(
        "const made = document.createElement('script'); made.textContent = 'window.taken = 1'; document.body.append(made);
         const link = document.createElement('a'); link.href = 'javascript:window.taken=1'; document.body.append(link); link.click();
         const far = document.createElement('script'); far.src = 'data:text/javascript,window.taken=1'; document.body.append(far);",
    );
    sleep(Duration::from_millis(200));
    assert_eq!(browser.run("return window.taken ?? null"), Value::Null, "{page}");
    assert!(browser.console().contains("Content Security Policy"), "{page}: nothing was refused");
}
