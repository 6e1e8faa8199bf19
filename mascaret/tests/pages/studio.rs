//! The studio: a broadcast, its key, its links and webhooks, by keyboard.

use crate::keyboard::{DOWN, ENTER, ESCAPE, opens, tab_to, until, until_reads};
use crate::safety::axe;
use crate::webdriver::Browser;

/// A broadcast and a key for it: shown once, listed, revoked.
pub(crate) fn begins(browser: &Browser, source: &str) {
    tab_to(browser, "the broadcast's name", "input[name=name]");
    browser.types(&format!("tide{ENTER}"));
    until(browser, "the broadcast", "return !!document.querySelector('.owned')");
    tab_to(browser, "the key's label", ".owned input[name=label]");
    browser.types(ENTER);
    until(
        browser,
        "the key",
        "return /tide\\?key=[a-z2-7]{32}/.test(document.querySelector('.fresh').innerText)",
    );
    until(browser, "it in the list", "return document.querySelector('.keys').innerText.includes('OBS')");
    axe(browser, source, "studio");
    tab_to(browser, "revoking it", ".keys button");
    browser.types(ENTER);
    until(browser, "none", "return document.querySelector('.keys').innerText.includes('None yet')");
}

/// Links and webhooks of a broadcast: made, shown once, listed, taken away; then the broadcast itself, and another one made.
pub(crate) fn shares(browser: &Browser, source: &str) {
    opens(browser, ".links-part");
    tab_to(browser, "for how long", ".links-part select");
    browser.types(DOWN);
    tab_to(browser, "making a link", ".links-part .form button");
    browser.types(ENTER);
    until(
        browser,
        "the link",
        "return /\\/watch\\/tide\\?link=.{20,}/.test(document.querySelector('.links-part code')?.innerText)",
    );
    until_reads(browser, ".links", "Good until");
    opens(browser, ".hooks-part");
    tab_to(browser, "its address", "input[name=url]");
    browser.types(&format!("https://example.org/told{ENTER}"));
    until_reads(browser, ".hooks", "https://example.org/told not told yet");
    until(browser, "its secret", "return document.querySelector('.hooks-part code').innerText.length === 32");
    opens(browser, ".order-part");
    until_reads(browser, ".held", "Nobody is");
    axe(browser, source, "studio, all open");
    browser.run("document.querySelector('.links-part summary').focus()");
    for (list, button) in [("links", "Revoke the link"), ("hooks", "Remove the webhook")] {
        tab_to(browser, button, &format!(".{list} button[aria-label^=\"{button}\"]"));
        browser.types(ENTER);
        until_reads(browser, &format!(".{list}"), "None yet");
    }
    // What cannot be undone is asked about first; Escape is no.
    let delete = ".owned > button";
    tab_to(browser, "deleting it", delete);
    browser.types(ENTER);
    until(
        browser,
        "a question",
        "return document.querySelector('dialog[open]')?.contains(document.activeElement)",
    );
    axe(browser, source, "a question");
    browser.types(ESCAPE);
    until(
        browser,
        "no question",
        &format!("return document.activeElement.matches({delete:?}) && !document.querySelector('dialog')"),
    );
    browser.types(ENTER);
    tab_to(browser, "yes", "dialog .primary");
    browser.types(ENTER);
    until_reads(browser, ".owned-all", "no broadcast yet");
    browser.run("document.querySelector('input[name=name]').focus()");
    browser.types(&format!("tide{ENTER}"));
    until(browser, "the broadcast", "return !!document.querySelector('.owned')");
}
