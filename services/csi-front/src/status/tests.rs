use super::*;
use proptest::prelude::*;

fn faults() -> impl Strategy<Value = (Rpc, Fault)> {
    (0..Rpc::ALL.len(), 0..Reason::ALL.len(), any::<bool>(), ".{0,80}").prop_map(
        |(rpc, at, settled, message)| {
            let fault = Fault { reason: Reason::ALL[at], settled, message };
            (Rpc::ALL[rpc], fault)
        },
    )
}

const STILL_RUNNING: [Code; 3] = [Code::Aborted, Code::Unavailable, Code::DeadlineExceeded];

proptest! {
    #[test]
    fn what_may_still_be_going_on_is_never_told_as_final((rpc, fault) in faults()) {
        if !fault.settled {
            let Answer::Error(code) = answer(rpc, &fault) else {
                return Err(TestCaseError::fail("success, although nothing was observed"));
            };
            prop_assert!(STILL_RUNNING.contains(&code), "{:?} {:?} -> {:?}", rpc, fault.reason, code);
        }
    }

    #[test]
    fn what_is_final_is_never_told_as_still_going_on((rpc, fault) in faults()) {
        if fault.settled && !is_open_by_nature(fault.reason) {
            let wrong = match answer(rpc, &fault) {
                Answer::Success => false,
                Answer::Error(code) => {
                    STILL_RUNNING.contains(&code)
                        || code == Code::Cancelled
                        || code == Code::Unimplemented
                        || (code == Code::ResourceExhausted && rpc != Rpc::CreateVolume)
                }
            };
            prop_assert!(!wrong, "{:?} {:?} -> {:?}", rpc, fault.reason, answer(rpc, &fault));
        }
    }

    #[test]
    fn a_message_keeps_its_trace_and_stays_within_a_header((_, fault) in faults(), times in 1usize..200) {
        let long = Fault { message: fault.message.repeat(times), ..fault };
        let status = status(Code::Internal, &long, Some("0af7651916cd43dd8448eb211c80319c"));
        prop_assert!(status.message().ends_with(" (trace 0af7651916cd43dd8448eb211c80319c)"));
        prop_assert!(status.message().len() < MAX_MESSAGE_BYTES + 64);
        prop_assert!(status.details().is_empty());
    }
}

#[test]
fn every_reason_has_an_answer_in_every_rpc() {
    for rpc in Rpc::ALL {
        for reason in Reason::ALL {
            for settled in [true, false] {
                let fault = Fault { reason, settled, message: String::new() };
                assert_ne!(answer(rpc, &fault), Answer::Error(Code::Ok), "{rpc:?} {reason:?}");
            }
        }
    }
}

#[test]
fn no_space_is_told_as_each_caller_understands_it() {
    let full = Fault::settled(Reason::NoSpace, "full");
    assert_eq!(answer(Rpc::CreateVolume, &full), Answer::Error(Code::ResourceExhausted));
    assert_eq!(answer(Rpc::ControllerExpand, &full), Answer::Error(Code::OutOfRange));
}

#[test]
fn taking_away_what_is_not_there_succeeds_only_when_that_was_observed() {
    for rpc in [Rpc::DeleteVolume, Rpc::ControllerUnpublish, Rpc::NodeUnstage, Rpc::NodeUnpublish] {
        assert_eq!(answer(rpc, &Fault::settled(Reason::VolumeNotFound, "")), Answer::Success);
        assert_eq!(
            answer(rpc, &Fault::unsettled(Reason::VolumeNotFound, "")),
            Answer::Error(Code::Unavailable)
        );
        for reason in [Reason::NotConfigured, Reason::Unsupported, Reason::NotOurs] {
            let fault = Fault::settled(reason, "merely not seen");
            assert_eq!(answer(rpc, &fault), Answer::Error(Code::FailedPrecondition));
        }
    }
}

#[test]
fn a_node_that_has_not_seen_the_growth_yet_does_not_keep_pods_from_starting() {
    let not_grown = Fault::settled(Reason::NotGrown, "");
    assert_eq!(answer(Rpc::NodeExpand, &not_grown), Answer::Error(Code::FailedPrecondition));
    let down = Fault::settled(Reason::PathDown, "");
    assert_eq!(answer(Rpc::NodeExpand, &down), Answer::Error(Code::Unavailable));
}

#[test]
fn a_second_call_for_one_volume_is_aborted_whoever_says_so() {
    for settled in [true, false] {
        let busy = Fault { reason: Reason::Busy, settled, message: String::new() };
        assert_eq!(answer(Rpc::CreateVolume, &busy), Answer::Error(Code::Aborted));
    }
}
