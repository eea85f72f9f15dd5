//! Volume ids as they come from outside.

use proto::fault::{Fault, Reason};
use proto::id::{VolumeHandle, VolumeRef};

use super::{Problems, shown};

/// Reads the id in `field`. A form that was never issued is no problem of the request: see [`existing`].
pub(crate) fn parse(field: &str, text: &str, problems: &mut Problems) -> Option<VolumeRef> {
    problems.check(field, text.parse::<VolumeRef>())
}

/// The handle, or why there can be no such volume.
///
/// An id of a form that was never issued names nothing that exists. One of an earlier driver may name something: it is
/// refused, never taken for gone.
pub(crate) fn existing(volume: VolumeRef, text: &str) -> Result<VolumeHandle, Fault> {
    match volume {
        VolumeRef::Handle(handle) => Ok(handle),
        VolumeRef::Legacy(id) => Err(Fault::settled(
            Reason::Unsupported,
            format!(
                "volume {id} was made by an earlier driver; this version cannot adopt such volumes yet, so it is left \
                 untouched; manage it with the driver that made it"
            ),
        )),
        VolumeRef::NeverIssued => Err(Fault::settled(
            Reason::VolumeNotFound,
            format!(
                "volume {} does not exist: this driver never issued such an id (its ids are <appliance>/csi-<28 hex digits>)",
                shown(text)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<VolumeHandle, Fault> {
        let mut problems = Problems::default();
        let parsed = parse("volume_id", text, &mut problems);
        problems.finish()?;
        existing(parsed.expect("parsed"), text)
    }

    #[test]
    fn only_an_empty_or_an_over_long_id_is_a_mistake_of_the_request() {
        for text in ["", &"a".repeat(129)] {
            assert_eq!(read(text).unwrap_err().reason, Reason::InvalidArgument, "{text}");
        }
        assert_eq!(read("fake-vol-id-1234").unwrap_err().reason, Reason::VolumeNotFound);
        assert_eq!(read("rds1/../../etc").unwrap_err().reason, Reason::VolumeNotFound);
        assert!(read("rds1/csi-0123456789abcdef0123456789ab").is_ok());
    }

    #[test]
    fn a_volume_of_an_earlier_driver_is_never_taken_for_gone() {
        let fault = read("pvc-9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4").unwrap_err();
        assert_eq!(fault.reason, Reason::Unsupported);
        assert!(fault.message.contains("cannot adopt"), "{}", fault.message);
    }

    proptest! {
        #[test]
        fn any_text_is_a_handle_or_a_settled_refusal(text in ".{0,200}") {
            if let Err(fault) = read(&text) {
                prop_assert!(fault.settled);
            }
        }
    }
}
