//! Pages of long lists, in the order of their handles. A token names the last handle of the page before, so it survives
//! what is made and removed in between.

use proto::fault::Fault;

/// Most entries of a page, whatever is asked: below the 4 MiB that gRPC clients take, with room to spare.
const MOST: usize = 1000;
/// What every token begins with.
const TOKEN: &str = "after:";

/// One page, and the token of the next; empty when this is the last.
pub(crate) fn page<T>(mut all: Vec<(String, T)>, size: u32, token: &str) -> Result<(Vec<T>, String), Fault> {
    let after = match token {
        "" => "",
        token => token.strip_prefix(TOKEN).filter(|handle| handle.contains('/')).ok_or_else(|| {
            Fault::invalid(
                "page_token",
                format!("{token:.100?} was not issued here; begin again without one"),
            )
        })?,
    };
    all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let from = all.partition_point(|(handle, _)| handle.as_str() <= after);
    let size = match usize::try_from(size) {
        Ok(size @ 1..=MOST) => size,
        Ok(_) | Err(_) => MOST,
    };
    let mut rest = all.split_off(from);
    let next = match rest.get(size - 1) {
        Some((last, _)) if rest.len() > size => format!("{TOKEN}{last}"),
        Some(_) | None => String::new(),
    };
    rest.truncate(size);
    Ok((rest.into_iter().map(|(_, item)| item).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(names: &[String]) -> Vec<(String, String)> {
        names.iter().map(|name| (format!("rds1/{name}"), name.clone())).collect()
    }

    proptest! {
        #[test]
        fn pages_hold_everything_once_and_in_order(names in prop::collection::btree_set("[a-f]{1,4}", 0..60), size in 0u32..7) {
            let names: Vec<String> = names.into_iter().collect();
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let (items, next) = page(named(&names), size, &token).expect("a page");
                prop_assert!(size == 0 || items.len() <= size as usize);
                seen.extend(items);
                if next.is_empty() { break; }
                token = next;
            }
            prop_assert_eq!(seen, names);
        }

        #[test]
        fn a_page_continues_behind_what_was_removed(names in prop::collection::btree_set("[a-f]{1,4}", 3..60)) {
            let mut names: Vec<String> = names.into_iter().collect();
            let (first, token) = page(named(&names), 2, "").expect("a page");
            names.retain(|name| !first.contains(name));
            let (rest, _) = page(named(&names), 0, &token).expect("a page");
            prop_assert_eq!(rest, names);
        }
    }

    #[test]
    fn a_token_of_somebody_else_is_refused_and_a_page_is_never_too_long() {
        for token in ["7", "after:", "after:x", "\u{0}"] {
            assert!(page::<()>(Vec::new(), 0, token).is_err(), "{token:?}");
        }
        let many: Vec<String> = (0..2500).map(|n| format!("{n:05}")).collect();
        for size in [0, 5000, u32::MAX] {
            assert_eq!(page(named(&many), size, "").expect("a page").0.len(), MOST);
        }
    }
}
