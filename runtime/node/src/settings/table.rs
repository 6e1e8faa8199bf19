//! What is done to tables before they are read: laid over each other, searched, and freed of what is wrong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

/// Lays `value` over what is at `key`; tables are merged key by key.
pub(super) fn merge<'i>(into: &mut DeTable<'i>, key: Spanned<DeString<'i>>, value: Spanned<DeValue<'i>>) {
    let is_table = value.get_ref().is_table();
    match into.get_mut(key.get_ref().as_ref()) {
        Some(there) if is_table && there.get_ref().is_table() => {
            if let (DeValue::Table(there), DeValue::Table(over)) = (there.get_mut(), value.into_inner()) {
                for (key, value) in over {
                    merge(there, key, value);
                }
            }
        }
        _ => drop(into.insert(key, value)),
    }
}

/// Lays `value` at `path`, with tables on the way as needed.
pub(super) fn put<'i>(table: &mut DeTable<'i>, path: &[&'i str], value: Spanned<DeValue<'i>>) {
    let span = value.span();
    let Some((first, rest)) = path.split_first() else { return };
    let nested = rest.iter().rev().fold(value, |inner, key| {
        let mut around = DeTable::new();
        around.insert(Spanned::new(span.clone(), DeString::Borrowed(key)), inner);
        Spanned::new(span.clone(), DeValue::Table(around))
    });
    merge(table, Spanned::new(span, DeString::Borrowed(first)), nested);
}

/// Where the value at `path` is written.
pub(super) fn find(table: &DeTable<'_>, path: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    match (rest, value.get_ref()) {
        ([], _) => Some(value.span()),
        (rest, DeValue::Table(inner)) => find(inner, rest),
        _ => None,
    }
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Takes out the innermost entry that `span` is about: its key, its value, or what its value holds.
/// Says whether there was one; `path` is then where it was.
pub(super) fn take_out(table: &mut DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    let by_key = table.keys().find(|key| contains(&key.span(), span)).map(|key| key.get_ref().to_string());
    if let Some(name) = by_key {
        table.remove(name.as_str());
        path.push(name);
        return true;
    }
    for (key, value) in table.iter_mut() {
        path.push(key.get_ref().to_string());
        match within(value, span, path) {
            Some(true) => return true,
            Some(false) => {
                let name = key.get_ref().to_string();
                return table.remove(name.as_str()).is_some();
            }
            None => drop(path.pop()),
        }
    }
    false
}

/// `Some(true)`: taken out further in. `Some(false)`: it is this value itself. `None`: not here.
fn within(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>, path: &mut Vec<String>) -> Option<bool> {
    let own = value.span();
    if own != *span {
        // A table's span may be its header only, so its entries are looked at whatever it is.
        let is_taken = match value.get_mut() {
            DeValue::Table(inner) => take_out(inner, span, path),
            DeValue::Array(items) => take_out_of(items, span, path),
            _ => false,
        };
        if is_taken {
            return Some(true);
        }
    }
    contains(&own, span).then_some(false)
}

fn take_out_of(items: &mut DeArray<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    for index in 0..items.len() {
        path.push(index.to_string());
        let Some(item) = items.get_mut(index) else { break };
        match within(item, span, path) {
            Some(true) => return true,
            Some(false) => {
                let kept =
                    items.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, item)| item.clone());
                let mut rest = DeArray::new();
                kept.for_each(|item| rest.push(item));
                *items = rest;
                return true;
            }
            None => drop(path.pop()),
        }
    }
    false
}
