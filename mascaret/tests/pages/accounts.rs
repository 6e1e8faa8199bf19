//! Accounts, by keyboard: somebody else's, invites, one's own.

use crate::PASSWORD;
use crate::keyboard::{DOWN, ENTER, ESCAPE, changes, reads, tab_to, until, until_reads};
use crate::safety::axe;
use crate::webdriver::Browser;

/// Somebody else's account: may do more, and is deleted once that is meant.
pub(crate) fn others(browser: &Browser, page: &dyn Fn(&str) -> String) {
    let kim = serde_json::json!({ "name": "Kim", "password": PASSWORD });
    assert_eq!(changes(browser, "POST", "/accounts", &kim), 202);
    browser.open(&page("/admin"));
    until(browser, "both", "return document.querySelectorAll('tbody tr').length === 2");
    tab_to(browser, "what Kim may do", "select[aria-label='What Kim may do']");
    browser.types(DOWN);
    until_reads(browser, ".form-note", "Kim is moderator now.");
    let delete = "button[aria-label='Delete Kim']";
    tab_to(browser, "deleting Kim", delete);
    browser.types(ENTER);
    until(
        browser,
        "it to be asked",
        "return document.querySelector('dialog[open]')?.contains(document.activeElement)",
    );
    browser.types(ESCAPE);
    until(
        browser,
        "it not to be meant",
        &format!("return document.activeElement.matches({delete:?}) && !document.querySelector('dialog')"),
    );
    assert_eq!(browser.run("return document.querySelectorAll('tbody tr').length"), 2);
    browser.types(ENTER);
    until(browser, "it to be asked again", "return !!document.querySelector('dialog[open]')");
    tab_to(browser, "yes", "dialog .primary");
    browser.types(ENTER);
    until_reads(browser, ".form-note", "Kim is deleted.");
    until(browser, "Ana alone", "return document.querySelectorAll('tbody tr').length === 1");
}

/// Invites: one made and taken back, another made for the link that it is.
pub(crate) fn invites(browser: &Browser, page: &dyn Fn(&str) -> String, source: &str) -> String {
    browser.open(&page("/admin"));
    until(browser, "accounts", "return document.querySelectorAll('tbody tr').length === 1");
    tab_to(browser, "the role", "tbody select");
    let mut invite = String::new();
    for is_kept in [false, true] {
        tab_to(browser, "what it makes of somebody", "select[name=role]");
        tab_to(browser, "making it", ".owned .form button");
        browser.types(ENTER);
        let link = ".owned code";
        until(
            browser,
            "the invite",
            &format!(
                "return /\\/sign-up\\?invite=.{{32}}/.test(document.querySelector({link:?})?.innerText)"
            ),
        );
        until_reads(browser, ".invites", "For one viewer");
        invite = reads(browser, link);
        if !is_kept {
            axe(browser, source, "admin");
            browser.run("document.querySelector('tbody select').focus()");
            tab_to(browser, "taking it back", ".invites button");
            browser.types(ENTER);
            until_reads(browser, ".invites", "None that was not used");
            assert_eq!(reads(browser, ".owned .fresh"), "", "what is no good is not shown any more");
        }
    }
    invite
}

/// Somebody comes by an invite, has another password, is signed out everywhere, and goes for good; then the first is back.
pub(crate) fn own_account(browser: &Browser, page: &dyn Fn(&str) -> String, source: &str, invite: &str) {
    let sign_in = |name: &str, password: &str| {
        until(
            browser,
            "sign-in",
            "return location.pathname === '/sign-in' && !!document.querySelector('form')",
        );
        tab_to(browser, "the name", "input[name=username]");
        browser.types(name);
        tab_to(browser, "the password", "input[name=password]");
        browser.types(&format!("{password}{ENTER}"));
        until(
            browser,
            "somebody signed in",
            "return location.pathname !== '/sign-in' && !!document.querySelector('nav .me')",
        );
    };
    let sign_out = || {
        tab_to(browser, "signing out", "nav button");
        browser.types(ENTER);
        until(
            browser,
            "signed out",
            "return location.pathname === '/sign-in' && !!document.querySelector('form')",
        );
    };
    sign_out();
    browser.open(invite);
    until(
        browser,
        "the invite in its field",
        "return document.querySelector('input[name=invite]')?.value.length === 32",
    );
    tab_to(browser, "the name", "input[name=username]");
    browser.types("Zoe");
    tab_to(browser, "the password", "input[name=password]");
    browser.types(&format!("{PASSWORD}{ENTER}"));
    until_reads(browser, "main", "ask an administrator");
    tab_to(browser, "her account", "nav .me");
    browser.types(ENTER);
    until(
        browser,
        "her account",
        "return location.pathname === '/account' && !!document.querySelector('input[name=old]')",
    );
    axe(browser, source, "account");
    let other = "another two metres of it";
    tab_to(browser, "the old password", "input[name=old]");
    browser.types(PASSWORD);
    tab_to(browser, "the new one", "input[name=new]");
    browser.types(&format!("{other}{ENTER}"));
    until_reads(browser, "[aria-labelledby=password]", "Changed.");
    tab_to(browser, "signing out everywhere", "[aria-labelledby=everywhere] button");
    browser.types(ENTER);
    sign_in("Zoe", other);
    browser.open(&page("/account"));
    until(browser, "her account", "return !!document.querySelector('input[name=confirm]')");
    tab_to(browser, "her name", "input[name=confirm]");
    browser.types("Zo");
    tab_to(browser, "her password", "input[name=known]");
    browser.types(&format!("{other}{ENTER}"));
    until_reads(browser, "[aria-labelledby=farewell]", "That is not your name");
    browser.types("\u{e010}e");
    tab_to(browser, "going", "[aria-labelledby=farewell] button");
    browser.types(ENTER);
    until(browser, "gone", "return location.pathname === '/sign-up' && !!document.querySelector('form')");
    browser.open(&page("/sign-in"));
    sign_in("Ana", PASSWORD);
    browser.open(&page("/admin"));
    until(browser, "accounts without hers", "return document.querySelectorAll('tbody tr').length === 1");
}
