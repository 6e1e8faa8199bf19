//! A person at the page: what is waited for, read, and reached by Tab.

use crate::webdriver::Browser;
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const DOWN: &str = "\u{e015}";

/// Waits until this is true in the page.
pub(crate) fn until(browser: &Browser, what: &str, script: &str) {
    let asked = Instant::now();
    while browser.run(script) != Value::Bool(true) {
        assert!(asked.elapsed() < PATIENCE, "{what}: {}\n{}", body(browser), browser.console());
        sleep(Duration::from_millis(100));
    }
}

pub(crate) fn body(browser: &Browser) -> String {
    browser.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
}

/// Goes on with Tab until this has the focus.
pub(crate) fn tab_to(browser: &Browser, what: &str, selector: &str) {
    for _ in 0..60 {
        if browser.run(&format!("return document.activeElement.matches({selector:?})")) == Value::Bool(true) {
            return;
        }
        browser.types(TAB);
    }
    panic!("{what} is not reached by Tab: {}", body(browser));
}

/// Opens a closed part of a page by keyboard.
pub(crate) fn opens(browser: &Browser, part: &str) {
    tab_to(browser, part, &format!("{part} > summary"));
    browser.types(ENTER);
    until(browser, part, &format!("return !!document.querySelector('{part}[open] li')"));
}

/// Shown text of an element.
pub(crate) fn reads(browser: &Browser, selector: &str) -> String {
    let found = browser.run(&format!("return document.querySelector({selector:?})?.innerText ?? ''"));
    found.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn until_reads(browser: &Browser, selector: &str, text: &str) {
    let script = format!("return (document.querySelector({selector:?})?.innerText ?? '').includes({text:?})");
    until(browser, &format!("{selector} to read {text}"), &script);
}

/// Status of a change that the page itself could ask for.
pub(crate) fn changes(browser: &Browser, method: &str, path: &str, body: &Value) -> Value {
    browser.runs_on(&format!(
        "const done = arguments[arguments.length - 1];
         fetch('/api/v1/me').then((me) => me.json()).then(({{ token }}) => fetch('/api/v1{path}', {{ method: '{method}',
             headers: {{ 'content-type': 'application/json', 'x-mascaret-token': token }}, body: JSON.stringify({body}) }}))
           .then((answer) => done(answer.status)).catch((error) => done(String(error)))"
    ))
}
