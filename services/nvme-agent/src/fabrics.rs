//! The language of `/dev/nvme-fabrics`: one line of options in, one line of numbers out. Pure.
//!
//! The kernel lists the options it knows when the device is read; one it does not know would be refused as a whole,
//! so optional ones are left out instead, and the ones a session cannot do without are a clear error.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::request::{Connection, Tuning};

/// Seconds after which a lost controller is given up, if nobody said otherwise.
const CTRL_LOSS_TMO_SECONDS: i64 = 1800;
/// Seconds between reconnect attempts, if nobody said otherwise.
const RECONNECT_DELAY_SECONDS: u32 = 2;
/// Seconds between keep-alives, if nobody said otherwise.
const KEEP_ALIVE_TMO_SECONDS: u32 = 5;

/// The kernel lacks an option no session can do without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this kernel's /dev/nvme-fabrics knows no option {0:?}; is nvme-tcp loaded?")]
pub(crate) struct OptionMissing(pub(crate) &'static str);

/// Options the kernel lists, e.g. `nqn=%s`, from what reading the device gives.
pub(crate) fn supported(listing: &str) -> BTreeSet<String> {
    let names = listing.split(',').filter_map(|option| option.trim().split('=').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The line that asks for a session.
pub(crate) fn connect_line(
    connection: &Connection,
    address: SocketAddr,
    supported: &BTreeSet<String>,
) -> Result<String, OptionMissing> {
    let Tuning { ctrl_loss_tmo, reconnect_delay, keep_alive_tmo, io_queues, fast_io_fail_tmo } =
        connection.tuning;
    let needed = [
        ("transport", "tcp".to_owned()),
        ("traddr", address.ip().to_string()),
        ("trsvcid", address.port().to_string()),
        ("nqn", connection.nqn.to_string()),
        ("hostnqn", connection.host_nqn.to_string()),
        ("hostid", connection.host_id.to_string()),
    ];
    let optional = [
        ("ctrl_loss_tmo", Some(ctrl_loss_tmo.unwrap_or(CTRL_LOSS_TMO_SECONDS).to_string())),
        ("reconnect_delay", Some(reconnect_delay.unwrap_or(RECONNECT_DELAY_SECONDS).to_string())),
        ("keep_alive_tmo", Some(keep_alive_tmo.unwrap_or(KEEP_ALIVE_TMO_SECONDS).to_string())),
        ("nr_io_queues", io_queues.map(|n| n.to_string())),
        ("fast_io_fail_tmo", fast_io_fail_tmo.map(|n| n.to_string())),
    ];
    let mut line = Vec::new();
    for (name, value) in needed {
        if !supported.contains(name) {
            return Err(OptionMissing(name));
        }
        line.push(format!("{name}={value}"));
    }
    let known = optional.into_iter().filter(|(name, _)| supported.contains(*name));
    line.extend(known.filter_map(|(name, value)| value.map(|value| format!("{name}={value}"))));
    Ok(line.join(","))
}

/// Instance of the controller from the kernel's answer `instance=I,cntlid=C`.
pub(crate) fn instance(answer: &str) -> Option<u32> {
    let mut fields = answer.trim_matches(|c: char| c.is_whitespace() || c == '\0').split(',');
    fields.find_map(|field| field.strip_prefix("instance=")).and_then(|number| number.parse().ok())
}

/// What an errno of the connecting write means (measured on Linux 6.1, 6.12 and 7.3).
pub(crate) fn explain(errno: i32) -> &'static str {
    match errno {
        5 => "the appliance has no such subsystem, or this host is not allowed to use it",
        22 => "the kernel refused an option, or the peer does not speak NVMe",
        101 => "there is no route",
        104 => "the peer hung up; does the port want TLS?",
        110 => "the peer does not answer",
        111 => "the port is closed",
        126 => "the peer wants a key",
        129 => "the key was refused",
        _ => "see the kernel's log on the node",
    }
}

/// `EALREADY`: there is such a controller, connected or reconnecting.
pub(crate) const ALREADY_CONNECTED: i32 = 114;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::connection;

    const LISTING: &str = "nqn=%s,hostid=%s,transport=%s,traddr=%s,trsvcid=%s,hostnqn=%s,ctrl_loss_tmo=%d,\
        reconnect_delay=%d,keep_alive_tmo=%d,nr_io_queues=%d\n";

    #[test]
    fn host_name_and_host_id_always_go_together() {
        let connection = connection(1);
        let line = connect_line(&connection, connection.addresses[0], &supported(LISTING)).expect("a line");
        assert!(line.starts_with("transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=nqn."), "{line}");
        assert!(line.contains(&format!("hostnqn={}", connection.host_nqn)), "{line}");
        assert!(line.contains(&format!("hostid={}", connection.host_id)), "{line}");
        assert!(line.contains("ctrl_loss_tmo=1800"), "{line}");
    }

    #[test]
    fn an_option_the_kernel_does_not_know_is_left_out_unless_it_is_needed() {
        let mut connection = connection(1);
        connection.tuning.fast_io_fail_tmo = Some(3);
        connection.tuning.ctrl_loss_tmo = Some(-1);
        let line = connect_line(&connection, connection.addresses[0], &supported(LISTING)).expect("a line");
        assert!(!line.contains("fast_io_fail_tmo") && line.contains("ctrl_loss_tmo=-1"), "{line}");
        let missing = connect_line(&connection, connection.addresses[0], &supported("nqn=%s,transport=%s"));
        assert_eq!(missing, Err(OptionMissing("traddr")));
    }

    #[test]
    fn the_answer_names_the_controller() {
        assert_eq!(instance("instance=12,cntlid=3\n"), Some(12));
        assert_eq!(instance("cntlid=3"), None);
        assert_eq!(instance(""), None);
    }
}
