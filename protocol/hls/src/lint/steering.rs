//! The steering manifest (draft-pantos-content-steering; rule V11).

use super::finding::Findings;
use super::http::Head;
use serde_json::Value;
use std::collections::BTreeSet;

/// The media type a steering manifest has.
const MEDIA_TYPE: &str = "application/vnd.apple.steering-list";

/// Checks one answer of a steering server. `pathways` are those the multivariant playlist lists, the one to start
/// on first.
pub(crate) fn check(
    head: Head<'_>,
    body: &[u8],
    pathways: &[String],
    place: &str,
    at_ms: u64,
    findings: &mut Findings,
) {
    findings.look("V11");
    let mut add = |text: String| findings.add("V11", place, at_ms, text);
    let kind = head.value("content-type").unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with(MEDIA_TYPE) {
        add(format!("the media type is {kind:?}, allowed is {MEDIA_TYPE}"));
    }
    let Ok(Value::Object(list)) = serde_json::from_slice::<Value>(body) else {
        return add("the body is no JSON object".into());
    };
    if list.get("VERSION") != Some(&Value::from(1)) {
        add("VERSION is not 1".into());
    }
    if list.get("TTL").and_then(Value::as_f64).is_none_or(|ttl| ttl <= 0.0) {
        add("TTL is no positive number".into());
    }
    if list.get("RELOAD-URI").is_some_and(|uri| !uri.is_string()) {
        add("RELOAD-URI is no string".into());
    }
    let priority: Option<Vec<&str>> = list
        .get("PATHWAY-PRIORITY")
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(Value::as_str).collect());
    let Some(priority) = priority.filter(|list| !list.is_empty()) else {
        return add("PATHWAY-PRIORITY is no list of names".into());
    };
    if priority.iter().collect::<BTreeSet<_>>().len() < priority.len() {
        add("PATHWAY-PRIORITY names a pathway twice".into());
    }
    let clones: Vec<&Value> =
        list.get("PATHWAY-CLONES").and_then(Value::as_array).into_iter().flatten().collect();
    for clone in &clones {
        if ["BASE-ID", "ID", "URI-REPLACEMENT"].iter().any(|name| clone.get(name).is_none()) {
            add("a pathway clone without BASE-ID, ID or URI-REPLACEMENT".into());
        }
    }
    let is_known = |id: &&str| {
        pathways.iter().any(|known| known == id)
            || clones.iter().any(|clone| clone.get("ID") == Some(&Value::from(*id)))
    };
    if !priority.iter().any(is_known) {
        add(format!("PATHWAY-PRIORITY {priority:?} names no pathway of the multivariant playlist"));
    }
}
