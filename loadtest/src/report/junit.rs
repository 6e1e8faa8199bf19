//! The report as JUnit XML, which continuous integration shows: each check is a test case.

use super::Report;
use super::plain::Markup;

impl Report {
    /// As JUnit XML. What is only advice is a skipped case where it does not hold: it says why not to trust the others.
    pub fn junit(&self) -> String {
        let failures = self.checks.iter().filter(|check| !check.holds && !check.is_advice).count();
        let skipped = self.checks.iter().filter(|check| !check.holds && check.is_advice).count();
        let tests = self.checks.len();
        let time = format!("{:.3}", self.seconds);
        let mut page = Markup::default();
        page.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        page.open(
            "testsuites",
            &[("tests", &tests), ("failures", &failures), ("skipped", &skipped), ("time", &time)],
        );
        page.raw("\n");
        page.open(
            "testsuite",
            &[
                ("name", &"loadtest"),
                ("tests", &tests),
                ("failures", &failures),
                ("errors", &0),
                ("skipped", &skipped),
                ("time", &time),
                ("timestamp", &self.begun_at.trim_end_matches('Z')),
            ],
        );
        page.raw("\n<properties>\n");
        for (name, value) in [("target".into(), self.target.clone())].iter().chain(&self.settings) {
            page.leaf("property", &[("name", name), ("value", value)]).raw("\n");
        }
        page.raw("</properties>\n");
        for check in &self.checks {
            page.open("testcase", &[("classname", &"loadtest"), ("name", &check.name), ("time", &"0")]);
            match (check.holds, check.is_advice) {
                (true, _) => {
                    page.element("system-out", &[], &check.found);
                }
                (false, true) => {
                    page.leaf("skipped", &[("message", &check.found)]);
                }
                (false, false) => {
                    page.element("failure", &[("message", &check.found)], &check.found);
                }
            }
            page.close("testcase").raw("\n");
        }
        page.open("system-out", &[]).text(self.text()).close("system-out").raw("\n");
        page.raw("</testsuite>\n</testsuites>\n");
        page.finish()
    }
}
