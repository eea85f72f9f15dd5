//! Pages of long lists, in the order of their handles. A token names the last handle of the page before, so it survives
//! what is made and removed in between.

use proto::fault::Fault;
use proto::id::Slot;

/// Most entries of a page, whatever is asked: below the 4 MiB that gRPC clients take, with room to spare.
const MOST: usize = 1000;
/// What every token begins with.
const TOKEN: &str = "after:";

/// One page, and the token of the next; empty when this is the last.
pub(crate) fn page<'a, T>(
    all: impl Iterator<Item = T>,
    handle: impl Fn(&T) -> &'a str,
    size: u32,
    token: &str,
) -> Result<(Vec<T>, String), Fault> {
    let after = match token {
        "" => "",
        token => token.strip_prefix(TOKEN).filter(|after| is_handle(after)).ok_or_else(|| {
            Fault::invalid(
                "page_token",
                format!("{token:.100?} was not issued here; begin again without one"),
            )
        })?,
    };
    let mut rest: Vec<T> = all.filter(|item| handle(item) > after).collect();
    rest.sort_unstable_by(|a, b| handle(a).cmp(handle(b)));
    let size = match usize::try_from(size) {
        Ok(size @ 1..=MOST) => size,
        Ok(_) | Err(_) => MOST,
    };
    let next = match rest.get(size - 1) {
        Some(last) if rest.len() > size => format!("{TOKEN}{}", handle(last)),
        Some(_) | None => String::new(),
    };
    rest.truncate(size);
    Ok((rest, next))
}

/// Handles end with a slot; those of an earlier driver are nothing else.
fn is_handle(text: &str) -> bool {
    text.rsplit('/').next().is_some_and(|slot| slot.parse::<Slot>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Handles in the order of their names.
    fn handles(names: impl IntoIterator<Item = String>) -> Vec<String> {
        names.into_iter().map(|name| format!("rds1/csi-{name:0<28}")).collect()
    }

    fn page_of(handles: &[String], size: u32, token: &str) -> Result<(Vec<String>, String), Fault> {
        let (page, next) = page(handles.iter().map(String::as_str), |handle| handle, size, token)?;
        Ok((page.into_iter().map(str::to_owned).collect(), next))
    }

    proptest! {
        #[test]
        fn pages_hold_everything_once_and_in_order(names in prop::collection::btree_set("[a-f]{1,4}", 0..60), size in 0u32..7) {
            let names = handles(names);
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let (items, next) = page_of(&names, size, &token).expect("a page");
                prop_assert!(size == 0 || items.len() <= size as usize);
                seen.extend(items);
                if next.is_empty() { break; }
                token = next;
            }
            prop_assert_eq!(seen, names);
        }

        #[test]
        fn a_page_continues_behind_what_was_removed(names in prop::collection::btree_set("[a-f]{1,4}", 3..60)) {
            let mut names = handles(names);
            let (first, token) = page_of(&names, 2, "").expect("a page");
            names.retain(|name| !first.contains(name));
            let (rest, _) = page_of(&names, 0, &token).expect("a page");
            prop_assert_eq!(rest, names);
        }
    }

    #[test]
    fn a_token_of_somebody_else_is_refused_and_a_page_is_never_too_long() {
        for token in ["7", "after:", "after:x", "after:rds1/", "\u{0}"] {
            assert!(page_of(&[], 0, token).is_err(), "{token:?}");
        }
        let many = handles((0..2500).map(|n| format!("{n:05}")));
        for size in [0, 5000, u32::MAX] {
            assert_eq!(page_of(&many, size, "").expect("a page").0.len(), MOST);
        }
    }

    #[test]
    fn a_page_may_end_with_a_volume_of_an_earlier_driver() {
        let legacy = |last: char| format!("pvc-7c1ecb36-0000-4000-8000-00000000000{last}");
        let all = [legacy('1'), legacy('2'), legacy('3')];
        let (first, token) = page_of(&all, 2, "").expect("a page");
        assert_eq!(first, all[..2]);
        assert_eq!(page_of(&all, 2, &token).expect("the rest").0, all[2..]);
    }
}
